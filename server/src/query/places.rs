//! Where in a statement an error of the planner is, when the planner does not say.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Span};
use datafusion::sql::sqlparser::ast::{Expr, Statement, visit_expressions};

use super::catalog_syntax;
use super::references::first_span;
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// DataFusion's error as ours; a column without a span is looked for among the statement's names.
pub(super) fn with_place(error: DataFusionError, statement: &Statement) -> QueryError {
    let column = missing_column(&error);
    let found = QueryError::from(error);
    if found.span.is_some() {
        return found;
    }
    let span = match column {
        Some(column) => find_ident(statement, &column),
        None => missing_function(&found).and_then(|function| find_function(statement, function)),
    };
    found.at(span)
}

/// The name of the function that does not take its arguments.
fn missing_function(error: &QueryError) -> Option<&str> {
    let rest = error.message.strip_prefix("function ")?;
    let (name, _) = rest.split_once('(')?;
    (error.state == SqlState::UNDEFINED_FUNCTION).then_some(name)
}

/// Where `statement` calls a function for the first time.
fn find_function(statement: &Statement, name: &str) -> Option<Span> {
    let mut found = None;
    let _ = visit_expressions(statement, |expr| match expr {
        Expr::Function(function)
            if catalog_syntax::last_part(&function.name).is_some_and(|last| last == name) =>
        {
            found = first_span(&function.name);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found
}

fn missing_column(error: &DataFusionError) -> Option<String> {
    use datafusion::common::SchemaError;
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field } => {
                Some(field.name.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

fn find_ident(statement: &Statement, name: &str) -> Option<Span> {
    let mut found = None;
    let _ = visit_expressions(statement, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match ident {
            Some(ident) if ident.value.eq_ignore_ascii_case(name) => {
                found = Span::try_from_sqlparser_span(ident.span);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    found
}
