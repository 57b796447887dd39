//! What DataFusion believes of window functions: the orders of what they give, and the limits that it moves below them.
//!
//! An aggregate over a frame that grows only ever grows, or falls, as `max` and `min` do: so it takes what they give for sorted.
//! But they are NULL until the frame has a value, and in its order NULLs come last; and over a frame that moves it forgets the
//! partitions. Sorts by such columns were left out.
//!
//! A limit moves to the sort that a window function needs.
//! It sorts no more rows than the limit, and those after them that the last row's frame holds. Where the rows are in several
//! partitions, that is more than their sorts keep: these agree on what the first rows of all are, and drop the rest, so that
//! the last rows of a partition have lost the next ones. Some of them are among the rows that the limit takes.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{LimitEffect, SetMonotonicity, WindowFrameBound};
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::hidden_columns::with_hidden;

/// The name of DataFusion's rule that moves limits past window functions.
pub(super) const RULE: &str = "LimitPushPastWindows";

/// That rule, for plans whose window functions look at no row behind the limit.
#[derive(Debug)]
pub(super) struct PastWindowsThatLookBack {
    pub(super) rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for PastWindowsThatLookBack {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match plan.exists(|node| Ok(looks_ahead_in_partitions(node)))? {
            true => Ok(plan),
            false => self.rule.optimize(plan, config),
        }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Hides that what aggregates give over a frame is in an order: before all rules that look at orders.
#[derive(Debug)]
pub(super) struct WindowsInNoOrder;

impl PhysicalOptimizerRule for WindowsInNoOrder {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let config = Arc::new(config.clone());
        plan.transform_up(|node| {
            let functions = window_functions(&node);
            if !functions.iter().any(is_taken_for_sorted) {
                return Ok(Transformed::no(node));
            }
            let inputs = node.schema().fields().len() - functions.len();
            let is_hidden = |column: usize| {
                let function = column.checked_sub(inputs).and_then(|index| functions.get(index));
                function.is_some_and(is_taken_for_sorted)
            };
            with_hidden(&node, is_hidden, &config).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "windows_in_no_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The functions of a window operator, whose columns come after those of its input; none of any other.
fn window_functions(plan: &Arc<dyn ExecutionPlan>) -> &[Arc<dyn WindowExpr>] {
    let bounded = plan.downcast_ref::<BoundedWindowAggExec>();
    let whole = plan.downcast_ref::<WindowAggExec>();
    let bounded = bounded.map(BoundedWindowAggExec::window_expr);
    bounded
        .or(whole.map(WindowAggExec::window_expr))
        .unwrap_or_default()
}

fn is_taken_for_sorted(function: &Arc<dyn WindowExpr>) -> bool {
    let function = function.as_any();
    let growing = function.downcast_ref::<PlainAggregateWindowExpr>();
    let moving = function.downcast_ref::<SlidingAggregateWindowExpr>();
    let aggregate = growing
        .map(PlainAggregateWindowExpr::get_aggregate_expr)
        .or(moving.map(SlidingAggregateWindowExpr::get_aggregate_expr));
    aggregate.is_some_and(|aggregate| aggregate.set_monotonicity() != SetMonotonicity::NotMonotonic)
}

/// Takes the limit off sorts above window functions, and puts it above them: DataFusion lets such a sort sink below a window that
/// keeps its order, with its limit, and the window sees no more rows than that. The rule that sinks limits knows better.
#[derive(Debug)]
pub(super) struct LimitsAboveWindows;

impl PhysicalOptimizerRule for LimitsAboveWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(sort) = node.downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(node));
            };
            let Some(fetch) = sort.fetch().filter(|_| is_above_window(sort.input())) else {
                return Ok(Transformed::no(node));
            };
            let whole = SortExec::new(sort.expr().clone(), Arc::clone(sort.input()))
                .with_preserve_partitioning(sort.preserve_partitioning());
            let limit = GlobalLimitExec::new(Arc::new(whole), 0, Some(fetch));
            Ok(Transformed::yes(Arc::new(limit) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "limits_above_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the rows of `plan` come from a window function by operators of one input.
fn is_above_window(plan: &Arc<dyn ExecutionPlan>) -> bool {
    !window_functions(plan).is_empty()
        || matches!(plan.children().as_slice(), [input] if is_above_window(input))
}

fn looks_ahead_in_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<BoundedWindowAggExec>().is_some_and(|window| {
        window.input().output_partitioning().partition_count() > 1
            && window.window_expr().iter().any(looks_ahead)
    })
}

fn looks_ahead(window: &Arc<dyn WindowExpr>) -> bool {
    let ends_ahead = match &window.get_window_frame().end_bound {
        WindowFrameBound::Following(rows) => *rows != ScalarValue::UInt64(Some(0)),
        WindowFrameBound::Preceding(_) | WindowFrameBound::CurrentRow => false,
    };
    // Such as lead.
    let function = window.as_any().downcast_ref::<StandardWindowExpr>();
    let effect = function.map(|function| function.get_standard_func_expr().limit_effect());
    ends_ahead || effect.is_some_and(|effect| !matches!(effect, LimitEffect::None))
}
