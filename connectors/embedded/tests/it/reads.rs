//! Points, ranges, beginnings of keys and whole tables: the rows, and how they are found.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use causeway_spi::{Filter, ReadContext, Scan, Split, Table, Verdict};
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::col;
use futures::{StreamExt, TryStreamExt};

use crate::support::{Store, lines, read, read_all, rows, scan, table_name, try_read};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tenant", DataType::Utf8View, false),
        Field::new("id", DataType::Int32, false),
        Field::new("size", DataType::Int64, true),
    ]))
}

/// `per_tenant` rows for each of three tenants, the key (tenant, id).
async fn filled(per_tenant: i32) -> (Store, Arc<dyn Table>) {
    let store = Store::new();
    let batches = ["a", "b", "ba"].map(|tenant| batch(tenant, 0..per_tenant));
    store.fill("t", &schema(), &[0, 1], batches.into()).await;
    let table = store.table("t").await;
    (store, table)
}

fn batch(tenant: &str, ids: std::ops::Range<i32>) -> RecordBatch {
    let tenants = StringViewArray::from_iter_values(ids.clone().map(|_| tenant));
    let sizes = Int64Array::from_iter(ids.clone().map(|id| (id % 2 == 0).then_some(i64::from(id))));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(tenants),
        Arc::new(Int32Array::from_iter_values(ids)),
        Arc::new(sizes),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

async fn found(table: &Arc<dyn Table>, filters: &[Expr]) -> (usize, String) {
    let scan = scan(table, &["id"], filters);
    let rows = try_read(table, &scan).await.unwrap();
    (rows.num_rows(), table.remote_text(&scan))
}

#[tokio::test]
async fn access_paths() {
    let (_store, table) = filled(10).await;
    let tenant = |name: &str| col("tenant").eq(lit(name));
    let all = |rows: usize, text: &str| (rows, text.to_owned());
    assert_eq!(found(&table, &[]).await, all(30, "all rows"));
    assert_eq!(
        found(&table, &[tenant("b"), col("id").eq(lit(3))]).await,
        all(1, "rows of 1 key")
    );
    let list = col("id").in_list(vec![lit(3), lit(4), lit(99)], false);
    assert_eq!(
        found(&table, &[tenant("b"), list]).await,
        all(2, "rows of 3 keys")
    );
    assert_eq!(
        found(&table, &[tenant("b")]).await,
        all(10, "rows of 1 range of keys")
    );
    let some = [tenant("a").or(tenant("ba")), col("id").gt(lit(7))];
    assert_eq!(found(&table, &some).await, all(4, "rows of 2 ranges of keys"));
    assert_eq!(
        found(&table, &[col("tenant").like(lit("b%"))]).await,
        all(20, "rows of 1 range of keys")
    );
    assert_eq!(
        found(&table, &[col("tenant").gt(lit("a"))]).await,
        all(20, "rows of 1 range of keys")
    );
    assert_eq!(found(&table, &[col("id").lt(lit(2))]).await, all(6, "all rows"));
    assert_eq!(
        found(&table, &[tenant("a"), tenant("b")]).await,
        all(0, "rows of 0 keys")
    );
}

/// What a range leaves out is not even read.
#[tokio::test]
async fn a_range_reads_its_rows_only() {
    let (_store, table) = filled(1000).await;
    let bytes = |filters: Vec<Expr>| {
        let table = Arc::clone(&table);
        async move {
            let cx = ReadContext::detached();
            let scan = scan(&table, &["size"], &filters);
            let stream = table.read(&scan, &Split::whole(), &cx).await.unwrap();
            stream.try_collect::<Vec<_>>().await.unwrap();
            cx.metrics.bytes.value()
        }
    };
    let whole = bytes(vec![]).await;
    let few = bytes(vec![col("tenant").eq(lit("b")), col("id").lt(lit(10))]).await;
    assert!(few > 0 && few < whole / 100, "{few} of {whole}");
}

#[tokio::test]
async fn filters_on_values_stay_with_the_engine() {
    let (store, table) = filled(1).await;
    let verdict = |expr: Expr| {
        let pushdown = table.pushdown(&Filter::new(&expr));
        (pushdown.verdict, pushdown.reason.into_owned())
    };
    let declined = |reason: &str| (Verdict::Declined, reason.to_owned());
    let on_value = "the embedded store finds rows by their keys only";
    assert_eq!(verdict(col("size").eq(lit(1_i64))), declined(on_value));
    store.fill("heap", &schema(), &[], vec![]).await;
    let heap = store.table("heap").await;
    let pushdown = heap.pushdown(&Filter::new(&col("id").eq(lit(1))));
    assert_eq!(pushdown.reason, "the table has no primary key");
    assert!(heap.lookup().is_none() && heap.primary_key().is_empty());
}

#[tokio::test]
async fn batches_are_bounded_and_limits_end_the_read() {
    let (_store, table) = filled(1000).await;
    let mut cx = ReadContext::detached();
    cx.batch_rows = 7;
    let mut all = scan(&table, &["tenant", "id"], &[]);
    let stream = table.read(&all, &Split::whole(), &cx).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= 7));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3000);
    cx.batch_rows = 8192;
    cx.batch_bytes = 500;
    let stream = table.read(&all, &Split::whole(), &cx).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert!(batches.len() > 50);
    assert_eq!(
        lines(&concat_batches(&all.projected_schema(), &batches).unwrap()).len(),
        3000
    );
    let cx = ReadContext::detached();
    all.limit = Some(5);
    let stream = table.read(&all, &Split::whole(), &cx).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    assert!(cx.metrics.bytes.value() < 200);
    let mut filtered = scan(&table, &["id"], &[col("id").gt(lit(500))]);
    filtered.limit = Some(3);
    assert_eq!(try_read(&table, &filtered).await.unwrap().num_rows(), 3);
    filtered.limit = Some(0);
    assert_eq!(try_read(&table, &filtered).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn no_columns_and_repeated_columns() {
    let (_store, table) = filled(4).await;
    let none = scan(&table, &[], &[col("id").lt(lit(3))]);
    assert_eq!(try_read(&table, &none).await.unwrap().num_rows(), 9);
    let one = [col("tenant").eq(lit("ba")), col("id").eq(lit(2))];
    let repeated: Scan = scan(&table, &["size", "id", "size"], &one);
    let mut schema = Vec::new();
    for index in [2, 1, 2] {
        schema.push(table.schema().field(index).name().clone());
    }
    assert_eq!(schema, ["size", "id", "size"]);
    assert_eq!(lines(&try_read(&table, &repeated).await.unwrap()), ["2|2|2"]);
}

async fn lookup(table: &Arc<dyn Table>, scan: &Scan, key: usize, values: RecordBatch) -> Vec<String> {
    let lookup = table.lookup().unwrap();
    let stream = lookup
        .get(scan, key, values, &ReadContext::detached())
        .await
        .unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    lines(&concat_batches(&scan.projected_schema(), &batches).unwrap())
}

#[tokio::test]
async fn lookups_by_the_whole_key_and_by_its_beginning() {
    let (_store, table) = filled(3).await;
    assert_eq!(table.lookup().unwrap().keys(), [vec![0, 1], vec![0]]);
    let tenants: ArrayRef = Arc::new(StringViewArray::from(vec![
        Some("b"),
        Some("x"),
        None,
        Some("a"),
        Some("b"),
    ]));
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(1), None, Some(1)]));
    let fields = [("tenant", Arc::clone(&tenants), true), ("id", ids, true)];
    let values = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
    let all = scan(&table, &["tenant", "id"], &[]);
    assert_eq!(lookup(&table, &all, 0, values).await, ["b|1"]);
    let beginning = RecordBatch::try_from_iter_with_nullable([("tenant", tenants, true)]).unwrap();
    let some = scan(&table, &["tenant", "id"], &[col("id").not_eq(lit(1))]);
    assert_eq!(
        lookup(&table, &some, 1, beginning).await,
        ["a|0", "a|2", "b|0", "b|2"]
    );
}

