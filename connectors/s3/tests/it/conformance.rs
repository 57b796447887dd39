//! The conformance suite over the store.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_s3::S3Options;
use causeway_spi::testing::{ConformanceCase, ConformanceSource, Declared, run_conformance};
use causeway_spi::{Connector, ConnectorOptions, TableName};
use parquet::arrow::ArrowWriter;

use super::{TestStore, put};

struct Source(TestStore);

#[async_trait]
impl ConformanceSource for Source {
    fn declared(&self) -> Declared {
        Declared {
            kind: "s3",
            lookup: false,
            // Files are read by their own scan, which has partitions of its own.
            splits: false,
            native: true,
            writer: false,
            cannot_hold: &[],
        }
    }

    async fn load(&self, case: &ConformanceCase) -> Result<(Arc<dyn Connector>, TableName), String> {
        let rows = case.table.rows();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
        writer.write(rows).unwrap();
        writer.close().unwrap();
        let prefix = format!("conformance-{}/{}", std::process::id(), case.name);
        put(
            &self.0.writer(),
            &format!("{prefix}/{}/0.parquet", case.name),
            bytes,
        )
        .await;
        let catalog = self.0.options(&prefix).open("lake").unwrap();
        Ok((catalog, TableName::new("lake", "public", case.name)))
    }

    fn unreachable(&self) -> Option<Arc<dyn Connector>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let away = S3Options {
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            ..self.0.options("")
        };
        // Nobody listens there any more.
        drop(listener);
        Some(away.open("away").unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms() {
    let Some(store) = TestStore::from_env() else {
        return;
    };
    run_conformance(&Source(store)).await;
}
