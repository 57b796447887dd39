//! Tables, views and schemas themselves: created, renamed, emptied, dropped, with what depends on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_spi::{Connector, Table, TableDefinition, TableName, ViewDefinition};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::{
    AlterTableOperation, CreateTable, Ident, ObjectName, ObjectType, RenameTableNameKind, SchemaName,
    Statement, Truncate,
};

use super::super::plan::PlanContext;
use super::super::references::path_as_written;
use super::super::{Engine, ParsedStatement};
use super::definition::{definition, folded};
use super::view::with_renamed;
use super::{check_table, new_name};
use crate::catalog::{NamePart, TablePath};
use crate::error::{QueryError, Result};
use crate::session::Writes;
use crate::sqlstate::SqlState;

/// What a client is told besides the result: not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The SQLSTATE; 00000 for mere information.
    pub code: &'static str,
    /// The message.
    pub message: String,
    /// More facts.
    pub detail: Option<String>,
}

impl Notice {
    /// A fact that is neither a warning nor an error.
    pub fn information(message: String) -> Self {
        Self::new(None, message)
    }

    fn new(state: Option<SqlState>, message: String) -> Self {
        Self {
            code: state.map_or("00000", SqlState::code),
            message,
            detail: None,
        }
    }
}

/// A statement that has been done.
#[derive(Debug)]
pub struct Done {
    /// The command tag.
    pub tag: String,
    /// What the client is told.
    pub notices: Vec<Notice>,
}

impl Done {
    /// A statement with this tag and these notices.
    pub fn new(tag: impl Into<String>, notices: Vec<Notice>) -> Self {
        Self {
            tag: tag.into(),
            notices,
        }
    }
}

/// The relation that `path` names, or `None` if there is none of the name, or no schema.
pub(super) async fn find(cx: &PlanContext, path: &TablePath) -> Result<Option<Arc<dyn Table>>> {
    match cx.view().resolve(path).await {
        Ok(table) => Ok(Some(table)),
        Err(error) if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_SCHEMA].contains(&error.state) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The name of a schema to be created. Errors: 0A000 for AUTHORIZATION.
pub(super) fn name_of_schema(name: &SchemaName) -> Result<&ObjectName> {
    match name {
        SchemaName::Simple(name) => Ok(name),
        _ => Err(QueryError::not_supported(
            "CREATE SCHEMA AUTHORIZATION is not supported",
        )),
    }
}

/// The catalog of the first of `names` that is there.
pub(super) async fn first_catalog(
    cx: &PlanContext,
    kind: ObjectType,
    names: &[ObjectName],
) -> Result<Option<String>> {
    let view = cx.view();
    for name in names {
        let path = path_as_written(name);
        if kind == ObjectType::Schema {
            return Ok(Some(view.catalogs.schema_place(&view.database, &path)?.0));
        }
        if let Some(table) = find(cx, &path).await? {
            return Ok(Some(table.name().catalog.clone()));
        }
    }
    Ok(None)
}

/// A catalog that is written, with its views: what reads what.
pub(super) struct Catalog {
    snapshot: Arc<dyn Connector>,
    views: BTreeMap<TableName, ViewDefinition>,
}

impl Catalog {
    pub(super) async fn of(writes: &Writes) -> Result<Self> {
        let snapshot = writes.snapshot();
        let mut views = BTreeMap::new();
        for schema in snapshot.schemas().await? {
            for view in snapshot.views(&schema).await? {
                let name = TableName::new(&writes.catalog, &schema, view);
                let found = snapshot.table(&name).await?;
                if let Some(definition) = found.as_ref().and_then(|found| found.view()) {
                    views.insert(name, definition.clone());
                }
            }
        }
        Ok(Self { snapshot, views })
    }

    /// The views that read one of `names`, or a view that does; those that are read come first.
    pub(super) fn readers(&self, names: &[TableName]) -> Vec<TableName> {
        let mut known = names.to_vec();
        let mut readers = Vec::new();
        loop {
            let next = self.views.iter().find(|(name, view)| {
                !known.contains(name) && view.reads.iter().any(|read| known.contains(read))
            });
            let Some((name, _)) = next else { return readers };
            known.push(name.clone());
            readers.push(name.clone());
        }
    }

    /// The path that means `name` in every session.
    pub(super) fn path(name: &TableName) -> TablePath {
        let part = |text: &str| NamePart {
            text: text.to_owned(),
            quoted: true,
            span: None,
        };
        TablePath(vec![part(&name.catalog), part(&name.schema), part(&name.table)])
    }

    fn kind(&self, name: &TableName) -> &'static str {
        if self.views.contains_key(name) {
            "view"
        } else {
            "table"
        }
    }
}

