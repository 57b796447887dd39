//! Sets, sorted sets and lists: a row for each element, each once.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use causeway_spi::{ErrorKind, ReadContext, Split};
use datafusion::logical_expr::lit;
use datafusion::prelude::col;
use futures::{StreamExt, TryStreamExt};

use crate::support::{Server, described, lines, load, lookup, read, scan, server, server_alone, try_read};

/// The lines of a table `t` over `<prefix>{id}`.
fn table(prefix: &str, format: &str) -> String {
    let columns = match format {
        "zset" => "\"score double precision\", { name = \"v\", type = \"text\", field = \"element\" }",
        "list" => "\"position bigint\", { name = \"v\", type = \"text\", field = \"element\" }",
        _ => "{ name = \"v\", type = \"text\", field = \"element\" }",
    };
    format!("key = \"{prefix}{{id}}\"\nvalue = \"{format}\"\ncolumns = [\"id bigint\", {columns}]")
}

/// Adds the elements `range` to a collection.
async fn add<Guard>(server: &Server<Guard>, format: &str, key: &str, range: std::ops::Range<usize>) {
    let mut raw = server.raw.clone();
    for start in range.clone().step_by(500) {
        let mut command = redis::cmd(match format {
            "set" => "SADD",
            "zset" => "ZADD",
            _ => "RPUSH",
        });
        command.arg(key);
        for number in start..(start + 500).min(range.end) {
            if format == "zset" {
                command.arg(number);
            }
            command.arg(format!("element-{number}"));
        }
        command.exec_async(&mut raw).await.unwrap();
    }
}

#[tokio::test]
async fn each_element_is_a_row() {
    let Some(server) = server().await else { return };
    let prefix = "it:elements:";
    server.clear(prefix).await;
    server.run(&[b"SADD", b"it:elements:s:1", b"b", b"a"]).await;
    server.run(&[b"SADD", b"it:elements:s:2", b""]).await;
    server.run(&[b"SADD", b"it:elements:s:02", b"impostor"]).await;
    server
        .run(&[
            b"ZADD",
            b"it:elements:z:1",
            b"1.5",
            b"a",
            b"-inf",
            b"b",
            b"3",
            b"c",
        ])
        .await;
    server
        .run(&[b"RPUSH", b"it:elements:l:1", b"x", b"y", b"x"])
        .await;
    for key in ["s:9", "z:9", "l:9"] {
        server
            .run(&[b"SET", format!("{prefix}{key}").as_bytes(), b"string"])
            .await;
    }
    let set = server.described(&table("it:elements:s:", "set")).await;
    assert_eq!(read(&set, &["id", "v"], &[]).await, ["1|a", "1|b", "2|"]);
    assert_eq!(read(&set, &["id"], &[]).await, ["1", "1", "2"]);
    assert_eq!(read(&set, &[], &[]).await.len(), 3);
    let one = [col("id").eq(lit(1_i64))];
    assert_eq!(read(&set, &["v"], &one).await, ["a", "b"]);
    assert_eq!(
        lines(&lookup(&set, &scan(&set, &["id", "v"], &[]), vec![2, 3, 9, 1]).await),
        ["1|a", "1|b", "2|"]
    );
    let zset = server.described(&table("it:elements:z:", "zset")).await;
    assert_eq!(
        read(&zset, &["v", "score"], &[]).await,
        ["a|1.5", "b|-inf", "c|3.0"]
    );
    assert_eq!(read(&zset, &["score"], &[]).await, ["-inf", "1.5", "3.0"]);
    let list = server.described(&table("it:elements:l:", "list")).await;
    assert_eq!(read(&list, &["position", "v"], &[]).await, ["0|x", "1|y", "2|x"]);
    let text = |table: &std::sync::Arc<dyn causeway_spi::Table>, columns: &[&str]| {
        table.remote_text(&scan(table, columns, &one))
    };
    assert_eq!(text(&set, &["v"]), "SMEMBERS it:elements:s:{id} for 1 key");
    assert_eq!(text(&set, &["id"]), "SCARD it:elements:s:{id} for 1 key");
    assert_eq!(
        text(&zset, &["v"]),
        "ZRANGE it:elements:z:{id} 0 -1 WITHSCORES for 1 key"
    );
    assert_eq!(text(&list, &["v"]), "LRANGE it:elements:l:{id} 0 -1 for 1 key");
    server.clear(prefix).await;
}

