//! The values of parameters: Postgres types to Arrow types, and Bind's bytes to values of these.

use std::sync::Arc;

use bytes::Buf;
use datafusion::arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;

use super::encode::Format;
use super::message::text_of;
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;
use crate::values::decimal;
use crate::values::input::{InputContext, of_text, type_name};

/// Days from 1970-01-01 to 2000-01-01, where Postgres' binary dates begin.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROSECONDS: i64 = 10_957 * 86_400_000_000;
/// The precision that stands for numeric without one.
const NUMERIC: DataType = DataType::Decimal128(38, 10);

/// The Arrow type of a parameter whose Postgres type the client names. Errors: 0A000 for a type that values cannot have.
pub(super) fn arrow_type(oid: u32) -> Result<DataType> {
    if let Some(item) = item_of_array(oid) {
        let item = Field::new_list_field(arrow_type(item)?, true);
        return Ok(DataType::List(Arc::new(item)));
    }
    Ok(match oid {
        16 => DataType::Boolean,
        21 => DataType::Int16,
        23 => DataType::Int32,
        20 => DataType::Int64,
        26 => DataType::UInt32,
        700 => DataType::Float32,
        701 => DataType::Float64,
        1700 => NUMERIC,
        18 | 19 | 25 | 114 | 705 | 1042 | 1043 | 2950 | 3802 => DataType::Utf8View,
        17 => DataType::BinaryView,
        1082 => DataType::Date32,
        1083 => DataType::Time64(TimeUnit::Microsecond),
        1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
        1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        1186 => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => {
            return Err(QueryError::not_supported(format!(
                "parameters of the type with OID {oid} are not supported"
            )));
        }
    })
}

fn item_of_array(oid: u32) -> Option<u32> {
    Some(match oid {
        1000 => 16,
        1001 => 17,
        1005 => 21,
        1007 => 23,
        1016 => 20,
        1021 => 700,
        1022 => 701,
        1231 => 1700,
        1002 | 1003 | 1009 | 1014 | 1015 | 199 | 2951 | 3807 => 25,
        1028 => 26,
        1115 => 1114,
        1182 => 1082,
        1183 => 1083,
        1185 => 1184,
        1187 => 1186,
        _ => return None,
    })
}

/// The value of parameter `number`, which is of `data_type` and came as `bytes` in `format`. `oid`: the type the client
/// sends, since a uuid and an oid have binary forms of their own; `cx`: how texts are read.
pub(super) fn decode(
    number: usize,
    bytes: Option<&[u8]>,
    format: Format,
    data_type: &DataType,
    oid: u32,
    cx: &InputContext,
) -> Result<ScalarValue> {
    let decoded = match bytes {
        None => ScalarValue::try_from(data_type).map_err(QueryError::from),
        Some(bytes) if format == Format::Text => text_of(bytes).and_then(|text| of_text(text, data_type, cx)),
        Some(bytes) => of_binary(bytes, data_type, oid),
    };
    decoded.map_err(|error| error.detail(format!("This is the value of parameter ${number}.")))
}

/// A value from Postgres' binary form.
fn of_binary(bytes: &[u8], data_type: &DataType, oid: u32) -> Result<ScalarValue> {
    let mut rest = bytes;
    binary_value(&mut rest, data_type, oid).ok_or_else(|| {
        QueryError::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            format!("incorrect binary data format for type {}", type_name(data_type)),
        )
    })?
}

