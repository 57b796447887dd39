//! The catalog: the newest committed state, and the one place of the transaction that may replace it.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use causeway_spi::{
    Connector, ConnectorError, ErrorKind, Result, Table, TableName, View, ViewDefinition, WriteContext,
    WriteTransaction, Writer,
};
use tokio::sync::Semaphore;

use crate::read::{Locators, MemoryTable};
use crate::state::{Relation, State};
use crate::transaction::MemoryTransaction;

/// What a transaction shares with its catalog.
#[derive(Debug)]
pub(crate) struct Shared {
    committed: RwLock<Arc<State>>,
    /// The one permit is the right to write.
    writers: Arc<Semaphore>,
    pub(crate) bytes_max: usize,
}

impl Shared {
    pub(crate) fn committed(&self) -> Arc<State> {
        Arc::clone(&self.committed.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn commit(&self, state: Arc<State>) {
        *self.committed.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// A catalog in memory.
#[derive(Debug)]
pub(crate) struct MemoryConnector {
    catalog: Arc<str>,
    shared: Arc<Shared>,
}

impl MemoryConnector {
    pub(crate) fn new(catalog: &str, bytes_max: usize) -> Self {
        let shared = Shared {
            committed: RwLock::new(Arc::new(State::new(catalog))),
            writers: Arc::new(Semaphore::new(1)),
            bytes_max,
        };
        Self {
            catalog: Arc::from(catalog),
            shared: Arc::new(shared),
        }
    }

    fn now(&self) -> Snapshot {
        Snapshot(self.shared.committed())
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        self.now().schemas().await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        self.now().tables(schema).await
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        self.now().table(name).await
    }

    async fn views(&self, schema: &str) -> Result<Vec<String>> {
        self.now().views(schema).await
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

const KIND: &str = "memory";

#[async_trait]
impl Writer for MemoryConnector {
    fn snapshot(&self) -> Arc<dyn Connector> {
        Arc::new(self.now())
    }

    async fn begin(&self, cx: &WriteContext) -> Result<Box<dyn WriteTransaction>> {
        let turn = Arc::clone(&self.shared.writers).acquire_owned();
        let turn = match cx.lock_timeout {
            Some(timeout) => tokio::time::timeout(timeout, turn).await.map_err(|_| {
                let message = format!("could not obtain the lock on catalog {}", self.catalog);
                ConnectorError::new(ErrorKind::LockTimeout, message)
                    .detail("Another transaction is writing to it.")
                    .hint("Try again, or raise lock_timeout.")
            })?,
            None => turn.await,
        };
        let turn = turn.map_err(|closed| {
            ConnectorError::new(ErrorKind::Internal, "the lock of a catalog is closed").source(closed)
        })?;
        Ok(Box::new(MemoryTransaction::new(Arc::clone(&self.shared), turn)))
    }

    fn notice(&self) -> Option<&str> {
        Some("tables of this catalog are kept in memory and lost when the server stops")
    }
}

/// A catalog at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot(pub(crate) Arc<State>);

#[async_trait]
impl Connector for Snapshot {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(self.0.schema_names())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        Ok(self.0.schema(schema)?.keys().cloned().collect())
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        let relation = self.0.schema(&name.schema)?.get(&name.table);
        Ok(relation.map(|relation| -> Arc<dyn Table> {
            match relation {
                Relation::Table(stored) => Arc::new(MemoryTable::new(
                    name.clone(),
                    Arc::clone(stored),
                    Locators::Hidden,
                )),
                Relation::View(view) => Arc::new(View::new(name.clone(), ViewDefinition::clone(view))),
            }
        }))
    }

    async fn views(&self, schema: &str) -> Result<Vec<String>> {
        let relations = self.0.schema(schema)?.iter();
        let views = relations.filter(|(_, relation)| matches!(relation, Relation::View(_)));
        Ok(views.map(|(name, _)| name.clone()).collect())
    }
}
