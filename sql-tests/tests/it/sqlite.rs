//! SQLite over the wire, without any service: `cases/connectors/sqlite/*.slt`, and errors with all their fields.

use std::path::Path;

use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::slt::run_own;

const SHOP: &str = "
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city VARCHAR(20) COLLATE NOCASE, balance NUMERIC(10,2),
        born DATE, seen DATETIME, active BOOLEAN, photo BLOB);
    INSERT INTO customers VALUES
        (1, 'Ann', 'Bern', 10.5, '1990-01-31', '2024-01-31 10:00:00.5', 1, x'00ff'),
        (2, 'ann', 'Oslo', -3.25, NULL, '2024-02-29 23:59:59', 0, NULL),
        (3, 'Ann ', 'BERN', 0, '1970-01-01', NULL, NULL, x''),
        (4, 'Ánn', '', NULL, '2000-02-29', '2024-03-01', 1, x'41'),
        (5, 'Zoë', 'Rome', 99999999.99, '1969-12-31', '1999-12-31T12:30:00Z', 1, x'42'),
        (6, NULL, NULL, 0.1 + 0.2, '2024-12-31', '2024-12-31 00:00:01', 0, NULL);
    CREATE INDEX customers_name ON customers (name);
    CREATE INDEX customers_city ON customers (city);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, quantity INTEGER, note TEXT) STRICT;
    INSERT INTO orders VALUES (1, 1, 2, 'first'), (2, 1, NULL, ''), (3, 5, -1, NULL), (4, 9, 7, 'nobody''s');
    CREATE VIEW rich AS SELECT id, name, balance FROM customers WHERE balance > 1;
    CREATE TABLE odd (id INTEGER PRIMARY KEY, n INT, day DATE);
    INSERT INTO odd VALUES (1, 5, '2024-02-29'), (2, 'many', '2024-02-29'), (3, 7, 'someday');
    CREATE TABLE \"Order\" (\"customerId\" INT, \"user\" TEXT);
    INSERT INTO \"Order\" VALUES (1, 'me');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_with_pushdown() {
    run("on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_without_pushdown() {
    run("off").await;
}

async fn run(pushdown: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&config(&folder)).unwrap();
    run_own(&server, "connectors/sqlite", pushdown).await;
}

#[tokio::test]
async fn errors_name_catalog_table_column_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&config(&folder)).unwrap();
    let client = server.connect().await.unwrap();
    let failure = client.failure("SELECT sum(n) FROM shop.odd").await.unwrap();
    assert_eq!(failure.sqlstate, "HV000");
    assert_eq!(
        failure.message,
        "a value of column \"n\" of table shop.main.odd cannot be read in the row with rowid 2"
    );
    assert!(failure.hint.unwrap().contains("invalid"));
    let failure = client.failure("SELECT * FROM gone.t").await.unwrap();
    assert_eq!(
        (failure.sqlstate.as_str(), failure.message.as_str()),
        ("HV00N", "could not open the file of catalog gone")
    );
    let path = folder.path().to_str().unwrap();
    assert!(!format!("{failure:?}").contains(path), "{failure:?}");
}

/// `shop` refuses values that do not fit, in `lenient` they are NULL; the file of `gone` is missing.
fn config(folder: &TempDir) -> Config {
    let file = folder.path().join("shop.db");
    make(&file);
    Config::new()
        .server("target_partitions = 2")
        .sqlite("shop", &file, "")
        .sqlite("lenient", &file, "invalid = \"null\"")
        .sqlite("gone", &folder.path().join("gone.db"), "")
}

fn make(file: &Path) {
    Connection::open(file).unwrap().execute_batch(SHOP).unwrap();
}
