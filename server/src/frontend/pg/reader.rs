//! The read half of a connection: bytes to messages, with every length checked before it is believed.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;

use super::message::Message;
use super::socket::SocketReader;
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Longest first packet, as in PostgreSQL.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest message of a login, as in PostgreSQL.
const PASSWORD_BYTES_MAX: usize = 65_536;
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
    half: SocketReader,
    buffer: BytesMut,
}

impl Reader {
    /// Reads from `half` after `buffer`, which was read already.
    pub(super) fn new(half: SocketReader, buffer: BytesMut) -> Self {
        Self { half, buffer }
    }

    /// The first packet, as its code and body: it has no type byte. `None` at the end of the connection.
    pub(super) async fn first_packet(&mut self) -> Result<Option<(i32, BytesMut)>, ReadError> {
        let Some(length) = self.length(0, 8..=STARTUP_BYTES_MAX).await? else {
            return Ok(None);
        };
        let Some(mut body) = self.body(4, length - 4).await? else {
            return Ok(None);
        };
        let code = body.get_i32();
        Ok(Some((code, body)))
    }

    /// The body of the next message of a login. `None` at the end of the connection.
    pub(super) async fn password(&mut self) -> Result<Option<BytesMut>, ReadError> {
        let Some(length) = self.length(1, 4..=PASSWORD_BYTES_MAX).await? else {
            return Ok(None);
        };
        if self.buffer.first() != Some(&b'p') {
            return Err(ReadError::Protocol(violation("expected password response")));
        }
        self.body(5, length - 4).await
    }

    /// The length of the message at the front, which stands `after` as many bytes.
    async fn length(
        &mut self,
        after: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, ReadError> {
        if !self.fill(after + 4).await? {
            return Ok(None);
        }
        let mut front = self.buffer.get(after..).unwrap_or_default();
        match usize::try_from(front.get_i32()) {
            Ok(length) if allowed.contains(&length) => Ok(Some(length)),
            _ => Err(ReadError::Protocol(violation("invalid length of startup packet"))),
        }
    }

    /// Takes a head of `head` bytes and a body out of the buffer, and gives the body.
    async fn body(&mut self, head: usize, length: usize) -> Result<Option<BytesMut>, ReadError> {
        if !self.fill(head + length).await? {
            return Ok(None);
        }
        self.buffer.advance(head);
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Reads until `bytes` are there; `false` at the end of the connection.
    async fn fill(&mut self, bytes: usize) -> Result<bool, ReadError> {
        while self.buffer.len() < bytes {
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next message; `None` at the end of the connection.
    pub(super) async fn message(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes a message that is whole out of the buffer. Its type and length are checked as soon as they are there.
    fn take_message(&mut self) -> Result<Option<Message>, ReadError> {
        let Some(&[kind, a, b, c, d]) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let length = match usize::try_from(i32::from_be_bytes([a, b, c, d])) {
            Ok(length @ 4..=MESSAGE_BYTES_MAX) => length,
            _ => return Err(ReadError::Protocol(violation("invalid message length"))),
        };
        if !b"QSHXPBDECFdcf".contains(&kind) {
            let error = violation(&format!("invalid frontend message type {kind}"));
            return Err(ReadError::Protocol(error));
        }
        if self.buffer.len() <= length {
            return Ok(None);
        }
        let message = self.buffer.split_to(length + 1);
        Ok(Some(Message::decode(kind, message.get(5..).unwrap_or_default())))
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
}

fn violation(message: &str) -> QueryError {
    QueryError::new(SqlState::PROTOCOL_VIOLATION, message)
}
