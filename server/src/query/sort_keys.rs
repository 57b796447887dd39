//! Keys of orders as DataFusion can use them.
//!
//! A key that stands twice in an aggregate decides nothing the second time, and `first_value`, which DISTINCT ON becomes,
//! panics over it. Scalar subqueries in DISTINCT ON are planned in a projection only, which is put below.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Distinct, DistinctOn, Projection};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Makes columns of the subqueries in DISTINCT ON.
#[derive(Debug)]
pub(super) struct KeysOfDistinctOn;

impl AnalyzerRule for KeysOfDistinctOn {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Distinct(Distinct::On(on)) = plan else {
                return Ok(Transformed::no(plan));
            };
            let on = subqueries_below(on)?;
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "keys_of_distinct_on"
    }
}

/// An optimised plan whose aggregates are ordered by each key once: simplified, two may have become one.
pub(super) fn each_key_once(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        if !matches!(plan, LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| Ok(once(expr)))?;
            Ok(match rewritten.transformed {
                true => rewritten.update_data(|expr| name.restore(expr)),
                false => rewritten,
            })
        })
    })?;
    Ok(rewritten.data)
}

fn once(expr: Expr) -> Transformed<Expr> {
    let Expr::AggregateFunction(mut call) = expr else {
        return Transformed::no(expr);
    };
    let mut seen: Vec<Expr> = Vec::new();
    let given = call.params.order_by.len();
    call.params.order_by.retain(|key| {
        let key = key.expr.clone().unalias_nested().data;
        let is_new = !seen.contains(&key);
        seen.push(key);
        is_new
    });
    let fewer = call.params.order_by.len() < given;
    Transformed::new_transformed(Expr::AggregateFunction(call), fewer)
}

fn subqueries_below(on: DistinctOn) -> Result<DistinctOn> {
    let mut found: Vec<Expr> = Vec::new();
    let names = NamePreserver::new_for_projection();
    let mut replaced = |expr: Expr| -> Result<Expr> {
        let name = names.save(&expr);
        let replaced = expr.transform_up(|expr| {
            if !matches!(expr, Expr::ScalarSubquery(_)) {
                return Ok(Transformed::no(expr));
            }
            let number = match found.iter().position(|known| known == &expr) {
                Some(number) => number,
                None => {
                    found.push(expr);
                    found.len() - 1
                }
            };
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(
                column_name(number),
            ))))
        })?;
        Ok(match replaced.transformed {
            true => name.restore(replaced.data),
            false => replaced.data,
        })
    };
    let on_expr = on.on_expr.into_iter().map(&mut replaced);
    let on_expr = on_expr.collect::<Result<Vec<_>>>()?;
    let select_expr = on.select_expr.into_iter().map(&mut replaced);
    let select_expr = select_expr.collect::<Result<Vec<_>>>()?;
    let mut sort_expr = on.sort_expr;
    for key in sort_expr.iter_mut().flatten() {
        key.expr = replaced(std::mem::take(&mut key.expr))?.unalias();
    }
    let mut input = on.input;
    if !found.is_empty() {
        let columns = input
            .schema()
            .iter()
            .map(|field| Expr::Column(Column::from(field)));
        let subqueries = found.into_iter().enumerate();
        let subqueries = subqueries.map(|(number, expr)| expr.alias(column_name(number)));
        let columns = columns.chain(subqueries).collect();
        input = Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?));
    }
    Ok(DistinctOn {
        on_expr: on_expr.into_iter().map(Expr::unalias).collect(),
        select_expr,
        sort_expr,
        input,
        schema: on.schema,
    })
}

/// The name of the column of a subquery, which no table's has.
fn column_name(number: usize) -> String {
    format!("\u{0}subquery{number}")
}
