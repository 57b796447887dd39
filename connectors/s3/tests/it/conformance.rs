//! The conformance suite over objects of Parquet.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, RowCounts, run_conformance, skipped,
};
use causeway_spi::testing::{ColumnKind, TextKind, scalar_kinds};
use causeway_spi::{Connector, ConnectorOptions, Result};
use parquet::arrow::ArrowWriter;

use super::{TestStore, put};

const BIGINT: ColumnKind = ColumnKind::Integer { bits: 64 };
const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);

struct Bucket {
    store: TestStore,
    prefix: String,
}

#[async_trait]
impl ConformanceSource for Bucket {
    fn name(&self) -> &str {
        "s3"
    }

    fn capabilities(&self) -> Capabilities {
        let mut kinds = scalar_kinds();
        kinds.extend([
            ColumnKind::Bytes,
            ColumnKind::List(&BIGINT),
            ColumnKind::List(&TEXT),
            ColumnKind::Composite,
        ]);
        Capabilities {
            row_counts: RowCounts::Exact,
            filters: Filters::Columns,
            limits: true,
            native_scans: true,
            login: true,
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let writer = self.store.writer();
        for table in tables {
            let place = format!("{}/{}/part-0.parquet", self.prefix, table.name);
            put(&writer, &place, parquet(table.rows())).await;
        }
        self.store.options(&format!("{}/", self.prefix)).open(CATALOG)
    }
}

fn parquet(rows: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(store) = TestStore::from_env() else {
        return skipped("s3", "TEST_S3_ENDPOINT and its companions are not set");
    };
    let prefix = format!("conformance-{}", std::process::id());
    run_conformance(&Bucket { store, prefix }).await;
}
