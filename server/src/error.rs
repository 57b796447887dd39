//! The one error of the server: a SQLSTATE and PostgreSQL's message fields. Everything below becomes one of these here.

mod engine;
mod planner;

use std::error::Error;
use std::fmt;

use causeway_spi::{ConnectorError, ErrorKind};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Span};

use crate::query::shown_in;
use crate::sqlstate::SqlState;
pub(crate) use engine::correlated;
use engine::from_engine;

/// The result of everything a client can cause.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// A refusal or failure as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// The SQLSTATE.
    pub state: SqlState,
    /// Lower case, no full stop, names the object.
    pub message: String,
    /// More facts, as sentences.
    pub detail: Option<String>,
    /// What the user can do, as a sentence.
    pub hint: Option<String>,
    /// Where in the statement's text, in characters from 1.
    pub position: Option<usize>,
    /// Where in the statement's text, in lines and columns, until the text is at hand.
    pub(crate) span: Option<Span>,
    /// The literal that is wrong, where nothing else tells the place.
    pub(crate) literal: Option<String>,
}

impl QueryError {
    /// Makes an error.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            span: None,
            literal: None,
        }
    }

    /// Adds facts.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place in the text.
    #[must_use]
    pub fn at(mut self, span: Option<Span>) -> Self {
        self.span = span.or(self.span);
        self
    }

    /// A syntax error.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(SqlState::SYNTAX_ERROR, message)
    }

    /// Something Causeway does not do.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// A statement that is nested or chained too deeply.
    pub fn too_complex(message: impl Into<String>) -> Self {
        Self::new(SqlState::STATEMENT_TOO_COMPLEX, message)
    }

    /// A fault of the server: the text goes to the log, not to the client.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(cause), "internal error");
        Self::new(SqlState::INTERNAL_ERROR, "internal error").hint("The server's log has the cause.")
    }

    /// Turns the line and column of the place into PostgreSQL's character position in `sql`.
    #[must_use]
    pub fn located(mut self, sql: &str) -> Self {
        if let (None, Some(span)) = (self.position, self.span) {
            self.position = character_position(sql, span.start.line, span.start.column);
        }
        if let (None, Some(text)) = (self.position, &self.literal) {
            let quoted = format!("'{}'", text.replace('\'', "''"));
            let before = sql.find(&quoted).and_then(|at| sql.get(..at));
            self.position = before.map(|before| before.chars().count() + 1);
        }
        self
    }
}

/// The character (from 1) at a line and column (both from 1) of `sql`.
fn character_position(sql: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?;
    let before: usize = sql
        .split('\n')
        .take(line)
        .map(|text| text.chars().count() + 1)
        .sum();
    let position = before + column;
    (column > 0 && position <= sql.chars().count() + 1).then_some(position)
}

/// An error and all its causes, for the log.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for QueryError {}

impl From<&ConnectorError> for QueryError {
    fn from(error: &ConnectorError) -> Self {
        // Rows that are written come through the contract, and their errors with them.
        let own = error
            .source()
            .and_then(|cause| cause.downcast_ref::<QueryError>());
        if let Some(own) = own {
            return own.clone();
        }
        // An expression of the query that a connector evaluated, over the names of folders for one.
        let of_engine = error
            .source()
            .and_then(|cause| cause.downcast_ref::<DataFusionError>())
            .map(from_engine)
            .filter(|found| found.state != SqlState::INTERNAL_ERROR);
        if let (ErrorKind::Internal, Some(found)) = (error.kind(), of_engine) {
            return found;
        }
        let state = match error.kind() {
            ErrorKind::UnknownCatalog => SqlState::UNDEFINED_CATALOG,
            ErrorKind::UnknownSchema => SqlState::UNDEFINED_SCHEMA,
            ErrorKind::UnknownTable => SqlState::UNDEFINED_TABLE,
            ErrorKind::UnknownColumn => SqlState::UNDEFINED_COLUMN,
            ErrorKind::Unavailable | ErrorKind::LoginRefused | ErrorKind::Timeout => {
                SqlState::FDW_UNABLE_TO_ESTABLISH_CONNECTION
            }
            ErrorKind::TooManyConnections => SqlState::TOO_MANY_CONNECTIONS,
            ErrorKind::Source | ErrorKind::InvalidData | ErrorKind::Configuration => SqlState::FDW_ERROR,
            ErrorKind::Changed => SqlState::SERIALIZATION_FAILURE,
            ErrorKind::OutOfRange => SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            ErrorKind::LimitExceeded => SqlState::PROGRAM_LIMIT_EXCEEDED,
            ErrorKind::NotPermitted => SqlState::INSUFFICIENT_PRIVILEGE,
            ErrorKind::Syntax => SqlState::SYNTAX_ERROR,
            ErrorKind::ReadOnly => SqlState::READ_ONLY_SQL_TRANSACTION,
            ErrorKind::LockTimeout => SqlState::LOCK_NOT_AVAILABLE,
            ErrorKind::DuplicateKey => SqlState::UNIQUE_VIOLATION,
            ErrorKind::OutOfMemory => SqlState::OUT_OF_MEMORY,
            ErrorKind::DiskFull => SqlState::DISK_FULL,
            ErrorKind::NotSupported => SqlState::FEATURE_NOT_SUPPORTED,
            ErrorKind::Internal => {
                tracing::error!(error = %chain(error), "internal error of a connector");
                SqlState::INTERNAL_ERROR
            }
        };
        if error.source().is_some() {
            tracing::debug!(error = %chain(error), "error of a source");
        }
        Self {
            detail: error.detail_text().map(str::to_owned),
            hint: error.hint_text().map(str::to_owned),
            ..Self::new(state, error.message())
        }
    }
}

