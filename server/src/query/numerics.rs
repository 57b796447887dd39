//! The numeric law: the types of sums, averages and quotients, as PostgreSQL has them where a column has one scale.
//!
//! A quotient and an average have as many digits behind the point as their operands, at least 16, the last one rounded
//! half away from zero. The sum of bigints is numeric, and sums have the digits that they need. What does not fit 76
//! digits is 22003.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, Case, Cast, ScalarFunction, WindowFunction, WindowFunctionDefinition,
};
use datafusion::logical_expr::expr_rewriter::{NamePreserver, coerce_plan_expr_for_schema};
use datafusion::logical_expr::logical_plan::RecursiveQuery;
use datafusion::logical_expr::type_coercion::other::get_coerce_type_for_case_expression;
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::averages::{Averages, is_grouping_id};
use super::expressions::{InputSchema, rewritten};
use super::floats::{beside_floats, union_of_floats};
use super::functions::{SUM_ADDS, long_sum};
use super::rounding::half_to_even;
use super::types::{NUMERIC_OF_ANY_SCALE, union_of, with_types_of_inputs};

/// Fewest digits behind the point of a quotient or an average.
pub(super) const QUOTIENT_SCALE: i8 = 16;
/// Digits that Arrow adds to the dividend's scale, for a quotient; it cuts the rest off.
const DIVISION_ADDS: i8 = 4;
/// `numeric` without digits, of a float or a text.
const NUMERIC_OF_OTHERS: DataType = DataType::Decimal128(38, 10);
/// Digits of the longest bigint.
pub(super) const BIGINT_DIGITS: u8 = 19;
/// Digits of a decimal of 128 bits, and of 256.
const DECIMAL128_DIGITS: u8 = 38;
const DECIMAL256_DIGITS: u8 = 76;

/// Gives sums, averages and quotients their types. Runs before types are made equal.
#[derive(Debug)]
pub(super) struct NumericLaw;

impl AnalyzerRule for NumericLaw {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut is_changed = false;
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let lawful = match Averages::of(&plan)? {
                Some(averages) => {
                    let sums = lawful_node(averages.sums(), true)?;
                    Transformed::yes(averages.above(sums.data)?)
                }
                None => lawful_node(plan, is_changed)?,
            };
            is_changed |= lawful.transformed;
            Ok(lawful)
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "numeric_law"
    }
}

/// `plan` with lawful expressions; `is_changed`: perhaps the types of its inputs are others than those that it was planned with.
fn lawful_node(plan: LogicalPlan, is_changed: bool) -> Result<Transformed<LogicalPlan>> {
    let schema = InputSchema::of(&plan);
    let names = NamePreserver::new(&plan);
    let lawful = plan.map_expressions(|expr| {
        rewritten(expr, &names, may_be_unlawful, |expr| {
            expr.transform_up(|expr| {
                beside_floats(expr, &schema).transform_data(|expr| Ok(lawful(expr, &schema)))
            })
        })
    })?;
    // Above a sum that has changed its type, others change theirs.
    let typed = match is_changed || lawful.transformed {
        true => lawful.map_data(with_types_of_inputs)?,
        false => lawful,
    };
    typed
        .transform_data(union_of_floats)?
        .transform_data(lawful_results)
}

/// What [`lawful`] and [`beside_floats`] look at.
fn may_be_unlawful(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => cast.field.data_type() == &NUMERIC_OF_ANY_SCALE,
        Expr::AggregateFunction(_)
        | Expr::WindowFunction(_)
        | Expr::ScalarFunction(_)
        | Expr::BinaryExpr(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::Case(_) => true,
        _ => false,
    }
}

/// Makes the results of CASE one numeric: until types are made equal it is of the type of the first, and what is computed of it
/// would be chosen for that.
fn with_equal_results(mut case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let results = case
        .when_then_expr
        .iter()
        .map(|(_, then)| then)
        .chain(&case.else_expr);
    let types: Option<Vec<DataType>> = results.map(|result| result.get_type(schema).ok()).collect();
    let types = types.unwrap_or_default();
    let is_number = |found: &DataType| found.is_decimal() || found.is_integer() || found == &DataType::Null;
    if !types.iter().any(DataType::is_decimal) || !types.iter().all(is_number) {
        return Transformed::no(Expr::Case(case));
    }
    let Some(common) = get_coerce_type_for_case_expression(&types, None) else {
        return Transformed::no(Expr::Case(case));
    };
    let mut changed = false;
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| then);
    for (result, found) in thens.chain(&mut case.else_expr).zip(&types) {
        if *found != common {
            **result = cast(std::mem::take(result.as_mut()), common.clone());
            changed = true;
        }
    }
    Transformed::new_transformed(Expr::Case(case), changed)
}

