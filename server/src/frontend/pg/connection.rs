//! One connection from start to end: messages in, statements run, rows streamed out with back-pressure.
//!
//! While a statement runs the read half stays polled: a client that vanishes ends it, and dropping its stream stops the
//! work at the sources.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{CommandComplete, ReadyForQuery, TransactionStatus as WireStatus};
use tokio::net::TcpStream;

use super::Endpoint;
use super::encode::{Format, RowEncoder};
use super::error::{Severity, append, response};
use super::message::Message;
use super::reader::{ReadError, Reader};
use super::run::{Failure, WRITE_BYTES};
use super::socket::Writer;
use super::startup::{Opened, negotiate, parameter_status, refuse, start};
use super::statement::Remembered;
use crate::error::QueryError;
use crate::query::{self, ParsedStatement, PendingSettings};
use crate::session::{Session, Settings, TransactionStatus};
use crate::sqlstate::SqlState;

/// Longest time from the connection to the first ReadyForQuery.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a connection until it ends.
pub(super) async fn run(socket: TcpStream, session_id: i32, endpoint: Arc<Endpoint>) -> io::Result<()> {
    let door = endpoint.door.now();
    let opening = async {
        match negotiate(socket, door.tls.as_ref()).await? {
            Some(wire) => start(wire, session_id, &door, &endpoint).await,
            None => Ok(None),
        }
    };
    let opened = tokio::select! {
        opened = opening => opened?,
        () = tokio::time::sleep(STARTUP_TIMEOUT) => {
            tracing::debug!(session_id, "the client did not log in in time");
            return Ok(());
        }
        () = endpoint.stopping.idle.cancelled() => return Ok(()),
    };
    let Some(Opened {
        session,
        mut reader,
        writer,
        permit: _permit,
    }) = opened
    else {
        return Ok(());
    };
    let mut connection = Connection {
        session,
        endpoint: Arc::clone(&endpoint),
        write: writer,
        out: BytesMut::with_capacity(8 << 10),
        remembered: Remembered::default(),
    };
    let ended = connection.serve(&mut reader).await;
    endpoint.cancels.leave(session_id);
    ended
}

/// A connection that has its session.
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) write: Writer,
    /// What is ready to be written.
    pub(super) out: BytesMut,
    pub(super) remembered: Remembered,
}

/// Where the messages after an error go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// They are handled.
    Handle,
    /// They are skipped up to Sync.
    Skip,
}

impl Connection {
    async fn serve(&mut self, reader: &mut Reader) -> io::Result<()> {
        let mut after = After::Handle;
        let stopping = self.endpoint.stopping.idle.clone();
        loop {
            let message = tokio::select! {
                message = reader.message() => message,
                () = stopping.cancelled() => {
                    let error = QueryError::new(SqlState::ADMIN_SHUTDOWN, super::run::STOPPED);
                    return refuse(&mut self.write, ReadError::Protocol(error)).await;
                }
            };
            let message = match message {
                Ok(Some(Message::Terminate) | None) => return Ok(()),
                Ok(Some(message)) => message,
                Err(error) => return refuse(&mut self.write, error).await,
            };
            if after == After::Skip && !matches!(message, Message::Sync) {
                continue;
            }
            tokio::select! {
                handled = self.handle(message) => after = handled?,
                () = reader.closed() => {
                    tracing::info!(session_id = self.session.id, "client has gone while a statement ran");
                    return Ok(());
                }
            }
        }
    }

