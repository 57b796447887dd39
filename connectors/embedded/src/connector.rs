//! The catalog: the tables that the configuration describes and those made by SQL, at one moment of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_base_kv::{KvTable, TableDefinition};
use causeway_spi::{
    Connector, ConnectorError, ErrorKind, Result, Table, TableName, View, WriteContext, WriteTransaction,
    Writer,
};

use crate::backend::EmbeddedBackend;
use crate::definition::Relation;
use crate::format::{PUBLIC, relation, relations, schemas};
use crate::grants;
use crate::layout::TableLayout;
use crate::moment::Moment;
use crate::store::Catalog;
use crate::table::{EmbeddedTable, Locators, count};
use crate::transaction::EmbeddedTransaction;

pub(crate) const KIND: &str = "embedded";

/// Longest wait of a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What all moments of a catalog share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) catalog: Catalog,
    /// The tables that the configuration describes, by name.
    pub(crate) described: BTreeMap<String, Arc<TableDefinition>>,
}

/// The catalog at a moment.
#[derive(Debug)]
pub(crate) struct EmbeddedConnector {
    shared: Arc<Shared>,
    moment: Moment,
}

impl EmbeddedConnector {
    pub(crate) fn new(shared: Arc<Shared>, moment: Moment) -> Self {
        Self { shared, moment }
    }

    /// The tables and views made by SQL in `schema`.
    async fn relations(&self, schema: &str) -> Result<Vec<(String, Relation)>> {
        let catalog = &self.shared.catalog;
        let name = schema.to_owned();
        let found = self
            .moment
            .read(catalog, move |view| relations(view, &name))
            .await?;
        found.ok_or_else(|| ConnectorError::unknown_schema(&catalog.name, schema))
    }
}

#[async_trait]
impl Connector for EmbeddedConnector {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn ping(&self) -> Result<()> {
        let catalog = &self.shared.catalog;
        let opened = Moment::Now.read(catalog, |view| schemas(view).map(drop));
        tokio::time::timeout(PING_TIMEOUT, opened)
            .await
            .unwrap_or_else(|_| {
                Err(ConnectorError::new(
                    ErrorKind::Timeout,
                    format!("the file of catalog {} could not be opened in time", catalog.name),
                ))
            })
    }

    async fn needs(&self) -> Result<Option<String>> {
        self.shared
            .catalog
            .run(|store| Ok(Some(grants::needs(store.path()))))
            .await
    }

    async fn excess(&self) -> Result<Vec<String>> {
        let catalog = &self.shared.catalog;
        catalog.run(|store| Ok(grants::excess(store.path()))).await
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        self.moment.read(&self.shared.catalog, schemas).await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        let made = self.relations(schema).await?;
        let mut names: BTreeSet<String> = made.into_iter().map(|(name, _)| name).collect();
        if schema == PUBLIC {
            names.extend(self.shared.described.keys().cloned());
        }
        Ok(names.into_iter().collect())
    }

    async fn views(&self, schema: &str) -> Result<Vec<String>> {
        let made = self.relations(schema).await?;
        let views = made
            .into_iter()
            .filter(|(_, relation)| matches!(relation, Relation::View(_)));
        Ok(views.map(|(name, _)| name).collect())
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        let catalog = &self.shared.catalog;
        let described = self.shared.described.get(&name.table);
        if let Some(definition) = described.filter(|_| name.schema == PUBLIC) {
            let backend = EmbeddedBackend::new(catalog.clone(), self.moment.clone());
            let table = KvTable::load(Arc::clone(definition), Arc::new(backend)).await?;
            return Ok(Some(Arc::new(table)));
        }
        let (name, moment) = (name.clone(), self.moment.clone());
        let (of_table, catalog) = (self.moment.clone(), catalog.clone());
        moment
            .read(&catalog.clone(), move |view| {
                let table: Arc<dyn Table> = match relation(view, &name)? {
                    None => return Ok(None),
                    Some(Relation::View(stored)) => Arc::new(View::new(name, stored.view()?)),
                    Some(Relation::Table(stored)) => {
                        let layout = TableLayout::new(name, &stored)?;
                        let rows = count(view, &layout)?;
                        let table = EmbeddedTable::new(catalog, of_table, layout, rows, Locators::Hidden);
                        Arc::new(table)
                    }
                };
                Ok(Some(table))
            })
            .await
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

#[async_trait]
impl Writer for EmbeddedConnector {
    fn snapshot(&self) -> Arc<dyn Connector> {
        Arc::new(Self::new(Arc::clone(&self.shared), self.moment.held()))
    }

    async fn begin(&self, cx: &WriteContext) -> Result<Box<dyn WriteTransaction>> {
        let catalog = &self.shared.catalog;
        let turn = match cx.lock_timeout {
            None => catalog.turn().await,
            Some(timeout) => tokio::time::timeout(timeout, catalog.turn()).await.map_err(|_| {
                let message = format!("could not obtain the lock on catalog {}", catalog.name);
                ConnectorError::new(ErrorKind::LockTimeout, message)
                    .detail("Another transaction is writing to it.")
                    .hint("Try again, or raise lock_timeout.")
            })?,
        };
        let transaction = EmbeddedTransaction::begin(Arc::clone(&self.shared), turn).await?;
        Ok(Box::new(transaction))
    }
}
