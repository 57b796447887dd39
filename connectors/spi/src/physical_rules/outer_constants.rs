//! Columns of one value on the side of an outer join whose rows may be missing, and of one value in each part of a union.
//!
//! DataFusion believes that `one` of `a LEFT JOIN (SELECT id, 1 AS one FROM b) ..` still has one value above the join, where it
//! is NULL in the rows that meet none: it left out sorts by it. And it leaves it out of the sorts of a union's parts, each of
//! which has one value: that is right, but for the first rows in an order, where what is known of one part's rows drops
//! another's. So there such a column is a term that it does not look into.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};

use super::hidden_columns::with_hidden;

/// Hides constants below outer joins: before all rules that look at orders.
#[derive(Debug)]
pub(super) struct OuterConstants;

impl PhysicalOptimizerRule for OuterConstants {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let config = Arc::new(config.clone());
        let wants_first = plan.exists(|node| {
            let sort = node.downcast_ref::<SortExec>();
            Ok(sort.is_some_and(|sort| sort.fetch().is_some()))
        })?;
        plan.transform_up(|plan| match plan.downcast_ref::<UnionExec>() {
            Some(union) if wants_first => union_without_constants(union, &config),
            _ => hide_constants(plan, &config),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "outer_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn hide_constants(
    plan: Arc<dyn ExecutionPlan>,
    config: &Arc<ConfigOptions>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let may_miss = match join_type(plan.as_ref()) {
        Some(JoinType::Left) => [false, true],
        Some(JoinType::Right) => [true, false],
        Some(JoinType::Full) => [true, true],
        _ => return Ok(Transformed::no(plan)),
    };
    let mut inputs: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().map(Arc::clone).collect();
    let mut hidden = false;
    for (input, _) in inputs.iter_mut().zip(may_miss).filter(|(_, misses)| *misses) {
        if let Some(without) = without_constants(input, config)? {
            *input = without;
            hidden = true;
        }
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    match hidden {
        true => Ok(Transformed::yes(plan.replace_children(inputs, options)?)),
        false => Ok(Transformed::no(plan)),
    }
}

fn union_without_constants(
    union: &UnionExec,
    config: &Arc<ConfigOptions>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let plan: Arc<dyn ExecutionPlan> = Arc::new(union.clone());
    let mut inputs: Vec<Arc<dyn ExecutionPlan>> = union.inputs().to_vec();
    let mut hidden = false;
    for input in &mut inputs {
        if let Some(without) = without_constants(input, config)? {
            *input = without;
            hidden = true;
        }
    }
    match hidden {
        true => Ok(Transformed::yes(UnionExec::try_new(inputs)?)),
        false => Ok(Transformed::no(plan)),
    }
}

fn join_type(plan: &dyn ExecutionPlan) -> Option<JoinType> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(*join.join_type());
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return Some(*join.join_type());
    }
    plan.downcast_ref::<SortMergeJoinExec>()
        .map(SortMergeJoinExec::join_type)
}

/// `input` with its constant columns hidden; `None` where it has none.
fn without_constants(
    input: &Arc<dyn ExecutionPlan>,
    config: &Arc<ConfigOptions>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let constants = input.equivalence_properties().constants();
    let is_constant = |index: usize| {
        constants.iter().any(|constant| {
            let column = constant.expr.downcast_ref::<Column>();
            column.is_some_and(|column| column.index() == index)
        })
    };
    if !(0..input.schema().fields().len()).any(is_constant) {
        return Ok(None);
    }
    with_hidden(input, is_constant, config).map(Some)
}
