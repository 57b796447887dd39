//! PostgreSQL's literals and spellings, made plain for the planner: moments in any of their forms, numbers with exponents,
//! AT TIME ZONE, EXTRACT, FETCH FIRST, casts with a length.

use std::ops::ControlFlow;

use chrono_tz::Tz;
use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, BinaryOperator, CaseWhen, CastKind, CharacterLength, DataType, Distinct, Expr,
    GroupByExpr, Interval, LimitClause, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement,
    TimezoneInfo, UnaryOperator, Value, Values, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::ast::{ExactNumberInfo, helpers::attached_token::AttachedToken};

use super::catalog_syntax::{call, has_aggregate, last_part, literal_text, null, string};
use super::names::name_right_sides;
use super::rows;
use super::types::canonical;
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;
use crate::values::input::{self, InputContext, invalid, malformed_array, unreadable};
use crate::values::{array, moment, text};

/// Most digits of a numeric.
const DIGITS_MAX: i64 = 76;

/// Rewrites `statement` for a session. Errors: 22007, 22008, 22P02, 22003 for literals that are no values.
pub(super) fn rewrite(statement: &mut Statement, input: InputContext) -> Result<()> {
    match VisitMut::visit(statement, &mut Rewriter { input }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter {
    input: InputContext,
}

impl VisitorMut for Rewriter {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        name_right_sides(query);
        spell_out_positions(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        name_group_of_all(select);
        for item in &mut select.projection {
            // None of its own is an error.
            let _ = VisitMut::visit(item, &mut SeriesAsRows::default());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if let SetExpr::Values(values) = query.body.as_mut()
            && let Err(error) = self.type_literals(values)
        {
            return ControlFlow::Break(error);
        }
        let Some(fetch) = query.fetch.take() else {
            return ControlFlow::Continue(());
        };
        if fetch.with_ties || fetch.percent {
            return ControlFlow::Break(QueryError::not_supported(
                "FETCH FIRST with TIES or PERCENT is not supported",
            ));
        }
        let count = fetch.quantity.unwrap_or_else(|| number("1"));
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, .. }) if limit.is_none() => *limit = Some(count),
            Some(_) => return ControlFlow::Break(QueryError::syntax("multiple LIMIT clauses not allowed")),
            none => {
                *none = Some(LimitClause::LimitOffset {
                    limit: Some(count),
                    offset: None,
                    limit_by: Vec::new(),
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        // Before the number is looked at by itself: as a float it may be larger than any numeric.
        if let Expr::Cast {
            expr: inner,
            data_type,
            ..
        } = expr
            && is_float(data_type)
            && let Expr::Value(value) = inner.as_ref()
            && let Value::Number(digits, _) = &value.value
        {
            **inner = string(digits);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        match self.rewritten(expr) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(plain)) => {
                *expr = plain;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Makes rows of a series in a select list: without that it is an array.
#[derive(Default)]
struct SeriesAsRows {
    /// Queries around an expression, which have select lists of their own.
    queries: usize,
}

impl VisitorMut for SeriesAsRows {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_series = match expr {
            Expr::Function(function) => last_part(&function.name).as_deref() == Some("generate_series"),
            _ => false,
        };
        if is_series && self.queries == 0 {
            *expr = call("unnest", vec![std::mem::replace(expr, null())]);
        }
        ControlFlow::Continue(())
    }
}

/// Positions in the order of DISTINCT ON: DataFusion looks for the columns of the result before there are any.
fn spell_out_positions(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return;
    };
    let is_plain = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    if !matches!(select.distinct, Some(Distinct::On(_))) || !select.projection.iter().all(is_plain) {
        return;
    }
    let Some(OrderBy {
        kind: OrderByKind::Expressions(keys),
        ..
    }) = &mut query.order_by
    else {
        return;
    };
    for key in keys {
        let Expr::Value(value) = &key.expr else { continue };
        let Value::Number(digits, _) = &value.value else {
            continue;
        };
        let place = digits
            .parse::<usize>()
            .ok()
            .and_then(|place| place.checked_sub(1));
        if let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) =
            place.and_then(|place| select.projection.get(place))
            && !matches!(expr, Expr::Value(_))
        {
            key.expr = expr.clone();
        }
    }
}

/// HAVING without groups makes one group of all rows, also where no aggregate says so.
fn name_group_of_all(select: &mut Select) {
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let Some(having) = select.having.take() else {
        return;
    };
    let aggregates = has_aggregate(&having) || has_aggregate(&select.projection);
    select.having = Some(match is_grouped || aggregates {
        true => having,
        false => Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(having))),
            op: BinaryOperator::And,
            right: Box::new(Expr::BinaryOp {
                left: Box::new(call("count", vec![number("1")])),
                op: BinaryOperator::GtEq,
                right: Box::new(number("0")),
            }),
        },
    });
}

impl Rewriter {
    fn rewritten(&self, expr: &mut Expr) -> Result<Option<Expr>> {
        Ok(match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) if digits.contains(['e', 'E']) => {
                    let mut digits = plain(digits)?;
                    if !digits.contains('.') {
                        // With a point it is a numeric, as every number with an exponent.
                        digits.push('.');
                    }
                    Some(number(&digits))
                }
                Value::UnicodeStringLiteral(text) => Some(string(text)),
                _ => None,
            },
            // Which the engine plans as never NULL, and computes as if it might be.
            Expr::IsUnknown(inner) => Some(Expr::IsNull(inner.clone())),
            Expr::IsNotUnknown(inner) => Some(Expr::IsNotNull(inner.clone())),
            Expr::TypedString(typed) => {
                if let Some(rounding) = Rounding::of(&typed.data_type) {
                    typed.data_type = rounding.whole.clone();
                    return self.rounded(expr, &rounding).map(Some);
                }
                let span = Span::try_from_sqlparser_span(typed.value.span);
                match typed.value.value.clone().into_string() {
                    Some(text) => self
                        .typed_literal(&text, &typed.data_type)
                        .map_err(|error| error.at(span))?,
                    None => None,
                }
            }
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } => {
                if let Some(rounding) = Rounding::of(data_type) {
                    *data_type = rounding.whole.clone();
                    return self.rounded(expr, &rounding).map(Some);
                }
                match literal_text(inner) {
                    Some(text) => {
                        let text = text.to_owned();
                        let span = span_of(inner);
                        self.typed_literal(&text, data_type)
                            .map_err(|error| error.at(span))?
                            .or_else(|| with_length(inner, data_type))
                    }
                    None => with_length(inner, data_type),
                }
            }
            Expr::Interval(interval) => Some(plain_interval(interval)?),
            Expr::Extract { field, expr: of, .. } => {
                let field = field.to_string().trim_matches(['\'', '"']).to_lowercase();
                let of = std::mem::replace(of.as_mut(), null());
                Some(call("extract", vec![string(&field), of]))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let moment = std::mem::replace(timestamp.as_mut(), null());
                let zone = std::mem::replace(time_zone.as_mut(), null());
                Some(call("timezone", vec![zone, moment]))
            }
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: operand,
            } => match operand.as_ref() {
                Expr::Interval(interval) => literal_text(&interval.value)
                    .and_then(|text| moment::interval(text, "second").ok())
                    .map(|value| {
                        interval_literal(moment::Interval {
                            months: value.months.wrapping_neg(),
                            days: value.days.wrapping_neg(),
                            microseconds: value.microseconds.wrapping_neg(),
                        })
                    }),
                _ => None,
            },
            Expr::UnaryOp {
                op: UnaryOperator::PGAbs,
                expr: operand,
            } => Some(call("abs", vec![std::mem::replace(operand.as_mut(), null())])),
            Expr::UnaryOp {
                op: UnaryOperator::BitwiseNot,
                expr: operand,
            } => {
                let operand = std::mem::replace(operand.as_mut(), null());
                Some(binary(operand, BinaryOperator::PGBitwiseXor, number("-1")))
            }
            Expr::Function(_) => function(expr),
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => in_items(left, right, false)?,
            Expr::AllOp {
                left,
                compare_op: BinaryOperator::NotEq,
                right,
            } => in_items(left, right, true)?,
            other => rows::compared(other)?,
        })
    }

    /// `expr`, which is of the rounding's type with all digits of the second, with those that it leaves.
    fn rounded(&self, expr: &mut Expr, rounding: &Rounding) -> Result<Expr> {
        let whole = match self.rewritten(expr)? {
            Some(plain) => plain,
            None => std::mem::replace(expr, null()),
        };
        Ok(call(
            rounding.function,
            vec![whole, number(&rounding.digits.to_string())],
        ))
    }

    /// Gives the literal texts in a column of VALUES the one type that is written for others there.
    fn type_literals(&self, values: &mut Values) -> Result<()> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for place in 0..width {
            let mut types = values
                .rows
                .iter()
                .filter_map(|row| written_type(row.content.get(place)?));
            let Some(wanted) = types.next() else { continue };
            if types.any(|other| other != wanted) {
                continue;
            }
            let cells = values
                .rows
                .iter_mut()
                .filter_map(|row| row.content.get_mut(place));
            for cell in cells {
                let Some(text) = literal_text(cell) else { continue };
                let typed = self.typed_literal(text, &wanted);
                let typed = typed.map_err(|error| error.at(span_of(cell)))?;
                *cell = typed.unwrap_or_else(|| cast(string(text), wanted.clone()));
            }
        }
        Ok(())
    }

    /// A text cast to a type whose texts the planner reads otherwise, or not at all.
    fn typed_literal(&self, text: &str, data_type: &DataType) -> Result<Option<Expr>> {
        let zoned = |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
        let kind = match data_type {
            DataType::Date => "date",
            DataType::Timestamp(_, zone) if zoned(zone) => "timestamptz",
            DataType::Timestamp(..) => "timestamp",
            DataType::Time(_, zone) if !zoned(zone) => "time",
            DataType::Interval { .. } => {
                let read =
                    moment::interval(text, "second").map_err(|error| unreadable(error, "interval", text))?;
                return Ok(Some(interval_literal(read)));
            }
            DataType::Bytea => return bytes(text).map(Some),
            DataType::Numeric(ExactNumberInfo::None) | DataType::Decimal(ExactNumberInfo::None) => {
                return numeric(text).map(Some);
            }
            DataType::Array(ArrayElemTypeDef::SquareBracket(item, _))
                if text.trim_start().starts_with('{') =>
            {
                return array_literal(text, item).map(Some);
            }
            DataType::Custom(name, _) => match last_part(name).as_deref() {
                Some("timestamptz") => "timestamptz",
                Some("uuid") => return uuid(text).map(Some),
                _ => return Ok(None),
            },
            DataType::Uuid => return uuid(text).map(Some),
            float if is_float(float) => {
                // The planner reads it alike, but what is out of range.
                let double = || datafusion::arrow::datatypes::DataType::Float64;
                input::of_text(text, &canonical(float).unwrap_or_else(double), &self.input)?;
                return Ok(None);
            }
            _ => return Ok(None),
        };
        let shown = |write: &dyn Fn(&mut bytes::BytesMut)| {
            let mut out = bytes::BytesMut::new();
            write(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let type_name = match kind {
            "timestamptz" => "timestamp with time zone",
            other => other,
        };
        let failed = |error| unreadable(error, type_name, text);
        let plain = match kind {
            "date" => moment::date(text, self.input.now).map_err(failed)?.to_string(),
            "timestamp" => {
                let read = moment::timestamp(text, self.input.now).map_err(failed)?;
                shown(&|out| text::timestamp(out, read))
            }
            "timestamptz" => {
                let read = moment::timestamptz(text, self.input.now, self.input.zone).map_err(failed)?;
                shown(&|out| text::timestamptz(out, read, Tz::UTC))
            }
            _ => {
                let read = moment::time(text).map_err(failed)?;
                shown(&|out| text::time(out, read))
            }
        };
        Ok(Some(cast(string(&plain), data_type.clone())))
    }
}

/// The type that an expression of VALUES names; `None` too for numbers, which the planner gives one type by itself.
fn written_type(expr: &Expr) -> Option<DataType> {
    match expr {
        Expr::Cast { data_type, .. } => match data_type {
            DataType::Date
            | DataType::Timestamp(..)
            | DataType::Time(..)
            | DataType::Boolean
            | DataType::Bool
            | DataType::Bytea
            | DataType::Array(_)
            | DataType::Custom(..) => Some(data_type.clone()),
            _ => None,
        },
        Expr::Interval(_) => Some(DataType::Interval {
            fields: None,
            precision: None,
        }),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some(DataType::Boolean),
        _ => None,
    }
}

fn span_of(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::Value(value) => Span::try_from_sqlparser_span(value.span),
        Expr::Nested(inner) => span_of(inner),
        _ => None,
    }
}

