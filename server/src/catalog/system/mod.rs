//! The catalogs as one session sees them: `pg_catalog`, `information_schema` and `system`, made of the sources' tables.
//!
//! Nothing here is stored: the rows of a relation are made when a statement reads it, from what the cache remembers.

mod activity;
mod listing;
mod oids;
mod relations;
mod rows;
mod table;

use std::sync::Arc;

use causeway_spi::{Table, TableName};

pub(super) use listing::ListingCache;
pub(super) use oids::Oids;
pub(crate) use relations::{Relation, relation};

use super::{ALL_CATALOGS, Catalogs, NamePart, TablePath};
use crate::error::{QueryError, Result, nearest};
use crate::history::History;
use crate::session::Settings;
use crate::sqlstate::SqlState;
use table::SystemTable;

/// The name of every object's owner.
pub(crate) const OWNER: &str = "causeway";
/// The OID of [`OWNER`].
pub(crate) const OWNER_OID: u32 = 10;

/// The catalogs, and who looks.
#[derive(Debug, Clone)]
pub(crate) struct CatalogView {
    /// The catalogs.
    pub(crate) catalogs: Arc<Catalogs>,
    /// The session's database.
    pub(crate) database: String,
    /// The session's user.
    pub(crate) user: String,
    /// The session's number.
    pub(crate) session_id: i32,
    /// The session's settings.
    pub(crate) settings: Arc<Settings>,
    /// What runs and what ran lately.
    pub(crate) history: Arc<History>,
}

impl CatalogView {
    /// The relation of the system that `path` names. Its schemas come before every other, as in PostgreSQL.
    pub(crate) fn system_relation(&self, path: &TablePath) -> Result<Option<&'static Relation>> {
        let (schema, table) = match path.0.as_slice() {
            [table] => {
                let found = relation(relations::PG_CATALOG, &table.text);
                return Ok(found);
            }
            [schema, table] => (schema, table),
            [database, schema, table] if self.is_database(database) => (schema, table),
            _ => return Ok(None),
        };
        if !relations::SCHEMAS.contains(&schema.text.as_str()) {
            return Ok(None);
        }
        let found = relation(&schema.text, &table.text);
        found.map(Some).ok_or_else(|| {
            let name = format!("{}.{}", schema.text, table.text);
            let message = format!("relation \"{name}\" does not exist");
            let error = QueryError::new(SqlState::UNDEFINED_TABLE, message).at(schema.span);
            let known = relations::RELATIONS
                .iter()
                .filter(|known| known.schema == schema.text);
            match nearest(&table.text, known.map(|known| known.name)) {
                Some(nearest) => error.hint(format!("Perhaps you meant {}.{nearest}.", schema.text)),
                None => error,
            }
        })
    }

    /// The session's database was a catalog that a reload has removed.
    pub(crate) fn database_is_gone(&self) -> QueryError {
        let message = format!("database \"{}\" does not exist", self.database);
        QueryError::new(SqlState::UNDEFINED_CATALOG, message)
            .detail("It was removed from the server's configuration.")
    }

    fn is_database(&self, name: &NamePart) -> bool {
        name.text == self.database || self.catalogs.has_database(&name.text)
    }

    /// Finds the table that `path` names: the system's, or a source's.
    pub(crate) async fn resolve(&self, path: &TablePath) -> Result<Arc<dyn Table>> {
        if let Some(relation) = self.system_relation(path)? {
            return Ok(Arc::new(SystemTable::new(self.clone(), relation)));
        }
        if !self.catalogs.has_database(&self.database) {
            return Err(self.database_is_gone());
        }
        let search_path = self.settings.search_path();
        self.catalogs.resolve(&self.database, &search_path, path).await
    }

    /// The OID of the relation that `path` names.
    pub(crate) async fn oid_of(&self, path: &TablePath) -> Result<u32> {
        match self.system_relation(path)? {
            Some(relation) => Ok(relation.oid),
            None => Ok(self.catalogs.oids.of_table(self.resolve(path).await?.name())),
        }
    }

    /// The name of the relation with the number `oid`, as `regclass` shows it.
    pub(crate) fn relation_name(&self, oid: u32) -> Option<String> {
        if let Some(relation) = relations::RELATIONS.iter().find(|relation| relation.oid == oid) {
            return Some(match relation.schema {
                relations::PG_CATALOG => relation.name.to_owned(),
                schema => format!("{schema}.{}", relation.name),
            });
        }
        let name = self.catalogs.oids.table(oid)?;
        Some(if self.database == ALL_CATALOGS {
            let schema = self.shown_schema(&name);
            format!("{}.{}", quote_ident(&schema), quote_ident(&name.table))
        } else {
            quote_ident(&name.table)
        })
    }

    /// The name under which this session sees the schema of `table`.
    pub(crate) fn shown_schema(&self, table: &TableName) -> String {
        shown_schema(&self.database, &table.catalog, &table.schema)
    }

    /// The number of the schema that the session sees as `shown`.
    pub(crate) fn schema_oid(&self, shown: &str) -> u32 {
        self.catalogs.oids.of_schema(shown)
    }

    /// The schema with the number `oid`.
    pub(crate) fn schema_name(&self, oid: u32) -> Option<String> {
        self.catalogs.oids.schema(oid)
    }

    /// The user with the number `oid`.
    pub(crate) fn role_name(&self, oid: u32) -> Option<String> {
        self.catalogs.oids.role(oid)
    }

    /// The schemas in which names are looked for: those of the setting, else the one that is meant when none is named.
    pub(crate) async fn search_path(&self) -> Vec<String> {
        let mut path = self.settings.search_path();
        if path.is_empty()
            && let Some(schema) = self.catalogs.implied_schema(&self.database).await
        {
            path.push(schema);
        }
        path
    }
}

/// In the database of a catalog a schema has its own name, elsewhere the catalog's before it.
fn shown_schema(database: &str, catalog: &str, schema: &str) -> String {
    if database == catalog {
        schema.to_owned()
    } else {
        format!("{catalog}.{schema}")
    }
}

/// Whether `schema` has the name of one of the system's.
pub(crate) fn is_system_schema(schema: &str) -> bool {
    relations::SCHEMAS.contains(&schema)
}

/// Whether the relation `oid` is found without its schema: the system's are only in `pg_catalog`.
pub(crate) fn is_visible(oid: u32) -> bool {
    let system = relations::RELATIONS.iter().find(|relation| relation.oid == oid);
    system.is_none_or(|relation| relation.schema == relations::PG_CATALOG)
}

/// `name` as it can stand in a statement.
pub(crate) fn quote_ident(name: &str) -> String {
    let mut characters = name.chars();
    let plain = characters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && characters.all(|character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
        });
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
