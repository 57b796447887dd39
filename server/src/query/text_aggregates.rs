//! Several `string_agg` of one query in orders of their own.
//!
//! DataFusion's wants its rows in order, so that it refuses two orders. `array_agg` sorts what it has collected: where orders
//! differ, the texts are collected by it and joined above.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_nested::string::array_to_string_udf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::logical_plan::{Aggregate, Projection};
use datafusion::logical_expr::{Expr, LogicalPlan, and, cast};
use datafusion::optimizer::AnalyzerRule;

use super::averages::is_grouping_id;

/// Collects what is joined in different orders.
#[derive(Debug)]
pub(super) struct TextsInOrders;

impl AnalyzerRule for TextsInOrders {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) if has_several_orders(&aggregate) => {
                collected(aggregate).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "texts_in_orders"
    }
}

/// The parts of a `string_agg` in an order, with a delimiter that is the same for all rows.
fn ordered_texts(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => ordered_texts(&alias.expr),
        Expr::AggregateFunction(call) if call.func.name() == "string_agg" => {
            let [_, delimiter] = call.params.args.as_slice() else {
                return None;
            };
            (!call.params.order_by.is_empty() && !delimiter.any_column_refs()).then_some(call)
        }
        _ => None,
    }
}

fn has_several_orders(aggregate: &Aggregate) -> bool {
    let mut orders: Vec<&Vec<Sort>> = Vec::new();
    for call in aggregate.aggr_expr.iter().filter_map(ordered_texts) {
        if !orders.contains(&&call.params.order_by) {
            orders.push(&call.params.order_by);
        }
    }
    orders.len() > 1
}

fn collected(aggregate: Aggregate) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = aggregate
        .schema
        .iter()
        .map(|field| Expr::Column(Column::from(field)))
        .collect();
    let keys = columns.len() - aggregate.aggr_expr.len();
    let mut calls = aggregate.aggr_expr;
    for (number, expr) in calls.iter_mut().enumerate() {
        let Some(call) = ordered_texts(expr) else { continue };
        let (qualifier, field) = aggregate.schema.qualified_field(keys + number);
        let name = format!("\u{0}texts{number}");
        let params = &call.params;
        let (text, delimiter) = (params.args[0].clone(), params.args[1].clone());
        let is_there = text.clone().is_not_null();
        let filter = match &params.filter {
            Some(filter) => and(filter.as_ref().clone(), is_there),
            None => is_there,
        };
        let texts = AggregateFunction::new_udf(
            array_agg_udaf(),
            vec![text],
            params.distinct,
            Some(Box::new(filter)),
            params.order_by.clone(),
            None,
        );
        let joined =
            array_to_string_udf().call(vec![Expr::Column(Column::new_unqualified(&name)), delimiter]);
        columns[keys + number] =
            cast(joined, field.data_type().clone()).alias_qualified(qualifier.cloned(), field.name());
        *expr = Expr::AggregateFunction(texts).alias(name);
    }
    // What is computed of it is computed below, and rules below leave it out.
    columns.retain(|column| !is_grouping_id(column));
    let aggregate = Aggregate::try_new(aggregate.input, aggregate.group_expr, calls)?;
    let projection = Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(aggregate)))?;
    Ok(LogicalPlan::Projection(projection))
}
