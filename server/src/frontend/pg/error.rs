//! Errors to ErrorResponse.

use bytes::BytesMut;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use crate::error::QueryError;
use crate::query::Notice;

/// How bad an error is for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// The statement ends.
    Error,
    /// The connection ends.
    Fatal,
}

/// The message for `error`.
pub(super) fn response(
    error: &QueryError,
    severity: Severity,
    query_id: Option<&str>,
) -> PgWireBackendMessage {
    let severity = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.state.code().to_owned()),
        (b'M', clean(&error.message)),
    ];
    let id = query_id.map(|id| format!("Query {id}."));
    let detail: Vec<&str> = error.detail.as_deref().into_iter().chain(id.as_deref()).collect();
    if !detail.is_empty() {
        fields.push((b'D', clean(&detail.join(" "))));
    }
    if let Some(hint) = &error.hint {
        fields.push((b'H', clean(hint)));
    }
    if let Some(position) = error.position {
        fields.push((b'P', position.to_string()));
    }
    PgWireBackendMessage::ErrorResponse(ErrorResponse::new(fields))
}

/// The message for what is no error.
pub(super) fn notice(told: &Notice) -> PgWireBackendMessage {
    let mut fields = vec![
        (b'S', "NOTICE".to_owned()),
        (b'V', "NOTICE".to_owned()),
        (b'C', told.code.to_owned()),
        (b'M', clean(&told.message)),
    ];
    fields.extend(told.detail.as_deref().map(|detail| (b'D', clean(detail))));
    PgWireBackendMessage::NoticeResponse(NoticeResponse::new(fields))
}

/// A field's text ends at its first zero byte, so none may be inside.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Appends `message`. What we send always fits its length field; if pgwire refuses, the message is left out and logged.
pub(super) fn append(out: &mut BytesMut, message: &PgWireBackendMessage) {
    let before = out.len();
    if let Err(error) = message.encode(out) {
        out.truncate(before);
        tracing::error!(%error, "a message could not be encoded");
    }
}
