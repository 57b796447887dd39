//! The relations that a statement names: where they stand, how they are spelt, and the tables that they are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use causeway_spi::Table;
use datafusion::common::{Span, TableReference};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{ObjectName, Statement, TableFactor, Visit, Visitor, visit_relations};
use futures::{StreamExt, TryStreamExt, stream};

use super::plan::PlanContext;
use super::{complexity, identifiers};
use crate::catalog::{NamePart, TablePath};
use crate::error::{QueryError, Result};

/// Most tables of one statement that are asked for at the same time.
const RESOLVE_CONCURRENCY: usize = 8;
/// Most tables in one statement.
const TABLES_MAX: usize = 1_000;

/// Resolves every table that `statement` names, several at a time; common table expressions and those that are `known` are
/// left out.
pub(super) async fn resolve_tables(
    cx: &PlanContext,
    statement: &Statement,
    known: impl Fn(&TableReference) -> bool,
) -> Result<HashMap<TableReference, Arc<dyn Table>>> {
    let written = written_names(statement)?;
    let wrapped = DataFusionStatement::Statement(Box::new(statement.clone()));
    let (mut references, _ctes) = resolve_table_references(&wrapped, true)?;
    let functions = table_functions(statement);
    references.retain(|reference| !functions.contains(reference) && !known(reference));
    if references.len() > TABLES_MAX {
        return Err(complexity::too_complex(&format!(
            "it reads more than {TABLES_MAX} tables"
        )));
    }
    let resolved = stream::iter(references).map(|reference| {
        let path = written
            .get(&reference)
            .cloned()
            .unwrap_or_else(|| path_of(&reference));
        async move {
            let table = cx.view().resolve(&path).await?;
            Ok::<_, QueryError>((reference, table))
        }
    });
    resolved.buffered(RESOLVE_CONCURRENCY).try_collect().await
}

/// The functions that stand where a table may: `FROM generate_series(1, 3)`.
fn table_functions(statement: &Statement) -> HashSet<TableReference> {
    struct Search(HashSet<TableReference>);
    impl Visitor for Search {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table {
                name, args: Some(_), ..
            }
            | TableFactor::Function { name, .. } = factor
                && let Ok(reference) = object_name_to_table_reference(name.clone(), true)
            {
                self.0.insert(reference);
            }
            ControlFlow::Continue(())
        }
    }
    let mut search = Search(HashSet::new());
    let _ = statement.visit(&mut search);
    search.0
}

/// Each name of a relation as it is written first, with its place.
fn written_names(statement: &Statement) -> Result<HashMap<TableReference, TablePath>> {
    let mut names = HashMap::new();
    let outcome = visit_relations(statement, |name| {
        match object_name_to_table_reference(name.clone(), true) {
            Ok(reference) => {
                let path = path_as_written(name);
                match names.entry(reference) {
                    Entry::Vacant(entry) => {
                        entry.insert(path);
                    }
                    // What is quoted as well means the exact name: both are that, or it is not there.
                    Entry::Occupied(mut entry) if path.0.iter().any(|part| part.quoted) => {
                        entry.insert(path);
                    }
                    Entry::Occupied(_) => {}
                }
                ControlFlow::Continue(())
            }
            Err(_) => {
                let message = format!("improper qualified name (too many dotted names): {name}");
                ControlFlow::Break(QueryError::syntax(message).at(first_span(name)))
            }
        }
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(names),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The place of a name.
pub(super) fn first_span(name: &ObjectName) -> Option<Span> {
    let ident = name.0.first()?.as_ident()?;
    Span::try_from_sqlparser_span(ident.span)
}

/// A name with what tells exact spellings from others.
pub(super) fn path_as_written(name: &ObjectName) -> TablePath {
    let idents = name.0.iter().filter_map(|part| part.as_ident());
    TablePath(
        idents
            .map(|ident| NamePart {
                text: identifiers::folded(ident),
                quoted: ident.quote_style.is_some(),
                span: Span::try_from_sqlparser_span(ident.span),
            })
            .collect(),
    )
}

fn path_of(reference: &TableReference) -> TablePath {
    let parts = [reference.catalog(), reference.schema(), Some(reference.table())];
    let named = parts.into_iter().flatten();
    TablePath(
        named
            .map(|text| NamePart {
                text: text.to_owned(),
                quoted: true,
                span: None,
            })
            .collect(),
    )
}
