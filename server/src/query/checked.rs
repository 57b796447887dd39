//! Integer arithmetic that does not fit is 22003, as in PostgreSQL; DataFusion's own wraps around.
//!
//! DataFusion also takes `x / 8 = 8` for `x = 64`, and left out sorts by `x` then: it does not look into a function.
//! The plan keeps `+`, `-`, `*` and `/` while it is optimised, so that filters are pushed, simplified and turned round as
//! ever. [`check_arithmetic`] replaces them once, over the finished plan. What has no column would be computed during
//! planning: [`CheckedConstants`] replaces it before.

use std::sync::Arc;

use causeway_spi::{hidden, hidden_key};
use datafusion::arrow::array::Datum;
use datafusion::arrow::compute::kernels::numeric::{add, div, mul, sub};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::Projection;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit, when,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;

use super::expressions::{InputSchema, rewritten};
use super::numerics::with_even_scales;

/// Checks the arithmetic of an optimised plan. Scans keep theirs: sources decline filters with arithmetic.
pub(super) fn check_arithmetic(plan: LogicalPlan) -> Result<LogicalPlan> {
    hidden_grouping_keys(rewrite(plan, Stage::Finished)?)
}

/// Hides the keys of grouping sets: DataFusion believes that a key with one value, by a filter, is still that value where a
/// grouping set has made it NULL, and left out sorts by it.
fn hidden_grouping_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Aggregate(mut aggregate) = plan else {
            return Ok(Transformed::no(plan));
        };
        if !matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_))) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let keys: Vec<Column> = aggregate
            .group_expr
            .iter()
            .flat_map(|expr| expr.column_refs().into_iter().cloned())
            .collect();
        let columns = aggregate.input.schema().iter().map(|(qualifier, field)| {
            let column = Column::from((qualifier, field));
            let Some(place) = keys.iter().position(|key| *key == column) else {
                return Expr::Column(column);
            };
            // Two keys may be one column below, and would be taken for equal where a grouping set has one of them.
            let key = (0..place).fold(Expr::Column(column), |key, _| hidden(key));
            hidden_key(key).alias_qualified(qualifier.cloned(), field.name())
        });
        let projection = Projection::try_new(columns.collect(), Arc::clone(&aggregate.input))?;
        aggregate.input = Arc::new(LogicalPlan::Projection(projection));
        aggregate.group_expr = aggregate
            .group_expr
            .into_iter()
            .map(|expr| expr.transform_down(hidden_constants).data())
            .collect::<Result<_>>()?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    })?;
    Ok(rewritten.data)
}

/// A key of grouping sets that has no column: it has one value as well. The aggregate's columns keep their names.
fn hidden_constants(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::GroupingSet(_) => Transformed::no(expr),
        key if key.any_column_refs() => Transformed::new(key, false, TreeNodeRecursion::Jump),
        key => Transformed::new(hidden_key(key), true, TreeNodeRecursion::Jump),
    })
}

/// Checks arithmetic without columns. Runs after types are made equal, before anything is computed.
#[derive(Debug)]
pub(super) struct CheckedConstants;

impl AnalyzerRule for CheckedConstants {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, Stage::Analysis)
    }

    fn name(&self) -> &'static str {
        "checked_constants"
    }
}

/// When a plan is rewritten: what the optimiser wants to see stays until it has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Analysis,
    Finished,
}

impl Stage {
    fn wants(self, expr: &Expr) -> bool {
        self == Self::Finished || !expr.any_column_refs()
    }
}

fn rewrite(plan: LogicalPlan, stage: Stage) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        if matches!(plan, LogicalPlan::TableScan(_) | LogicalPlan::Limit(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = InputSchema::of(&plan);
        let names = NamePreserver::new(&plan);
        let hides = stage == Stage::Finished && matches!(plan, LogicalPlan::Filter(_));
        plan.map_expressions(|expr| {
            rewritten(expr, &names, is_operator, |expr| {
                let checked = expr.transform_up(|expr| {
                    checked(expr, &schema, stage).transform_data(|expr| {
                        Ok(match stage {
                            Stage::Finished => with_even_scales(expr, &schema),
                            Stage::Analysis => Transformed::no(expr),
                        })
                    })
                })?;
                let hidden = match hides {
                    true => {
                        checked.transform_data(|expr| expr.transform_up(|expr| Ok(opaque(expr, &schema))))?
                    }
                    false => checked,
                };
                match stage {
                    Stage::Finished => hidden.transform_data(|expr| lazily(expr, hides)),
                    Stage::Analysis => Ok(hidden),
                }
            })
        })
    })?;
    Ok(rewritten.data)
}

