//! Canonical tables: small, nasty data in canonical types, made from a seed.
//!
//! A source's test creates the table with its own types, loads [`CanonicalTable::cells`] and keeps
//! [`CanonicalTable::batches`] as the copy that decides what is right.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_empty_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::cells::Cells;
use super::kind::{ColumnKind, TextKind};
use super::values;

/// Rows of a canonical table, unless a source asks for another number.
pub const ROWS: usize = 300;

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

/// A key, and a column of each kind that the standard ones leave out: wide and approximate numbers, times, bytes, and
/// what is not compared: intervals, arrays, composites.
pub fn rare_columns() -> Vec<Column> {
    const BIGINT: ColumnKind = ColumnKind::Integer { bits: 64 };
    const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);
    let kinds = [
        ColumnKind::Integer { bits: 32 },
        ColumnKind::Real { special: true },
        ColumnKind::Double { special: true },
        ColumnKind::Unsigned,
        ColumnKind::Numeric {
            precision: 60,
            scale: 10,
        },
        ColumnKind::Time,
        ColumnKind::Moment { unix: false },
        ColumnKind::Bytes,
        ColumnKind::Interval,
        ColumnKind::List(&BIGINT),
        ColumnKind::List(&TEXT),
        ColumnKind::Composite,
    ];
    let rare = kinds.into_iter().map(|kind| column(&kind.word(), kind));
    [column("id", ColumnKind::Key)].into_iter().chain(rare).collect()
}

/// Makes one column.
pub fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
    }
}

impl Column {
    /// `"name" type`, as PostgreSQL defines a column.
    pub fn definition(&self) -> String {
        format!("{} {}", self.quoted_name(), self.kind.sql_name())
    }

    /// The name in double quotes.
    pub fn quoted_name(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }
}

impl CanonicalTable {
    /// Makes `rows` rows of `columns`; every nasty value of a column's kind occurs when there are rows enough.
    pub fn generate(columns: Vec<Column>, rows: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let arrays = columns
            .iter()
            .map(|column| array(column.kind, column_values(column.kind, rows, &mut random)));
        let arrays = arrays.collect();
        Self::of_rows(columns, arrays)
    }

    /// The table of these arrays, one for each of `columns` and of its type.
    pub(crate) fn of_rows(columns: Vec<Column>, arrays: Vec<ArrayRef>) -> Self {
        let rows = RecordBatch::try_new(schema_of(&columns), arrays)
            .expect("columns have the types and lengths of the schema");
        Self { columns, rows }
    }

    /// The same columns with other rows, such as a part of its own.
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        debug_assert_eq!(self.schema(), rows.schema());
        Self {
            columns: self.columns.clone(),
            rows,
        }
    }

    /// Only the rows without a NULL.
    pub(crate) fn without_nulls(&self) -> Self {
        let is_complete = |row: usize| self.rows.columns().iter().all(|column| column.is_valid(row));
        let mask: BooleanArray = (0..self.rows.num_rows())
            .map(|row| Some(is_complete(row)))
            .collect();
        Self {
            columns: self.columns.clone(),
            rows: filter_record_batch(&self.rows, &mask).expect("a mask of the table's length"),
        }
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

    /// The rows as text, row by row: numbers plain, `true`/`false`, `2024-02-29`, `12:00:00.000001`,
    /// `2024-02-29 12:00:00.000001`, the same with `+00:00` for a moment, bytes as hexadecimal digits, arrays and
    /// composites as JSON.
    pub fn cells(&self) -> Vec<Vec<Option<String>>> {
        let columns: Vec<Cells<'_>> = self.rows.columns().iter().map(Cells::new).collect();
        let row = |row| columns.iter().map(|cells| cells.text(row)).collect();
        (0..self.rows.num_rows()).map(row).collect()
    }
}

fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.kind.data_type(), !column.kind.is_unique());
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The column of `values`, which may be none.
fn array(kind: ColumnKind, values: Vec<ScalarValue>) -> ArrayRef {
    if values.is_empty() {
        return new_empty_array(&kind.data_type());
    }
    ScalarValue::iter_to_array(values).expect("the values of one kind have one type")
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
