//! The types of columns, from a sample of what CSV and JSON files hold.
//!
//! A type is inferred only if every value of the sample says exactly the same in it as in its text: with `007` among
//! them a CSV column is text. A JSON number without a fraction is an integer, with one a double; a JSON string is text.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::json_value::JsonValue;
use crate::schema::DECIMAL128_DIGITS_MAX;
use crate::typed::{boolean, date, decimal_shape, double, integer, local_time, moment};

/// What the values of one column or field have been so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Only NULLs.
    Nothing,
    Boolean,
    Integer,
    /// A decimal with at most so many digits before and behind the point.
    Numeric(usize, usize),
    Double,
    Date,
    Timestamp,
    Moment,
    Text,
    List(Box<Seen>),
    Object(Vec<(String, Seen)>),
}

impl Seen {
    /// What a CSV field is.
    pub(crate) fn of_text(text: &str) -> Self {
        const DIGITS_MAX: usize = DECIMAL128_DIGITS_MAX as usize;
        if boolean(text, true).is_some() && text.trim().len() == text.len() {
            Self::Boolean
        } else if integer(text, true).is_some() {
            Self::Integer
        } else if let Some((whole, fraction)) = decimal_shape(text).filter(|(w, f)| w + f <= DIGITS_MAX) {
            Self::Numeric(whole, fraction)
        } else if date(text).is_some() {
            Self::Date
        } else if local_time(text, true).is_some() {
            Self::Timestamp
        } else if moment(text, true).is_some() {
            Self::Moment
        } else if is_scientific(text) {
            Self::Double
        } else {
            Self::Text
        }
    }

    /// What a JSON value is.
    pub(crate) fn of_json(value: &JsonValue) -> Result<Self, Contradiction> {
        Ok(match value {
            JsonValue::Null => Self::Nothing,
            JsonValue::Boolean => Self::Boolean,
            JsonValue::Integer => Self::Integer,
            JsonValue::Unsigned => Self::Numeric(20, 0),
            JsonValue::Number => Self::Double,
            JsonValue::Text => Self::Text,
            JsonValue::Array(items) => {
                let mut all = Self::Nothing;
                for item in items {
                    all = all
                        .joined(Self::of_json(item)?)
                        .map_err(|error| error.below("[]"))?;
                }
                Self::List(Box::new(all))
            }
            JsonValue::Object(fields) => {
                let mut seen = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    let of_field = Self::of_json(value).map_err(|error| error.in_field(name))?;
                    seen.push((name.clone(), of_field));
                }
                Self::Object(seen)
            }
        })
    }

    /// What holds both; scalars that do not go together are text, as which they are written.
    pub(crate) fn joined(self, other: Self) -> Result<Self, Contradiction> {
        Ok(match (self, other) {
            (Self::Nothing, other) | (other, Self::Nothing) => other,
            (Self::List(a), Self::List(b)) => {
                Self::List(Box::new(a.joined(*b).map_err(|error| error.below("[]"))?))
            }
            (Self::Object(mut fields), Self::Object(others)) => {
                for (name, other) in others {
                    join_field(&mut fields, name, other)?;
                }
                Self::Object(fields)
            }
            (a, b) if a.is_nested() || b.is_nested() => {
                return Err(Contradiction {
                    path: String::new(),
                    kinds: (a.kind(), b.kind()),
                });
            }
            (a, b) if a == b => a,
            (Self::Numeric(whole, fraction), Self::Numeric(w, f)) => numeric(whole.max(w), fraction.max(f)),
            (Self::Integer, Self::Numeric(whole, fraction))
            | (Self::Numeric(whole, fraction), Self::Integer) => numeric(whole.max(19), fraction),
            (Self::Integer | Self::Numeric(..), Self::Double)
            | (Self::Double, Self::Integer | Self::Numeric(..)) => Self::Double,
            _ => Self::Text,
        })
    }

    fn is_nested(&self) -> bool {
        matches!(self, Self::List(_) | Self::Object(_))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
            _ => "a single value",
        }
    }

    /// The canonical type; `None` for objects without fields, which no column can be.
    pub(crate) fn data_type(&self) -> Option<DataType> {
        const DIGITS: u8 = DECIMAL128_DIGITS_MAX;
        Some(match self {
            Self::Nothing | Self::Text => DataType::Utf8View,
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Numeric(_, fraction) => DataType::Decimal128(DIGITS, i8::try_from(*fraction).ok()?),
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Moment => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type()?, true))),
            Self::Object(fields) => {
                let fields = fields
                    .iter()
                    .filter_map(|(name, seen)| Some(Field::new(name, seen.data_type()?, true)));
                let fields: Vec<Field> = fields.collect();
                (!fields.is_empty()).then(|| DataType::Struct(fields.into()))?
            }
        })
    }
}

/// Two decimals in one column: beyond the digits of a numeric they stay text.
fn numeric(whole: usize, fraction: usize) -> Seen {
    if whole + fraction <= usize::from(DECIMAL128_DIGITS_MAX) {
        Seen::Numeric(whole, fraction)
    } else {
        Seen::Text
    }
}

/// Whether `text` is a number with an exponent, which only doubles are written with.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return false;
    };
    let exponent = exponent.trim_start_matches(['+', '-']);
    let digits = !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit());
    decimal_shape(mantissa).is_some() && digits && double(text, true).is_some()
}

