//! Literals of the remote statement as values of the driver.

use causeway_spi::{ConnectorError, ErrorKind, Result, TableName, scalar_text};
use datafusion::common::ScalarValue;
use mysql_async::Value;

use crate::decode::{MICROS_PER_DAY, civil_from_days};

/// The value to bind for `scalar`; the law book sends no others.
pub(crate) fn bound(scalar: &ScalarValue, table: &TableName) -> Result<Value> {
    let value = match scalar {
        ScalarValue::Int64(Some(value)) => Some(Value::Int(*value)),
        ScalarValue::UInt64(Some(value)) => Some(Value::UInt(*value)),
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => Some(Value::Bytes(bytes.clone())),
        ScalarValue::Date32(Some(days)) => date(i64::from(*days), 0),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => date(
            micros.div_euclid(MICROS_PER_DAY),
            micros.rem_euclid(MICROS_PER_DAY),
        ),
        other => scalar_text(other).map(|text| Value::Bytes(text.as_bytes().to_vec())),
    };
    value.ok_or_else(|| {
        ConnectorError::new(
            ErrorKind::Internal,
            format!(
                "a literal of type {} cannot be sent to table {table}",
                scalar.data_type()
            ),
        )
    })
}

/// A day since 1970 and the microseconds in it; `None` outside the years that the server knows.
fn date(days: i64, micros: i64) -> Option<Value> {
    let (year, month, day) = civil_from_days(days)?;
    let seconds = micros / 1_000_000;
    Some(Value::Date(
        year,
        month,
        day,
        u8::try_from(seconds / 3600).ok()?,
        u8::try_from(seconds / 60 % 60).ok()?,
        u8::try_from(seconds % 60).ok()?,
        u32::try_from(micros % 1_000_000).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_apart() {
        let table = TableName::new("shop", "db", "t");
        let bind = |scalar| bound(&scalar, &table).unwrap();
        assert_eq!(
            bind(ScalarValue::Date32(Some(19_000))),
            Value::Date(2022, 1, 8, 0, 0, 0, 0)
        );
        assert_eq!(
            bind(ScalarValue::TimestampMicrosecond(Some(-1), None)),
            Value::Date(1969, 12, 31, 23, 59, 59, 999_999)
        );
        assert!(bound(&ScalarValue::Date32(Some(i32::MAX)), &table).is_err());
        assert!(bound(&ScalarValue::Int64(None), &table).is_err());
    }
}
