//! Column definitions as they are written, `"p_retailprice numeric(12,2)"`: a name and a type in Postgres' spelling, and
//! the place of the column's value.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::json_path::JsonPath;

/// Most digits of a numeric: Decimal256 holds no more.
const NUMERIC_PRECISION_MAX: u8 = 76;
/// Most digits that Decimal128 holds.
pub(crate) const DECIMAL128_PRECISION_MAX: u8 = 38;

/// A column's type, in Postgres' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// 32-bit float.
    Real,
    /// 64-bit float.
    Double,
    /// Exact decimal of `precision` digits, `scale` of them after the point.
    Numeric {
        /// All digits, 1 to 76.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// UTF-8 text; `varchar(n)` and `char(n)` are text too, without padding.
    Text,
    /// Truth value.
    Boolean,
    /// Calendar date.
    Date,
    /// Microseconds, without zone.
    Timestamp,
    /// Microseconds, an instant.
    TimestampTz,
    /// Microseconds of a day.
    Time,
    /// The bytes as they are stored.
    Bytea,
    /// JSON, as the text that is stored.
    Json,
    /// 128 bits, as text in the one spelling that Postgres prints.
    Uuid,
    /// A list of values of one type, none of them an array; stored as a JSON array.
    Array(Box<ColumnType>),
}

impl ColumnType {
    /// The canonical Arrow type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::SmallInt => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Numeric { precision, scale } => {
                let scale = i8::try_from(*scale).expect("the scale was checked against 76");
                if *precision <= DECIMAL128_PRECISION_MAX {
                    DataType::Decimal128(*precision, scale)
                } else {
                    DataType::Decimal256(*precision, scale)
                }
            }
            Self::Text | Self::Json | Self::Uuid => DataType::Utf8View,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Bytea => DataType::BinaryView,
            Self::Array(element) => {
                DataType::List(Arc::new(Field::new_list_field(element.data_type(), true)))
            }
        }
    }

    /// A guess at the decoded bytes of one value, for estimates.
    pub fn width_estimate(&self) -> u64 {
        match self {
            Self::Boolean => 1,
            Self::SmallInt => 2,
            Self::Integer | Self::Real | Self::Date => 4,
            Self::BigInt | Self::Double | Self::Timestamp | Self::TimestampTz | Self::Time => 8,
            Self::Numeric { precision, .. } if *precision > DECIMAL128_PRECISION_MAX => 32,
            Self::Numeric { .. } => 16,
            Self::Text | Self::Bytea | Self::Uuid => 32,
            Self::Json | Self::Array(_) => 64,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double precision"),
            Self::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamptz"),
            Self::Time => f.write_str("time"),
            Self::Bytea => f.write_str("bytea"),
            Self::Json => f.write_str("json"),
            Self::Uuid => f.write_str("uuid"),
            Self::Array(element) => write!(f, "{element}[]"),
        }
    }
}

/// Where the value of a column is found. Of a column of the key it says nothing: there the template does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The field of this name.
    Field(String),
    /// Within the value, which is JSON.
    Path(JsonPath),
    /// The whole value, as it is stored.
    Value,
    /// The key, as it is stored.
    Key,
    /// How long the key still lives, in seconds.
    Ttl,
}

/// A column's name and type, and the place of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// The name.
    pub name: String,
    /// The type.
    pub column_type: ColumnType,
    /// Where the value is.
    pub place: Place,
}

impl ColumnDefinition {
    /// Makes a column of the field of its own name.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Self {
        let name = name.into();
        Self {
            place: Place::Field(name.clone()),
            name,
            column_type,
        }
    }

    /// Reads `name type`, where a name with blanks stands in double quotes: a column of the field of its own name.
    ///
    /// Errors: `Configuration`.
    pub fn parse(definition: &str) -> Result<Self> {
        let (name, type_text) = split_name(definition.trim())?;
        if name.is_empty() {
            return Err(configuration(format!(
                "column definition \"{definition}\" has no name"
            )));
        }
        let column_type = Self::parse_type(&name, type_text)?;
        Ok(Self::new(name, column_type))
    }

    /// Reads the type of the column `name`. Errors: `Configuration`.
    pub fn parse_type(name: &str, type_text: &str) -> Result<ColumnType> {
        parse_type(type_text.trim())
            .map_err(|problem| configuration(format!("column \"{name}\" {problem}")).hint(TYPES_HINT))
    }

    /// The Arrow field; a key column is never NULL.
    pub fn field(&self, nullable: bool) -> Field {
        Field::new(&self.name, self.column_type.data_type(), nullable)
    }
}

const TYPES_HINT: &str = "The types are smallint, integer, bigint, real, double precision, numeric(p,s), text, \
                          varchar(n), char(n), boolean, date, time, timestamp, timestamptz, bytea, json, uuid and \
                          arrays of them, such as text[].";

pub(crate) fn configuration(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, message)
}

