//! The one meaning of a table's name: to a canonical table, or to an error that says which part is wrong.
//!
//! A name has one to three parts. In the database of a catalog, two parts are schema and table; in the database
//! `causeway` they are catalog and table where the catalog has one schema (or one named `public`), or `"catalog.schema"`
//! and table. Each part matches exactly first, then without case if exactly one object does.

use std::sync::Arc;

use causeway_spi::{Connector, ConnectorError, ErrorKind, Table, TableName};
use datafusion::common::Span;

use super::{ALL_CATALOGS, Catalogs};
use crate::error::{QueryError, Result, nearest, quoted};
use crate::sqlstate::SqlState;

/// The schema that is meant when none is named and the catalog has several.
const DEFAULT_SCHEMA: &str = "public";

/// One part of a name as the user wrote it; unquoted parts are in lower case already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePart {
    pub(crate) text: String,
    pub(crate) quoted: bool,
    pub(crate) span: Option<Span>,
}

/// A name of a table as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePath(pub(crate) Vec<NamePart>);

impl TablePath {
    pub(crate) fn display(&self) -> String {
        self.0
            .iter()
            .map(|part| part.text.as_str())
            .collect::<Vec<_>>()
            .join(".")
    }

    /// The path with another first part, as it can be pasted into a statement.
    fn pasted(&self, first: &str) -> String {
        let rest = self.0.iter().skip(1).map(|part| match part.quoted {
            true => quoted(&part.text),
            false => part.text.clone(),
        });
        let parts: Vec<String> = std::iter::once(quoted(first)).chain(rest).collect();
        parts.join(".")
    }
}

/// A schema to look in: the catalog, and the schema if the user named one.
struct Place<'a> {
    connector: &'a Arc<dyn Connector>,
    catalog: String,
    schema: Option<NamePart>,
}

impl Catalogs {
    /// Finds the table that `path` names for a session in `database`.
    pub(crate) async fn resolve(
        &self,
        database: &str,
        search_path: &[String],
        path: &TablePath,
    ) -> Result<Arc<dyn Table>> {
        let Some((table, qualifiers)) = path.0.split_last() else {
            return Err(QueryError::syntax("a table's name is empty"));
        };
        match qualifiers {
            [] => self.resolve_unqualified(database, search_path, path, table).await,
            [first] => {
                let place = self.place_of_two(database, first, path).await?;
                self.table_in(&place, table, path).await
            }
            [catalog, schema] => {
                let place = self.place_of_three(catalog, schema)?;
                self.table_in(&place, table, path).await
            }
            _ => Err(too_many_parts(path, table)),
        }
    }

    /// The full name of a table that is to be created under `path`, in a schema that is there. The table may be there too.
    pub(crate) async fn place_for(
        &self,
        database: &str,
        search_path: &[String],
        path: &TablePath,
    ) -> Result<TableName> {
        let Some((table, qualifiers)) = path.0.split_last() else {
            return Err(QueryError::syntax("a table's name is empty"));
        };
        let place = match qualifiers {
            [] => self.place_of_none(database, search_path, table, path).await?,
            [first] => self.place_of_two(database, first, path).await?,
            [catalog, schema] => self.place_of_three(catalog, schema)?,
            _ => return Err(too_many_parts(path, table)),
        };
        let schema = self.schema_in(&place, table).await?;
        Ok(TableName::new(&place.catalog, schema, &table.text))
    }

    /// The catalog and the name of the schema that `path` names: in the database of a catalog one part is enough.
    pub(crate) fn schema_place(&self, database: &str, path: &TablePath) -> Result<(String, NamePart)> {
        let (catalog, schema) = match path.0.as_slice() {
            [schema] if self.get(database).is_some() => (database.to_owned(), schema.clone()),
            [schema] => match (schema.text.split_once('.'), self.only_catalog()) {
                (Some((catalog, text)), _) => {
                    let part = |text: &str| NamePart {
                        text: text.to_owned(),
                        ..schema.clone()
                    };
                    (
                        self.place_of_three(&part(catalog), &part(text))?.catalog,
                        part(text),
                    )
                }
                (None, Some(catalog)) => (catalog, schema.clone()),
                (None, None) => {
                    let message = format!("schema \"{}\" needs a catalog", schema.text);
                    return Err(QueryError::new(SqlState::UNDEFINED_CATALOG, message)
                        .at(schema.span)
                        .hint("In this database a schema's name is catalog.schema."));
                }
            },
            [catalog, schema] => (self.place_of_three(catalog, schema)?.catalog, schema.clone()),
            _ => return Err(QueryError::syntax("improper schema name")),
        };
        Ok((catalog, schema))
    }

