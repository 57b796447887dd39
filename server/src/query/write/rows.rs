//! INSERT, UPDATE and DELETE as queries: what they read, in the columns that are written, with locators behind them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use causeway_spi::{ROW_LOCATOR, Table, TableName, updated_schema};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Span, TableReference};
use datafusion::sql::sqlparser::ast::{
    self, Assignment, AssignmentTarget, Delete, Expr, Ident, Insert, ObjectName, Query, Select, SelectItem,
    SetExpr, Spanned, Statement, TableAlias, TableFactor, TableWithJoins, Update, UpdateTableFromKind,
    Values, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::catalog_syntax::null;
use super::super::plan::{Request, prepare_request};
use super::super::references::path_as_written;
use super::super::{Engine, ParsedStatement, PlanContext, Prepared};
use super::assign::{Assigned, typed};
use super::{check_table, definition, target_name};
use crate::error::{QueryError, Result, nearest};
use crate::session::Writes;
use crate::sqlstate::SqlState;

/// The name under which an UPDATE or DELETE reads the table it changes; no statement can name it.
const TARGET: &str = "?target?";

/// What is done with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// They are added.
    Insert,
    /// They replace others.
    Update,
    /// They go.
    Delete,
}

/// The table that a statement writes.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: TableName,
    /// What an UPDATE or DELETE reads: with locators, unless it is only described.
    table: Arc<dyn Table>,
    /// Its columns.
    columns: SchemaRef,
    kind: WriteKind,
}

/// A planned statement, and what is done with its rows.
#[derive(Debug)]
pub struct RowsWrite {
    /// The query.
    pub prepared: Prepared,
    /// The columns of its rows as the source wants them.
    pub schema: SchemaRef,
    /// What is done with them.
    pub kind: WriteKind,
    /// The table.
    pub name: TableName,
}

/// Finds the table that `parsed` writes. `writes`: the transaction; without one the statement can only be described.
///
/// Errors: 42P01 and others for what is not there; 42809 for a view.
pub async fn find_target(
    cx: &PlanContext,
    writes: Option<&Writes>,
    parsed: &ParsedStatement,
) -> Result<Target> {
    let (kind, doing) = match &parsed.statement {
        Statement::Update(_) => (WriteKind::Update, "update"),
        Statement::Delete(_) => (WriteKind::Delete, "delete from"),
        _ => (WriteKind::Insert, "insert into"),
    };
    let path = path_as_written(target_name(&parsed.statement)?);
    let mut table = cx.view().resolve(&path).await?;
    check_table(table.as_ref(), &path, doing)?;
    let (name, columns) = (table.name().clone(), table.schema());
    if let (Some(writes), WriteKind::Update | WriteKind::Delete) = (writes, kind) {
        table = writes.transaction.target(&name).await?;
    }
    Ok(Target {
        name,
        table,
        columns,
        kind,
    })
}

/// The types of the parameters of a statement that writes. Must run on a thread with a large stack.
pub async fn describe_write(
    engine: &Engine,
    cx: PlanContext,
    parsed: &ParsedStatement,
    types: &[Option<DataType>],
) -> Result<Vec<DataType>> {
    match &parsed.statement {
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
            let target = find_target(&cx, None, parsed).await?;
            let write = prepare_write(engine, cx, parsed, types, target).await?;
            Ok(write.prepared.parameters)
        }
        Statement::CreateTable(create) if create.query.is_some() => {
            let (prepared, _) = table_of_query(engine, cx, create, types).await?;
            Ok(prepared.parameters)
        }
        _ => Ok(Vec::new()),
    }
}

