//! The transaction that writes: one of the file's own, so that all of it is on the disk after the commit, or nothing.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use causeway_base_kv::KvTable;
use causeway_spi::{
    BatchStream, Connector, ConnectorError, ErrorKind, Result, Savepoint, Table, TableDefinition, TableName,
    ViewDefinition, WriteTransaction,
};
use futures::StreamExt;
use futures::stream;
use redb::TableHandle;
use tokio::sync::OwnedMutexGuard;

use crate::backend::EmbeddedBackend;
use crate::connector::{EmbeddedConnector, Shared};
use crate::definition::{Relation, StoredTable, StoredView};
use crate::described;
use crate::error::StoreResult;
use crate::format::{Definitions, KEYS, PUBLIC, relation, rows_name, unknown_table};
use crate::layout::TableLayout;
use crate::moment::{Moment, OpenTransaction, ended};
use crate::table::{EmbeddedTable, Locators, count};
use crate::undo::Writing;
use crate::write::{Changes, delete_batch, insert_batch, move_rows, replace_batch};

/// Most bytes of rows that are held back because the statement that makes them still reads.
const HELD_BYTES_MAX: usize = 256 << 20;

/// A transaction on an embedded catalog.
#[derive(Debug)]
pub(crate) struct EmbeddedTransaction {
    shared: Arc<Shared>,
    open: Arc<OpenTransaction>,
    /// What was committed when the transaction began: what it sees until it writes.
    before: Moment,
    has_written: bool,
    /// How often it was to return to a savepoint.
    returns: u64,
    /// The right to write, given back when the transaction has ended.
    turn: Option<OwnedMutexGuard<()>>,
}

impl EmbeddedTransaction {
    pub(crate) async fn begin(shared: Arc<Shared>, turn: OwnedMutexGuard<()>) -> Result<Self> {
        let open = shared.catalog.run(|store| store.begin_write()).await?;
        Ok(Self {
            shared,
            open: Arc::new(OpenTransaction::new(open)),
            before: Moment::pinned(),
            has_written: false,
            returns: 0,
            turn: Some(turn),
        })
    }

    fn moment(&self) -> Moment {
        if self.has_written {
            Moment::Within(Arc::clone(&self.open))
        } else {
            self.before.clone()
        }
    }

    /// Does `work` with the transaction.
    async fn write<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Writing) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        self.has_written = true;
        let (open, returns) = (Arc::clone(&self.open), self.returns);
        self.shared.catalog.run(move |_| open.write(returns, work)).await
    }

    /// The table, if the configuration describes it.
    fn described(&self, table: &TableName) -> Option<Arc<causeway_base_kv::TableDefinition>> {
        let described = self.shared.described.get(&table.table);
        described.filter(|_| table.schema == PUBLIC).map(Arc::clone)
    }

    /// Refuses what cannot be done to tables that the configuration describes.
    fn check_made(&self, table: &TableName, what: &str) -> Result<()> {
        if self.described(table).is_none() {
            return Ok(());
        }
        Err(ConnectorError::new(
            ErrorKind::NotSupported,
            format!("{what} table {table} is not supported: the configuration describes it"),
        ))
    }

    async fn layout(&self, table: &TableName) -> Result<Arc<TableLayout>> {
        let (open, table) = (Arc::clone(&self.open), table.clone());
        let layout = self.shared.catalog.run(move |_| {
            open.with(|transaction| {
                let stored = Definitions::of(transaction).table(&table)?;
                TableLayout::new(table, &stored)
            })
        });
        Ok(Arc::new(layout.await?))
    }

    /// The rows, all read before the first is written where their query may read the table `written` within this
    /// transaction.
    async fn settled(&self, mut rows: BatchStream, written: &str) -> Result<BatchStream> {
        if !self.open.is_scanned(written) {
            return Ok(rows);
        }
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size();
            check_held(bytes, &self.shared.catalog.name)?;
            batches.push(Ok(batch));
        }
        Ok(stream::iter(batches).boxed())
    }

    /// Does `work` with each batch of `rows`, and returns how many rows there were.
    async fn each(
        &mut self,
        written: &str,
        rows: BatchStream,
        work: impl Fn(&Writing, &RecordBatch) -> StoreResult<()> + Send + Sync + 'static,
    ) -> Result<u64> {
        let work = Arc::new(work);
        let mut rows = self.settled(rows, written).await?;
        let mut done = 0;
        while let Some(batch) = rows.next().await {
            let (work, batch) = (Arc::clone(&work), batch?);
            done += count_of(&batch);
            self.write(move |transaction| work(transaction, &batch)).await?;
        }
        Ok(done)
    }

    /// Ends the transaction where it can take time, and then lets the next one begin.
    async fn end(mut self, how: impl FnOnce(Writing) -> StoreResult<()> + Send + 'static) -> Result<()> {
        let (open, turn) = (Arc::clone(&self.open), self.turn.take());
        self.shared
            .catalog
            .run(move |_| {
                let done = open.take().map_or_else(|| Err(ended()), how);
                drop(turn);
                done
            })
            .await
    }
}

