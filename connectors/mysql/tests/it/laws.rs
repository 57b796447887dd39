//! The law harness over text columns of every kind of collation, indexes of one and two columns, zero dates, and the
//! types that other sources do not have.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use causeway_spi::ConnectorOptions;
use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawSubject, ROWS, Shares, TextKind, column, run_laws,
};

use datafusion::common::ScalarValue;

use crate::fixture::{Server, load, scan, server};
use crate::parts::in_parts;

/// Tables that share the checks.
const TABLES: u64 = 3;

/// Most conditions can be sent, and most joins are looked up.
const SHARES: Shares = Shares {
    pushed: 0.5,
    lookups: 0.3,
    limits: 0.1,
    operators: 0.25,
    mates: 0.3,
    unions: 0.25,
};

/// Numbers, dates and the texts that need the law book.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_dates_and_texts() {
    let columns = [
        ("id", ColumnKind::Key, "bigint PRIMARY KEY"),
        ("grp", ColumnKind::Group, "int, INDEX (grp)"),
        (
            "small",
            ColumnKind::Integer { bits: 16 },
            "smallint, INDEX (grp, small)",
        ),
        ("num", ColumnKind::Integer { bits: 64 }, "bigint, INDEX (num)"),
        ("big", ColumnKind::Unsigned, "bigint unsigned, INDEX (big)"),
        ("ratio", ColumnKind::Double { special: false }, "double"),
        ("price", numeric(12, 2), "decimal(12, 2), INDEX (price)"),
        ("amount", numeric(30, 6), "decimal(30, 6)"),
        ("day", ColumnKind::Date, "date, INDEX (day)"),
        ("at", ColumnKind::Timestamp, "datetime(6), INDEX (at)"),
        (
            "name",
            text(TextKind::Unicode),
            "varchar(200), INDEX (name), INDEX (name, grp)",
        ),
        (
            "latin",
            text(TextKind::Latin1),
            "varchar(200) CHARACTER SET latin1 COLLATE latin1_swedish_ci, INDEX (latin)",
        ),
    ];
    check("law_all", &columns, SHARES).await;
}

/// Texts only, under collations that fold, pad, compare code points or bytes.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_every_collation() {
    let unicode = text(TextKind::Unicode);
    let columns = [
        ("id", ColumnKind::Key, "bigint PRIMARY KEY"),
        (
            "general",
            unicode,
            "varchar(200) COLLATE utf8mb4_general_ci, INDEX (general)",
        ),
        (
            "uca",
            unicode,
            "varchar(200) COLLATE utf8mb4_unicode_520_ci, INDEX (uca)",
        ),
        ("pad", unicode, "varchar(200) COLLATE utf8mb4_bin, INDEX (pad)"),
        (
            "bytes",
            unicode,
            "varchar(200) COLLATE utf8mb4_nopad_bin, INDEX (bytes)",
        ),
        ("lob", unicode, "text COLLATE utf8mb4_unicode_ci"),
        (
            "latin",
            text(TextKind::Latin1),
            "varchar(200) CHARACTER SET latin1 COLLATE latin1_german2_ci, INDEX (latin)",
        ),
        (
            "wide",
            unicode,
            "varchar(200) CHARACTER SET utf16 COLLATE utf16_general_ci, INDEX (wide)",
        ),
        ("fixed", text(TextKind::Unpadded), "char(200), INDEX (fixed)"),
    ];
    check("law_texts", &columns, SHARES).await;
}

/// Tables whose scans are read over several connections, by ranges of their keys.
#[tokio::test(flavor = "multi_thread")]
async fn tables_in_parts() {
    let Some(server) = server() else { return };
    let columns = [
        ("id", ColumnKind::Key, "bigint PRIMARY KEY"),
        ("grp", ColumnKind::Group, "int, INDEX (grp)"),
        ("num", ColumnKind::Integer { bits: 64 }, "bigint, INDEX (num)"),
        ("price", numeric(12, 2), "decimal(12, 2), INDEX (price)"),
        ("day", ColumnKind::Date, "date, INDEX (day)"),
        ("name", text(TextKind::Unicode), "varchar(200), INDEX (name)"),
    ];
    let canonical = load_rows(&server, "law_parts", &columns).await;
    let catalog = in_parts(server.options()).open("shop").unwrap();
    let table = load(&catalog, "law_parts", "t").await;
    let splits = table.splits(&scan(table.as_ref())).await.unwrap();
    assert_eq!(splits.len(), 4, "{:?}", table.splits_text(&splits));
    let subject = LawSubject::new("mysql law_parts", table, canonical.rows().clone());
    run_laws(&subject.shares(SHARES).one_of(TABLES)).await;
}

/// Integers of every width and sign, and types of which nothing is sent.
const KINDS_SHARES: Shares = Shares {
    pushed: 0.15,
    lookups: 0.1,
    limits: 0.05,
    operators: 0.05,
    mates: 0.02,
    unions: 0.0,
};

