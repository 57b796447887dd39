//! Dropping a stream ends the statement at the server within two seconds, and the catalog goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_spi::{Connector, ConnectorOptions, ReadContext};
use futures::StreamExt;
use mysql_async::Conn;

use crate::fixture::{Server, load, open, read, scan, server};

const GONE_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_dropped_stream_stops_a_statement_that_sends_rows() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW big AS SELECT seq AS id, REPEAT('x', 1000) AS v FROM seq_1_to_100000000";
    let catalog = one_connection(&server, "causeway_drop_rows", create).await;
    let mut admin = server.admin().await;
    let table = load(&catalog, "causeway_drop_rows", "big").await;
    let wanted = scan(table.as_ref());
    for round in 0..3 {
        let cx = context(&format!("drop-rows-{round}"));
        let mut stream = open(table.as_ref(), &wanted, &cx).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().num_columns(), 2);
        // The server now waits for the reader of a result that is far from its end.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(server.running(&mut admin, &cx.query_id).await, 1);
        drop(stream);
        assert_gone(&server, &mut admin, &cx.query_id).await;
    }
    let mut limited = wanted.clone();
    limited.limit = Some(5);
    assert_eq!(read(table.as_ref(), &limited).await.num_rows(), 5);
}

#[tokio::test]
async fn a_dropped_stream_stops_a_statement_that_computes() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW heavy AS SELECT COUNT(*) AS n FROM seq_1_to_10000000 a, seq_1_to_10000000 b
        WHERE a.seq * 7 % 11 = b.seq % 13";
    let catalog = one_connection(&server, "causeway_drop_heavy", create).await;
    let mut admin = server.admin().await;
    let table = load(&catalog, "causeway_drop_heavy", "heavy").await;
    let cx = context("drop-heavy");
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
    assert!(waited.is_err(), "the statement must still run");
    assert_eq!(server.running(&mut admin, &cx.query_id).await, 1);
    drop(stream);
    assert_gone(&server, &mut admin, &cx.query_id).await;
    catalog.ping().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_never_polled_sends_nothing() {
    let Some(server) = server() else { return };
    let catalog = one_connection(&server, "causeway_unpolled", "CREATE TABLE t (id int)").await;
    let table = load(&catalog, "causeway_unpolled", "t").await;
    let cx = context("unpolled");
    let stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    assert_eq!(cx.metrics.requests.value(), 0);
    // The only connection is free.
    catalog.ping().await.unwrap();
    drop(stream);
}

async fn one_connection(server: &Server, database: &str, create: &str) -> Arc<dyn Connector> {
    server.database(database, &[create]).await;
    let mut options = server.options();
    options.connections = 1;
    options.connection_wait = Duration::from_secs(5);
    // What a broken run leaves behind must not hold up the next one.
    options.statement_time_max = Duration::from_secs(60);
    options.open("shop").unwrap()
}

fn context(query_id: &str) -> ReadContext {
    ReadContext {
        query_id: Arc::from(query_id),
        ..ReadContext::detached()
    }
}

async fn assert_gone(server: &Server, admin: &mut Conn, query_id: &str) {
    let dropped = Instant::now();
    while server.running(admin, query_id).await > 0 {
        assert!(dropped.elapsed() < GONE_WITHIN, "{query_id} still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
