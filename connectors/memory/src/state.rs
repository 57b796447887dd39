//! What a catalog holds at one moment. Cloning it shares everything below.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_spi::{ConnectorError, ErrorKind, Result, TableName, ViewDefinition};

use crate::stored::StoredTable;

/// The schema that every catalog begins with.
const PUBLIC: &str = "public";

/// A name's meaning.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    Table(Arc<StoredTable>),
    View(Arc<ViewDefinition>),
}

type Schema = BTreeMap<String, Relation>;

/// The schemas of a catalog and what is in them.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) catalog: Arc<str>,
    schemas: BTreeMap<String, Schema>,
}

impl State {
    pub(crate) fn new(catalog: &str) -> Self {
        Self {
            catalog: Arc::from(catalog),
            schemas: BTreeMap::from([(PUBLIC.to_owned(), Schema::new())]),
        }
    }

    pub(crate) fn schema_names(&self) -> Vec<String> {
        self.schemas.keys().cloned().collect()
    }

    pub(crate) fn schema(&self, name: &str) -> Result<&Schema> {
        self.schemas
            .get(name)
            .ok_or_else(|| ConnectorError::unknown_schema(&self.catalog, name))
    }

    fn schema_mut(&mut self, name: &str) -> Result<&mut Schema> {
        self.schemas
            .get_mut(name)
            .ok_or_else(|| ConnectorError::unknown_schema(&self.catalog, name))
    }

    /// The table `name`. Errors: `UnknownTable`, also for a view.
    pub(crate) fn table(&self, name: &TableName) -> Result<&Arc<StoredTable>> {
        match self.schema(&name.schema)?.get(&name.table) {
            Some(Relation::Table(table)) => Ok(table),
            _ => Err(unknown_table(name)),
        }
    }

    /// Puts a table or view in the place of what has its name, if anything has.
    pub(crate) fn put(&mut self, name: &TableName, relation: Relation) -> Result<()> {
        self.schema_mut(&name.schema)?
            .insert(name.table.clone(), relation);
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &TableName) -> Result<Relation> {
        let removed = self.schema_mut(&name.schema)?.remove(&name.table);
        removed.ok_or_else(|| unknown_table(name))
    }

    pub(crate) fn create_schema(&mut self, name: &str) {
        self.schemas.entry(name.to_owned()).or_default();
    }

    pub(crate) fn drop_schema(&mut self, name: &str) -> Result<()> {
        let removed = self.schemas.remove(name);
        removed
            .map(drop)
            .ok_or_else(|| ConnectorError::unknown_schema(&self.catalog, name))
    }

    /// Bytes of all tables.
    pub(crate) fn bytes(&self) -> usize {
        let relations = self.schemas.values().flat_map(BTreeMap::values);
        relations
            .map(|relation| match relation {
                Relation::Table(table) => table.bytes(),
                Relation::View(view) => view.sql.len(),
            })
            .sum()
    }
}

fn unknown_table(name: &TableName) -> ConnectorError {
    ConnectorError::new(ErrorKind::UnknownTable, format!("table {name} does not exist"))
}
