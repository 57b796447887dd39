//! The S3 catalog against a real store: the one that `TEST_S3_ENDPOINT`, `TEST_S3_BUCKET`, `TEST_S3_ACCESS_KEY` and
//! `TEST_S3_SECRET_KEY` name. Without them each test says that it is skipped.

#![expect(clippy::unwrap_used, reason = "tests and their helpers panic")]

#[cfg(test)]
mod answers;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod laws;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use causeway_s3::S3Options;
use causeway_spi::{Connector, ConnectorOptions, ErrorKind, Secret, Table, TableName};
use datafusion::prelude::SessionContext;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;

struct TestStore {
    endpoint: String,
    bucket: String,
    access_key: String,
    secret_key: String,
}

impl TestStore {
    fn from_env() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let store = variable("TEST_S3_ENDPOINT").and_then(|endpoint| {
            Some(Self {
                endpoint,
                bucket: variable("TEST_S3_BUCKET")?,
                access_key: variable("TEST_S3_ACCESS_KEY")?,
                secret_key: variable("TEST_S3_SECRET_KEY")?,
            })
        });
        if store.is_none() {
            eprintln!("SKIPPED: TEST_S3_ENDPOINT and its companions are not set");
        }
        store
    }

    fn options(&self, prefix: &str) -> S3Options {
        let text = format!(
            "bucket = {:?}\nprefix = {prefix:?}\nendpoint = {:?}\nallow_http = true\n",
            self.bucket, self.endpoint
        );
        S3Options {
            access_key_id: Some(Secret::new(&self.access_key)),
            secret_access_key: Some(Secret::new(&self.secret_key)),
            ..toml::from_str(&text).unwrap()
        }
    }

    fn writer(&self) -> impl ObjectStore {
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_bucket_name(&self.bucket)
            .with_region("us-east-1")
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .build()
            .unwrap()
    }
}

fn numbered(first: i64, rows: i64) -> Vec<u8> {
    let ids: ArrayRef = Arc::new(Int64Array::from((first..first + rows).collect::<Vec<_>>()));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

async fn put(store: &impl ObjectStore, location: &str, bytes: Vec<u8>) {
    store
        .put(&Path::parse(location).unwrap(), bytes.into())
        .await
        .unwrap();
}

async fn table(catalog: &Arc<dyn Connector>, table: &str) -> Arc<dyn Table> {
    let name = TableName::new("lake", "public", table);
    catalog.table(&name).await.unwrap().expect("the table exists")
}

async fn session(catalog: &Arc<dyn Connector>, name: &str) -> SessionContext {
    let context = SessionContext::new();
    context
        .register_table("t", table(catalog, name).await.native().unwrap())
        .unwrap();
    context
}

async fn query(context: &SessionContext, sql: &str) -> datafusion::common::Result<String> {
    let batches = context.sql(sql).await?.collect().await?;
    Ok(arrow::util::pretty::pretty_format_batches(&batches)?.to_string())
}

#[tokio::test]
async fn folders_of_a_prefix_are_read_with_their_partitions() {
    let Some(test) = TestStore::from_env() else {
        return;
    };
    let writer = test.writer();
    put(&writer, "s3-reads/t/y=2023/a b.parquet", numbered(0, 100_000)).await;
    put(&writer, "s3-reads/t/y=2024/0.parquet", numbered(100_000, 10)).await;
    put(&writer, "s3-reads/t/_SUCCESS", Vec::new()).await;
    let catalog = test.options("s3-reads/").open("lake").unwrap();
    catalog.ping().await.unwrap();
    assert_eq!(catalog.tables("public").await.unwrap(), ["t"]);
    let context = session(&catalog, "t").await;
    let all = query(
        &context,
        "SELECT y, sum(id) AS s, count(*) AS n FROM t GROUP BY y ORDER BY y",
    )
    .await
    .unwrap();
    assert!(all.contains("| 2023 | 4999950000 | 100000 |"), "{all}");
    assert!(all.contains("| 2024 | 1000045    | 10     |"), "{all}");
}

#[tokio::test]
async fn an_object_replaced_after_it_was_listed_is_an_error_and_the_next_query_reads_it() {
    let Some(test) = TestStore::from_env() else {
        return;
    };
    let writer = test.writer();
    put(&writer, "s3-swaps/t/0.parquet", numbered(0, 100_000)).await;
    let catalog = test.options("s3-swaps").open("lake").unwrap();
    let context = session(&catalog, "t").await;
    put(&writer, "s3-swaps/t/0.parquet", numbered(5, 100_000)).await;
    let error = query(&context, "SELECT sum(id) FROM t").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("file t/0.parquet changed while it was read"),
        "{error}"
    );
    let context = session(&catalog, "t").await;
    let found = query(&context, "SELECT min(id) AS id FROM t").await.unwrap();
    assert!(found.contains("| 5  |"), "{found}");
}

#[tokio::test]
async fn wrong_keys_and_missing_buckets_are_told_apart() {
    let Some(test) = TestStore::from_env() else {
        return;
    };
    let wrong_secret = S3Options {
        secret_access_key: Some(Secret::new("not-the-secret")),
        ..test.options("")
    };
    let error = wrong_secret.open("lake").unwrap().ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRefused, "{error:?}");
    let no_bucket = S3Options {
        bucket: "no-such-bucket".to_owned(),
        ..test.options("")
    };
    let error = no_bucket.open("lake").unwrap().ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(
        error.hint_text(),
        Some("Check the catalog's bucket, prefix or path.")
    );
}