fn is_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float(_) | DataType::Real | DataType::Double(_) | DataType::DoublePrecision => true,
        DataType::Float4 | DataType::Float8 => true,
        DataType::Custom(name, _) => {
            last_part(name).is_some_and(|name| ["float4", "float8"].contains(&name.as_str()))
        }
        _ => false,
    }
}

/// `1.5e3` as `1500`. Errors: 22003 for more digits than a numeric has.
fn plain(digits: &str) -> Result<String> {
    let too_long = || {
        QueryError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("numeric literal {digits} has more than {DIGITS_MAX} digits"),
        )
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent: i64 = exponent.parse().map_err(|_| too_long())?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let point = length(whole).saturating_add(exponent);
    let all = format!("{whole}{fraction}");
    if point.abs() > DIGITS_MAX || length(&all) - point > DIGITS_MAX {
        return Err(too_long());
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    Ok(if point <= 0 {
        format!("0.{}{all}", zeros(-point))
    } else if point >= length(&all) {
        format!("{all}{}", zeros(point - length(&all)))
    } else {
        let (whole, fraction) = all.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{fraction}")
    })
}

/// A text cast to `numeric` without digits: the number that it is.
fn numeric(text: &str) -> Result<Expr> {
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    if ["nan", "infinity", "inf"].contains(&digits.to_lowercase().as_str()) {
        return Err(QueryError::not_supported(format!(
            "the numeric {trimmed} is not supported"
        )));
    }
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let is_number = mantissa.chars().any(|digit| digit.is_ascii_digit())
        && mantissa.chars().filter(|character| *character == '.').count() <= 1
        && mantissa
            .chars()
            .all(|character| character.is_ascii_digit() || character == '.')
        && exponent.parse::<i64>().is_ok();
    if !is_number {
        return Err(invalid("numeric", text));
    }
    let mut plain = plain(digits)?;
    if !plain.contains('.') {
        // With a point, so that it is read as a numeric however small it is.
        plain.push('.');
    }
    let value = cast(number(&plain), DataType::Numeric(ExactNumberInfo::None));
    Ok(match negative {
        true => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(value),
        },
        false => value,
    })
}

