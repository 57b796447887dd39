//! A client that counts rows without decoding them, and that can vanish in the middle of an answer.
//!
//! Millions of rows cost it little, so that a measurement sees the server and not the client.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Protocol version 3.0.
const PROTOCOL: i32 = 196_608;
const READ_BYTES: usize = 1 << 20;
/// Type and length before each message.
const HEADER_BYTES: usize = 5;

/// What came before the answer ended or the limit was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Data rows.
    pub rows: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Whether the answer is complete.
    pub complete: bool,
}

/// One connection, straight on the socket. Dropping it closes the socket at once, as a killed client does.
#[derive(Debug)]
pub struct RawClient {
    socket: TcpStream,
    buffer: BytesMut,
}

impl RawClient {
    /// Connects to the default database and waits until the server is ready.
    pub async fn connect(port: u16) -> Result<Self> {
        let mut startup = BytesMut::new();
        startup.put_i32(PROTOCOL);
        startup.put_slice(b"user\0test\0database\0causeway\0client_encoding\0UTF8\0\0");
        let mut client = Self {
            socket: TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?,
            buffer: BytesMut::with_capacity(READ_BYTES),
        };
        client.send(None, &startup).await?;
        client.drain(u64::MAX).await?;
        Ok(client)
    }

    /// Sends a simple query and does not wait.
    pub async fn send_query(&mut self, sql: &str) -> Result<()> {
        let mut body = BytesMut::from(sql.as_bytes());
        body.put_u8(0);
        self.send(Some(b'Q'), &body).await
    }

    /// Sends a query in the extended protocol, all its rows in binary, and does not wait.
    pub async fn send_extended(&mut self, sql: &str) -> Result<()> {
        let mut parse = BytesMut::from(&b"\0"[..]);
        parse.put_slice(sql.as_bytes());
        parse.put_slice(&[0, 0, 0]);
        self.send(Some(b'P'), &parse).await?;
        // Unnamed portal and statement; no parameters; one format for all results: binary.
        self.send(Some(b'B'), &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).await?;
        self.send(Some(b'E'), &[0, 0, 0, 0, 0]).await?;
        self.send(Some(b'S'), &[]).await
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(bytes).await?)
    }

    /// The kinds of the messages that come until the server has said `ready` times that it is ready.
    pub async fn kinds(&mut self, ready: usize) -> Result<String> {
        let mut kinds = String::new();
        while kinds.matches('Z').count() < ready {
            kinds.push(char::from(self.message().await?.0));
        }
        Ok(kinds)
    }

    /// The command tags and, in brackets, the notices' and errors' messages, until the server is ready.
    pub async fn outcomes(&mut self) -> Result<Vec<String>> {
        let mut outcomes = Vec::new();
        loop {
            let (kind, body) = self.message().await?;
            let field = |code: u8| {
                let mut fields = body.as_ref().split(|byte: &u8| *byte == 0);
                let found = fields.find(|field| field.first() == Some(&code));
                found.map(|field| String::from_utf8_lossy(field.get(1..).unwrap_or_default()).into_owned())
            };
            match kind {
                b'C' => outcomes.push(String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned()),
                b'N' | b'E' => {
                    let (code, message) = (field(b'C'), field(b'M'));
                    outcomes.push(format!(
                        "[{} {}]",
                        code.unwrap_or_default(),
                        message.unwrap_or_default()
                    ));
                }
                b'Z' => return Ok(outcomes),
                _ => {}
            }
        }
    }

    /// Reads until the answer is complete or `rows_max` rows have come. An error of the server is an error here.
    pub async fn drain(&mut self, rows_max: u64) -> Result<Drained> {
        let mut drained = Drained::default();
        while drained.rows < rows_max && !drained.complete {
            let (kind, body) = self.message().await?;
            drained.bytes += u64::try_from(HEADER_BYTES + body.len())?;
            match kind {
                b'D' => drained.rows += 1,
                b'Z' => drained.complete = true,
                b'E' => bail!("{}", String::from_utf8_lossy(&body).replace('\0', " ")),
                _ => {}
            }
        }
        Ok(drained)
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<()> {
        let mut message = BytesMut::with_capacity(HEADER_BYTES + body.len());
        message.extend(kind);
        message.put_i32(i32::try_from(4 + body.len())?);
        message.put_slice(body);
        Ok(self.socket.write_all(&message).await?)
    }

    async fn message(&mut self) -> Result<(u8, BytesMut)> {
        while self.buffer.len() < HEADER_BYTES {
            self.fill().await?;
        }
        let kind = self.buffer[0];
        let length = usize::try_from((&self.buffer[1..]).get_i32())?;
        while self.buffer.len() < 1 + length {
            self.fill().await?;
        }
        let mut message = self.buffer.split_to(1 + length);
        message.advance(HEADER_BYTES);
        Ok((kind, message))
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.reserve(READ_BYTES);
        let read = self.socket.read_buf(&mut self.buffer).await?;
        (read > 0)
            .then_some(())
            .context("the server closed the connection")
    }
}
