//! The typed parts of a key: text to value and back, without two spellings of one value, and to Arrow and back.

use std::fmt;
use std::str;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Int16Array,
    Int32Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::columns::ColumnType;
use crate::value_text::{date_text, parse_date};

/// The types a key column can have: those with exactly one spelling per value.
///
/// In a template only integers, text and dates; the others have a binary form alone ([`crate::OrderedKey`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// UTF-8 text.
    Text,
    /// `YYYY-MM-DD`.
    Date,
    /// Truth value.
    Boolean,
    /// Microseconds, without zone.
    Timestamp,
    /// Microseconds, an instant.
    TimestampTz,
    /// Exact decimal of at most 38 digits.
    Numeric {
        /// All digits.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// Bytes.
    Bytea,
}

/// One value of a key column; never NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyValue {
    /// Of any integer type; microseconds; false and true as 0 and 1.
    Int(i64),
    /// Of type text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// A decimal's digits as one number.
    Decimal(i128),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The values of all key columns, in the order of the template.
pub type KeyTuple = Vec<KeyValue>;

impl KeyType {
    /// The key type of a column; `None` when values of the column's type have several spellings.
    pub fn of(column_type: &ColumnType) -> Option<Self> {
        match column_type {
            ColumnType::SmallInt => Some(Self::SmallInt),
            ColumnType::Integer => Some(Self::Integer),
            ColumnType::BigInt => Some(Self::BigInt),
            ColumnType::Text => Some(Self::Text),
            ColumnType::Date => Some(Self::Date),
            _ => None,
        }
    }

    /// The key type of an Arrow column in the binary form; `None` when equal values can differ in their bits, or when
    /// they are too long.
    pub fn of_data_type(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Integer,
            DataType::Int64 => Self::BigInt,
            DataType::Utf8View => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::TimestampTz,
            DataType::Decimal128(precision, scale) => Self::Numeric {
                precision: *precision,
                scale: *scale,
            },
            DataType::BinaryView => Self::Bytea,
            _ => return None,
        })
    }

    /// Reads one part of a key; `None` when it is not the one spelling of a value: `007`, `+7`, ` 7`, out of range.
    pub fn parse(self, part: &[u8]) -> Option<KeyValue> {
        let text = str::from_utf8(part).ok()?;
        let value = match self {
            Self::Text => KeyValue::Text(text.to_owned()),
            Self::Date => KeyValue::Date(parse_date(text).ok()?),
            Self::SmallInt | Self::Integer | Self::BigInt => KeyValue::Int(text.parse().ok()?),
            Self::Boolean | Self::Timestamp | Self::TimestampTz | Self::Numeric { .. } | Self::Bytea => {
                return None;
            }
        };
        let canonical = match &value {
            KeyValue::Text(_) => true,
            _ => self.render(&value).as_deref() == Some(text),
        };
        canonical.then_some(value)
    }

    /// Writes `value`; `None` when it is not a value of this type.
    pub fn render(self, value: &KeyValue) -> Option<String> {
        match (self, value) {
            (Self::Text, KeyValue::Text(text)) => Some(text.clone()),
            (Self::Date, KeyValue::Date(days)) => date_text(*days),
            (Self::SmallInt, KeyValue::Int(number)) => i16::try_from(*number).ok().map(|n| n.to_string()),
            (Self::Integer, KeyValue::Int(number)) => i32::try_from(*number).ok().map(|n| n.to_string()),
            (Self::BigInt, KeyValue::Int(number)) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The canonical Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::SmallInt => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Text => DataType::Utf8View,
            Self::Date => DataType::Date32,
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Numeric { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Bytea => DataType::BinaryView,
        }
    }

    /// Makes the Arrow column of the values at `position` of `tuples`. Values of another type: `Internal`.
    pub(crate) fn array(self, tuples: &[KeyTuple], position: usize) -> Result<ArrayRef> {
        let values = tuples.iter().map(|tuple| &tuple[position]);
        let array: Option<ArrayRef> = match self {
            Self::SmallInt => values
                .map(|value| value.int().and_then(|n| i16::try_from(n).ok()))
                .collect::<Option<Vec<i16>>>()
                .map(|numbers| Arc::new(Int16Array::from(numbers)) as ArrayRef),
            Self::Integer => values
                .map(|value| value.int().and_then(|n| i32::try_from(n).ok()))
                .collect::<Option<Vec<i32>>>()
                .map(|numbers| Arc::new(Int32Array::from(numbers)) as ArrayRef),
            Self::BigInt => values
                .map(KeyValue::int)
                .collect::<Option<Vec<i64>>>()
                .map(|numbers| Arc::new(Int64Array::from(numbers)) as ArrayRef),
            Self::Text => values
                .map(KeyValue::text)
                .collect::<Option<Vec<&str>>>()
                .map(|texts| Arc::new(StringViewArray::from_iter_values(texts)) as ArrayRef),
            Self::Date => values
                .map(KeyValue::date)
                .collect::<Option<Vec<i32>>>()
                .map(|days| Arc::new(Date32Array::from(days)) as ArrayRef),
            Self::Boolean => values
                .map(|value| value.int().map(|number| number != 0))
                .collect::<Option<Vec<bool>>>()
                .map(|truths| Arc::new(BooleanArray::from(truths)) as ArrayRef),
            Self::Timestamp | Self::TimestampTz => values
                .map(KeyValue::int)
                .collect::<Option<Vec<i64>>>()
                .map(|micros| {
                    let array = TimestampMicrosecondArray::from(micros).with_data_type(self.data_type());
                    Arc::new(array) as ArrayRef
                }),
            Self::Numeric { .. } => {
                values
                    .map(KeyValue::decimal)
                    .collect::<Option<Vec<i128>>>()
                    .map(|numbers| {
                        let array = Decimal128Array::from(numbers).with_data_type(self.data_type());
                        Arc::new(array) as ArrayRef
                    })
            }
            Self::Bytea => values
                .map(KeyValue::bytes)
                .collect::<Option<Vec<&[u8]>>>()
                .map(|bytes| Arc::new(BinaryViewArray::from_iter_values(bytes)) as ArrayRef),
        };
        array.ok_or_else(|| internal("a key value is not of its column's type"))
    }

    /// The values of an Arrow column of this type; `None` where it is NULL. Another Arrow type: `Internal`.
    pub fn values(self, array: &ArrayRef) -> Result<Vec<Option<KeyValue>>> {
        if *array.data_type() != self.data_type() {
            return Err(internal("lookup values are not of the key column's type"));
        }
        Ok(match self {
            Self::SmallInt => {
                let numbers = array.as_primitive::<Int16Type>().iter();
                numbers.map(|n| n.map(|n| KeyValue::Int(n.into()))).collect()
            }
            Self::Integer => {
                let numbers = array.as_primitive::<Int32Type>().iter();
                numbers.map(|n| n.map(|n| KeyValue::Int(n.into()))).collect()
            }
            Self::BigInt => {
                let numbers = array.as_primitive::<Int64Type>().iter();
                numbers.map(|n| n.map(KeyValue::Int)).collect()
            }
            Self::Text => {
                let texts = array.as_string_view().iter();
                texts
                    .map(|text| text.map(|text| KeyValue::Text(text.to_owned())))
                    .collect()
            }
            Self::Date => {
                let days = array.as_primitive::<Date32Type>().iter();
                days.map(|days| days.map(KeyValue::Date)).collect()
            }
            Self::Boolean => {
                let truths = array.as_boolean().iter();
                truths
                    .map(|truth| truth.map(|truth| KeyValue::Int(truth.into())))
                    .collect()
            }
            Self::Timestamp | Self::TimestampTz => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().iter();
                micros.map(|micros| micros.map(KeyValue::Int)).collect()
            }
            Self::Numeric { .. } => {
                let numbers = array.as_primitive::<Decimal128Type>().iter();
                numbers.map(|number| number.map(KeyValue::Decimal)).collect()
            }
            Self::Bytea => {
                let bytes = array.as_binary_view().iter();
                bytes
                    .map(|bytes| bytes.map(|bytes| KeyValue::Bytes(bytes.to_vec())))
                    .collect()
            }
        })
    }
}