/// CREATE TABLE without a query, or the table of one: `columns`. `None` if there is nothing to do.
pub async fn create_table(
    engine: &Engine,
    cx: &PlanContext,
    writes: &mut Writes,
    create: &CreateTable,
    columns: Option<SchemaRef>,
) -> Result<(Option<TableName>, Vec<Notice>)> {
    let name = new_name(cx, &create.name).await?;
    if find(cx, &Catalog::path(&name)).await?.is_some() {
        let message = format!("relation \"{}\" already exists", name.table);
        if !create.if_not_exists {
            return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message));
        }
        let skipped = Notice::new(Some(SqlState::DUPLICATE_TABLE), format!("{message}, skipping"));
        return Ok((None, vec![skipped]));
    }
    let table: TableDefinition = match columns {
        Some(columns) => TableDefinition {
            name: name.clone(),
            columns,
            primary_key: Vec::new(),
        },
        None => definition(create, name.clone())?,
    };
    writes.transaction.create_table(&table).await?;
    let catalogs = engine.catalogs();
    let connector = catalogs.get(&name.catalog);
    let notice = connector.and_then(|connector| connector.writer()?.notice());
    let notices = notice.map(|text| Notice::new(None, text.to_owned()));
    Ok((Some(name), notices.into_iter().collect()))
}

/// Runs what changes tables, views and schemas and reads no rows. `writes`: `None` when there is nothing to write.
pub async fn change_structure(
    engine: &Engine,
    cx: &PlanContext,
    writes: Option<&mut Writes>,
    parsed: &ParsedStatement,
) -> Result<Done> {
    let statement = &parsed.statement;
    if let Statement::Drop { names, if_exists, .. } = statement
        && writes.is_none()
    {
        return drop_nothing(statement, names, *if_exists);
    }
    let Some(writes) = writes else {
        let Statement::AlterTable(alter) = statement else {
            return Err(QueryError::not_supported("this statement changes no catalog"));
        };
        let message = format!(
            "relation \"{}\" does not exist, skipping",
            path_as_written(&alter.name).display()
        );
        return Ok(Done::new("ALTER TABLE", vec![Notice::new(None, message)]));
    };
    match statement {
        Statement::CreateTable(create) => {
            let (_, notices) = create_table(engine, cx, writes, create, None).await?;
            Ok(Done::new("CREATE TABLE", notices))
        }
        Statement::CreateSchema { .. } => create_schema(cx, writes, statement).await,
        Statement::Truncate(truncate) => empty(cx, writes, truncate).await,
        Statement::AlterTable(alter) => {
            let [operation] = alter.operations.as_slice() else {
                return Err(QueryError::not_supported(
                    "ALTER TABLE with several actions is not supported",
                ));
            };
            rename(cx, writes, &alter.name, operation).await?;
            Ok(Done::new("ALTER TABLE", Vec::new()))
        }
        Statement::Drop {
            object_type: ObjectType::Schema,
            ..
        } => drop_schemas(cx, writes, statement).await,
        Statement::Drop { .. } => drop_relations(cx, writes, statement).await,
        _ => Err(QueryError::not_supported("this statement changes no catalog")),
    }
}

async fn create_schema(cx: &PlanContext, writes: &mut Writes, statement: &Statement) -> Result<Done> {
    let Statement::CreateSchema {
        schema_name,
        if_not_exists,
        with: None,
        options: None,
        default_collate_spec: None,
        clone: None,
    } = statement
    else {
        return Err(QueryError::not_supported(
            "this form of CREATE SCHEMA is not supported",
        ));
    };
    let path = path_as_written(name_of_schema(schema_name)?);
    let catalogs = &cx.view().catalogs;
    let (_, schema) = catalogs.schema_place(&cx.view().database, &path)?;
    let schemas = writes.snapshot().schemas().await?;
    if !schemas.contains(&schema.text) {
        if schema.text.is_empty() || schema.text.contains('.') {
            let message = format!("schema name \"{}\" must not be empty or have a dot", schema.text);
            return Err(QueryError::new(SqlState::INVALID_NAME, message).at(schema.span));
        }
        writes.transaction.create_schema(&schema.text).await?;
        return Ok(Done::new("CREATE SCHEMA", Vec::new()));
    }
    let message = format!("schema \"{}\" already exists", schema.text);
    if !if_not_exists {
        return Err(QueryError::new(SqlState::DUPLICATE_SCHEMA, message).at(schema.span));
    }
    let skipped = Notice::new(Some(SqlState::DUPLICATE_SCHEMA), format!("{message}, skipping"));
    Ok(Done::new("CREATE SCHEMA", vec![skipped]))
}

