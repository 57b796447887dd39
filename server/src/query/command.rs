//! Statements about the session itself: SET, SHOW, RESET, DISCARD, transactions, savepoints. Answered at once.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    CloseCursor, ContextModifier, DiscardObject, Expr, Ident, ObjectName, Reset, Set, Statement,
    TransactionAccessMode, TransactionMode, Use, Value,
};

use super::ParsedStatement;
use crate::error::{QueryError, Result};
use crate::session::{Session, TransactionStatus};
use crate::sqlstate::SqlState;

/// The answer to a command: its tag, and rows for SHOW.
#[derive(Debug)]
pub struct CommandReply {
    /// The command tag, such as `SET`.
    pub tag: String,
    /// The rows, if the command has any.
    pub rows: Option<RecordBatch>,
}

impl CommandReply {
    fn tag(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            rows: None,
        }
    }
}

/// Whether `parsed` is one of the commands of [`run_command`], or a [`super::Refresh`].
pub fn is_command(parsed: &ParsedStatement) -> bool {
    matches!(
        parsed.statement,
        Statement::Set(_)
            | Statement::ShowVariable { .. }
            | Statement::Reset(_)
            | Statement::Discard { .. }
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::LISTEN { .. }
            | Statement::UNLISTEN { .. }
            | Statement::UNCache { .. }
            | Statement::Use(Use::Catalog(_))
            | Statement::Close {
                cursor: CloseCursor::All
            }
    )
}

/// The columns that a command will answer with: those of SHOW.
pub fn describe_command(session: &mut Session, parsed: &ParsedStatement) -> Result<Option<SchemaRef>> {
    match &parsed.statement {
        Statement::ShowVariable { variable } => Ok(show(session, variable)?.rows.map(|rows| rows.schema())),
        _ => Ok(None),
    }
}

/// Runs `parsed` if it is a command; `None` when it is something else.
pub async fn run_command(session: &mut Session, parsed: &ParsedStatement) -> Result<Option<CommandReply>> {
    let Session {
        settings,
        transaction,
        ..
    } = session;
    let tag = match &parsed.statement {
        Statement::Set(set) => return run_set(session, set).map(Some),
        Statement::ShowVariable { variable } => return show(session, variable).map(Some),
        Statement::Reset(reset) => {
            match &reset.reset {
                Reset::ALL => settings.reset_all(),
                Reset::ConfigurationParameter(name) => settings.reset(&dotted(name))?,
            }
            note_all(session);
            "RESET"
        }
        Statement::Discard { object_type } => match object_type {
            DiscardObject::ALL => {
                if transaction.status() != TransactionStatus::Idle {
                    let message = "DISCARD ALL cannot run inside a transaction block";
                    return Err(QueryError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
                }
                settings.reset_all();
                "DISCARD ALL"
            }
            DiscardObject::PLANS => "DISCARD PLANS",
            DiscardObject::SEQUENCES => "DISCARD SEQUENCES",
            DiscardObject::TEMP => "DISCARD TEMP",
        },
        Statement::StartTransaction { begin, modes, .. } => {
            begin_block(session, modes)?;
            if *begin { "BEGIN" } else { "START TRANSACTION" }
        }
        Statement::Commit { .. } => {
            if transaction.commit(settings).await? {
                "COMMIT"
            } else {
                "ROLLBACK"
            }
        }
        Statement::Rollback { savepoint: None, .. } => {
            transaction.rollback(settings).await?;
            "ROLLBACK"
        }
        Statement::Rollback {
            savepoint: Some(name),
            ..
        } => {
            transaction.rollback_to(&folded(name), settings).await?;
            "ROLLBACK"
        }
        Statement::Savepoint { name } => {
            transaction.savepoint(&folded(name), settings).await?;
            "SAVEPOINT"
        }
        Statement::ReleaseSavepoint { name } => {
            transaction.release(&folded(name))?;
            "RELEASE"
        }
        // Nobody notifies here: listening is to wait for nothing.
        Statement::LISTEN { .. } => "LISTEN",
        Statement::UNLISTEN { .. } => "UNLISTEN",
        Statement::Close {
            cursor: CloseCursor::All,
        } => "CLOSE CURSOR ALL",
        _ => return Ok(None),
    };
    Ok(Some(CommandReply::tag(tag)))
}

/// Whether `parsed` may run in a failed transaction block: what ends it, or returns to a savepoint.
pub(crate) fn ends_transaction(parsed: &ParsedStatement) -> bool {
    matches!(
        parsed.statement,
        Statement::Commit { .. } | Statement::Rollback { .. }
    )
}

/// A name as PostgreSQL folds it: in lower case unless it is quoted.
fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

/// BEGIN: the block may write unless it, or else the session, says that it may not.
fn begin_block(session: &mut Session, modes: &[TransactionMode]) -> Result<()> {
    let begins = session.transaction.status() == TransactionStatus::Idle;
    session.transaction.begin(&session.settings);
    if begins {
        match session.settings.default_read_only() {
            true => session.settings.set("transaction_read_only", "on")?,
            false => session.settings.reset("transaction_read_only")?,
        }
    }
    set_access(session, "transaction_read_only", modes, true)
}

/// READ ONLY or READ WRITE among the modes of a transaction. Isolation is the same at every level: each statement sees
/// its sources as they are.
fn set_access(session: &mut Session, name: &str, modes: &[TransactionMode], local: bool) -> Result<()> {
    for mode in modes {
        if let TransactionMode::AccessMode(access) = mode {
            let value = match access {
                TransactionAccessMode::ReadOnly => "on",
                TransactionAccessMode::ReadWrite => "off",
            };
            change_setting(session, name, Some(value), local)?;
        }
    }
    Ok(())
}

/// Every setting as it is now stays when the transaction is committed.
fn note_all(session: &mut Session) {
    let names: Vec<String> = session.settings.all().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        session.transaction.note_set(&name, &session.settings);
    }
}

