//! Names to tables: the catalogs of the configuration, and what is remembered of them.

mod cache;
pub(crate) mod pg_type;
mod refresh;
mod resolve;
pub(crate) mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{Connector, Table, TableName};

use crate::config::OpenCatalog;
use cache::TableCache;
pub(crate) use resolve::{NamePart, TablePath};
pub(crate) use system::CatalogView;
use system::{ListingCache, Oids};

use crate::session::Writes;

/// The database that shows every catalog.
pub const ALL_CATALOGS: &str = "causeway";

/// Every catalog of the server, with a shared cache of their tables. A reload makes another one, so that a statement goes
/// on with those it began with.
#[derive(Debug, Clone)]
pub struct Catalogs {
    connectors: BTreeMap<String, Arc<dyn Connector>>,
    /// The catalogs that are here as one statement sees them: nothing of them is remembered.
    snapshots: BTreeSet<String>,
    fingerprints: BTreeMap<String, u64>,
    generation: u64,
    ttl: Duration,
    cache: Arc<TableCache>,
    listings: Arc<ListingCache>,
    oids: Arc<Oids>,
}

/// What a reload has done to the catalogs, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogChanges {
    /// They are new.
    pub added: Vec<String>,
    /// Their options are others.
    pub changed: Vec<String>,
    /// They are gone; statements that read them go on to their end.
    pub removed: Vec<String>,
}

impl Catalogs {
    /// Makes the catalogs; tables are remembered for `ttl`.
    pub fn new(open: BTreeMap<String, OpenCatalog>, ttl: Duration) -> Self {
        let fingerprints = open
            .iter()
            .map(|(name, catalog)| (name.clone(), catalog.fingerprint));
        Self {
            fingerprints: fingerprints.collect(),
            connectors: open
                .into_iter()
                .map(|(name, catalog)| (name, catalog.connector))
                .collect(),
            snapshots: BTreeSet::new(),
            generation: 0,
            ttl,
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

    /// The kinds of the connectors, by the catalogs' names.
    pub(crate) fn kinds(&self) -> BTreeMap<String, &'static str> {
        let kinds = self.connectors.iter();
        kinds
            .map(|(name, connector)| (name.clone(), connector.kind()))
            .collect()
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

    /// The catalogs after a reload. What is remembered of those that stay as they are is kept.
    pub(crate) fn reloaded(&self, open: BTreeMap<String, OpenCatalog>) -> (Self, CatalogChanges) {
        let mut changes = CatalogChanges::default();
        for (name, fingerprint) in &self.fingerprints {
            match open.get(name) {
                None => changes.removed.push(name.clone()),
                Some(catalog) if catalog.fingerprint != *fingerprint => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let is_new = |name: &&String| !self.fingerprints.contains_key(*name);
        changes.added = open.keys().filter(is_new).cloned().collect();
        let stays = |name: &str| {
            self.fingerprints.contains_key(name)
                && ![&changes.changed, &changes.removed]
                    .iter()
                    .any(|gone| gone.iter().any(|gone| gone == name))
        };
        let cache = Arc::new(self.cache.only(stays));
        let listings = Arc::new(self.listings.only(stays));
        let reloaded = Self {
            generation: self.generation + 1,
            cache,
            listings,
            oids: Arc::clone(&self.oids),
            ..Self::new(open, self.ttl)
        };
        (reloaded, changes)
    }

    /// Grows by one with each reload.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The catalogs as they were opened.
    pub(crate) fn opened(&self) -> BTreeMap<String, OpenCatalog> {
        let opened = self.connectors.iter().filter_map(|(name, connector)| {
            let opened = OpenCatalog {
                connector: Arc::clone(connector),
                fingerprint: *self.fingerprints.get(name)?,
            };
            Some((name.clone(), opened))
        });
        opened.collect()
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
