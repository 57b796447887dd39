//! A view inside a statement: its own query's plan stands where its name is.

use std::borrow::Cow;
use std::sync::Arc;

use causeway_spi::ViewDefinition;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};

use crate::error::{QueryError, Result};

/// A view that has been planned for one statement.
#[derive(Debug)]
pub(super) struct PlannedView {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl PlannedView {
    /// `plan` under the names of the view's columns. Errors: 0A000 when what it reads has other columns now.
    pub(super) fn new(plan: LogicalPlan, definition: &ViewDefinition) -> Result<Self> {
        let columns = definition.columns.fields();
        if plan.schema().fields().len() != columns.len() {
            let message = "the columns of what this view reads have changed";
            return Err(QueryError::not_supported(message).hint("Create the view again."));
        }
        let named = columns.iter().enumerate().map(|(index, column)| {
            let (qualifier, field) = plan.schema().qualified_field(index);
            Expr::from((qualifier, field)).alias(column.name())
        });
        let named: Vec<Expr> = named.collect();
        let plan = LogicalPlanBuilder::from(plan).project(named)?.build()?;
        let schema = Arc::clone(plan.schema().inner());
        Ok(Self { plan, schema })
    }
}

impl TableSource for PlannedView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
