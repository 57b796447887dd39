//! Canonical tables: small, nasty data in canonical types, made from a seed.
//!
//! A source's test creates the table with its own types, loads [`CanonicalTable::cells`] and keeps
//! [`CanonicalTable::batches`] as the copy that decides what is right.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::values;

/// Rows of a canonical table, unless a source asks for another number.
pub const ROWS: usize = 300;

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
    /// `double precision`.
    Double {
        /// Whether the source can hold NaN, the infinities and -0.0.
        special: bool,
    },
    /// `numeric(precision, scale)`, up to 38 digits.
    Numeric {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// `date` from year 1 to 9999.
    Date,
    /// `timestamp` without zone, to the microsecond, from year 1 to 9999.
    Timestamp,
    /// `boolean`.
    Boolean,
    /// Text of at most 200 characters.
    Text(TextKind),
}

/// One column of a canonical table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name: lower case, no quoting needed.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// A table of nasty data: the same for the same columns and seed.
#[derive(Debug, Clone)]
pub struct CanonicalTable {
    columns: Vec<Column>,
    rows: RecordBatch,
}

/// The columns that every source should hold unless it cannot: a unique key `id`, a non-unique key `grp`, a text
/// `name`, and one column of each other kind.
pub fn standard_columns() -> Vec<Column> {
    let kinds = [
        ("id", ColumnKind::Key),
        ("grp", ColumnKind::Group),
        ("name", ColumnKind::Text(TextKind::Unicode)),
        ("small", ColumnKind::Integer { bits: 16 }),
        ("num", ColumnKind::Integer { bits: 64 }),
        (
            "price",
            ColumnKind::Numeric {
                precision: 12,
                scale: 2,
            },
        ),
        (
            "amount",
            ColumnKind::Numeric {
                precision: 30,
                scale: 6,
            },
        ),
        ("day", ColumnKind::Date),
        ("at", ColumnKind::Timestamp),
        ("flag", ColumnKind::Boolean),
        ("note", ColumnKind::Text(TextKind::Unicode)),
    ];
    kinds.map(|(name, kind)| column(name, kind)).into()
}

/// Makes one column.
pub fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
    }
}

impl ColumnKind {
    /// The canonical type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Integer { bits: 16 } => DataType::Int16,
            Self::Integer { bits: 32 } | Self::Group => DataType::Int32,
            Self::Key | Self::Integer { .. } => DataType::Int64,
            Self::Numeric { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Unsigned => DataType::Decimal128(20, 0),
            Self::Double { .. } => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Boolean => DataType::Boolean,
            Self::TextKey | Self::Text(_) => DataType::Utf8View,
        }
    }
}

impl CanonicalTable {
    /// Makes `rows` rows of `columns`; every nasty value of a column's kind occurs when there are rows enough.
    pub fn generate(columns: Vec<Column>, rows: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| {
                let unique = matches!(column.kind, ColumnKind::Key | ColumnKind::TextKey);
                Field::new(&column.name, column.kind.data_type(), !unique)
            })
            .collect();
        let arrays = columns.iter().map(|column| {
            let values = column_values(column.kind, rows, &mut random);
            ScalarValue::iter_to_array(values).expect("the values of one kind have one type")
        });
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect())
            .expect("columns have the types and lengths of the schema");
        Self { columns, rows }
    }

    /// The standard columns with the standard number of rows and seed.
    pub fn standard() -> Self {
        Self::generate(standard_columns(), ROWS, 0)
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The schema, in canonical types.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// All rows in one batch.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The rows as text, row by row: numbers plain, `true`/`false`, `2024-02-29`, `2024-02-29 12:00:00.000001`.
    pub fn cells(&self) -> Vec<Vec<Option<String>>> {
        let options = FormatOptions::new()
            .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
            .with_date_format(Some("%Y-%m-%d"));
        let formatters: Vec<ArrayFormatter<'_>> = self
            .rows
            .columns()
            .iter()
            .map(|array| ArrayFormatter::try_new(array, &options).expect("canonical types can be formatted"))
            .collect();
        (0..self.rows.num_rows())
            .map(|row| {
                let cells = formatters.iter().zip(self.rows.columns());
                cells
                    .map(|(formatter, array)| array.is_valid(row).then(|| formatter.value(row).to_string()))
                    .collect()
            })
            .collect()
    }
}