fn lawful(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(AggregateFunction { mut func, mut params }) => {
            let long = (func.name() == "sum" && !params.distinct)
                .then(|| long_sum_of(&params.args, schema))
                .flatten();
            let changed = match long {
                Some(sum) => {
                    func = sum;
                    true
                }
                None => widen(func.name(), &mut params.args, schema),
            };
            let expr = Expr::AggregateFunction(AggregateFunction { func, params });
            Transformed::new_transformed(expr, changed)
        }
        Expr::WindowFunction(mut window) => {
            let WindowFunction { fun, params } = window.as_mut();
            let widened = match fun {
                WindowFunctionDefinition::AggregateUDF(func) => widen(func.name(), &mut params.args, schema),
                WindowFunctionDefinition::WindowUDF(_) => false,
            };
            Transformed::new_transformed(Expr::WindowFunction(window), widened)
        }
        Expr::Case(case) => with_equal_results(case, schema),
        Expr::Cast(Cast { expr, field }) if field.data_type() == &NUMERIC_OF_ANY_SCALE => {
            let wanted = match expr.get_type(schema) {
                Ok(given) if given.is_decimal() => return Transformed::yes(*expr),
                Ok(given) if given.is_integer() => digits(&given).map(|(precision, _)| decimal(precision, 0)),
                _ => None,
            };
            Transformed::yes(cast(*expr, wanted.unwrap_or(NUMERIC_OF_OTHERS)))
        }
        Expr::ScalarFunction(function) => whole_digits(function, schema),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Divide,
            right,
        }) => match quotient(&left, &right, schema) {
            Some(quotient) => Transformed::yes(quotient),
            None => Transformed::no(Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Divide,
                right,
            })),
        },
        other => Transformed::no(other),
    }
}

/// The results of rounding functions have the digits that they are rounded to; floats are rounded to even.
fn whole_digits(mut function: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    let given = function
        .args
        .first()
        .and_then(|value| value.get_type(schema).ok());
    let scale = match (function.name(), function.args.as_slice(), &given) {
        ("round", [value], Some(given)) if given.is_floating() => {
            return match half_to_even(value) {
                Ok(rounded) => Transformed::yes(rounded),
                Err(_) => Transformed::no(Expr::ScalarFunction(function)),
            };
        }
        ("ceil" | "floor" | "round" | "trunc", [_], Some(given)) if given.is_decimal() => 0,
        ("trunc", [_, Expr::Literal(ScalarValue::Int32(Some(scale @ 0..=38)), _)], Some(given))
            if given.is_decimal() =>
        {
            i8::try_from(*scale).unwrap_or(0)
        }
        _ => return Transformed::no(Expr::ScalarFunction(function)),
    };
    match given.as_ref().and_then(digits) {
        Some((precision, from)) if scale < from => {
            // Rounding up may take a digit more before the point.
            let precision = precision - (from - scale).unsigned_abs() + 1;
            let wide = matches!(given, Some(DataType::Decimal256(..)));
            let wanted = match wide {
                true => DataType::Decimal256(precision, scale),
                false => decimal(precision, scale),
            };
            // DataFusion's keep the type of what they are given.
            if matches!(function.name(), "ceil" | "floor")
                && let [value] = function.args.as_mut_slice()
            {
                let digits = precision + (from - scale).unsigned_abs();
                let room = match wide {
                    true => DataType::Decimal256(digits.min(DECIMAL256_DIGITS), from),
                    false => decimal(digits, from),
                };
                *value = cast(std::mem::take(value), room);
            }
            Transformed::yes(cast(Expr::ScalarFunction(function), wanted))
        }
        _ => Transformed::no(Expr::ScalarFunction(function)),
    }
}

