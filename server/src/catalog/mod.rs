//! Names to tables: the catalogs of the configuration, and what is remembered of them.

mod cache;
pub(crate) mod pg_type;
mod resolve;
pub(crate) mod system;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::Connector;

use cache::TableCache;
pub(crate) use resolve::{NamePart, TablePath};
pub(crate) use system::CatalogView;
use system::{ListingCache, Oids};

/// The database that shows every catalog.
pub const ALL_CATALOGS: &str = "causeway";

/// Every catalog of the server, with a shared cache of their tables.
#[derive(Debug)]
pub struct Catalogs {
    connectors: BTreeMap<String, Arc<dyn Connector>>,
    cache: TableCache,
    listings: ListingCache,
    oids: Oids,
}

impl Catalogs {
    /// Makes the catalogs; tables are remembered for `ttl`.
    pub fn new(connectors: BTreeMap<String, Arc<dyn Connector>>, ttl: Duration) -> Self {
        Self {
            connectors,
            cache: TableCache::new(ttl),
            listings: ListingCache::new(ttl),
            oids: Oids::default(),
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
