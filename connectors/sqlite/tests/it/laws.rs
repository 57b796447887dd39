//! The law harness over strict and loose tables; in one of them, values that do not fit stand where NULL is read.

use causeway_spi::ConnectorOptions;
use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawSubject, ROWS, Shares, TextKind, column, run_laws,
};
use causeway_sqlite::InvalidValues;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::fixture::{Database, load};

const UNICODE: ColumnKind = ColumnKind::Text(TextKind::Unicode);
const PRICE: ColumnKind = ColumnKind::Numeric {
    precision: 12,
    scale: 2,
};

const LOOSE: &[(&str, ColumnKind, &str)] = &[
    ("id", ColumnKind::Key, "INTEGER PRIMARY KEY"),
    ("grp", ColumnKind::Group, "INT4"),
    ("small", ColumnKind::Integer { bits: 16 }, "SMALLINT"),
    ("num", ColumnKind::Integer { bits: 64 }, "BIGINT"),
    ("ratio", ColumnKind::Double { special: false }, "DOUBLE"),
    ("price", PRICE, "NUMERIC(12, 2)"),
    ("day", ColumnKind::Date, "DATE"),
    ("at", ColumnKind::Timestamp, "DATETIME"),
    ("moment", ColumnKind::Moment { unix: false }, "TIMESTAMPTZ"),
    ("raw", ColumnKind::Bytes, "BLOB"),
    ("flag", ColumnKind::Boolean, "BOOLEAN"),
    ("name", UNICODE, "TEXT"),
    ("folded", UNICODE, "VARCHAR(200) COLLATE NOCASE"),
    ("padded", UNICODE, "TEXT COLLATE RTRIM"),
];
const LOOSE_INDEXES: &[&str] = &[
    "grp",
    "grp, small",
    "num",
    "price",
    "day",
    "at",
    "moment",
    "raw",
    "name",
    "folded",
    "padded, grp",
];

/// Nothing but the values of its type gets into a strict table: conditions on it are exact.
#[tokio::test(flavor = "multi_thread")]
async fn strict_tables() {
    let columns = [
        ("id", ColumnKind::Key, "INTEGER PRIMARY KEY"),
        ("num", ColumnKind::Integer { bits: 64 }, "INTEGER"),
        ("ratio", ColumnKind::Double { special: false }, "REAL"),
        ("raw", ColumnKind::Bytes, "BLOB"),
        ("name", UNICODE, "TEXT"),
        ("folded", UNICODE, "TEXT COLLATE NOCASE"),
        ("padded", UNICODE, "TEXT COLLATE RTRIM"),
        ("other", UNICODE, "TEXT"),
    ];
    let indexes = [
        "num",
        "raw",
        "name",
        "folded",
        "padded",
        "num, folded",
        "other COLLATE NOCASE",
    ];
    let shares = Shares {
        pushed: 0.25,
        lookups: 0.15,
        limits: 0.02,
        operators: 0.0,
        mates: 0.0,
        unions: 0.0,
    };
    check(
        "strict",
        &columns,
        "STRICT",
        &indexes,
        InvalidValues::Error,
        shares,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loose_tables() {
    // What could be an error is always checked again, so few limits go down.
    let shares = Shares {
        pushed: 0.25,
        lookups: 0.15,
        limits: 0.0,
        operators: 0.0,
        mates: 0.0,
        unions: 0.0,
    };
    check("loose", LOOSE, "", LOOSE_INDEXES, InvalidValues::Error, shares).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_are_null() {
    let shares = Shares {
        pushed: 0.25,
        lookups: 0.15,
        limits: 0.02,
        operators: 0.0,
        mates: 0.0,
        unions: 0.0,
    };
    check("unfit", LOOSE, "", LOOSE_INDEXES, InvalidValues::Null, shares).await;
}

async fn check(
    name: &str,
    columns: &[(&str, ColumnKind, &str)],
    option: &str,
    indexes: &[&str],
    invalid: InvalidValues,
    shares: Shares,
) {
    let kinds: Vec<Column> = columns
        .iter()
        .map(|(name, kind, _)| column(name, *kind))
        .collect();
    let canonical = CanonicalTable::generate(kinds, ROWS, 0);
    let definitions: Vec<String> = columns
        .iter()
        .map(|(name, _, definition)| format!("{name} {definition}"))
        .collect();
    let database = Database::new(&[&format!("CREATE TABLE t ({}) {option}", definitions.join(", "))]);
    let writer = database.writer();
    writer.execute_batch("BEGIN").unwrap();
    let places = vec!["?"; columns.len()].join(", ");
    for (number, row) in canonical.cells().iter().enumerate() {
        let unfit = invalid == InvalidValues::Null && number % 3 > 0;
        let values = row.iter().zip(columns).map(|(cell, (_, kind, _))| match cell {
            Some(cell) => stored(cell, *kind),
            None if unfit => strange(*kind, number),
            None => Value::Null,
        });
        writer
            .execute(
                &format!("INSERT INTO t VALUES ({places})"),
                params_from_iter(values),
            )
            .unwrap();
    }
    for (number, index) in indexes.iter().enumerate() {
        writer
            .execute_batch(&format!("CREATE INDEX i{number} ON t ({index})"))
            .unwrap();
    }
    writer.execute_batch("COMMIT").unwrap();
    let mut options = database.options();
    options.invalid = invalid;
    let table = load(&options.open("shop").unwrap(), "t").await;
    let subject = LawSubject::new(format!("sqlite {name}"), table, canonical.rows().clone());
    run_laws(&subject.shares(shares).one_of(3)).await;
}

fn stored(cell: &str, kind: ColumnKind) -> Value {
    match kind {
        ColumnKind::Key | ColumnKind::Group | ColumnKind::Integer { .. } => {
            Value::Integer(cell.parse().unwrap())
        }
        ColumnKind::Double { .. } => Value::Real(cell.parse().unwrap()),
        ColumnKind::Boolean => Value::Integer(i64::from(cell == "true")),
        ColumnKind::Bytes => Value::Blob(bytes(cell)),
        // Text for the column's affinity to convert: decimals become integers or doubles.
        _ => Value::Text(cell.to_owned()),
    }
}

/// The bytes of hexadecimal digits.
pub(crate) fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

/// A value that does not fit a column of `kind`.
fn strange(kind: ColumnKind, row: usize) -> Value {
    let first = row.is_multiple_of(2);
    match kind {
        ColumnKind::Text(_) => Value::Blob(if first { vec![] } else { b"Alice".to_vec() }),
        ColumnKind::Integer { bits: 16 } | ColumnKind::Group if first => Value::Integer(1 << 40),
        ColumnKind::Boolean if first => Value::Integer(2),
        ColumnKind::Numeric { .. } if first => Value::Integer(i64::MAX),
        ColumnKind::Date if first => Value::Text("2024-02-31".to_owned()),
        ColumnKind::Timestamp | ColumnKind::Moment { .. } if first => {
            Value::Text("2024-02-29 25:00".to_owned())
        }
        ColumnKind::Integer { .. } if row.is_multiple_of(4) => Value::Real(7.5),
        ColumnKind::Bytes if first => Value::Integer(7),
        ColumnKind::Bytes => Value::Text("seven".to_owned()),
        ColumnKind::Date | ColumnKind::Timestamp | ColumnKind::Moment { .. } => Value::Integer(19_000),
        _ if row.is_multiple_of(3) => Value::Blob(b"7".to_vec()),
        _ => Value::Text("seven".to_owned()),
    }
}
