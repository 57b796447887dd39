//! Columns of a physical plan that the rules above know nothing of.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::functions::math::random;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::logical_rules::term_of_two;

/// The rows of `input`; of the columns that `is_hidden` nobody knows whether they are in an order, or have one value.
pub(super) fn with_hidden(
    input: &Arc<dyn ExecutionPlan>,
    is_hidden: impl Fn(usize) -> bool,
    config: &Arc<ConfigOptions>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let expr = match is_hidden(index) {
            true => {
                let varying = ScalarFunctionExpr::try_new(random(), vec![], &schema, Arc::clone(config))?;
                let arguments = vec![column, Arc::new(varying)];
                let term =
                    ScalarFunctionExpr::try_new(term_of_two(), arguments, &schema, Arc::clone(config))?;
                Arc::new(term)
            }
            false => column,
        };
        Ok(ProjectionExpr {
            expr,
            alias: field.name().clone(),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let projection = ProjectionExec::try_new_with_schema_metadata(columns, Arc::clone(input), &schema)?;
    Ok(Arc::new(projection))
}
