//! Numerics beside floats are floats, as in PostgreSQL: `f > 0.5` compares floats.
//!
//! DataFusion makes numerics of the floats, which fails for large ones and changes what is equal.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Union;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast,
};
use datafusion::optimizer::AnalyzerRule;

/// Casts numerics that are compared or computed with floats. Runs before types are made equal.
#[derive(Debug)]
pub(super) struct FloatsBesideNumerics;

impl AnalyzerRule for FloatsBesideNumerics {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            let rewritten = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| Ok(beside_floats(expr, &schema)))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })?;
            rewritten
                .transform_data(union_of_floats)?
                .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "floats_beside_numerics"
    }
}

fn beside_floats(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if mixed(&[&left, &right], schema) => {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left: as_float(*left),
                op,
                right: as_float(*right),
            }))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) if mixed(&[&expr, &low, &high], schema) => Transformed::yes(Expr::Between(Between {
            expr: as_float(*expr),
            negated,
            low: as_float(*low),
            high: as_float(*high),
        })),
        Expr::InList(InList { expr, list, negated })
            if mixed(
                &std::iter::once(expr.as_ref()).chain(&list).collect::<Vec<_>>(),
                schema,
            ) =>
        {
            let list = list.into_iter().map(|item| cast(item, DataType::Float64));
            Transformed::yes(Expr::InList(InList {
                list: list.collect(),
                expr: as_float(*expr),
                negated,
            }))
        }
        Expr::Case(mut case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            let results: Vec<&Expr> = branches.chain(case.else_expr.as_deref()).collect();
            if !mixed(&results, schema) {
                return Transformed::no(Expr::Case(case));
            }
            for (_, then) in &mut case.when_then_expr {
                *then = as_float(std::mem::take(then.as_mut()));
            }
            case.else_expr = case.else_expr.map(|result| as_float(*result));
            Transformed::yes(Expr::Case(case))
        }
        Expr::ScalarFunction(mut function)
            if ["coalesce", "greatest", "least", "nullif", "nvl"].contains(&function.name())
                && mixed(&function.args.iter().collect::<Vec<_>>(), schema) =>
        {
            let args = std::mem::take(&mut function.args);
            function.args = args.into_iter().map(|arg| *as_float(arg)).collect();
            Transformed::yes(Expr::ScalarFunction(function))
        }
        other => Transformed::no(other),
    }
}

/// The parts of a union, with floats where one part has floats and another numerics.
fn union_of_floats(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(mut union) = plan else {
        return Ok(Transformed::no(plan));
    };
    let has = |index: usize, wanted: fn(&DataType) -> bool| {
        union.inputs.iter().any(|input| {
            input
                .schema()
                .fields()
                .get(index)
                .is_some_and(|field| wanted(field.data_type()))
        })
    };
    let columns = 0..union.schema.fields().len();
    let floats: Vec<bool> = columns
        .map(|index| has(index, DataType::is_decimal) && has(index, DataType::is_floating))
        .collect();
    if !floats.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    for input in &mut union.inputs {
        let columns = input
            .schema()
            .iter()
            .zip(&floats)
            .map(|((qualifier, field), float)| {
                let column = Expr::from((qualifier, field));
                if *float && field.data_type().is_decimal() {
                    as_float(column).alias_qualified(qualifier.cloned(), field.name())
                } else {
                    column
                }
            });
        let columns: Vec<Expr> = columns.collect();
        let projected = LogicalPlanBuilder::from(input.as_ref().clone())
            .project(columns)?
            .build()?;
        *input = Arc::new(projected);
    }
    let union = Union::try_new_with_loose_types(union.inputs)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// Whether there are numerics and floats, and nothing but numbers beside them.
fn mixed(expressions: &[&Expr], schema: &DFSchema) -> bool {
    let (mut numerics, mut floats) = (false, false);
    for expr in expressions {
        match expr.get_type(schema) {
            Ok(found) if found.is_decimal() => numerics = true,
            Ok(found) if found.is_floating() => floats = true,
            Ok(found) if found.is_integer() || found.is_null() => {}
            _ => return false,
        }
    }
    numerics && floats
}

fn as_float(expr: Expr) -> Box<Expr> {
    Box::new(cast(expr, DataType::Float64))
}
