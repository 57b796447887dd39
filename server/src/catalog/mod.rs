//! Names to tables: the catalogs of the configuration, and what is remembered of them.

mod cache;
pub(crate) mod pg_type;
mod resolve;
pub(crate) mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{Connector, Table, TableName};

use cache::TableCache;
pub(crate) use resolve::{NamePart, TablePath};
pub(crate) use system::CatalogView;
use system::{ListingCache, Oids};

use crate::session::Writes;

/// The database that shows every catalog.
pub const ALL_CATALOGS: &str = "causeway";

/// Every catalog of the server, with a shared cache of their tables.
#[derive(Debug, Clone)]
pub struct Catalogs {
    connectors: BTreeMap<String, Arc<dyn Connector>>,
    /// The catalogs that are here as one statement sees them: nothing of them is remembered.
    snapshots: BTreeSet<String>,
    cache: Arc<TableCache>,
    listings: Arc<ListingCache>,
    oids: Arc<Oids>,
}

impl Catalogs {
    /// Makes the catalogs; tables are remembered for `ttl`.
    pub fn new(connectors: BTreeMap<String, Arc<dyn Connector>>, ttl: Duration) -> Self {
        Self {
            connectors,
            snapshots: BTreeSet::new(),
            cache: Arc::new(TableCache::new(ttl)),
            listings: Arc::new(ListingCache::new(ttl)),
            oids: Arc::default(),
        }
    }

    /// The catalogs as the next statement of a session sees them: those that can be written as they are now, with what
    /// the session itself has written to one of them.
    pub(crate) fn for_statement(self: &Arc<Self>, writes: Option<&Writes>) -> Arc<Self> {
        let written = self.connectors.iter().filter_map(|(name, connector)| {
            let writer = connector.writer()?;
            let own = writes.filter(|writes| writes.catalog == *name);
            let snapshot = own.map_or_else(|| writer.snapshot(), Writes::snapshot);
            Some((name.clone(), snapshot))
        });
        let written: Vec<(String, Arc<dyn Connector>)> = written.collect();
        if written.is_empty() {
            return Arc::clone(self);
        }
        let mut seen = Self::clone(self);
        seen.snapshots = written.iter().map(|(name, _)| name.clone()).collect();
        seen.connectors.extend(written);
        Arc::new(seen)
    }

    /// Whether `catalog` is here as one statement sees it.
    pub(crate) fn is_snapshot(&self, catalog: &str) -> bool {
        self.snapshots.contains(catalog)
    }

    /// Whether one of `tables` is seen as it was when it was resolved: in a catalog that can be written, or in the system's
    /// relations about such catalogs.
    pub(crate) fn reads_snapshot<'a>(&self, mut tables: impl Iterator<Item = &'a TableName>) -> bool {
        tables.any(|table| {
            self.is_snapshot(&table.catalog)
                || (!self.snapshots.is_empty() && system::is_system_schema(&table.schema))
        })
    }

    /// The table `name`, from memory or from the source.
    async fn table(
        &self,
        connector: &Arc<dyn Connector>,
        name: &TableName,
    ) -> causeway_spi::Result<Option<Arc<dyn Table>>> {
        match self.is_snapshot(&name.catalog) {
            true => connector.table(name).await,
            false => self.cache.table(connector, name).await,
        }
    }

    /// The catalog `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        self.connectors.get(name)
    }

    /// Whether a client may name `database` when it connects.
    pub fn has_database(&self, database: &str) -> bool {
        database == ALL_CATALOGS || self.connectors.contains_key(database)
    }

    /// The catalogs' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }
}
