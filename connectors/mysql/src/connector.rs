//! One MySQL or MariaDB server as a catalog.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_base_sql::SqlTable;
use causeway_spi::{Connector, ConnectorOptions, Passthrough, Result, Table, TableName};

use crate::catalog;
use crate::grants;
use crate::options::MySqlOptions;
use crate::pool::Pool;
use crate::reader::MySqlBackend;

/// A catalog: a server, its pool of sessions, and nothing that is read before it is asked for.
#[derive(Debug)]
pub(crate) struct MySqlConnector {
    catalog: String,
    pool: Arc<Pool>,
    backend: Arc<MySqlBackend>,
}

impl MySqlConnector {
    /// The catalog `catalog`, read by `backend`.
    pub(crate) fn new(catalog: &str, backend: Arc<MySqlBackend>) -> Self {
        Self {
            catalog: catalog.to_owned(),
            pool: Arc::clone(backend.pool()),
            backend,
        }
    }

    /// Its name.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// What runs its statements.
    pub(crate) fn backend(&self) -> &Arc<MySqlBackend> {
        &self.backend
    }
}

#[async_trait]
impl Connector for MySqlConnector {
    fn kind(&self) -> &'static str {
        MySqlOptions::KIND
    }

    async fn ping(&self) -> Result<()> {
        let lease = self.pool.lease().await?;
        let (_, lease) = lease.rows("SELECT 1", vec![]).await?;
        lease.give_back();
        Ok(())
    }

    async fn needs(&self) -> Result<Option<String>> {
        grants::needs(&self.pool).await.map(Some)
    }

    async fn excess(&self) -> Result<Vec<String>> {
        grants::excess(&self.pool).await
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        catalog::schemas(self.pool.lease().await?).await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        catalog::tables(self.pool.lease().await?, &self.catalog, schema).await
    }

    fn passthrough(&self) -> Option<&dyn Passthrough> {
        Some(self)
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        let Some(found) = catalog::table(self.pool.lease().await?, name).await? else {
            return Ok(None);
        };
        let range_key = self.backend.range_key(&found);
        let table = SqlTable::new(Arc::clone(&self.backend), found.parts)?;
        Ok(Some(Arc::new(table.with_range_key(range_key))))
    }
}
