//! What a join with a small table opens: the files and row groups that can hold its keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::common::config::ParquetOptions;
use datafusion::prelude::SessionConfig;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::fixture::{Lake, counted, parquet};

const FILES: i64 = 20;
const ROWS_PER_FILE: i64 = 1000;

fn fact(first: i64) -> RecordBatch {
    let keys: Vec<i64> = (first..first + ROWS_PER_FILE).collect();
    let names: Vec<String> = keys
        .iter()
        .map(|key| format!("name-{}", key * 7919 % 100_003))
        .collect();
    let keys: ArrayRef = Arc::new(Int64Array::from(keys));
    let names: ArrayRef = Arc::new(StringArray::from(names));
    RecordBatch::try_from_iter([("k", keys), ("name", names)]).unwrap()
}

fn row_groups_of_100() -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .set_data_page_row_count_limit(20)
        .set_write_batch_size(10)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_bloom_filter_enabled("name".into(), true)
        .build()
}

/// `fact` partitioned by `day`, clustered by `k`; `dimension` with 50 rows of which those of two days count.
async fn star() -> Lake {
    let lake = Lake::new();
    for day in 0..FILES {
        let bytes = parquet(&fact(day * ROWS_PER_FILE), row_groups_of_100());
        lake.put(&format!("fact/day={day}/0.parquet"), bytes).await;
    }
    let ids: Vec<i64> = (0..50).collect();
    let days: ArrayRef = Arc::new(Int64Array::from(
        ids.iter().map(|id| 3 + id % 2).collect::<Vec<_>>(),
    ));
    let keys: ArrayRef = Arc::new(Int64Array::from(
        ids.iter().map(|id| 7_210 + id).collect::<Vec<_>>(),
    ));
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    let dimension = RecordBatch::try_from_iter([("d", ids), ("on_day", days), ("key", keys)]).unwrap();
    lake.put_batch("dimension.parquet", &dimension).await;
    lake
}

const TABLES: [&str; 2] = ["fact", "dimension"];

#[tokio::test]
async fn a_small_join_on_the_partition_column_opens_only_its_files() {
    let lake = star().await;
    let session = lake.session(&TABLES).await;
    let sql =
        "SELECT count(*), count(k) FROM fact JOIN (SELECT DISTINCT on_day FROM dimension) ON on_day = day";
    let (found, scan) = counted(&session, sql, "day").await;
    assert_eq!(found, ["2000|2000"]);
    assert_eq!((scan.files_opened, scan.files_pruned), (2, 18), "{scan:?}");
}

#[tokio::test]
async fn the_small_table_is_the_build_side_whatever_the_order() {
    let lake = star().await;
    let session = lake.session(&TABLES).await;
    for sql in [
        "SELECT d, k FROM fact JOIN dimension ON key = k",
        "SELECT d, k FROM dimension JOIN fact ON key = k",
    ] {
        let (found, scan) = counted(&session, sql, "k").await;
        assert_eq!(found.len(), 50);
        assert_eq!((scan.files_opened, scan.files_pruned), (1, 19), "{sql}: {scan:?}");
        // Keys 7210 to 7259 lie in one row group of the file 7000 to 7999.
        assert_eq!(scan.row_groups_pruned, 9, "{sql}: {scan:?}");
        assert!(scan.pages_pruned >= 2, "{sql}: {scan:?}");
    }
}

#[tokio::test]
async fn static_filters_prune_files_row_groups_and_pages() {
    let lake = star().await;
    let session = lake.session(&TABLES).await;
    let (found, scan) = counted(
        &session,
        "SELECT name FROM fact WHERE k BETWEEN 5005 AND 5009",
        "name",
    )
    .await;
    assert_eq!(found.len(), 5);
    assert_eq!((scan.files_opened, scan.files_pruned), (1, 19), "{scan:?}");
    assert_eq!(scan.row_groups_pruned, 9, "{scan:?}");
    assert!(scan.pages_pruned >= 4, "{scan:?}");
}