/// `rows` values of one column: its nasty values, repeats of them, random ones and NULLs, shuffled.
fn column_values(kind: ColumnKind, rows: usize, random: &mut StdRng) -> Vec<ScalarValue> {
    match kind {
        ColumnKind::Key => return unique_keys(rows, random),
        ColumnKind::TextKey => return unique_texts(rows, random),
        _ => {}
    }
    let null = ScalarValue::try_from(kind.data_type()).expect("canonical types have a NULL");
    let nasty = values::nasty(kind);
    let mut column: Vec<ScalarValue> = nasty.iter().take(rows).cloned().collect();
    while column.len() < rows {
        let value = match random.random_range(0..10) {
            0 => null.clone(),
            1..=6 => nasty.choose(random).cloned().unwrap_or_else(|| null.clone()),
            _ => values::random(kind, random),
        };
        column.push(value);
    }
    column.shuffle(random);
    column
}

/// Distinct keys with gaps, so that a neighbour of a key is often a miss, and with both signs.
fn unique_keys(rows: usize, random: &mut StdRng) -> Vec<ScalarValue> {
    let mut keys = HashSet::from([0, -1, i64::from(i32::MAX) + 1]);
    let span = i64::try_from(rows).unwrap_or(i64::MAX / 4) * 3;
    while keys.len() < rows {
        keys.insert(random.random_range(-10..span));
    }
    let mut keys: Vec<i64> = keys.into_iter().take(rows).collect();
    keys.sort_unstable();
    keys.shuffle(random);
    keys.into_iter()
        .map(|key| ScalarValue::Int64(Some(key)))
        .collect()
}

/// The nasty texts, then texts that differ from them by a number.
fn unique_texts(rows: usize, random: &mut StdRng) -> Vec<ScalarValue> {
    let nasty = values::nasty(ColumnKind::TextKey);
    let numbered = (0..).flat_map(|number| nasty.iter().map(move |text| (number, text)));
    let text = |(number, text): (u32, &ScalarValue)| match number {
        0 => text.clone(),
        number => ScalarValue::Utf8View(Some(format!("{text}{number}"))),
    };
    let mut keys: Vec<ScalarValue> = Vec::new();
    for key in numbered.map(text).take(rows.saturating_mul(2)) {
        if keys.len() < rows && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.shuffle(random);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_rows() {
        assert_eq!(
            CanonicalTable::standard().rows(),
            CanonicalTable::standard().rows()
        );
        let other = CanonicalTable::generate(standard_columns(), ROWS, 1);
        assert_ne!(CanonicalTable::standard().rows(), other.rows());
    }

    #[test]
    fn every_nasty_value_occurs() {
        let cells = CanonicalTable::standard().cells();
        let holds = |column: usize, text: &str| cells.iter().any(|row| row[column].as_deref() == Some(text));
        for text in [
            "Alice", "alice", "alice ", "álice", "", "%", "\\", "ß", "ss", "🦀",
        ] {
            assert!(holds(2, text), "{text:?} is missing");
        }
        assert!(holds(3, "-32768") && holds(4, "9223372036854775807"));
        assert!(holds(5, "9999999999.99") && holds(5, "0.01"));
        assert!(holds(7, "0001-01-01") && holds(7, "9999-12-31"));
        assert!(holds(8, "9999-12-31 23:59:59.999999"));
        assert!(cells.iter().any(|row| row[2].is_none()));
    }

    #[test]
    fn keys_are_unique() {
        let table = CanonicalTable::standard();
        let ids: HashSet<_> = table
            .cells()
            .into_iter()
            .map(|mut row| row.swap_remove(0))
            .collect();
        assert_eq!(ids.len(), ROWS);
        assert!(!ids.contains(&None));
    }
}