impl KeyValue {
    /// The number, if it is one.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The days since 1970-01-01, if it is a date.
    pub(crate) fn date(&self) -> Option<i32> {
        match self {
            Self::Date(days) => Some(*days),
            _ => None,
        }
    }

    /// The digits, if it is a decimal.
    pub(crate) fn decimal(&self) -> Option<i128> {
        match self {
            Self::Decimal(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, if it is of type bytea.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Text => "text",
            Self::Date => "date",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Numeric { precision, scale } => return write!(f, "numeric({precision},{scale})"),
            Self::Bytea => "bytea",
        })
    }
}

pub(crate) fn internal(message: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_spelling() {
        assert_eq!(KeyType::BigInt.parse(b"7"), Some(KeyValue::Int(7)));
        assert_eq!(KeyType::BigInt.parse(b"-7"), Some(KeyValue::Int(-7)));
        for other in [
            "007",
            "+7",
            " 7",
            "7 ",
            "-0",
            "",
            "-",
            "7.0",
            "9223372036854775808",
            "٧",
        ] {
            assert_eq!(KeyType::BigInt.parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(KeyType::SmallInt.parse(b"32768"), None);
        assert_eq!(KeyType::Integer.parse(b"2147483648"), None);
        assert_eq!(KeyType::Date.parse(b"1970-01-02"), Some(KeyValue::Date(1)));
        for other in ["1970-1-2", "1970-01-02 ", "1970-02-30", "70-01-02", "+1970-01-02"] {
            assert_eq!(KeyType::Date.parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(KeyType::Text.parse(b"\xff"), None);
    }
}
