//! Filters of a physical plan that move to scans: DataFusion finds their columns by name on the way down.
//!
//! Where two columns have one name, as those of joined tables do, it took one for the other: `LEFT JOIN b .. WHERE b.id IS
//! NULL` asked the scan of `a` for `id IS NULL`. So no filter passes a place where it would be looked for by name among such
//! columns; filters that begin below it move on.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

/// A rule that moves filters, in a plan with fences.
#[derive(Debug)]
pub(super) struct Fenced {
    pub(super) rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for Fenced {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let fenced = plan.transform_up(|plan| {
            Ok(match takes_by_name(plan.as_ref()) {
                true => Transformed::yes(Arc::new(Fence { below: plan }) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(plan),
            })
        })?;
        let optimized = self.rule.optimize(fenced.data, config)?;
        if !fenced.transformed {
            return Ok(optimized);
        }
        let opened = optimized.transform_up(|plan| {
            Ok(match plan.downcast_ref::<Fence>() {
                Some(fence) => Transformed::yes(Arc::clone(&fence.below)),
                None => Transformed::no(plan),
            })
        });
        opened.data()
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Whether `plan` would look for a filter's column by its name where two have it. A hash join tells the columns of its two
/// sides apart by their places, but not those of one side; a projection those below it, but not its own.
fn takes_by_name(plan: &dyn ExecutionPlan) -> bool {
    let own = has_one_name_twice(plan) && plan.downcast_ref::<HashJoinExec>().is_none();
    let mut children = plan.children().into_iter();
    own || (plan.downcast_ref::<ProjectionExec>().is_none()
        && children.any(|child| has_one_name_twice(child.as_ref())))
}

fn has_one_name_twice(plan: &dyn ExecutionPlan) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::new();
    schema.fields().iter().any(|field| !names.insert(field.name()))
}

/// What no filter passes. It stands in plans only while they are optimised.
#[derive(Debug)]
struct Fence {
    below: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Fence {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fence")
    }
}

impl ExecutionPlan for Fence {
    fn name(&self) -> &str {
        "Fence"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.below.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.below]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([below]) => Ok(Arc::new(Self { below })),
            Err(_) => internal_err!("a fence has one plan below it"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a fence is no plan to run")
    }
}
