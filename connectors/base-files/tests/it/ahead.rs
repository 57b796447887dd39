//! Row groups are on their way before they are asked for, and nothing is that nobody wants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::memory::InMemory;
use parquet::file::properties::WriterProperties;

use crate::fixture::{Lake, counted, parquet, row_filters};
use crate::store::Swapping;

const GROUPS: i64 = 5;
const GROUP_ROWS: i64 = 10_000;

/// Row groups of an id, which grows, two numbers and a text, which do not; `mixed` is unlike in all rows.
fn file() -> Vec<u8> {
    let ids = (0..GROUPS * GROUP_ROWS).collect::<Vec<_>>();
    let of_ids =
        |of: fn(&i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(ids.iter().map(of))) };
    let batch = RecordBatch::try_from_iter([
        ("id", of_ids(|id| *id)),
        ("mixed", of_ids(|id| id * 7919 % 50_000)),
        ("number", of_ids(|id| id * 31 % 1_009)),
        (
            "text",
            Arc::new(StringArray::from_iter_values(
                ids.iter().map(|id| format!("text {id}")),
            )) as ArrayRef,
        ),
    ])
    .unwrap();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(10_000));
    parquet(&batch, groups.build())
}

/// A session over the file in one partition; its footer has been read.
async fn session(store: &Arc<Swapping>, config: SessionConfig) -> SessionContext {
    session_over(store, vec![file()], config, 1).await
}

/// A session over these files.
async fn session_over(
    store: &Arc<Swapping>,
    files: Vec<Vec<u8>>,
    config: SessionConfig,
    partitions: usize,
) -> SessionContext {
    let lake = Lake::keeping(Arc::clone(store) as _, 0);
    for (index, file) in files.into_iter().enumerate() {
        lake.put(&format!("t/{index:03}.parquet"), file).await;
    }
    let session = lake.session_with(&["t"], config).await;
    let state = session.state_ref();
    state
        .write()
        .config_mut()
        .options_mut()
        .execution
        .target_partitions = partitions;
    session
}

/// So many files of one row group each, with ids that grow from file to file.
fn files(count: i64) -> Vec<Vec<u8>> {
    let file = |index: i64| {
        let ids = Int64Array::from_iter_values(index * 100..(index + 1) * 100);
        let numbers = Int64Array::from_iter_values((0..100).map(|number| (number + index) % 7));
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(ids) as ArrayRef),
            ("number", Arc::new(numbers) as ArrayRef),
        ]);
        parquet(&batch.unwrap(), WriterProperties::builder().build())
    };
    (0..count).map(file).collect()
}

fn counting() -> Arc<Swapping> {
    Arc::new(Swapping::counting(Arc::new(InMemory::new())))
}

/// Waits until `store` was read `reads` times, and a moment longer.
async fn settles(store: &Swapping, reads: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.counts().0 < reads && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.counts().0
}

#[tokio::test]
async fn row_groups_come_while_one_is_decoded() {
    let store = counting();
    let session = session(&store, SessionConfig::new()).await;
    let (before, _) = store.counts();
    let frame = session.sql("SELECT id, number FROM t").await.unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    let mut rows = 0;
    // One more than the one that is decoded, then two more, then what is left.
    for (group, reads) in [(0, 2), (1, 4), (2, 5), (3, 5), (4, 5)] {
        while rows <= group * GROUP_ROWS {
            let batch = stream.next().await.unwrap().unwrap();
            rows += i64::try_from(batch.num_rows()).unwrap();
        }
        // Nobody asks for more meanwhile.
        assert_eq!(settles(&store, before + reads).await, before + reads, "{group}");
    }
    while let Some(batch) = stream.next().await {
        rows += i64::try_from(batch.unwrap().num_rows()).unwrap();
    }
    assert_eq!(rows, GROUPS * GROUP_ROWS);
    assert_eq!(store.counts().0, before + 5);
}

