//! The negative zero equals the other one wherever floats are compared, as in PostgreSQL.
//!
//! DataFusion's `=`, joins and groups know it. Its sorts, windows, IN lists, simple CASE, `nullif` and the filters that joins
//! give to scans compare bits: what they compare goes through [`UnsignedZero`] first.

use datafusion::arrow::array::{Float32Array, Float64Array, Scalar};
use datafusion::arrow::compute::kernels::numeric::add;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Case, InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

use super::expressions::{InputSchema, rewritten};

/// Makes one zero of two where bits would be compared. Runs after types are made equal.
#[derive(Debug)]
pub(super) struct EqualZeros;

impl AnalyzerRule for EqualZeros {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            if matches!(plan, LogicalPlan::TableScan(_)) {
                return Ok(Transformed::no(plan));
            }
            let schema = InputSchema::of(&plan);
            let sorts = matches!(plan, LogicalPlan::Sort(_));
            let plan = with_equal_keys(plan, &schema);
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let compared = rewritten(expr, &names, may_compare_bits, |expr| {
                    expr.transform_up(|expr| Ok(compared(expr, &schema)))
                })?;
                match sorts {
                    true => compared.transform_data(|expr| Ok(unsigned(expr, &schema))),
                    false => Ok(compared),
                }
            })
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "equal_zeros"
    }
}

/// `plan` with the keys that order the rows of DISTINCT ON made equal.
fn with_equal_keys(plan: LogicalPlan, schema: &DFSchema) -> LogicalPlan {
    match plan {
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            // Which have to be alike.
            let sorted = on.sort_expr.iter_mut().flatten().map(|key| &mut key.expr);
            for key in on.on_expr.iter_mut().chain(sorted) {
                *key = unsigned(std::mem::take(key), schema).data;
            }
            LogicalPlan::Distinct(Distinct::On(on))
        }
        other => other,
    }
}

/// `plan` with the keys of its joins made equal: the list of keys that a join gives a scan as a filter compares bits. The
/// optimiser makes joins, so that this is for a finished plan.
pub(super) fn equal_join_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Join(mut join) = plan else {
            return Ok(Transformed::no(plan));
        };
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let mut changed = false;
        for (left, right) in &mut join.on {
            for (key, schema) in [(left, left_schema), (right, right_schema)] {
                let rewritten = unsigned(std::mem::take(key), schema);
                changed |= rewritten.transformed;
                *key = rewritten.data;
            }
        }
        Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
    })?;
    Ok(rewritten.data)
}

/// What [`compared`] looks at.
fn may_compare_bits(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => function.name() == "nullif",
        Expr::Case(case) => case.expr.is_some(),
        Expr::InList(_) | Expr::WindowFunction(_) | Expr::AggregateFunction(_) | Expr::Negative(_) => true,
        _ => false,
    }
}