/// Splits the name, quoted or not, from the type.
fn split_name(definition: &str) -> Result<(String, &str)> {
    let Some(quoted) = definition.strip_prefix('"') else {
        let end = definition.find(char::is_whitespace).unwrap_or(definition.len());
        let (name, rest) = definition.split_at(end);
        return Ok((name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            name.push(character);
        } else if characters.next_if(|&(_, next)| next == '"').is_some() {
            name.push('"');
        } else {
            return Ok((name, &quoted[at + 1..]));
        }
    }
    Err(configuration(format!(
        "column definition {definition} has no closing quote"
    )))
}

/// Reads a type; the error is a predicate, "has ...".
fn parse_type(text: &str) -> Result<ColumnType, String> {
    if let Some(element) = text.strip_suffix("[]") {
        return match parse_type(element.trim_end())? {
            ColumnType::Array(_) => Err(format!("has the type \"{text}\": an array of arrays")),
            element => Ok(ColumnType::Array(Box::new(element))),
        };
    }
    let lower = text.to_ascii_lowercase();
    let (name, arguments) =
        split_arguments(&lower).ok_or_else(|| format!("has the unknown type \"{text}\""))?;
    let simple = match name.as_str() {
        "numeric" | "decimal" => return parse_numeric(text, &arguments),
        "text" if arguments.is_empty() => ColumnType::Text,
        "varchar" | "character varying" | "char" | "character" | "bpchar" if arguments.len() <= 1 => {
            ColumnType::Text
        }
        _ if !arguments.is_empty() => return Err(format!("has the unknown type \"{text}\"")),
        "smallint" | "int2" => ColumnType::SmallInt,
        "integer" | "int" | "int4" => ColumnType::Integer,
        "bigint" | "int8" => ColumnType::BigInt,
        "real" | "float4" => ColumnType::Real,
        "double precision" | "double" | "float8" | "float" => ColumnType::Double,
        "boolean" | "bool" => ColumnType::Boolean,
        "date" => ColumnType::Date,
        "timestamp" | "timestamp without time zone" => ColumnType::Timestamp,
        "timestamptz" | "timestamp with time zone" => ColumnType::TimestampTz,
        "time" | "time without time zone" => ColumnType::Time,
        "bytea" => ColumnType::Bytea,
        "json" | "jsonb" => ColumnType::Json,
        "uuid" => ColumnType::Uuid,
        "" => return Err("has no type".to_owned()),
        _ => return Err(format!("has the unknown type \"{text}\"")),
    };
    Ok(simple)
}

/// Splits `name(1, 2)`, normalising blanks in the name; `None` when it has another shape.
fn split_arguments(text: &str) -> Option<(String, Vec<u32>)> {
    let (name, arguments) = match text.split_once('(') {
        None => (text, Vec::new()),
        Some((name, rest)) => {
            let inner = rest.trim_end().strip_suffix(')')?;
            let arguments = inner
                .split(',')
                .map(|argument| argument.trim().parse().ok())
                .collect::<Option<Vec<u32>>>()?;
            (name, arguments)
        }
    };
    Some((name.split_whitespace().collect::<Vec<_>>().join(" "), arguments))
}

fn parse_numeric(text: &str, arguments: &[u32]) -> Result<ColumnType, String> {
    let (precision, scale) = match arguments {
        [] => {
            return Err("has the type numeric without precision and scale, such as numeric(12,2)".to_owned());
        }
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Err(format!("has the unknown type \"{text}\"")),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=NUMERIC_PRECISION_MAX), Ok(scale)) if scale <= precision => {
            Ok(ColumnType::Numeric { precision, scale })
        }
        _ => Err(format!(
            "has the type \"{text}\": a precision is 1 to {NUMERIC_PRECISION_MAX}, a scale 0 to the precision"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(definition: &str) -> (String, String) {
        let column = ColumnDefinition::parse(definition).unwrap();
        (column.name, column.column_type.to_string())
    }

    fn problem(definition: &str) -> String {
        let error = ColumnDefinition::parse(definition).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        error.message().to_owned()
    }

    #[test]
    fn reads_names_and_types() {
        assert_eq!(parsed("p_partkey bigint"), ("p_partkey".into(), "bigint".into()));
        assert_eq!(
            parsed(" P numeric( 12 , 2 ) "),
            ("P".into(), "numeric(12,2)".into())
        );
        assert_eq!(
            parsed("\"a \"\"b\" double  precision"),
            ("a \"b".into(), "double precision".into())
        );
        assert_eq!(
            parsed("t TIMESTAMP WITH TIME ZONE"),
            ("t".into(), "timestamptz".into())
        );
        assert_eq!(
            parsed("größe character varying(10)"),
            ("größe".into(), "text".into())
        );
        assert_eq!(parsed("n decimal(40)"), ("n".into(), "numeric(40,0)".into()));
        assert_eq!(parsed("a jsonb"), ("a".into(), "json".into()));
        assert_eq!(parsed("a numeric(5,2)[]"), ("a".into(), "numeric(5,2)[]".into()));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert_eq!(problem("a money"), "column \"a\" has the unknown type \"money\"");
        assert_eq!(problem("a"), "column \"a\" has no type");
        assert_eq!(problem("  "), "column definition \"  \" has no name");
        assert!(problem("a numeric").contains("without precision"));
        assert!(problem("a numeric(5,6)").contains("0 to the precision"));
        assert!(problem("a numeric(77)").contains("1 to 76"));
        assert!(problem("a bigint(3)").contains("unknown type"));
        assert!(problem("a text not null").contains("unknown type"));
        assert!(problem("\"a text").contains("closing quote"));
        assert!(problem("a text[][]").contains("array of arrays"));
        assert!(problem("a []").contains("no type"));
    }
}
