//! The transaction that writes: it has a state of its own, which takes the catalog's place when it commits.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, Connector, ConnectorError, ErrorKind, Result, Savepoint, Table, TableDefinition, TableName,
    ViewDefinition, WriteTransaction,
};
use futures::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::chunk::Gatherer;
use crate::connector::{Shared, Snapshot};
use crate::read::{Locators, MemoryTable};
use crate::state::{Relation, State};
use crate::stored::{Replaced, StoredTable, internal};

/// A transaction on a memory catalog. Every write is made of a finished state, so that one that fails has done nothing.
#[derive(Debug)]
pub(crate) struct MemoryTransaction {
    shared: Arc<Shared>,
    state: Arc<State>,
    savepoints: Vec<Arc<State>>,
    /// The right to write, given back when the transaction ends.
    _turn: OwnedSemaphorePermit,
}

impl MemoryTransaction {
    pub(crate) fn new(shared: Arc<Shared>, turn: OwnedSemaphorePermit) -> Self {
        Self {
            state: shared.committed(),
            shared,
            savepoints: Vec::new(),
            _turn: turn,
        }
    }

    /// Takes a changed table into the state. Errors: `OutOfMemory`.
    fn put(&mut self, name: &TableName, table: StoredTable) -> Result<()> {
        let mut state = State::clone(&self.state);
        state.put(name, Relation::Table(Arc::new(table)))?;
        self.check_bytes(state.bytes())?;
        self.state = Arc::new(state);
        Ok(())
    }

    fn check_bytes(&self, bytes: usize) -> Result<()> {
        if bytes <= self.shared.bytes_max {
            return Ok(());
        }
        let mebibytes = self.shared.bytes_max >> 20;
        let message = format!("catalog {} is full", self.state.catalog);
        Err(ConnectorError::new(ErrorKind::OutOfMemory, message)
            .detail(format!("Its tables may have {mebibytes} MiB together."))
            .hint("Drop or truncate tables, or raise memory_limit_mib in the server's configuration."))
    }

    /// Reads `rows` to their end. Errors: `OutOfMemory` as soon as they are too many.
    async fn gather(&self, mut gatherer: Gatherer, mut rows: BatchStream) -> Result<Vec<RecordBatch>> {
        let used = self.state.bytes();
        while let Some(batch) = rows.next().await {
            gatherer.push(&batch?).map_err(internal)?;
            self.check_bytes(used.saturating_add(gatherer.bytes()))?;
        }
        gatherer.finish().map_err(internal)
    }
}

fn rows_of(batches: &[RecordBatch]) -> u64 {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[async_trait]
impl WriteTransaction for MemoryTransaction {
    fn snapshot(&self) -> Arc<dyn Connector> {
        Arc::new(Snapshot(Arc::clone(&self.state)))
    }

    async fn target(&self, table: &TableName) -> Result<Arc<dyn Table>> {
        let stored = Arc::clone(self.state.table(table)?);
        Ok(Arc::new(MemoryTable::new(table.clone(), stored, Locators::Shown)))
    }

    async fn insert(&mut self, table: &TableName, rows: BatchStream) -> Result<u64> {
        let stored = Arc::clone(self.state.table(table)?);
        let gatherer = Gatherer::new(&stored.columns);
        let batches = self.gather(gatherer, rows).await?;
        let inserted = rows_of(&batches);
        if inserted > 0 {
            self.put(table, stored.with_rows(batches)?)?;
        }
        Ok(inserted)
    }

    async fn update(&mut self, table: &TableName, rows: BatchStream) -> Result<u64> {
        let stored = Arc::clone(self.state.table(table)?);
        let gatherer = Gatherer::new(&causeway_spi::updated_schema(&stored.columns));
        let batches = self.gather(gatherer, rows).await?;
        let updated = rows_of(&batches);
        if updated == 0 {
            return Ok(0);
        }
        let width = stored.columns.fields().len();
        let columns: Vec<usize> = (0..width).collect();
        let (mut replaced, mut values) = (Replaced::default(), Vec::with_capacity(batches.len()));
        for (number, batch) in batches.iter().enumerate() {
            let places = StoredTable::places(batch.column(width))?;
            for (row, place) in places.into_iter().enumerate() {
                replaced.put(place, (number, row));
            }
            let projected = batch.project(&columns).map_err(internal)?;
            let typed = RecordBatch::try_new(Arc::clone(&stored.columns), projected.columns().to_vec());
            values.push(typed.map_err(internal)?);
        }
        self.put(table, stored.with_replaced(&values, &replaced)?)?;
        Ok(updated)
    }

    async fn delete(&mut self, table: &TableName, mut rows: BatchStream) -> Result<u64> {
        let stored = Arc::clone(self.state.table(table)?);
        let mut places = Vec::new();
        while let Some(batch) = rows.next().await {
            places.extend(StoredTable::places(batch?.column(0))?);
        }
        if !places.is_empty() {
            self.put(table, stored.without(&places)?)?;
        }
        Ok(u64::try_from(places.len()).unwrap_or(u64::MAX))
    }

    async fn truncate(&mut self, table: &TableName) -> Result<()> {
        let emptied = self.state.table(table)?.emptied();
        self.put(table, emptied)
    }

    async fn create_table(&mut self, table: &TableDefinition) -> Result<()> {
        self.put(&table.name, StoredTable::new(table))
    }

    async fn drop_table(&mut self, table: &TableName) -> Result<()> {
        Arc::make_mut(&mut self.state).remove(table).map(drop)
    }

    async fn rename_table(&mut self, table: &TableName, to: &str) -> Result<()> {
        let name = TableName::new(&table.catalog, &table.schema, to);
        let state = Arc::make_mut(&mut self.state);
        let relation = match state.remove(table)? {
            Relation::Table(stored) => Relation::Table(Arc::new(stored.renamed(to))),
            view @ Relation::View(_) => view,
        };
        state.put(&name, relation)
    }

    async fn rename_column(&mut self, table: &TableName, column: usize, to: &str) -> Result<()> {
        let renamed = self.state.table(table)?.with_column_renamed(column, to)?;
        self.put(table, renamed)
    }

    async fn create_schema(&mut self, schema: &str) -> Result<()> {
        Arc::make_mut(&mut self.state).create_schema(schema);
        Ok(())
    }

    async fn drop_schema(&mut self, schema: &str) -> Result<()> {
        Arc::make_mut(&mut self.state).drop_schema(schema)
    }

    async fn put_view(&mut self, name: &TableName, view: &ViewDefinition) -> Result<()> {
        let mut state = State::clone(&self.state);
        state.put(name, Relation::View(Arc::new(view.clone())))?;
        self.check_bytes(state.bytes())?;
        self.state = Arc::new(state);
        Ok(())
    }

    async fn drop_view(&mut self, name: &TableName) -> Result<()> {
        Arc::make_mut(&mut self.state).remove(name).map(drop)
    }

    async fn savepoint(&mut self) -> Result<Savepoint> {
        self.savepoints.push(Arc::clone(&self.state));
        Ok(Savepoint(
            u64::try_from(self.savepoints.len()).unwrap_or(u64::MAX),
        ))
    }

    async fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let kept = usize::try_from(savepoint.0).unwrap_or(usize::MAX);
        let state = kept.checked_sub(1).and_then(|index| self.savepoints.get(index));
        let Some(state) = state else {
            return Err(ConnectorError::new(ErrorKind::Internal, "a savepoint is gone"));
        };
        self.state = Arc::clone(state);
        self.savepoints.truncate(kept);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.shared.commit(Arc::clone(&self.state));
        Ok(())
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