/// The sum of a numeric of up to 38 digits whose sum has more.
fn long_sum_of(args: &[Expr], schema: &DFSchema) -> Option<Arc<AggregateUDF>> {
    let [arg] = args else {
        return None;
    };
    let given = arg.get_type(schema).ok()?;
    match (&given, summed(&given)) {
        (DataType::Decimal128(..), Some(DataType::Decimal256(digits, _))) => Some(long_sum(digits)),
        _ => None,
    }
}

/// Casts what is summed or averaged to the numeric whose sum, or average, the law wants.
fn widen(function: &str, args: &mut [Expr], schema: &DFSchema) -> bool {
    let [arg] = args else {
        return false;
    };
    let Ok(given) = arg.get_type(schema) else {
        return false;
    };
    let wanted = match function {
        "sum" => summed(&given),
        "avg" => averaged(&given),
        _ => None,
    };
    match wanted {
        Some(wanted) if wanted != given => {
            *arg = cast(std::mem::take(arg), wanted);
            true
        }
        _ => false,
    }
}

fn summed(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Int64 => Some(decimal(BIGINT_DIGITS, 0)),
        DataType::Decimal128(precision, scale) => Some(decimal(
            // The sum of a decimal has ten digits more than it, of a longer type when 38 are too few.
            if precision + SUM_ADDS > DECIMAL128_DIGITS {
                (*precision).max(DECIMAL128_DIGITS + 1)
            } else {
                *precision
            },
            *scale,
        )),
        _ => None,
    }
}

/// The average of a decimal has four digits more behind the point than it.
fn averaged(given: &DataType) -> Option<DataType> {
    let (precision, scale) = digits(given)?;
    let wanted = scale.max(QUOTIENT_SCALE) + 1 - DIVISION_ADDS;
    let wanted = wanted.max(scale);
    let digits = rescaled(precision, scale, wanted);
    // The average itself has more digits, of a longer type when 38 are too few.
    let is_long = digits + DIVISION_ADDS.unsigned_abs() > DECIMAL128_DIGITS;
    Some(decimal(
        if is_long {
            digits.max(DECIMAL128_DIGITS + 1)
        } else {
            digits
        },
        wanted,
    ))
}

/// `left / right` with the law's scale, if it is a numeric's.
pub(super) fn quotient(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (left_type, right_type) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
    if !left_type.is_decimal() && !right_type.is_decimal() {
        return None;
    }
    let ((p1, s1), (p2, s2)) = (digits(&left_type)?, digits(&right_type)?);
    let scale = s1.max(s2).max(QUOTIENT_SCALE);
    // One digit more than wanted: the last one is cut off, and decides how the one before is rounded.
    let dividend_scale = s1.max(scale + 1 - DIVISION_ADDS);
    let dividend = rescaled(p1, s1, dividend_scale);
    let digits = dividend.saturating_add((DIVISION_ADDS + s2).unsigned_abs());
    let wide = digits > DECIMAL128_DIGITS || p2 > DECIMAL128_DIGITS;
    let sized = |precision: u8, scale: i8| match wide {
        true => DataType::Decimal256(precision.min(DECIMAL256_DIGITS), scale),
        false => DataType::Decimal128(precision, scale),
    };
    let divided = Expr::BinaryExpr(BinaryExpr {
        left: Box::new(cast(left.clone(), sized(dividend, dividend_scale))),
        op: Operator::Divide,
        right: Box::new(cast(right.clone(), sized(p2, s2))),
    });
    let cut = (dividend_scale + DIVISION_ADDS - scale).unsigned_abs();
    Some(cast(divided, sized(digits.min(DECIMAL256_DIGITS) - cut, scale)))
}

/// Precision and scale of a numeric, or of an integer as one.
pub(super) fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((BIGINT_DIGITS, 0)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) if *scale >= 0 => {
            Some((*precision, *scale))
        }
        _ => None,
    }
}

/// The digits of a numeric whose scale becomes `to`.
pub(super) fn rescaled(precision: u8, from: i8, to: i8) -> u8 {
    let added = (to - from).max(0).unsigned_abs();
    precision.saturating_add(added).min(DECIMAL256_DIGITS)
}

pub(super) fn decimal(precision: u8, scale: i8) -> DataType {
    if precision > DECIMAL128_DIGITS {
        DataType::Decimal256(precision, scale)
    } else {
        DataType::Decimal128(precision, scale)
    }
}

