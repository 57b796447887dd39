//! The names of schemas and tables, remembered as long as tables are.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_spi::{Connector, Table, TableName};
use futures::{StreamExt, TryStreamExt, stream};

use super::CatalogView;
use crate::catalog::{ALL_CATALOGS, Catalogs};
use crate::error::Result;

/// Most schemas or tables of one source that are asked for at the same time.
const CONCURRENCY: usize = 8;

/// A schema of a source and the names of its tables.
#[derive(Debug)]
pub(crate) struct ListedSchema {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) tables: Vec<String>,
    /// Those of the tables that are views.
    pub(crate) views: HashSet<String>,
}

type Listing = Arc<Vec<ListedSchema>>;

/// The last listing of each catalog.
#[derive(Debug)]
pub(in crate::catalog) struct ListingCache {
    ttl: Duration,
    listings: Mutex<HashMap<String, (Instant, Listing)>>,
}

impl ListingCache {
    pub(in crate::catalog) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            listings: Mutex::default(),
        }
    }

    /// Another cache, with the listings of the catalogs that `kept` accepts.
    pub(in crate::catalog) fn only(&self, kept: impl Fn(&str) -> bool) -> Self {
        let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let listings = listings.iter().filter(|(name, _)| kept(name));
        Self {
            ttl: self.ttl,
            listings: Mutex::new(
                listings
                    .map(|(name, listing)| (name.clone(), listing.clone()))
                    .collect(),
            ),
        }
    }

    async fn of(&self, catalog: &str, connector: &Arc<dyn Connector>) -> causeway_spi::Result<Listing> {
        if let Some(listing) = self.fresh(catalog) {
            return Ok(listing);
        }
        let listing = listing_of(catalog, connector).await?;
        let entry = (Instant::now(), Arc::clone(&listing));
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.insert(catalog.to_owned(), entry);
        Ok(listing)
    }

    /// Forgets the listing of `catalog`.
    pub(in crate::catalog) fn forget(&self, catalog: &str) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.remove(catalog);
    }

    fn fresh(&self, catalog: &str) -> Option<Listing> {
        let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, listing) = listings.get(catalog)?;
        (taken.elapsed() < self.ttl).then(|| Arc::clone(listing))
    }
}

/// Asks a source for its schemas and their tables.
async fn listing_of(catalog: &str, connector: &Arc<dyn Connector>) -> causeway_spi::Result<Listing> {
    let schemas = connector.schemas().await?;
    let listed = stream::iter(schemas).map(|schema| async move {
        let tables = connector.tables(&schema).await?;
        let views = connector.views(&schema).await?;
        Ok::<_, causeway_spi::ConnectorError>(ListedSchema {
            catalog: catalog.to_owned(),
            schema,
            tables,
            views: views.into_iter().collect(),
        })
    });
    Ok(Arc::new(listed.buffered(CONCURRENCY).try_collect().await?))
}

impl Catalogs {
    /// The listing of one catalog, from memory or from the source.
    async fn listing_of(
        &self,
        catalog: &str,
        connector: &Arc<dyn Connector>,
    ) -> causeway_spi::Result<Listing> {
        match self.is_snapshot(catalog) {
            true => listing_of(catalog, connector).await,
            false => self.listings.of(catalog, connector).await,
        }
    }
}

impl CatalogView {
    /// The schemas that the session sees, with their tables. A source that is down is left out of the database of all
    /// catalogs; in its own database it is an error.
    pub(crate) async fn listing(&self) -> Result<Vec<Listing>> {
        let catalogs = &self.catalogs;
        if let Some(connector) = catalogs.get(&self.database) {
            return Ok(vec![catalogs.listing_of(&self.database, connector).await?]);
        }
        if self.database != ALL_CATALOGS {
            return Err(self.database_is_gone());
        }
        let names: Vec<String> = catalogs.names().map(str::to_owned).collect();
        let listed = stream::iter(names).map(|name| async move {
            let connector = catalogs.get(&name)?;
            catalogs
                .listing_of(&name, connector)
                .await
                .inspect_err(|error| {
                    tracing::warn!(catalog = %name, %error, "left out of the listing");
                })
                .ok()
        });
        let listed: Vec<Option<Listing>> = listed.buffered(CONCURRENCY).collect().await;
        Ok(listed.into_iter().flatten().collect())
    }

    /// Loads the tables that `wanted` accepts, in order. One that has gone meanwhile is left out; one that cannot be
    /// read in Causeway's types too.
    pub(crate) async fn tables(&self, wanted: impl Fn(&TableName) -> bool) -> Result<Vec<Arc<dyn Table>>> {
        let mut names = Vec::new();
        for schema in self.listing().await?.iter().flat_map(|listing| listing.iter()) {
            let tables = schema.tables.iter();
            names.extend(
                tables
                    .map(|table| TableName::new(&schema.catalog, &schema.schema, table))
                    .filter(|name| wanted(name)),
            );
        }
        let catalogs = &self.catalogs;
        let loaded = stream::iter(names).map(|name| async move {
            let connector = catalogs.get(&name.catalog)?;
            let table = catalogs.table(connector, &name).await;
            table
                .inspect_err(|error| {
                    tracing::warn!(table = %name, %error, "left out of the listing");
                })
                .ok()
                .flatten()
        });
        let loaded: Vec<Option<Arc<dyn Table>>> = loaded.buffered(CONCURRENCY).collect().await;
        Ok(loaded.into_iter().flatten().collect())
    }
}
