//! The tables that every source is loaded with: each kind of column, NULLs, no rows, many columns, odd names, repeats.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, UInt64Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::capabilities::Capabilities;
use crate::testing::{CanonicalTable, Column, ColumnKind, ROWS, TextKind, column};

/// The name of the table with a column of each kind.
pub(super) const KINDS: &str = "kinds";
/// The name of the table without a row.
pub(super) const EMPTY: &str = "empty";
/// The name of the table of which rows come often.
pub(super) const REPEATED: &str = "repeated";
/// The name of the table with long values.
pub(super) const LONG: &str = "long";

/// Columns of the widest table.
const WIDE_COLUMNS: usize = 240;
/// Bytes of a long value, about.
const LONG_BYTES: usize = 100_000;
const LONG_ROWS: i64 = 12;
const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);

/// The names of columns and of a table that need quoting, look like syntax, or are in other scripts.
const ODD_NAMES: [&str; 12] = [
    "MixedCase",
    "with space",
    "größe",
    "日本語",
    "🦀",
    "quote\"d",
    "it's",
    "semi;colon",
    "per%cent",
    "select",
    "a.b",
    "x'--",
];

/// A table that a source is to hold.
#[derive(Debug, Clone)]
pub struct ConformanceTable {
    /// Its name.
    pub name: String,
    /// Its columns and rows.
    pub data: CanonicalTable,
    /// The positions of the primary key's columns; none where the source can do without.
    pub primary_key: Vec<usize>,
}

impl ConformanceTable {
    /// The columns, in canonical types; those of the key are not nullable.
    pub fn schema(&self) -> SchemaRef {
        self.data.schema()
    }

    /// All rows.
    pub fn rows(&self) -> &RecordBatch {
        self.data.rows()
    }

    fn keyed(name: &str, data: CanonicalTable) -> Self {
        Self {
            name: name.to_owned(),
            data,
            primary_key: vec![0],
        }
    }
}

/// The tables for a source with these capabilities.
pub(super) fn tables(declared: &Capabilities) -> Vec<ConformanceTable> {
    let columns = kinds(declared);
    let all = CanonicalTable::generate(columns.clone(), ROWS, 1);
    vec![
        ConformanceTable::keyed(KINDS, all.clone()),
        ConformanceTable::keyed(EMPTY, CanonicalTable::generate(columns.clone(), 0, 2)),
        ConformanceTable::keyed("single", CanonicalTable::generate(columns.clone(), 1, 3)),
        ConformanceTable::keyed("nulls", nulls(columns)),
        ConformanceTable::keyed("wide", wide(declared)),
        ConformanceTable::keyed(LONG, long(declared)),
        ConformanceTable::keyed("Odd names, ü 日", odd_names(declared)),
        repeated(&all, declared.keyless_tables),
    ]
}

/// A key and one column of each kind.
fn kinds(declared: &Capabilities) -> Vec<Column> {
    let others = declared.kinds.iter().map(|kind| column(&kind.word(), *kind));
    [column("id", ColumnKind::Key)]
        .into_iter()
        .chain(others)
        .collect()
}

/// Rows that are NULL but for their keys.
fn nulls(columns: Vec<Column>) -> CanonicalTable {
    let ids: Vec<i64> = (0..5).collect();
    let arrays = columns.iter().map(|column| match column.kind {
        ColumnKind::Key => Arc::new(Int64Array::from(ids.clone())) as ArrayRef,
        kind => new_null_array(&kind.data_type(), ids.len()),
    });
    let arrays = arrays.collect();
    CanonicalTable::of_rows(columns, arrays)
}

fn wide(declared: &Capabilities) -> CanonicalTable {
    let kinds = declared.kinds.iter().cycle().take(WIDE_COLUMNS);
    let others = kinds
        .enumerate()
        .map(|(index, kind)| column(&format!("c{index:03}"), *kind));
    let columns = [column("id", ColumnKind::Key)].into_iter().chain(others);
    CanonicalTable::generate(columns.collect(), 12, 4)
}

/// Texts, and bytes where they are held, of which no two have the same length.
fn long(declared: &Capabilities) -> CanonicalTable {
    let text = |row: i64| {
        let length = LONG_BYTES + usize::try_from(row).unwrap_or(0);
        format!("{row} é日🦀'\"\\%").repeat(length / 16)
    };
    let mut columns = vec![column("id", ColumnKind::Key), column("text", TEXT)];
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..LONG_ROWS)),
        Arc::new(StringViewArray::from_iter_values((0..LONG_ROWS).map(text))),
    ];
    if declared.kinds.contains(&ColumnKind::Bytes) {
        let bytes: Vec<u8> = (0..=255).cycle().take(LONG_BYTES).collect();
        let values = (0..LONG_ROWS).map(|row| &bytes[usize::try_from(row).unwrap_or(0)..]);
        columns.push(column("bytes", ColumnKind::Bytes));
        arrays.push(Arc::new(arrow::array::BinaryViewArray::from_iter_values(values)));
    }
    CanonicalTable::of_rows(columns, arrays)
}

