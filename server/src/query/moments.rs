//! Arithmetic of dates, timestamps and intervals with PostgreSQL's types, in the session's time zone.

use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions::{interval_times, session_cast, timestamp_minus, timestamptz_plus};
use crate::values::zone;

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DAY: i64 = 86_400_000_000;

fn session_zone(options: &ConfigOptions) -> Tz {
    let name = options.execution.time_zone.as_deref();
    name.and_then(zone::by_name).unwrap_or(Tz::UTC)
}

fn rewrite(
    plan: LogicalPlan,
    each: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| each(expr, &schema))?;
            Ok(if rewritten.transformed {
                rewritten.update_data(|expr| name.restore(expr))
            } else {
                rewritten
            })
        })?;
        rewritten.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(rewritten.data)
}

/// Operators that DataFusion's planner refuses: an interval times a number, a quoted number beside a number.
#[derive(Debug)]
pub(super) struct MomentOperators;

impl ExprPlanner for MomentOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let types = expr
            .left
            .get_type(schema)
            .ok()
            .zip(expr.right.get_type(schema).ok());
        let Some((left, right)) = types else {
            return Ok(PlannerResult::Original(expr));
        };
        let operator = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
        let planned = match operator {
            Operator::Multiply if is_interval(&left) && is_number(&right) => {
                interval_times(expr.left, expr.right)
            }
            Operator::Multiply if is_number(&left) && is_interval(&right) => {
                interval_times(expr.right, expr.left)
            }
            Operator::Divide if is_interval(&left) && is_number(&right) => {
                let divisor = cast(expr.right, DataType::Float64);
                interval_times(expr.left, sum(lit(1.0), Operator::Divide, divisor))
            }
            _ if is_number(&left) && is_text(&right) && is_literal(&expr.right) => {
                sum(expr.left, operator, cast(expr.right, left))
            }
            _ if is_text(&left) && is_number(&right) && is_literal(&expr.left) => {
                sum(cast(expr.left, right), operator, expr.right)
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(planned))
    }
}

/// Gives the arithmetic of moments PostgreSQL's types. Runs before types are made equal.
#[derive(Debug)]
pub(super) struct MomentArithmetic;

impl AnalyzerRule for MomentArithmetic {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = session_zone(options);
        rewrite(plan, &|expr, schema| arithmetic(expr, schema, zone))
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
            binary(BinaryExpr { left, op, right }, &left_type, &right_type, zone)
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
        other => Ok(Transformed::no(other)),
    }
}

fn is_date(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Date32))
}

fn binary(
    expr: BinaryExpr,
    left_type: &DataType,
    right_type: &DataType,
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
        _ => Transformed::no(sum(*left, op, *right)),
    })
}

fn sum(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr {
        left: Box::new(left),
        op,
        right: Box::new(right),
    })
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || data_type.is_floating() || data_type.is_decimal()
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    )
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
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

/// Casts of moments that depend on the session's time zone, and those to text. Runs after types are made equal.
#[derive(Debug)]
pub(super) struct SessionZone;

impl AnalyzerRule for SessionZone {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = session_zone(options);
        rewrite(plan, &|expr, schema| {
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
            let shown = matches!(from, DataType::Timestamp(..) | DataType::Interval(_)) && is_text(to);
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
