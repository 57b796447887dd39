//! A client's socket, plain or encrypted, and its write half.

use std::io;

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// A connection as the client chose it.
pub(super) type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The read half of a connection.
pub(super) type SocketReader = ReadHalf<Socket>;

/// The write half of a connection.
#[derive(Debug)]
pub(super) struct Writer(WriteHalf<Socket>);

impl Writer {
    pub(super) fn new(half: WriteHalf<Socket>) -> Self {
        Self(half)
    }

    /// Sends all of `bytes`. TLS keeps a part back until it is told that no more comes for now.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}