#[tokio::test]
async fn bloom_filters_find_one_name_among_unsorted_ones() {
    let lake = star().await;
    let session = lake.session(&TABLES).await;
    let name = format!("name-{}", 4_321 * 7919 % 100_003);
    let sql = format!("SELECT k FROM fact WHERE name = '{name}' AND day = 4");
    let (found, scan) = counted(&session, &sql, "k").await;
    assert_eq!(found, ["4321"]);
    assert!(scan.bloom_pruned >= 5, "{scan:?}");
}

/// Makes a session do without one kind of bounds.
type SwitchOff = fn(&mut ParquetOptions);

/// 40,000 rows in four row groups of forty pages, clustered by `k`, with bloom filters on `name`.
async fn large() -> Lake {
    const ROWS: i64 = 40_000;
    let keys: Vec<i64> = (0..ROWS).collect();
    let names = keys.iter().map(|key| format!("name-{}", key * 7919 % 100_003));
    let names: ArrayRef = Arc::new(StringArray::from(names.collect::<Vec<_>>()));
    let keys: ArrayRef = Arc::new(Int64Array::from(keys));
    let batch = RecordBatch::try_from_iter([("k", keys), ("name", names)]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .set_data_page_row_count_limit(250)
        .set_write_batch_size(250)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_bloom_filter_enabled("name".into(), true)
        .set_column_bloom_filter_max_ndv("name".into(), 10_000)
        .build();
    let lake = Lake::new();
    lake.put("large.parquet", parquet(&batch, properties)).await;
    lake
}

// Each kind of bounds on its own saves bytes, and the answer is the same with and without it.
#[tokio::test]
async fn row_groups_pages_and_bloom_filters_save_bytes() {
    let lake = large().await;
    let name = format!("name-{}", 14_321 * 7919 % 100_003);
    let by_key = "SELECT k, name FROM large WHERE k = 14321".to_owned();
    let by_name = format!("SELECT k, name FROM large WHERE name = '{name}'");
    // What is never used in a case, and what is used or not.
    let cases: [(&str, &str, SwitchOff, SwitchOff); 3] = [
        (
            "row groups",
            &by_key,
            |options| (options.enable_page_index, options.bloom_filter_on_read) = (false, false),
            |options| options.pruning = false,
        ),
        (
            "pages",
            &by_key,
            |_| (),
            |options| options.enable_page_index = false,
        ),
        (
            "bloom filters",
            &by_name,
            |options| options.enable_page_index = false,
            |options| options.bloom_filter_on_read = false,
        ),
    ];
    for (what, sql, never, switch_off) in cases {
        let mut config = SessionConfig::new();
        never(&mut config.options_mut().execution.parquet);
        let with = lake.session_with(&["large"], config.clone()).await;
        // The footer is read once, for both.
        counted(&with, sql, "name").await;
        let (found, pruned) = counted(&with, sql, "name").await;
        switch_off(&mut config.options_mut().execution.parquet);
        let without = lake.session_with(&["large"], config).await;
        let (same, whole) = counted(&without, sql, "name").await;
        assert_eq!(found, same);
        assert_eq!(found, [format!("14321|{name}")]);
        assert!(
            pruned.bytes * 3 < whole.bytes * 2,
            "{what}: {} of {} bytes",
            pruned.bytes,
            whole.bytes
        );
    }
}

#[tokio::test]
async fn counting_rows_reads_no_data() {
    let lake = star().await;
    let session = lake.session(&TABLES).await;
    let (found, scan) = counted(&session, "SELECT count(*), min(k), max(day) FROM fact", "k").await;
    assert_eq!(found, ["20000|0|19"]);
    assert_eq!(scan.requests, 0);
}

#[tokio::test]
async fn a_second_query_reads_no_footer_again() {
    let lake = star().await;
    let session = lake.session(&TABLES).await;
    let sql = "SELECT name FROM fact WHERE day = 7 AND k = 7001";
    let (_, first) = counted(&session, sql, "name").await;
    let (_, second) = counted(&session, sql, "name").await;
    assert_eq!(first.requests, second.requests);
    assert!(first.requests > 0 && first.requests <= 4, "{first:?}");
}