/// A column's name, its definition, its type here, and its values: as MySQL reads them, and as they come here.
type Kind = (
    &'static str,
    &'static str,
    DataType,
    &'static [(&'static str, &'static str)],
);

/// What is written as it is read.
macro_rules! same {
    ($($text:literal),*) => { &[$(($text, $text)),*] };
}

fn kinds() -> Vec<Kind> {
    vec![
        (
            "tiny",
            "tinyint(1), INDEX (tiny)",
            DataType::Int16,
            same!["-128", "-1", "0", "1", "2", "127"],
        ),
        (
            "utiny",
            "tinyint unsigned",
            DataType::Int16,
            same!["0", "1", "127", "128", "255"],
        ),
        (
            "usmall",
            "smallint unsigned, INDEX (usmall, tiny)",
            DataType::Int32,
            same!["0", "32767", "32768", "65535"],
        ),
        (
            "mid",
            "mediumint, INDEX (mid)",
            DataType::Int32,
            same!["-8388608", "-1", "0", "8388607"],
        ),
        (
            "umid",
            "mediumint(4) unsigned zerofill",
            DataType::Int32,
            same!["0", "7", "8388608", "16777215"],
        ),
        (
            "uint",
            "int unsigned, INDEX (uint)",
            DataType::Int64,
            same!["0", "2147483647", "2147483648", "4294967295"],
        ),
        (
            "single",
            "float",
            DataType::Float32,
            same!["0", "0.1", "-1.5", "16777216", "3.4e38", "1e-30"],
        ),
        (
            "vast",
            "decimal(65, 30), INDEX (vast)",
            DataType::Decimal256(65, 30),
            same![
                "0",
                "0.000000000000000000000000000001",
                "-12345678901234567890123456789012345.5",
                "99999999999999999999999999999999999.999999999999999999999999999999"
            ],
        ),
        (
            "born",
            "year, INDEX (born)",
            DataType::Int16,
            &[
                ("0000", "0"),
                ("1901", "1901"),
                ("1970", "1970"),
                ("70", "1970"),
                ("2000", "2000"),
                ("2155", "2155"),
            ],
        ),
        (
            "color",
            "enum('red', 'GREEN', 'blue ', ''), INDEX (color)",
            DataType::Utf8View,
            &[
                ("red", "red"),
                ("RED", "red"),
                ("green", "GREEN"),
                ("blue", "blue"),
                ("", ""),
            ],
        ),
        (
            "tags",
            "set('a', 'b', 'C')",
            DataType::Utf8View,
            &[("b,a", "a,b"), ("", ""), ("c", "C"), ("a,b,C", "a,b,C")],
        ),
        (
            "doc",
            "json",
            DataType::Utf8View,
            same!["{\"k\": 1}", "[]", "\"a\"", "1", "null"],
        ),
        (
            "lasts",
            "time(3), INDEX (lasts)",
            DataType::Utf8View,
            &[
                ("-838:59:59", "-838:59:59.000"),
                ("-1", "-00:00:01.000"),
                ("0", "00:00:00.000"),
                ("12:34:56.789", "12:34:56.789"),
                ("100:00:00", "100:00:00.000"),
            ],
        ),
        (
            "uid",
            "uuid, INDEX (uid)",
            DataType::Utf8View,
            &[
                (
                    "123E4567-E89B-12D3-A456-426655440000",
                    "123e4567-e89b-12d3-a456-426655440000",
                ),
                (
                    "00000000000000000000000000000000",
                    "00000000-0000-0000-0000-000000000000",
                ),
            ],
        ),
        (
            "ip6",
            "inet6",
            DataType::Utf8View,
            &[
                ("::1", "::1"),
                ("2001:DB8::FF", "2001:db8::ff"),
                ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
            ],
        ),
        (
            "raw",
            "varbinary(8), INDEX (raw)",
            DataType::BinaryView,
            same!["a", "A", "a ", "", "\u{e9}", "ab"],
        ),
        (
            "padded",
            "binary(3), INDEX (padded, tiny)",
            DataType::BinaryView,
            &[("a", "a\0\0"), ("A", "A\0\0"), ("", "\0\0\0"), ("a b", "a b")],
        ),
        (
            "blobs",
            "mediumblob",
            DataType::BinaryView,
            same!["a", "A", "", "a "],
        ),
        (
            "bits",
            "bit(9), INDEX (bits)",
            DataType::BinaryView,
            &[("a", "\0a"), ("b", "\0b"), ("", "\0\0")],
        ),
        (
            "moment",
            "timestamp(6) NULL, INDEX (moment)",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            &[
                ("1970-01-01 00:00:01", "1970-01-01T00:00:01Z"),
                ("2024-03-31 02:30:00.5", "2024-03-31T02:30:00.5Z"),
                ("2024-03-31 02:30:00.499999", "2024-03-31T02:30:00.499999Z"),
                ("2038-01-19 03:14:07.999999", "2038-01-19T03:14:07.999999Z"),
            ],
        ),
        (
            "ip4",
            "inet4, INDEX (ip4)",
            DataType::Utf8View,
            same!["10.0.0.1", "192.168.255.9", "9.0.0.1"],
        ),
    ]
}

