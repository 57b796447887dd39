//! Declared types, the values that stand in them all the same, names and views.

use arrow::datatypes::{DataType, TimeUnit};
use causeway_spi::{ConnectorOptions, ErrorKind, TableName, check_canonical};
use causeway_sqlite::{DateNumbers, InvalidValues};

use crate::fixture::{Database, load, read, scan, texts, try_read};

const MANY: &str = "CREATE TABLE many (id INTEGER PRIMARY KEY, i INT NOT NULL, s SMALLINT, b BOOLEAN, r REAL,
    d NUMERIC(10,2), wide DECIMAL(60,3), n NUMERIC, t VARCHAR(9), x BLOB, day DATE, at DATETIME, tz TIMESTAMPTZ,
    free, j JSON, sum INT GENERATED ALWAYS AS (i + 1))";

#[tokio::test]
async fn declared_types_are_read() {
    let database = Database::new(&[
        MANY,
        "INSERT INTO many VALUES (1, -9223372036854775808, 7, TRUE, 1, 12.5, 1e20, 3, 'é', x'00ff', '2024-02-29',
         '2024-02-29 12:30:00.25', '2024-02-29T12:30:00+02:00', x'', '[1]')",
        "INSERT INTO many VALUES (2, 1.0, NULL, 0, -0.0, '0.005', 7, 2.5, 17, NULL, '0001-01-01', '2024-02-29', NULL, 5,
         17)",
        "UPDATE many SET free = 1.5 WHERE id = 1",
    ]);
    let table = database.table("many").await;
    check_canonical(table.name(), &table.schema()).unwrap();
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    for (column, expected) in [
        ("i", ["-9223372036854775808", "1"]),
        ("s", ["7", "NULL"]),
        ("b", ["true", "false"]),
        ("r", ["1.0", "0.0"]),
        ("d", ["12.50", "0.01"]),
        ("wide", ["100000000000000000000.000", "7.000"]),
        ("n", ["3.0", "2.5"]),
        ("t", ["é", "17"]),
        ("x", ["00ff", "NULL"]),
        ("day", ["2024-02-29", "0001-01-01"]),
        ("at", ["2024-02-29T12:30:00.250", "2024-02-29T00:00:00"]),
        ("tz", ["2024-02-29T10:30:00Z", "NULL"]),
        ("free", ["1.5", "5"]),
        ("j", ["[1]", "17"]),
        ("sum", ["-9223372036854775807", "2"]),
    ] {
        assert_eq!(texts(&rows, column), expected, "{column}");
    }
    let schema = table.schema();
    let field = |name| schema.field_with_name(name).unwrap();
    assert!(!field("id").is_nullable() && !field("i").is_nullable() && field("s").is_nullable());
    assert_eq!(field("s").data_type(), &DataType::Int16);
    assert_eq!(field("wide").data_type(), &DataType::Decimal256(60, 3));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(field("tz").data_type(), &utc);
}

/// A column, a value that does not fit it, and a part of the error's detail.
const UNFIT: &[(&str, &str, &str)] = &[
    ("i", "'abc'", "INT, the value is a text"),
    ("i", "1.5", "floating point number"),
    ("s", "40000", "out of range"),
    ("b", "2", "out of range"),
    ("b", "'yes'", "a text"),
    ("r", "x'00'", "a blob"),
    ("d", "123456789.00", "out of range"),
    ("d", "'free'", "a text"),
    ("n", "9007199254740993", "out of range"),
    ("t", "x'41'", "a blob"),
    ("x", "'text'", "a text"),
    ("day", "'2024-02-30'", "no such moment"),
    ("day", "'2024-02-29 00:00:01'", "no such moment"),
    ("day", "17", "an integer"),
    ("at", "'tomorrow'", "no such moment"),
    ("at", "1.5", "floating point number"),
    ("free", "x'00'", "a blob"),
];

