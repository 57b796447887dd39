//! Catalog `kv`: parts and suppliers in the embedded store, found by their keys.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::datatypes::{Field, Schema};
use causeway_embedded::EmbeddedOptions;
use causeway_spi::{ConnectorError, ConnectorOptions, ErrorKind, TableDefinition, TableName, WriteContext};
use futures::StreamExt;

use super::error::DemoError;
use super::fill::{Made, go_on};
use super::place::Place;
use super::tables::Table;

const CATALOG: &str = "kv";
const SCHEMA: &str = "public";
const CACHE_MIB: usize = 64;

pub(super) fn make(place: &Place, stopping: &AtomicBool) -> Result<Made, DemoError> {
    // This thread is one of its own: waiting here holds up no other.
    tokio::runtime::Handle::current().block_on(write(place, stopping))
}

async fn write(place: &Place, stopping: &AtomicBool) -> Result<Made, DemoError> {
    let failed = |source| DemoError::Store {
        path: place.kv(),
        source,
    };
    let options = EmbeddedOptions {
        path: place.kv(),
        cache_mib: CACHE_MIB,
        check_on_open: false,
        tables: Vec::new(),
    };
    let catalog = options.open(CATALOG).map_err(failed)?;
    let writer = catalog.writer().ok_or_else(|| {
        failed(ConnectorError::new(
            ErrorKind::Internal,
            "the store cannot be written",
        ))
    })?;
    let cx = WriteContext {
        query_id: Arc::from("demo"),
        lock_timeout: None,
    };
    let mut transaction = writer.begin(&cx).await.map_err(failed)?;
    let mut made = Made::new();
    for table in [Table::Part, Table::Supplier] {
        go_on(stopping)?;
        let name = TableName::new(CATALOG, SCHEMA, table.name());
        let batches = table.rows(place.scale(), 1, 1);
        let fields: Vec<Field> = batches
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(false))
            .collect();
        let definition = TableDefinition {
            name: name.clone(),
            columns: Arc::new(Schema::new(fields)),
            primary_key: vec![0],
        };
        transaction.create_table(&definition).await.map_err(failed)?;
        let broken = move |error| {
            ConnectorError::new(ErrorKind::Internal, "rows could not be generated").source(error)
        };
        let rows = futures::stream::iter(batches)
            .map(move |batch| batch.map_err(broken))
            .boxed();
        let rows = transaction.insert(&name, rows).await.map_err(failed)?;
        made.push((table.name(), usize::try_from(rows).unwrap_or(usize::MAX)));
    }
    transaction.commit().await.map_err(failed)?;
    Ok(made)
}
