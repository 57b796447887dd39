//! What the server and the driver report, by kind, in words that name the catalog and the table.

use std::io;

use causeway_spi::{ConnectorError, ErrorKind, TableName};
use mysql_async::{DriverError, Error, IoError};

/// What was being done when an error came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doing<'a> {
    /// Logging in to the catalog.
    Connecting(&'a str),
    /// Reading the catalog's lists of schemas, tables and columns.
    Listing(&'a str),
    /// Reading rows of a table.
    Reading(&'a TableName),
    /// Describing or running a statement of a user's own.
    Native(&'a str),
}

impl Doing<'_> {
    fn catalog(&self) -> &str {
        match self {
            Self::Connecting(catalog) | Self::Listing(catalog) | Self::Native(catalog) => catalog,
            Self::Reading(table) => &table.catalog,
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Connecting(catalog) | Self::Listing(catalog) => format!("catalog {catalog}"),
            Self::Reading(table) => format!("table {table}"),
            Self::Native(catalog) => format!("the native statement for catalog {catalog}"),
        }
    }
}

/// Whether the connection is gone: the statement may be tried on another one if it has not produced rows.
pub(crate) fn is_connection_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed | DriverError::PacketOutOfOrder) => true,
        Error::Server(server) => is_goodbye(server.code),
        _ => false,
    }
}

/// The codes with which a server ends a connection: shutdown, killed, idle for too long.
fn is_goodbye(code: u16) -> bool {
    matches!(code, 1053 | 1077 | 1079 | 1927 | 4031)
}

/// The error of a driver's call.
pub(crate) fn translate(error: Error, doing: Doing<'_>) -> ConnectorError {
    let translated = match &error {
        Error::Server(server) => return server_error(server.code, &server.message, doing).source(error),
        // What is wrong with the other side's certificate or records is invalid data to the socket.
        Error::Io(IoError::Io(io)) if io.kind() == io::ErrorKind::InvalidData => {
            tls_error(&io.to_string(), doing)
        }
        Error::Io(IoError::Io(io)) => unavailable(doing).detail(sentence(&io.to_string())),
        Error::Io(tls) => tls_error(&tls.to_string(), doing),
        Error::Driver(DriverError::NoKeyFound) => tls_error("option key_file holds no usable key", doing),
        Error::Driver(DriverError::ConnectionClosed) => {
            unavailable(doing).detail("The server closed the connection.")
        }
        Error::Driver(DriverError::PacketTooLarge) => ConnectorError::new(
            ErrorKind::LimitExceeded,
            format!(
                "a packet for {} is larger than the server accepts",
                doing.object()
            ),
        )
        .hint("Raise max_allowed_packet on the server."),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => unavailable(doing)
            .detail("The server does not offer TLS.")
            .hint("Set up TLS on the server, or set tls = \"off\" if the network is yours."),
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => {
            login_refused(doing.catalog()).detail("The server asks for a login method that is not supported.")
        }
        _ => ConnectorError::new(
            ErrorKind::Source,
            format!("could not understand the server's answer for {}", doing.object()),
        ),
    };
    translated.source(error)
}