#[tokio::test]
async fn the_next_file_comes_while_one_is_decoded() {
    let store = counting();
    let session = session_over(&store, files(5), SessionConfig::new(), 1).await;
    let (before, _) = store.counts();
    let frame = session.sql("SELECT id, number FROM t").await.unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    // One more at first, then two.
    for reads in [2, 4, 5, 5, 5] {
        assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 100);
        assert_eq!(settles(&store, before + reads).await, before + reads);
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn of_many_files_each_is_read_once() {
    // Of more than 128 files not all footers are known when the query is planned.
    for (count, sql, rows, requests) in [
        (40, "SELECT id, number FROM t", 4_000, 40),
        (
            40,
            "SELECT id, number FROM t WHERE id < 1000 OR id >= 3900",
            1_100,
            11,
        ),
        (40, "SELECT id, number FROM t WHERE id = 3950", 1, 1),
        (200, "SELECT id, number FROM t", 20_000, 200 + 72),
        (
            200,
            "SELECT id, number FROM t WHERE id >= 100 AND id < 200",
            100,
            72 + 1,
        ),
    ] {
        for partitions in [1, 3] {
            for config in [SessionConfig::new(), row_filters()] {
                let store = counting();
                let session = session_over(&store, files(count), config, partitions).await;
                let (before, _) = store.counts();
                let (found, counted) = counted(&session, sql, "number").await;
                assert_eq!(found.len(), rows, "{sql}");
                assert_eq!(
                    store.counts().0 - before,
                    requests,
                    "{sql} {partitions}: {counted:?}"
                );
                assert_eq!(counted.requests, requests, "{sql} {partitions}: {counted:?}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_fetched_that_bounds_leave_out_or_nobody_wants() {
    for (sql, rows, requests) in [
        ("SELECT id, number FROM t", 50_000, 5),
        ("SELECT id, number FROM t WHERE id < 30000", 30_000, 3),
        ("SELECT id, number FROM t WHERE id < 10000", 10_000, 1),
        (
            "SELECT id, number FROM t WHERE id < 10000 OR id >= 40000",
            20_000,
            2,
        ),
        ("SELECT id, number FROM t LIMIT 5", 5, 1),
    ] {
        let store = counting();
        let session = session(&store, SessionConfig::new()).await;
        let (before, _) = store.counts();
        let (found, count) = counted(&session, sql, "number").await;
        assert_eq!(found.len(), rows, "{sql}");
        assert_eq!(store.counts().0 - before, requests, "{sql}");
        assert_eq!(count.requests, requests, "{sql}: {count:?}");
    }
}

#[tokio::test]
async fn what_filters_leave_is_expected_where_they_left_some_before() {
    for (sql, rows, requests) in [
        // Filter by filter and then the rest for two row groups; at once what was not on its way of the third; the first
        // filter's column alone, then the others, of the fourth; all of the fifth.
        (
            "SELECT id, mixed, number, text FROM t WHERE mixed >= 100 AND mixed < 300 AND number >= 0",
            200,
            3 + 3 + 2 + 2 + 1,
        ),
        // Four row groups may have the row, one has: of the others the rest is not read.
        ("SELECT id, mixed, number, text FROM t WHERE mixed = 7", 1, 4 + 1),
        ("SELECT id, mixed, number, text FROM t WHERE mixed = -7", 0, 0),
    ] {
        let store = counting();
        let session = session(&store, row_filters()).await;
        let (before, _) = store.counts();
        let (found, count) = counted(&session, sql, "text").await;
        assert_eq!(found.len(), rows, "{sql}");
        assert_eq!(store.counts().0 - before, requests, "{sql}: {count:?}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_ahead_when_memory_is_short() {
    let store = counting();
    let lake = Lake::keeping(Arc::clone(&store) as _, 0);
    lake.put("t/0.parquet", file()).await;
    for (memory_bytes, ahead) in [(1_000, 0), (100 << 20, 1)] {
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)));
        let config = SessionConfig::new().with_target_partitions(1);
        let session = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
        let provider = lake.table("t").await.unwrap().native().unwrap();
        session.register_table("t", provider).unwrap();
        let frame = session.sql("SELECT id, number FROM t").await.unwrap();
        let mut stream = frame.execute_stream().await.unwrap();
        let (before, _) = store.counts();
        let first = stream.next().await.unwrap().unwrap();
        assert!(first.num_rows() > 0);
        let reads = before + 1 + ahead;
        assert_eq!(settles(&store, reads).await, reads, "{memory_bytes}");
        let pool = Arc::clone(&session.runtime_env().memory_pool);
        assert_eq!(pool.reserved() > 0, ahead > 0);
        drop(stream);
        let deadline = Instant::now() + Duration::from_secs(20);
        while pool.reserved() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(pool.reserved(), 0, "{memory_bytes}");
    }
}

#[tokio::test]
async fn a_scan_that_is_given_up_gives_up_what_is_on_its_way() {
    let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())).slow(Duration::from_millis(500)));
    let session = session(&store, SessionConfig::new()).await;
    let frame = session.sql("SELECT id, number FROM t").await.unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    while let Some(batch) = stream.next().await {
        batch.unwrap();
        if store.under_way() > 0 {
            break;
        }
    }
    assert!(store.under_way() > 0);
    let given_up = Instant::now();
    drop(stream);
    while store.under_way() > 0 && given_up.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(store.under_way(), 0);
    assert!(given_up.elapsed() < Duration::from_millis(400));
}
