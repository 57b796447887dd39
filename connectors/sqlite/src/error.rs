//! What SQLite reports, by kind, in words that name the catalog and the table, never the file's place.

use causeway_spi::{ConnectorError, ErrorKind, TableName};
use rusqlite::{Error, ErrorCode};

/// What was being done when an error came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doing<'a> {
    /// Opening the catalog's file, or reading its schema.
    Listing(&'a str),
    /// Reading rows of a table.
    Reading(&'a TableName),
    /// Describing or running a statement of a user's own.
    Native(&'a str),
}

impl Doing<'_> {
    fn catalog(&self) -> &str {
        match self {
            Self::Listing(catalog) | Self::Native(catalog) => catalog,
            Self::Reading(table) => &table.catalog,
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Listing(catalog) => format!("catalog {catalog}"),
            Self::Reading(table) => format!("table {table}"),
            Self::Native(catalog) => format!("the native statement for catalog {catalog}"),
        }
    }
}

/// The error of a driver's call.
pub(crate) fn translate(error: Error, doing: Doing<'_>) -> ConnectorError {
    let (code, message) = match &error {
        Error::SqliteFailure(failure, message) => (failure.code, message.clone().unwrap_or_default()),
        Error::SqlInputError { error, msg, .. } => (error.code, msg.clone()),
        _ => (ErrorCode::Unknown, String::new()),
    };
    let (catalog, object) = (doing.catalog(), doing.object());
    let native = match doing {
        Doing::Native(_) => native_error(code, &message, &object),
        _ => None,
    };
    if let Some(told) = native {
        return said(told, &message).source(error);
    }
    let file = format!("the file of catalog {catalog}");
    let translated = match code {
        ErrorCode::CannotOpen => {
            ConnectorError::new(ErrorKind::Unavailable, format!("could not open {file}"))
                .detail("The file is missing, or this server may not read it or its folder.")
                .hint("Check the option path of the catalog.")
        }
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            ConnectorError::new(ErrorKind::NotPermitted, format!("permission denied for {object}"))
        }
        ErrorCode::NotADatabase => {
            ConnectorError::new(ErrorKind::Source, format!("{file} is not a SQLite database"))
                .hint("Check the option path of the catalog. Encrypted files cannot be read.")
        }
        ErrorCode::DatabaseCorrupt => {
            ConnectorError::new(ErrorKind::InvalidData, format!("{file} is damaged"))
                .hint("Run PRAGMA integrity_check on it.")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            ConnectorError::new(ErrorKind::Timeout, format!("{file} is locked by another program"))
                .hint("Try again later, or raise the option busy_timeout of the catalog.")
        }
        ErrorCode::SystemIoFailure => {
            ConnectorError::new(ErrorKind::Unavailable, format!("could not read {file}"))
        }
        ErrorCode::ReadOnly => ConnectorError::new(ErrorKind::Unavailable, format!("could not open {file}"))
            .detail(
                "It was left unfinished by a program that writes it, and only such a program can recover it.",
            ),
        ErrorCode::OutOfMemory | ErrorCode::TooBig => ConnectorError::new(
            ErrorKind::LimitExceeded,
            format!("{object} is too large for SQLite's limits"),
        ),
        _ if message.starts_with("no such table") => {
            ConnectorError::new(ErrorKind::UnknownTable, format!("{object} does not exist"))
        }
        _ if message.starts_with("no such column") => ConnectorError::new(
            ErrorKind::UnknownColumn,
            format!("a column of {object} does not exist any more"),
        ),
        _ => said(
            ConnectorError::new(ErrorKind::Source, format!("could not read {object}")),
            &message,
        ),
    };
    translated.source(error)
}

/// What is the user's own doing. SQLite has one code for most of it, and English texts.
fn native_error(code: ErrorCode, message: &str, object: &str) -> Option<ConnectorError> {
    let begins = |starts: &[&str]| starts.iter().any(|start| message.starts_with(start));
    let is_syntax = message.contains("syntax error") || begins(&["incomplete input", "unrecognized token"]);
    let (kind, text) = match code {
        ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly => not_only_reads(object),
        ErrorCode::Unknown if begins(&["not authorized"]) => not_only_reads(object),
        ErrorCode::Unknown if is_syntax => (ErrorKind::Syntax, format!("syntax error in {object}")),
        ErrorCode::Unknown if begins(&["no such table"]) => {
            let text = format!("a table of {object} does not exist");
            (ErrorKind::UnknownTable, text)
        }
        ErrorCode::Unknown if begins(&["no such column"]) => {
            let text = format!("a column of {object} does not exist");
            (ErrorKind::UnknownColumn, text)
        }
        ErrorCode::Unknown => (ErrorKind::Source, format!("could not run {object}")),
        _ => return None,
    };
    Some(ConnectorError::new(kind, text))
}

fn not_only_reads(object: &str) -> (ErrorKind, String) {
    (ErrorKind::ReadOnly, format!("{object} does more than read"))
}

fn said(error: ConnectorError, message: &str) -> ConnectorError {
    match message {
        "" => error,
        message => error.detail(format!("SQLite says: {}.", message.trim_end_matches('.'))),
    }
}