/// Plans what an INSERT, UPDATE or DELETE reads. Must run on a thread with a large stack.
pub async fn prepare_write(
    engine: &Engine,
    cx: PlanContext,
    parsed: &ParsedStatement,
    types: &[Option<DataType>],
    target: Target,
) -> Result<RowsWrite> {
    let located = target.table.schema().index_of(ROW_LOCATOR).is_ok();
    let (query, assigned, schema) = match &parsed.statement {
        Statement::Insert(insert) => {
            let (query, assigned) = inserted(insert, &target)?;
            (query, assigned, Arc::clone(&target.columns))
        }
        Statement::Update(update) => {
            let (query, spans) = updated(update, &target, located)?;
            let schema = match located {
                true => updated_schema(&target.columns),
                false => Arc::clone(&target.columns),
            };
            (query, Assigned::all(&schema, spans), schema)
        }
        Statement::Delete(delete) => {
            let query = deleted(delete, &target, located)?;
            let locator = Field::new(ROW_LOCATOR, DataType::BinaryView, false);
            let schema: SchemaRef = match located {
                true => Arc::new(Schema::new(vec![locator])),
                false => Arc::new(Schema::new(vec![target.columns.field(0).clone()])),
            };
            (query, Assigned::all(&schema, Vec::new()), schema)
        }
        _ => return Err(QueryError::not_supported("this statement writes no rows")),
    };
    let mut own = HashMap::new();
    if target.kind != WriteKind::Insert {
        own.insert(TableReference::bare(TARGET), Arc::clone(&target.table));
    }
    let request = Request {
        written: Statement::Query(Box::new(query)),
        explain: None,
        own,
        assigned: Some(assigned),
    };
    Ok(RowsWrite {
        prepared: prepare_request(engine, cx, request, types).await?,
        schema,
        kind: target.kind,
        name: target.name,
    })
}

/// The query of a CREATE TABLE AS, its rows in the types of the table, and the table's columns.
pub async fn table_of_query(
    engine: &Engine,
    cx: PlanContext,
    create: &ast::CreateTable,
    types: &[Option<DataType>],
) -> Result<(Prepared, SchemaRef)> {
    let Some(query) = &create.query else {
        return Err(QueryError::not_supported("this statement has no query"));
    };
    let request = Request {
        written: Statement::Query(query.clone()),
        explain: None,
        own: HashMap::new(),
        assigned: None,
    };
    let mut prepared = prepare_request(engine, cx, request, types).await?;
    let columns = definition::columns_of_query(create, prepared.describe()?.as_ref())?;
    prepared.assign(&Assigned::all(&columns, Vec::new()))?;
    Ok((prepared, columns))
}

impl Assigned {
    /// Every column takes the output of its place.
    fn all(columns: &SchemaRef, spans: Vec<Option<Span>>) -> Self {
        Self {
            fields: columns.fields().iter().map(Arc::clone).collect(),
            targets: (0..columns.fields().len()).collect(),
            listed: true,
            spans,
        }
    }
}

fn inserted(insert: &Insert, target: &Target) -> Result<(Query, Assigned)> {
    refuse(insert.on.is_some(), "ON CONFLICT")?;
    refuse(insert.returning.is_some(), "RETURNING")?;
    let others = insert.overwrite || insert.replace_into || insert.ignore || !insert.assignments.is_empty();
    refuse(others || insert.partitioned.is_some(), "this form of INSERT")?;
    let mut targets = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let index = column(target, name)?;
        if targets.contains(&index) {
            let message = format!(
                "column \"{}\" specified more than once",
                target.columns.field(index).name()
            );
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(span_of_name(name)));
        }
        targets.push(index);
    }
    let listed = !targets.is_empty();
    if !listed {
        targets = (0..target.columns.fields().len()).collect();
    }
    let types: Vec<DataType> = targets
        .iter()
        .map(|&index| target.columns.field(index).data_type().clone())
        .collect();
    let mut spans = Vec::new();
    let query = match &insert.source {
        Some(query) => {
            let mut query = query.as_ref().clone();
            spans = type_outputs(query.body.as_mut(), &types)?;
            query
        }
        // DEFAULT VALUES: each default is NULL.
        None => select(vec![SelectItem::UnnamedExpr(null())], Vec::new(), None)?,
    };
    let assigned = Assigned {
        fields: target.columns.fields().iter().map(Arc::clone).collect(),
        targets,
        listed: listed && insert.source.is_some(),
        spans,
    };
    Ok((query, assigned))
}

