//! Projections that move down a physical plan, past filters that have one of their own.
//!
//! DataFusion puts a projection below such a filter as it stands above it: with the places of the filter's output, in its
//! input. Most end in an internal error, and columns of one name could be taken for each other. So the filters' own
//! projections stand above them while it moves projections; it puts them back.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

/// The name of DataFusion's rule that moves projections.
pub(super) const RULE: &str = "ProjectionPushdown";

/// That rule, in a plan whose filters have no projections.
#[derive(Debug)]
pub(super) struct PastPlainFilters {
    pub(super) rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl PhysicalOptimizerRule for PastPlainFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plain = plan.transform_up(|plan| {
            Ok(match plan.downcast_ref::<FilterExec>() {
                Some(filter) if filter.projection().is_some() => Transformed::yes(plain(filter)?),
                _ => Transformed::no(plan),
            })
        });
        self.rule.optimize(plain.data()?, config)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// The projection of `filter` above it.
fn plain(filter: &FilterExec) -> Result<Arc<dyn ExecutionPlan>> {
    let whole = FilterExecBuilder::from(filter).apply_projection(None)?.build()?;
    let schema = whole.schema();
    let columns = filter.projection().iter().flat_map(|places| places.iter());
    let columns = columns.map(|&place| {
        let name = schema.field(place).name();
        ProjectionExpr {
            expr: Arc::new(Column::new(name, place)),
            alias: name.clone(),
        }
    });
    let columns: Vec<ProjectionExpr> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, Arc::new(whole))?))
}
