//! Declared types: what a column is read as, and what the law book must know of it.
//!
//! SQLite takes any word for a type and derives an affinity from it, which converts values that can be converted and
//! keeps all others. The reading follows the declared word; the values decide row by row whether they fit.

use arrow::datatypes::{DataType, TimeUnit};
use causeway_base_sql::{ColumnKind, ColumnProfile, DynamicProfile, Fit, IndexCollation, ValueClass};

use crate::options::{DateNumbers, InvalidValues, SqliteOptions};

/// The widest decimals of 128 and of 256 bits.
const DECIMAL128_DIGITS_MAX: u8 = 38;
const DECIMAL256_DIGITS_MAX: u8 = 76;

/// What the values of a column are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Int16,
    Int32,
    Int64,
    Boolean,
    Float,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Text,
    Bytes,
    Date,
    Moment {
        zone: bool,
    },
    /// As text, whatever it is: numbers by their digits.
    Anything,
}

/// A column as the file's schema declares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct NativeColumn {
    pub(crate) name: String,
    /// The declared type in the schema's words; empty if there is none.
    pub(crate) declared: String,
    /// The type that the options give it instead.
    pub(crate) configured: Option<String>,
    pub(crate) not_null: bool,
    /// Whether it is the row's id: always an integer, never NULL.
    pub(crate) is_row_id: bool,
    /// Whether the table is STRICT and the column is not computed, so that only values of the type get in.
    pub(crate) strict: bool,
    /// Whether a filter means the same as on a table: not in virtual tables, which interpret filters themselves.
    pub(crate) comparable: bool,
    /// Whether its own collation is the order of bytes.
    pub(crate) compares_bytes: bool,
    /// The collation of the index that finds it.
    pub(crate) index_collation: Option<IndexCollation>,
}

impl Reading {
    /// The reading of a declared type.
    pub(crate) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let words: Vec<&str> = declared
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .collect();
        let Some(&first) = words.first() else {
            return Self::Anything;
        };
        let has = |word: &str| words.contains(&word);
        match first {
            "BOOL" | "BOOLEAN" => Self::Boolean,
            "DATE" => Self::Date,
            "DATETIME" | "DATETIME2" | "SMALLDATETIME" | "TIMESTAMP" => Self::Moment {
                zone: has("WITH") && has("ZONE"),
            },
            "TIMESTAMPTZ" => Self::Moment { zone: true },
            "NUMERIC" | "DECIMAL" | "DEC" | "NUMBER" | "NUM" => decimal(&words),
            "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "REAL" => Self::Float,
            "BYTEA" | "BINARY" | "VARBINARY" => Self::Bytes,
            _ => Self::by_affinity(&declared, &words),
        }
    }

    /// By SQLite's own rules: the first part that occurs anywhere in the declared type.
    fn by_affinity(declared: &str, words: &[&str]) -> Self {
        if declared.contains("INT") {
            return integer(words);
        }
        let has_any = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if has_any(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if has_any(&["BLOB"]) {
            Self::Bytes
        } else if has_any(&["REAL", "FLOA", "DOUB"]) {
            Self::Float
        } else {
            Self::Anything
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Boolean => DataType::Boolean,
            Self::Float => DataType::Float64,
            Self::Decimal { precision, scale } => {
                let scale = i8::try_from(scale).unwrap_or(i8::MAX);
                match precision {
                    0..=DECIMAL128_DIGITS_MAX => DataType::Decimal128(precision, scale),
                    _ => DataType::Decimal256(precision, scale),
                }
            }
            Self::Text | Self::Anything => DataType::Utf8View,
            Self::Bytes => DataType::BinaryView,
            Self::Date => DataType::Date32,
            Self::Moment { zone } => DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| "UTC".into())),
        }
    }

    fn class(self) -> Option<ValueClass> {
        let integer = |least: i64, most: i64| Some(ValueClass::Integer { least, most });
        match self {
            Self::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
            Self::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
            Self::Int64 => integer(i64::MIN, i64::MAX),
            Self::Boolean => Some(ValueClass::Boolean),
            Self::Float => Some(ValueClass::Float),
            Self::Decimal { scale, .. } => Some(ValueClass::Decimal { scale }),
            Self::Text => Some(ValueClass::Text),
            Self::Bytes => Some(ValueClass::Bytes),
            Self::Date => Some(ValueClass::Date),
            Self::Moment { .. } => Some(ValueClass::Moment),
            Self::Anything => None,
        }
    }
}

/// Without a scale the stored numbers are what they are: integers or doubles.
fn decimal(words: &[&str]) -> Reading {
    let numbers: Vec<u8> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let (precision, scale) = match numbers.as_slice() {
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Reading::Float,
    };
    match (1..=DECIMAL256_DIGITS_MAX).contains(&precision) && scale <= precision {
        true => Reading::Decimal { precision, scale },
        false => Reading::Float,
    }
}

fn integer(words: &[&str]) -> Reading {
    let unsigned = words.contains(&"UNSIGNED");
    let known = words.iter().find_map(|word| match *word {
        "TINYINT" => Some(Reading::Int16),
        "SMALLINT" | "INT2" if unsigned => Some(Reading::Int32),
        "SMALLINT" | "INT2" => Some(Reading::Int16),
        "INT4" if unsigned => Some(Reading::Int64),
        "MEDIUMINT" | "INT4" => Some(Reading::Int32),
        "INT" | "INTEGER" | "BIGINT" | "INT8" | "BIGSERIAL" => Some(Reading::Int64),
        _ => None,
    });
    known.unwrap_or(Reading::Anything)
}

