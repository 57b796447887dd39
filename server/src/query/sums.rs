//! The sum of bigints is numeric, as in PostgreSQL: it may be larger than a bigint, where DataFusion's wraps around.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

/// Digits of the largest bigint.
const BIGINT: DataType = DataType::Decimal128(19, 0);

/// Sums bigints as numerics. Runs before types are made equal.
#[derive(Debug)]
pub(super) struct WideSums;

impl AnalyzerRule for WideSums {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            let rewritten = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| Ok(wide(expr, &schema)))?;
                Ok(if rewritten.transformed {
                    rewritten.update_data(|expr| name.restore(expr))
                } else {
                    rewritten
                })
            })?;
            // Above a sum that has changed its type, others change theirs.
            rewritten.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "wide_sums"
    }
}

fn wide(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, mut params }) if func.name() == "sum" => {
            let widened = widen(&mut params.args, schema);
            let expr = Expr::AggregateFunction(AggregateFunction { func, params });
            Transformed::new_transformed(expr, widened)
        }
        Expr::WindowFunction(mut window) => {
            let WindowFunction { fun, params } = window.as_mut();
            let is_sum = matches!(fun, WindowFunctionDefinition::AggregateUDF(func) if func.name() == "sum");
            let widened = is_sum && widen(&mut params.args, schema);
            Transformed::new_transformed(Expr::WindowFunction(window), widened)
        }
        other => Transformed::no(other),
    }
}

fn widen(args: &mut [Expr], schema: &DFSchema) -> bool {
    let [arg] = args else {
        return false;
    };
    if !matches!(arg.get_type(schema), Ok(DataType::Int64)) {
        return false;
    }
    *arg = cast(std::mem::take(arg), BIGINT);
    true
}
