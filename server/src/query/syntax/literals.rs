//! Literals of types whose texts the planner reads otherwise, or not at all, as those that it reads.

use chrono_tz::Tz;
use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, DataType, ExactNumberInfo, Expr, Interval, TimezoneInfo, UnaryOperator, Value,
    Values,
};

use super::{Rewriter, cast, number, span_of};
use crate::error::{QueryError, Result};
use crate::query::catalog_syntax::{call, last_part, literal_text, null, string};
use crate::query::types::canonical;
use crate::sqlstate::SqlState;
use crate::values::input::{self, invalid, malformed_array, unreadable};
use crate::values::{array, moment, text};

/// Most digits of a numeric.
const DIGITS_MAX: i64 = 76;

impl Rewriter {
    /// Gives the literal texts in a column of VALUES the one type that is written for others there.
    pub(super) fn type_literals(&self, values: &mut Values) -> Result<()> {
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
    pub(super) fn typed_literal(&self, text: &str, data_type: &DataType) -> Result<Option<Expr>> {
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

pub(super) fn is_float(data_type: &DataType) -> bool {
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
pub(super) fn plain(digits: &str) -> Result<String> {
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

pub(super) fn plain_interval(interval: &mut Interval) -> Result<Expr> {
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
pub(super) fn interval_literal(value: moment::Interval) -> Expr {
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
