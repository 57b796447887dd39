//! Arithmetic of dates, timestamps and intervals with PostgreSQL's types, in the session's time zone.

use std::sync::Arc;

use super::expressions::rewrite;
use super::functions::{
    chosen, interval_span, interval_times, session_cast, timestamp_minus, timestamptz_plus,
};
use super::literals::{OF_ONE_TYPE, of_one_type};
use crate::values::zone;
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, InSubquery};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, cast, lit,
    when,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DAY: i64 = 86_400_000_000;

pub(super) fn session_zone(options: &ConfigOptions) -> Tz {
    let name = options.execution.time_zone.as_deref();
    name.and_then(zone::by_name).unwrap_or(Tz::UTC)
}

/// Averages, and the shortest and longest of intervals. Runs when moments have PostgreSQL's types.
#[derive(Debug)]
pub(super) struct IntervalAggregates;

impl AnalyzerRule for IntervalAggregates {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let wants = |expr: &Expr| matches!(expr, Expr::AggregateFunction(_) | Expr::WindowFunction(_));
        rewrite(plan, wants, &|mut expr, schema| {
            let changed = chosen(&mut expr, schema);
            Ok(Transformed::new_transformed(expr, changed))
        })
    }

    fn name(&self) -> &'static str {
        "interval_aggregates"
    }
}

/// Gives the arithmetic of moments PostgreSQL's types. Runs before types are made equal.
#[derive(Debug)]
pub(super) struct MomentArithmetic;

impl AnalyzerRule for MomentArithmetic {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = session_zone(options);
        let wants = |expr: &Expr| {
            use Expr::{Between, BinaryExpr, Case, InList, InSubquery, ScalarFunction};
            match expr {
                ScalarFunction(function) => OF_ONE_TYPE.contains(&function.name()),
                BinaryExpr(_) | Between(_) | InList(_) | Case(_) | InSubquery(_) => true,
                _ => false,
            }
        };
        let plan = keys_alike(plan)?;
        rewrite(plan, wants, &|expr, schema| arithmetic(expr, schema, zone))
    }

    fn name(&self) -> &'static str {
        "moment_arithmetic"
    }
}

fn arithmetic(expr: Expr, schema: &DFSchema, zone: Tz) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let types = left.get_type(schema).ok().zip(right.get_type(schema).ok());
            let Some((left_type, right_type)) = types else {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            };
            binary(
                BinaryExpr { left, op, right },
                &left_type,
                &right_type,
                schema,
                zone,
            )
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) if is_date(&expr, schema) && (midnight(&low).is_some() && midnight(&high).is_some()) => {
            // Both are midnights: a date between them is a date between their days.
            let day = |bound: &Expr| midnight(bound).map_or_else(|| bound.clone(), date_literal);
            Ok(Transformed::yes(Expr::Between(Between {
                low: Box::new(day(&low)),
                high: Box::new(day(&high)),
                expr,
                negated,
            })))
        }
        Expr::InList(InList { expr, list, negated })
            if is_date(&expr, schema) && list.iter().all(|item| midnight(item).is_some()) =>
        {
            let list = list.iter().filter_map(midnight).map(date_literal).collect();
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        // It is its first argument, of whatever type the other one is.
        Expr::ScalarFunction(mut function) if function.name() == "nullif" && function.args.len() == 2 => {
            let types = function
                .args
                .iter()
                .map(|argument| argument.get_type(schema).ok());
            let types: Vec<Option<DataType>> = types.collect();
            if common_moment(types.iter().flatten()).is_none() {
                return Ok(Transformed::no(Expr::ScalarFunction(function)));
            }
            let (first, second) = (function.args.swap_remove(0), function.args.swap_remove(0));
            let equal = beside_timestamps(sum(first.clone(), Operator::Eq, second), schema).data;
            Ok(Transformed::yes(
                when(equal, lit(ScalarValue::Null)).otherwise(first)?,
            ))
        }
        Expr::InSubquery(subquery) => in_alike(subquery, schema),
        other => Ok(beside_timestamps(other, schema)),
    }
}

