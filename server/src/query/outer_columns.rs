//! Columns of outer queries that subqueries name: they carry the type with which they were planned.
//!
//! Where the outer query's types change after that, by its literals or by the law of numerics, theirs have to follow: the
//! subquery becomes a join, whose keys would be of two types.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::expressions::InputSchema;
use super::types::with_types_of_inputs;

/// Gives columns of outer queries the types that these have.
#[derive(Debug)]
pub(super) struct OuterColumns;

impl AnalyzerRule for OuterColumns {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        with_types(plan)
    }

    fn name(&self) -> &'static str {
        "outer_columns"
    }
}

/// `plan` with the types of outer columns as they are now.
pub(super) fn with_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut is_correlated = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            is_correlated |= expr.contains_outer();
            Ok(match is_correlated {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })
    })?;
    if !is_correlated {
        return Ok(plan);
    }
    // From the outermost on: what is nearer has the last word.
    let typed = plan.transform_down_with_subqueries(|node| {
        let schema = InputSchema::of(&node);
        let node = node.map_subqueries(|subquery| typed_by(subquery, &schema))?;
        node.transform_data(|node| match node {
            // Of which the right side may be LATERAL.
            LogicalPlan::Join(mut join) => {
                let right = Arc::unwrap_or_clone(join.right);
                join.right = Arc::new(typed_by(right, join.left.schema())?.data);
                Ok(Transformed::yes(LogicalPlan::Join(join)))
            }
            other => Ok(Transformed::no(other)),
        })
    })?;
    let planned = typed
        .data
        .transform_up_with_subqueries(|node| with_types_of_inputs(node).map(Transformed::yes))?;
    Ok(planned.data)
}

/// Gives columns of an outer query in `plan` their types in `schema`, if they are there.
fn typed_by(plan: LogicalPlan, schema: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    let typed = |expr: Expr| {
        expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(field, column) => {
                let found = schema.qualified_field_from_column(&column);
                let field = found.map_or(field, |(_, found)| Arc::clone(found));
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })
    };
    plan.transform_up_with_subqueries(|mut node| {
        if let LogicalPlan::Subquery(subquery) = &mut node {
            for column in &mut subquery.outer_ref_columns {
                *column = typed(std::mem::take(column))?.data;
            }
        }
        node.map_expressions(typed)
    })
}
