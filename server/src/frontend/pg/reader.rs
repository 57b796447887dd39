//! The read half of a connection: bytes to messages, with every length checked before it is believed.

use std::io;

use bytes::{Buf, BytesMut};
use pgwire::messages::{DecodeContext, PgWireFrontendMessage};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Longest first packet, as in PostgreSQL.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest message of a session: the longest statement and its envelope.
const MESSAGE_BYTES_MAX: usize = (16 << 20) + 1_024;
/// Most bytes read ahead while a statement runs.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

/// Why no message could be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The socket failed.
    Io(io::Error),
    /// The client broke the protocol; the connection cannot go on.
    Protocol(QueryError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    context: DecodeContext,
}

impl Reader {
    pub(super) fn new(half: OwnedReadHalf) -> Self {
        let mut context = DecodeContext::default();
        context.awaiting_frontend_ssl = false;
        Self {
            half,
            buffer: BytesMut::with_capacity(1024),
            context,
        }
    }

    /// The first packet, as its code and body: it has no type byte. `None` at the end of the connection.
    pub(super) async fn first_packet(&mut self) -> Result<Option<(i32, BytesMut)>, ReadError> {
        while self.buffer.len() < 8 {
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
        let length = usize::try_from(self.buffer.get_i32()).unwrap_or(0);
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(ReadError::Protocol(violation("invalid length of startup packet")));
        }
        while self.buffer.len() < length - 4 {
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
        let mut body = self.buffer.split_to(length - 4);
        let code = body.get_i32();
        Ok(Some((code, body)))
    }

    /// Ends the startup phase: from now on messages have a type byte.
    pub(super) fn started(&mut self) {
        self.context.awaiting_frontend_startup = false;
    }

    /// Whether bytes wait that were sent before an answer could have been read.
    pub(super) fn has_unread(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next message; `None` at the end of the connection.
    pub(super) async fn message(&mut self) -> Result<Option<PgWireFrontendMessage>, ReadError> {
        loop {
            self.check_length()?;
            let decoded = PgWireFrontendMessage::decode(&mut self.buffer, &self.context);
            match decoded {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a message could not be decoded");
                    return Err(ReadError::Protocol(violation("invalid message format")));
                }
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Returns when the client has gone; meanwhile reads ahead, up to a bound.
    pub(super) async fn closed(&mut self) {
        loop {
            if self.buffer.len() >= READ_AHEAD_BYTES_MAX {
                std::future::pending::<()>().await;
            }
            match self.half.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn check_length(&self) -> Result<(), ReadError> {
        let Some(header) = self.buffer.get(..5) else {
            return Ok(());
        };
        let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        match usize::try_from(length) {
            Ok(4..=MESSAGE_BYTES_MAX) => Ok(()),
            _ => Err(ReadError::Protocol(violation("invalid message length"))),
        }
    }
}

fn violation(message: &str) -> QueryError {
    QueryError::new(SqlState::PROTOCOL_VIOLATION, message)
}