    /// The schema of `catalog` that `part` means, if there is one.
    pub(crate) async fn find_schema(&self, catalog: &str, part: &NamePart) -> Result<Option<String>> {
        match self.get(catalog) {
            Some(connector) => matching(&connector.schemas().await?, part),
            None => Ok(None),
        }
    }

    async fn place_of_none(
        &self,
        database: &str,
        search_path: &[String],
        table: &NamePart,
        path: &TablePath,
    ) -> Result<Place<'_>> {
        for entry in search_path {
            let part = NamePart {
                text: entry.clone(),
                quoted: true,
                span: table.span,
            };
            if let Ok(place) = self.place_of_two(database, &part, path).await {
                return Ok(place);
            }
        }
        self.database_place(database).ok_or_else(|| {
            let message = "no schema has been selected to create in";
            QueryError::new(SqlState::UNDEFINED_SCHEMA, message)
                .at(table.span)
                .hint("Write catalog.schema.table, or connect to the database of a catalog.")
        })
    }

    /// The catalog of a session's database, or the only one there is.
    fn database_place(&self, database: &str) -> Option<Place<'_>> {
        let catalog = if database == ALL_CATALOGS {
            self.only_catalog()?
        } else {
            database.to_owned()
        };
        let connector = self.get(&catalog)?;
        Some(Place {
            connector,
            catalog,
            schema: None,
        })
    }

    /// The schema of a place in the source's spelling. Errors: 3F000.
    async fn schema_in(&self, place: &Place<'_>, table: &NamePart) -> Result<String> {
        let Some(schema) = &place.schema else {
            return Ok(self.default_schema(place, table).await?.text);
        };
        let schemas = place.connector.schemas().await?;
        matching(&schemas, schema)?.ok_or_else(|| undefined_schema(&place.catalog, schema, &schemas))
    }

    /// Forgets a table that turned out to be other than remembered.
    pub(crate) fn forget(&self, table: &TableName) {
        self.cache.forget(table);
    }

    async fn resolve_unqualified(
        &self,
        database: &str,
        search_path: &[String],
        path: &TablePath,
        table: &NamePart,
    ) -> Result<Arc<dyn Table>> {
        for entry in search_path {
            let part = NamePart {
                text: entry.clone(),
                quoted: true,
                span: table.span,
            };
            let Ok(place) = self.place_of_two(database, &part, path).await else {
                continue;
            };
            match self.table_in(&place, table, path).await {
                Err(error)
                    if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_SCHEMA].contains(&error.state) => {}
                found => return found,
            }
        }
        match self.database_place(database) {
            Some(place) => self.table_in(&place, table, path).await,
            None => Err(undefined_table(path, table).hint(
                "In this database a table's name begins with its catalog, such as catalog.schema.table or \
                 catalog.table.",
            )),
        }
    }

    fn only_catalog(&self) -> Option<String> {
        let mut names = self.names();
        match (names.next(), names.next()) {
            (Some(name), None) => Some(name.to_owned()),
            _ => None,
        }
    }

    async fn place_of_two(&self, database: &str, first: &NamePart, path: &TablePath) -> Result<Place<'_>> {
        if let Some(connector) = self.get(database) {
            let schemas = connector
                .schemas()
                .await
                .map_err(|error| QueryError::from(error).at(first.span))?;
            if let Some(schema) = matching(&schemas, first)? {
                let schema = NamePart {
                    text: schema,
                    quoted: true,
                    span: first.span,
                };
                return Ok(Place {
                    connector,
                    catalog: database.to_owned(),
                    schema: Some(schema),
                });
            }
        }
        if let Some((catalog, schema)) = first.text.split_once('.') {
            let part = |text: &str| NamePart {
                text: text.to_owned(),
                ..first.clone()
            };
            return self.place_of_three(&part(catalog), &part(schema));
        }
        if let Some((catalog, connector)) = self.find_catalog(first)? {
            return Ok(Place {
                connector,
                catalog,
                schema: None,
            });
        }
        let message = format!("schema \"{}\" does not exist", first.text);
        let error = QueryError::new(SqlState::UNDEFINED_SCHEMA, message).at(first.span);
        Err(match nearest(&first.text, self.names()) {
            Some(name) => error.hint(format!("Perhaps you meant {}.", path.pasted(name))),
            None => error,
        })
    }

    /// The catalog that `part` means, with its name. Errors: 42P09.
    fn find_catalog(&self, part: &NamePart) -> Result<Option<(String, &Arc<dyn Connector>)>> {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        let found = matching(&names, part)?;
        Ok(found.and_then(|name| self.get(&name).map(|connector| (name, connector))))
    }

    /// The catalog that `catalog` names. Errors: 3D000.
    pub(crate) fn catalog_named(&self, catalog: &NamePart) -> Result<(String, &Arc<dyn Connector>)> {
        let Some(found) = self.find_catalog(catalog)? else {
            let message = format!("catalog \"{}\" does not exist", catalog.text);
            let error = QueryError::new(SqlState::UNDEFINED_CATALOG, message).at(catalog.span);
            return Err(match nearest(&catalog.text, self.names()) {
                Some(nearest) => error.hint(format!("Perhaps you meant the catalog {}.", quoted(nearest))),
                None => error,
            });
        };
        Ok(found)
    }

    fn place_of_three(&self, catalog: &NamePart, schema: &NamePart) -> Result<Place<'_>> {
        let (name, connector) = self.catalog_named(catalog)?;
        Ok(Place {
            connector,
            catalog: name,
            schema: Some(schema.clone()),
        })
    }

    /// The table in `place`: asked for exactly first, so that the common case is one question to the source.
    async fn table_in(
        &self,
        place: &Place<'_>,
        table: &NamePart,
        path: &TablePath,
    ) -> Result<Arc<dyn Table>> {
        let at_table = |error: ConnectorError| QueryError::from(error).at(table.span);
        let schema = match &place.schema {
            Some(schema) => schema.clone(),
            None => self.default_schema(place, table).await?,
        };
        let exact = TableName::new(&place.catalog, &schema.text, &table.text);
        let schema = match self.table(place.connector, &exact).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => schema.text,
            Err(error) if error.kind() == ErrorKind::UnknownSchema => {
                let schemas = place.connector.schemas().await.map_err(at_table)?;
                match matching(&schemas, &schema)? {
                    Some(found) => found,
                    None => return Err(undefined_schema(&place.catalog, &schema, &schemas)),
                }
            }
            Err(error) => return Err(at_table(error)),
        };
        let tables = place.connector.tables(&schema).await.map_err(at_table)?;
        if let Some(found) = matching(&tables, table)? {
            let name = TableName::new(&place.catalog, &schema, found);
            if let Some(found) = self.table(place.connector, &name).await.map_err(at_table)? {
                return Ok(found);
            }
        }
        let error = undefined_table(path, table);
        Err(match nearest(&table.text, tables.iter().map(String::as_str)) {
            Some(nearest) => {
                let parts = [place.catalog.as_str(), schema.as_str(), nearest].map(quoted);
                error.hint(format!("Perhaps you meant {}.", parts.join(".")))
            }
            None => error,
        })
    }

    /// The schema of the tables that are named without one in `database`, as a session there sees it.
    pub(crate) async fn implied_schema(&self, database: &str) -> Option<String> {
        let schemas = self.get(database)?.schemas().await.ok()?;
        implied(&schemas).cloned()
    }

    async fn default_schema(&self, place: &Place<'_>, table: &NamePart) -> Result<NamePart> {
        let schemas = place
            .connector
            .schemas()
            .await
            .map_err(|error| QueryError::from(error).at(table.span))?;
        let chosen = match implied(&schemas) {
            Some(implied) => implied.clone(),
            None => {
                let several = &schemas;
                let message = format!("relation \"{}\" does not exist", table.text);
                let listed: Vec<&str> = several.iter().take(10).map(String::as_str).collect();
                return Err(QueryError::new(SqlState::UNDEFINED_TABLE, message)
                    .at(table.span)
                    .hint(format!(
                        "Write its schema before it: catalog \"{}\" has {} schemas, such as {}.",
                        place.catalog,
                        several.len(),
                        listed.join(", ")
                    )));
            }
        };
        Ok(NamePart {
            text: chosen,
            quoted: true,
            span: table.span,
        })
    }
}

