//! Limits that DataFusion moves below window functions, to the sort that these need.
//!
//! It sorts no more rows than the limit, and those after them that the last row's frame holds. Where the rows are in several
//! partitions, that is more than their sorts keep: these agree on what the first rows of all are, and drop the rest, so that
//! the last rows of a partition have lost the next ones. Some of them are among the rows that the limit takes.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{LimitEffect, WindowFrameBound};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

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
    let is_window = plan.downcast_ref::<WindowAggExec>().is_some()
        || plan.downcast_ref::<BoundedWindowAggExec>().is_some();
    is_window || matches!(plan.children().as_slice(), [input] if is_above_window(input))
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