/// `None`: the bytes are too few or too many.
fn binary_value(rest: &mut &[u8], data_type: &DataType, oid: u32) -> Option<Result<ScalarValue>> {
    let value = match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(rest.try_get_u8().ok()? != 0)),
        DataType::Int16 => ScalarValue::Int16(Some(rest.try_get_i16().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(rest.try_get_i32().ok()?)),
        DataType::UInt32 => ScalarValue::UInt32(Some(rest.try_get_u32().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(rest.try_get_i64().ok()?)),
        DataType::Float32 => ScalarValue::Float32(Some(rest.try_get_f32().ok()?)),
        DataType::Float64 => ScalarValue::Float64(Some(rest.try_get_f64().ok()?)),
        DataType::Date32 => ScalarValue::Date32(Some(rest.try_get_i32().ok()?.checked_add(EPOCH_DAYS)?)),
        DataType::Time64(TimeUnit::Microsecond) => {
            ScalarValue::Time64Microsecond(Some(rest.try_get_i64().ok()?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let value = rest.try_get_i64().ok()?.checked_add(EPOCH_MICROSECONDS)?;
            ScalarValue::TimestampMicrosecond(Some(value), zone.clone())
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let microseconds = rest.try_get_i64().ok()?;
            let (days, months) = (rest.try_get_i32().ok()?, rest.try_get_i32().ok()?);
            let value = IntervalMonthDayNano::new(months, days, microseconds.checked_mul(1_000)?);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
        decimal if decimal.is_decimal() => return decimal::of_binary(std::mem::take(rest)),
        DataType::BinaryView => ScalarValue::BinaryView(Some(std::mem::take(rest).to_vec())),
        DataType::Utf8View | DataType::Utf8 => return text_of_binary(std::mem::take(rest), data_type, oid),
        DataType::List(item) => return array_of_binary(rest, item.data_type()),
        other => {
            let message = format!("binary values of type {} are not supported", type_name(other));
            return Some(Err(QueryError::not_supported(message)));
        }
    };
    rest.is_empty().then_some(Ok(value))
}

fn text_of_binary(bytes: &[u8], data_type: &DataType, oid: u32) -> Option<Result<ScalarValue>> {
    let text = match oid {
        2950 => uuid(bytes)?,
        // The first byte of jsonb is its version.
        3802 => match text_of(bytes.strip_prefix(&[1])?) {
            Ok(text) => text.to_owned(),
            Err(error) => return Some(Err(error)),
        },
        _ => match text_of(bytes) {
            Ok(text) => text.to_owned(),
            Err(error) => return Some(Err(error)),
        },
    };
    Some(Ok(match data_type {
        DataType::Utf8 => ScalarValue::Utf8(Some(text)),
        _ => ScalarValue::Utf8View(Some(text)),
    }))
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// An array of one dimension, or an empty one.
fn array_of_binary(rest: &mut &[u8], item: &DataType) -> Option<Result<ScalarValue>> {
    let dimensions = rest.try_get_i32().ok()?;
    let _has_nulls = rest.try_get_i32().ok()?;
    let item_oid = rest.try_get_u32().ok()?;
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = rest.try_get_i32().ok()?;
            let _first_index = rest.try_get_i32().ok()?;
            count
        }
        _ => {
            let message = "arrays of several dimensions are not supported as parameters";
            return Some(Err(QueryError::not_supported(message)));
        }
    };
    let mut values = Vec::new();
    for _ in 0..count {
        let value = match rest.try_get_i32().ok()? {
            -1 => ScalarValue::try_from(item).map_err(QueryError::from),
            length => {
                let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                *rest = after;
                let mut value = value;
                binary_value(&mut value, item, item_oid)?
            }
        };
        match value {
            Ok(value) => values.push(value),
            Err(error) => return Some(Err(error)),
        }
    }
    rest.is_empty()
        .then(|| Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, item))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str, oid: u32) -> Result<ScalarValue> {
        decode(
            1,
            Some(value.as_bytes()),
            Format::Text,
            &arrow_type(oid).unwrap(),
            oid,
            &InputContext::in_zone(chrono_tz::Tz::UTC),
        )
    }

    fn binary(value: &[u8], oid: u32) -> Result<ScalarValue> {
        let cx = InputContext::in_zone(chrono_tz::Tz::UTC);
        decode(
            1,
            Some(value),
            Format::Binary,
            &arrow_type(oid).unwrap(),
            oid,
            &cx,
        )
    }

    #[test]
    fn texts_are_read_as_postgres_reads_them() {
        assert_eq!(text(" 42 ", 23).unwrap(), ScalarValue::Int32(Some(42)));
        assert_eq!(text("yes", 16).unwrap(), ScalarValue::Boolean(Some(true)));
        assert_eq!(
            text("1.50", 1700).unwrap(),
            ScalarValue::Decimal128(Some(150), 3, 2)
        );
        assert_eq!(
            text("-1.5e3", 1700).unwrap(),
            ScalarValue::Decimal128(Some(-1500), 4, 0)
        );
        assert_eq!(
            text("2024-02-29", 1082).unwrap(),
            ScalarValue::Date32(Some(19_782))
        );
        assert_eq!(
            text("1969-12-31 23:59:59.999999", 1114).unwrap(),
            ScalarValue::TimestampMicrosecond(Some(-1), None)
        );
        assert_eq!(
            text("1970-01-01 02:00:00+02", 1184).unwrap(),
            ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into()))
        );
        let berlin = InputContext::in_zone(chrono_tz::Europe::Berlin);
        let zoned = of_text("1970-01-01 01:00", &arrow_type(1184).unwrap(), &berlin).unwrap();
        assert_eq!(
            zoned,
            ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into()))
        );
        assert_eq!(
            text("2024-02-29 +00", 1082).unwrap(),
            ScalarValue::Date32(Some(19_782))
        );
        assert_eq!(
            text("1970-01-01 00:00:01+02", 1114).unwrap(),
            ScalarValue::TimestampMicrosecond(Some(1_000_000), None)
        );
        assert_eq!(
            text("\\x00ff", 17).unwrap(),
            ScalarValue::BinaryView(Some(vec![0, 255]))
        );
        assert_eq!(
            text("a\\\\\\001", 17).unwrap(),
            ScalarValue::BinaryView(Some(b"a\\\x01".to_vec()))
        );
        assert_eq!(text("{1, NULL,3}", 1007).unwrap().to_string(), "[1, , 3]");
        for (wrong, oid, state) in [
            ("abc", 23, SqlState::INVALID_TEXT_REPRESENTATION),
            ("3000000000", 23, SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
            ("1.2.3", 1700, SqlState::INVALID_TEXT_REPRESENTATION),
            ("2024-02-30", 1082, SqlState::DATETIME_OVERFLOW),
            ("\\xf", 17, SqlState::INVALID_PARAMETER_VALUE),
            ("{1,", 1007, SqlState::INVALID_TEXT_REPRESENTATION),
            ("{1,,2}", 1007, SqlState::INVALID_TEXT_REPRESENTATION),
        ] {
            let error = text(wrong, oid).unwrap_err();
            assert_eq!(error.state, state, "{wrong}: {error:?}");
            assert!(error.detail.is_some_and(|detail| detail.contains("$1")));
        }
    }

    #[test]
    fn bytes_are_read_in_whole_values_only() {
        assert_eq!(binary(&[0, 0, 0, 42], 23).unwrap(), ScalarValue::Int32(Some(42)));
        assert_eq!(binary(&[0, 0, 0, 42], 26).unwrap(), ScalarValue::UInt32(Some(42)));
        assert_eq!(
            binary(&[0; 4], 1082).unwrap(),
            ScalarValue::Date32(Some(EPOCH_DAYS))
        );
        assert_eq!(
            binary(&[0; 8], 1114).unwrap(),
            ScalarValue::TimestampMicrosecond(Some(EPOCH_MICROSECONDS), None)
        );
        assert_eq!(
            binary(&[0xa0; 16], 2950).unwrap(),
            ScalarValue::Utf8View(Some("a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0".into()))
        );
        let array = [
            &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1][..],
            &[0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255],
        ]
        .concat();
        assert_eq!(binary(&array, 1007).unwrap().to_string(), "[7, ]");
        for cut in 0..array.len() {
            assert!(binary(&array[..cut], 1007).is_err(), "{cut}");
        }
        for (wrong, oid) in [
            (&[0; 3][..], 23),
            (&[0; 5], 23),
            (&[0; 15], 2950),
            (&[], 16),
            (&[0xff], 25),
        ] {
            assert!(binary(wrong, oid).is_err(), "{wrong:?} {oid}");
        }
    }
}