/// The schema that is meant when none is named: the only one, or `public`.
fn implied(schemas: &[String]) -> Option<&String> {
    match schemas {
        [only] => Some(only),
        several => several.iter().find(|schema| *schema == DEFAULT_SCHEMA),
    }
}

/// The one of `names` that `part` means: the exact one, else, for an unquoted part, the only one that differs in case.
fn matching(names: &[String], part: &NamePart) -> Result<Option<String>> {
    if names.contains(&part.text) {
        return Ok(Some(part.text.clone()));
    }
    if part.quoted {
        return Ok(None);
    }
    let wanted = part.text.to_lowercase();
    let alike: Vec<&String> = names
        .iter()
        .filter(|name| name.to_lowercase() == wanted)
        .collect();
    match alike.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only).clone())),
        several => {
            let listed: Vec<String> = several.iter().map(|name| quoted(name)).collect();
            let message = format!("name \"{}\" is ambiguous", part.text);
            Err(QueryError::new(SqlState::AMBIGUOUS_ALIAS, message)
                .at(part.span)
                .hint(format!("Quote one of {}.", listed.join(", "))))
        }
    }
}

fn too_many_parts(path: &TablePath, table: &NamePart) -> QueryError {
    QueryError::syntax(format!(
        "improper qualified name (too many dotted names): {}",
        path.display()
    ))
    .at(table.span)
}