/// An array or object where another row has something else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    path: String,
    kinds: (&'static str, &'static str),
}

impl Contradiction {
    fn below(self, path: &str) -> Self {
        Self {
            path: format!("{path}{}", self.path),
            ..self
        }
    }

    /// The same in the field or column `name`.
    pub(crate) fn in_field(self, name: &str) -> Self {
        self.below(&format!(".{name}"))
    }

    /// The error; the value that does not fit stands at `place`, such as `line 7 of file a/b.json`.
    pub(crate) fn error(self, place: &str) -> ConnectorError {
        let (first, other) = self.kinds;
        let name = self.path.trim_start_matches('.');
        let message = format!("column \"{name}\" is {first} in one row and {other} in another, in {place}");
        ConnectorError::new(ErrorKind::InvalidData, message)
            .hint("Declare the table with the columns that are wanted.")
    }
}

/// Adds what was seen of the field `name`.
pub(crate) fn join_field(
    fields: &mut Vec<(String, Seen)>,
    name: String,
    seen: Seen,
) -> Result<(), Contradiction> {
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => {
            let before = std::mem::replace(known, Seen::Nothing);
            *known = before.joined(seen).map_err(|error| error.in_field(&name))?;
        }
        None => fields.push((name, seen)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(values: &[&str]) -> Option<DataType> {
        let mut seen = Seen::Nothing;
        for value in values {
            seen = seen.joined(Seen::of_text(value)).unwrap();
        }
        seen.data_type()
    }

    fn json(values: &[&str]) -> Result<Option<DataType>, Contradiction> {
        let mut seen = Seen::Nothing;
        for value in values {
            seen = seen.joined(Seen::of_json(&serde_json::from_str(value).unwrap())?)?;
        }
        Ok(seen.data_type())
    }

    #[test]
    fn a_type_is_inferred_only_if_it_says_the_same() {
        let numeric = |scale| Some(DataType::Decimal128(38, scale));
        let timestamp =
            |zone: Option<&str>| Some(DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into)));
        let cases: [(&[&str], Option<DataType>); 20] = [
            (&["1", "-7", "0"], Some(DataType::Int64)),
            (&["1", "007"], Some(DataType::Utf8View)),
            (&["+1"], Some(DataType::Utf8View)),
            (&["-0"], Some(DataType::Utf8View)),
            (&[" 1"], Some(DataType::Utf8View)),
            (&["9223372036854775808"], numeric(0)),
            (&["1", "2.50"], numeric(2)),
            (&["2.5", "0.125"], numeric(3)),
            (&[".5"], Some(DataType::Utf8View)),
            (&["1e3", "2.5", "7"], Some(DataType::Float64)),
            (&["1e999"], Some(DataType::Utf8View)),
            (&["NaN", "1.5"], Some(DataType::Utf8View)),
            (&["true", "FALSE"], Some(DataType::Boolean)),
            (&["true", "1"], Some(DataType::Utf8View)),
            (&["2024-01-31"], Some(DataType::Date32)),
            (&["2024-01-31", "2024-01-31 00:00:00"], Some(DataType::Utf8View)),
            (&["2024-01-31 10:00:00.5", "2024-01-31T10:00"], timestamp(None)),
            (
                &["2024-01-31T10:00:00Z", "2024-01-31 10:00:00+02:00"],
                timestamp(Some("UTC")),
            ),
            (&["2024-01-31 10:00:00.1234567"], Some(DataType::Utf8View)),
            (&[], Some(DataType::Utf8View)),
        ];
        for (values, expected) in cases {
            assert_eq!(csv(values), expected, "{values:?}");
        }
        let whole = "1234567890123456789012345678901234567";
        assert_eq!(csv(&[whole, "0.123"]), Some(DataType::Utf8View));
    }

    #[test]
    fn json_values_keep_their_kinds() {
        assert_eq!(json(&["1", "null", "2"]).unwrap(), Some(DataType::Int64));
        assert_eq!(
            json(&["1", "18446744073709551615"]).unwrap(),
            Some(DataType::Decimal128(38, 0))
        );
        assert_eq!(json(&["1", "0.5"]).unwrap(), Some(DataType::Float64));
        assert_eq!(json(&["1", "\"x\""]).unwrap(), Some(DataType::Utf8View));
        assert_eq!(json(&["true", "1"]).unwrap(), Some(DataType::Utf8View));
        assert_eq!(json(&["\"2024-01-31\""]).unwrap(), Some(DataType::Utf8View));
        assert_eq!(json(&["{}"]).unwrap(), None);
        let list = json(&["[1,null]", "[]"]).unwrap();
        assert_eq!(
            list,
            Some(DataType::List(Field::new("item", DataType::Int64, true).into()))
        );
        let object = json(&["{\"a\":1}", "{\"b\":[{\"c\":true}],\"d\":{}}"])
            .unwrap()
            .unwrap();
        let DataType::Struct(fields) = object else {
            panic!("{object}")
        };
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let error = json(&["{\"a\":{\"b\":1}}", "{\"a\":{\"b\":[1]}}"]).unwrap_err();
        let error = error.error("line 2 of file t/a.json");
        assert_eq!(
            error.message(),
            "column \"a.b\" is a single value in one row and an array in another, in line 2 of file t/a.json"
        );
    }
}