fn compared(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::InList(InList { expr, list, negated }) if is_float(&expr, schema) => {
            let list = list.into_iter().map(|item| unsigned(item, schema).data);
            Transformed::yes(Expr::InList(InList {
                list: list.collect(),
                expr: Box::new(unsigned(*expr, schema).data),
                negated,
            }))
        }
        Expr::Case(Case {
            expr: Some(tested),
            when_then_expr,
            else_expr,
        }) if is_float(&tested, schema) => {
            let branches = when_then_expr
                .into_iter()
                .map(|(when, then)| (Box::new(unsigned(*when, schema).data), then));
            Transformed::yes(Expr::Case(Case {
                when_then_expr: branches.collect(),
                expr: Some(Box::new(unsigned(*tested, schema).data)),
                else_expr,
            }))
        }
        Expr::ScalarFunction(function) if function.name() == "nullif" => null_if(function, schema),
        Expr::WindowFunction(mut window) => {
            let mut changed = false;
            let params = &mut window.params;
            let sorted = params.order_by.iter_mut().map(|sort| &mut sort.expr);
            for key in params.partition_by.iter_mut().chain(sorted) {
                let rewritten = unsigned(std::mem::take(key), schema);
                changed |= rewritten.transformed;
                *key = rewritten.data;
            }
            Transformed::new_transformed(Expr::WindowFunction(window), changed)
        }
        Expr::AggregateFunction(mut call) => {
            // The hash set of what is distinct compares bits.
            let counted = call.params.distinct && call.func.name() == "count";
            let counted = call.params.args.iter_mut().filter(|_| counted);
            let sorted = call.params.order_by.iter_mut().map(|sort| &mut sort.expr);
            let mut changed = false;
            for key in counted.chain(sorted) {
                let rewritten = unsigned(std::mem::take(key), schema);
                changed |= rewritten.transformed;
                *key = rewritten.data;
            }
            Transformed::new_transformed(Expr::AggregateFunction(call), changed)
        }
        // The sign of NaN, which a product keeps, is compared too: a negative one would be the least of all.
        Expr::Negative(inner) if is_float(&inner, schema) => {
            let minus_one = match inner.get_type(schema) {
                Ok(DataType::Float32) => ScalarValue::Float32(Some(-1.0)),
                _ => ScalarValue::Float64(Some(-1.0)),
            };
            Transformed::yes(*inner * Expr::Literal(minus_one, None))
        }
        other => Transformed::no(other),
    }
}

/// `CASE WHEN a = b THEN NULL ELSE a END`, which keeps the sign of what is not NULL.
fn null_if(function: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    match function.args.as_slice() {
        [value, other] if is_float(value, schema) => {
            let null = value
                .get_type(schema)
                .and_then(|data_type| ScalarValue::try_from(&data_type));
            let Ok(null) = null else {
                return Transformed::no(Expr::ScalarFunction(function));
            };
            let equal = value.clone().eq(other.clone());
            Transformed::yes(Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(Box::new(equal), Box::new(Expr::Literal(null, None)))],
                else_expr: Some(Box::new(value.clone())),
            }))
        }
        _ => Transformed::no(Expr::ScalarFunction(function)),
    }
}

fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Float32 | DataType::Float64))
}

/// A float without the sign of its zero; everything else, and what is never a negative zero, as they are.
fn unsigned(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let never = match &expr {
        Expr::Literal(ScalarValue::Float64(value), _) => value.is_none_or(|value| value != 0.0),
        Expr::Literal(ScalarValue::Float32(value), _) => value.is_none_or(|value| value != 0.0),
        // A whole number has one zero, and its join can still look it up.
        Expr::Cast(cast) => matches!(cast.expr.get_type(schema), Ok(found) if found.is_integer()),
        // A field of a moment is a whole number in parts, and its comparison can still become a range.
        Expr::ScalarFunction(call) => call.name() == "date_part",
        _ => false,
    };
    if never || !is_float(&expr, schema) {
        return Transformed::no(expr);
    }
    let function = Arc::new(ScalarUDF::from(UnsignedZero::new()));
    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
        function,
        vec![expr],
    )))
}

/// A float plus zero, which is positive for both zeros.
#[derive(Debug, PartialEq, Eq, Hash)]
struct UnsignedZero {
    signature: Signature,
}

impl UnsignedZero {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for UnsignedZero {
    fn name(&self) -> &'static str {
        "unsigned_zero"
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(ToString::to_string).unwrap_or_default())
    }

    /// With its casts, which the engine's own names leave out: two keys of a join may differ in them only.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
        Ok(format!("unsigned_zero({})", shown.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            _ => internal_err!("unsigned_zero takes one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [values] = arrays.as_slice() else {
            return internal_err!("unsigned_zero takes one argument");
        };
        let plain = match values.data_type() {
            DataType::Float32 => add(values, &Scalar::new(Float32Array::from(vec![0.0])))?,
            _ => add(values, &Scalar::new(Float64Array::from(vec![0.0])))?,
        };
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&plain, 0)?),
            false => ColumnarValue::Array(plain),
        })
    }
}
