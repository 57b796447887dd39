//! REFRESH: what is remembered of a table or a catalog is forgotten, here and in its connector.

use std::collections::BTreeSet;

use super::{Catalogs, NamePart, TablePath};
use crate::error::{QueryError, Result};

impl Catalogs {
    /// Forgets the table that `path` names for a session in `database`. Errors: as those of a query that reads it.
    pub(crate) async fn refresh_table(
        &self,
        database: &str,
        search_path: &[String],
        path: &TablePath,
    ) -> Result<()> {
        let table = match self.resolve(database, search_path, path).await {
            Ok(table) => table,
            Err(_) => {
                // It may be new, or wrong only as it is remembered.
                for catalog in self.catalogs_meant(database, search_path, path) {
                    self.refresh_all_of(&catalog).await?;
                }
                self.resolve(database, search_path, path).await?
            }
        };
        let name = table.name();
        self.forget(name);
        self.listings.forget(&name.catalog);
        if let Some(connector) = self.get(&name.catalog) {
            connector.refresh(Some(name)).await?;
        }
        Ok(())
    }

    /// Forgets everything of the catalog `name`. Errors: 3D000.
    pub(crate) async fn refresh_catalog(&self, name: &NamePart) -> Result<()> {
        let (catalog, _) = self.catalog_named(name)?;
        self.refresh_all_of(&catalog).await
    }

    async fn refresh_all_of(&self, catalog: &str) -> Result<()> {
        self.cache.forget_catalog(catalog);
        self.listings.forget(catalog);
        match self.get(catalog) {
            Some(connector) => connector.refresh(None).await.map_err(QueryError::from),
            None => Ok(()),
        }
    }

    /// The catalogs that a table named `path` may be in.
    fn catalogs_meant(&self, database: &str, search_path: &[String], path: &TablePath) -> BTreeSet<String> {
        let qualifiers = path.0.iter().rev().skip(1).map(|part| part.text.as_str());
        let all = qualifiers.chain(search_path.iter().map(String::as_str));
        let mut named: Vec<&str> = all
            .map(|name| name.split_once('.').map_or(name, |(catalog, _)| catalog))
            .collect();
        named.push(database);
        named.extend(self.only_catalog_name());
        let known = named.into_iter().filter(|name| self.get(name).is_some());
        known.map(str::to_owned).collect()
    }

    fn only_catalog_name(&self) -> Option<&str> {
        let mut names = self.names();
        let only = names.next()?;
        names.next().is_none().then_some(only)
    }
}
