//! `system.remote('shop', 'SELECT ...')` in a FROM clause: a statement in the source's own language, as a table.
//!
//! Stands before the resolution of names. Each call becomes the name of a table that no statement can write, and the source
//! describes the statement, so that all later stages see a table like any other.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use causeway_spi::Table;
use datafusion::common::{Span, TableReference};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Spanned, Statement, TableAlias,
    TableFactor, Value, VisitMut, VisitorMut,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::complexity;
use super::plan::PlanContext;
use super::references::{first_span, path_as_written};
use crate::catalog::NamePart;
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

const SCHEMA: &str = "system";
const FUNCTION: &str = "remote";

/// Most native statements of one statement.
const CALLS_MAX: usize = 100;
/// Most of them that are described at the same time.
const DESCRIBE_CONCURRENCY: usize = 4;

/// A native statement and where it is sent.
#[derive(Debug)]
pub(super) struct RemoteCall {
    reference: TableReference,
    catalog: NamePart,
    text: String,
    span: Option<Span>,
}

impl RemoteCall {
    /// Whether `reference` stands for it.
    pub(super) fn is(&self, reference: &TableReference) -> bool {
        self.reference == *reference
    }
}

/// Takes the calls out of `statement`: a name stands in the place of each, the same where the call is the same.
///
/// Errors: 42883 for other arguments than two; 0A000 for what is not a literal; 22023 for NULL.
pub(super) fn take_calls(statement: &mut Statement) -> Result<Vec<RemoteCall>> {
    let mut search = Search { calls: Vec::new() };
    match VisitMut::visit(statement, &mut search) {
        ControlFlow::Continue(()) => Ok(search.calls),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The tables that `calls` are, as their sources describe them. Errors: 3D000 for an unknown catalog, 0A000 for one that
/// takes no native statements, 42501 for a user who may not send any, and what the source says.
pub(super) async fn describe_calls(
    cx: &PlanContext,
    calls: Vec<RemoteCall>,
) -> Result<HashMap<TableReference, Arc<dyn Table>>> {
    // All of them are allowed before the first source is asked.
    for call in &calls {
        check_access(cx, call)?;
    }
    let described = stream::iter(calls).map(|call| async move {
        let table = describe(cx, &call).await?;
        Ok::<_, QueryError>((call.reference, table))
    });
    described.buffered(DESCRIBE_CONCURRENCY).try_collect().await
}

fn check_access(cx: &PlanContext, call: &RemoteCall) -> Result<()> {
    let view = cx.view();
    let (catalog, connector) = view.catalogs.catalog_named(&call.catalog)?;
    if connector.passthrough().is_none() {
        let message = format!(
            "catalog \"{catalog}\" ({}) takes no native statements",
            connector.kind()
        );
        return Err(QueryError::not_supported(message).at(call.catalog.span));
    }
    if cx.remote().access.allows(&view.user, &catalog) {
        return Ok(());
    }
    let message = format!("permission denied for native statements of catalog \"{catalog}\"");
    let option = cx.remote().access.option_for(&view.user);
    Err(QueryError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        .at(call.span)
        .hint(format!("The option {option} names the catalogs that take them.")))
}

async fn describe(cx: &PlanContext, call: &RemoteCall) -> Result<Arc<dyn Table>> {
    let (_, connector) = cx.view().catalogs.catalog_named(&call.catalog)?;
    let Some(passthrough) = connector.passthrough() else {
        return Err(QueryError::not_supported(
            "this catalog takes no native statements",
        ));
    };
    let table = passthrough.statement(&call.text, cx.remote().rows_max).await;
    table.map_err(|error| QueryError::from(error).at(call.span))
}

struct Search {
    calls: Vec<RemoteCall>,
}

impl VisitorMut for Search {
    type Break = QueryError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        match self.replace(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Search {
    fn replace(&mut self, factor: &mut TableFactor) -> Result<()> {
        match factor {
            TableFactor::Function { name, .. } if is_remote(name) => Err(QueryError::not_supported(
                "LATERAL system.remote(..) is not supported",
            )
            .at(first_span(name))),
            TableFactor::Table {
                name,
                with_ordinality: true,
                args: Some(_),
                ..
            } if is_remote(name) => Err(QueryError::not_supported(
                "system.remote(..) WITH ORDINALITY is not supported",
            )
            .at(first_span(name))),
            TableFactor::Table {
                name,
                alias,
                args: args @ Some(_),
                ..
            } if is_remote(name) => {
                let given = args.take().map(|args| args.args).unwrap_or_default();
                let call = self.call(name, &given)?;
                // A function's columns are qualified by its name.
                alias.get_or_insert_with(|| TableAlias {
                    explicit: true,
                    name: Ident::with_quote('"', FUNCTION),
                    columns: Vec::new(),
                    at: None,
                });
                *name = ObjectName::from(vec![Ident::with_quote('"', call)]);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes a call and returns the name that stands for it.
    fn call(&mut self, name: &ObjectName, args: &[FunctionArg]) -> Result<String> {
        let [catalog, text] = args else {
            let message = format!(
                "function system.remote with {} arguments does not exist",
                args.len()
            );
            return Err(QueryError::new(SqlState::UNDEFINED_FUNCTION, message)
                .at(first_span(name))
                .hint("Write system.remote('catalog', 'statement')."));
        };
        let (catalog, catalog_span) = literal(catalog)?;
        let (text, span) = literal(text)?;
        let same = |call: &RemoteCall| call.catalog.text == catalog && call.text == text;
        if let Some(known) = self.calls.iter().find(|call| same(call)) {
            return Ok(known.reference.table().to_owned());
        }
        if self.calls.len() >= CALLS_MAX {
            return Err(complexity::too_complex(&format!(
                "it has more than {CALLS_MAX} native statements"
            )));
        }
        let standing = format!("?remote {}?", self.calls.len() + 1);
        self.calls.push(RemoteCall {
            reference: TableReference::bare(standing.clone()),
            catalog: NamePart {
                text: catalog,
                quoted: true,
                span: catalog_span,
            },
            text,
            span,
        });
        Ok(standing)
    }
}

fn is_remote(name: &ObjectName) -> bool {
    let path = path_as_written(name);
    matches!(path.0.as_slice(), [schema, function] if schema.text == SCHEMA && function.text == FUNCTION)
}

/// What stands as an argument.
enum Argument {
    Text(String),
    Null,
    /// What has a value only when the statement runs, or is no text.
    Other,
}

/// The text of an argument, and its place.
fn literal(arg: &FunctionArg) -> Result<(String, Option<Span>)> {
    let span = Span::try_from_sqlparser_span(arg.span());
    let argument = match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => argument(expr),
        _ => Argument::Other,
    };
    match argument {
        Argument::Text(text) => Ok((text, span)),
        Argument::Null => {
            let message = "an argument of system.remote is NULL";
            Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(span))
        }
        Argument::Other => {
            let message = "an argument of system.remote is not a literal";
            Err(QueryError::not_supported(message).at(span).hint(
                "The statement is described by its source before any value is known: write it as a literal, and \
                 put conditions above it.",
            ))
        }
    }
}

fn argument(expr: &Expr) -> Argument {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Argument::Text(text.clone())
            }
            Value::DollarQuotedString(quoted) => Argument::Text(quoted.value.clone()),
            Value::Null => Argument::Null,
            _ => Argument::Other,
        },
        Expr::Nested(inner)
        | Expr::Cast {
            expr: inner,
            data_type: DataType::Text | DataType::Varchar(None),
            ..
        } => argument(inner),
        _ => Argument::Other,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn taken(sql: &str) -> Result<(String, Vec<RemoteCall>)> {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        let mut statement = statements.remove(0);
        let calls = take_calls(&mut statement)?;
        Ok((statement.to_string(), calls))
    }

    #[test]
    fn calls_become_names() {
        let (sql, calls) = taken(
            "SELECT * FROM System.remote('shop', $$SELECT 'a'$$) JOIN system.remote('shop', 'SELECT 2') AS b ON true \
             WHERE EXISTS (SELECT 1 FROM system.remote('shop', 'SELECT ''a''')) AND x IN (SELECT 1 FROM system.queries)",
        )
        .unwrap();
        assert_eq!(
            sql,
            "SELECT * FROM \"?remote 1?\" AS \"remote\" JOIN \"?remote 2?\" AS b ON true WHERE EXISTS (SELECT 1 FROM \
             \"?remote 1?\" AS \"remote\") AND x IN (SELECT 1 FROM system.queries)"
        );
        let texts: Vec<&str> = calls.iter().map(|call| call.text.as_str()).collect();
        assert_eq!(texts, ["SELECT 'a'", "SELECT 2"]);
    }

    #[test]
    fn arguments_are_two_literals() {
        for (arguments, sqlstate) in [
            ("'shop'", "42883"),
            ("", "42883"),
            ("'shop', 'SELECT 1', 3", "42883"),
            ("'shop', NULL", "22023"),
            ("NULL::text, 'SELECT 1'", "22023"),
            ("'shop', 'a' || 'b'", "0A000"),
            ("'shop', $1", "0A000"),
            ("'shop', 1", "0A000"),
            ("catalog => 'shop', statement => 'SELECT 1'", "0A000"),
            ("'shop', (SELECT 'SELECT 1')", "0A000"),
        ] {
            let error = taken(&format!("SELECT * FROM system.remote({arguments})")).unwrap_err();
            assert_eq!(error.state.code(), sqlstate, "{arguments}");
        }
        assert!(taken("SELECT * FROM system.remote(('shop'), 'SELECT 1'::text)").is_ok());
        assert!(taken("SELECT * FROM other.remote(1)").unwrap().1.is_empty());
    }
}