/// Gives the literals among the outputs of an INSERT's query the types of their columns. Returns where the outputs stand.
fn type_outputs(body: &mut SetExpr, types: &[DataType]) -> Result<Vec<Option<Span>>> {
    match body {
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            let spans = values
                .rows
                .first()
                .map(|row| row.content.iter().map(span_of).collect());
            for row in &mut values.rows {
                if row.content.len() != width {
                    let span = row.content.first().and_then(span_of);
                    return Err(QueryError::syntax("VALUES lists must all be the same length").at(span));
                }
                for (cell, data_type) in row.content.iter_mut().zip(types) {
                    *cell = typed(or_default(std::mem::replace(cell, null())), data_type);
                }
            }
            if values.rows.iter().any(|row| row.content.iter().any(has_subquery)) {
                *body = selected(values)?;
            }
            Ok(spans.unwrap_or_default())
        }
        SetExpr::Select(selected) => {
            let mut spans = Vec::new();
            for (item, data_type) in selected.projection.iter_mut().zip(types) {
                let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
                    break;
                };
                spans.push(span_of(expr));
                *expr = typed(std::mem::replace(expr, null()), data_type);
            }
            Ok(spans)
        }
        SetExpr::Query(query) => type_outputs(query.body.as_mut(), types),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) => Err(QueryError::not_supported(
            "a write inside of another statement is not supported",
        )),
        _ => Ok(Vec::new()),
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// One row of values as a SELECT, which may have subqueries; VALUES may not. Errors: 0A000 for several rows.
fn selected(values: &mut Values) -> Result<SetExpr> {
    let [row] = values.rows.as_mut_slice() else {
        return Err(
            QueryError::not_supported("subqueries in VALUES of several rows are not supported")
                .hint("Insert each row by itself, or use INSERT ... SELECT."),
        );
    };
    let cells = std::mem::take(&mut row.content).into_iter().enumerate();
    let items = cells.map(|(index, expr)| SelectItem::ExprWithAlias {
        expr,
        alias: quoted(&format!("?{index}?")),
    });
    Ok(*select(items.collect(), Vec::new(), None)?.body)
}

/// DEFAULT is NULL: no column has another.
fn or_default(expr: Expr) -> Expr {
    match &expr {
        Expr::Identifier(ident)
            if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") =>
        {
            null()
        }
        _ => expr,
    }
}

fn updated(update: &Update, target: &Target, located: bool) -> Result<(Query, Vec<Option<Span>>)> {
    refuse(update.returning.is_some(), "RETURNING")?;
    refuse(!update.table.joins.is_empty(), "UPDATE of a join")?;
    refuse(
        update.limit.is_some() || !update.order_by.is_empty(),
        "UPDATE with ORDER BY or LIMIT",
    )?;
    let mut values: HashMap<usize, Expr> = HashMap::new();
    for (name, value) in assignments(&update.assignments)? {
        let index = column(target, name)?;
        let wanted = target.columns.field(index).data_type();
        if values.insert(index, typed(or_default(value), wanted)).is_some() {
            let column = target.columns.field(index).name();
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(QueryError::syntax(message).at(span_of_name(name)));
        }
    }
    let (factor, alias) = aliased(&update.table.relation)?;
    let fields = target.columns.fields().iter().enumerate();
    let outputs = fields.map(|(index, field)| match values.remove(&index) {
        Some(value) => value,
        None => column_of(&alias, field.name()),
    });
    let mut outputs: Vec<Expr> = outputs.collect();
    let spans = outputs.iter().map(span_of).collect();
    if located {
        outputs.push(column_of(&alias, ROW_LOCATOR));
    }
    let items = outputs
        .into_iter()
        .enumerate()
        .map(|(index, expr)| SelectItem::ExprWithAlias {
            expr,
            alias: quoted(&format!("?{index}?")),
        });
    let others = match &update.from {
        None => Vec::new(),
        Some(UpdateTableFromKind::AfterSet(tables) | UpdateTableFromKind::BeforeSet(tables)) => {
            tables.clone()
        }
    };
    let query = select(items.collect(), from(factor, others), update.selection.clone())?;
    Ok((query, spans))
}

/// Each column with its value; `(a, b) = (1, 2)` is two.
fn assignments(assignments: &[Assignment]) -> Result<Vec<(&ObjectName, Expr)>> {
    let mut each = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => each.push((name, value.clone())),
            (AssignmentTarget::Tuple(names), Expr::Tuple(values)) if names.len() == values.len() => {
                each.extend(names.iter().zip(values.iter().cloned()));
            }
            (AssignmentTarget::Tuple(_), Expr::Tuple(_)) => {
                return Err(QueryError::syntax(
                    "number of columns does not match number of values",
                ));
            }
            _ => {
                return Err(QueryError::not_supported(
                    "assigning the columns of a subquery is not supported",
                )
                .hint("Give each column a subquery of its own, or use UPDATE ... FROM."));
            }
        }
    }
    Ok(each)
}

