//! Values as PostgreSQL's input functions read them: the texts of parameters, of literals that have no type of their own,
//! and of what EXECUTE gives.

use std::sync::Arc;

use chrono::{NaiveDateTime, Utc};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;

use super::decimal::{decimal_of_text, scalar};
use super::moment::Unreadable;
use super::{array, moment};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// What the meaning of a text depends on beside the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputContext {
    /// The session's time zone.
    pub(crate) zone: Tz,
    /// The local time there: what `now` and `today` mean.
    pub(crate) now: NaiveDateTime,
}

impl InputContext {
    /// Now, in `zone`.
    pub(crate) fn in_zone(zone: Tz) -> Self {
        Self {
            zone,
            now: Utc::now().with_timezone(&zone).naive_local(),
        }
    }
}

/// The value of `data_type` that `text` says. Errors: 22P02, 22003, 22007, 22008.
pub(crate) fn of_text(text: &str, data_type: &DataType, cx: &InputContext) -> Result<ScalarValue> {
    let invalid = || invalid(type_name(data_type), text);
    let unreadable = |error| unreadable(error, type_name(data_type), text);
    let trimmed = text.trim();
    Ok(match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(boolean(trimmed).ok_or_else(invalid)?)),
        DataType::Int16 => ScalarValue::Int16(Some(integer(text, data_type)?)),
        DataType::Int32 => ScalarValue::Int32(Some(integer(text, data_type)?)),
        DataType::Int64 => ScalarValue::Int64(Some(integer(text, data_type)?)),
        DataType::UInt32 => ScalarValue::UInt32(Some(integer(text, data_type)?)),
        DataType::Float32 => {
            let value: f32 = trimmed.parse().map_err(|_| invalid())?;
            ScalarValue::Float32(Some(in_range(
                value,
                value.is_infinite() || vanishes(trimmed, value == 0.0),
                text,
                data_type,
            )?))
        }
        DataType::Float64 => {
            let value: f64 = trimmed.parse().map_err(|_| invalid())?;
            ScalarValue::Float64(Some(in_range(
                value,
                value.is_infinite() || vanishes(trimmed, value == 0.0),
                text,
                data_type,
            )?))
        }
        decimal if decimal.is_decimal() => scalar(decimal_of_text(trimmed).ok_or_else(invalid)?)?,
        DataType::Utf8View => ScalarValue::Utf8View(Some(text.to_owned())),
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::BinaryView | DataType::Binary | DataType::LargeBinary => {
            ScalarValue::BinaryView(Some(bytea(text)?)).cast_to(data_type)?
        }
        DataType::Date32 => {
            let date = moment::date(text, cx.now).map_err(unreadable)?;
            ScalarValue::Date32(Some(Date32Type::from_naive_date(date)))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            ScalarValue::Time64Microsecond(Some(moment::time(text).map_err(unreadable)?))
        }
        DataType::Timestamp(_, None) => {
            let read = moment::timestamp(text, cx.now).map_err(unreadable)?;
            ScalarValue::TimestampMicrosecond(Some(read), None).cast_to(data_type)?
        }
        DataType::Timestamp(_, Some(zone)) => {
            let read = moment::timestamptz(text, cx.now, cx.zone).map_err(unreadable)?;
            ScalarValue::TimestampMicrosecond(Some(read), Some(Arc::clone(zone))).cast_to(data_type)?
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let read = moment::interval(text, "second").map_err(unreadable)?;
            let nanoseconds = read.microseconds.checked_mul(1_000);
            let nanoseconds = nanoseconds.ok_or_else(|| unreadable(Unreadable::Range))?;
            let value = IntervalMonthDayNano::new(read.months, read.days, nanoseconds);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
        DataType::List(item) => {
            let items = array::items(text).ok_or_else(|| malformed_array(text))?;
            let values = items.into_iter().map(|value| match value {
                Some(value) => of_text(&value, item.data_type(), cx),
                None => Ok(ScalarValue::try_from(item.data_type())?),
            });
            let values: Vec<ScalarValue> = values.collect::<Result<_>>()?;
            ScalarValue::List(ScalarValue::new_list_nullable(&values, item.data_type()))
        }
        other => ScalarValue::try_from_string(trimmed.to_owned(), other).map_err(|_| invalid())?,
    })
}

/// 22P02 for a text that is none of a type.
pub(crate) fn invalid(type_name: &str, text: &str) -> QueryError {
    QueryError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {type_name}: \"{text}\""),
    )
}

/// 22P02 for a text that is no array.
pub(crate) fn malformed_array(text: &str) -> QueryError {
    let message = format!("malformed array literal: \"{text}\"");
    QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
}

/// 22007 or 22008 for a text that is no moment.
pub(crate) fn unreadable(error: Unreadable, type_name: &str, text: &str) -> QueryError {
    match error {
        Unreadable::Syntax => QueryError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        ),
        Unreadable::Range => QueryError::new(
            SqlState::DATETIME_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        ),
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(
    text: &str,
    data_type: &DataType,
) -> Result<T> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.trim()
        .parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            PosOverflow | NegOverflow => out_of_range(&format!("value \"{text}\""), data_type),
            _ => invalid(type_name(data_type), text),
        })
}

fn out_of_range(value: &str, data_type: &DataType) -> QueryError {
    let message = format!("{value} is out of range for type {}", type_name(data_type));
    QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// Whether what is zero as a float is none as it is written.
fn vanishes(digits: &str, is_zero: bool) -> bool {
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    is_zero && mantissa.contains(|digit: char| ('1'..='9').contains(&digit))
}

/// A float whose text does not say that it is infinite must not be.
fn in_range<T>(value: T, infinite: bool, text: &str, data_type: &DataType) -> Result<T> {
    let said = text.to_ascii_lowercase().contains("inf");
    match infinite && !said {
        true => Err(out_of_range(&format!("\"{text}\""), data_type)),
        false => Ok(value),
    }
}

/// Any beginning of a word that no other word has, as in PostgreSQL.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if text == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        Some(true)
    } else if text == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        Some(false)
    } else {
        None
    }
}

/// `\x` and hex digits, or bytes with `\\` and `\nnn` escapes. Errors: 22023 for hex digits that are none, 22P02 for escapes.
pub(crate) fn bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return bytes_of_hex(hex);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let (byte, after) = octal(rest).ok_or_else(|| invalid("bytea", text))?;
            bytes.push(byte);
            rest = after;
        }
    }
    Ok(bytes)
}

/// The byte that three octal digits say, and what follows.
fn octal(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = rest.split_at_checked(3)?;
    if !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u8::from_str_radix(digits, 8).ok()?, after))
}

fn bytes_of_hex(hex: &str) -> Result<Vec<u8>> {
    let wrong = |message: String| QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let digits = hex.chars().filter(|character| !character.is_whitespace());
    let digits = digits.map(|character| {
        let digit = character.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        digit.ok_or_else(|| wrong(format!("invalid hexadecimal digit: \"{character}\"")))
    });
    let digits: Vec<u8> = digits.collect::<Result<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Ok((high << 4) | low),
        _ => Err(wrong("invalid hexadecimal data: odd number of digits".to_owned())),
    });
    pairs.collect()
}

/// The name of a type as PostgreSQL's messages have it.
pub(crate) fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::UInt32 => "oid",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Utf8 | DataType::Utf8View => "text",
        DataType::BinaryView | DataType::Binary | DataType::LargeBinary => "bytea",
        DataType::Date32 => "date",
        DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(_) => "interval",
        DataType::List(_) => "array",
        decimal if decimal.is_decimal() => "numeric",
        _ => "unknown",
    }
}
