//! Data that changes while the server runs: a query sees one version of an object, whole.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{s3, unique_name};
use object_store::ObjectStoreExt;

/// Many small row groups, so that a query reads an object in several requests.
const ROW_GROUP_ROWS: usize = 1_000;

#[tokio::test]
async fn a_replaced_object_is_read_anew_or_refused_but_never_mixed() {
    let Some(s3) = s3() else { return };
    let store = s3.store().unwrap();
    let prefix = unique_name("replaced");
    let key = format!("{prefix}/numbers/part-1.parquet");
    put_object(&store, &key, numbers(0, 50_000)).await.unwrap();
    let server = Server::start(&Config::new().s3("lake", &s3, &format!("{prefix}/"))).unwrap();
    let client = server.connect().await.unwrap();
    let sql = "SELECT min(n), max(n), sum(n) FROM lake.public.numbers";
    assert_eq!(client.query(sql).await.unwrap().lines(), ["0\t49999\t1249975000"]);

    // Of the same size, smaller, and larger.
    for (first, count) in [(50_000, 50_000), (7, 10), (1_000_000, 80_000)] {
        put_object(&store, &key, numbers(first, count)).await.unwrap();
        let last = first + count - 1;
        let right = format!("{first}\t{last}\t{}", (first + last) * count / 2);
        let answer = client.try_query(sql).await.unwrap();
        match answer {
            Ok(rows) => assert_eq!(rows.lines(), [right.as_str()]),
            Err(failure) => {
                assert_eq!(failure.sqlstate, "40001", "{failure:?}");
                // Who tries again, as 40001 asks, gets the new version.
                assert_eq!(client.query(sql).await.unwrap().lines(), [right.as_str()]);
            }
        }
    }
    store
        .delete(&object_store::path::Path::from(key.as_str()))
        .await
        .unwrap();
    let answer = client.try_query(sql).await.unwrap();
    let states: Vec<String> = answer.err().into_iter().map(|failure| failure.sqlstate).collect();
    assert!(states == ["42P01"] || states == ["40001"], "{states:?}");
}

fn numbers(first: i64, count: i64) -> bytes::Bytes {
    let array = Int64Array::from_iter_values(first..first + count);
    let batch = RecordBatch::try_from_iter([("n", Arc::new(array) as _)]).unwrap();
    parquet_file(
        batch.schema(),
        Box::new(std::iter::once(Ok(batch))),
        ROW_GROUP_ROWS,
    )
    .unwrap()
}
