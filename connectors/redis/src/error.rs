//! What the server and the driver report, by kind, in words that name the catalog or the table.

use std::fmt;

use causeway_spi::{ConnectorError, ErrorKind, TableName};
use redis::{RedisError, ServerError};

use crate::connections::NO_HANDSHAKE;

/// What was being read when an error came: it names the object in the message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doing<'a> {
    /// Reaching the catalog.
    Connecting(&'a str),
    /// Reading rows or the size of a table.
    Reading(&'a TableName),
}

impl Doing<'_> {
    fn catalog(&self) -> &str {
        match self {
            Self::Connecting(catalog) => catalog,
            Self::Reading(table) => &table.catalog,
        }
    }
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(catalog) => write!(f, "catalog {catalog}"),
            Self::Reading(table) => write!(f, "table {table}"),
        }
    }
}

/// The error of a driver's call.
pub(crate) fn translate(error: RedisError, doing: Doing<'_>) -> ConnectorError {
    // A refused transaction hides the answer that says why among those of its commands.
    if let Some(first) = error
        .clone()
        .into_server_errors()
        .and_then(|errors| errors.first().cloned())
    {
        return answered(Some(first.1.code()), first.1.details().unwrap_or_default(), doing).source(error);
    }
    let translated = match error.kind() {
        redis::ErrorKind::AuthenticationFailed => login_refused(doing),
        redis::ErrorKind::Io if error.to_string().contains(NO_HANDSHAKE) => no_answer(doing).hint(PLAIN_HINT),
        redis::ErrorKind::Io if error.is_timeout() => no_answer(doing),
        redis::ErrorKind::Io => unreachable_with(&error.to_string(), doing),
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
            return answered(error.code(), error.detail().unwrap_or_default(), doing).source(error);
        }
        _ => ConnectorError::new(
            ErrorKind::Source,
            format!("could not understand the Redis server's answer for {doing}"),
        ),
    };
    translated.source(error)
}

/// Nothing came before the deadline.
fn no_answer(doing: Doing<'_>) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Timeout,
        format!("the Redis server of {doing} did not answer in time"),
    )
}

/// The error of one command of a pipeline.
pub(crate) fn translate_answer(error: ServerError, doing: Doing<'_>) -> ConnectorError {
    translate(error.into(), doing)
}

/// An answer of another shape than the command's.
pub(crate) fn unexpected_answer(command: &str, doing: Doing<'_>) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Source,
        format!("could not understand the Redis server's answer to {command} for {doing}"),
    )
}

const PLAIN_HINT: &str = "Set tls = \"off\" if the server has no TLS at this port.";

pub(crate) const PERMISSIONS_HINT: &str =
    "Give the user +@read +@connection +@transaction and the keys of the table (~prefix*).";

/// An error the server itself answered with, by its code, the first word of the answer.
fn answered(code: Option<&str>, detail: &str, doing: Doing<'_>) -> ConnectorError {
    let code = code.unwrap_or("ERR");
    let text = sentence(format!("{code} {detail}").trim());
    match code {
        "NOAUTH" | "WRONGPASS" => login_refused(doing).detail(text),
        // The driver drops the code of a refused SELECT.
        _ if detail.starts_with("Authentication required") => login_refused(doing).detail(text),
        "NOPERM" => ConnectorError::new(
            ErrorKind::NotPermitted,
            format!(
                "the login of catalog {} has no permission to read {doing}",
                doing.catalog()
            ),
        )
        .detail(text)
        .hint(PERMISSIONS_HINT),
        "LOADING" | "MASTERDOWN" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" => unavailable(doing).detail(text),
        "MOVED" | "ASK" | "CROSSSLOT" => ConnectorError::new(
            ErrorKind::NotSupported,
            format!("cannot read {doing} from a Redis Cluster"),
        )
        .detail(text),
        _ => ConnectorError::new(
            ErrorKind::Source,
            format!("the Redis server answered with an error for {doing}"),
        )
        .detail(text),
    }
}

/// What kept the connection from being made or broke it; the words are the driver's.
fn unreachable_with(text: &str, doing: Doing<'_>) -> ConnectorError {
    let error = unavailable(doing).detail(sentence(text));
    // The driver gives what went wrong in a handshake as text only.
    if text.contains("InvalidContentType") || text.contains("corrupt message") {
        error.hint(PLAIN_HINT)
    } else if text.contains("certificate") {
        error.hint("Check the options tls, ca_file, cert_file and key_file of the catalog.")
    } else {
        error
    }
}

fn unavailable(doing: Doing<'_>) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Unavailable,
        format!("could not reach the Redis server of {doing}"),
    )
}

fn login_refused(doing: Doing<'_>) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::LoginRefused,
        format!(
            "the Redis server refused the login of catalog {}",
            doing.catalog()
        ),
    )
    .hint("Check the options username and password of the catalog.")
}

/// A sentence of its own: a capital first, a full stop last.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds() {
        let table = TableName::new("cache", "public", "part");
        let kind = |code: &str, detail: &str| answered(Some(code), detail, Doing::Reading(&table)).kind();
        assert_eq!(
            kind("NOAUTH", "Authentication required."),
            ErrorKind::LoginRefused
        );
        assert_eq!(kind("ERR", "Authentication required."), ErrorKind::LoginRefused);
        assert_eq!(kind("NOPERM", "no permissions"), ErrorKind::NotPermitted);
        assert_eq!(kind("LOADING", "dataset in memory"), ErrorKind::Unavailable);
        assert_eq!(kind("MOVED", "1 127.0.0.1:1"), ErrorKind::NotSupported);
        assert_eq!(kind("ERR", "syntax error"), ErrorKind::Source);
        let error = answered(Some("ERR"), "syntax error", Doing::Reading(&table));
        assert_eq!(
            error.message(),
            "the Redis server answered with an error for table cache.public.part"
        );
        assert_eq!(error.detail_text(), Some("ERR syntax error."));
    }
}
