//! Tables remembered for a while, so that a query does not ask the source for columns each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_spi::{Connector, Result, Table, TableName};

/// Most tables remembered; beyond, those that are out of date go, then any.
const TABLES_MAX: usize = 10_000;

#[derive(Debug, Clone)]
struct Entry {
    table: Arc<dyn Table>,
    loaded: Instant,
}

/// The tables of all catalogs, by the name they were asked for.
#[derive(Debug)]
pub(super) struct TableCache {
    ttl: Duration,
    entries: Mutex<HashMap<TableName, Entry>>,
}

impl TableCache {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            entries: Mutex::default(),
        }
    }

    /// Another cache, with what is remembered of the catalogs that `kept` accepts.
    pub(super) fn only(&self, kept: impl Fn(&str) -> bool) -> Self {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = entries.iter().filter(|(name, _)| kept(&name.catalog));
        Self {
            ttl: self.ttl,
            entries: Mutex::new(
                entries
                    .map(|(name, entry)| (name.clone(), entry.clone()))
                    .collect(),
            ),
        }
    }

    /// The table `name`, from memory or from the source.
    pub(super) async fn table(
        &self,
        connector: &Arc<dyn Connector>,
        name: &TableName,
    ) -> Result<Option<Arc<dyn Table>>> {
        if let Some(table) = self.fresh(name) {
            return Ok(Some(table));
        }
        let table = connector.table(name).await?;
        if let Some(table) = &table {
            self.put(name.clone(), Arc::clone(table));
        }
        Ok(table)
    }

    /// Forgets `table`, since a source says that it is not as remembered.
    pub(super) fn forget(&self, table: &TableName) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|name, entry| name != table && entry.table.name() != table);
    }

    /// Forgets all tables of `catalog`.
    pub(super) fn forget_catalog(&self, catalog: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|name, _| name.catalog != catalog);
    }

    fn fresh(&self, name: &TableName) -> Option<Arc<dyn Table>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(name)?;
        (entry.loaded.elapsed() < self.ttl).then(|| Arc::clone(&entry.table))
    }

    fn put(&self, name: TableName, table: Arc<dyn Table>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= TABLES_MAX {
            entries.retain(|_, entry| entry.loaded.elapsed() < self.ttl);
        }
        if entries.len() >= TABLES_MAX {
            entries.clear();
        }
        entries.insert(
            name,
            Entry {
                table,
                loaded: Instant::now(),
            },
        );
    }
}