/// Puts a projection above aggregates and windows whose results are not PostgreSQL's: averages of numerics have a digit too
/// many, which it rounds away, and numbers of rows, as ranks are, have no sign.
fn lawful_results(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let expressions: &[Expr] = match &plan {
        LogicalPlan::Aggregate(aggregate) => &aggregate.aggr_expr,
        LogicalPlan::Window(window) => &window.window_expr,
        _ => return Ok(Transformed::no(plan)),
    };
    let others = plan.schema().fields().len() - expressions.len();
    let results = expressions.iter().zip(plan.schema().fields().iter().skip(others));
    let laws = results.map(|(expr, field)| law_of_result(expr, field.data_type()));
    let laws: Vec<Option<DataType>> = laws.collect();
    let mut changed = false;
    let columns = plan
        .schema()
        .iter()
        .enumerate()
        .map(|(index, (qualifier, field))| {
            let column = Expr::from((qualifier, field));
            let wanted = index
                .checked_sub(others)
                .and_then(|index| laws.get(index)?.clone());
            let Some(wanted) = wanted else {
                return column;
            };
            changed = true;
            Expr::Cast(Cast::new(Box::new(column), wanted)).alias_qualified(qualifier.cloned(), field.name())
        });
    let columns: Vec<Expr> = columns.filter(|column| !is_grouping_id(column)).collect();
    if !changed {
        return Ok(Transformed::no(plan));
    }
    let projected = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok(Transformed::yes(projected))
}

/// The type that a result of the type `given` becomes.
fn law_of_result(expr: &Expr, given: &DataType) -> Option<DataType> {
    let name = match expr {
        Expr::Alias(alias) => return law_of_result(&alias.expr, given),
        Expr::AggregateFunction(function) => function.func.name(),
        Expr::WindowFunction(window) => match &window.fun {
            WindowFunctionDefinition::AggregateUDF(function) => function.name(),
            WindowFunctionDefinition::WindowUDF(function) => function.name(),
        },
        _ => return None,
    };
    match (name, given) {
        ("avg", given) => law_of_average(given),
        ("ntile", DataType::UInt64) => Some(DataType::Int32),
        (_, DataType::UInt64) => Some(DataType::Int64),
        _ => None,
    }
}

/// The type of an average, of which DataFusion's has more digits behind the point.
fn law_of_average(given: &DataType) -> Option<DataType> {
    let (precision, scale) = digits(given).filter(|_| given.is_decimal())?;
    let wanted = (scale - DIVISION_ADDS).max(QUOTIENT_SCALE);
    let cut = (scale - wanted).unsigned_abs();
    (cut > 0).then(|| match given {
        DataType::Decimal256(..) => DataType::Decimal256(precision - cut, wanted),
        _ => DataType::Decimal128(precision - cut, wanted),
    })
}

/// `expr`, and if it adds a numeric constant to more digits behind the point than it has, the constant with as many: Arrow
/// would multiply both sides for each row. The sum is of the same type.
pub(super) fn with_even_scales(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Plus | Operator::Minus) =>
        {
            let even_left = longer_constant(&left, &right, schema);
            let even_right = longer_constant(&right, &left, schema);
            let changed = even_left.is_some() || even_right.is_some();
            let sum = Expr::BinaryExpr(BinaryExpr {
                left: even_left.map_or(left, Box::new),
                op,
                right: even_right.map_or(right, Box::new),
            });
            Transformed::new_transformed(sum, changed)
        }
        other => Transformed::no(other),
    }
}

fn longer_constant(constant: &Expr, other: &Expr, schema: &DFSchema) -> Option<Expr> {
    let Expr::Literal(ScalarValue::Decimal128(value, precision, scale), metadata) = constant else {
        return None;
    };
    let DataType::Decimal128(_, wanted) = other.get_type(schema).ok()? else {
        return None;
    };
    let more = u8::try_from(wanted.checked_sub(*scale)?)
        .ok()
        .filter(|&more| more > 0)?;
    let precision = precision.checked_add(more)?;
    if precision > DECIMAL128_DIGITS {
        return None;
    }
    let value = match value {
        Some(value) => Some(value.checked_mul(10_i128.checked_pow(u32::from(more))?)?),
        None => None,
    };
    let longer = ScalarValue::Decimal128(value, precision, wanted);
    Some(Expr::Literal(longer, metadata.clone()))
}

