//! Partition columns in queries: typing, NULL, pruning by filters that the folder names decide.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use causeway_spi::{ErrorKind, Filter, Scan, ScanFilter, Verdict};
use datafusion::prelude::{col, lit};

use crate::fixture::{Lake, counted};

fn one(id: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![id]));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

/// `y=2023/m=01`, `y=2024/m=01`, `y=2024/m=02`, and a file whose year is NULL.
async fn dated() -> Lake {
    let lake = Lake::new();
    for (id, folder) in [
        "y=2023/m=01",
        "y=2024/m=01",
        "y=2024/m=02",
        "y=__HIVE_DEFAULT_PARTITION__/m=01",
    ]
    .iter()
    .enumerate()
    {
        let location = format!("t/{folder}/part-0.parquet");
        lake.put_batch(&location, &one(i64::try_from(id).unwrap())).await;
    }
    lake
}

#[tokio::test]
async fn years_are_integers_and_months_with_zeros_are_text() {
    let lake = dated().await;
    let schema = lake.table("t").await.unwrap().schema();
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| (f.name().as_str(), f.data_type()))
        .collect();
    let expected = [
        ("id", &DataType::Int64),
        ("y", &DataType::Int64),
        ("m", &DataType::Utf8View),
    ];
    assert_eq!(columns, expected);
    let all = lake.rows(&["t"], "SELECT id, y, m FROM t").await;
    assert_eq!(all, ["0|2023|01", "1|2024|01", "2|2024|02", "3|NULL|01"]);
}

#[tokio::test]
async fn null_partitions_follow_sql() {
    let lake = dated().await;
    let cases = [
        ("y IS NULL", "3"),
        ("y IS NOT NULL", "0 1 2"),
        ("y <> 2024", "0"),
        ("NOT (y = 2024)", "0"),
        ("y NOT IN (2023, NULL)", ""),
        ("y = 2024 OR y IS NULL", "1 2 3"),
        ("coalesce(y, 0) = 0", "3"),
        ("y = 2024 AND id > 1", "2"),
        ("y + id = 2025", "1"),
        ("m = '01' AND y > 2000", "0 1"),
        ("m = '1'", ""),
    ];
    for (filter, ids) in cases {
        let found = lake
            .rows(&["t"], &format!("SELECT id FROM t WHERE {filter}"))
            .await;
        assert_eq!(found.join(" "), ids, "{filter}");
    }
    assert_eq!(
        lake.rows(&["t"], "SELECT count(y), count(*), min(y), max(y) FROM t")
            .await,
        ["3|4|2023|2024"]
    );
}

#[tokio::test]
async fn a_filter_on_folders_opens_only_those() {
    let lake = dated().await;
    let session = lake.session(&["t"]).await;
    let (found, scan) = counted(&session, "SELECT id FROM t WHERE y = 2024 AND m = '02'", "id").await;
    assert_eq!(found, ["2"]);
    assert_eq!((scan.files_opened, scan.files_pruned), (1, 0));
}

#[tokio::test]
async fn verdicts_and_the_remote_text_say_what_is_read() {
    let lake = dated().await;
    let table = lake.table("t").await.unwrap();
    let verdict = |filter: &Filter| table.pushdown(filter).verdict;
    let exact = Filter::new(&col("y").eq(lit(2024i64)));
    let superset = Filter::new(&col("id").eq(lit(1i64)));
    let mixed = Filter::new(&col("y").eq(col("id")));
    let volatile = Filter::new(&datafusion::functions::math::expr_fn::random().lt(lit(0.5)));
    assert_eq!(verdict(&exact), Verdict::Exact);
    assert_eq!(verdict(&superset), Verdict::Superset);
    assert_eq!(verdict(&mixed), Verdict::Superset);
    assert_eq!(verdict(&volatile), Verdict::Declined);
    let filters = [exact, superset].map(|filter| ScanFilter {
        pushdown: table.pushdown(&filter),
        filter,
    });
    let mut scan = Scan {
        schema: table.schema(),
        projection: vec![0],
        filters: filters.into(),
        limit: None,
    };
    let text = table.remote_text(&scan);
    assert!(text.starts_with("folder t: 2 of 4 files, "), "{text}");
    assert!(
        text.ends_with(", partitions y = 2024") || text.contains("y = "),
        "{text}"
    );
    scan.filters.clear();
    assert!(table.remote_text(&scan).ends_with(", partitioned by y, m"));
}

#[tokio::test]
async fn the_folder_wins_over_a_column_of_the_same_name() {
    let lake = Lake::new();
    let values = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("y", values(1)), ("id", values(7))]).unwrap();
    lake.put_batch("t/y=2024/0.parquet", &batch).await;
    assert_eq!(
        lake.rows(&["t"], "SELECT id, y FROM t WHERE y = 2024").await,
        ["7|2024"]
    );
}

#[tokio::test]
async fn keys_that_differ_between_files_are_an_error() {
    let lake = dated().await;
    lake.put_batch("t/y=2025/part-0.parquet", &one(9)).await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "files of table lake.public.t have different partition columns"
    );
}

#[tokio::test]
async fn a_partition_that_comes_later_is_seen_or_refused() {
    let lake = dated().await;
    let session = lake.session(&["t"]).await;
    lake.put_batch("t/y=2025/m=07/part-0.parquet", &one(9)).await;
    let found = crate::fixture::rows(&session, "SELECT id FROM t WHERE y = 2025")
        .await
        .unwrap();
    assert_eq!(found, ["9"]);
    lake.put_batch("t/y=unknown/m=07/part-0.parquet", &one(10)).await;
    let error = crate::fixture::rows(&session, "SELECT id FROM t")
        .await
        .unwrap_err();
    assert_eq!(crate::fixture::ours(&error).kind(), ErrorKind::Changed);
}

/// Bounds of what files hold are answers to `max`: the name of a folder is none where no row is in it.
#[tokio::test]
async fn folders_without_rows_have_no_values() {
    let lake = Lake::new();
    for (id, year) in [(1, 2023), (2, 2024)] {
        lake.put_batch(&format!("t/y={year}/part-0.parquet"), &one(id))
            .await;
    }
    for empty in [
        "t/y=1999/part-0.parquet",
        "t/y=2024/part-1.parquet",
        "t/y=2025/part-0.parquet",
    ] {
        lake.put_batch(empty, &one(9).slice(0, 0)).await;
    }
    for (sql, expected) in [
        ("SELECT max(y) FROM t", "2024"),
        ("SELECT min(y) FROM t", "2023"),
        (
            "SELECT min(y), max(y), count(*), count(DISTINCT y) FROM t",
            "2023|2024|2|2",
        ),
        ("SELECT max(y) FROM t WHERE y > 2024", "NULL"),
        ("SELECT count(*) FROM t WHERE y = 2025", "0"),
        ("SELECT max(y) FROM t WHERE id < 2", "2023"),
    ] {
        assert_eq!(lake.rows(&["t"], sql).await, [expected], "{sql}");
    }
}
