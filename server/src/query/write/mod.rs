//! Statements that write. Rows come from a SELECT that is planned like any other (`rows`), with the types of the columns
//! that they are assigned to (`assign`); `check` looks at them on their way to the source. `definition`, `view` and
//! `structure` are for tables and views themselves.
//!
//! `frontend/pg/write` names the order: which catalog is written, its transaction, then what the statement does in it.

mod assign;
mod check;
mod definition;
mod rows;
mod structure;
mod view;

use causeway_spi::{Table, TableName};
use datafusion::sql::sqlparser::ast::{
    FromTable, ObjectName, ObjectType, Statement, TableFactor, TableObject,
};

pub(super) use assign::{Assigned, assign};
pub use check::rows_to_write;
pub use rows::{RowsWrite, Target, WriteKind, describe_write, find_target, prepare_write, table_of_query};
pub use structure::{Done, Notice, change_structure, create_table, second_catalog};
pub use view::{define_view, put_view};

use super::plan::PlanContext;
use super::references::path_as_written;
use super::{Engine, ParsedStatement};
use crate::catalog::TablePath;
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Whether `parsed` writes, by what it is.
pub fn is_write(parsed: &ParsedStatement) -> bool {
    command(&parsed.statement).is_some()
}

/// What PostgreSQL calls a statement that writes.
pub fn command(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Truncate(_) => "TRUNCATE TABLE",
        Statement::CreateTable(create) if create.query.is_some() => "CREATE TABLE AS",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateSchema { .. } => "CREATE SCHEMA",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::Drop { object_type, .. } => match object_type {
            ObjectType::Table => "DROP TABLE",
            ObjectType::View => "DROP VIEW",
            ObjectType::Schema => "DROP SCHEMA",
            _ => return None,
        },
        _ => return None,
    })
}

/// Refuses what a session that only reads may not run. Errors: 25006.
pub fn check_may_write(parsed: &ParsedStatement, read_only: bool) -> Result<()> {
    match command(&parsed.statement) {
        Some(command) if read_only => {
            let message = format!("cannot execute {command} in a read-only transaction");
            Err(QueryError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message))
        }
        _ => Ok(()),
    }
}

/// The catalog that `parsed` writes; `None` when there is nothing to do, as for `DROP TABLE IF EXISTS` of what is not there.
///
/// Errors: what it names does not exist; 25006 for a catalog that is only read.
pub async fn written_catalog(
    engine: &Engine,
    cx: &PlanContext,
    parsed: &ParsedStatement,
) -> Result<Option<String>> {
    let statement = &parsed.statement;
    let catalog = match statement {
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::AlterTable(_) => {
            let path = path_as_written(target_name(statement)?);
            if let Statement::AlterTable(alter) = statement
                && alter.if_exists
                && structure::find(cx, &path).await?.is_none()
            {
                return Ok(None);
            }
            cx.view().resolve(&path).await?.name().catalog.clone()
        }
        Statement::Truncate(truncate) => match truncate.table_names.first() {
            Some(target) => {
                let table = cx.view().resolve(&path_as_written(&target.name)).await?;
                table.name().catalog.clone()
            }
            None => return Err(QueryError::syntax("TRUNCATE names no table")),
        },
        Statement::CreateTable(create) => new_name(cx, &create.name).await?.catalog,
        Statement::CreateView(create) => new_name(cx, &create.name).await?.catalog,
        Statement::CreateSchema { schema_name, .. } => {
            let path = path_as_written(structure::name_of_schema(schema_name)?);
            cx.view().catalogs.schema_place(&cx.view().database, &path)?.0
        }
        Statement::Drop {
            object_type, names, ..
        } => match structure::first_catalog(cx, *object_type, names).await? {
            Some(catalog) => catalog,
            None => return Ok(None),
        },
        _ => return Err(QueryError::not_supported("this statement does not write")),
    };
    check_catalog(engine, statement, catalog).map(Some)
}

fn check_catalog(engine: &Engine, statement: &Statement, catalog: String) -> Result<String> {
    let catalogs = engine.catalogs();
    let connector = catalogs.get(&catalog);
    if connector.is_some_and(|connector| connector.writer().is_some()) {
        return Ok(catalog);
    }
    let command = command(statement).unwrap_or("this statement");
    Err(match connector {
        Some(connector) => {
            let message = format!("cannot execute {command}: catalog \"{catalog}\" is read-only");
            QueryError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message).hint(format!(
                "Causeway does not write to catalogs of the kind {}.",
                connector.kind()
            ))
        }
        None => {
            let message = format!("cannot execute {command}: catalogs of the system are made by the server");
            QueryError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        }
    })
}

/// The full name under which a table or view is to be created. Errors: 42501 for the system's schemas.
async fn new_name(cx: &PlanContext, name: &ObjectName) -> Result<TableName> {
    let view = cx.view();
    let path = path_as_written(name);
    if path.0.len() > 1 && view.system_relation(&path).is_err() {
        let message = format!("permission denied to create \"{}\"", path.display());
        return Err(QueryError::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
    }
    let search_path = view.settings.search_path();
    view.catalogs.place_for(&view.database, &search_path, &path).await
}

/// The table that `statement` writes, as it is written.
fn target_name(statement: &Statement) -> Result<&ObjectName> {
    let factor = match statement {
        Statement::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => return Ok(name),
            _ => {
                return Err(QueryError::not_supported(
                    "INSERT INTO a function is not supported",
                ));
            }
        },
        Statement::AlterTable(alter) => return Ok(&alter.name),
        Statement::Update(update) => &update.table.relation,
        Statement::Delete(delete) => match &delete.from {
            FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables) => match tables.as_slice()
            {
                [only] if only.joins.is_empty() => &only.relation,
                _ => {
                    return Err(QueryError::not_supported(
                        "DELETE FROM several tables is not supported",
                    ));
                }
            },
        },
        _ => return Err(QueryError::not_supported("this statement writes to no table")),
    };
    match factor {
        TableFactor::Table { name, args: None, .. } => Ok(name),
        _ => Err(QueryError::syntax("a table's name is expected")),
    }
}

/// Refuses to write to a view. Errors: 42809.
fn check_table(table: &dyn Table, path: &TablePath, doing: &str) -> Result<()> {
    if table.view().is_none() {
        return Ok(());
    }
    let message = format!("cannot {doing} view \"{}\"", table.name().table);
    let span = path.0.last().and_then(|part| part.span);
    Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message)
        .at(span)
        .hint("Write to the tables that it reads."))
}
