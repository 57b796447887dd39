//! Numerics beside floats are floats, as in PostgreSQL: `f > 0.5` compares floats.
//!
//! DataFusion makes numerics of the floats, which fails for large ones and changes what is equal.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, cast};
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
            rewritten.map_data(LogicalPlan::recompute_schema)
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
        other => Transformed::no(other),
    }
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
