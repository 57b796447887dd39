//! Joins of tables of one source that do not stand beside each other: `(a JOIN b) JOIN c` is `(a JOIN c) JOIN b`, if no
//! condition of `c` is on `b`.

use std::sync::Arc;

use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::logical_plan::Projection;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::input::Input;
use super::join::offered;

/// `node`, in which the source of one of its tables joins it with one of the other side's, if it does.
pub(super) fn brought_together(node: &Join) -> Result<Option<LogicalPlan>> {
    if !is_plain(node) {
        return Ok(None);
    }
    for (around, single) in [(&node.left, &node.right), (&node.right, &node.left)] {
        let (Some(inner), Some(input)) = (join_below(around), Input::of(single)) else {
            continue;
        };
        for (near, far) in [(&inner.left, &inner.right), (&inner.right, &inner.left)] {
            let shares = |near: Input<'_>| near.source.shares_source(input.source);
            if !Input::of(near).is_some_and(shares) {
                continue;
            }
            let Some(pair) = joined(node, near, single)? else {
                continue;
            };
            let pair = offered(pair, true)?;
            if !pair.transformed {
                continue;
            }
            let Some(whole) = joined(inner, &Arc::new(pair.data), far)? else {
                continue;
            };
            let columns = node.schema.columns().into_iter().map(Expr::Column).collect();
            let whole = Arc::new(LogicalPlan::Join(whole));
            let schema = Arc::clone(&node.schema);
            let projection = Projection::try_new_with_schema(columns, whole, schema)?;
            return Ok(Some(LogicalPlan::Projection(projection)));
        }
    }
    Ok(None)
}

/// The join of `left` and `right` on the conditions of `node`; `None` if these are on anything else.
fn joined(node: &Join, left: &Arc<LogicalPlan>, right: &Arc<LogicalPlan>) -> Result<Option<Join>> {
    let is_of = |expr: &Expr, plan: &LogicalPlan| {
        let mut columns = expr.column_refs().into_iter();
        columns.all(|column| plan.schema().has_column(column))
    };
    let mut on = Vec::new();
    for (one, other) in &node.on {
        if is_of(one, left) && is_of(other, right) {
            on.push((one.clone(), other.clone()));
        } else if is_of(other, left) && is_of(one, right) {
            on.push((other.clone(), one.clone()));
        } else {
            return Ok(None);
        }
    }
    let is_known = |filter: &Expr| {
        let mut columns = filter.column_refs().into_iter();
        columns.all(|column| left.schema().has_column(column) || right.schema().has_column(column))
    };
    if on.is_empty() || !node.filter.iter().all(is_known) {
        return Ok(None);
    }
    let join = Join::try_new(
        Arc::clone(left),
        Arc::clone(right),
        on,
        node.filter.clone(),
        JoinType::Inner,
        node.join_constraint,
        node.null_equality,
        node.null_aware,
    )?;
    Ok(Some(join))
}

fn is_plain(node: &Join) -> bool {
    node.join_type == JoinType::Inner
        && node.null_equality == NullEquality::NullEqualsNothing
        && !node.on.is_empty()
}

/// The inner join that `plan` is, below nothing but columns that are left out.
fn join_below(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(node) => Some(node).filter(|node| is_plain(node)),
        LogicalPlan::Projection(node) => {
            let columns = node.expr.iter().zip(node.schema.columns());
            let mut kept = columns.map(|(expr, column)| matches!(expr, Expr::Column(own) if *own == column));
            kept.all(|kept| kept).then(|| join_below(&node.input))?
        }
        _ => None,
    }
}