/// The types that only MySQL and MariaDB have.
#[tokio::test(flavor = "multi_thread")]
async fn types_of_every_kind() {
    const ROWS: usize = 150;
    let Some(server) = server() else { return };
    let kinds = kinds();
    let id = (0..ROWS).map(|row| ScalarValue::Int64(i64::try_from(row).ok()));
    let mut fields = vec![Field::new("id", DataType::Int64, false)];
    let mut arrays = vec![ScalarValue::iter_to_array(id).unwrap()];
    // Each column goes through its values at its own pace, with a NULL at the end of each round.
    let cell = |row: usize, column: usize, values: usize| (row * (column + 1) + row / 7) % (values + 1);
    for (column, (name, _, data_type, values)) in kinds.iter().enumerate() {
        let cells = (0..ROWS).map(|row| match values.get(cell(row, column, values.len())) {
            Some((_, here)) => ScalarValue::try_from_string((*here).to_owned(), data_type).unwrap(),
            None => ScalarValue::try_from(data_type).unwrap(),
        });
        arrays.push(ScalarValue::iter_to_array(cells).unwrap());
        fields.push(Field::new(*name, data_type.clone(), true));
    }
    let copy = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let definitions: Vec<String> = kinds
        .iter()
        .map(|kind| format!("`{}` {}", kind.0, kind.1))
        .collect();
    let mut statements = vec![format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, {})",
        definitions.join(", ")
    )];
    for row in 0..ROWS {
        let cells: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(
                |(column, (_, _, _, values))| match values.get(cell(row, column, values.len())) {
                    Some((there, _)) => format!("'{there}'"),
                    None => "NULL".to_owned(),
                },
            )
            .collect();
        statements.push(format!("INSERT INTO t VALUES ({row}, {})", cells.join(", ")));
    }
    statements.push("ANALYZE TABLE t".to_owned());
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let catalog = server.database("law_kinds", &statements).await;
    let table = load(&catalog, "law_kinds", "t").await;
    let subject = LawSubject::new("mysql law_kinds", table, copy);
    run_laws(&subject.shares(KINDS_SHARES).one_of(TABLES)).await;
}

fn numeric(precision: u8, scale: i8) -> ColumnKind {
    ColumnKind::Numeric { precision, scale }
}

fn text(kind: TextKind) -> ColumnKind {
    ColumnKind::Text(kind)
}

/// Runs the laws on canonical rows of `columns`: name, kind, definition.
async fn check(database: &str, columns: &[(&str, ColumnKind, &str)], shares: Shares) {
    let Some(server) = server() else { return };
    let canonical = load_rows(&server, database, columns).await;
    let catalog = server.options().open("shop").unwrap();
    let table = load(&catalog, database, "t").await;
    let subject = LawSubject::new(format!("mysql {database}"), table, canonical.rows().clone());
    run_laws(&subject.shares(shares).one_of(TABLES)).await;
}

/// Loads canonical rows of `columns` into table `t` of a database of their own.
async fn load_rows(server: &Server, database: &str, columns: &[(&str, ColumnKind, &str)]) -> CanonicalTable {
    let kinds: Vec<Column> = columns
        .iter()
        .map(|(name, kind, _)| column(name, *kind))
        .collect();
    let canonical = CanonicalTable::generate(kinds, ROWS, 0);
    let definitions: Vec<String> = columns
        .iter()
        .map(|(name, _, definition)| format!("`{name}` {definition}"))
        .collect();
    let mut statements = vec![format!("CREATE TABLE t ({})", definitions.join(", "))];
    for (number, row) in canonical.cells().iter().enumerate() {
        let cells = row.iter().zip(columns);
        let cells: Vec<String> = cells
            .map(|(cell, (_, kind, _))| literal(cell.as_deref(), *kind, number))
            .collect();
        statements.push(format!("INSERT INTO t VALUES ({})", cells.join(", ")));
    }
    statements.push("ANALYZE TABLE t".to_owned());
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    server.database(database, &statements).await;
    canonical
}

/// A cell as MySQL reads it. A NULL day is now and then a day that is read as NULL.
fn literal(cell: Option<&str>, kind: ColumnKind, row: usize) -> String {
    match (cell, kind) {
        (Some(cell), _) => format!("'{}'", cell.replace('\\', "\\\\").replace('\'', "''")),
        (None, ColumnKind::Date) if row.is_multiple_of(3) => "'0000-00-00'".to_owned(),
        (None, ColumnKind::Date) if row % 3 == 1 => "'2024-02-31'".to_owned(),
        (None, ColumnKind::Timestamp) if row.is_multiple_of(2) => "'0000-00-00 00:00:00'".to_owned(),
        (None, _) => "NULL".to_owned(),
    }
}
