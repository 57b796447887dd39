//! The start of a connection: encryption, CancelRequest, StartupMessage, login. Ends in a session or in nothing.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus as WireStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::either::Either;

use super::error::{Severity, append, response};
use super::login::authenticate;
use super::reader::{ReadError, Reader};
use super::socket::{Socket, Writer};
use super::{Door, Endpoint};
use crate::catalog::ALL_CATALOGS;
use crate::error::QueryError;
use crate::security::Tls;
use crate::session::Session;
use crate::sqlstate::SqlState;

const SSL_REQUEST: i32 = 80_877_103;
const GSS_ENCRYPTION_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;
const PROTOCOL_MAJOR: i32 = 3;
/// An encryption request: its length and its code. The head of any other first packet is as long.
const ENCRYPTION_REQUEST_BYTES: usize = 8;
/// The first byte of a TLS handshake; no startup packet is long enough to begin with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// Most encryption requests before the start: one of each kind.
const ENCRYPTION_REQUESTS_MAX: usize = 2;

/// A connection whose encryption is settled.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    /// What was read of the packet after the encryption requests.
    head: BytesMut,
}

/// Answers the encryption requests that come first. `None`: the client has gone, or its TLS handshake failed.
///
/// No byte is read beyond a request, so that nothing that was sent in the clear can pass for encrypted.
pub(super) async fn negotiate(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Option<Wire>> {
    let mut socket: Socket = Either::Left(socket);
    for answered in 0..=ENCRYPTION_REQUESTS_MAX {
        if let (Either::Left(plain), Some(tls)) = (&socket, tls)
            && begins_with_tls(plain).await?
        {
            match encrypt(socket, tls).await {
                Some(encrypted) => socket = encrypted,
                None => return Ok(None),
            }
        }
        let mut head = [0; ENCRYPTION_REQUEST_BYTES];
        match socket.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let [_, _, _, _, code @ ..] = head;
        let code = i32::from_be_bytes(code);
        let encryption = [SSL_REQUEST, GSS_ENCRYPTION_REQUEST].contains(&code);
        if !encryption || answered == ENCRYPTION_REQUESTS_MAX {
            let head = BytesMut::from(&head[..]);
            return Ok(Some(Wire { socket, head }));
        }
        match (&socket, tls) {
            (Either::Left(_), Some(tls)) if code == SSL_REQUEST => {
                socket.write_all(b"S").await?;
                match encrypt(socket, tls).await {
                    Some(encrypted) => socket = encrypted,
                    None => return Ok(None),
                }
            }
            _ => {
                socket.write_all(b"N").await?;
                socket.flush().await?;
            }
        }
    }
    Ok(None)
}

/// Whether the client begins with TLS at once, without asking. `false` also when it has gone.
async fn begins_with_tls(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 1];
    Ok(socket.peek(&mut first).await? == 1 && first == [TLS_HANDSHAKE])
}