/// Large collections are read in pages, and a set that grows rehashes: what is there all the time comes once.
#[tokio::test]
async fn a_large_collection_gives_each_element_once_while_it_grows() {
    let Some(server) = server().await else { return };
    for format in ["set", "zset", "list"] {
        let prefix = format!("it:large:{format}:");
        let key = format!("{prefix}1");
        server.clear(&prefix).await;
        add(&server, format, &key, 0..5_000).await;
        let table = server.described(&table(&prefix, format)).await;
        let scan = scan(&table, &["v"], &[col("id").eq(lit(1_i64))]);
        let mut rows = table
            .read(&scan, &Split::whole(), &ReadContext::detached())
            .await
            .unwrap();
        let mut seen = HashSet::new();
        let first = rows.next().await.unwrap().unwrap();
        assert!(first.num_rows() < 5_000, "{format}");
        add(&server, format, &key, 5_000..40_000).await;
        let rest: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        for line in std::iter::once(&first).chain(&rest).flat_map(lines) {
            assert!(seen.insert(line.clone()), "{format}: {line} came twice");
        }
        let missing: Vec<_> = (0..5_000)
            .filter(|number| !seen.contains(&format!("element-{number}")))
            .collect();
        assert!(missing.is_empty(), "{format}: {missing:?}");
        server.clear(&prefix).await;
    }
}

#[tokio::test]
async fn many_small_and_some_large_collections() {
    let Some(server) = server().await else { return };
    for format in ["set", "zset", "list"] {
        let prefix = format!("it:sizes:{format}:");
        server.clear(&prefix).await;
        let sizes: Vec<usize> = (0..300)
            .map(|id| if id % 50 == 7 { 1_500 } else { id % 4 })
            .collect();
        for (id, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
            add(&server, format, &format!("{prefix}{id}"), 0..size).await;
        }
        let table = server.described(&table(&prefix, format)).await;
        let mut expected: Vec<String> = sizes
            .iter()
            .enumerate()
            .flat_map(|(id, &size)| (0..size).map(move |number| format!("{id}|element-{number}")))
            .collect();
        expected.sort();
        assert_eq!(read(&table, &["id", "v"], &[]).await, expected, "{format}");
        let ids: Vec<i64> = (0..300).collect();
        let found = lookup(&table, &scan(&table, &["id", "v"], &[]), ids).await;
        assert_eq!(lines(&found), expected, "{format}");
        assert_eq!(read(&table, &["id"], &[]).await.len(), expected.len(), "{format}");
        server.clear(&prefix).await;
    }
}

#[tokio::test]
async fn counting_elements_reads_none_of_them() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:count:";
    // A database of its own: its size is then known exactly.
    server.run(&[b"SELECT", b"6"]).await;
    server.clear(prefix).await;
    for id in 0..20 {
        add(&server, "set", &format!("{prefix}{id}"), 0..1_000).await;
    }
    let catalog = described(&server.url_of(6), "", &table(prefix, "set"));
    let table = load(&catalog).await.unwrap();
    let reads = server.calls("smembers").await + server.calls("sscan").await;
    let scan = scan(&table, &["id"], &[]);
    assert_eq!(try_read(&table, &scan).await.unwrap().num_rows(), 20_000);
    assert_eq!(
        server.calls("smembers").await + server.calls("sscan").await,
        reads
    );
    let statistics = table.statistics();
    assert_eq!(statistics.rows, Some(20_000));
    assert_eq!(statistics.columns[0].distinct, Some(20));
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_set_beyond_the_limit_is_refused() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:toolarge:";
    server.clear(prefix).await;
    add(&server, "set", "it:toolarge:1", 0..2_000).await;
    add(&server, "set", "it:toolarge:2", 0..3).await;
    let catalog = described(&server.url, "scan_keys_max = 1000", &table(prefix, "set"));
    let limited = load(&catalog).await.unwrap();
    let one = [col("id").eq(lit(1_i64))];
    let error = try_read(&limited, &scan(&limited, &["v"], &one))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(
        error.message(),
        "cannot read key \"it:toolarge:1\" of table cache.public.t: the set holds 2000 elements, more than scan_keys_max"
    );
    assert_eq!(
        read(&limited, &["v"], &[col("id").eq(lit(2_i64))]).await,
        ["element-0", "element-1", "element-2"]
    );
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_limit_ends_the_reading_of_a_large_set() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:setlimit:";
    server.clear(prefix).await;
    add(&server, "set", "it:setlimit:1", 0..50_000).await;
    let table = server.described(&table(prefix, "set")).await;
    let mut limited = scan(&table, &["v"], &[]);
    limited.limit = Some(5);
    let reads = server.calls("sscan").await;
    assert_eq!(try_read(&table, &limited).await.unwrap().num_rows(), 5);
    assert!(server.calls("sscan").await - reads <= 2);
    server.clear(prefix).await;
}
