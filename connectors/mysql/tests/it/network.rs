//! A network that fails in the middle of an answer: an error in bounded time, never a part of the rows.

use std::time::{Duration, Instant};

use causeway_mysql::MySqlOptions;
use causeway_spi::{Connector, ConnectorOptions, ErrorKind, ReadContext};
use futures::StreamExt;
use mysql_async::prelude::Queryable;
use std::sync::Arc;

use crate::fixture::{Server, load, open, read, scan, server};
use crate::parts::{PARTS, in_parts, plan};
use crate::proxy::Proxy;

const ROWS: usize = 20_000;
const BIG: &str = "CREATE VIEW big AS SELECT seq AS id, REPEAT('x', 1000) AS v FROM seq_1_to_100000000";
const SMALL: &str = "CREATE VIEW small AS SELECT seq AS id, REPEAT('x', 30) AS v FROM seq_1_to_20000";

#[tokio::test]
async fn a_cut_connection_is_an_error_and_the_next_read_connects_again() {
    let Some(server) = server() else { return };
    let (proxy, catalog) = behind_a_proxy(&server, "causeway_cut", BIG, |_| {}).await;
    let table = load(&catalog, "causeway_cut", "big").await;
    let wanted = scan(table.as_ref());
    let mut stream = open(table.as_ref(), &wanted, &ReadContext::detached())
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    proxy.cut();
    let error = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a cut connection is no end of data"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error
            .message()
            .contains("while reading table shop.causeway_cut.big"),
        "{error:?}"
    );
    assert!(stream.next().await.is_none());
    proxy.pass();
    catalog.ping().await.unwrap();
}

#[tokio::test]
async fn wherever_an_answer_is_cut_it_is_whole_or_an_error() {
    let Some(server) = server() else { return };
    let (proxy, catalog) = behind_a_proxy(&server, "causeway_cuts", SMALL, |_| {}).await;
    let table = load(&catalog, "causeway_cuts", "small").await;
    let wanted = scan(table.as_ref());
    let (mut whole, mut errors) = (0, 0);
    // An answer has about 840,000 bytes; a new connection greets with some hundred.
    for bytes in (0..40)
        .map(|n| n * 17_011 + n * n * 13)
        .chain([840_000, 5_000_000])
    {
        proxy.pass();
        assert_eq!(read(table.as_ref(), &wanted).await.num_rows(), ROWS);
        proxy.cut_after(bytes);
        let mut stream = open(table.as_ref(), &wanted, &ReadContext::detached())
            .await
            .unwrap();
        let mut rows = 0;
        let outcome = loop {
            match stream.next().await {
                Some(Ok(batch)) => rows += batch.num_rows(),
                Some(Err(error)) => break Err(error),
                None => break Ok(rows),
            }
        };
        match outcome {
            Ok(rows) => {
                assert_eq!(rows, ROWS, "cut after {bytes} bytes");
                whole += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                errors += 1;
            }
        }
    }
    assert!(whole >= 1 && errors >= 30, "{whole} whole, {errors} errors");
}

/// The same while connections are gathered and while each of them reads a part.
#[tokio::test]
async fn wherever_parts_are_cut_they_are_whole_or_an_error() {
    const CREATE: &str = "CREATE TABLE small (id bigint PRIMARY KEY, v varchar(30)) \
        SELECT seq AS id, REPEAT('x', 30) AS v FROM seq_1_to_20000";
    let Some(server) = server() else { return };
    let change = |options: &mut MySqlOptions| *options = in_parts(options.clone());
    let (proxy, catalog) = behind_a_proxy(&server, "causeway_cut_parts", CREATE, change).await;
    let analyze = "ANALYZE TABLE causeway_cut_parts.small";
    server.admin().await.query_drop(analyze).await.unwrap();
    let (mut whole, mut errors) = (0, 0);
    for bytes in (0..40).map(|n| n * 911 + n * n * 457).chain([5_000_000]) {
        proxy.pass();
        let parts = plan(&catalog, "causeway_cut_parts", "small", "cut-parts").await;
        assert_eq!(parts.splits.len(), PARTS);
        proxy.cut_after(bytes);
        match parts.read_all().await {
            Ok(rows) => {
                assert_eq!(rows.num_rows(), ROWS, "cut after {bytes} bytes");
                whole += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                errors += 1;
            }
        }
    }
    assert!(whole >= 1 && errors >= 30, "{whole} whole, {errors} errors");
}

#[tokio::test]
async fn a_network_that_is_held_up_gives_its_connection_back() {
    let Some(server) = server() else { return };
    let one = |options: &mut MySqlOptions| options.connections = 1;
    let (proxy, catalog) = behind_a_proxy(&server, "causeway_held", BIG, one).await;
    let table = load(&catalog, "causeway_held", "big").await;
    let cx = ReadContext {
        query_id: "held-up".into(),
        ..ReadContext::detached()
    };
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    stream.next().await.unwrap().unwrap();
    proxy.hold();
    let waited = tokio::time::timeout(Duration::from_secs(1), async {
        while stream.next().await.is_some_and(|batch| batch.is_ok()) {}
    });
    assert!(waited.await.is_err(), "nothing comes, and no end either");
    drop(stream);
    // The kill cannot get through: the session is given up.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let dropped = Instant::now();
    proxy.pass();
    catalog.ping().await.unwrap();
    assert!(
        dropped.elapsed() < Duration::from_secs(15),
        "{:?}",
        dropped.elapsed()
    );
    let mut admin = server.admin().await;
    let ended = Instant::now();
    while server.running(&mut admin, "held-up").await > 0 {
        assert!(
            ended.elapsed() < Duration::from_secs(5),
            "the statement still runs"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A catalog that reaches the server through a proxy, and its database with `create` in it.
async fn behind_a_proxy(
    server: &Server,
    database: &str,
    create: &str,
    change: impl Fn(&mut MySqlOptions),
) -> (Proxy, Arc<dyn Connector>) {
    server.database(database, &[create]).await;
    let place = server.url.split_once('@').unwrap().1.trim_end_matches('/');
    let proxy = Proxy::start(place).await;
    let mut options = server.options();
    options.url = options.url.replace(place, &format!("127.0.0.1:{}", proxy.port));
    change(&mut options);
    (proxy, options.open("shop").unwrap())
}
