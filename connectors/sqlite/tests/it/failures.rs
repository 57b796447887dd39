//! Files that are missing, locked, replaced, damaged or none of SQLite's, and tables that changed.

use std::time::Duration;

use causeway_spi::{ConnectorOptions, ErrorKind, TableName};
use causeway_sqlite::SqliteOptions;

use crate::fixture::{Database, load, read, scan, try_read};

#[tokio::test]
async fn a_missing_file_is_an_error_when_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s3cret").join("shop.db");
    let catalog = SqliteOptions::new(&path).open("shop").unwrap();
    let error = catalog.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "could not open the file of catalog shop");
    assert!(!error.detail_text().unwrap().contains("s3cret"));
    assert!(!path.exists(), "the file was made");
    let error = catalog.tables("main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(catalog.schemas().await.unwrap(), ["main"]);
    // It comes later.
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (id INT)")
        .unwrap();
    assert_eq!(catalog.tables("main").await.unwrap(), ["t"]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    std::fs::write(
        &path,
        "not a database at all, but long enough to be looked at\n".repeat(100),
    )
    .unwrap();
    let catalog = SqliteOptions::new(&path).open("shop").unwrap();
    let error = catalog.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(
        error.message(),
        "the file of catalog shop is not a SQLite database"
    );
    let catalog = SqliteOptions::new(folder.path()).open("shop").unwrap();
    assert_eq!(catalog.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_damaged_file_is_an_error() {
    let database = Database::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 20000)
         INSERT INTO t SELECT n, 'text ' || n FROM seq",
    ]);
    let table = database.table("t").await;
    let mut bytes = std::fs::read(database.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xEE);
    std::fs::write(database.path(), bytes).unwrap();
    let error = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error:?}");
    assert_eq!(error.message(), "the file of catalog shop is damaged");
}

#[tokio::test]
async fn a_locked_file_is_waited_for_and_then_refused() {
    let database = Database::new(&["CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)"]);
    let mut options = database.options();
    options.busy_timeout = Duration::from_millis(100);
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, "t").await;
    let writer = database.writer();
    writer
        .execute_batch("BEGIN EXCLUSIVE; INSERT INTO t VALUES (2)")
        .unwrap();
    let error = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.message(),
        "the file of catalog shop is locked by another program"
    );
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(read(table.as_ref(), &scan(table.as_ref())).await.num_rows(), 2);
}

#[tokio::test]
async fn a_table_that_changed_after_it_was_planned_is_an_error() {
    let database = Database::new(&["CREATE TABLE t (id INT, v TEXT)", "INSERT INTO t VALUES (1, 'a')"]);
    let catalog = database.catalog();
    let table = load(&catalog, "t").await;
    let wanted = scan(table.as_ref());
    assert_eq!(read(table.as_ref(), &wanted).await.num_rows(), 1);
    database
        .writer()
        .execute_batch("ALTER TABLE t DROP COLUMN v")
        .unwrap();
    // The name in quotes must not become a text.
    let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownColumn, "{error:?}");
    assert_eq!(
        error.message(),
        "a column of table shop.main.t does not exist any more"
    );
    database.writer().execute_batch("DROP TABLE t").unwrap();
    let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTable, "{error:?}");
    assert_eq!(error.message(), "table shop.main.t does not exist");
}

#[tokio::test]
async fn a_replaced_file_is_opened_anew() {
    let database = Database::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (1)",
    ]);
    let catalog = database.catalog();
    let table = load(&catalog, "t").await;
    assert_eq!(read(table.as_ref(), &scan(table.as_ref())).await.num_rows(), 1);
    let other = Database::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (1), (2)",
    ]);
    std::fs::rename(other.path(), database.path()).unwrap();
    assert_eq!(read(table.as_ref(), &scan(table.as_ref())).await.num_rows(), 2);
}

#[tokio::test]
async fn a_broken_view_and_a_hostile_schema_are_errors() {
    let database = Database::new(&[
        "CREATE TABLE t (id INT)",
        "CREATE VIEW broken AS SELECT id FROM t",
        "CREATE VIEW hostile AS SELECT load_extension('/tmp/evil.so') AS id",
        "CREATE VIEW fails AS SELECT abs(-9223372036854775808) AS id",
        "DROP TABLE t",
    ]);
    let catalog = database.catalog();
    for view in ["broken", "hostile", "fails"] {
        let name = TableName::new("shop", "main", view);
        let error = match catalog.table(&name).await {
            Ok(Some(table)) => try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err(),
            other => other.map(|_| ()).unwrap_err(),
        };
        assert!(
            matches!(error.kind(), ErrorKind::Source | ErrorKind::UnknownTable),
            "{view}: {error:?}"
        );
        assert!(
            error.message().contains(&format!("shop.main.{view}")),
            "{error:?}"
        );
    }
    catalog.ping().await.unwrap();
}