/// Integer literals as small as PostgreSQL's: int4, else int8, else numeric. DataFusion plans them as int8.
pub(super) fn narrow_literals(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::outer_columns::with_types(with_narrow_literals(plan)?)
}

fn with_narrow_literals(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut is_changed = false;
    let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
        // Limits are int8.
        LogicalPlan::Limit(_) => Ok(Transformed::no(plan)),
        // What a recursive query repeats has been planned with the types of its start.
        LogicalPlan::RecursiveQuery(query) => {
            let term = |term| coerce_plan_expr_for_schema(Arc::unwrap_or_clone(term), &query.schema);
            let (start, repeated) = (term(query.static_term)?, term(query.recursive_term)?);
            let query =
                RecursiveQuery::try_new(query.name, Arc::new(start), Arc::new(repeated), query.is_distinct)?;
            is_changed = true;
            Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)))
        }
        // Its types follow from its parts, also where they have become smaller.
        LogicalPlan::Union(union) => {
            is_changed = true;
            Ok(Transformed::yes(LogicalPlan::Union(union_of(union.inputs)?)))
        }
        LogicalPlan::Values(values) => {
            is_changed = true;
            let rows = values.values.into_iter().map(|row| {
                let row = row
                    .into_iter()
                    .map(|expr| narrowed(bare_null(expr)).map(|done| done.data));
                row.collect::<Result<Vec<Expr>>>()
            });
            let rows = rows.collect::<Result<Vec<Vec<Expr>>>>()?;
            Ok(Transformed::yes(LogicalPlanBuilder::values(rows)?.build()?))
        }
        plan => {
            let names = NamePreserver::new(&plan);
            let narrow = plan.map_expressions(|expr| rewritten(expr, &names, is_whole_literal, narrowed))?;
            is_changed |= narrow.transformed;
            match is_changed {
                true => narrow.map_data(LogicalPlan::recompute_schema),
                false => Ok(narrow),
            }
        }
    })?;
    Ok(rewritten.data)
}

/// A NULL without the type that it has been given for the integers beside it.
fn bare_null(expr: Expr) -> Expr {
    match expr {
        Expr::Cast(Cast { expr, field })
            if field.data_type() == &DataType::Int64
                && matches!(expr.as_ref(), Expr::Literal(ScalarValue::Null, _)) =>
        {
            *expr
        }
        other => other,
    }
}

fn is_whole_literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(ScalarValue::Int64(_) | ScalarValue::UInt64(_), _)
    )
}

fn narrowed(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::Literal(ScalarValue::Int64(Some(value)), metadata) => match i32::try_from(value) {
                Ok(value) => Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(value)), metadata)),
                Err(_) => Transformed::no(Expr::Literal(ScalarValue::Int64(Some(value)), metadata)),
            },
            Expr::Literal(ScalarValue::UInt64(Some(value)), metadata) => Transformed::yes(Expr::Literal(
                ScalarValue::Decimal128(Some(value.into()), 20, 0),
                metadata,
            )),
            other => Transformed::no(other),
        })
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn constants_get_the_digits_of_what_they_are_added_to() {
        let schema = Schema::new(vec![
            Field::new("price", DataType::Decimal128(15, 2), true),
            Field::new("long", DataType::Decimal128(38, 37), true),
        ]);
        let schema = DFSchema::try_from(schema).unwrap();
        let constant = |value, precision, scale| lit(ScalarValue::Decimal128(value, precision, scale));
        let even = |expr: Expr| {
            let even = with_even_scales(expr.clone(), &schema);
            assert_eq!(
                even.data.get_type(&schema).unwrap(),
                expr.get_type(&schema).unwrap()
            );
            even.transformed.then_some(even.data)
        };
        let one = || constant(Some(1), 10, 0);
        assert_eq!(
            even(one() - col("price")),
            Some(constant(Some(100), 12, 2) - col("price"))
        );
        assert_eq!(
            even(col("price") + constant(None, 10, 0)),
            Some(col("price") + constant(None, 12, 2))
        );
        assert_eq!(even(col("price") + constant(Some(1234), 10, 3)), None);
        assert_eq!(even(col("price") * one()), None);
        assert_eq!(even(col("long") - one()), None, "no room for 37 digits more");
    }
}
