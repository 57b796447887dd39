//! Ten thousand files: what is listed and read of them, and how long planning takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use object_store::memory::InMemory;
use parquet::file::properties::WriterProperties;

use crate::fixture::{Lake, counted, parquet};
use crate::store::Swapping;

const FILES: usize = 10_000;
/// Generous: the tests run unoptimised, beside others.
const PLANNING_MAX: Duration = Duration::from_secs(20);

async fn many(ending: &str, bytes: &[u8]) -> (Lake, Arc<Swapping>) {
    let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())));
    let lake = Lake::over(Arc::clone(&store) as _, Duration::from_secs(3600));
    for file in 0..FILES {
        lake.put(&format!("t/day={}/{file}.{ending}", file % 100), bytes)
            .await;
    }
    (lake, store)
}

#[tokio::test]
async fn few_footers_of_many_files_are_read() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let (lake, store) = many("parquet", &parquet(&batch, WriterProperties::builder().build())).await;
    let started = Instant::now();
    let session = lake.session(&["t"]).await;
    let (reads, listings) = store.counts();
    assert_eq!(
        (reads, listings),
        (128, 1),
        "loading reads a sample of the footers"
    );
    let (found, scan) = counted(&session, "SELECT id FROM t WHERE day = 7 AND id = 2", "id").await;
    assert_eq!((found.len(), scan.files_opened), (100, 100));
    let planned = session.sql("SELECT id FROM t WHERE id = 2").await.unwrap();
    planned.create_physical_plan().await.unwrap();
    let (reads, listings) = store.counts();
    assert!(
        reads <= 128 + 2 * 100,
        "footer and data of that day only: {reads}"
    );
    assert_eq!(listings, 1);
    assert!(started.elapsed() < PLANNING_MAX, "{:?}", started.elapsed());
}

/// Of which files have rows little is known: their folders are no answer.
#[tokio::test]
async fn folders_without_rows_among_many_have_no_values() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let file = |batch: &RecordBatch| parquet(batch, WriterProperties::builder().build());
    let (full, empty) = (file(&batch), file(&batch.slice(0, 0)));
    let lake = Lake::new();
    for number in 0..1_000 {
        let bytes = if number < 700 { &full } else { &empty };
        lake.put(
            &format!("t/day={}/{number}.parquet", number / 10),
            bytes.as_slice(),
        )
        .await;
    }
    let sql = "SELECT max(day), count(*) FROM t";
    assert_eq!(lake.rows(&["t"], "SELECT max(day) FROM t").await, ["69"]);
    assert_eq!(lake.rows(&["t"], sql).await, ["69|700"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT min(day) FROM t WHERE day > 5").await,
        ["6"]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT min(day) FROM t WHERE day > 75").await,
        ["NULL"]
    );
}

#[tokio::test]
async fn many_text_files_are_read_in_a_few_parts() {
    let (lake, store) = many("csv", b"id,name\n1,a\n2,b\n").await;
    let started = Instant::now();
    let session = lake.session(&["t"]).await;
    assert_eq!(
        store.counts(),
        (16, 1),
        "loading looks into a sample of the files"
    );
    let (found, _) = counted(&session, "SELECT count(*), sum(id) FROM t WHERE day < 50", "id").await;
    assert_eq!(found, ["10000|15000"]);
    assert_eq!(store.counts().0, 16 + FILES / 2);
    assert!(started.elapsed() < PLANNING_MAX, "{:?}", started.elapsed());
}
