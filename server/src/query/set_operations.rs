//! INTERSECT ALL and EXCEPT ALL: DataFusion joins the rows of both sides, and so counts the copies of one side only.
//!
//! Here each copy of a row gets its number first, on both sides: the rows with their numbers are distinct, and the n-th
//! copy meets the n-th copy.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality, Result};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::{Expr, ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The names of the numbers of copies, which no query sees.
const NUMBERS: [&str; 2] = ["__copy_left", "__copy_right"];

/// Numbers the copies of rows below INTERSECT ALL and EXCEPT ALL.
#[derive(Debug)]
pub(super) struct CopiesOfRows;

impl AnalyzerRule for CopiesOfRows {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if counts_copies(&join) => numbered(&join).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "copies_of_rows"
    }
}

/// Whether `join` is what such a set operation is planned as. No other join takes NULL for equal to NULL so early, but
/// INTERSECT and EXCEPT, whose left side is distinct: numbers would change nothing there.
fn counts_copies(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
}

fn numbered(join: &Join) -> Result<LogicalPlan> {
    let [left_number, right_number] = NUMBERS;
    let outputs = columns(&join.left).into_iter().map(Expr::Column);
    let (mut left_keys, mut right_keys) = (columns(&join.left), columns(&join.right));
    left_keys.push(Column::from_name(left_number));
    right_keys.push(Column::from_name(right_number));
    let right = with_numbers(&join.right, right_number)?;
    LogicalPlanBuilder::from(with_numbers(&join.left, left_number)?)
        .join_detailed(
            right,
            join.join_type,
            (left_keys, right_keys),
            None,
            NullEquality::NullEqualsNull,
        )?
        .project(outputs.collect::<Vec<_>>())?
        .build()
}

fn columns(plan: &LogicalPlan) -> Vec<Column> {
    plan.schema().iter().map(Column::from).collect()
}

/// `plan` with the number of each copy of a row, from 1, in a last column.
fn with_numbers(plan: &Arc<LogicalPlan>, name: &str) -> Result<LogicalPlan> {
    let row = columns(plan).into_iter().map(Expr::Column);
    let number = row_number().partition_by(row.collect()).build()?.alias(name);
    LogicalPlanBuilder::from(Arc::clone(plan))
        .window([number])?
        .build()
}
