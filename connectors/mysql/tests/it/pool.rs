//! The pool is bounded, reuses sessions, and replaces those that the server has closed.

use std::time::Duration;

use causeway_spi::{ConnectorOptions, ErrorKind, ReadContext};
use futures::StreamExt;
use mysql_async::prelude::Queryable;

use crate::fixture::{account, load, open, read, scan, server, try_read};

#[tokio::test]
async fn waiting_for_a_connection_has_an_end() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW big AS SELECT seq AS id FROM seq_1_to_100000000";
    server.database("causeway_full", &[create]).await;
    let mut options = server.options();
    options.connections = 1;
    options.connection_wait = Duration::from_millis(300);
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, "causeway_full", "big").await;
    let wanted = scan(table.as_ref());
    let mut first = open(table.as_ref(), &wanted, &ReadContext::detached())
        .await
        .unwrap();
    first.next().await.unwrap().unwrap();
    let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyConnections);
    assert_eq!(error.message(), "no connection to catalog shop became free");
}

#[tokio::test]
async fn idle_sessions_are_used_again_and_replaced_when_closed() {
    let Some(server) = server() else { return };
    let statements = ["CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)"];
    let database = "causeway_stale";
    server.database(database, &statements).await;
    let mut admin = server.admin().await;
    // An account of its own, so that its sessions can be told from those of other tests.
    account(&mut admin, "causeway_stale", database).await;
    let place = server.url.split_once('@').unwrap().1;
    let options = crate::fixture::options(&format!("mysql://causeway_stale@{place}"));
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, database, "t").await;
    for _ in 0..5 {
        assert_eq!(read(table.as_ref(), &scan(table.as_ref())).await.num_rows(), 1);
    }
    let sessions = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'causeway_stale'";
    let before: Vec<u64> = admin.query(sessions).await.unwrap();
    assert_eq!(before.len(), 1);
    for round in 0..2 {
        let open: Vec<u64> = admin.query(sessions).await.unwrap();
        for id in open {
            admin.query_drop(format!("KILL {id}")).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        match round {
            0 => assert_eq!(read(table.as_ref(), &scan(table.as_ref())).await.num_rows(), 1),
            _ => catalog.ping().await.unwrap(),
        }
    }
    let after: Vec<u64> = admin.query(sessions).await.unwrap();
    assert!(after.len() == 1 && after != before);
}

#[tokio::test]
async fn sessions_are_pinned_and_read_only() {
    let Some(server) = server() else { return };
    // A view cannot read variables: a stored function can.
    let function = "CREATE FUNCTION settings() RETURNS text READS SQL DATA RETURN CONCAT_WS('|', @@time_zone,
        @@tx_read_only, @@character_set_results, @@sql_select_limit, @@sql_auto_is_null,
        @@max_statement_time, @@net_write_timeout, @@tx_isolation)";
    let view = "CREATE VIEW seen AS SELECT settings() AS s";
    let catalog = server.database("causeway_pinned", &[function, view]).await;
    let table = load(&catalog, "causeway_pinned", "seen").await;
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    assert_eq!(
        crate::fixture::texts(&rows, "s"),
        ["+00:00|ON|utf8mb4|18446744073709551615|OFF|43200.000000|43200|REPEATABLE-READ"]
    );
}