fn uuid(text: &str) -> Result<Expr> {
    let bare = text.trim();
    let bare = bare
        .strip_prefix('{')
        .and_then(|inner| inner.strip_suffix('}'))
        .unwrap_or(bare);
    let digits: String = bare.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(invalid("uuid", text));
    }
    let digits = digits.to_lowercase();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let plain = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
    Ok(cast(string(&plain), DataType::Text))
}

/// A bytea as the planner reads it.
fn bytes(text: &str) -> Result<Expr> {
    let read = input::bytea(text)?;
    let hex: String = read.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(call("decode", vec![string(&hex), string("hex")]))
}

/// `x = ANY ('{1,2}')` as `x IN ('1', '2')`: what the items are depends on what they are compared with.
fn in_items(left: &mut Expr, right: &Expr, negated: bool) -> Result<Option<Expr>> {
    let Some(text) = literal_text(right) else {
        return Ok(None);
    };
    let items = array::items(text).ok_or_else(|| malformed_array(text).at(span_of(right)))?;
    if items.is_empty() {
        // Of no items: even NULL is none of them.
        return Ok(Some(Expr::value(Value::Boolean(negated))));
    }
    let list = items
        .into_iter()
        .map(|item| item.as_deref().map_or_else(null, string));
    Ok(Some(Expr::InList {
        expr: Box::new(std::mem::replace(left, null())),
        list: list.collect(),
        negated,
    }))
}

