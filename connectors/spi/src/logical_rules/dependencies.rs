//! What the columns of joins are believed to determine.
//!
//! DataFusion takes a key of one side of a join for columns that determine that side's. An aggregate above, as DISTINCT is one,
//! takes it for a key of all its own columns, those of the other side as well: sorts and groups by these were left out, and a
//! join with it might be. So joins determine nothing.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{FunctionalDependencies, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Forgets what joins determine: before each rule that asks, since those between them make joins anew.
#[derive(Debug)]
pub(super) struct JoinsDetermineNothing;

impl OptimizerRule for JoinsDetermineNothing {
    fn name(&self) -> &'static str {
        "joins_determine_nothing"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut found = false;
        plan.apply_with_subqueries(|node| {
            found |= determines(node);
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        if !found {
            return Ok(Transformed::no(plan));
        }
        let mut is_changed = false;
        plan.transform_up_with_subqueries(|node| match node {
            node if determines(&node) => {
                is_changed = true;
                forgetful(node).map(Transformed::yes)
            }
            // Its schema says of its inputs' no more than it did.
            LogicalPlan::Join(_) => Ok(Transformed::no(node)),
            node if is_changed => node.recompute_schema().map(Transformed::yes),
            node => Ok(Transformed::no(node)),
        })
    }
}

fn determines(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if !join.schema.functional_dependencies().is_empty())
}

fn forgetful(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Join(mut join) = plan else {
        return Ok(plan);
    };
    let schema = join.schema.as_ref().clone();
    join.schema = Arc::new(schema.with_functional_dependencies(FunctionalDependencies::empty())?);
    Ok(LogicalPlan::Join(join))
}
