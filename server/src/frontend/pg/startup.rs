//! The start of a connection: encryption requests, CancelRequest, StartupMessage. Ends in a session or in nothing.

use std::sync::Arc;

use bytes::BytesMut;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus as WireStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::OwnedSemaphorePermit;

use super::Endpoint;
use super::error::{Severity, append, response};
use super::reader::{ReadError, Reader};
use crate::catalog::ALL_CATALOGS;
use crate::error::QueryError;
use crate::session::Session;
use crate::sqlstate::SqlState;

const SSL_REQUEST: i32 = 80_877_103;
const GSS_ENCRYPTION_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;
const PROTOCOL_MAJOR: i32 = 3;
/// Most encryption requests before the start: one of each kind.
const ENCRYPTION_REQUESTS_MAX: usize = 2;

/// Brings a connection to its first ReadyForQuery. `None`: it was a cancel request, was refused, or has gone.
pub(super) async fn start(
    reader: &mut Reader,
    writer: &mut OwnedWriteHalf,
    session_id: i32,
    endpoint: &Endpoint,
) -> Result<Option<(Session, OwnedSemaphorePermit)>, ReadError> {
    let Some((code, body)) = first_request(reader, writer).await? else {
        return Ok(None);
    };
    if code == CANCEL_REQUEST {
        cancel(&body, endpoint);
        return Ok(None);
    }
    let parameters = match parse_startup(code, &body) {
        Ok(parameters) => parameters,
        Err(error) => return Err(ReadError::Protocol(error)),
    };
    let mut out = BytesMut::new();
    // Cancel requests come on connections of their own: only sessions count.
    let opened = open_session(session_id, &parameters, endpoint).and_then(|session| {
        match Arc::clone(&endpoint.permits).try_acquire_owned() {
            Ok(permit) => Ok((session, permit)),
            Err(_) => Err(QueryError::new(
                SqlState::TOO_MANY_CONNECTIONS,
                "sorry, too many clients already",
            )),
        }
    });
    let (session, permit) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            append(&mut out, &response(&error, Severity::Fatal, None));
            writer.write_all(&out).await?;
            return Ok(None);
        }
    };
    greet(&mut out, &session, code & 0xffff, &parameters, endpoint);
    writer.write_all(&out).await?;
    Ok(Some((session, permit)))
}

/// The first request that is not about encryption; those are answered "no": there is no TLS yet.
async fn first_request(
    reader: &mut Reader,
    writer: &mut OwnedWriteHalf,
) -> Result<Option<(i32, BytesMut)>, ReadError> {
    for _ in 0..=ENCRYPTION_REQUESTS_MAX {
        let Some((code, body)) = reader.first_packet().await? else {
            return Ok(None);
        };
        if code != SSL_REQUEST && code != GSS_ENCRYPTION_REQUEST {
            return Ok(Some((code, body)));
        }
        if reader.has_unread() {
            // Bytes sent before our answer could have been put there by somebody else.
            let message = "received unencrypted data after an encryption request";
            return Err(ReadError::Protocol(QueryError::new(
                SqlState::PROTOCOL_VIOLATION,
                message,
            )));
        }
        writer.write_all(b"N").await?;
    }
    let message = "too many encryption requests";
    Err(ReadError::Protocol(QueryError::new(
        SqlState::PROTOCOL_VIOLATION,
        message,
    )))
}

fn cancel(body: &[u8], endpoint: &Endpoint) {
    let number = |range: std::ops::Range<usize>| {
        let bytes: [u8; 4] = body.get(range)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    };
    if let (Some(session_id), Some(secret), 8) = (number(0..4), number(4..8), body.len()) {
        endpoint.cancels.cancel(session_id, secret);
    }
}

/// The parameters of a StartupMessage: pairs of texts that each end in a zero byte, then one more.
fn parse_startup(code: i32, body: &[u8]) -> Result<Vec<(String, String)>, QueryError> {
    let wrong = |message: &str| QueryError::new(SqlState::PROTOCOL_VIOLATION, message);
    if code >> 16 != PROTOCOL_MAJOR {
        let message = format!(
            "unsupported frontend protocol {}.{}: server supports 3.0",
            code >> 16,
            code & 0xffff
        );
        return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let Some(body) = body.strip_suffix(&[0]) else {
        return Err(wrong(
            "invalid startup packet layout: expected terminator as last byte",
        ));
    };
    let mut texts = Vec::new();
    for text in body.split(|byte| *byte == 0) {
        texts.push(String::from_utf8(text.to_vec()).map_err(|_| wrong("startup packet is not valid UTF-8"))?);
    }
    // A body of pairs ends in a zero byte of its own, after which `split` gives one empty text.
    if texts.pop().is_some_and(|last| !last.is_empty()) || texts.len() % 2 != 0 {
        return Err(wrong("invalid startup packet layout"));
    }
    let mut texts = texts.into_iter();
    let mut parameters = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        parameters.push((name, value));
    }
    Ok(parameters)
}