async fn empty(cx: &PlanContext, writes: &mut Writes, truncate: &Truncate) -> Result<Done> {
    if truncate.if_exists || truncate.partitions.is_some() || truncate.on_cluster.is_some() {
        return Err(QueryError::not_supported(
            "this form of TRUNCATE is not supported",
        ));
    }
    for target in &truncate.table_names {
        let path = path_as_written(&target.name);
        let table = cx.view().resolve(&path).await?;
        check_table(table.as_ref(), &path, "truncate")?;
        check_catalog(writes, table.name())?;
        writes.transaction.truncate(table.name()).await?;
    }
    Ok(Done::new("TRUNCATE TABLE", Vec::new()))
}

/// 0A000 for a second catalog.
fn check_catalog(writes: &Writes, name: &TableName) -> Result<()> {
    match name.catalog == writes.catalog {
        true => Ok(()),
        false => Err(second_catalog(&writes.catalog)),
    }
}

/// A transaction writes to one catalog.
pub fn second_catalog(first: &str) -> QueryError {
    QueryError::not_supported("a transaction cannot write to two catalogs").hint(format!(
        "It has written to catalog \"{first}\": commit that first."
    ))
}

async fn rename(
    cx: &PlanContext,
    writes: &mut Writes,
    name: &ObjectName,
    operation: &AlterTableOperation,
) -> Result<()> {
    let path = path_as_written(name);
    let table = cx.view().resolve(&path).await?;
    match operation {
        AlterTableOperation::RenameTable {
            table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to),
        } => rename_table(cx, writes, table.name(), to).await,
        AlterTableOperation::RenameColumn {
            old_column_name,
            new_column_name,
        } => {
            check_table(table.as_ref(), &path, "rename a column of")?;
            rename_column(writes, table.as_ref(), old_column_name, new_column_name).await
        }
        _ => Err(
            QueryError::not_supported("this form of ALTER TABLE is not supported")
                .hint("Tables and columns can be renamed."),
        ),
    }
}

async fn rename_table(
    cx: &PlanContext,
    writes: &mut Writes,
    from: &TableName,
    to: &ObjectName,
) -> Result<()> {
    let path = path_as_written(to);
    let [part] = path.0.as_slice() else {
        return Err(QueryError::syntax("the new name of a table has no schema"));
    };
    let new = TableName::new(&from.catalog, &from.schema, &part.text);
    if find(cx, &Catalog::path(&new)).await?.is_some() {
        let message = format!("relation \"{}\" already exists", part.text);
        return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message).at(part.span));
    }
    let catalog = Catalog::of(writes).await?;
    writes.transaction.rename_table(from, &part.text).await?;
    for (name, view) in &catalog.views {
        if view.reads.contains(from) {
            writes
                .transaction
                .put_view(name, &with_renamed(view, from, &new)?)
                .await?;
        }
    }
    Ok(())
}

async fn rename_column(writes: &mut Writes, table: &dyn Table, old: &Ident, new: &Ident) -> Result<()> {
    let (old_name, new_name) = (folded(old), folded(new));
    let schema = table.schema();
    let at = |ident: &Ident| Span::try_from_sqlparser_span(ident.span);
    let Ok(index) = schema.index_of(&old_name) else {
        let message = format!("column \"{old_name}\" does not exist");
        return Err(QueryError::new(SqlState::UNDEFINED_COLUMN, message).at(at(old)));
    };
    if schema.index_of(&new_name).is_ok() || new_name == causeway_spi::ROW_LOCATOR {
        let table = &table.name().table;
        let message = format!("column \"{new_name}\" of relation \"{table}\" already exists");
        return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(at(new)));
    }
    let readers = Catalog::of(writes)
        .await?
        .readers(std::slice::from_ref(table.name()));
    if let Some(reader) = readers.first() {
        let message = "renaming a column of a table that a view reads is not supported";
        return Err(QueryError::not_supported(message)
            .detail(format!(
                "View \"{}\" reads table \"{}\".",
                reader.table,
                table.name().table
            ))
            .hint("Drop the view and create it again."));
    }
    writes
        .transaction
        .rename_column(table.name(), index, &new_name)
        .await?;
    Ok(())
}

/// DROP of what is not there.
fn drop_nothing(statement: &Statement, names: &[ObjectName], if_exists: bool) -> Result<Done> {
    let kind = match statement {
        Statement::Drop {
            object_type: ObjectType::View,
            ..
        } => "view",
        _ => "table",
    };
    let mut notices = Vec::with_capacity(names.len());
    for name in names {
        let path = path_as_written(name);
        let message = format!("{kind} \"{}\" does not exist", path.display());
        if !if_exists {
            let span = path.0.first().and_then(|part| part.span);
            return Err(QueryError::new(SqlState::UNDEFINED_TABLE, message).at(span));
        }
        notices.push(Notice::new(None, format!("{message}, skipping")));
    }
    Ok(Done::new(super::command(statement).unwrap_or("DROP"), notices))
}

