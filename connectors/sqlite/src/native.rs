//! Statements that users write in SQLite's own SQL: described by preparing them, run as they are.
//!
//! They run on sessions of their own ([`Sessions::native`]), on which SQLite asks [`allowed`] about everything that a
//! statement does before it compiles it: only reading is allowed.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_base_sql::{Dialect, NativeField, NativeTable, single_query};
use causeway_spi::{ConnectorError, ErrorKind, Passthrough, Result, Table};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::connector::SqliteConnector;
use crate::error::{Doing, translate};
use crate::options::SqliteOptions;
use crate::types::NativeColumn;

/// What full-text search asks of its own tables.
const OWN_PRAGMA: &str = "data_version";
/// Would run code of a file.
const LOADS_CODE: &str = "load_extension";

#[async_trait]
impl Passthrough for SqliteConnector {
    async fn statement(&self, statement: &str, rows_max: usize) -> Result<Arc<dyn Table>> {
        let catalog = self.catalog().to_owned();
        let text = single_query(statement, Dialect::Sqlite, &catalog)?.to_owned();
        let (described, options, named) = (text.clone(), self.options().clone(), catalog.clone());
        let columns = self
            .sessions()
            .native_request(move |connection| columns(connection, &described, &named, &options))
            .await?;
        let table = NativeTable::new(Arc::clone(self.backend()), &catalog, &text, columns, rows_max)?;
        Ok(Arc::new(table))
    }
}

/// Whether a statement may do what SQLite is about to compile.
pub(crate) fn allowed(doing: AuthContext<'_>) -> Authorization {
    match doing.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case(LOADS_CODE) => {
            Authorization::Allow
        }
        AuthAction::Pragma {
            pragma_name: OWN_PRAGMA,
            pragma_value: None,
        } => Authorization::Allow,
        // The transaction around the statement: a text has none of its own.
        AuthAction::Transaction { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn columns(
    connection: &Connection,
    text: &str,
    catalog: &str,
    options: &SqliteOptions,
) -> Result<Vec<NativeField>> {
    let statement = connection
        .prepare(text)
        .map_err(|error| translate(error, Doing::Native(catalog)))?;
    if !statement.readonly() {
        let message = format!("the native statement for catalog {catalog} would write");
        return Err(ConnectorError::new(ErrorKind::ReadOnly, message));
    }
    if statement.parameter_count() > 0 {
        let message = format!("the native statement for catalog {catalog} has a placeholder");
        return Err(
            ConnectorError::new(ErrorKind::NotSupported, message).hint("Write the value into the statement.")
        );
    }
    let columns = statement.columns();
    let columns = columns.map(|column| {
        let native = NativeColumn {
            name: column.name().to_owned(),
            declared: column.decl_type().unwrap_or_default().to_owned(),
            ..NativeColumn::default()
        };
        NativeField {
            data_type: native.canonical(options).0,
            // The laws are not asked about it.
            profile: native.profile(options, true),
        }
    });
    Ok(columns.collect())
}
