//! The conformance suite over a catalog in memory, which holds and does everything that the contract has.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_memory::MemoryOptions;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, OtherKinds, RowCounts, Writes,
    run_conformance, write_tables,
};
use causeway_spi::testing::{ColumnKind, TextKind, scalar_kinds};
use causeway_spi::{Connector, ConnectorOptions, ErrorKind, Result};

const BIGINT: ColumnKind = ColumnKind::Integer { bits: 64 };
const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);

struct Memory;

#[async_trait]
impl ConformanceSource for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        let mut kinds = scalar_kinds();
        kinds.extend([
            ColumnKind::Interval,
            ColumnKind::Bytes,
            ColumnKind::List(&BIGINT),
            ColumnKind::List(&TEXT),
            ColumnKind::List(&ColumnKind::Interval),
            ColumnKind::Composite,
        ]);
        Capabilities {
            other_kinds: OtherKinds::Refused(&[ErrorKind::NotSupported]),
            primary_keys: true,
            not_null: true,
            row_counts: RowCounts::Exact,
            filters: Filters::Columns,
            limits: true,
            lookups: true,
            writes: Writes::Tables,
            savepoints: true,
            schemas: true,
            views: true,
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let catalog = MemoryOptions {
            memory_limit_mib: 256,
        }
        .open(CATALOG)?;
        write_tables(catalog.as_ref(), self.schema(), tables).await?;
        Ok(catalog)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    run_conformance(&Memory).await;
}
