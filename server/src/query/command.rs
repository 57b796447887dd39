//! Statements about the session itself: SET, SHOW, RESET, DISCARD, transactions. Answered at once.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Reset, Set, Statement, Value};

use super::ParsedStatement;
use crate::error::{QueryError, Result};
use crate::session::{Session, TransactionStatus};

/// The answer to a command: its tag, and rows for SHOW.
#[derive(Debug)]
pub struct CommandReply {
    /// The command tag, such as `SET`.
    pub tag: String,
    /// The rows, if the command has any.
    pub rows: Option<RecordBatch>,
    /// The name of a setting that may have changed.
    pub changed: Option<String>,
}

impl CommandReply {
    fn tag(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            rows: None,
            changed: None,
        }
    }
}

/// Runs `parsed` if it is a command; `None` when it is a query.
pub fn run_command(session: &mut Session, parsed: &ParsedStatement) -> Result<Option<CommandReply>> {
    let reply = match &parsed.statement {
        Statement::Set(set) => run_set(session, set)?,
        Statement::ShowVariable { variable } => show(session, variable)?,
        Statement::Reset(reset) => match &reset.reset {
            Reset::ALL => {
                session.settings.reset_all();
                CommandReply::tag("RESET")
            }
            Reset::ConfigurationParameter(name) => {
                let name = dotted(name);
                session.settings.reset(&name)?;
                CommandReply {
                    changed: Some(name),
                    ..CommandReply::tag("RESET")
                }
            }
        },
        Statement::Discard { .. } => {
            session.settings.reset_all();
            CommandReply::tag("DISCARD ALL")
        }
        Statement::StartTransaction { begin, .. } => {
            session.transaction = TransactionStatus::InBlock;
            CommandReply::tag(if *begin { "BEGIN" } else { "START TRANSACTION" })
        }
        Statement::Commit { .. } => {
            let failed = session.transaction == TransactionStatus::Failed;
            session.transaction = TransactionStatus::Idle;
            CommandReply::tag(if failed { "ROLLBACK" } else { "COMMIT" })
        }
        Statement::Rollback { savepoint: None, .. } => {
            session.transaction = TransactionStatus::Idle;
            CommandReply::tag("ROLLBACK")
        }
        _ => return Ok(None),
    };
    Ok(Some(reply))
}

/// Whether `parsed` ends a transaction block, and so may run in a failed one.
pub(crate) fn ends_transaction(parsed: &ParsedStatement) -> bool {
    matches!(
        parsed.statement,
        Statement::Commit { .. } | Statement::Rollback { savepoint: None, .. }
    )
}

fn run_set(session: &mut Session, set: &Set) -> Result<CommandReply> {
    let (name, value) = match set {
        Set::SingleAssignment { variable, values, .. } => (dotted(variable), setting_value(values)?),
        Set::SetTimeZone { value, .. } => {
            ("timezone".to_owned(), setting_value(std::slice::from_ref(value))?)
        }
        Set::SetNames { charset_name, .. } => {
            ("client_encoding".to_owned(), Some(charset_name.value.clone()))
        }
        // Reads are the only transactions there are: each statement sees its sources as they are.
        Set::SetTransaction { .. } | Set::SetSessionParam(_) => return Ok(CommandReply::tag("SET")),
        other => return Err(QueryError::not_supported(format!("{other} is not supported"))),
    };
    match value {
        Some(value) => session.settings.set(&name, &value)?,
        None => session.settings.reset(&name)?,
    }
    Ok(CommandReply {
        changed: Some(name),
        ..CommandReply::tag("SET")
    })
}

/// The text of SET's values; `None` for DEFAULT. Several become a list, as for search_path.
fn setting_value(values: &[Expr]) -> Result<Option<String>> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") =>
            {
                return Ok(None);
            }
            Expr::Identifier(ident) => texts.push(ident.value.clone()),
            Expr::Value(literal) => texts.push(match &literal.value {
                Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text.clone(),
                Value::Number(number, _) => number.clone(),
                other => other.to_string(),
            }),
            Expr::UnaryOp { .. } => texts.push(value.to_string()),
            other => return Err(QueryError::syntax(format!("a setting cannot be set to {other}"))),
        }
    }
    Ok(Some(texts.join(", ")))
}

fn show(session: &Session, variable: &[Ident]) -> Result<CommandReply> {
    let words: Vec<String> = variable.iter().map(|ident| ident.value.to_lowercase()).collect();
    let name = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["all"] => return Ok(show_all(session)),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["time", "zone"] => "timezone".to_owned(),
        _ => words.join("."),
    };
    let value = session.settings.show(&name)?.to_owned();
    Ok(rows(vec![(name, vec![value])]))
}

fn show_all(session: &Session) -> CommandReply {
    let (names, values) = session
        .settings
        .all()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .unzip();
    rows(vec![("name".to_owned(), names), ("setting".to_owned(), values)])
}

fn rows(columns: Vec<(String, Vec<String>)>) -> CommandReply {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, _)| Field::new(name, DataType::Utf8View, false))
        .collect();
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|(_, values)| Arc::new(StringViewArray::from_iter_values(values)) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).ok();
    CommandReply {
        rows: batch,
        ..CommandReply::tag("SHOW")
    }
}

fn dotted(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    parts
        .map(|ident| ident.value.clone())
        .collect::<Vec<_>>()
        .join(".")
}
