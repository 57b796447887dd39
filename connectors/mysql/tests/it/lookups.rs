//! A lookup gives the rows of the scan, restricted to the keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int16Array, Int32Array, RecordBatch, StringViewArray};
use causeway_spi::{ReadContext, Table};
use datafusion::logical_expr::{Expr, ident, lit};
use futures::TryStreamExt;

use crate::fixture::{filtered, get, ids, load, scan, server};

const TABLE: [&str; 3] = [
    "CREATE TABLE t (id int PRIMARY KEY, v varchar(20) CHARACTER SET latin1, bu bigint unsigned, w double,
     INDEX (v), INDEX pair (bu, v))",
    "INSERT INTO t SELECT seq, CONCAT('x', seq), seq % 1000, seq FROM seq_1_to_5000",
    "INSERT INTO t VALUES (9001, 'alice', 1, 1), (9002, 'Alice', 1, 1), (9003, 'alice ', 1, 1), (9004, NULL, 1, 1),
     (9005, 'é', 18446744073709551615, 1)",
];

#[tokio::test]
async fn single_keys_come_in_batches() {
    let Some(server) = server() else { return };
    let catalog = server.database("causeway_lookup", &TABLE).await;
    let table = load(&catalog, "causeway_lookup", "t").await;
    let key = key_of(table.as_ref(), &["id"]);
    let wanted = scan(table.as_ref());
    for count in [0, 1, 2, 3, 499, 500, 501, 1_203] {
        let values = batch(vec![("id", ints((1..=count).chain([700_000, -5])))]);
        assert_eq!(
            ids(&get(table.as_ref(), &wanted, key, values).await),
            (1..=count).collect::<Vec<_>>()
        );
    }
    let cx = ReadContext::detached();
    let values = batch(vec![("id", ints(1..=1_203))]);
    let lookup = table.lookup().unwrap();
    let stream = lookup.get(&wanted, key, values, &cx).await.unwrap();
    let rows: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_203);
    assert_eq!(cx.metrics.requests.value(), 3);
    assert!(cx.metrics.bytes.value() > 1_203 * 20);
}

#[tokio::test]
async fn the_filters_of_the_scan_apply_to_looked_up_rows() {
    let Some(server) = server() else { return };
    let catalog = server.database("causeway_lookup_filter", &TABLE).await;
    let table = load(&catalog, "causeway_lookup_filter", "t").await;
    let key = key_of(table.as_ref(), &["id"]);
    let filters: [Expr; 2] = [ident("id").lt(lit(4_i32)), ident("v").not_eq(lit("x2"))];
    let wanted = filtered(table.as_ref(), &filters);
    assert_eq!(wanted.filters.len(), 2);
    let values = batch(vec![("id", ints(1..=600))]);
    assert_eq!(ids(&get(table.as_ref(), &wanted, key, values).await), [1, 3]);
}

#[tokio::test]
async fn text_and_composite_keys_compare_bytes() {
    let Some(server) = server() else { return };
    let catalog = server.database("causeway_lookup_text", &TABLE).await;
    let table = load(&catalog, "causeway_lookup_text", "t").await;
    let wanted = scan(table.as_ref());
    let key = key_of(table.as_ref(), &["v"]);
    let values = batch(vec![("v", texts(&["alice", "X7", "x7", "λ", "😀", "é", "E"]))]);
    assert_eq!(
        ids(&get(table.as_ref(), &wanted, key, values).await),
        [7, 9001, 9005]
    );
    let only_impossible = batch(vec![("v", texts(&["λ", "😀"]))]);
    assert!(ids(&get(table.as_ref(), &wanted, key, only_impossible).await).is_empty());

    let key = key_of(table.as_ref(), &["bu", "v"]);
    let values = batch(vec![
        ("bu", decimals(&[1, 1, 1, i128::from(u64::MAX), 7, 7, 3])),
        ("v", texts(&["alice", "Alice ", "x1", "é", "x7", "x1007", "λ"])),
    ]);
    assert_eq!(
        ids(&get(table.as_ref(), &wanted, key, values).await),
        [1, 7, 1007, 9001, 9005]
    );
    let values = batch(vec![
        ("bu", decimals(&(0..1_500).map(|n| n % 1000).collect::<Vec<_>>())),
        (
            "v",
            texts(&(0..1_500).map(|n| format!("x{n}")).collect::<Vec<_>>()),
        ),
    ]);
    let found = ids(&get(table.as_ref(), &wanted, key, values).await);
    assert_eq!(found, (1..1_500).collect::<Vec<_>>());
}

