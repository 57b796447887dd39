//! Writing for the checks: transactions, streams of rows, and what a table holds afterwards.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch};
use futures::{StreamExt, TryStreamExt, stream};

use super::capabilities::CATALOG;
use super::report::Broken;
use super::suite::{scan_of, table_in, whole};
use super::tables::{ConformanceTable, plain_schema};
use crate::connector::{Connector, Table, TableName};
use crate::error::{ConnectorError, ErrorKind, Result};
use crate::scan::{BatchStream, ReadContext};
use crate::write::{TableDefinition, WriteContext, WriteTransaction, Writer};

/// Makes `tables` in a catalog that can be written, for sources that are loaded by themselves.
///
/// The rows come in batches of several sizes. Errors: the writer's.
pub async fn write_tables(catalog: &dyn Connector, schema: &str, tables: &[ConformanceTable]) -> Result<()> {
    let mut transaction = writer(catalog)?.begin(&waiting(None)).await?;
    for table in tables {
        let columns = table.schema();
        let definition = TableDefinition {
            name: TableName::new(CATALOG, schema, &table.name),
            columns,
            primary_key: table.primary_key.clone(),
        };
        transaction.create_table(&definition).await?;
        transaction.insert(&definition.name, pieces(table.rows())).await?;
    }
    transaction.commit().await
}

/// The writer of a catalog that has one.
pub(super) fn writer(catalog: &dyn Connector) -> Result<&dyn Writer> {
    catalog
        .writer()
        .ok_or_else(|| ConnectorError::new(ErrorKind::NotSupported, "the catalog has no writer"))
}

/// The context of a write that waits at most `lock_timeout` for others.
pub(super) fn waiting(lock_timeout: Option<Duration>) -> WriteContext {
    WriteContext {
        query_id: Arc::from("conformance"),
        lock_timeout,
    }
}

pub(super) async fn begin(catalog: &Arc<dyn Connector>) -> Result<Box<dyn WriteTransaction>> {
    writer(catalog.as_ref())?.begin(&waiting(None)).await
}

/// `rows` in batches of none, one and many rows.
fn pieces(rows: &RecordBatch) -> BatchStream {
    let (mut batches, mut start) = (vec![rows.slice(0, 0)], 0);
    for length in [1, 2, 100, usize::MAX] {
        let length = length.min(rows.num_rows() - start);
        if length > 0 {
            batches.push(rows.slice(start, length));
            start += length;
        }
    }
    of_batches(batches)
}

pub(super) fn of_batches(batches: Vec<RecordBatch>) -> BatchStream {
    stream::iter(batches.into_iter().map(Ok)).boxed()
}

/// A table of [`plain_schema`] with the key `id`.
pub(super) fn plain(name: &TableName) -> TableDefinition {
    TableDefinition {
        name: name.clone(),
        columns: plain_schema(),
        primary_key: vec![0],
    }
}

/// All rows of `table` in one batch; its splits are read one after another.
pub(super) async fn all_rows(table: &Arc<dyn Table>) -> Result<RecordBatch, Broken> {
    let scan = whole(table.as_ref());
    let mut batches = Vec::new();
    for split in table.splits(&scan).await? {
        let stream = table.read(&scan, &split, &ReadContext::detached()).await?;
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(arrow::compute::concat_batches(
        &scan.projected_schema(),
        &batches,
    )?)
}

/// The sorted keys, in the first column, of a table as `catalog` shows it.
pub(super) async fn keys(catalog: &Arc<dyn Connector>, name: &TableName) -> Result<Vec<i64>, Broken> {
    let table = table_in(catalog, name).await?;
    let scan = scan_of(table.as_ref(), vec![0]);
    let mut keys = Vec::new();
    for split in table.splits(&scan).await? {
        let mut stream = table.read(&scan, &split, &ReadContext::detached()).await?;
        while let Some(batch) = stream.try_next().await? {
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>();
            let column = column.ok_or_else(|| Broken(format!("the key of {name} is no bigint")))?;
            ensure_valid(column)?;
            keys.extend(column.values().iter());
        }
    }
    keys.sort_unstable();
    Ok(keys)
}

fn ensure_valid(column: &Int64Array) -> Result<(), Broken> {
    super::report::ensure(column.null_count() == 0, || "a key is NULL".to_owned())
}

/// A stream of all rows of a table as `catalog` shows it, of which nothing is read yet.
pub(super) async fn stream_of(catalog: &Arc<dyn Connector>, name: &TableName) -> Result<BatchStream, Broken> {
    let table = table_in(catalog, name).await?;
    let scan = whole(table.as_ref());
    let cx = ReadContext {
        batch_rows: 2,
        ..ReadContext::detached()
    };
    let mut streams = Vec::new();
    for split in table.splits(&scan).await? {
        streams.push(table.read(&scan, &split, &cx).await?);
    }
    Ok(stream::iter(streams).flatten().boxed())
}