/// `expr` with AND and OR that ask their right side only for rows that the left one leaves undecided, where it may be an error:
/// DataFusion asks it for all rows of a batch. The parts of a condition stay apart, `is_condition`: a filter asks them so itself.
fn lazily(expr: Expr, is_condition: bool) -> Result<Transformed<Expr>> {
    if is_condition {
        let parts = split_conjunction_owned(expr);
        let parts = parts.into_iter().map(|part| lazily(part, false));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let changed = parts.iter().any(|part| part.transformed);
        let joined = conjunction(parts.into_iter().map(|part| part.data));
        return Ok(Transformed::new_transformed(joined.unwrap_or_default(), changed));
    }
    expr.transform_up(|expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let decided = match op {
            Operator::And => Expr::Not(left.clone()),
            Operator::Or => left.as_ref().clone(),
            _ => return Ok(Transformed::no(expr)),
        };
        if left.is_volatile() || !right.exists(|part| Ok(may_fail(part)))? {
            return Ok(Transformed::no(expr));
        }
        let known = lit(*op == Operator::Or);
        Ok(Transformed::yes(when(decided, known).otherwise(expr)?))
    })
}

/// Whether `expr` may be an error, whatever its parts are.
fn may_fail(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => matches!(binary.op, Operator::Divide | Operator::Modulo),
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<Checked>().is_some(),
        _ => false,
    }
}

fn is_operator(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryExpr(_) | Expr::Negative(_))
}

fn checked(expr: Expr, schema: &DFSchema, stage: Stage) -> Transformed<Expr> {
    let is_integer = |expr: &Expr| matches!(expr.get_type(schema), Ok(found) if found.is_signed_integer());
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if Arithmetic::of(op).is_some() && is_integer(&left) && is_integer(&right) =>
        {
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            if !stage.wants(&expr) {
                return Transformed::no(expr);
            }
            match (Arithmetic::of(op), expr) {
                (Some(operator), Expr::BinaryExpr(BinaryExpr { left, right, .. })) => {
                    Transformed::yes(call(operator, *left, *right))
                }
                (_, expr) => Transformed::no(expr),
            }
        }
        Expr::Negative(inner) if is_integer(&inner) && stage.wants(&inner) => {
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

/// A comparison with a cast or a sum that several values of its column may share.
///
/// DataFusion's filters turn such a term round, take the column for the one value that they find, and leave out sorts by
/// it: `WHERE at::date = '2024-01-01' ORDER BY at` came in any order. They do not look into a function.
fn opaque(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        // A term of a column that equals the column: the two would stand for each other in orders, and none would be found.
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) if !left.column_refs().is_disjoint(&right.column_refs()) => {
            Transformed::yes(hidden((*left).eq(*right)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if op.supports_propagation() && (is_shared(&left, schema) || is_shared(&right, schema)) =>
        {
            let hide = |term: Box<Expr>| match is_shared(&term, schema) {
                true => Box::new(hidden(*term)),
                false => term,
            };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left: hide(left),
                op,
                right: hide(right),
            }))
        }
        other => Transformed::no(other),
    }
}

fn is_shared(term: &Expr, schema: &DFSchema) -> bool {
    match term {
        Expr::Cast(cast) if cast.expr.any_column_refs() => match cast.expr.get_type(schema) {
            Ok(from) => !is_injective(&from, cast.field.data_type()) || is_shared(&cast.expr, schema),
            Err(_) => true,
        },
        Expr::BinaryExpr(sum) => {
            !sum.op.supports_propagation() && !sum.op.is_logic_operator() && term.any_column_refs()
        }
        Expr::Negative(inner) => is_shared(inner, schema),
        _ => false,
    }
}

/// Whether a cast gives different values different results.
fn is_injective(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp};
    from == to
        || matches!(
            (from, to),
            (Int8 | Int16 | Int32, Int64 | Float64)
                | (Int8 | Int16, Int32 | Float32)
                | (Int8, Int16)
                | (Float32, Float64)
                | (Date32, Timestamp(..))
        )
}

/// NULL only of NULLs, like the expression in whose place the function stands: plans with other fields are refused.
fn field_of(function: &impl ScalarUDFImpl, args: &ReturnFieldArgs<'_>) -> Result<FieldRef> {
    let types: Vec<DataType> = args
        .arg_fields
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    let data_type = function.return_type(&types)?;
    Ok(Arc::new(Field::new(function.name(), data_type, nullable)))
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
    Divide,
}

impl Arithmetic {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Multiply),
            Operator::Divide => Some(Self::Divide),
            _ => None,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    fn kernel(self) -> fn(&dyn Datum, &dyn Datum) -> Result<datafusion::arrow::array::ArrayRef, ArrowError> {
        match self {
            Self::Plus => add,
            Self::Minus => sub,
            Self::Multiply => mul,
            Self::Divide => div,
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
            Arithmetic::Divide => "checked_divide",
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

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        field_of(self, &args)
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
