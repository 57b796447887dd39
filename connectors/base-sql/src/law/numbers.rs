//! Laws of numbers.
//!
//! Integers of any width and sign compare by value there and here. Decimals compare by value, too, if the literal
//! reaches the source as a decimal: it is bound as text under a cast. Floats are declined: our engine orders NaN and
//! tells -0.0 from 0.0, a source does neither.

use arrow::datatypes::{Decimal128Type, Decimal256Type, DecimalType};
use datafusion::common::ScalarValue;

use crate::profile::ColumnKind;
use crate::remote::{RemoteValue, ValueForm};

/// The widest decimal that a literal is cast to.
const DECIMAL_DIGITS_MAX: u8 = 65;
/// The most digits behind the point of a decimal that a literal is cast to.
const DECIMAL_SCALE_MAX: i8 = 30;

/// Why floats are declined.
pub(super) const FLOAT_REASON: &str = "floating point numbers do not compare alike there and here";

/// Why numbers of `kind` are sent.
pub(super) fn reason(kind: &ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Decimal => "decimals compare alike there and here",
        _ => "integers compare alike there and here",
    }
}

/// The literal to bind against a column of `kind`, or `None` when it is of another type.
pub(super) fn literal(kind: &ColumnKind, value: &ScalarValue) -> Option<RemoteValue> {
    match kind {
        ColumnKind::Integer => integer(value).or_else(|| whole_decimal(value)),
        ColumnKind::Decimal => decimal(value),
        _ => None,
    }
}

fn integer(value: &ScalarValue) -> Option<RemoteValue> {
    let signed = match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        ScalarValue::UInt64(Some(value)) => return Some(unsigned(*value)),
        _ => None,
    };
    signed.map(|value| RemoteValue::plain(ScalarValue::Int64(Some(value))))
}

fn unsigned(value: u64) -> RemoteValue {
    RemoteValue::plain(match i64::try_from(value) {
        Ok(value) => ScalarValue::Int64(Some(value)),
        Err(_) => ScalarValue::UInt64(Some(value)),
    })
}

/// A decimal without a fraction, as literals for `bigint unsigned` (numeric(20,0) here) come.
///
/// Bound as an integer where it is one, so that the comparison stays one of integers and uses an index.
fn whole_decimal(value: &ScalarValue) -> Option<RemoteValue> {
    let ScalarValue::Decimal128(Some(digits), _, 0) = value else {
        return None;
    };
    if let Ok(small) = i64::try_from(*digits) {
        return Some(RemoteValue::plain(ScalarValue::Int64(Some(small))));
    }
    if let Ok(large) = u64::try_from(*digits) {
        return Some(RemoteValue::plain(ScalarValue::UInt64(Some(large))));
    }
    decimal(value)
}

fn decimal(value: &ScalarValue) -> Option<RemoteValue> {
    let (text, precision, scale) = match value {
        ScalarValue::Decimal128(Some(digits), precision, scale) => (
            Decimal128Type::format_decimal(*digits, *precision, *scale),
            *precision,
            *scale,
        ),
        ScalarValue::Decimal256(Some(digits), precision, scale) => (
            Decimal256Type::format_decimal(*digits, *precision, *scale),
            *precision,
            *scale,
        ),
        _ => return None,
    };
    if precision > DECIMAL_DIGITS_MAX || !(0..=DECIMAL_SCALE_MAX).contains(&scale) {
        return None;
    }
    Some(RemoteValue {
        value: ScalarValue::from(text),
        form: ValueForm::Decimal {
            precision,
            scale: u8::try_from(scale).ok()?,
        },
    })
}
