//! The law harness over tables made by SQL: with one key column, two, one of text, and none.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawSubject, ROWS, Shares, TextKind, column, rare_columns, run_laws,
    standard_columns,
};

use crate::support::Store;

/// Only filters on keys reach this source: conditions on one column of eleven.
const SHARES: Shares = Shares {
    pushed: 0.05,
    lookups: 0.25,
    limits: 0.03,
    operators: 0.0,
    mates: 0.0,
    unions: 0.0,
};

async fn check(name: &str, rows: &RecordBatch, key: &[usize], shares: Shares) {
    let store = Store::new();
    let pieces = [rows.slice(0, 1), rows.slice(1, rows.num_rows() - 1)];
    store.fill("t", &rows.schema(), key, pieces.into()).await;
    let table = store.table("t").await;
    let subject = LawSubject::new(format!("embedded {name}"), table, rows.clone());
    run_laws(&subject.shares(shares).one_of(5)).await;
}

async fn check_columns(name: &str, columns: Vec<Column>, key: &[usize], shares: Shares) {
    let canonical = CanonicalTable::generate(columns, ROWS, 0);
    check(name, canonical.rows(), key, shares).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_by_one_key() {
    check_columns("by id", standard_columns(), &[0], SHARES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_rare_kinds() {
    let mut columns = rare_columns();
    columns.retain(|column| column.kind != ColumnKind::Composite);
    check_columns("of rare kinds", columns, &[0], SHARES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_by_a_key_of_several_columns() {
    let columns = vec![
        column("note", ColumnKind::Text(TextKind::Unicode)),
        column("id", ColumnKind::Key),
        column("part", ColumnKind::Key),
        column("grp", ColumnKind::Group),
        column("name", ColumnKind::TextKey),
    ];
    check_columns("by name, part, id", columns, &[4, 2, 1], SHARES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_by_text() {
    let columns = vec![
        column("name", ColumnKind::TextKey),
        column("grp", ColumnKind::Group),
        column("big", ColumnKind::Unsigned),
        column("ratio", ColumnKind::Double { special: true }),
    ];
    check_columns("by name", columns, &[0], SHARES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key() {
    let none = Shares {
        pushed: 0.0,
        lookups: 0.0,
        limits: 0.01,
        operators: 0.0,
        mates: 0.0,
        unions: 0.0,
    };
    check_columns("without a key", standard_columns(), &[], none).await;
}

/// Keys that are hard to put in order: zero bytes, empty texts, numbers at the ends of their types.
#[tokio::test(flavor = "multi_thread")]
async fn rows_by_nasty_keys() {
    let texts = [
        "",
        "\0",
        "\0\0",
        "\0\u{1}",
        "a",
        "a\0",
        "a\0b",
        "a!",
        "a:",
        "ab",
        "é",
        "e\u{301}",
        "\u{10ffff}",
        "Z",
    ];
    let numbers = [
        i64::MIN,
        i64::MIN + 1,
        -256,
        -255,
        -1,
        0,
        1,
        255,
        256,
        65_535,
        i64::MAX - 1,
        i64::MAX,
    ];
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    for text in texts {
        for number in numbers {
            names.push(text);
            ids.push(number);
        }
    }
    let groups: Vec<Option<i32>> = (0..)
        .map(|n| (n % 5 != 0).then_some(n % 7))
        .take(ids.len())
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(StringViewArray::from(names)),
        Arc::new(Int32Array::from(groups)),
    ];
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, false),
        Field::new("grp", DataType::Int32, true),
    ]);
    let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    check("by nasty keys", &rows, &[1, 0], SHARES).await;
}