/// The type of what is a date in one place and a timestamp in another: DataFusion takes one of nanoseconds, which do not reach
/// as far. `None` where not both are there.
pub(super) fn common_moment<'a>(types: impl Iterator<Item = &'a DataType> + Clone) -> Option<DataType> {
    let is_timestamp = |found: &&DataType| matches!(found, DataType::Timestamp(..));
    let is_zoned = |found: &&DataType| matches!(found, DataType::Timestamp(_, Some(_)));
    let mut timestamps = types.clone().filter(is_timestamp);
    let any = timestamps.clone().next()?;
    let has_date = types.clone().any(|found| found == &DataType::Date32);
    has_date.then(|| timestamps.find(is_zoned).unwrap_or(any).clone())
}

/// Casts dates that are compared with timestamps, or one result beside them.
fn beside_timestamps(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let mut changed = false;
    for operands in of_one_type(&mut expr) {
        let types = operands.iter().map(|operand| operand.get_type(schema).ok());
        let types: Vec<Option<DataType>> = types.collect();
        let Some(common) = common_moment(types.iter().flatten()) else {
            continue;
        };
        for (operand, found) in operands.into_iter().zip(&types) {
            if found.as_ref() == Some(&DataType::Date32) {
                *operand = cast(std::mem::take(operand), common.clone());
                changed = true;
            }
        }
    }
    Transformed::new_transformed(expr, changed)
}

/// `x IN (SELECT ..)` with a date on one side and timestamps on the other.
fn in_alike(mut within: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let inner = &within.subquery.subquery;
    let column = inner
        .schema()
        .iter()
        .next()
        .map(|(qualifier, field)| (Expr::from((qualifier, field)), field.data_type().clone()));
    let (Ok(left), Some((column, right))) = (within.expr.get_type(schema), column) else {
        return Ok(Transformed::no(Expr::InSubquery(within)));
    };
    let Some(common) = common_moment([&left, &right].into_iter()) else {
        return Ok(Transformed::no(Expr::InSubquery(within)));
    };
    if left == DataType::Date32 {
        *within.expr = cast(std::mem::take(within.expr.as_mut()), common);
    } else {
        let inner = LogicalPlanBuilder::from(Arc::clone(inner));
        within.subquery.subquery = Arc::new(inner.project([cast(column, common)])?.build()?);
    }
    Ok(Transformed::yes(Expr::InSubquery(within)))
}

/// `plan` whose joins have no date and timestamp for one key, as those of INTERSECT, EXCEPT and USING may.
fn keys_alike(plan: LogicalPlan) -> Result<LogicalPlan> {
    let has_keys = |node: &LogicalPlan| matches!(node, LogicalPlan::Join(join) if !join.on.is_empty());
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= has_keys(node);
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    if !found {
        return Ok(plan);
    }
    let alike = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(mut join) = node else {
            return Ok(Transformed::no(node));
        };
        let mut changed = false;
        for (left, right) in &mut join.on {
            let types = (
                left.get_type(join.left.schema()),
                right.get_type(join.right.schema()),
            );
            let (Ok(left_type), Ok(right_type)) = types else {
                continue;
            };
            if let Some(common) = common_moment([&left_type, &right_type].into_iter()) {
                let date = if left_type == DataType::Date32 {
                    left
                } else {
                    right
                };
                *date = cast(std::mem::take(date), common);
                changed = true;
            }
        }
        Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
    })?;
    Ok(alike.data)
}

fn is_date(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Date32))
}

