//! The kinds of values that the generated queries compute with: their names, their nasty values, their literals.

use arrow::datatypes::{DataType, TimeUnit};
use rand::prelude::*;

use super::query::Expr;

/// What an expression gives. A numeric has as many digits behind the point as it says, in every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Int2,
    Int4,
    Int8,
    Numeric(u8),
    Float,
    Text,
    Bool,
    Date,
    Timestamp,
}

impl Kind {
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8)
    }

    pub(super) fn is_number(self) -> bool {
        self.is_integer() || matches!(self, Self::Numeric(_) | Self::Float)
    }

    /// The name of the type in a cast. Numerics have room for all values of the tables.
    pub(super) fn sql(self) -> String {
        match self {
            Self::Int2 => "smallint".to_owned(),
            Self::Int4 => "integer".to_owned(),
            Self::Int8 => "bigint".to_owned(),
            Self::Numeric(scale) => format!("numeric(38, {scale})"),
            Self::Float => "double precision".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Bool => "boolean".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
        }
    }

    /// One of the values of a literal, as text.
    fn literals(self) -> &'static [&'static str] {
        match self {
            Self::Int2 => INT2,
            Self::Int4 => INT4,
            Self::Int8 => INT8,
            Self::Numeric(0) => &["0", "1", "-1", "12", "9223372036854775808"],
            Self::Numeric(_) => NUMERIC,
            Self::Float => DYADIC,
            Self::Text => TEXT,
            Self::Bool => &["true", "false"],
            Self::Date => DATE,
            Self::Timestamp => TIMESTAMP,
        }
    }

    /// A constant of the kind, rarely NULL.
    pub(super) fn literal(self, random: &mut StdRng) -> Expr {
        if random.random_bool(0.06) {
            return self.null();
        }
        let value = self.literals().choose(random).copied().unwrap_or("0");
        self.constant(value)
    }

    pub(super) fn null(self) -> Expr {
        Expr::sql(self, format!("CAST(NULL AS {})", self.sql()))
    }

    /// The literal of one value.
    fn constant(self, value: &str) -> Expr {
        let sql = match self {
            // PostgreSQL takes -2147483648 for the negative of an int8.
            Self::Int4 if value.len() < 10 => value.to_owned(),
            Self::Numeric(0) => format!("CAST({value} AS numeric(38, 0))"),
            Self::Numeric(2) => value.to_owned(),
            Self::Text => quoted(value),
            Self::Bool => value.to_uppercase(),
            Self::Date => format!("DATE '{value}'"),
            Self::Timestamp => format!("TIMESTAMP '{value}'"),
            _ => format!("CAST('{value}' AS {})", self.sql()),
        };
        Expr::sql(self, sql)
    }

    /// A literal without a type, which takes that of what stands beside it.
    pub(super) fn untyped(self, random: &mut StdRng) -> Expr {
        let value = self.literals().choose(random).copied().unwrap_or("0");
        let sql = if self.is_number() {
            value.to_owned()
        } else {
            quoted(value)
        };
        Expr::sql(self, sql)
    }

    /// The smallest expression of the kind, for making a query smaller.
    pub(super) fn least(self) -> Expr {
        self.constant(self.literals()[0])
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The kinds of columns: what a query sees, how each source declares it, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// 1, 2, 3 ...
    Id,
    /// A few small numbers, to be grouped by and joined on.
    Few,
    Int2,
    Int4,
    Int8,
    Price,
    Wide,
    /// With NaN, infinities and the negative zero.
    Float,
    /// Halves and quarters, of which sums are exact in any order.
    Dyadic,
    Text,
    /// A few short texts, to be grouped by and joined on.
    Word,
    Bool,
    Date,
    Timestamp,
}