fn check_held(bytes: usize, catalog: &str) -> Result<()> {
    if bytes <= HELD_BYTES_MAX {
        return Ok(());
    }
    Err(ConnectorError::new(
        ErrorKind::OutOfMemory,
        format!("the statement changes too many rows of catalog {catalog} at once"),
    )
    .detail(format!(
        "Rows that change their keys, or are read from the transaction itself, are held in memory, at most {} MiB.",
        HELD_BYTES_MAX >> 20
    ))
    .hint("Change fewer rows with each statement, or commit before it."))
}

impl Drop for EmbeddedTransaction {
    fn drop(&mut self) {
        let (open, turn) = (Arc::clone(&self.open), self.turn.take());
        if turn.is_none() {
            return;
        }
        let undo = move || {
            drop(open.take());
            drop(turn);
        };
        // Work that was cancelled may still hold the transaction for a moment.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(undo)),
            Err(_) => undo(),
        }
    }
}

#[async_trait]
impl WriteTransaction for EmbeddedTransaction {
    fn snapshot(&self) -> Arc<dyn Connector> {
        Arc::new(EmbeddedConnector::new(Arc::clone(&self.shared), self.moment()))
    }

    async fn target(&self, table: &TableName) -> Result<Arc<dyn Table>> {
        if let Some(definition) = self.described(table) {
            let backend = EmbeddedBackend::new(self.shared.catalog.clone(), self.moment());
            let located = described::located(&definition)?;
            return Ok(Arc::new(
                KvTable::load(Arc::new(located), Arc::new(backend)).await?,
            ));
        }
        let (catalog, moment, name) = (self.shared.catalog.clone(), self.moment(), table.clone());
        let found = moment.read(&catalog, move |view| {
            let Some(Relation::Table(stored)) = relation(view, &name)? else {
                return Err(unknown_table(&name).into());
            };
            let layout = TableLayout::new(name, &stored)?;
            let rows = count(view, &layout)?;
            Ok((layout, rows))
        });
        let (layout, rows) = found.await?;
        Ok(Arc::new(EmbeddedTable::new(
            catalog,
            moment,
            layout,
            rows,
            Locators::Shown,
        )))
    }

    async fn insert(&mut self, table: &TableName, rows: BatchStream) -> Result<u64> {
        if let Some(definition) = self.described(table) {
            return self
                .each(KEYS.name(), rows, move |transaction, batch| {
                    described::insert_batch(transaction, &definition, batch)
                })
                .await;
        }
        let layout = self.layout(table).await?;
        let written = layout.rows.clone();
        self.each(&written, rows, move |transaction, batch| {
            insert_batch(transaction, &layout, batch)
        })
        .await
    }

    async fn update(&mut self, table: &TableName, rows: BatchStream) -> Result<u64> {
        self.check_made(table, "updating")?;
        let layout = self.layout(table).await?;
        let mut rows = self.settled(rows, &layout.rows).await?;
        let (mut updated, mut moved) = (0, Changes::default());
        while let Some(batch) = rows.next().await {
            let (layout, batch) = (Arc::clone(&layout), batch?);
            updated += count_of(&batch);
            moved = self
                .write(move |transaction| {
                    replace_batch(transaction, &layout, &batch, &mut moved)?;
                    Ok(moved)
                })
                .await?;
            check_held(moved.bytes(), &self.shared.catalog.name)?;
        }
        self.write(move |transaction| move_rows(transaction, &layout, moved))
            .await?;
        Ok(updated)
    }

    async fn delete(&mut self, table: &TableName, rows: BatchStream) -> Result<u64> {
        if let Some(definition) = self.described(table) {
            return self
                .each(KEYS.name(), rows, move |transaction, batch| {
                    described::delete_batch(transaction, &definition, batch)
                })
                .await;
        }
        let layout = self.layout(table).await?;
        let written = layout.rows.clone();
        self.each(&written, rows, move |transaction, batch| {
            delete_batch(transaction, &layout, batch)
        })
        .await
    }

