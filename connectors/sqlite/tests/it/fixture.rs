//! A file per test, its catalog, and the comparison of a pushed filter with its evaluation here.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::util::display::array_value_to_string;
use causeway_spi::{
    BatchStream, Connector, ConnectorOptions, Filter, ReadContext, Result, Scan, ScanFilter, Split, Table,
    TableName, Verdict,
};
use causeway_sqlite::SqliteOptions;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use rusqlite::Connection;
use tempfile::TempDir;

/// A file that is removed at the end of its test.
pub(crate) struct Database {
    folder: TempDir,
}

impl Database {
    /// Makes a file and runs `statements` in it.
    pub(crate) fn new(statements: &[&str]) -> Self {
        let database = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let connection = database.writer();
        for statement in statements {
            connection
                .execute_batch(statement)
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        database
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// Another program that writes the file.
    pub(crate) fn writer(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.path())
    }

    pub(crate) fn catalog(&self) -> Arc<dyn Connector> {
        self.options().open("shop").unwrap()
    }

    /// The table `name` of a catalog with the default options.
    pub(crate) async fn table(&self, name: &str) -> Arc<dyn Table> {
        load(&self.catalog(), name).await
    }
}

pub(crate) async fn load(catalog: &Arc<dyn Connector>, table: &str) -> Arc<dyn Table> {
    let name = TableName::new("shop", "main", table);
    catalog.table(&name).await.unwrap().unwrap()
}

/// A scan of all columns, without filters.
pub(crate) fn scan(table: &dyn Table) -> Scan {
    let schema = table.schema();
    Scan {
        projection: (0..schema.fields().len()).collect(),
        schema,
        filters: vec![],
        limit: None,
    }
}

/// A scan of all columns with the part of `filters` that the table takes.
pub(crate) fn filtered(table: &dyn Table, filters: &[Expr]) -> Scan {
    let filters = filters
        .iter()
        .map(Filter::new)
        .map(|filter| ScanFilter {
            pushdown: table.pushdown(&filter),
            filter,
        })
        .filter(|pushed| pushed.pushdown.verdict != Verdict::Declined)
        .collect();
    Scan {
        filters,
        ..scan(table)
    }
}

pub(crate) async fn open(table: &dyn Table, scan: &Scan, cx: &ReadContext) -> Result<BatchStream> {
    table.read(scan, &Split::whole(), cx).await
}

pub(crate) async fn try_read(table: &dyn Table, scan: &Scan) -> Result<RecordBatch> {
    let stream = open(table, scan, &ReadContext::detached()).await?;
    Ok(collect(scan, stream.try_collect().await?))
}

pub(crate) async fn read(table: &dyn Table, scan: &Scan) -> RecordBatch {
    try_read(table, scan).await.unwrap()
}

pub(crate) async fn get(table: &dyn Table, scan: &Scan, key: usize, values: RecordBatch) -> RecordBatch {
    let lookup = table.lookup().unwrap();
    let stream = lookup
        .get(scan, key, values, &ReadContext::detached())
        .await
        .unwrap();
    collect(scan, stream.try_collect().await.unwrap())
}

fn collect(scan: &Scan, batches: Vec<RecordBatch>) -> RecordBatch {
    concat_batches(&scan.projected_schema(), &batches).unwrap()
}

/// The values of a column as text; NULL as `NULL`.
pub(crate) fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array: &ArrayRef = batch.column_by_name(column).unwrap();
    (0..array.len())
        .map(|row| match array.is_null(row) {
            true => "NULL".to_owned(),
            false => array_value_to_string(array, row).unwrap(),
        })
        .collect()
}

/// The sorted values of the integer column `id`.
pub(crate) fn ids(batch: &RecordBatch) -> Vec<i64> {
    let array = batch.column_by_name("id").unwrap();
    let array = array.as_any().downcast_ref::<Int64Array>().unwrap();
    let mut ids: Vec<i64> = array.values().to_vec();
    ids.sort_unstable();
    ids
}

/// The rows of `batch` for which `filter` is true, evaluated by DataFusion.
pub(crate) async fn evaluate(batch: RecordBatch, filter: &Expr) -> RecordBatch {
    let schema = batch.schema();
    let frame = SessionContext::new().read_batch(batch).unwrap();
    let rows = frame.filter(filter.clone()).unwrap().collect().await.unwrap();
    concat_batches(&schema, &rows).unwrap()
}

/// Holds every verdict to its promise: exact means the same rows, superset means none is missing.
pub(crate) async fn check(table: &dyn Table, filters: &[Expr], verdict: Verdict) {
    let all = read(table, &scan(table)).await;
    for filter in filters {
        let expected = ids(&evaluate(all.clone(), filter).await);
        let scan = filtered(table, std::slice::from_ref(filter));
        let pushed = scan
            .filters
            .first()
            .unwrap_or_else(|| panic!("declined: {filter}"));
        let sent = table.remote_text(&scan);
        assert_eq!(pushed.pushdown.verdict, verdict, "{filter}\n{sent}");
        let remote = try_read(table, &scan).await;
        let remote = remote.unwrap_or_else(|error| panic!("{error:?}: {filter}\n{sent}"));
        let found = match verdict {
            Verdict::Exact => ids(&remote),
            _ => ids(&evaluate(remote, filter).await),
        };
        assert_eq!(found, expected, "{filter}\n{sent}");
    }
}
