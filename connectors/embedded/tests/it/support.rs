//! A catalog in a temporary folder, tables made in it, and the reading of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use causeway_embedded::EmbeddedOptions;
use causeway_spi::{
    BatchStream, Connector, ConnectorOptions, Filter, ReadContext, Result, Scan, ScanFilter, Split, Table,
    TableDefinition, TableName, Verdict, WriteContext, WriteTransaction,
};
use datafusion::logical_expr::Expr;
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

/// A catalog with a file of its own.
pub(crate) struct Store {
    folder: TempDir,
    pub(crate) catalog: Arc<dyn Connector>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With further lines of configuration.
    pub(crate) fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = try_open(&folder.path().join("store.redb"), lines).unwrap();
        Self { folder, catalog }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.redb")
    }

    /// Closes the file and opens it again.
    pub(crate) async fn reopened(self) -> Self {
        let path = self.path();
        drop(self.catalog);
        Self {
            folder: self.folder,
            catalog: open(&path),
        }
    }

    /// Closes the file and keeps its folder.
    pub(crate) fn closed(self) -> (TempDir, PathBuf) {
        let path = self.path();
        (self.folder, path)
    }

    pub(crate) async fn begin(&self) -> Box<dyn WriteTransaction> {
        let cx = WriteContext {
            query_id: Arc::from("test"),
            lock_timeout: None,
        };
        self.catalog.writer().unwrap().begin(&cx).await.unwrap()
    }

    /// Makes the table `name` of the rows of `batches`.
    pub(crate) async fn fill(
        &self,
        name: &str,
        schema: &SchemaRef,
        key: &[usize],
        batches: Vec<RecordBatch>,
    ) {
        let mut transaction = self.begin().await;
        create(&mut transaction, name, schema, key).await.unwrap();
        transaction
            .insert(&table_name(name), rows(batches))
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    pub(crate) async fn table(&self, name: &str) -> Arc<dyn Table> {
        table(&self.catalog, name).await
    }
}

pub(crate) fn open(path: &Path) -> Arc<dyn Connector> {
    try_open(path, "").unwrap()
}

/// A catalog with further lines of configuration.
pub(crate) fn try_open(path: &Path, lines: &str) -> Result<Arc<dyn Connector>> {
    let options: EmbeddedOptions = toml::from_str(&format!("path = {path:?}\n{lines}")).unwrap();
    options.open("kv")
}

pub(crate) fn table_name(name: &str) -> TableName {
    TableName::new("kv", "public", name)
}

pub(crate) async fn create(
    transaction: &mut Box<dyn WriteTransaction>,
    name: &str,
    schema: &SchemaRef,
    key: &[usize],
) -> Result<()> {
    let definition = TableDefinition {
        name: table_name(name),
        columns: Arc::clone(schema),
        primary_key: key.to_vec(),
    };
    transaction.create_table(&definition).await
}

pub(crate) fn rows(batches: Vec<RecordBatch>) -> BatchStream {
    stream::iter(batches.into_iter().map(Ok)).boxed()
}

pub(crate) async fn table(catalog: &Arc<dyn Connector>, name: &str) -> Arc<dyn Table> {
    catalog
        .table(&table_name(name))
        .await
        .unwrap()
        .expect("the table is there")
}

/// A scan of all columns, or some, with pushed filters.
pub(crate) fn scan(table: &Arc<dyn Table>, columns: &[&str], filters: &[Expr]) -> Scan {
    let schema = table.schema();
    let filters = filters.iter().map(|expr| {
        let filter = Filter::new(expr);
        let pushdown = table.pushdown(&filter);
        assert_eq!(pushdown.verdict, Verdict::Exact, "{filter}");
        ScanFilter { filter, pushdown }
    });
    Scan {
        projection: columns
            .iter()
            .map(|name| schema.index_of(name).unwrap())
            .collect(),
        filters: filters.collect(),
        schema,
        limit: None,
    }
}

pub(crate) async fn try_read(table: &Arc<dyn Table>, scan: &Scan) -> Result<RecordBatch> {
    let cx = ReadContext::detached();
    let stream = table.read(scan, &Split::whole(), &cx).await?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(concat_batches(&scan.projected_schema(), &batches).unwrap())
}

/// All rows as sorted lines, columns separated by `|`.
pub(crate) async fn read_all(table: &Arc<dyn Table>) -> Vec<String> {
    let schema = table.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    read(table, &names, &[]).await
}

pub(crate) async fn read(table: &Arc<dyn Table>, columns: &[&str], filters: &[Expr]) -> Vec<String> {
    lines(&try_read(table, &scan(table, columns, filters)).await.unwrap())
}

pub(crate) fn lines(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: &ArrayRef, row| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let row = |row| {
        let cells = batch.columns().iter().map(|column| cell(column, row));
        cells.collect::<Vec<_>>().join("|")
    };
    let mut rows: Vec<String> = (0..batch.num_rows()).map(row).collect();
    rows.sort();
    rows
}
