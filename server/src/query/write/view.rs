//! CREATE VIEW: a query whose names are made to mean the same in every session, and its columns.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use causeway_spi::{TableName, ViewDefinition};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    CreateTableOptions, CreateView, Ident, ObjectName, Statement, TableAlias, TableFactor, Value,
    ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut, visit_relations_mut,
};

use super::super::parse::parse;
use super::super::plan::{Request, prepare_request};
use super::super::{Engine, ParsedStatement, PlanContext};
use super::definition::folded;
use super::new_name;
use super::structure::{Catalog, Done, Notice, find};
use crate::error::{QueryError, Result};
use crate::session::Writes;
use crate::sqlstate::SqlState;

/// What CREATE VIEW defines. Must run on a thread with a large stack. Errors: what is wrong with its query, as everywhere.
pub async fn define_view(
    engine: &Engine,
    cx: PlanContext,
    parsed: &ParsedStatement,
) -> Result<ViewDefinition> {
    let Statement::CreateView(create) = &parsed.statement else {
        return Err(QueryError::not_supported("this statement defines no view"));
    };
    check_form(create)?;
    let written = Statement::Query(create.query.clone());
    let request = Request {
        written: written.clone(),
        explain: None,
        own: HashMap::new(),
        assigned: None,
    };
    let prepared = prepare_request(engine, cx.clone(), request, &[]).await?;
    if !prepared.parameters.is_empty() {
        return Err(QueryError::new(
            SqlState::UNDEFINED_PARAMETER,
            "there is no parameter $1",
        ));
    }
    let columns = named_columns(create, prepared.describe()?.as_ref())?;
    let resolved: HashMap<TableReference, TableName> = prepared.resolved.clone();
    let mut reads: Vec<TableName> = resolved.values().cloned().collect();
    reads.sort();
    reads.dedup();
    let mut canonical = written;
    name_in_full(&mut canonical, &resolved)?;
    let view = ViewDefinition {
        sql: canonical.to_string(),
        columns,
        reads,
    };
    // Its text must mean what was written: it is read and planned as it will be when the view is used.
    let again = parse(&view.sql)?
        .into_iter()
        .next()
        .map(|parsed| parsed.statement);
    let request = Request {
        written: again.unwrap_or(canonical),
        explain: None,
        own: HashMap::new(),
        assigned: None,
    };
    prepare_request(engine, cx, request, &[]).await.map_err(|error| {
        let message = "this view's query is not supported: its names cannot be written in full";
        QueryError::not_supported(message).detail(error.message)
    })?;
    Ok(view)
}

fn check_form(create: &CreateView) -> Result<()> {
    let refused = if create.materialized {
        "a materialized view"
    } else if create.temporary {
        "a temporary view"
    } else if create.if_not_exists {
        "CREATE VIEW IF NOT EXISTS"
    } else if create.options != CreateTableOptions::None
        || create.with_no_schema_binding
        || create.to.is_some()
    {
        "a view with options"
    } else {
        return Ok(());
    };
    Err(QueryError::not_supported(format!("{refused} is not supported")))
}

