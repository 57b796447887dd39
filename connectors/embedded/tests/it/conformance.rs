//! The conformance suite over tables made by SQL, and over tables that the configuration describes.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_embedded::EmbeddedOptions;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, OtherKinds, RowCounts, Writes,
    run_conformance, write_tables,
};
use causeway_spi::testing::{Column, ColumnKind, TextKind, scalar_kinds};
use causeway_spi::{Connector, ConnectorOptions, ErrorKind, Result, TableName, WriteContext};
use futures::{StreamExt, stream};
use tempfile::TempDir;

const BIGINT: ColumnKind = ColumnKind::Integer { bits: 64 };
const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);
const REAL: ColumnKind = ColumnKind::Real { special: true };
const DOUBLE: ColumnKind = ColumnKind::Double { special: true };
const WIDE_NUMERIC: ColumnKind = ColumnKind::Numeric {
    precision: 76,
    scale: 20,
};

fn open(folder: &TempDir, file: &str, lines: &str) -> Result<Arc<dyn Connector>> {
    let path = folder.path().join(file);
    let options: EmbeddedOptions = toml::from_str(&format!("path = {path:?}\n{lines}")).unwrap();
    options.open(CATALOG)
}

struct Made(TempDir);

#[async_trait]
impl ConformanceSource for Made {
    fn name(&self) -> &str {
        "embedded"
    }

    fn capabilities(&self) -> Capabilities {
        let mut kinds = scalar_kinds();
        kinds.extend([
            ColumnKind::Interval,
            ColumnKind::Bytes,
            ColumnKind::List(&BIGINT),
            ColumnKind::List(&TEXT),
            ColumnKind::List(&ColumnKind::Interval),
        ]);
        Capabilities {
            other_kinds: OtherKinds::Refused(&[ErrorKind::NotSupported]),
            primary_keys: true,
            not_null: true,
            row_counts: RowCounts::Exact,
            filters: Filters::Keys,
            limits: true,
            lookups: true,
            login: true,
            writes: Writes::Tables,
            savepoints: true,
            schemas: true,
            views: true,
            never_keys: vec![
                REAL,
                DOUBLE,
                WIDE_NUMERIC,
                ColumnKind::Time,
                ColumnKind::Interval,
                ColumnKind::List(&BIGINT),
                ColumnKind::List(&TEXT),
                ColumnKind::List(&ColumnKind::Interval),
            ],
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        // A file for each load: the first table's name tells it.
        let file = tables.first().map_or("none", |table| table.name.as_str());
        let catalog = open(&self.0, &format!("{file}.redb"), "")?;
        write_tables(catalog.as_ref(), self.schema(), tables).await?;
        Ok(catalog)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_made_by_sql_conform() {
    run_conformance(&Made(tempfile::tempdir().unwrap())).await;
}

/// Tables of JSON documents, whose rows are written through the catalog itself.
struct Described(TempDir);

#[async_trait]
impl ConformanceSource for Described {
    fn name(&self) -> &str {
        "embedded, described"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            keyless_tables: false,
            not_null: true,
            row_counts: RowCounts::Exact,
            filters: Filters::Keys,
            limits: true,
            lookups: true,
            login: true,
            views: true,
            writes: Writes::Rows,
            savepoints: true,
            ..Capabilities::reading(scalar_kinds())
        }
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let lines: String = tables.iter().map(described).collect();
        let catalog = open(&self.0, "described.redb", &lines)?;
        let cx = WriteContext {
            query_id: Arc::from("load"),
            lock_timeout: None,
        };
        let mut transaction = catalog.writer().unwrap().begin(&cx).await?;
        for table in tables {
            let name = TableName::new(CATALOG, self.schema(), &table.name);
            let rows = stream::iter([Ok(table.rows().clone())]).boxed();
            transaction.insert(&name, rows).await?;
        }
        transaction.commit().await?;
        Ok(catalog)
    }
}

fn described(table: &ConformanceTable) -> String {
    let columns: Vec<String> = table.data.columns().iter().map(Column::definition).collect();
    format!(
        "[[tables]]\nname = {:?}\nkey = \"{}:{{id}}\"\nvalue = \"json\"\ncolumns = {columns:?}\n",
        table.name, table.name
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn described_tables_conform() {
    run_conformance(&Described(tempfile::tempdir().unwrap())).await;
}