fn binary(
    expr: BinaryExpr,
    left_type: &DataType,
    right_type: &DataType,
    schema: &DFSchema,
    zone: Tz,
) -> Result<Transformed<Expr>> {
    use DataType::{Date32, Interval, Timestamp};
    let BinaryExpr { left, op, right } = expr;
    Ok(match (left_type, op, right_type) {
        (Date32, Operator::Plus | Operator::Minus, Interval(_)) => {
            Transformed::yes(folded(sum(cast(*left, TIMESTAMP), op, *right))?)
        }
        (Interval(_), Operator::Plus, Date32) => {
            Transformed::yes(folded(sum(cast(*right, TIMESTAMP), op, *left))?)
        }
        (Timestamp(_, Some(_)), Operator::Plus | Operator::Minus, Interval(_)) if zone != Tz::UTC => {
            let interval = match op {
                Operator::Minus => interval_times(*right, lit(-1.0)),
                _ => *right,
            };
            Transformed::yes(timestamptz_plus(*left, interval, zone))
        }
        (Interval(_), Operator::Plus, Timestamp(_, Some(_))) if zone != Tz::UTC => {
            Transformed::yes(timestamptz_plus(*right, *left, zone))
        }
        (Timestamp(..), Operator::Plus | Operator::Minus, Interval(_)) => {
            Transformed::yes(folded(sum(*left, op, *right))?)
        }
        (Timestamp(..) | Date32, Operator::Minus, Timestamp(..))
        | (Timestamp(..), Operator::Minus, Date32) => Transformed::yes(timestamp_minus(*left, *right)),
        (Date32, Operator::Minus, Date32) => Transformed::yes(cast(sum(*left, op, *right), DataType::Int32)),
        (Date32, op, Timestamp(_, None)) if op.supports_propagation() => match compared(&left, op, &right) {
            Some(dates) => Transformed::yes(dates),
            None => Transformed::yes(sum(cast(*left, TIMESTAMP), op, *right)),
        },
        (Timestamp(_, None), op, Date32) if op.supports_propagation() => {
            match op.swap().and_then(|op| compared(&right, op, &left)) {
                Some(dates) => Transformed::yes(dates),
                None => Transformed::yes(sum(*left, op, cast(*right, TIMESTAMP))),
            }
        }
        // DataFusion would compare nanoseconds, which do not reach as far.
        (Date32, op, zoned @ Timestamp(..)) if op.supports_propagation() => {
            Transformed::yes(sum(cast(*left, zoned.clone()), op, *right))
        }
        (zoned @ Timestamp(..), op, Date32) if op.supports_propagation() => {
            Transformed::yes(sum(*left, op, cast(*right, zoned.clone())))
        }
        (left_type, op, right_type) => {
            let expr = sum(*left, op, *right);
            match common_moment([left_type, right_type].into_iter()) {
                Some(_) => beside_timestamps(expr, schema),
                None => Transformed::no(expr),
            }
        }
    })
}

pub(super) fn sum(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr {
        left: Box::new(left),
        op,
        right: Box::new(right),
    })
}

pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || data_type.is_floating() || data_type.is_decimal()
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    )
}

/// What has no column is computed now, so that comparisons with it can be pushed.
fn folded(expr: Expr) -> Result<Expr> {
    if expr.any_column_refs() || expr.is_volatile() || expr.contains_outer() || has_parameter(&expr)? {
        return Ok(expr);
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().build());
    simplifier.simplify(expr)
}

fn has_parameter(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_) | Expr::ScalarSubquery(_))))
}

/// The day of a timestamp literal at midnight.
fn midnight(expr: &Expr) -> Option<i64> {
    let (day, rest) = day_of(expr)?;
    (rest == 0).then_some(day)
}

fn day_of(expr: &Expr) -> Option<(i64, i64)> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(value), None), _) => {
            Some((value.div_euclid(DAY), value.rem_euclid(DAY)))
        }
        _ => None,
    }
}

fn date_literal(day: i64) -> Expr {
    lit(ScalarValue::Date32(i32::try_from(day).ok()))
}

/// `date op timestamp` as a comparison of dates, for a timestamp that is known: a date is its midnight.
fn compared(date: &Expr, op: Operator, timestamp: &Expr) -> Option<Expr> {
    let (day, rest) = day_of(timestamp)?;
    let op = match op {
        _ if rest == 0 => op,
        // Of the days, those up to the timestamp's own begin before it.
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    Some(sum(date.clone(), op, date_literal(day)))
}

/// Whether Arrow's own text of such a value is not PostgreSQL's.
fn is_shown(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Interval(_) => true,
        DataType::Float32 | DataType::Float64 | DataType::Struct(_) => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        list => list.is_list(),
    }
}

/// Casts of moments that depend on the session's time zone, and those to text. Runs after types are made equal.
#[derive(Debug)]
pub(super) struct SessionZone;

