//! Integer arithmetic that does not fit is 22003, as in PostgreSQL; DataFusion's own wraps around.
//!
//! The plan keeps `+`, `-` and `*` while it is optimised, so that filters are pushed, simplified and turned round as
//! ever. [`check_arithmetic`] replaces them once, over the finished plan. What has no column would be computed during
//! planning: [`CheckedConstants`] replaces it before.

use std::sync::Arc;

use datafusion::arrow::array::Datum;
use datafusion::arrow::compute::kernels::numeric::{add, mul, sub};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;

/// Checks the arithmetic of an optimised plan. Scans keep theirs: sources decline filters with arithmetic.
pub(super) fn check_arithmetic(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite(plan, &|_| true)
}

/// Checks arithmetic without columns. Runs after types are made equal, before anything is computed.
#[derive(Debug)]
pub(super) struct CheckedConstants;

impl AnalyzerRule for CheckedConstants {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, &|expr| !expr.any_column_refs())
    }

    fn name(&self) -> &'static str {
        "checked_constants"
    }
}

fn rewrite(plan: LogicalPlan, wanted: &dyn Fn(&Expr) -> bool) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        if matches!(plan, LogicalPlan::TableScan(_) | LogicalPlan::Limit(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| Ok(checked(expr, &schema, wanted)))?;
            Ok(if rewritten.transformed {
                rewritten.update_data(|expr| name.restore(expr))
            } else {
                rewritten
            })
        })
    })?;
    Ok(rewritten.data)
}

fn checked(expr: Expr, schema: &DFSchema, wanted: &dyn Fn(&Expr) -> bool) -> Transformed<Expr> {
    let is_integer = |expr: &Expr| matches!(expr.get_type(schema), Ok(found) if found.is_signed_integer());
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if Arithmetic::of(op).is_some() && is_integer(&left) && is_integer(&right) =>
        {
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            if !wanted(&expr) {
                return Transformed::no(expr);
            }
            match (Arithmetic::of(op), expr) {
                (Some(operator), Expr::BinaryExpr(BinaryExpr { left, right, .. })) => {
                    Transformed::yes(call(operator, *left, *right))
                }
                (_, expr) => Transformed::no(expr),
            }
        }
        Expr::Negative(inner) if is_integer(&inner) && wanted(&inner) => {
            let zero = inner
                .get_type(schema)
                .and_then(|found| ScalarValue::new_zero(&found));
            match zero {
                Ok(zero) => Transformed::yes(call(Arithmetic::Minus, Expr::Literal(zero, None), *inner)),
                Err(_) => Transformed::no(Expr::Negative(inner)),
            }
        }
        other => Transformed::no(other),
    }
}

fn call(operator: Arithmetic, left: Expr, right: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::from(Checked::new(operator)));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![left, right]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Arithmetic {
    Plus,
    Minus,
    Multiply,
}

impl Arithmetic {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Multiply),
            _ => None,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Multiply => "*",
        }
    }

    fn kernel(self) -> fn(&dyn Datum, &dyn Datum) -> Result<datafusion::arrow::array::ArrayRef, ArrowError> {
        match self {
            Self::Plus => add,
            Self::Minus => sub,
            Self::Multiply => mul,
        }
    }
}

/// Two integers of one type to one of the same, or 22003.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operator: Arithmetic,
    signature: Signature,
}

impl Checked {
    fn new(operator: Arithmetic) -> Self {
        Self {
            operator,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operator {
            Arithmetic::Plus => "checked_plus",
            Arithmetic::Minus => "checked_minus",
            Arithmetic::Multiply => "checked_multiply",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
        Ok(shown.join(&format!(" {} ", self.operator.sign())))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left, right] if left == right => Ok(left.clone()),
            [DataType::Null, other] | [other, DataType::Null] => Ok(other.clone()),
            _ => Err(DataFusionError::Internal(format!(
                "checked arithmetic of {types:?}"
            ))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("arithmetic has two sides".to_owned()));
        };
        apply(left, right, self.operator.kernel()).map_err(|error| out_of_range(error, &left.data_type()))
    }
}

fn out_of_range(error: DataFusionError, data_type: &DataType) -> DataFusionError {
    match &error {
        DataFusionError::ArrowError(arrow, _) if matches!(**arrow, ArrowError::ArithmeticOverflow(_)) => {
            let name = match data_type {
                DataType::Int64 => "bigint",
                DataType::Int16 | DataType::Int8 => "smallint",
                _ => "integer",
            };
            DataFusionError::Execution(format!("{name} out of range"))
        }
        _ => error,
    }
}
