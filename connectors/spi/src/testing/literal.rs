//! Prints values as SQL literals, and finds values near to them: the neighbours and variants that a wrong comparison
//! confuses with them.

use arrow::datatypes::{DataType, i256};
use datafusion::common::ScalarValue;

use rand::prelude::*;

use crate::filter::scalar_text;

/// `value` as a PostgreSQL literal of its own type; a NULL is untyped.
pub(crate) fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    if let Some(text) = scalar_text(value) {
        return quoted(text);
    }
    match value {
        ScalarValue::BinaryView(Some(bytes)) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("X'{digits}'")
        }
        ScalarValue::Date32(_) => format!("DATE '{value}'"),
        ScalarValue::TimestampMicrosecond(_, Some(zone)) => {
            let cast = format!("Timestamp(Microsecond, Some(\"{zone}\"))");
            format!("arrow_cast('{}', '{cast}')", moment(value))
        }
        ScalarValue::TimestampMicrosecond(..) => format!("CAST('{}' AS TIMESTAMP(6))", moment(value)),
        ScalarValue::Float64(Some(number)) => format!("CAST('{number:e}' AS DOUBLE PRECISION)"),
        ScalarValue::Float32(Some(number)) => format!("CAST('{number:e}' AS REAL)"),
        ScalarValue::Time64Microsecond(_) => {
            let text = value.cast_to(&DataType::Utf8).ok();
            let text = text.as_ref().and_then(scalar_text).unwrap_or_default();
            format!("arrow_cast('{text}', 'Time64(Microsecond)')")
        }
        ScalarValue::Decimal128(Some(unscaled), _, scale) => decimal(&unscaled.to_string(), *scale),
        ScalarValue::Decimal256(Some(unscaled), _, scale) => decimal(&unscaled.to_string(), *scale),
        other => other.to_string(),
    }
}

/// `value` as a literal with a cast to the type of `like`, so that even NULL has a type.
pub(crate) fn typed_literal(value: &ScalarValue) -> String {
    let type_name = match value.data_type() {
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("NUMERIC({precision}, {scale})")
        }
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE PRECISION".to_owned(),
        DataType::Time64(_) => "TIME".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::BinaryView => "BYTEA".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP(6)".to_owned(),
        _ => "TEXT".to_owned(),
    };
    format!("CAST({} AS {type_name})", literal(value))
}

/// `text` between quotes, as standard SQL escapes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The numeric of the digits `unscaled`, `scale` of them behind the point.
fn decimal(unscaled: &str, scale: i8) -> String {
    let scale = usize::from(scale.unsigned_abs());
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() {
        // Plain, it would be an integer, and beyond `bigint` none that DataFusion reads as a numeric.
        return format!("CAST('{sign}{whole}' AS NUMERIC({}, 0))", whole.len().max(1));
    }
    format!("{sign}{whole}.{fraction}")
}

fn moment(value: &ScalarValue) -> String {
    let text = value.cast_to(&DataType::Utf8).ok();
    let text = text.as_ref().and_then(scalar_text).unwrap_or_default();
    text.replace('T', " ")
}