fn open_session(
    session_id: i32,
    parameters: &[(String, String)],
    endpoint: &Endpoint,
) -> Result<Session, QueryError> {
    let get = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let Some(user) = get("user") else {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(QueryError::new(SqlState::INVALID_AUTHORIZATION, message));
    };
    // libpq names the user's database when none is given: that is the whole house here.
    let asked = get("database").unwrap_or_else(|| user.clone());
    let database = if asked == user && !endpoint.engine.catalogs.has_database(&asked) {
        ALL_CATALOGS.to_owned()
    } else {
        asked
    };
    if !endpoint.engine.catalogs.has_database(&database) {
        let names: Vec<&str> = std::iter::once(ALL_CATALOGS)
            .chain(endpoint.engine.catalogs.names())
            .collect();
        return Err(QueryError::new(
            SqlState::UNDEFINED_CATALOG,
            format!("database \"{database}\" does not exist"),
        )
        .hint(format!("The databases are {}.", names.join(", "))));
    }
    let mut session = Session::new(session_id, user, database);
    for (name, value) in parameters {
        if ["user", "database", "replication", "options"].contains(&name.as_str())
            || name.starts_with("_pq_.")
        {
            continue;
        }
        session.settings.set(name, value)?;
    }
    if let Some(options) = get("options") {
        startup_options(&mut session, &options)?;
    }
    Ok(session)
}

/// `-c name=value` and `--name=value`, separated by blanks; a backslash keeps the next character.
fn startup_options(session: &mut Session, options: &str) -> Result<(), QueryError> {
    let mut words: Vec<String> = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (blank, _) if blank.is_whitespace() => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let assignment = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => words.next(),
            (Some(rest), _) | (None, Some(rest)) => Some(rest.to_owned()),
            (None, None) => None,
        };
        let pair = assignment
            .as_deref()
            .and_then(|assignment| assignment.split_once('='));
        match pair {
            Some((name, value)) if !name.is_empty() => {
                session.settings.set(&name.replace('-', "_"), value)?
            }
            _ => {
                let message = format!("invalid command-line argument for server process: {word}");
                return Err(QueryError::new(SqlState::SYNTAX_ERROR, message));
            }
        }
    }
    Ok(())
}

fn greet(
    out: &mut BytesMut,
    session: &Session,
    minor: i32,
    parameters: &[(String, String)],
    endpoint: &Endpoint,
) {
    let unknown: Vec<String> = parameters
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| name.starts_with("_pq_."))
        .collect();
    if minor > 0 || !unknown.is_empty() {
        append(
            out,
            &PgWireBackendMessage::NegotiateProtocolVersion(NegotiateProtocolVersion::new(0, unknown)),
        );
    }
    append(out, &PgWireBackendMessage::Authentication(Authentication::Ok));
    for (name, value) in session.settings.reported() {
        append(out, &parameter_status(name, value));
    }
    append(out, &parameter_status("session_authorization", &session.user));
    let secret = SecretKey::I32(endpoint.cancels.enter(session.id));
    append(
        out,
        &PgWireBackendMessage::BackendKeyData(BackendKeyData::new(session.id, secret)),
    );
    append(
        out,
        &PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(WireStatus::Idle)),
    );
}

/// ParameterStatus of one setting.
pub(super) fn parameter_status(name: &str, value: &str) -> PgWireBackendMessage {
    PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3: i32 = 3 << 16;

    #[test]
    fn startup_parameters_are_pairs() {
        let parsed = parse_startup(V3, b"user\0ann\0database\0shop\0\0").unwrap();
        assert_eq!(
            parsed,
            [("user".into(), "ann".into()), ("database".into(), "shop".into())]
        );
        assert_eq!(parse_startup(V3, b"\0").unwrap(), []);
        for wrong in [b"user\0ann".as_slice(), b"user\0\0", b"", b"user\0\xff\0\0"] {
            assert!(parse_startup(V3, wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(
            parse_startup(2 << 16, b"\0").unwrap_err().state,
            SqlState::FEATURE_NOT_SUPPORTED
        );
    }

    #[test]
    fn options_with_an_empty_name_end() {
        let mut session = Session::new(1, "u".into(), "d".into());
        startup_options(
            &mut session,
            "-c statement_timeout=5s --pushdown=off -cmy.text=a\\ b",
        )
        .unwrap();
        assert_eq!(session.settings.get("statement_timeout"), Some("5s"));
        assert_eq!(session.settings.get("my.text"), Some("a b"));
        assert!(!session.settings.pushdown());
        for wrong in ["-c", "-c =1", "-x", "--", "-c=", "statement_timeout=1"] {
            assert!(startup_options(&mut session, wrong).is_err(), "{wrong}");
        }
    }
}