impl ColumnKind {
    /// Those that a table may have beside its id.
    pub(super) const ALL: [ColumnKind; 13] = [
        Self::Few,
        Self::Int2,
        Self::Int4,
        Self::Int8,
        Self::Price,
        Self::Wide,
        Self::Float,
        Self::Dyadic,
        Self::Text,
        Self::Word,
        Self::Bool,
        Self::Date,
        Self::Timestamp,
    ];

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Id | Self::Few | Self::Int4 => Kind::Int4,
            Self::Int2 => Kind::Int2,
            Self::Int8 => Kind::Int8,
            Self::Price => Kind::Numeric(2),
            Self::Wide => Kind::Numeric(6),
            Self::Float | Self::Dyadic => Kind::Float,
            Self::Text | Self::Word => Kind::Text,
            Self::Bool => Kind::Bool,
            Self::Date => Kind::Date,
            Self::Timestamp => Kind::Timestamp,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Few => "k",
            Self::Int2 => "s",
            Self::Int4 => "i",
            Self::Int8 => "l",
            Self::Price => "n",
            Self::Wide => "w",
            Self::Float => "f",
            Self::Dyadic => "g",
            Self::Text => "t",
            Self::Word => "u",
            Self::Bool => "b",
            Self::Date => "d",
            Self::Timestamp => "z",
        }
    }

    /// The type in PostgreSQL and in the tables that are made by SQL here; SQLite and Redis read its words alike.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Self::Id | Self::Few | Self::Int4 => "int4",
            Self::Int2 => "smallint",
            Self::Int8 => "bigint",
            Self::Price => "numeric(10,2)",
            Self::Wide => "numeric(30,6)",
            Self::Float | Self::Dyadic => "double precision",
            Self::Text | Self::Word => "text",
            Self::Bool => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }

    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Id | Self::Few | Self::Int4 => DataType::Int32,
            Self::Int2 => DataType::Int16,
            Self::Int8 => DataType::Int64,
            Self::Price => DataType::Decimal128(10, 2),
            Self::Wide => DataType::Decimal128(30, 6),
            Self::Float | Self::Dyadic => DataType::Float64,
            Self::Text | Self::Word => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// What its values are drawn from, as text.
    pub(super) fn values(self) -> &'static [&'static str] {
        match self {
            Self::Id => &[],
            Self::Few => &["-1", "0", "1", "2", "3"],
            Self::Int2 => INT2,
            Self::Int4 => INT4,
            Self::Int8 => INT8,
            Self::Price => NUMERIC,
            Self::Wide => WIDE,
            Self::Float => FLOAT,
            Self::Dyadic => DYADIC,
            Self::Text => TEXT,
            Self::Word => WORD,
            Self::Bool => &["true", "false"],
            Self::Date => DATE,
            Self::Timestamp => TIMESTAMP,
        }
    }
}

const INT2: &[&str] = &["0", "1", "-1", "2", "3", "7", "100", "32767", "-32768"];
const INT4: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "10",
    "-7",
    "32768",
    "-32769",
    "65536",
    "2147483647",
    "-2147483648",
];
const INT8: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "12",
    "2147483648",
    "-2147483649",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
];
const NUMERIC: &[&str] = &[
    "0.00",
    "0.01",
    "-0.01",
    "0.05",
    "0.50",
    "1.00",
    "1.50",
    "-1.50",
    "2.50",
    "12.34",
    "99999999.99",
    "-99999999.99",
];
const WIDE: &[&str] = &[
    "0.000000",
    "0.000001",
    "-0.000001",
    "1.000000",
    "1.500000",
    "2.500000",
    "-12345.678901",
    "999999999999999999999999.999999",
    "-999999999999999999999999.999999",
];
const FLOAT: &[&str] = &[
    "0",
    "-0",
    "0.1",
    "1.5",
    "-1.5",
    "1e300",
    "-1e300",
    "5e-324",
    "9007199254740993",
    "NaN",
    "Infinity",
    "-Infinity",
];
const DYADIC: &[&str] = &["0", "0.5", "-0.25", "1", "1.5", "-3", "2.75", "1024", "-0.125"];
const WORD: &[&str] = &["", "a", "A", "ab", "b", "B", "a ", "abc"];
const TEXT: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "a ",
    "ab",
    "AB",
    "a%b",
    "a_b",
    "aXb",
    "a\\b",
    "\\",
    "%",
    "_",
    "'",
    "it''s",
    "\"",
    "é",
    "É",
    "e\u{301}",
    "ÿ",
    "日本語",
    "日本",
    "🦀",
    "🦀🦀",
    "Z",
    "z",
    "0",
    "1",
    "-1",
    "1.0",
    "NULL",
    " WHERE ",
    "a\tb",
    "a\nb",
];
const DATE: &[&str] = &[
    "2024-02-29",
    "1970-01-01",
    "1969-12-31",
    "2000-02-29",
    "1999-12-31",
    "2024-12-31",
    "2024-03-01",
    "1001-01-01",
    "9999-12-31",
];
const TIMESTAMP: &[&str] = &[
    "2024-02-29 12:34:56.5",
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "2000-01-01 00:00:00",
    "1999-12-31 23:59:59.000001",
    "2024-02-29 00:00:00",
    "2038-01-19 03:14:08",
    "1001-01-01 00:00:00",
];
