//! Joins of tables of one source, of which one has a filter that is checked here: it is as good above the join, if the join keeps
//! the rows that pass it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::logical_plan::{Filter, Projection, SubqueryAlias};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::input::{Input, inlined};
use super::join::offered;

/// A side of a join without the filters at its top.
struct Bare {
    plan: LogicalPlan,
    /// Over the columns of `plan`.
    filters: Vec<Expr>,
}

/// `node` with the filters of its sides above what the source joins, or unchanged where the source does not; `None` if there is
/// nothing to lift.
pub(super) fn lifted(node: &Join) -> Result<Option<Transformed<LogicalPlan>>> {
    let (from_left, from_right) = match node.join_type {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => (false, true),
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => return Ok(None),
    };
    let (Some(left), Some(right)) = (side(&node.left, from_left)?, side(&node.right, from_right)?) else {
        return Ok(None);
    };
    let filters: Vec<Expr> = left.filters.into_iter().chain(right.filters).collect();
    let Some(filter) = conjunction(filters) else {
        return Ok(None);
    };
    let join = Join::try_new(
        Arc::new(left.plan),
        Arc::new(right.plan),
        node.on.clone(),
        node.filter.clone(),
        node.join_type,
        node.join_constraint,
        node.null_equality,
        node.null_aware,
    )?;
    let joined = offered(join, true)?;
    if !joined.transformed {
        return Ok(Some(Transformed::no(LogicalPlan::Join(node.clone()))));
    }
    let filtered = Arc::new(LogicalPlan::Filter(Filter::try_new(
        filter,
        Arc::new(joined.data),
    )?));
    let columns = node.schema.columns().into_iter().map(Expr::Column).collect();
    let projection = Projection::try_new_with_schema(columns, filtered, Arc::clone(&node.schema))?;
    Ok(Some(Transformed::yes(LogicalPlan::Projection(projection))))
}

/// A side of a join, with its filters apart if they may be above it; `None` if its source does not do all of the rest.
fn side(plan: &LogicalPlan, may_lift: bool) -> Result<Option<Bare>> {
    let whole = || Bare {
        plan: plan.clone(),
        filters: Vec::new(),
    };
    let bare = match may_lift {
        true => bare(plan)?.unwrap_or_else(whole),
        false => whole(),
    };
    // A filter that the source checks in part is better where it is.
    let is_exact = Input::of(&bare.plan).is_some_and(|input| input.exact_scan().is_ok());
    Ok(is_exact.then_some(bare))
}

/// `plan` without its filters; `None` if it has none.
fn bare(plan: &LogicalPlan) -> Result<Option<Bare>> {
    Ok(match plan {
        // What is random is asked once for each row of the table.
        LogicalPlan::Filter(node) if !node.predicate.is_volatile() => Some(Bare {
            plan: node.input.as_ref().clone(),
            filters: vec![node.predicate.clone()],
        }),
        LogicalPlan::SubqueryAlias(node) => {
            let Some(Bare { plan, filters }) = bare(&node.input)? else {
                return Ok(None);
            };
            let inner = plan.schema().columns();
            let alias = SubqueryAlias::try_new(Arc::new(plan), node.alias.clone())?;
            let outer = alias.schema.columns().into_iter().map(Expr::Column);
            let names: HashMap<Column, Expr> = inner.into_iter().zip(outer).collect();
            over(filters, &names).map(|filters| Bare {
                plan: LogicalPlan::SubqueryAlias(alias),
                filters,
            })
        }
        LogicalPlan::Projection(node) => {
            let Some(Bare { plan, filters }) = bare(&node.input)? else {
                return Ok(None);
            };
            let mut exprs = node.expr.clone();
            let known = |exprs: &[Expr], column: &Column| {
                exprs
                    .iter()
                    .any(|expr| matches!(expr, Expr::Column(own) if own == column))
            };
            for column in filters.iter().flat_map(Expr::column_refs) {
                if !known(&exprs, column) {
                    exprs.push(Expr::Column(column.clone()));
                }
            }
            // A column that another one has the name of stays below.
            let projection = Projection::try_new(exprs, Arc::new(plan)).ok();
            projection.map(|projection| Bare {
                plan: LogicalPlan::Projection(projection),
                filters,
            })
        }
        _ => None,
    })
}

/// The filters over other columns.
fn over(filters: Vec<Expr>, names: &HashMap<Column, Expr>) -> Option<Vec<Expr>> {
    filters.iter().map(|filter| inlined(filter, names)).collect()
}