fn run_set(session: &mut Session, set: &Set) -> Result<CommandReply> {
    let mut local = false;
    let (name, value) = match set {
        Set::SingleAssignment {
            variable,
            values,
            scope,
            ..
        } => {
            local = matches!(scope, Some(ContextModifier::Local));
            (dotted(variable), setting_value(values)?)
        }
        Set::SetTimeZone { value, local: only } => {
            local = *only;
            ("timezone".to_owned(), setting_value(std::slice::from_ref(value))?)
        }
        Set::SetNames { charset_name, .. } => {
            ("client_encoding".to_owned(), Some(charset_name.value.clone()))
        }
        Set::SetTransaction {
            modes, session: true, ..
        } => {
            set_access(session, "default_transaction_read_only", modes, false)?;
            return Ok(CommandReply::tag("SET"));
        }
        Set::SetTransaction { modes, .. } => {
            set_access(session, "transaction_read_only", modes, true)?;
            return Ok(CommandReply::tag("SET"));
        }
        Set::SetSessionParam(_) | Set::SetRole { role_name: None, .. } => {
            return Ok(CommandReply::tag("SET"));
        }
        other => return Err(QueryError::not_supported(format!("{other} is not supported"))),
    };
    change_setting(session, &name, value.as_deref(), local)?;
    Ok(CommandReply::tag("SET"))
}

/// Gives a setting a value, or its default. `local`: until the transaction ends.
pub fn change_setting(session: &mut Session, name: &str, value: Option<&str>, local: bool) -> Result<()> {
    if local && session.transaction.status() == TransactionStatus::Idle {
        // PostgreSQL warns and changes nothing.
        return Ok(());
    }
    match value {
        Some(value) => session.settings.set(name, value)?,
        None => session.settings.reset(name)?,
    }
    if !local {
        session.transaction.note_set(name, &session.settings);
    }
    Ok(())
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
