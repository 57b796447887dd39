//! A lookup gives the rows of the scan, restricted to the keys, and an index finds them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use causeway_spi::{ReadContext, Table};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit};
use futures::TryStreamExt;

use crate::fixture::{Database, filtered, get, ids, scan};

const TABLE: &[&str] = &[
    "CREATE TABLE t (id INTEGER PRIMARY KEY, grp BIGINT, v TEXT, folded TEXT, day DATE, price NUMERIC(9,2),
     u INT UNIQUE)",
    "WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 20000)
     INSERT INTO t SELECT n, n % 1000, 'x' || n, 'x' || n, date('2000-01-01', '+' || (n % 5000) || ' days'), n / 4.0, n
     FROM seq",
    "INSERT INTO t (id, grp, v, folded) VALUES (30001, 1, 'ann', 'ann'), (30002, 1, 'Ann', 'Ann'), (30003, 1, 'ann ', 'ann ')",
    "CREATE INDEX ig ON t (grp, v)",
    "CREATE INDEX iv ON t (v)",
    "CREATE INDEX ifolded ON t (folded COLLATE NOCASE)",
    "CREATE INDEX iday ON t (day)",
    "CREATE INDEX ip ON t (price)",
    "CREATE INDEX part ON t (u, grp) WHERE u > 5",
    "CREATE INDEX expr ON t (abs(grp), v)",
];

#[tokio::test]
async fn keys_come_in_batches() {
    let database = Database::new(TABLE);
    let table = database.table("t").await;
    let key = key_of(table.as_ref(), &["id"]);
    let wanted = scan(table.as_ref());
    for count in [0, 1, 2, 3, 499, 500, 501, 1_203] {
        let values = batch(vec![("id", ints((1..=count).chain([700_000, -5])))]);
        let found = ids(&get(table.as_ref(), &wanted, key, values).await);
        assert_eq!(found, (1..=count).collect::<Vec<_>>());
    }
    let cx = ReadContext::detached();
    let values = batch(vec![("id", ints(1..=1_203))]);
    let stream = table
        .lookup()
        .unwrap()
        .get(&wanted, key, values, &cx)
        .await
        .unwrap();
    let rows: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_203);
    assert_eq!(cx.metrics.requests.value(), 3);
}

#[tokio::test]
async fn text_and_composite_keys_compare_bytes() {
    let database = Database::new(TABLE);
    let table = database.table("t").await;
    let filters = [ident("id").not_eq(lit(9_i64))];
    let wanted = filtered(table.as_ref(), &filters);
    for column in ["v", "folded"] {
        let key = key_of(table.as_ref(), &[column]);
        let values = batch(vec![(column, texts(&["ann", "X7", "x7", "x9", "λ"]))]);
        assert_eq!(
            ids(&get(table.as_ref(), &wanted, key, values).await),
            [7, 30_001],
            "{column}"
        );
    }
    let key = key_of(table.as_ref(), &["grp", "v"]);
    let values = batch(vec![
        ("grp", ints([1, 1, 7, 7, 8])),
        ("v", texts(&["Ann", "x1", "x1007", "x8", "x8"])),
    ]);
    assert_eq!(
        ids(&get(table.as_ref(), &wanted, key, values).await),
        [1, 8, 1007, 30_002]
    );
}

