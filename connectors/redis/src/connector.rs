//! The catalog: one schema with the configured tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use causeway_base_kv::{KvTable, TableDefinition};
use causeway_spi::{Connector, ConnectorError, Result, Table, TableName};

use crate::backend::RedisBackend;
use crate::grants;

/// The one schema of a Redis catalog.
pub(crate) const SCHEMA: &str = "public";

/// A Redis database as a catalog.
#[derive(Debug)]
pub(crate) struct RedisConnector {
    catalog: String,
    tables: BTreeMap<String, Arc<TableDefinition>>,
    backend: Arc<RedisBackend>,
}

impl RedisConnector {
    pub(crate) fn new(
        catalog: &str,
        tables: BTreeMap<String, Arc<TableDefinition>>,
        backend: Arc<RedisBackend>,
    ) -> Self {
        Self {
            catalog: catalog.to_owned(),
            tables,
            backend,
        }
    }

    fn check_schema(&self, schema: &str) -> Result<()> {
        if schema == SCHEMA {
            return Ok(());
        }
        Err(ConnectorError::unknown_schema(&self.catalog, schema))
    }
}

#[async_trait]
impl Connector for RedisConnector {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn ping(&self) -> Result<()> {
        self.backend.ping(&self.catalog).await
    }

    async fn needs(&self) -> Result<Option<String>> {
        let templates = self.tables.values().map(|table| table.template().text());
        Ok(Some(grants::needs(templates)))
    }

    async fn excess(&self) -> Result<Vec<String>> {
        let answers = self.backend.acl(&self.catalog).await;
        grants::excess(answers)
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        self.check_schema(schema)?;
        Ok(self.tables.keys().cloned().collect())
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        self.check_schema(&name.schema)?;
        let Some(definition) = self.tables.get(&name.table) else {
            return Ok(None);
        };
        let table = KvTable::load(Arc::clone(definition), Arc::clone(&self.backend)).await?;
        Ok(Some(Arc::new(table)))
    }
}
