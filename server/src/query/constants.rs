//! Terms without columns whose value is an error: an error of the statement, even if no row asks for it, as in PostgreSQL.
//!
//! DataFusion leaves such a term as it is, and fails where a row gets there. Of what stands in a CASE or another term that
//! chooses, nobody knows whether it is asked for: it waits for a row here, too.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Volatility};
use datafusion::physical_expr::create_physical_expr;

use crate::error::QueryError;

/// The SQLSTATEs of what is wrong with a value.
const DATA_EXCEPTION: &str = "22";
/// Functions that leave out arguments which they do not need.
const CHOOSING: [&str; 3] = ["coalesce", "nvl", "nvl2"];

/// Computes the constants of an analysed plan. Errors: those of PostgreSQL's class 22.
pub(super) fn check(plan: &LogicalPlan, state: &SessionState) -> Result<()> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    plan.apply_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::TableScan(_)) {
            node.apply_expressions(|expr| expr.apply(|term| check_term(term, &row, state)))?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn check_term(term: &Expr, row: &RecordBatch, state: &SessionState) -> Result<TreeNodeRecursion> {
    match term {
        Expr::Literal(..) | Expr::Case(_) => return Ok(TreeNodeRecursion::Jump),
        Expr::ScalarFunction(call) if CHOOSING.contains(&call.name()) => return Ok(TreeNodeRecursion::Jump),
        // What its left side says may be enough.
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::And | Operator::Or,
            left,
            ..
        }) => {
            return Ok(match is_constant(left)? {
                true => TreeNodeRecursion::Jump,
                false => TreeNodeRecursion::Continue,
            });
        }
        _ if is_constant(term)? => {}
        _ => return Ok(TreeNodeRecursion::Continue),
    }
    let context = PhysicalPlanningContext::default();
    let value = create_physical_expr(term, &DFSchema::empty(), state.execution_props(), &context)
        .and_then(|computed| computed.evaluate(row));
    match value.map_err(QueryError::from) {
        Err(error) if error.state.code().starts_with(DATA_EXCEPTION) => {
            Err(DataFusionError::External(Box::new(error)))
        }
        _ => Ok(TreeNodeRecursion::Jump),
    }
}

/// Whether `term` has the same value whenever and wherever it is computed.
fn is_constant(term: &Expr) -> Result<bool> {
    let varies = term.exists(|part| {
        Ok(match part {
            Expr::ScalarFunction(call) => {
                call.func.signature().volatility != Volatility::Immutable || CHOOSING.contains(&call.name())
            }
            Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::InList(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotNull(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsUnknown(_)
            | Expr::Like(_)
            | Expr::Negative(_)
            | Expr::Not(_)
            | Expr::TryCast(_) => false,
            _ => true,
        })
    })?;
    Ok(!varies)
}