fn server_error(code: u16, message: &str, doing: Doing<'_>) -> ConnectorError {
    let object = doing.object();
    let native = match doing {
        Doing::Native(_) => native_error(code, &object),
        _ => None,
    };
    if let Some((kind, text)) = native {
        return ConnectorError::new(kind, text).detail(server_says(code, message));
    }
    let (kind, text) = match (code, doing) {
        (1044 | 1045 | 1129 | 1130 | 1251 | 1698 | 1862 | 3118 | 3955 | 4151, Doing::Connecting(catalog))
        | (1045 | 1698, Doing::Listing(catalog)) => return login_refused(catalog),
        (1040 | 1203 | 1226, _) => (
            ErrorKind::TooManyConnections,
            format!(
                "the server of catalog {} accepts no more connections",
                doing.catalog()
            ),
        ),
        (1146 | 1051, _) => (ErrorKind::UnknownTable, format!("{object} does not exist")),
        (1049, _) => (
            ErrorKind::UnknownSchema,
            format!("the schema of {object} does not exist"),
        ),
        (1054, _) => (
            ErrorKind::UnknownColumn,
            format!("a column of {object} does not exist any more"),
        ),
        (1044 | 1045 | 1142 | 1143 | 1227 | 1370, _) => {
            (ErrorKind::NotPermitted, format!("permission denied for {object}"))
        }
        // A snapshot is older than the table's present form.
        (1412, _) => (
            ErrorKind::Changed,
            format!("{object} has changed since it was planned"),
        ),
        (1205, _) => (
            ErrorKind::Timeout,
            format!("{object} was locked at the server for too long"),
        ),
        // Of what is sent only integers have no room for every result.
        (1690, Doing::Native(_)) => (
            ErrorKind::OutOfRange,
            format!("a value that {object} computes is out of range"),
        ),
        (1690, _) => (ErrorKind::OutOfRange, "integer out of range".to_owned()),
        (1969 | 3024, _) => return too_old(&object).detail(server_says(code, message)),
        (code, _) if is_goodbye(code) => {
            return unavailable(doing).detail(sentence(message));
        }
        (_, Doing::Native(_)) => (ErrorKind::Source, format!("could not run {object}")),
        _ => (ErrorKind::Source, format!("could not read {object}")),
    };
    let error = ConnectorError::new(kind, text).detail(server_says(code, message));
    match kind {
        ErrorKind::Changed => error.hint("Run the query again."),
        _ => error,
    }
}

/// What is the user's own doing.
fn native_error(code: u16, object: &str) -> Option<(ErrorKind, String)> {
    Some(match code {
        1064 | 1149 | 1234 => (ErrorKind::Syntax, format!("syntax error in {object}")),
        1146 | 1051 => (
            ErrorKind::UnknownTable,
            format!("a table of {object} does not exist"),
        ),
        1049 => (
            ErrorKind::UnknownSchema,
            format!("a schema of {object} does not exist"),
        ),
        1046 => (
            ErrorKind::UnknownSchema,
            format!("a table of {object} needs its schema's name before it"),
        ),
        1054 => (
            ErrorKind::UnknownColumn,
            format!("a column of {object} does not exist"),
        ),
        1792 => (ErrorKind::ReadOnly, format!("{object} would write")),
        _ => return None,
    })
}

fn server_says(code: u16, message: &str) -> String {
    format!(
        "The server says: {} (error {code}).",
        message.trim_end_matches('.')
    )
}

/// The server has stopped a statement by the limit that its session was given.
fn too_old(object: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Timeout,
        format!("the server stopped reading {object} because it took too long"),
    )
    .hint("The option statement_time_max of the catalog bounds a statement's life there.")
}

fn tls_error(text: &str, doing: Doing<'_>) -> ConnectorError {
    let hint = if text.contains("UnknownIssuer") {
        "The server's certificate must be signed by an authority in ca_file, or by a public one without it."
    } else if text.contains("not valid for name") {
        "The host in url must be one of the certificate's names; tls = \"verify-ca\" accepts any."
    } else {
        "Check the options tls, ca_file, cert_file and key_file of the catalog."
    };
    unavailable(doing)
        .detail(format!(
            "No trusted TLS connection could be made: {}.",
            text.trim_end_matches('.')
        ))
        .hint(hint)
}

fn unavailable(doing: Doing<'_>) -> ConnectorError {
    let message = match doing {
        Doing::Connecting(catalog) => format!("could not reach the server of catalog {catalog}"),
        Doing::Listing(catalog) | Doing::Native(catalog) => {
            format!("lost the connection to the server of catalog {catalog}")
        }
        Doing::Reading(table) => format!(
            "lost the connection to the server of catalog {} while reading table {table}",
            table.catalog
        ),
    };
    ConnectorError::new(ErrorKind::Unavailable, message)
}

/// The text of the server stays in the log: it names the account.
fn login_refused(catalog: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::LoginRefused,
        format!("could not log in to catalog {catalog}"),
    )
    .hint(
        "Check the options url and password of the catalog, and the account on the server: it may require TLS or a \
         client certificate (cert_file).",
    )
}

/// The server did not answer before `deadline`.
pub(crate) fn timed_out(doing: Doing<'_>, deadline: std::time::Duration) -> ConnectorError {
    let seconds = deadline.as_secs_f64();
    ConnectorError::new(
        ErrorKind::Timeout,
        format!(
            "the server of catalog {} did not answer within {seconds} s",
            doing.catalog()
        ),
    )
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => "No reason was given.".to_owned(),
    }
}
