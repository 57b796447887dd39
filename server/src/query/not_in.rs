//! NOT IN with a subquery, where DataFusion's own join for it does not know NULL or has more than one key.
//!
//! In a WHERE or HAVING NULL has the effect of false, as far down as AND and OR reach. There `x NOT IN (SELECT y ..)` is true
//! exactly where no row of the subquery makes `x = y` true or NULL, which is a NOT EXISTS. A NOT IN that is a condition of
//! its own and whose subquery stands alone is left to DataFusion: its join finds the rows by a hash.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::logical_plan::{Filter, Subquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit, not};

/// Writes NOT EXISTS for NOT IN in the conditions of `plan`, where that is needed.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = node else {
            return Ok(Transformed::no(node));
        };
        if !filter
            .predicate
            .exists(|expr| Ok(matches!(expr, Expr::InSubquery(_))))?
        {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let schema = Arc::clone(filter.input.schema());
        let mut parts = Vec::new();
        for part in split_conjunction_owned(filter.predicate) {
            parts.push(match is_joined(&part) {
                true => part,
                false => condition(part, false, &schema)?,
            });
        }
        let predicate = conjunction(parts).unwrap_or_else(|| lit(true));
        Filter::try_new(predicate, filter.input).map(|filter| Transformed::yes(LogicalPlan::Filter(filter)))
    })?;
    Ok(rewritten.data)
}

/// Whether DataFusion makes a join of this condition that knows NULL: a NOT IN of a column, with a subquery that stands alone.
pub(super) fn is_joined(condition: &Expr) -> bool {
    let alone = match condition {
        Expr::InSubquery(found) => Some(found).filter(|found| found.negated),
        Expr::Not(inner) => match inner.as_ref() {
            Expr::InSubquery(found) => Some(found).filter(|found| !found.negated),
            _ => None,
        },
        _ => None,
    };
    alone.is_some_and(|found| {
        !found.expr.column_refs().is_empty() && found.subquery.outer_ref_columns.is_empty()
    })
}

/// Whether the left side of an IN or a column of its subquery may be NULL.
pub(super) fn may_be_null(found: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let column = found.subquery.subquery.schema().fields().first();
    Ok(found.expr.nullable(schema)? || column.is_none_or(|column| column.is_nullable()))
}

/// `expr`, or its negation, where NULL has the effect of false: with the negations moved down to what they negate.
fn condition(expr: Expr, negated: bool, schema: &DFSchema) -> Result<Expr> {
    if !expr.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_))))? {
        return Ok(if negated { not(expr) } else { expr });
    }
    match expr {
        Expr::Not(inner) => condition(*inner, !negated, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if matches!(op, Operator::And | Operator::Or) => {
            let op = match (op, negated) {
                (Operator::And, false) | (Operator::Or, true) => Operator::And,
                _ => Operator::Or,
            };
            let left = condition(*left, negated, schema)?;
            let right = condition(*right, negated, schema)?;
            Ok(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                op,
                Box::new(right),
            )))
        }
        Expr::InSubquery(found) if found.negated != negated && can_move(&found.expr)? => {
            not_exists(found, schema)
        }
        other => Ok(if negated { not(other) } else { other }),
    }
}

/// Whether the left side of a NOT IN means the same inside of the subquery, and may be asked more than once.
fn can_move(expr: &Expr) -> Result<bool> {
    let is_bound = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
        ))
    })?;
    Ok(!is_bound && !expr.is_volatile())
}

fn not_exists(found: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let may_be_null = may_be_null(&found, schema)?;
    let InSubquery { expr, subquery, .. } = found;
    let Subquery {
        subquery,
        mut outer_ref_columns,
        spans,
    } = subquery;
    let outer = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let (_, field) = schema.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(
                Arc::clone(field),
                column,
            )))
        }
        other => Ok(Transformed::no(other)),
    })?;
    outer.data.apply(|expr| {
        if matches!(expr, Expr::OuterReferenceColumn(..)) && !outer_ref_columns.contains(expr) {
            outer_ref_columns.push(expr.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let column = Column::from(subquery.schema().qualified_field(0));
    let equal = outer.data.eq(Expr::Column(column));
    let predicate = match may_be_null {
        true => equal.is_not_false(),
        false => equal,
    };
    let filter = Filter::try_new(predicate, subquery)?;
    Ok(Expr::Exists(Exists {
        subquery: Subquery {
            subquery: Arc::new(LogicalPlan::Filter(filter)),
            outer_ref_columns,
            spans,
        },
        negated: true,
    }))
}