impl AnalyzerRule for SessionZone {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = session_zone(options);
        let comparison =
            |expr: &Expr| matches!(expr, Expr::BinaryExpr(_) | Expr::Between(_) | Expr::InList(_));
        let plan = rewrite(plan, comparison, &|expr, schema| {
            Ok(days_compared(expr, schema, zone))
        })?;
        let wants = |expr: &Expr| matches!(expr, Expr::Cast(_));
        rewrite(plan, wants, &|expr, schema| {
            let Expr::Cast(Cast { expr: inner, field }) = &expr else {
                return Ok(Transformed::no(expr));
            };
            let Ok(from) = inner.get_type(schema) else {
                return Ok(Transformed::no(expr));
            };
            let to = field.data_type();
            let zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
            let local =
                |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, None) | DataType::Date32);
            let shown = is_shown(&from) && is_text(to);
            let crosses = (zoned(&from) && (local(to) || matches!(to, DataType::Time64(_))))
                || (local(&from) && zoned(to));
            if !(shown || (crosses && zone != Tz::UTC)) {
                return Ok(Transformed::no(expr));
            }
            let Some(rewritten) = session_cast(inner.as_ref().clone(), to, zone) else {
                return Ok(Transformed::no(expr));
            };
            Ok(Transformed::yes(if shown && to != &DataType::Utf8View {
                cast(rewritten, to.clone())
            } else {
                rewritten
            }))
        })
    }

    fn name(&self) -> &'static str {
        "session_zone"
    }
}

/// A comparison of the day of a timestamp with what has no column, in a form that becomes a range of the timestamp.
fn days_compared(expr: Expr, schema: &DFSchema, zone: Tz) -> Transformed<Expr> {
    let day_of = |side: &Expr| match side {
        Expr::Cast(Cast { expr, field }) if field.data_type() == &DataType::Date32 => {
            matches!(expr.get_type(schema), Ok(DataType::Timestamp(..)))
                .then(|| session_cast(expr.as_ref().clone(), &DataType::Date32, zone))?
        }
        _ => None,
    };
    let is_known = |side: &Expr| !side.any_column_refs();
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
            let days = match (is_known(&left), is_known(&right)) {
                (false, true) => day_of(&left).map(|day| sum(day, op, right.as_ref().clone())),
                (true, false) => day_of(&right).map(|day| sum(left.as_ref().clone(), op, day)),
                _ => None,
            };
            match days {
                Some(days) => Transformed::yes(days),
                None => Transformed::no(sum(*left, op, *right)),
            }
        }
        Expr::Between(mut between) if is_known(&between.low) && is_known(&between.high) => {
            let day = day_of(&between.expr);
            let found = day.map(|day| *between.expr = day).is_some();
            Transformed::new_transformed(Expr::Between(between), found)
        }
        Expr::InList(mut list) if list.list.iter().all(is_known) => {
            let day = day_of(&list.expr);
            let found = day.map(|day| *list.expr = day).is_some();
            Transformed::new_transformed(Expr::InList(list), found)
        }
        other => Transformed::no(other),
    }
}

/// Compares intervals, and sorts by them, by how long they are: a day is 24 hours. Runs after types are made equal.
#[derive(Debug)]
pub(super) struct IntervalOrder;

impl AnalyzerRule for IntervalOrder {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let wants = |expr: &Expr| matches!(expr, Expr::BinaryExpr(_) | Expr::Between(_) | Expr::InList(_));
        let plan = rewrite(plan, wants, &|expr, schema| Ok(by_span(expr, schema)))?;
        let sorted = plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Sort(mut sort) = plan else {
                return Ok(Transformed::no(plan));
            };
            let schema = Arc::clone(sort.input.schema());
            let mut changed = false;
            for by in &mut sort.expr {
                if is_interval(&by.expr, &schema) {
                    by.expr = interval_span(std::mem::take(&mut by.expr));
                    changed = true;
                }
            }
            Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), changed))
        })?;
        Ok(sorted.data)
    }

    fn name(&self) -> &'static str {
        "interval_order"
    }
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Interval(_)))
}

fn by_span(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let compares = |op: Operator| {
        op.supports_propagation() || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
    };
    let spans = |expr: Box<Expr>| Box::new(interval_span(*expr));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if compares(op) && is_interval(&left, schema) && is_interval(&right, schema) =>
        {
            Transformed::yes(sum(interval_span(*left), op, interval_span(*right)))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) if is_interval(&expr, schema) => Transformed::yes(Expr::Between(Between {
            expr: spans(expr),
            negated,
            low: spans(low),
            high: spans(high),
        })),
        Expr::InList(InList { expr, list, negated }) if is_interval(&expr, schema) => {
            Transformed::yes(Expr::InList(InList {
                expr: spans(expr),
                list: list.into_iter().map(interval_span).collect(),
                negated,
            }))
        }
        other => Transformed::no(other),
    }
}
