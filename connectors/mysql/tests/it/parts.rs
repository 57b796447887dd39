//! Scans in parts, as the engine reads them: small tables by catalogs that split them all the same.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use causeway_mysql::MySqlOptions;
use causeway_spi::{
    BatchStream, Connector, ConnectorOptions, Execution, ReadContext, Result, Scan, Split, Table,
};
use futures::TryStreamExt;
use futures::future::try_join_all;

use crate::fixture::{Server, load, scan};

/// The parts of a scan here.
pub(crate) const PARTS: usize = 4;

/// Options with which tables of a few rows are read in parts.
pub(crate) fn in_parts(mut options: MySqlOptions) -> MySqlOptions {
    options.split_rows = 1;
    options.split_connections = PARTS - 1;
    options
}

/// Makes `database` with `statements`, and a catalog that reads it in parts.
pub(crate) async fn catalog_in_parts(
    server: &Server,
    database: &str,
    statements: &[&str],
) -> Arc<dyn Connector> {
    server.database(database, statements).await;
    in_parts(server.options()).open("shop").unwrap()
}

/// One execution of a scan, as the leaf has it: its splits and what they share.
pub(crate) struct Parts {
    pub(crate) table: Arc<dyn Table>,
    pub(crate) scan: Scan,
    pub(crate) splits: Vec<Split>,
    pub(crate) cx: ReadContext,
}

impl Parts {
    pub(crate) async fn plan(table: &Arc<dyn Table>, scan: Scan, query_id: &str) -> Self {
        let splits = table.splits(&scan).await.unwrap();
        let cx = ReadContext {
            query_id: query_id.into(),
            batch_rows: 100,
            execution: Some(Execution::default()),
            ..ReadContext::detached()
        };
        Self {
            table: Arc::clone(table),
            scan,
            splits,
            cx,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.table.splits_text(&self.splits).unwrap()
    }

    pub(crate) async fn open(&self, split: usize) -> BatchStream {
        let split = &self.splits[split];
        self.table.read(&self.scan, split, &self.cx).await.unwrap()
    }

    pub(crate) async fn read(&self, split: usize) -> Result<RecordBatch> {
        let batches: Vec<RecordBatch> = self.open(split).await.try_collect().await?;
        Ok(concat_batches(&self.scan.projected_schema(), &batches).unwrap())
    }

    /// All splits at once, as the engine reads them.
    pub(crate) async fn read_all(&self) -> Result<RecordBatch> {
        let parts = try_join_all((0..self.splits.len()).map(|split| self.read(split))).await?;
        Ok(concat_batches(&self.scan.projected_schema(), &parts).unwrap())
    }

    /// How many connections have read.
    pub(crate) fn connections(&self) -> usize {
        self.cx.metrics.requests.value()
    }
}

pub(crate) async fn plan(catalog: &Arc<dyn Connector>, database: &str, table: &str, query_id: &str) -> Parts {
    let table = load(catalog, database, table).await;
    let wanted = scan(table.as_ref());
    Parts::plan(&table, wanted, query_id).await
}

pub(crate) fn longs(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let array = batch.column_by_name(column).unwrap();
    let array = array.as_any().downcast_ref::<Int64Array>().unwrap();
    assert_eq!(array.null_count(), 0);
    array.values().to_vec()
}

pub(crate) const ACCOUNTS: [&str; 3] = [
    "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL)",
    "INSERT INTO accounts SELECT seq, 1000 FROM seq_1_to_400",
    "ANALYZE TABLE accounts",
];
pub(crate) const MONEY: i64 = 400 * 1000;