#[tokio::test]
async fn a_value_that_does_not_fit_is_an_error_or_null() {
    for (column, value, part) in UNFIT {
        let update = format!("INSERT INTO many (id, i, {column}) VALUES (41, 1, {value})");
        let update = match *column {
            "i" => format!("INSERT INTO many (id, i) VALUES (41, {value})"),
            _ => update,
        };
        let database = Database::new(&[MANY, &update]);
        let table = database.table("many").await;
        let mut wanted = scan(table.as_ref());
        wanted.projection = vec![wanted.schema.index_of(column).unwrap()];
        let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{column} {value}");
        assert_eq!(
            error.message(),
            format!(
                "a value of column \"{column}\" of table shop.main.many cannot be read in the row with rowid 41"
            )
        );
        let detail = error.detail_text().unwrap();
        assert!(detail.contains(part), "{column} {value}: {detail}");
        let mut options = database.options();
        options.invalid = InvalidValues::Null;
        let table = load(&options.open("shop").unwrap(), "many").await;
        assert!(table.schema().field_with_name(column).unwrap().is_nullable());
        wanted.schema = table.schema();
        let rows = read(table.as_ref(), &wanted).await;
        assert_eq!(texts(&rows, column), ["NULL"], "{column} {value}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_always_an_error() {
    let database = Database::new(&[
        "CREATE TABLE t (v TEXT) STRICT",
        "INSERT INTO t VALUES (CAST(x'ff' AS TEXT))",
    ]);
    let mut options = database.options();
    options.invalid = InvalidValues::Null;
    let table = load(&options.open("shop").unwrap(), "t").await;
    let error = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error.detail_text().unwrap().contains("not valid UTF-8"),
        "{error:?}"
    );
}

#[tokio::test]
async fn numbers_are_moments_and_columns_have_types_if_the_options_say_so() {
    let database = Database::new(&[
        "CREATE TABLE t (at DATETIME, day DATE, v, w TEXT)",
        "INSERT INTO t VALUES (1709209800, 1709164800, '17', '4'), (0.5, '2024-02-29', NULL, NULL)",
    ]);
    let mut options = database.options();
    options.date_numbers = DateNumbers::UnixSeconds;
    options.types = [("t.v", "text"), ("t.w", "blob")]
        .map(|(column, declared)| (column.to_owned(), declared.to_owned()))
        .into();
    options.invalid = InvalidValues::Null;
    let table = load(&options.open("shop").unwrap(), "t").await;
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    assert_eq!(
        texts(&rows, "at"),
        ["2024-02-29T12:30:00", "1970-01-01T00:00:00.500"]
    );
    assert_eq!(texts(&rows, "day"), ["2024-02-29", "2024-02-29"]);
    assert_eq!(texts(&rows, "v"), ["17", "NULL"]);
    assert_eq!(texts(&rows, "w"), ["NULL", "NULL"], "a text is no blob");
    assert_eq!(
        table.schema().field_with_name("w").unwrap().data_type(),
        &DataType::BinaryView
    );
}

#[tokio::test]
async fn names_are_quoted_and_projections_ordered() {
    let database = Database::new(&[
        "CREATE TABLE \"o\"\"d ? tab\" (\"a b\" INT, \"?\" INT, rowid INT, \"SELECT\" INT, oid INT)",
        "INSERT INTO \"o\"\"d ? tab\" VALUES (1, 2, 3, 4, 5)",
        "CREATE VIEW seen AS SELECT \"a b\" + 1 AS next, 'x' AS word, \"a b\" AS plain FROM \"o\"\"d ? tab\"",
        "CREATE TABLE bare (k TEXT PRIMARY KEY, v INT) WITHOUT ROWID",
        "INSERT INTO bare VALUES ('a', 'b')",
    ]);
    let catalog = database.catalog();
    catalog.ping().await.unwrap();
    assert_eq!(catalog.schemas().await.unwrap(), ["main"]);
    assert_eq!(
        catalog.tables("main").await.unwrap(),
        ["bare", "o\"d ? tab", "seen"]
    );
    let table = load(&catalog, "o\"d ? tab").await;
    let mut wanted = scan(table.as_ref());
    wanted.projection = vec![3, 1, 2];
    let rows = read(table.as_ref(), &wanted).await;
    assert_eq!(texts(&rows, "SELECT"), ["4"]);
    assert_eq!(texts(&rows, "?"), ["2"]);
    assert_eq!(texts(&rows, "rowid"), ["3"]);
    assert_eq!(
        table.remote_text(&wanted),
        "SELECT \"SELECT\" AS c0, \"?\" AS c1, \"rowid\" AS c2, \"_rowid_\" AS c3 FROM \"main\".\"o\"\"d ? tab\""
    );
    wanted.projection.clear();
    assert_eq!(read(table.as_ref(), &wanted).await.num_rows(), 1);
    let view = load(&catalog, "seen").await;
    let rows = read(view.as_ref(), &scan(view.as_ref())).await;
    assert_eq!(texts(&rows, "next"), ["2"]);
    assert_eq!(
        (texts(&rows, "word"), texts(&rows, "plain")),
        (vec!["x".into()], vec!["1".into()])
    );
    assert!(view.statistics().rows.is_none() && view.lookup().is_none());
    let bare = load(&catalog, "bare").await;
    let error = try_read(bare.as_ref(), &scan(bare.as_ref())).await.unwrap_err();
    assert_eq!(
        error.message(),
        "a value of column \"v\" of table shop.main.bare cannot be read"
    );
}

#[tokio::test]
async fn names_are_exact_and_there_is_one_schema() {
    let database = Database::new(&["CREATE TABLE t (id INT)"]);
    let catalog = database.catalog();
    for schema in ["Main", "temp", "public"] {
        let error = catalog.tables(schema).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownSchema, "{schema}");
        let name = TableName::new("shop", schema, "t");
        assert_eq!(
            catalog.table(&name).await.unwrap_err().kind(),
            ErrorKind::UnknownSchema
        );
    }
    for table in ["T", "sqlite_schema", "nope", ""] {
        let name = TableName::new("shop", "main", table);
        assert!(catalog.table(&name).await.unwrap().is_none(), "{table}");
    }
}