impl NativeColumn {
    /// What the column is read as.
    pub(crate) fn reading(&self) -> Reading {
        Reading::of(self.configured.as_deref().unwrap_or(&self.declared))
    }

    /// The canonical type, and whether NULL can be read.
    pub(crate) fn canonical(&self, options: &SqliteOptions) -> (DataType, bool) {
        let may_be_null = options.invalid == InvalidValues::Null && !self.is_guaranteed();
        (
            self.reading().data_type(),
            !(self.not_null || self.is_row_id) || may_be_null,
        )
    }

    /// What the law book must know. Text in UTF-16 compares otherwise; a configured type says nothing about affinity.
    pub(crate) fn profile(&self, options: &SqliteOptions, utf8: bool) -> ColumnProfile {
        let reading = self.reading();
        let opaque = match reading {
            _ if !self.comparable || self.configured.is_some() => true,
            Reading::Text => !utf8,
            Reading::Date | Reading::Moment { .. } => !utf8 || options.date_numbers != DateNumbers::Refuse,
            _ => false,
        };
        let kind = match reading.class() {
            Some(class) if !opaque => ColumnKind::Dynamic(DynamicProfile {
                class,
                fit: self.fit(options.invalid),
                compares_bytes: self.compares_bytes,
                index_collation: self.index_collation,
            }),
            _ => ColumnKind::Opaque,
        };
        let declared = match (&self.configured, self.declared.as_str()) {
            (Some(configured), _) => configured.clone(),
            (None, "") => "none".to_owned(),
            (None, declared) => declared.to_owned(),
        };
        ColumnProfile {
            name: self.name.clone(),
            native_type: declared,
            kind,
            nullable: !(self.not_null || self.is_row_id),
            sorted_whole: true,
        }
    }

    fn fit(&self, invalid: InvalidValues) -> Fit {
        match invalid {
            _ if self.is_guaranteed() => Fit::Guaranteed,
            InvalidValues::Error => Fit::OrError,
            InvalidValues::Null => Fit::OrNull,
        }
    }

    /// Whether SQLite itself lets no other value in.
    fn is_guaranteed(&self) -> bool {
        let strict_type = matches!(
            self.declared.to_ascii_uppercase().as_str(),
            "INT" | "INTEGER" | "REAL" | "TEXT" | "BLOB"
        );
        self.configured.is_none() && (self.is_row_id || (self.strict && strict_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_words_are_readings() {
        let numeric = |precision, scale| Reading::Decimal { precision, scale };
        for (declared, reading) in [
            ("INTEGER", Reading::Int64),
            ("int(11)", Reading::Int64),
            ("UNSIGNED BIG INT", Reading::Int64),
            ("bigint unsigned", Reading::Int64),
            ("smallint", Reading::Int16),
            ("smallint unsigned", Reading::Int32),
            ("TINYINT(1)", Reading::Int16),
            ("boolean", Reading::Boolean),
            ("NUMERIC(12, 2)", numeric(12, 2)),
            ("decimal(5)", numeric(5, 0)),
            ("decimal(60,30)", numeric(60, 30)),
            ("decimal", Reading::Float),
            ("numeric(2,4)", Reading::Float),
            ("double precision", Reading::Float),
            ("FLOATING POINT", Reading::Anything),
            ("varchar(20)", Reading::Text),
            ("NATIVE CHARACTER(70)", Reading::Text),
            ("BLOB", Reading::Bytes),
            ("date", Reading::Date),
            ("datetime(6)", Reading::Moment { zone: false }),
            ("timestamp with time zone", Reading::Moment { zone: true }),
            ("POINT", Reading::Anything),
            ("JSON", Reading::Anything),
            ("", Reading::Anything),
        ] {
            assert_eq!(Reading::of(declared), reading, "{declared}");
        }
    }

    #[test]
    fn only_what_sqlite_guarantees_is_trusted() {
        let options = SqliteOptions::new("x");
        let fit = |column: NativeColumn| match column.profile(&options, true).kind {
            ColumnKind::Dynamic(profile) => Some(profile.fit),
            _ => None,
        };
        let column = |declared: &str| NativeColumn {
            declared: declared.to_owned(),
            comparable: true,
            ..NativeColumn::default()
        };
        let strict = |declared: &str| NativeColumn {
            strict: true,
            ..column(declared)
        };
        assert_eq!(fit(column("INTEGER")), Some(Fit::OrError));
        assert_eq!(fit(strict("INTEGER")), Some(Fit::Guaranteed));
        assert_eq!(fit(strict("ANY")), None);
        let row_id = NativeColumn {
            is_row_id: true,
            ..column("INTEGER")
        };
        assert_eq!(fit(row_id), Some(Fit::Guaranteed));
        let configured = NativeColumn {
            configured: Some("bigint".to_owned()),
            ..column("")
        };
        assert_eq!(fit(configured), None);
        assert!(matches!(
            column("TEXT").profile(&options, false).kind,
            ColumnKind::Opaque
        ));
    }
}
