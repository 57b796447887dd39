//! Catalogs and rows for the tests.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int32Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use causeway_memory::MemoryOptions;
use causeway_spi::{
    BatchStream, Connector, ConnectorOptions, ReadContext, Scan, Split, Table, TableDefinition, TableName,
    WriteContext, WriteTransaction, Writer,
};
use futures::{StreamExt, TryStreamExt, stream};

/// A catalog of 16 MiB.
pub(crate) fn catalog() -> Arc<dyn Connector> {
    let options = MemoryOptions { memory_limit_mib: 16 };
    options.open("mem").unwrap()
}

pub(crate) fn writer(catalog: &Arc<dyn Connector>) -> &dyn Writer {
    catalog.writer().unwrap()
}

pub(crate) async fn begin(catalog: &Arc<dyn Connector>) -> Box<dyn WriteTransaction> {
    writer(catalog).begin(&context(None)).await.unwrap()
}

pub(crate) fn context(lock_timeout: Option<Duration>) -> WriteContext {
    WriteContext {
        query_id: Arc::from("test"),
        lock_timeout,
    }
}

pub(crate) fn name(table: &str) -> TableName {
    TableName::new("mem", "public", table)
}

/// `id integer primary key, name text`.
pub(crate) fn definition(table: &str) -> TableDefinition {
    let columns = Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8View, true),
    ]);
    TableDefinition {
        name: name(table),
        columns: Arc::new(columns),
        primary_key: vec![0],
    }
}

pub(crate) fn rows(schema: &SchemaRef, rows: &[(i32, &str)]) -> RecordBatch {
    let ids: Int32Array = rows.iter().map(|(id, _)| Some(*id)).collect();
    let names: StringViewArray = rows.iter().map(|(_, name)| Some(*name)).collect();
    RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(ids), Arc::new(names)]).unwrap()
}

pub(crate) fn one(batch: RecordBatch) -> BatchStream {
    stream::iter([Ok(batch)]).boxed()
}

/// All rows of a table, in its order.
pub(crate) async fn read(table: &Arc<dyn Table>) -> Vec<RecordBatch> {
    let scan = Scan {
        schema: table.schema(),
        projection: (0..table.schema().fields().len()).collect(),
        filters: Vec::new(),
        limit: None,
    };
    let stream = table
        .read(&scan, &Split::whole(), &ReadContext::detached())
        .await
        .unwrap();
    stream.try_collect().await.unwrap()
}

/// The ids of a table's rows as one catalog, or snapshot, shows them.
pub(crate) async fn ids(catalog: &Arc<dyn Connector>, table: &str) -> Vec<i32> {
    let table = catalog.table(&name(table)).await.unwrap().unwrap();
    let mut ids = Vec::new();
    for batch in read(&table).await {
        let column = batch.column(0).as_any().downcast_ref::<Int32Array>().unwrap();
        ids.extend(column.values().iter());
    }
    ids.sort_unstable();
    ids
}
