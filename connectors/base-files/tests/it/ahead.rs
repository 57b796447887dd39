//! The next row group is on its way while one is decoded, and nothing else is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::memory::InMemory;
use parquet::file::properties::WriterProperties;

use crate::fixture::{Lake, counted, parquet};
use crate::store::Swapping;

const GROUPS: i64 = 5;
const GROUP_ROWS: i64 = 10_000;

/// Row groups of two numbers, the first of which grows.
fn file() -> Vec<u8> {
    let ids = (0..GROUPS * GROUP_ROWS).collect::<Vec<_>>();
    let numbers = Int64Array::from_iter_values(ids.iter().map(|id| id * 7919 % 100_003));
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
        ("number", Arc::new(numbers) as ArrayRef),
    ])
    .unwrap();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(10_000));
    parquet(&batch, groups.build())
}

/// A session over the file in one partition; its footer has been read.
async fn session(store: &Arc<Swapping>) -> SessionContext {
    let lake = Lake::keeping(Arc::clone(store) as _, 0);
    lake.put("t/0.parquet", file()).await;
    let session = lake.session_with(&["t"], SessionConfig::new()).await;
    let state = session.state_ref();
    state
        .write()
        .config_mut()
        .options_mut()
        .execution
        .target_partitions = 1;
    session
}

#[tokio::test]
async fn the_next_row_group_comes_while_one_is_decoded() {
    let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())));
    let session = session(&store).await;
    let (before, _) = store.counts();
    let frame = session.sql("SELECT id, number FROM t").await.unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(i64::try_from(first.num_rows()).unwrap() <= GROUP_ROWS);
    // Nobody asks for more, and the second is asked for; not the third.
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.counts().0 < before + 2 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.counts().0, before + 2);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(store.counts().0, before + 2);
    let mut rows = first.num_rows();
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(i64::try_from(rows).unwrap(), GROUPS * GROUP_ROWS);
    assert_eq!(store.counts().0, before + 5);
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
        let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())));
        let session = session(&store).await;
        let (before, _) = store.counts();
        let (found, count) = counted(&session, sql, "number").await;
        assert_eq!(found.len(), rows, "{sql}");
        assert_eq!(store.counts().0 - before, requests, "{sql}");
        assert_eq!(count.requests, requests, "{sql}: {count:?}");
    }
}