impl From<ConnectorError> for QueryError {
    fn from(error: ConnectorError) -> Self {
        Self::from(&error)
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        // Errors of our own travel through DataFusion as causes: they are looked for first, at any depth.
        if let Some(found) = find_own(&error) {
            return found;
        }
        let mut found = from_engine(&error);
        // The engine knows columns by names that may be marked.
        found.message = shown_in(&found.message);
        found.hint = found.hint.as_deref().map(shown_in);
        found
    }
}

/// An error of ours anywhere in the causes of `error`.
fn find_own(error: &(dyn Error + 'static)) -> Option<QueryError> {
    let mut current: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = current {
        if let Some(error) = cause.downcast_ref::<ConnectorError>() {
            return Some(QueryError::from(error));
        }
        if let Some(error) = cause.downcast_ref::<QueryError>() {
            return Some(error.clone());
        }
        // These two hide their cause behind a Box or an Arc that `source()` steps over.
        current = match cause.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            Some(DataFusionError::ParquetError(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => {
                Some(inner.as_ref())
            }
            Some(DataFusionError::Collection(errors)) => {
                errors.first().map(|inner| inner as &(dyn Error + 'static))
            }
            _ => match cause.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => cause.source(),
            },
        };
    }
    None
}

/// A name in quotes, as it can be pasted into a statement.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The candidate that is most like `name`, if any is near enough to be a typing mistake.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .map(|candidate| (edit_distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= wanted.chars().count().div_ceil(3))
        // Of those that differ in case, the one that is spelled more alike.
        .min_by_key(|(distance, candidate)| (*distance, edit_distance(name, candidate), *candidate))
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two short names.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, left) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_characters_over_lines() {
        let sql = "SELECT 'ä'\nFROM nope";
        assert_eq!(character_position(sql, 2, 6), Some(17));
        assert_eq!(sql.chars().nth(16), Some('n'));
        assert_eq!(character_position(sql, 9, 1), None);
    }

    #[test]
    fn names_are_shown_without_their_marks() {
        let error = DataFusionError::Plan("column c0\u{0}12 is not there, nor is c1\u{0}3".to_owned());
        let shown = QueryError::from(error).message;
        assert!(!shown.contains('\0'), "{shown}");
        assert!(shown.contains("c0 is not there, nor is c1"), "{shown}");
    }

    #[test]
    fn own_error_is_found_below_arrow_and_datafusion() {
        let own = ConnectorError::new(ErrorKind::UnknownTable, "table shop.a.b does not exist");
        let arrow = ArrowError::ExternalError(Box::new(DataFusionError::from(own)));
        let error = DataFusionError::Context("reading".into(), Box::new(DataFusionError::from(arrow)));
        let found = QueryError::from(error);
        assert_eq!(found.state, SqlState::UNDEFINED_TABLE);
        assert_eq!(found.message, "table shop.a.b does not exist");
    }

    #[test]
    fn nearest_is_a_typing_mistake_only() {
        assert_eq!(
            nearest("custmer", ["customer", "orders"].into_iter()),
            Some("customer")
        );
        let spellings = ["Orders", "orders", "ORDERS"];
        assert_eq!(nearest("ordrs", spellings.into_iter()), Some("orders"));
        assert_eq!(nearest("Ordrs", spellings.into_iter()), Some("Orders"));
        assert_eq!(nearest("xyz", ["customer", "orders"].into_iter()), None);
    }
}