#[tokio::test]
async fn a_read_sees_one_moment() {
    let (store, table) = filled(3000).await;
    let mut cx = ReadContext::detached();
    cx.batch_rows = 100;
    let all = scan(&table, &["id"], &[]);
    let mut stream = table.read(&all, &Split::whole(), &cx).await.unwrap();
    let mut seen = stream.next().await.unwrap().unwrap().num_rows();
    let mut transaction = store.begin().await;
    transaction
        .insert(&table_name("t"), rows(vec![batch("c", 0..50)]))
        .await
        .unwrap();
    transaction.truncate(&table_name("t")).await.unwrap();
    transaction.commit().await.unwrap();
    while let Some(batch) = stream.next().await {
        seen += batch.unwrap().num_rows();
    }
    assert_eq!(seen, 9000);
    assert_eq!(read(&store.table("t").await, &["id"], &[]).await.len(), 0);
}

#[tokio::test]
async fn statistics_count_the_rows() {
    let (store, table) = filled(10).await;
    let statistics = table.statistics();
    assert_eq!((statistics.rows, statistics.row_bytes), (Some(30), Some(44)));
    store.fill("one", &schema(), &[1], vec![batch("a", 0..7)]).await;
    let statistics = store.table("one").await.statistics();
    assert_eq!(statistics.columns[1].distinct, Some(7));
    assert_eq!(read_all(&store.table("one").await).await.len(), 7);
}