fn odd_names(declared: &Capabilities) -> CanonicalTable {
    let kinds = [TEXT, ColumnKind::Integer { bits: 64 }];
    let is_held = |name: &&&str| declared.any_names || name.chars().all(|c| u32::from(c) <= 0xffff);
    let others = ODD_NAMES
        .iter()
        .filter(is_held)
        .zip(kinds.into_iter().cycle())
        .map(|(name, kind)| column(name, kind));
    let columns = [column("id", ColumnKind::Key)].into_iter().chain(others);
    CanonicalTable::generate(columns.collect(), 40, 5)
}

/// Six rows, thirty times each; with numbers of their own where every table has a key.
fn repeated(all: &CanonicalTable, keyless: bool) -> ConformanceTable {
    let rows = 180;
    let indices = UInt64Array::from_iter_values((0..rows).map(|row| row % 6));
    let taken = take_record_batch(all.rows(), &indices).expect("indexes of the table's rows");
    let (mut columns, mut arrays) = (all.columns().to_vec(), taken.columns().to_vec());
    let primary_key = if keyless {
        columns.remove(0);
        arrays.remove(0);
        Vec::new()
    } else {
        let ids = (0..rows).map(|row| i64::try_from(row).unwrap_or(0));
        arrays[0] = Arc::new(Int64Array::from_iter_values(ids));
        vec![0]
    };
    ConformanceTable {
        name: REPEATED.to_owned(),
        data: CanonicalTable::of_rows(columns, arrays),
        primary_key,
    }
}

/// A table named `name` with a key, a text and a number.
pub(super) fn plain_schema() -> SchemaRef {
    let field = |name: &str, kind: ColumnKind| Field::new(name, kind.data_type(), !kind.is_unique());
    Arc::new(Schema::new(vec![
        field("id", ColumnKind::Key),
        field("name", TEXT),
        field("n", ColumnKind::Integer { bits: 64 }),
    ]))
}

/// Rows of [`plain_schema`]: the key, the text `row <key>` and ten times the key.
pub(super) fn plain_rows(keys: &[i64]) -> RecordBatch {
    let names = keys.iter().map(|key| format!("row {key}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.to_vec())),
        Arc::new(StringViewArray::from_iter_values(names)),
        Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| key * 10))),
    ];
    RecordBatch::try_new(plain_schema(), columns).expect("three columns of one length")
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    const EVERY: [ColumnKind; 17] = [
        ColumnKind::Integer { bits: 16 },
        ColumnKind::Integer { bits: 32 },
        ColumnKind::Integer { bits: 64 },
        ColumnKind::Unsigned,
        ColumnKind::Real { special: true },
        ColumnKind::Double { special: true },
        ColumnKind::Numeric {
            precision: 12,
            scale: 2,
        },
        ColumnKind::Numeric {
            precision: 60,
            scale: 10,
        },
        ColumnKind::Date,
        ColumnKind::Time,
        ColumnKind::Moment { unix: true },
        ColumnKind::Interval,
        ColumnKind::Boolean,
        ColumnKind::Bytes,
        TEXT,
        ColumnKind::List(&TEXT),
        ColumnKind::Composite,
    ];

    #[test]
    fn every_kind_has_values_and_nulls() {
        let tables = tables(&Capabilities::reading(EVERY.into()));
        let [kinds, empty, .., repeated] = tables.as_slice() else {
            panic!("tables");
        };
        for (array, column) in kinds.rows().columns().iter().zip(kinds.data.columns()).skip(1) {
            assert!(
                array.null_count() > 0 && array.null_count() < 100,
                "{}",
                column.name
            );
        }
        assert_eq!((empty.rows().num_rows(), empty.rows().num_columns()), (0, 18));
        assert_eq!(
            (repeated.rows().num_rows(), repeated.rows().num_columns()),
            (180, 17)
        );
        for table in &tables {
            assert_eq!(table.data.cells().len(), table.rows().num_rows());
        }
    }

    #[test]
    fn values_have_texts() {
        let tables = tables(&Capabilities::reading(EVERY.into()));
        let cells = tables[0].data.cells();
        let holds = |kind: &str, text: &str| {
            let index = tables[0].schema().index_of(kind).expect("a column of this kind");
            assert!(
                cells.iter().any(|row| row[index].as_deref() == Some(text)),
                "{kind}: {text}"
            );
        };
        holds("time", "23:59:59.999999");
        holds("moment", "2038-01-19 03:14:07.999999+00:00");
        holds("bytes", "c3a9");
        holds("text_list", "[]");
        holds("text_list", "[null]");
        holds("composite", "{\"a\":-2147483648,\"b\":null}");
        holds(
            "numeric_60_10",
            &format!("-{}.{}", "9".repeat(50), "9".repeat(10)),
        );
    }
}
