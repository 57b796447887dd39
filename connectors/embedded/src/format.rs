//! What the file holds besides rows: its format's version, the schemas and the definitions of the tables made by SQL.

use causeway_spi::{ConnectorError, ErrorKind, TableName};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::definition::{Relation, StoredTable};
use crate::error::{StoreError, StoreResult};
use crate::moment::View;
use crate::undo::Writing;

/// The version of what this file writes down; a file of a later one is refused.
const VERSION: u64 = 1;
const VERSION_KEY: &str = "version";
/// The schema that is always there.
pub(crate) const PUBLIC: &str = "public";

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("causeway_meta");
pub(crate) const SCHEMAS: TableDefinition<'_, &str, ()> = TableDefinition::new("causeway_schemas");
/// By schema and name, the definition as JSON.
pub(crate) const RELATIONS: TableDefinition<'_, (&str, &str), &str> =
    TableDefinition::new("causeway_relations");
/// The keys of the tables that the configuration describes, all in one.
pub(crate) const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("keys");

/// The rows of one table made by SQL.
pub(crate) type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// The name of the rows of the table `id`.
pub(crate) fn rows_name(id: u64) -> String {
    format!("rows_{id}")
}

/// Makes a new file a store, and refuses one of another version.
pub(crate) fn check(database: &Database) -> StoreResult<()> {
    let read = database.begin_read()?;
    let version = match read.open_table(META) {
        Ok(meta) => meta.get(VERSION_KEY)?.map(|version| version.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match version {
        Some(VERSION) => Ok(()),
        Some(version) => Err(newer(version)),
        None => make(database),
    }
}

fn newer(version: u64) -> StoreError {
    StoreError::Told(
        ConnectorError::new(
            ErrorKind::NotSupported,
            format!(
                "the file was written in version {version} of the format, and this server knows {VERSION}"
            ),
        )
        .hint("Use a server at least as new as the one that wrote the file."),
    )
}

fn make(database: &Database) -> StoreResult<()> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    write.open_table(META)?.insert(VERSION_KEY, VERSION)?;
    write.open_table(SCHEMAS)?.insert(PUBLIC, ())?;
    write.open_table(RELATIONS)?;
    write.open_table(KEYS)?;
    write.commit()?;
    Ok(())
}

/// The names of the schemas.
pub(crate) fn schemas(view: &View<'_>) -> StoreResult<Vec<String>> {
    let mut names = Vec::new();
    if let Some(schemas) = view.open(SCHEMAS)? {
        for entry in schemas.range("", None)? {
            names.push(entry?.0.value().to_owned());
        }
    }
    Ok(names)
}

/// The names of the tables and views of `schema`; `None` when there is no such schema.
pub(crate) fn relations(view: &View<'_>, schema: &str) -> StoreResult<Option<Vec<(String, Relation)>>> {
    if !has_schema(view, schema)? {
        return Ok(None);
    }
    let Some(relations) = view.open(RELATIONS)? else {
        return Ok(Some(Vec::new()));
    };
    let mut found = Vec::new();
    for entry in relations.range((schema, ""), None)? {
        let (key, stored) = entry?;
        let (of_schema, name) = key.value();
        if of_schema != schema {
            break;
        }
        found.push((name.to_owned(), Relation::from_json(stored.value())?));
    }
    Ok(Some(found))
}

fn has_schema(view: &View<'_>, schema: &str) -> StoreResult<bool> {
    let Some(schemas) = view.open(SCHEMAS)? else {
        return Ok(false);
    };
    Ok(schemas.get(schema)?.is_some())
}

/// The table or view of that name; errors with `UnknownSchema`.
pub(crate) fn relation(view: &View<'_>, name: &TableName) -> StoreResult<Option<Relation>> {
    if !has_schema(view, &name.schema)? {
        return Err(ConnectorError::unknown_schema(&name.catalog, &name.schema).into());
    }
    let Some(relations) = view.open(RELATIONS)? else {
        return Ok(None);
    };
    let stored = relations.get((name.schema.as_str(), name.table.as_str()))?;
    stored
        .map(|stored| Relation::from_json(stored.value()))
        .transpose()
}

pub(crate) fn unknown_table(name: &TableName) -> ConnectorError {
    ConnectorError::new(ErrorKind::UnknownTable, format!("table {name} does not exist"))
}

/// The definitions, where they can be changed.
pub(crate) struct Definitions<'txn> {
    write: &'txn Writing,
}

impl<'txn> Definitions<'txn> {
    pub(crate) fn of(write: &'txn Writing) -> Self {
        Self { write }
    }

    pub(crate) fn add_schema(&self, schema: &str) -> StoreResult<()> {
        let mut schemas = self.write.transaction().open_table(SCHEMAS)?;
        let before = schemas.insert(schema, ())?.map(|_| ());
        self.write.note_schema(schema, before)
    }

    pub(crate) fn remove_schema(&self, schema: &str) -> StoreResult<()> {
        let mut schemas = self.write.transaction().open_table(SCHEMAS)?;
        let before = schemas.remove(schema)?.map(|_| ());
        self.write.note_schema(schema, before)
    }

    /// The definition of a table. Errors: `UnknownTable`, also for a view.
    pub(crate) fn table(&self, name: &TableName) -> StoreResult<StoredTable> {
        match relation(&View::Write(self.write.transaction()), name)? {
            Some(Relation::Table(table)) => Ok(table),
            _ => Err(unknown_table(name).into()),
        }
    }

    pub(crate) fn put(&self, name: &TableName, relation: &Relation) -> StoreResult<()> {
        let mut relations = self.write.transaction().open_table(RELATIONS)?;
        let before = relations.insert(
            (name.schema.as_str(), name.table.as_str()),
            relation.to_json()?.as_str(),
        )?;
        let before = before.map(|before| before.value().to_owned());
        self.write.note_relation(&name.schema, &name.table, before)
    }

    /// Takes a definition out. Errors: `UnknownTable`.
    pub(crate) fn remove(&self, name: &TableName) -> StoreResult<Relation> {
        let mut relations = self.write.transaction().open_table(RELATIONS)?;
        let removed = relations.remove((name.schema.as_str(), name.table.as_str()))?;
        let removed = removed.ok_or_else(|| unknown_table(name))?;
        let removed = removed.value().to_owned();
        let relation = Relation::from_json(&removed);
        self.write
            .note_relation(&name.schema, &name.table, Some(removed))?;
        relation
    }

    /// A number that no table has had before, nor one that was undone.
    pub(crate) fn next_id(&self) -> StoreResult<u64> {
        const LAST_ID: &str = "last_table_id";
        let mut meta = self.write.transaction().open_table(META)?;
        let id = meta.get(LAST_ID)?.map_or(0, |id| id.value()) + 1;
        meta.insert(LAST_ID, id)?;
        Ok(id)
    }
}