fn named_columns(create: &CreateView, schema: &Schema) -> Result<SchemaRef> {
    if create.columns.len() > schema.fields().len() {
        return Err(QueryError::syntax(
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    let mut seen = HashSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let name = create
            .columns
            .get(index)
            .map_or_else(|| field.name().clone(), |column| folded(&column.name));
        if !seen.insert(name.clone()) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        fields.push(Field::new(name, field.data_type().clone(), true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Writes every table's name in full, with the name it had as an alias, so that its columns are found as before.
fn name_in_full(statement: &mut Statement, resolved: &HashMap<TableReference, TableName>) -> Result<()> {
    let mut ctes = CteNames(HashSet::new());
    let _ = Visit::visit(statement, &mut ctes);
    let hidden = |reference: &TableReference| matches!(reference, TableReference::Bare { table } if ctes.0.contains(table.as_ref()));
    if resolved.keys().any(hidden) {
        let message = "a view with a WITH query that has the name of a table it reads is not supported";
        return Err(QueryError::not_supported(message).hint("Give the WITH query another name."));
    }
    let _ = VisitMut::visit(statement, &mut FullNames(resolved));
    Ok(())
}

struct CteNames(HashSet<String>);

impl Visitor for CteNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &datafusion::sql::sqlparser::ast::Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(ctes.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }
}

struct FullNames<'a>(&'a HashMap<TableReference, TableName>);

impl VisitorMut for FullNames<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        let found = object_name_to_table_reference(name.clone(), true).ok();
        let Some(full) = found.and_then(|reference| self.0.get(&reference)) else {
            return ControlFlow::Continue(());
        };
        let last = name.0.last().and_then(|part| part.as_ident()).map(folded);
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: quoted(&last.unwrap_or_default()),
            columns: Vec::new(),
            at: None,
        });
        *name = full_name(full);
        ControlFlow::Continue(())
    }

    /// The parser prints a text as it is where it takes its quotes for doubled ones: `x = ''` in a native statement.
    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::SingleQuotedString(text) = &mut value.value
            && (text.contains("''") || text.contains("\\'"))
        {
            value.value = Value::EscapedStringLiteral(std::mem::take(text));
        }
        ControlFlow::Continue(())
    }
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn full_name(name: &TableName) -> ObjectName {
    ObjectName::from(vec![
        quoted(&name.catalog),
        quoted(&name.schema),
        quoted(&name.table),
    ])
}

/// `view` after one of the tables that it reads was given another name.
pub(super) fn with_renamed(
    view: &ViewDefinition,
    from: &TableName,
    to: &TableName,
) -> Result<ViewDefinition> {
    let mut statements = parse(&view.sql)?;
    let (old, new) = (full_name(from), full_name(to));
    let plain = |name: &ObjectName| name.to_string();
    for parsed in &mut statements {
        let _ = visit_relations_mut(&mut parsed.statement, |name| {
            if plain(name) == plain(&old) {
                *name = new.clone();
            }
            ControlFlow::<()>::Continue(())
        });
    }
    let texts: Vec<String> = statements
        .iter()
        .map(|parsed| parsed.statement.to_string())
        .collect();
    let reads = view.reads.iter();
    Ok(ViewDefinition {
        sql: texts.join("; "),
        columns: Arc::clone(&view.columns),
        reads: reads
            .map(|read| if read == from { to.clone() } else { read.clone() })
            .collect(),
    })
}

/// Puts a defined view into its catalog. Errors: 42P07, 42809 for a table of that name, 42P16 for other columns than the
/// view that it replaces.
pub async fn put_view(
    cx: &PlanContext,
    writes: &mut Writes,
    parsed: &ParsedStatement,
    view: &ViewDefinition,
) -> Result<Done> {
    let Statement::CreateView(create) = &parsed.statement else {
        return Err(QueryError::not_supported("this statement defines no view"));
    };
    let name = new_name(cx, &create.name).await?;
    if let Some(old) = find(cx, &Catalog::path(&name)).await? {
        let Some(old) = old.view() else {
            let message = format!("\"{}\" is not a view", name.table);
            return Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message));
        };
        if !create.or_replace {
            let message = format!("relation \"{}\" already exists", name.table);
            return Err(QueryError::new(SqlState::DUPLICATE_TABLE, message));
        }
        check_replaced(&old.columns, &view.columns, &name)?;
        let catalog = Catalog::of(writes).await?;
        let readers = catalog.readers(std::slice::from_ref(&name));
        if view
            .reads
            .iter()
            .any(|read| *read == name || readers.contains(read))
        {
            let message = format!("view \"{}\" would read itself", name.table);
            return Err(QueryError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
    }
    writes.transaction.put_view(&name, view).await?;
    Ok(Done::new("CREATE VIEW", Vec::<Notice>::new()))
}

fn check_replaced(old: &Schema, new: &Schema, name: &TableName) -> Result<()> {
    let kept = old.fields().iter().zip(new.fields());
    let same = kept
        .into_iter()
        .all(|(old, new)| old.name() == new.name() && old.data_type() == new.data_type());
    if same && new.fields().len() >= old.fields().len() {
        return Ok(());
    }
    let message = format!("cannot change or drop the columns of view \"{}\"", name.table);
    Err(QueryError::new(SqlState::INVALID_TABLE_DEFINITION, message)
        .hint("Add columns at the end, or drop the view and create it again."))
}