/// A value of the same class near to `value`: the next number or day, the other case, another padding.
pub(crate) fn near(value: &ScalarValue, random: &mut StdRng) -> ScalarValue {
    if let Some(text) = scalar_text(value) {
        return ScalarValue::Utf8View(Some(text_variant(text, random)));
    }
    let up: bool = random.random();
    match value {
        ScalarValue::Int16(Some(n)) => ScalarValue::Int64(Some(i64::from(*n) + step(up))),
        ScalarValue::Int32(Some(n)) => ScalarValue::Int64(Some(i64::from(*n) + step(up))),
        ScalarValue::Int64(Some(n)) => {
            let next = i128::from(*n) + i128::from(step(up));
            match i64::try_from(next) {
                Ok(next) => ScalarValue::Int64(Some(next)),
                Err(_) => ScalarValue::Decimal128(Some(next), 20, 0),
            }
        }
        ScalarValue::Decimal128(Some(unscaled), precision, scale) => {
            // One digit finer than the column, so that narrowing the literal would change the answer.
            let finer = *precision < 30 && random.random_bool(0.3);
            let (unscaled, scale) = if finer {
                (unscaled * 10, scale + 1)
            } else {
                (*unscaled, *scale)
            };
            let limit = 10_i128.pow(u32::from(*precision) + u32::from(finer)) - 1;
            let next = (unscaled + i128::from(step(up))).clamp(-limit, limit);
            ScalarValue::Decimal128(Some(next), *precision, scale)
        }
        ScalarValue::Decimal256(Some(unscaled), precision, scale) => {
            let limit = i256::from_i128(10).wrapping_pow(u32::from(*precision)) - i256::ONE;
            let next = *unscaled + if up { i256::ONE } else { i256::MINUS_ONE };
            ScalarValue::Decimal256(Some(next.clamp(-limit, limit)), *precision, *scale)
        }
        ScalarValue::Float32(Some(number)) => {
            ScalarValue::Float32(Some(if up { number.next_up() } else { number.next_down() }))
        }
        ScalarValue::Float64(Some(number)) => {
            ScalarValue::Float64(Some(if up { number.next_up() } else { number.next_down() }))
        }
        ScalarValue::Time64Microsecond(Some(micros)) => {
            ScalarValue::Time64Microsecond(Some((micros + step(up)).clamp(0, 86_399_999_999)))
        }
        ScalarValue::Date32(Some(day)) => {
            ScalarValue::Date32(Some((day + if up { 1 } else { -1 }).clamp(-719_162, 2_932_896)))
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let width = *[1, 500_000, 1_000_000].choose(random).unwrap_or(&1);
            let next = (micros + step(up) * width).clamp(-62_135_596_800_000_000, 253_402_300_799_999_999);
            ScalarValue::TimestampMicrosecond(Some(next), zone.clone())
        }
        ScalarValue::Boolean(Some(flag)) => ScalarValue::Boolean(Some(!flag)),
        ScalarValue::BinaryView(Some(bytes)) => ScalarValue::BinaryView(Some(bytes_variant(bytes, random))),
        other => other.clone(),
    }
}

fn step(up: bool) -> i64 {
    if up { 1 } else { -1 }
}

/// Bytes that padding, or letter case, takes for `bytes`.
fn bytes_variant(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..4) {
        0 => [bytes, b"\0"].concat(),
        1 => [bytes, b" "].concat(),
        2 => bytes.to_ascii_uppercase(),
        _ => bytes
            .split_last()
            .map_or_else(Vec::new, |(_, rest)| rest.to_vec()),
    }
}

/// A text that a case-insensitive, accent-insensitive or padding comparison takes for `text`.
fn text_variant(text: &str, random: &mut StdRng) -> String {
    match random.random_range(0..8) {
        0 => text.to_lowercase(),
        1 => text.to_uppercase(),
        2 => format!("{text} "),
        3 => text.trim_end().to_owned(),
        4 => text.replace(['a', 'A'], "á"),
        5 => text.replace('ß', "ss"),
        6 => {
            let mut chars: Vec<char> = text.chars().collect();
            chars.pop();
            chars.into_iter().collect()
        }
        _ => format!("{text}a"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_sql() {
        assert_eq!(literal(&ScalarValue::Utf8View(Some("it's".into()))), "'it''s'");
        assert_eq!(literal(&ScalarValue::Decimal128(Some(-5), 12, 2)), "-0.05");
        assert_eq!(literal(&ScalarValue::Decimal128(Some(12_345), 12, 2)), "123.45");
        assert_eq!(
            literal(&ScalarValue::Decimal128(Some(7), 20, 0)),
            "CAST('7' AS NUMERIC(1, 0))"
        );
        assert_eq!(literal(&ScalarValue::Date32(Some(0))), "DATE '1970-01-01'");
        assert_eq!(
            literal(&ScalarValue::Float64(Some(-0.1))),
            "CAST('-1e-1' AS DOUBLE PRECISION)"
        );
        assert_eq!(literal(&ScalarValue::Boolean(Some(true))), "true");
        assert_eq!(
            literal(&ScalarValue::TimestampMicrosecond(Some(1), None)),
            "CAST('1970-01-01 00:00:00.000001' AS TIMESTAMP(6))"
        );
        assert_eq!(
            literal(&ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into()))),
            "arrow_cast('1970-01-01 00:00:00.000001Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        );
        assert_eq!(literal(&ScalarValue::BinaryView(Some(vec![0, 0xff]))), "X'00ff'");
        assert_eq!(typed_literal(&ScalarValue::Int16(None)), "CAST(NULL AS SMALLINT)");
    }
}
