//! Filters that leaves keep though no join makes them.
//!
//! The first rows of an order and joins hand the same kind of filter to the leaves, which look up what a join's says. One of
//! an order is complete only when the leaf has ended: there is nothing to look up by it, and no reason for joins to list keys.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use crate::scan_exec::ScanExec;

/// Takes the filters from leaves that no join makes.
#[derive(Debug)]
pub(super) struct FiltersOfJoins;

impl PhysicalOptimizerRule for FiltersOfJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = made_by_joins(&plan)?;
        let rewritten = plan.transform_up(|node| {
            let kept = match node.downcast_ref::<ScanExec>() {
                Some(leaf) => leaf.with_filters_of(&made)?,
                None => None,
            };
            Ok(match kept {
                Some(leaf) => Transformed::yes(Arc::new(leaf) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        });
        rewritten.data()
    }

    fn name(&self) -> &'static str {
        "filters_of_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The filters that the joins of `plan` make, by their ids.
fn made_by_joins(plan: &Arc<dyn ExecutionPlan>) -> Result<HashSet<u64>> {
    let mut made = HashSet::new();
    plan.apply(|node| {
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let filters = join.dynamic_expressions_produced();
            made.extend(filters.iter().filter_map(|filter| filter.expression_id()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(made)
}