fn array_literal(text: &str, item: &DataType) -> Result<Expr> {
    let items = array::items(text).ok_or_else(|| malformed_array(text))?;
    let elem = items
        .into_iter()
        .map(|value| cast(value.as_deref().map_or_else(null, string), item.clone()))
        .collect();
    let literal = Expr::Array(Array { elem, named: true });
    Ok(cast(
        literal,
        DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(item.clone()), None)),
    ))
}

/// How a type such as `timestamp(3)` rounds moments.
struct Rounding {
    /// PostgreSQL's function that does it.
    function: &'static str,
    /// The type without its digits.
    whole: DataType,
    /// Of the second, behind the point.
    digits: u64,
}

impl Rounding {
    fn of(data_type: &DataType) -> Option<Self> {
        let zoned = |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
        let (function, digits, whole) = match data_type {
            DataType::Timestamp(Some(digits), zone) if zoned(zone) => {
                ("timestamptz", digits, DataType::Timestamp(None, *zone))
            }
            DataType::Timestamp(Some(digits), zone) => {
                ("timestamp", digits, DataType::Timestamp(None, *zone))
            }
            DataType::Time(Some(digits), zone) if !zoned(zone) => {
                ("time", digits, DataType::Time(None, *zone))
            }
            _ => return None,
        };
        let digits = *digits;
        Some(Self {
            function,
            whole,
            digits,
        })
    }
}

/// A cast to `varchar(n)` cuts the text.
fn with_length(inner: &mut Expr, data_type: &DataType) -> Option<Expr> {
    let length = match data_type {
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::Char(Some(length))
        | DataType::Character(Some(length)) => match length {
            CharacterLength::IntegerLength { length, .. } => *length,
            CharacterLength::Max => return None,
        },
        DataType::Char(None) | DataType::Character(None) => 1,
        _ => return None,
    };
    let text = cast(std::mem::replace(inner, null()), DataType::Text);
    Some(call("left", vec![text, number(&length.to_string())]))
}