/// Accepts the handshake of a socket that is plain still. `None`: it failed.
async fn encrypt(socket: Socket, tls: &Tls) -> Option<Socket> {
    let Either::Left(plain) = socket else {
        return Some(socket);
    };
    match tls.acceptor.accept(plain).await {
        Ok(encrypted) => Some(Either::Right(Box::new(encrypted))),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

/// A connection that has its session.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    /// One of the server's connections; free again when it is dropped.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Brings a connection to its first ReadyForQuery. `None`: it was a cancel request, was refused, or has gone.
pub(super) async fn start(
    wire: Wire,
    session_id: i32,
    door: &Door,
    endpoint: &Endpoint,
) -> io::Result<Option<Opened>> {
    let tls = match &wire.socket {
        Either::Left(_) => None,
        Either::Right(_) => door.tls.as_ref(),
    };
    let (read, write) = tokio::io::split(wire.socket);
    let (mut reader, mut writer) = (Reader::new(read, wire.head), Writer::new(write));
    match open(&mut reader, &mut writer, (door, tls), session_id, endpoint).await {
        Ok(opened) => Ok(opened.map(|(session, permit)| Opened {
            session,
            reader,
            writer,
            permit,
        })),
        Err(error) => refuse(&mut writer, error).await.map(|()| None),
    }
}

/// Tells the client why the connection ends.
pub(super) async fn refuse(writer: &mut Writer, error: ReadError) -> io::Result<()> {
    match error {
        ReadError::Io(error) => Err(error),
        ReadError::Protocol(error) => {
            let mut out = BytesMut::new();
            append(&mut out, &response(&error, Severity::Fatal, None));
            writer.write_all(&out).await?;
            writer.shutdown().await
        }
    }
}

async fn open(
    reader: &mut Reader,
    writer: &mut Writer,
    (door, tls): (&Door, Option<&Tls>),
    session_id: i32,
    endpoint: &Endpoint,
) -> Result<Option<(Session, OwnedSemaphorePermit)>, ReadError> {
    let Some((code, body)) = reader.first_packet().await? else {
        return Ok(None);
    };
    if code == CANCEL_REQUEST {
        cancel(&body, endpoint);
        return Ok(None);
    }
    let parameters = parse_startup(code, &body).map_err(ReadError::Protocol)?;
    let user = user_of(&parameters).map_err(ReadError::Protocol)?;
    if tls.is_none() && door.tls.as_ref().is_some_and(|tls| tls.required) {
        let error = QueryError::new(SqlState::INVALID_AUTHORIZATION, "the server requires encryption")
            .hint("Connect with sslmode=require or stronger.");
        return Err(ReadError::Protocol(error));
    }
    if let Some(users) = &door.users
        && !authenticate(reader, writer, user, users, tls)
            .await
            .inspect_err(|error| log_refusal(session_id, user, error))?
    {
        return Ok(None);
    }
    // Who is not known is told nothing about databases and settings. Cancel requests come on connections of their own:
    // only sessions count.
    let session = open_session(session_id, user, &parameters, endpoint).map_err(ReadError::Protocol)?;
    let Ok(permit) = Arc::clone(&endpoint.permits).try_acquire_owned() else {
        return Err(ReadError::Protocol(QueryError::new(
            SqlState::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        )));
    };
    let mut out = BytesMut::new();
    greet(&mut out, &session, code & 0xffff, &parameters, endpoint);
    writer.write_all(&out).await?;
    Ok(Some((session, permit)))
}

fn log_refusal(session_id: i32, user: &str, error: &ReadError) {
    if let ReadError::Protocol(error) = error {
        tracing::warn!(session_id, user, sqlstate = error.state.code(), "login refused");
    }
}

/// The first non-empty value of a startup parameter.
fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

fn user_of(parameters: &[(String, String)]) -> Result<&str, QueryError> {
    parameter(parameters, "user").ok_or_else(|| {
        let message = "no PostgreSQL user name specified in startup packet";
        QueryError::new(SqlState::INVALID_AUTHORIZATION, message)
    })
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
    user: &str,
    parameters: &[(String, String)],
    endpoint: &Endpoint,
) -> Result<Session, QueryError> {
    // libpq names the user's database when none is given: that is the whole house here.
    let catalogs = endpoint.engine.catalogs();
    let asked = parameter(parameters, "database").unwrap_or(user);
    let database = if asked == user && !catalogs.has_database(asked) {
        ALL_CATALOGS
    } else {
        asked
    };
    if !catalogs.has_database(database) {
        let names: Vec<&str> = std::iter::once(ALL_CATALOGS).chain(catalogs.names()).collect();
        return Err(QueryError::new(
            SqlState::UNDEFINED_CATALOG,
            format!("database \"{database}\" does not exist"),
        )
        .hint(format!("The databases are {}.", names.join(", "))));
    }
    let mut session = Session::new(session_id, user.to_owned(), database.to_owned());
    for (name, value) in parameters {
        if ["user", "database", "replication", "options"].contains(&name.as_str())
            || name.starts_with("_pq_.")
        {
            continue;
        }
        session.settings.set(name, value)?;
    }
    if let Some(options) = parameter(parameters, "options") {
        startup_options(&mut session, options)?;
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
