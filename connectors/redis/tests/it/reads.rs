//! Points, lists, walks, lookups: the rows, and what the server was asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_spi::{ReadContext, Split};
use datafusion::logical_expr::lit;
use datafusion::prelude::col;
use futures::StreamExt;

use crate::support::{lines, lookup, read, scan, server, server_alone, try_read};

#[tokio::test]
async fn points_and_lists() {
    let Some(server) = server().await else { return };
    let prefix = "it:points:";
    server.clear(prefix).await;
    server.fill(prefix, 0..10).await;
    let table = server.people(prefix).await;
    let one = [col("id").eq(lit(7_i64))];
    assert_eq!(read(&table, &["id", "name", "size"], &one).await, ["7|name-7|7"]);
    let list = vec![lit(3_i64), lit(99_i64), lit(3_i64), lit(5_i64)];
    let list = [col("id").in_list(list, false), col("id").gt(lit(3_i64))];
    assert_eq!(read(&table, &["name"], &list).await, ["name-5"]);
    let text = table.remote_text(&scan(&table, &["size", "name"], &list));
    assert_eq!(text, "HMGET it:points:{id} size, name for 2 keys");
    assert_eq!(
        table.remote_text(&scan(&table, &["id"], &one)),
        "HLEN it:points:{id} for 1 key"
    );
    let nothing = [col("id").eq(lit(1_i64)), col("id").eq(lit(2_i64))];
    assert!(read(&table, &["name"], &nothing).await.is_empty());
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_walk_gives_each_row_once_while_keys_come() {
    let Some(server) = server().await else { return };
    let prefix = "it:walk:";
    server.clear(prefix).await;
    server.fill(prefix, 0..5_000).await;
    let table = server.people(prefix).await;
    // Enough new keys for the server's table to grow several times in the middle of the walk.
    let insert = server.fill(prefix, 5_000..60_000);
    let walk = async {
        let mut seen = HashSet::new();
        let mut rows = table
            .read(
                &scan(&table, &["name"], &[]),
                &Split::whole(),
                &ReadContext::detached(),
            )
            .await
            .unwrap();
        while let Some(batch) = rows.next().await {
            for line in lines(&batch.unwrap()) {
                assert!(seen.insert(line.clone()), "{line} came twice");
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(insert, walk);
    let missing: Vec<_> = (0..5_000)
        .filter(|id| !seen.contains(&format!("name-{id}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!seen.contains("NULL"));
    let all = try_read(&table, &scan(&table, &[], &[])).await.unwrap();
    assert_eq!(all.num_rows(), 60_000);
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_lookup_reads_as_many_hashes_as_keys() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:lookup:";
    server.clear(prefix).await;
    server.fill(prefix, 0..3_000).await;
    let table = server.people(prefix).await;
    let (reads, walks) = (server.calls("hmget").await, server.calls("scan").await);
    let scan = scan(&table, &["id", "name"], &[col("id").not_eq(lit(4_i64))]);
    let rows = lookup(&table, &scan, (0..2_001).collect()).await;
    assert_eq!(rows.num_rows(), 2_000);
    assert_eq!(server.calls("hmget").await - reads, 2_000);
    assert_eq!(server.calls("scan").await, walks);
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_walk_for_keys_alone_reads_no_hash() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:keys:";
    server.clear(prefix).await;
    server.fill(prefix, 0..500).await;
    let table = server.people(prefix).await;
    let reads = (server.calls("hmget").await, server.calls("hlen").await);
    assert_eq!(
        try_read(&table, &scan(&table, &[], &[]))
            .await
            .unwrap()
            .num_rows(),
        500
    );
    let few = [col("id").lt(lit(5_i64))];
    assert_eq!(read(&table, &["id"], &few).await, ["0", "1", "2", "3", "4"]);
    assert_eq!((server.calls("hmget").await, server.calls("hlen").await), reads);
    assert_eq!(read(&table, &["size"], &few).await.len(), 5);
    assert_eq!(server.calls("hmget").await - reads.0, 5);
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_limit_and_a_dropped_stream_end_the_walk() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:limit:";
    server.clear(prefix).await;
    server.fill(prefix, 0..30_000).await;
    let table = server.people(prefix).await;
    let walks = server.calls("scan").await;
    let mut limited = scan(&table, &["name"], &[]);
    limited.limit = Some(5);
    assert_eq!(try_read(&table, &limited).await.unwrap().num_rows(), 5);
    assert!(server.calls("scan").await - walks <= 2);
    let walks = server.calls("scan").await;
    let all = scan(&table, &["name"], &[]);
    let mut rows = table
        .read(&all, &Split::whole(), &ReadContext::detached())
        .await
        .unwrap();
    assert_eq!(
        server.calls("scan").await,
        walks,
        "the walk starts with the first poll"
    );
    rows.next().await.unwrap().unwrap();
    drop(rows);
    assert!(server.calls("scan").await - walks < 10);
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_row_that_comes_and_goes_is_never_half_a_row() {
    let Some(server) = server().await else { return };
    let prefix = "it:flicker:";
    server.clear(prefix).await;
    let table = server.people(prefix).await;
    let running = AtomicBool::new(true);
    let flicker = async {
        while running.load(Ordering::Relaxed) {
            server.fill(prefix, 0..50).await;
            server.clear(prefix).await;
        }
    };
    let reads = async {
        let scan = scan(&table, &["name", "size"], &[]);
        for _ in 0..300 {
            let rows = lines(&lookup(&table, &scan, (0..50).collect()).await);
            assert!(!rows.iter().any(|row| row.contains("NULL")), "{rows:?}");
        }
        running.store(false, Ordering::Relaxed);
    };
    tokio::join!(flicker, reads);
    server.clear(prefix).await;
}

#[tokio::test]
async fn statistics_count_the_table_not_the_database() {
    let Some(server) = server_alone().await else {
        return;
    };
    let (prefix, other) = ("it:size:", "it:other:");
    server.clear(prefix).await;
    server.clear(other).await;
    server.fill(prefix, 0..40).await;
    let few = server.people(prefix).await.statistics();
    server.fill(other, 0..20_000).await;
    let among = server.people(prefix).await.statistics();
    let many = server.people(other).await.statistics();
    assert!(few.rows.unwrap() >= 40 && few.row_bytes.unwrap() > 0, "{few:?}");
    assert_eq!(few.columns[0].distinct, few.rows);
    assert!(among.rows.unwrap() < 5_000, "{among:?}");
    assert!(many.rows.unwrap() > 10_000, "{many:?}");
    server.clear(prefix).await;
    server.clear(other).await;
}

#[tokio::test]
async fn two_reads_at_once_do_not_mix() {
    let Some(server) = server().await else { return };
    let prefix = "it:twice:";
    server.clear(prefix).await;
    server.fill(prefix, 0..2_000).await;
    let table = server.people(prefix).await;
    let tasks = (0..8_i64).map(|part| {
        let table = Arc::clone(&table);
        tokio::spawn(async move {
            let filters = [
                (col("id")).gt_eq(lit(part * 100)),
                col("id").lt(lit(part * 100 + 100)),
            ];
            let rows = read(&table, &["id", "name"], &filters).await;
            assert_eq!(rows.len(), 100);
            assert!(
                rows.contains(&format!("{0}|name-{0}", part * 100 + 1)),
                "{rows:?}"
            );
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    server.clear(prefix).await;
}