async fn drop_relations(cx: &PlanContext, writes: &mut Writes, statement: &Statement) -> Result<Done> {
    let Statement::Drop {
        object_type,
        if_exists,
        names,
        cascade,
        ..
    } = statement
    else {
        return Err(QueryError::not_supported("this statement drops nothing"));
    };
    let wanted = if *object_type == ObjectType::View {
        "view"
    } else {
        "table"
    };
    let catalog = Catalog::of(writes).await?;
    let mut dropped: Vec<TableName> = Vec::new();
    let mut done = Done::new(super::command(statement).unwrap_or("DROP"), Vec::new());
    for name in names {
        let path = path_as_written(name);
        let Some(table) = find(cx, &path).await? else {
            done.notices
                .extend(drop_nothing(statement, std::slice::from_ref(name), *if_exists)?.notices);
            continue;
        };
        check_catalog(writes, table.name())?;
        let kind = catalog.kind(table.name());
        if kind != wanted {
            let message = format!("\"{}\" is not a {wanted}", table.name().table);
            return Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message)
                .hint(format!("Use DROP {} to remove a {kind}.", kind.to_uppercase())));
        }
        if !dropped.contains(table.name()) {
            dropped.push(table.name().clone());
        }
    }
    let readers = catalog.readers(&dropped);
    if let (Some(reader), false) = (readers.first(), *cascade) {
        return Err(depends(&catalog, &dropped, reader, wanted));
    }
    done.notices.extend(cascaded(&catalog, &readers));
    for name in readers.iter().rev().chain(&dropped) {
        drop_relation(&catalog, writes, name).await?;
    }
    Ok(done)
}

async fn drop_relation(catalog: &Catalog, writes: &mut Writes, name: &TableName) -> Result<()> {
    match catalog.kind(name) {
        "view" => writes.transaction.drop_view(name).await?,
        _ => writes.transaction.drop_table(name).await?,
    }
    Ok(())
}

/// 2BP01.
fn depends(catalog: &Catalog, dropped: &[TableName], reader: &TableName, kind: &str) -> QueryError {
    let reads = catalog.views.get(reader).map(|view| &view.reads);
    let read = dropped
        .iter()
        .find(|name| reads.is_some_and(|reads| reads.contains(name)));
    let read = read.or(dropped.first()).map_or("", |name| &name.table);
    let message = format!("cannot drop {kind} {read} because other objects depend on it");
    QueryError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .detail(format!("view {} depends on {kind} {read}", reader.table))
        .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

fn cascaded(catalog: &Catalog, others: &[TableName]) -> Option<Notice> {
    let named = |name: &TableName| format!("drop cascades to {} {}", catalog.kind(name), name.table);
    match others {
        [] => None,
        [only] => Some(Notice::new(None, named(only))),
        several => {
            let mut notice = Notice::new(None, format!("drop cascades to {} other objects", several.len()));
            notice.detail = Some(several.iter().map(named).collect::<Vec<_>>().join("\n"));
            Some(notice)
        }
    }
}

async fn drop_schemas(cx: &PlanContext, writes: &mut Writes, statement: &Statement) -> Result<Done> {
    let Statement::Drop {
        if_exists,
        names,
        cascade,
        ..
    } = statement
    else {
        return Err(QueryError::not_supported("this statement drops nothing"));
    };
    let mut notices = Vec::new();
    for name in names {
        let catalogs = &cx.view().catalogs;
        let (catalog_name, part) = catalogs.schema_place(&cx.view().database, &path_as_written(name))?;
        if catalog_name != writes.catalog {
            return Err(second_catalog(&writes.catalog));
        }
        let Some(schema) = catalogs.find_schema(&catalog_name, &part).await? else {
            let message = format!("schema \"{}\" does not exist", part.text);
            if !if_exists {
                return Err(QueryError::new(SqlState::UNDEFINED_SCHEMA, message).at(part.span));
            }
            notices.push(Notice::new(None, format!("{message}, skipping")));
            continue;
        };
        let catalog = Catalog::of(writes).await?;
        let inside = catalog.snapshot.tables(&schema).await?;
        let inside: Vec<TableName> = inside
            .into_iter()
            .map(|table| TableName::new(&catalog_name, &schema, table))
            .collect();
        if let (Some(first), false) = (inside.first(), *cascade) {
            let message = format!("cannot drop schema {schema} because other objects depend on it");
            return Err(QueryError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(format!(
                    "{} {} depends on schema {schema}",
                    catalog.kind(first),
                    first.table
                ))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let others = catalog.readers(&inside);
        let all: Vec<TableName> = others.iter().rev().chain(&inside).cloned().collect();
        notices.extend(cascaded(&catalog, &all));
        for name in &all {
            drop_relation(&catalog, writes, name).await?;
        }
        writes.transaction.drop_schema(&schema).await?;
    }
    Ok(Done::new("DROP SCHEMA", notices))
}
