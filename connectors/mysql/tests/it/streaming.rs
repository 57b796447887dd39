//! A large result flows through in bounded batches; the whole of it is never in memory.

use std::time::{Duration, Instant};

use causeway_spi::ReadContext;
use futures::StreamExt;

use crate::fixture::{load, open, scan, server, texts};

const ROWS: usize = 600_000;
const GROWTH_MAX_KIB: u64 = 96 * 1024;

#[tokio::test]
async fn memory_stays_flat() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW big AS SELECT seq AS id, CONCAT(seq, REPEAT('x', 200)) AS v,
        CAST(seq / 3 AS decimal(20,4)) AS d, TIMESTAMPADD(SECOND, seq, '2000-01-01') AS at FROM seq_1_to_600000";
    let catalog = server.database("causeway_stream", &[create]).await;
    let table = load(&catalog, "causeway_stream", "big").await;
    let cx = ReadContext {
        batch_bytes: 1 << 20,
        ..ReadContext::detached()
    };
    let before = resident_kib();
    let started = Instant::now();
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    let (mut rows, mut largest, mut peak) = (0, 0, before);
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        rows += batch.num_rows();
        largest = largest.max(batch.num_rows());
        peak = peak.max(resident_kib());
    }
    println!(
        "{rows} rows in {:?}, grown by {} KiB",
        started.elapsed(),
        peak - before
    );
    assert_eq!(rows, ROWS);
    assert!(largest <= 8192 && largest > 1000, "{largest}");
    assert!(peak - before < GROWTH_MAX_KIB, "grown by {} KiB", peak - before);
    assert!(cx.metrics.bytes.value() > ROWS * 200);
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW big AS SELECT seq AS id, REPEAT('x', 1000) AS v FROM seq_1_to_100000";
    let catalog = server.database("causeway_slow", &[create]).await;
    let table = load(&catalog, "causeway_slow", "big").await;
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &ReadContext::detached())
        .await
        .unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rows, 100_000);
}

/// Packets hold 16 MiB: a longer row comes in several.
#[tokio::test]
async fn a_row_of_many_packets_is_whole() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW huge AS SELECT seq AS id, REPEAT(CHAR(96 + seq USING utf8mb4), 18000000 + seq) AS v FROM seq_1_to_3";
    let catalog = server.database("causeway_huge", &[create]).await;
    let table = load(&catalog, "causeway_huge", "huge").await;
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &ReadContext::detached())
        .await
        .unwrap();
    let mut lengths = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        // Each row is a batch of its own: it fills one.
        assert_eq!(batch.num_rows(), 1);
        let text = texts(&batch, "v").remove(0);
        lengths.push((text.len(), text.as_bytes()[text.len() - 1]));
    }
    lengths.sort_unstable();
    assert_eq!(
        lengths,
        [(18_000_001, b'a'), (18_000_002, b'b'), (18_000_003, b'c')]
    );
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}