    async fn handle(&mut self, message: Message) -> io::Result<After> {
        let outcome = match message {
            Message::Query(text) => {
                self.simple_query(text).await?;
                return Ok(After::Handle);
            }
            Message::Sync => {
                // What was written outside of a block is committed here, as in PostgreSQL.
                if let Err(error) = self.session.transaction.commit_message().await {
                    self.fail(&error);
                }
                self.ready().await?;
                return Ok(After::Handle);
            }
            Message::FunctionCall => {
                let error = QueryError::not_supported("the function call protocol is not supported");
                self.fail(&error);
                self.ready().await?;
                return Ok(After::Handle);
            }
            Message::Flush => Ok(self.flush().await?),
            Message::Extended(Ok(message)) => self.extended(message).await,
            Message::Extended(Err(error)) => Err(error.into()),
            Message::Terminate => Ok(()),
        };
        let after = match outcome {
            Ok(()) => After::Handle,
            Err(Failure::Io(error)) => return Err(error),
            Err(Failure::Query(error)) => {
                self.fail(&error);
                After::Skip
            }
        };
        if self.out.len() >= WRITE_BYTES || after == After::Skip {
            self.flush().await?;
        }
        Ok(after)
    }

    /// Refuses what may not run in a failed transaction block. Errors: 25P02.
    pub(super) fn check_transaction(&self, parsed: Option<&ParsedStatement>) -> Result<(), QueryError> {
        let failed = self.session.transaction.status() == TransactionStatus::Failed;
        if failed && !parsed.is_some_and(query::ends_transaction) {
            return Err(QueryError::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// Runs `parsed` if it is a command of the session or of this connection; returns whether it was one.
    pub(super) async fn command(
        &mut self,
        parsed: &ParsedStatement,
        formats: &[Format],
    ) -> Result<bool, QueryError> {
        let before = self.session.settings.clone();
        let was_in_block = self.session.transaction.status() != TransactionStatus::Idle;
        let Some(reply) = query::run_command(&mut self.session, parsed).await? else {
            return Ok(false);
        };
        if reply.tag == "DISCARD ALL" {
            self.remembered.close_statements();
        }
        let idle = self.session.transaction.status() == TransactionStatus::Idle;
        if (was_in_block && idle) || ["DISCARD ALL", "CLOSE CURSOR ALL"].contains(&reply.tag.as_str()) {
            self.remembered.close_portals();
        }
        self.report_changes(&before);
        if let Some(rows) = &reply.rows {
            let encoder = RowEncoder::new(rows, formats, self.session.settings.time_zone())
                .map_err(|error| QueryError::internal(&error))?;
            for row in 0..encoder.rows() {
                encoder
                    .append(row, &mut self.out)
                    .map_err(|error| QueryError::internal(&error))?;
            }
        }
        self.complete(reply.tag);
        Ok(true)
    }

    /// Tells the client the settings that are not as they were `before`, of those that clients follow.
    fn report_changes(&mut self, before: &Settings) {
        for ((name, old), (_, new)) in before.reported().zip(self.session.settings.reported()) {
            if old != new {
                append(&mut self.out, &parameter_status(name, new));
            }
        }
    }

    /// Makes the settings that a statement has changed by `set_config` the session's.
    pub(super) fn apply_settings(&mut self, pending: &PendingSettings) -> Result<(), QueryError> {
        let changes = std::mem::take(&mut *pending.lock().unwrap_or_else(PoisonError::into_inner));
        if changes.is_empty() {
            return Ok(());
        }
        let before = self.session.settings.clone();
        for change in changes {
            query::change_setting(&mut self.session, &change.name, Some(&change.value), change.local)?;
        }
        self.report_changes(&before);
        Ok(())
    }

    pub(super) fn complete(&mut self, tag: impl Into<String>) {
        append(
            &mut self.out,
            &PgWireBackendMessage::CommandComplete(CommandComplete::new(tag.into())),
        );
    }

    /// Tells the client of `error`, which fails the transaction block.
    pub(super) fn fail(&mut self, error: &QueryError) {
        self.session.transaction.fail();
        append(&mut self.out, &response(error, Severity::Error, None));
    }

    /// Says that the next message may come; outside of a block the transaction ends here, and its portals with it.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        let status = match self.session.transaction.status() {
            TransactionStatus::Idle => {
                self.remembered.close_portals();
                WireStatus::Idle
            }
            TransactionStatus::InBlock => WireStatus::Transaction,
            TransactionStatus::Failed => WireStatus::Error,
        };
        append(
            &mut self.out,
            &PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status)),
        );
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        let ready = self.out.split();
        self.write.write_all(&ready).await
    }
}
