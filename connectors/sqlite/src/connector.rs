//! One SQLite file as a catalog.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_base_sql::SqlTable;
use causeway_spi::{Connector, ConnectorError, ConnectorOptions, Passthrough, Result, Table, TableName};

use crate::catalog;
use crate::decode::OddValues;
use crate::error::{Doing, translate};
use crate::grants;
use crate::options::SqliteOptions;
use crate::reader::SqliteBackend;
use crate::sessions::Sessions;

/// The one schema.
pub(crate) const SCHEMA: &str = "main";

/// A catalog: a file and its sessions, none of which is open before it is used.
#[derive(Debug)]
pub(crate) struct SqliteConnector {
    catalog: String,
    options: SqliteOptions,
    sessions: Arc<Sessions>,
    backend: Arc<SqliteBackend>,
}

impl SqliteConnector {
    /// The catalog `catalog` with `options`.
    pub(crate) fn new(catalog: &str, sessions: Arc<Sessions>, options: SqliteOptions) -> Self {
        let odd_values = OddValues {
            invalid: options.invalid,
            date_numbers: options.date_numbers,
        };
        Self {
            catalog: catalog.to_owned(),
            options,
            backend: Arc::new(SqliteBackend::new(Arc::clone(&sessions), odd_values)),
            sessions,
        }
    }

    /// Its name.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// Its options.
    pub(crate) fn options(&self) -> &SqliteOptions {
        &self.options
    }

    /// Its open files.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// What runs its statements.
    pub(crate) fn backend(&self) -> &Arc<SqliteBackend> {
        &self.backend
    }

    async fn is_wal(&self) -> Result<bool> {
        let catalog = self.catalog.clone();
        self.sessions
            .request(move |connection| {
                grants::is_wal(connection).map_err(|error| translate(error, Doing::Listing(&catalog)))
            })
            .await
    }

    fn check_schema(&self, schema: &str) -> Result<()> {
        match schema {
            SCHEMA => Ok(()),
            _ => Err(ConnectorError::unknown_schema(&self.catalog, schema)),
        }
    }
}

#[async_trait]
impl Connector for SqliteConnector {
    fn kind(&self) -> &'static str {
        SqliteOptions::KIND
    }

    async fn ping(&self) -> Result<()> {
        self.tables(SCHEMA).await.map(drop)
    }

    async fn needs(&self) -> Result<Option<String>> {
        let wal = self.is_wal().await?;
        Ok(Some(grants::needs(&self.options.path, wal)))
    }

    async fn excess(&self) -> Result<Vec<String>> {
        let wal = self.is_wal().await?;
        let path = self.options.path.clone();
        // Asked of the file system where that may take long.
        self.sessions
            .request(move |_| Ok(grants::excess(&path, wal)))
            .await
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        self.check_schema(schema)?;
        let catalog = self.catalog.clone();
        self.sessions
            .request(move |connection| catalog::tables(connection, &catalog))
            .await
    }

    fn passthrough(&self) -> Option<&dyn Passthrough> {
        Some(self)
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        self.check_schema(&name.schema)?;
        let (name, options) = (name.clone(), self.options.clone());
        let found = self
            .sessions
            .request(move |connection| catalog::table(connection, &name, &options))
            .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let table = SqlTable::new(Arc::clone(&self.backend), found.parts)?;
        Ok(Some(Arc::new(match found.row_id {
            Some(row_id) => table.with_row_id(row_id),
            None => table,
        })))
    }
}
