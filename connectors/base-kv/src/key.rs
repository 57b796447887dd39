//! The typed parts of a key: text to value and back, without two spellings of one value.

use std::fmt;
use std::str;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int16Array, Int32Array, Int64Array, StringViewArray,
};
use arrow::datatypes::{DataType, Date32Type, Int16Type, Int32Type, Int64Type};
use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::columns::ColumnType;
use crate::value_text::{date_text, parse_date};

/// The types a key column can have: those with exactly one spelling per value.
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
}

/// One value of a key column; never NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyValue {
    /// Of any integer type.
    Int(i64),
    /// Of type text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
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

    /// Reads one part of a key; `None` when it is not the one spelling of a value: `007`, `+7`, ` 7`, out of range.
    pub fn parse(self, part: &[u8]) -> Option<KeyValue> {
        let text = str::from_utf8(part).ok()?;
        let value = match self {
            Self::Text => KeyValue::Text(text.to_owned()),
            Self::Date => KeyValue::Date(parse_date(text).ok()?),
            Self::SmallInt | Self::Integer | Self::BigInt => KeyValue::Int(text.parse().ok()?),
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
        };
        array.ok_or_else(|| internal("a key value is not of its column's type"))
    }

    /// The values of an Arrow column of this type; `None` where it is NULL. Another Arrow type: `Internal`.
    pub(crate) fn values(self, array: &ArrayRef) -> Result<Vec<Option<KeyValue>>> {
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
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Text => "text",
            Self::Date => "date",
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