    async fn truncate(&mut self, table: &TableName) -> Result<()> {
        if let Some(definition) = self.described(table) {
            return self
                .write(move |transaction| described::truncate(transaction, &definition))
                .await;
        }
        let table = table.clone();
        self.write(move |transaction| {
            let definitions = Definitions::of(transaction);
            let mut stored = definitions.table(&table)?;
            let rows = rows_name(stored.id);
            transaction.leave(&rows)?;
            if !transaction.is_noting() {
                return transaction.make(&rows);
            }
            // A savepoint may want the old rows again.
            stored.id = definitions.next_id()?;
            transaction.make(&rows_name(stored.id))?;
            definitions.put(&table, &Relation::Table(stored))
        })
        .await
    }

    async fn create_table(&mut self, table: &TableDefinition) -> Result<()> {
        // Refused before the transaction has done anything.
        let mut stored = StoredTable::new(0, &table.columns, &table.primary_key)?;
        let name = table.name.clone();
        self.write(move |transaction| {
            let definitions = Definitions::of(transaction);
            stored.id = definitions.next_id()?;
            transaction.make(&rows_name(stored.id))?;
            definitions.put(&name, &Relation::Table(stored))
        })
        .await
    }

    async fn drop_table(&mut self, table: &TableName) -> Result<()> {
        self.check_made(table, "dropping")?;
        let table = table.clone();
        self.write(move |transaction| {
            let definitions = Definitions::of(transaction);
            let stored = definitions.table(&table)?;
            definitions.remove(&table)?;
            transaction.leave(&rows_name(stored.id))
        })
        .await
    }

    async fn rename_table(&mut self, table: &TableName, to: &str) -> Result<()> {
        self.check_made(table, "renaming")?;
        let table = table.clone();
        let to = TableName::new(&table.catalog, &table.schema, to);
        self.write(move |transaction| {
            let definitions = Definitions::of(transaction);
            let relation = definitions.remove(&table)?;
            definitions.put(&to, &relation)
        })
        .await
    }

    async fn rename_column(&mut self, table: &TableName, column: usize, to: &str) -> Result<()> {
        self.check_made(table, "renaming a column of")?;
        let (table, to) = (table.clone(), to.to_owned());
        self.write(move |transaction| {
            let definitions = Definitions::of(transaction);
            let mut stored = definitions.table(&table)?;
            if let Some(column) = stored.columns.get_mut(column) {
                column.name = to;
            }
            definitions.put(&table, &Relation::Table(stored))
        })
        .await
    }

    async fn create_schema(&mut self, schema: &str) -> Result<()> {
        let schema = schema.to_owned();
        self.write(move |transaction| Definitions::of(transaction).add_schema(&schema))
            .await
    }

    async fn drop_schema(&mut self, schema: &str) -> Result<()> {
        let schema = schema.to_owned();
        self.write(move |transaction| Definitions::of(transaction).remove_schema(&schema))
            .await
    }

    async fn put_view(&mut self, name: &TableName, view: &ViewDefinition) -> Result<()> {
        let view = Relation::View(StoredView::new(view)?);
        let name = name.clone();
        self.write(move |transaction| Definitions::of(transaction).put(&name, &view))
            .await
    }

    async fn drop_view(&mut self, name: &TableName) -> Result<()> {
        let name = name.clone();
        self.write(move |transaction| Definitions::of(transaction).remove(&name).map(drop))
            .await
    }

    async fn savepoint(&mut self) -> Result<Savepoint> {
        let marked = self.write(|transaction| Ok(transaction.savepoint())).await?;
        Ok(Savepoint(u64::try_from(marked).unwrap_or(u64::MAX)))
    }

    async fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.returns += 1;
        let (open, returns) = (Arc::clone(&self.open), self.returns);
        let savepoint = usize::try_from(savepoint.0).unwrap_or(usize::MAX);
        self.shared
            .catalog
            .run(move |_| open.rollback_to(savepoint, returns))
            .await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.end(Writing::commit).await
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        self.end(Writing::abort).await
    }
}

fn count_of(batch: &RecordBatch) -> u64 {
    u64::try_from(batch.num_rows()).unwrap_or(u64::MAX)
}