fn undefined_table(path: &TablePath, table: &NamePart) -> QueryError {
    let message = format!("relation \"{}\" does not exist", path.display());
    let first = path.0.first().and_then(|part| part.span);
    QueryError::new(SqlState::UNDEFINED_TABLE, message).at(first.or(table.span))
}

fn undefined_schema(catalog: &str, schema: &NamePart, schemas: &[String]) -> QueryError {
    let message = format!(
        "schema \"{}\" does not exist in catalog \"{catalog}\"",
        schema.text
    );
    let error = QueryError::new(SqlState::UNDEFINED_SCHEMA, message).at(schema.span);
    match nearest(&schema.text, schemas.iter().map(String::as_str)) {
        Some(nearest) => error.hint(format!("Perhaps you meant the schema {}.", quoted(nearest))),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, quoted: bool) -> NamePart {
        NamePart {
            text: text.into(),
            quoted,
            span: None,
        }
    }

    #[test]
    fn exact_wins_then_the_only_one_without_case() {
        let names = ["Orders".to_owned(), "orders".to_owned(), "Customer".to_owned()];
        assert_eq!(
            matching(&names, &part("orders", false)).unwrap().as_deref(),
            Some("orders")
        );
        assert_eq!(
            matching(&names, &part("customer", false)).unwrap().as_deref(),
            Some("Customer")
        );
        assert_eq!(matching(&names, &part("customer", true)).unwrap(), None);
        let error = matching(
            &["A".to_owned(), "a ".to_owned(), "á".to_owned()],
            &part("b", false),
        )
        .unwrap();
        assert_eq!(error, None);
        let error = matching(&["AB".to_owned(), "Ab".to_owned()], &part("ab", false)).unwrap_err();
        assert_eq!(error.state, SqlState::AMBIGUOUS_ALIAS);
    }
}
