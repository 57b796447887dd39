//! Literals of the remote statement as values of the driver.

use causeway_spi::{ConnectorError, ErrorKind, Result, TableName, scalar_text};
use datafusion::common::ScalarValue;
use rusqlite::types::Value;

use crate::moment::date_text;

/// The value to bind for `scalar`; the law book sends no others.
pub(crate) fn bound(scalar: &ScalarValue, table: &TableName) -> Result<Value> {
    let value = match scalar {
        ScalarValue::Int64(Some(value)) => Some(Value::Integer(*value)),
        ScalarValue::Float64(Some(value)) => Some(Value::Real(*value)),
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => Some(Value::Blob(bytes.clone())),
        ScalarValue::Date32(Some(days)) => date_text(*days).map(Value::Text),
        other => scalar_text(other).map(|text| Value::Text(text.to_owned())),
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
