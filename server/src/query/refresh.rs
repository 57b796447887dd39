//! REFRESH TABLE and REFRESH CATALOG: what is remembered of them is forgotten, so that the next statement asks the source.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Statement, Use};

use super::ParsedStatement;
use super::references::path_as_written;
use crate::catalog::{Catalogs, NamePart, TablePath};
use crate::error::{QueryError, Result};
use crate::session::Session;

/// A REFRESH of one session.
#[derive(Debug)]
pub struct Refresh {
    catalogs: Arc<Catalogs>,
    database: String,
    search_path: Vec<String>,
    of: RefreshOf,
}

#[derive(Debug)]
enum RefreshOf {
    Table(TablePath),
    Catalog(NamePart),
}

impl Refresh {
    /// The REFRESH that `parsed` is, if it is one. Errors: 42601 for a catalog without a name.
    pub fn of(parsed: &ParsedStatement, catalogs: &Arc<Catalogs>, session: &Session) -> Result<Option<Self>> {
        let of = match &parsed.statement {
            Statement::UNCache { table_name, .. } => RefreshOf::Table(path_as_written(table_name)),
            Statement::Use(Use::Catalog(name)) => {
                let name = path_as_written(name).0.into_iter().next();
                RefreshOf::Catalog(name.ok_or_else(|| QueryError::syntax("REFRESH CATALOG needs a name"))?)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            catalogs: Arc::clone(catalogs),
            database: session.database.clone(),
            search_path: session.settings.search_path(),
            of,
        }))
    }

    /// Forgets. Errors: as those of a query that reads the table; 3D000 for an unknown catalog.
    pub async fn run(self) -> Result<()> {
        match &self.of {
            RefreshOf::Table(path) => {
                self.catalogs
                    .refresh_table(&self.database, &self.search_path, path)
                    .await
            }
            RefreshOf::Catalog(name) => self.catalogs.refresh_catalog(name).await,
        }
    }
}