#[tokio::test]
async fn keys_and_statistics_come_from_the_indexes() {
    let database = Database::new(TABLE);
    let named = |table: &dyn Table| -> Vec<String> {
        let schema = table.schema();
        let keys = table.lookup().unwrap().keys();
        let name = |index: &usize| schema.field(*index).name().clone();
        keys.iter()
            .map(|key| key.iter().map(name).collect::<Vec<_>>().join(","))
            .collect()
    };
    let table = database.table("t").await;
    let mut keys = named(table.as_ref());
    assert_eq!(keys[0], "id", "the row's id comes first");
    keys.sort();
    // Neither the partial index nor the one over an expression, nor dates and decimals.
    assert_eq!(keys, ["folded", "grp", "grp,v", "id", "u", "v"]);
    // Counted no further than a limit: then the range of row ids.
    assert_eq!(table.statistics().rows, Some(30_003));
    database.writer().execute_batch("ANALYZE").unwrap();
    let statistics = database.table("t").await.statistics();
    assert_eq!(statistics.rows, Some(20_003));
    assert_eq!(statistics.columns[0].distinct, Some(20_003));
    assert!(
        (900..=1_000).contains(&statistics.columns[1].distinct.unwrap()),
        "{statistics:?}"
    );
    let small = Database::new(&[
        "CREATE TABLE t (id INT, v TEXT UNIQUE)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    ]);
    let statistics = small.table("t").await.statistics();
    assert_eq!(statistics.rows, Some(2));
    assert_eq!(statistics.columns[1].distinct, Some(2));
}

/// The statements sent, as EXPLAIN QUERY PLAN sees them, with and without ANALYZE.
#[tokio::test]
async fn pushed_forms_use_the_index() {
    let database = Database::new(TABLE);
    let table = database.table("t").await;
    let day = || lit(ScalarValue::Date32(Some(12_000)));
    let price = || lit(ScalarValue::Decimal128(Some(1234), 9, 2));
    let filters: [(Expr, &str); 8] = [
        (ident("id").eq(lit(5_i64)), "INTEGER PRIMARY KEY"),
        (ident("id").gt(lit(19_990_i64)), "INTEGER PRIMARY KEY"),
        (ident("u").eq(lit(5_i64)), "sqlite_autoindex_t_1"),
        (ident("grp").in_list((0..9_i64).map(lit).collect(), false), "ig"),
        (ident("v").eq(lit("x5")), "iv"),
        (ident("v").like(lit("x55%")), "iv"),
        (ident("day").eq(day()), "iday"),
        (ident("price").eq(price()), "ip"),
    ];
    for analyzed in [false, true] {
        if analyzed {
            database.writer().execute_batch("ANALYZE").unwrap();
        }
        for (filter, index) in &filters {
            let scan = filtered(table.as_ref(), std::slice::from_ref(filter));
            assert_eq!(scan.filters.len(), 1, "{filter}");
            // What EXPLAIN shows has the literals in their place.
            let plan = plan(&database, &table.remote_text(&scan));
            let used = plan.contains(&format!("INDEX {index} ")) || plan.contains(&format!("USING {index} "));
            assert!(
                used && !plan.contains("SCAN"),
                "analyzed {analyzed}: {filter}: {plan}"
            );
        }
    }
}

/// Where the table's definition names a collation, every form names one, and OR finds no index: keys need no OR.
#[tokio::test]
async fn keys_use_the_index_under_every_collation() {
    let database = Database::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT COLLATE RTRIM, c TEXT)",
        "CREATE INDEX ia ON t (a)",
        "CREATE INDEX ib ON t (b)",
        "CREATE INDEX ic ON t (c)",
    ]);
    for (sql, index) in [
        (
            "a COLLATE NOCASE IN ('x', 'y') AND a COLLATE BINARY IN ('x', 'y')",
            "ia",
        ),
        (
            "b COLLATE RTRIM IN ('x', 'y') AND b COLLATE BINARY IN ('x', 'y')",
            "ib",
        ),
        ("c COLLATE BINARY IN ('x', 'y')", "ic"),
    ] {
        let plan = plan(&database, &format!("SELECT * FROM t WHERE {sql}"));
        assert!(plan.contains(&format!("INDEX {index} ")), "{plan}");
    }
    let table = database.table("t").await;
    let wanted = filtered(table.as_ref(), &[ident("a").eq(lit("x"))]);
    assert_eq!(
        table.remote_text(&wanted).split_once(" WHERE ").unwrap().1,
        "((\"a\" COLLATE NOCASE = 'x' AND \"a\" COLLATE BINARY = 'x') OR \"a\" COLLATE NOCASE >= x'')"
    );
}

fn plan(database: &Database, sql: &str) -> String {
    let connection = database.writer();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let details = statement
        .query_map([], |row| row.get::<_, String>("detail"))
        .unwrap();
    details.map(Result::unwrap).collect::<Vec<_>>().join("\n")
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

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}
