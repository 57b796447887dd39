//! What has been read is not read again, as long as it is the same version of the file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use causeway_spi::{Connector, ErrorKind, ScanNotes, figures_of};
use datafusion::physical_plan::{ExecutionPlan, collect};
use object_store::memory::InMemory;
use parquet::file::properties::WriterProperties;

use crate::fixture::{Lake, counted, ours, parquet, rows};
use crate::store::Swapping;

const ROWS: i64 = 50_000;

fn leaves_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [] => vec![Arc::clone(plan)],
        children => children.iter().flat_map(|child| leaves_of(child)).collect(),
    }
}

fn number(id: i64) -> i64 {
    id * 31 % 1009
}

/// Rows of a number, a text and another number, in row groups of ten thousand.
fn file(first: i64) -> Vec<u8> {
    let ids = (first..first + ROWS).collect::<Vec<_>>();
    let names: Vec<String> = ids
        .iter()
        .map(|id| format!("name {}", id * 7919 % 100_003))
        .collect();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(ids.iter().copied().map(number)));
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
        ("name", Arc::new(StringArray::from(names)) as ArrayRef),
        ("number", numbers),
    ])
    .unwrap();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(10_000));
    parquet(&batch, groups.build())
}

#[tokio::test]
async fn the_same_ranges_are_read_once() {
    let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())));
    let lake = Lake::keeping(Arc::clone(&store) as _, 64 << 20);
    lake.put("t/0.parquet", file(0)).await;
    let session = lake.session(&["t"]).await;
    let sql = "SELECT sum(id), min(name), count(*) FROM t WHERE id < 30000";
    let (first, cold) = counted(&session, sql, "name").await;
    assert_eq!(first, ["449985000|name 0|30000"]);
    assert!(cold.requests > 0 && cold.bytes > 0, "{cold:?}");
    let asked = store.counts();
    let (second, warm) = counted(&session, sql, "name").await;
    assert_eq!(first, second);
    // Whether it still has the file, and nothing else.
    assert_eq!((warm.requests, warm.bytes), (1, 0), "{warm:?}");
    assert!(warm.cache_hits >= cold.requests, "{warm:?}");
    assert_eq!(store.counts(), (asked.0 + 1, asked.1));
    // Another column is read, the others are not again.
    let both = "SELECT sum(id), sum(number), count(name) FROM t WHERE id < 30000";
    let (_, more) = counted(&session, both, "name").await;
    let (_, whole) = counted(&Lake::over_file(file(0)).await, both, "name").await;
    assert!(
        more.requests > 0 && more.bytes * 2 < whole.bytes,
        "{more:?} of {whole:?}"
    );
    // What is forgotten is read again.
    lake.connector.refresh(None).await.unwrap();
    let session = lake.session(&["t"]).await;
    let (third, again) = counted(&session, sql, "name").await;
    assert_eq!((third, again.bytes), (first, cold.bytes));
}

#[tokio::test]
async fn several_who_ask_at_once_are_one_request() {
    let store = Swapping::counting(Arc::new(InMemory::new())).slow(Duration::from_millis(30));
    let store = Arc::new(store);
    let lake = Lake::keeping(Arc::clone(&store) as _, 64 << 20);
    for number in 0..3 {
        lake.put(&format!("t/{number}.parquet"), file(number * ROWS))
            .await;
    }
    let session = lake.session(&["t"]).await;
    let sql = "SELECT sum(id), min(name), count(*) FROM t WHERE id >= 0";
    let (first, _) = counted(&session, sql, "name").await;
    let (asked, _) = store.counts();
    let (second, warm) = counted(&session, sql, "name").await;
    assert_eq!(first, second);
    assert_eq!((warm.requests, warm.bytes), (3, 0), "{warm:?}");
    assert_eq!(store.counts().0, asked + 3);
}

/// All scans of a plan ask at its beginning whether the store still has what is kept, whenever the plan comes to them.
#[tokio::test]
async fn what_is_kept_is_asked_for_before_it_is_read() {
    let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())));
    let lake = Lake::keeping(Arc::clone(&store) as _, 64 << 20);
    for table in ["t", "u"] {
        lake.put(&format!("{table}/0.parquet"), file(0)).await;
    }
    let notes = Arc::new(ScanNotes::default());
    let session = lake.noted_session(&["t", "u"], &notes).await;
    let sql =
        "SELECT count(*), sum(u.number) FROM t JOIN u ON t.id = u.id WHERE t.number = 3 AND u.number < 700";
    let plan = async || {
        session
            .sql(sql)
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap()
    };
    let run = async |plan| collect(plan, session.task_ctx()).await.unwrap();
    let cold = run(plan().await).await;
    notes.take();

    let (asked, bytes) = store.counts();
    let warm = plan().await;
    assert_eq!(store.counts(), (asked, bytes));
    notes.begin(&warm).unwrap();
    let begun = Instant::now();
    while store.counts().0 < asked + 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", store.counts());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(run(Arc::clone(&warm)).await, cold);
    // Nobody has asked once more, and the questions are the scans'.
    assert_eq!(store.counts(), (asked + 2, bytes));
    let leaves = leaves_of(&warm);
    let requests = leaves
        .iter()
        .map(|leaf| figures_of(leaf.as_ref()).unwrap().requests);
    assert_eq!(requests.collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn another_version_of_a_file_is_never_answered_from_the_old_one() {
    let lake = Lake::keeping(Arc::new(InMemory::new()), 64 << 20);
    lake.put("t/0.parquet", file(0)).await;
    let sql = "SELECT sum(id) FROM t WHERE id > 10";
    let before = rows(&lake.session(&["t"]).await, sql).await.unwrap();
    lake.put("t/0.parquet", file(1)).await;
    // What is kept is of the version that was listed, and the store has another one now.
    let error = rows(&lake.session(&["t"]).await, sql).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::Changed, "{error:?}");
    let after = rows(&lake.session(&["t"]).await, sql).await.unwrap();
    assert_ne!(before, after);
    assert_eq!(after, rows(&Lake::over_file(file(1)).await, sql).await.unwrap());
}

#[tokio::test]
async fn too_little_memory_changes_no_answer() {
    let numbers: i64 = (0..4 * ROWS).map(number).sum();
    for kept_bytes in [0, 1_000, 100_000, 1_000_000] {
        let lake = Lake::keeping(Arc::new(InMemory::new()), kept_bytes);
        for number in 0..4 {
            lake.put(&format!("t/{number}.parquet"), file(number * ROWS))
                .await;
        }
        let session = lake.session(&["t"]).await;
        for _ in 0..3 {
            let found = rows(
                &session,
                "SELECT count(*), sum(id), max(name), sum(number) FROM t",
            )
            .await;
            assert_eq!(
                found.unwrap(),
                [format!("200000|19999900000|name 99999|{numbers}")],
                "{kept_bytes}"
            );
        }
    }
}
