//! Rows flow in bounded batches, of one moment; a dropped stream ends its statement at once.

use std::time::{Duration, Instant};

use causeway_spi::{ConnectorOptions, ErrorKind, ReadContext};
use futures::StreamExt;

use crate::fixture::{Database, load, open, read, scan, try_read};

const BIG: &str =
    "CREATE VIEW big AS WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 300000)
    SELECT n AS id, CAST(n || hex(zeroblob(100)) AS TEXT) AS v FROM seq";
/// A count over ten billion pairs: no row comes for minutes.
const HEAVY: &str = "CREATE VIEW heavy AS WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 100000)
    SELECT count(*) AS n FROM seq a, seq b WHERE a.n * 7 % 11 = b.n % 13";
const GROWTH_MAX_KIB: u64 = 64 * 1024;
const GONE_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn memory_stays_flat() {
    let database = Database::new(&[BIG]);
    let table = database.table("big").await;
    let cx = ReadContext {
        batch_bytes: 1 << 20,
        ..ReadContext::detached()
    };
    let before = resident_kib();
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    let (mut rows, mut largest, mut peak) = (0, 0, before);
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        rows += batch.num_rows();
        largest = largest.max(batch.num_rows());
        peak = peak.max(resident_kib());
    }
    assert_eq!(rows, 300_000);
    assert!(largest <= 8192 && largest > 1000, "{largest}");
    assert!(peak - before < GROWTH_MAX_KIB, "grown by {} KiB", peak - before);
    assert!(cx.metrics.bytes.value() > 300_000 * 200);
}

#[tokio::test]
async fn a_dropped_stream_stops_a_statement_that_computes() {
    let database = Database::new(&[HEAVY, "CREATE TABLE t (id INT)"]);
    let mut options = database.options();
    options.connections = 1;
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, "heavy").await;
    for _ in 0..3 {
        let mut stream = open(table.as_ref(), &scan(table.as_ref()), &ReadContext::detached())
            .await
            .unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
        assert!(waited.is_err(), "the statement must still run");
        let dropped = Instant::now();
        drop(stream);
        // The only connection becomes free when the statement has ended.
        catalog.ping().await.unwrap();
        assert!(dropped.elapsed() < GONE_WITHIN, "{:?}", dropped.elapsed());
    }
}

#[tokio::test]
async fn a_stream_dropped_at_any_time_disturbs_no_other() {
    let database = Database::new(&[BIG, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1), (2)"]);
    let mut options = database.options();
    options.connections = 2;
    let catalog = options.open("shop").unwrap();
    let (big, small) = (load(&catalog, "big").await, load(&catalog, "t").await);
    for round in 0..60_u64 {
        let mut stream = open(big.as_ref(), &scan(big.as_ref()), &ReadContext::detached())
            .await
            .unwrap();
        let _ = tokio::time::timeout(Duration::from_micros(round * 100), stream.next()).await;
        drop(stream);
        assert_eq!(read(small.as_ref(), &scan(small.as_ref())).await.num_rows(), 2);
    }
}

#[tokio::test]
async fn a_stream_that_is_never_polled_opens_nothing() {
    let database = Database::new(&["CREATE TABLE t (id INT)"]);
    let mut options = database.options();
    options.connections = 1;
    options.connection_wait = Duration::from_millis(100);
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, "t").await;
    let cx = ReadContext::detached();
    let stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    assert_eq!(cx.metrics.requests.value(), 0);
    catalog.ping().await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn more_reads_than_connections_wait_and_are_refused() {
    let database = Database::new(&[BIG]);
    let mut options = database.options();
    options.connections = 1;
    options.connection_wait = Duration::from_millis(100);
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, "big").await;
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &ReadContext::detached())
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    let error = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyConnections);
    drop(stream);
    catalog.ping().await.unwrap();
}

#[tokio::test]
async fn a_read_sees_one_moment() {
    let database = Database::new(&[
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 50000)
         INSERT INTO t SELECT n, 'old' FROM seq",
    ]);
    let writer = database.writer();
    let table = database.table("t").await;
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &ReadContext::detached())
        .await
        .unwrap();
    let mut batches = vec![stream.next().await.unwrap().unwrap()];
    writer
        .execute_batch("UPDATE t SET v = 'new'; DELETE FROM t WHERE id > 40000")
        .unwrap();
    while let Some(batch) = stream.next().await {
        batches.push(batch.unwrap());
    }
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        50_000
    );
    for batch in &batches {
        assert!(crate::fixture::texts(batch, "v").iter().all(|v| v == "old"));
    }
    assert_eq!(
        read(table.as_ref(), &scan(table.as_ref())).await.num_rows(),
        40_000
    );
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}