fn deleted(delete: &Delete, target: &Target, located: bool) -> Result<Query> {
    refuse(delete.returning.is_some(), "RETURNING")?;
    refuse(
        delete.limit.is_some() || !delete.order_by.is_empty(),
        "DELETE with ORDER BY or LIMIT",
    )?;
    refuse(!delete.tables.is_empty(), "DELETE of several tables")?;
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) = &delete.from;
    let Some(table) = tables.first() else {
        return Err(QueryError::syntax("DELETE names no table"));
    };
    let (factor, alias) = aliased(&table.relation)?;
    let output = match located {
        true => column_of(&alias, ROW_LOCATOR),
        false => column_of(&alias, target.columns.field(0).name()),
    };
    let others = delete.using.clone().unwrap_or_default();
    select(
        vec![SelectItem::UnnamedExpr(output)],
        from(factor, others),
        delete.selection.clone(),
    )
}

fn refuse(found: bool, what: &str) -> Result<()> {
    match found {
        true => Err(QueryError::not_supported(format!("{what} is not supported"))),
        false => Ok(()),
    }
}

/// The table that is changed under [`TARGET`], and the name by which the statement's expressions know it.
fn aliased(factor: &TableFactor) -> Result<(TableFactor, Ident)> {
    let mut factor = factor.clone();
    let TableFactor::Table { name, alias, .. } = &mut factor else {
        return Err(QueryError::syntax("a table's name is expected"));
    };
    let known = match alias {
        Some(alias) => alias.name.clone(),
        None => {
            let last = path_as_written(name).0.pop();
            quoted(&last.map(|part| part.text).unwrap_or_default())
        }
    };
    *name = ObjectName::from(vec![quoted(TARGET)]);
    alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: known.clone(),
        columns: Vec::new(),
        at: None,
    });
    Ok((factor, known))
}

fn from(target: TableFactor, others: Vec<TableWithJoins>) -> Vec<TableWithJoins> {
    let target = TableWithJoins {
        relation: target,
        joins: Vec::new(),
    };
    std::iter::once(target).chain(others).collect()
}

fn select(items: Vec<SelectItem>, from: Vec<TableWithJoins>, selection: Option<Expr>) -> Result<Query> {
    let internal = |error| QueryError::internal(&error);
    let mut query = Parser::new(&PostgreSqlDialect {})
        .try_with_sql("SELECT 1")
        .and_then(|mut parser| parser.parse_query())
        .map_err(internal)?;
    if let SetExpr::Select(plain) = query.body.as_mut() {
        let plain: &mut Select = plain;
        (plain.projection, plain.from, plain.selection) = (items, from, selection);
    }
    Ok(*query)
}

fn column_of(table: &Ident, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), quoted(column)])
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// The column that `name` means: the exact one, else, for an unquoted name, the only one that differs in case.
fn column(target: &Target, name: &ObjectName) -> Result<usize> {
    let path = path_as_written(name);
    let [part] = path.0.as_slice() else {
        return Err(QueryError::not_supported("parts of a column cannot be assigned").at(span_of_name(name)));
    };
    let names: Vec<&str> = target
        .columns
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    if let Some(index) = names.iter().position(|name| *name == part.text) {
        return Ok(index);
    }
    let alike: Vec<usize> = (0..names.len())
        .filter(|&index| {
            !part.quoted
                && names
                    .get(index)
                    .is_some_and(|name| name.to_lowercase() == part.text)
        })
        .collect();
    if let [only] = alike.as_slice() {
        return Ok(*only);
    }
    let message = format!(
        "column \"{}\" of relation \"{}\" does not exist",
        part.text, target.name.table
    );
    let error = QueryError::new(SqlState::UNDEFINED_COLUMN, message).at(part.span);
    Err(match nearest(&part.text, names.into_iter()) {
        Some(nearest) => error.hint(format!("Perhaps you meant the column \"{nearest}\".")),
        None => error,
    })
}

fn span_of(expr: &Expr) -> Option<Span> {
    Span::try_from_sqlparser_span(expr.span())
}

fn span_of_name(name: &ObjectName) -> Option<Span> {
    Span::try_from_sqlparser_span(name.span())
}
