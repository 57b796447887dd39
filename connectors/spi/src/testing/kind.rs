//! The kinds of columns that canonical tables are made of: what a source holds, and what it does not.

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

/// Digits of the widest numeric of 128 bits.
const DECIMAL128_DIGITS_MAX: u8 = 38;

/// Which characters a text column can hold, and how it keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Any Unicode text, trailing blanks kept.
    Unicode,
    /// Characters of latin1 only, trailing blanks kept.
    Latin1,
    /// Any Unicode text without trailing blanks, as `char(n)` gives it back.
    Unpadded,
}

/// What one column of a canonical table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// `bigint`: unique, never NULL.
    Key,
    /// Text: unique, never NULL, not empty.
    TextKey,
    /// `smallint`, `integer` or `bigint` over the whole range of its type.
    Integer {
        /// 16, 32 or 64.
        bits: u8,
    },
    /// `integer` with few distinct values: a non-unique key.
    Group,
    /// Unsigned 64-bit integers, as `numeric(20, 0)`.
    Unsigned,
    /// `real`.
    Real {
        /// Whether the source can hold NaN, the infinities and -0.0.
        special: bool,
    },
    /// `double precision`.
    Double {
        /// Whether the source can hold NaN, the infinities and -0.0.
        special: bool,
    },
    /// `numeric(precision, scale)`, up to 76 digits.
    Numeric {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// `date` from year 1 to 9999.
    Date,
    /// `time` to the microsecond.
    Time,
    /// `timestamp` without zone, to the microsecond, from year 1 to 9999.
    Timestamp,
    /// `timestamp with time zone`, to the microsecond, from year 1 to 9999.
    Moment {
        /// Whether the source holds only seconds of 31 bits since 1970, and not the first of them.
        unix: bool,
    },
    /// `interval` of months, days and microseconds.
    Interval,
    /// `boolean`.
    Boolean,
    /// `bytea`.
    Bytes,
    /// Text of at most 200 characters.
    Text(TextKind),
    /// An array of values of a kind that is no array itself.
    List(&'static ColumnKind),
    /// A composite of an `integer` `a` and a `text` `b`.
    Composite,
}

impl ColumnKind {
    /// The canonical type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Integer { bits: 16 } => DataType::Int16,
            Self::Integer { bits: 32 } | Self::Group => DataType::Int32,
            Self::Key | Self::Integer { .. } => DataType::Int64,
            Self::Numeric { precision, scale } if precision > DECIMAL128_DIGITS_MAX => {
                DataType::Decimal256(precision, scale)
            }
            Self::Numeric { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Unsigned => DataType::Decimal128(20, 0),
            Self::Real { .. } => DataType::Float32,
            Self::Double { .. } => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Moment { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Boolean => DataType::Boolean,
            Self::Bytes => DataType::BinaryView,
            Self::TextKey | Self::Text(_) => DataType::Utf8View,
            Self::List(item) => DataType::List(Field::new_list_field(item.data_type(), true).into()),
            Self::Composite => DataType::Struct(composite_fields()),
        }
    }

    /// Whether no value of the column comes twice, and none is NULL.
    pub fn is_unique(self) -> bool {
        matches!(self, Self::Key | Self::TextKey)
    }

    /// The kind in a word or two, fit to be part of a column's name.
    pub fn word(self) -> String {
        match self {
            Self::Key => "key".to_owned(),
            Self::TextKey => "text_key".to_owned(),
            Self::Integer { bits } => format!("int{bits}"),
            Self::Group => "grp".to_owned(),
            Self::Unsigned => "unsigned".to_owned(),
            Self::Real { .. } => "real".to_owned(),
            Self::Double { .. } => "double".to_owned(),
            Self::Numeric { precision, scale } => format!("numeric_{precision}_{scale}"),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Moment { .. } => "moment".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Text(TextKind::Unicode) => "text".to_owned(),
            Self::Text(TextKind::Latin1) => "latin".to_owned(),
            Self::Text(TextKind::Unpadded) => "unpadded".to_owned(),
            Self::List(item) => format!("{}_list", item.word()),
            Self::Composite => "composite".to_owned(),
        }
    }

    /// The type as a definition of a table has it, in PostgreSQL's words; composites have none.
    pub fn sql_name(self) -> String {
        match self {
            Self::Key => "bigint".to_owned(),
            Self::Integer { bits: 16 } => "smallint".to_owned(),
            Self::Integer { bits: 32 } | Self::Group => "integer".to_owned(),
            Self::Integer { .. } => "bigint".to_owned(),
            Self::Unsigned => "numeric(20,0)".to_owned(),
            Self::Real { .. } => "real".to_owned(),
            Self::Double { .. } => "double precision".to_owned(),
            Self::Numeric { precision, scale } => format!("numeric({precision},{scale})"),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Moment { .. } => "timestamptz".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Bytes => "bytea".to_owned(),
            Self::TextKey | Self::Text(_) => "text".to_owned(),
            Self::List(item) => format!("{}[]", item.sql_name()),
            Self::Composite => "record".to_owned(),
        }
    }
}

/// The fields of [`ColumnKind::Composite`].
pub(crate) fn composite_fields() -> Fields {
    Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8View, true),
    ])
}

/// The kinds of single values that most sources can hold: numbers, moments, truth values and texts.
pub fn scalar_kinds() -> Vec<ColumnKind> {
    let numeric = |precision, scale| ColumnKind::Numeric { precision, scale };
    vec![
        ColumnKind::Integer { bits: 16 },
        ColumnKind::Integer { bits: 32 },
        ColumnKind::Integer { bits: 64 },
        ColumnKind::Unsigned,
        ColumnKind::Real { special: true },
        ColumnKind::Double { special: true },
        numeric(12, 2),
        numeric(76, 20),
        ColumnKind::Date,
        ColumnKind::Time,
        ColumnKind::Timestamp,
        ColumnKind::Moment { unix: false },
        ColumnKind::Boolean,
        ColumnKind::Text(TextKind::Unicode),
    ]
}