/// They are sent as a table, and a number that a column's type cannot hold is no other one there.
#[tokio::test]
async fn composite_keys_of_whole_numbers() {
    let Some(server) = server() else { return };
    let tables = [
        "CREATE TABLE t (id int, small smallint unsigned, least tinyint, big bigint unsigned,
         PRIMARY KEY (small, id), INDEX tiny (least, id), INDEX wide (big, id))",
        "INSERT INTO t SELECT seq, seq % 100, seq % 100, seq % 100 FROM seq_1_to_5000",
        "INSERT INTO t VALUES (9001, 65535, 127, 18446744073709551615), (9002, 0, -128, 9223372036854775808),
         (9003, 7, NULL, NULL)",
        "ANALYZE TABLE t",
    ];
    let catalog = server.database("causeway_lookup_whole", &tables).await;
    let table = load(&catalog, "causeway_lookup_whole", "t").await;
    let find = async |name: &str, column: ArrayRef, id: Vec<i32>| {
        let key = key_of(table.as_ref(), &[name, "id"]);
        let values = batch(vec![(name, column), ("id", ints(id))]);
        ids(&get(table.as_ref(), &scan(table.as_ref()), key, values).await)
    };
    for count in [1, 2, 3, 499, 500, 501, 1_203] {
        let small = ints((1..=count).map(|n| n % 100).chain([5]));
        let ids: Vec<i32> = (1..=count).chain([6]).collect();
        assert_eq!(find("small", small, ids).await, (1..=count).collect::<Vec<_>>());
    }
    let beyond = [65_535, -1, 70_000, 131_071, 0, 65_536];
    let ids = vec![9001, 9001, 9001, 9001, 9002, 9002];
    assert_eq!(find("small", ints(beyond), ids).await, [9001, 9002]);
    let least = Arc::new(Int16Array::from_iter_values([-128, 300, 127, 128, 255, -129]));
    let ids = vec![9002, 9001, 9001, 9001, 9001, 9002];
    assert_eq!(find("least", least, ids).await, [9001, 9002]);
    let big = decimals(&[i128::from(u64::MAX), 1 << 63, -1, -(1 << 63), 7, 7]);
    let ids = vec![9001, 9002, 9001, 9002, 7, 107];
    assert_eq!(find("big", big, ids).await, [7, 107, 9001, 9002]);
    let big = decimals(&[-1, -(1 << 63), 7, 0]);
    assert_eq!(find("big", big, vec![9001, 9002, 7, 9003]).await, [7]);
}

fn key_of(table: &dyn Table, columns: &[&str]) -> usize {
    let schema = table.schema();
    let wanted: Vec<usize> = columns
        .iter()
        .map(|name| schema.index_of(name).unwrap())
        .collect();
    let keys = table.lookup().unwrap().keys();
    keys.iter()
        .position(|key| *key == wanted)
        .unwrap_or_else(|| panic!("{wanted:?} is not in {keys:?}"))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn ints(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn texts<T: AsRef<str>>(values: &[T]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(
        values.iter().map(AsRef::as_ref),
    ))
}

fn decimals(values: &[i128]) -> ArrayRef {
    let array = Decimal128Array::from_iter_values(values.iter().copied());
    Arc::new(array.with_precision_and_scale(20, 0).unwrap())
}