fn plain_interval(interval: &mut Interval) -> Result<Expr> {
    let text = match literal_text(&interval.value) {
        Some(text) => text.to_owned(),
        None => match interval.value.as_ref() {
            Expr::Value(value) => value.value.to_string(),
            _ => return Ok(Expr::Interval(interval.clone())),
        },
    };
    let unit = match (&interval.last_field, &interval.leading_field) {
        (Some(last), _) => last.to_string().to_lowercase(),
        (None, Some(only)) => only.to_string().to_lowercase(),
        (None, None) => "second".to_owned(),
    };
    let span = span_of(&interval.value);
    let read =
        moment::interval(&text, &unit).map_err(|error| unreadable(error, "interval", &text).at(span))?;
    Ok(interval_literal(read))
}

/// An interval in words that the planner reads.
fn interval_literal(value: moment::Interval) -> Expr {
    let moment::Interval {
        months,
        days,
        microseconds,
    } = value;
    let text = format!("{months} months {days} days {microseconds} microseconds");
    Expr::Interval(Interval {
        value: Box::new(string(&text)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// Functions that are operators here, or have another name.
fn function(expr: &mut Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let name = last_part(&function.name)?;
    let arguments = || -> Option<Vec<Expr>> {
        use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
        let FunctionArguments::List(list) = &function.args else {
            return None;
        };
        let plain = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        });
        plain.collect()
    };
    let now = || call("now", Vec::new());
    let local = || cast(now(), DataType::Timestamp(None, TimezoneInfo::None));
    if name == "localtimestamp" {
        return Some(match arguments().as_deref() {
            Some([digits]) => call("timestamp", vec![local(), digits.clone()]),
            _ => local(),
        });
    }
    match (name.as_str(), arguments()?.as_slice()) {
        ("current_timestamp", [digits]) => Some(call("timestamptz", vec![now(), digits.clone()])),
        ("mod", [left, right]) => Some(binary(nested(left), BinaryOperator::Modulo, nested(right))),
        // What is left over is taken off first, so that the quotient is whole.
        ("div", [left, right]) => {
            let rest = binary(nested(left), BinaryOperator::Modulo, nested(right));
            let whole = binary(nested(left), BinaryOperator::Minus, nested(&rest));
            let quotient = binary(nested(&whole), BinaryOperator::Divide, nested(right));
            Some(call(
                "trunc",
                vec![cast(quotient, DataType::Numeric(ExactNumberInfo::None))],
            ))
        }
        ("sign", [value]) => {
            let when = |op: BinaryOperator, result: &str| CaseWhen {
                condition: binary(nested(value), op, number("0")),
                result: number(result),
            };
            Some(Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![
                    when(BinaryOperator::Gt, "1"),
                    when(BinaryOperator::Lt, "-1"),
                    when(BinaryOperator::Eq, "0"),
                ],
                else_result: None,
            })
        }
        // Casts, written as calls.
        ("date", [value]) => Some(cast(value.clone(), DataType::Date)),
        ("text", [value]) => Some(cast(value.clone(), DataType::Text)),
        ("int2", [value]) => Some(cast(value.clone(), DataType::SmallInt(None))),
        ("int4", [value]) => Some(cast(value.clone(), DataType::Integer(None))),
        ("int8", [value]) => Some(cast(value.clone(), DataType::BigInt(None))),
        ("float4", [value]) => Some(cast(value.clone(), DataType::Real)),
        ("float8", [value]) => Some(cast(value.clone(), DataType::DoublePrecision)),
        ("variance", [value]) => Some(call("var_samp", vec![value.clone()])),
        ("array_length" | "cardinality" | "array_position" | "array_ndims" | "array_upper", _) => {
            let counted = std::mem::replace(expr, null());
            Some(cast(counted, DataType::Integer(None)))
        }
        _ => None,
    }
}

pub(super) fn nested(expr: &Expr) -> Expr {
    Expr::Nested(Box::new(expr.clone()))
}

fn number(digits: &str) -> Expr {
    match digits.strip_prefix('-') {
        Some(digits) => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(number(digits)),
        },
        None => Expr::value(Value::Number(digits.to_owned(), false)),
    }
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_written_out() {
        for (digits, text) in [
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("1.25E1", "12.5"),
            ("0.5e0", "0.5"),
        ] {
            assert_eq!(plain(digits).unwrap(), text);
        }
        assert!(plain("1e77").is_err());
        assert!(plain("1e-99999999999999999999").is_err());
    }
}
