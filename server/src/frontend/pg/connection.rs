//! One connection from start to end: messages in, statements run, rows streamed out with back-pressure.
//!
//! While a statement runs the read half stays polled: a client that vanishes ends it, and dropping its stream stops the
//! work at the sources.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use datafusion::arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus as WireStatus,
};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant as Deadline;

use super::Endpoint;
use super::encode::RowEncoder;
use super::error::{Severity, append, response};
use super::reader::{Message, ReadError, Reader};
use super::socket::Writer;
use super::startup::{Opened, negotiate, parameter_status, refuse, start};
use super::types::row_description;
use crate::error::QueryError;
use crate::query::{self, Engine, ParsedStatement, PlanContext, QueryHandle};
use crate::session::{CancelToken, Session, TransactionStatus};
use crate::sqlstate::SqlState;

/// Rows are written to the socket whenever this many bytes are ready.
const WRITE_BYTES: usize = 128 << 10;

/// Longest time from the connection to the first ReadyForQuery.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a statement ended early.
enum Failure {
    /// The client is told and the session goes on.
    Query(QueryError),
    /// The connection is gone.
    Io(io::Error),
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a connection until it ends.
pub(super) async fn run(socket: TcpStream, session_id: i32, endpoint: Arc<Endpoint>) -> io::Result<()> {
    let opening = async {
        match negotiate(socket, endpoint.tls.as_ref()).await? {
            Some(wire) => start(wire, session_id, &endpoint).await,
            None => Ok(None),
        }
    };
    let opened = tokio::select! {
        opened = opening => opened?,
        () = tokio::time::sleep(STARTUP_TIMEOUT) => {
            tracing::debug!(session_id, "the client did not log in in time");
            return Ok(());
        }
        () = endpoint.stopping.cancelled() => return Ok(()),
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
    };
    let ended = connection.serve(&mut reader).await;
    endpoint.cancels.leave(session_id);
    ended
}

struct Connection {
    session: Session,
    endpoint: Arc<Endpoint>,
    write: Writer,
    out: BytesMut,
}

impl Connection {
    async fn serve(&mut self, reader: &mut Reader) -> io::Result<()> {
        // After an error in the extended protocol everything up to Sync is skipped.
        let mut skipping = false;
        let stopping = self.endpoint.stopping.clone();
        loop {
            let message = tokio::select! {
                message = reader.message() => message,
                () = stopping.cancelled() => {
                    let error = QueryError::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to server stop");
                    return refuse(&mut self.write, ReadError::Protocol(error)).await;
                }
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) => return refuse(&mut self.write, error).await,
            };
            match message {
                Message::Terminate => return Ok(()),
                Message::Sync => {
                    skipping = false;
                    self.ready().await?;
                }
                _ if skipping => {}
                Message::Query(text) => {
                    let gone = tokio::select! {
                        outcome = self.simple_query(text) => { outcome?; false }
                        () = reader.closed() => true,
                    };
                    if gone {
                        tracing::info!(
                            session_id = self.session.id,
                            "client has gone while a statement ran"
                        );
                        return Ok(());
                    }
                }
                Message::Flush => self.flush().await?,
                Message::Extended => {
                    skipping = true;
                    let error = QueryError::not_supported("the extended query protocol is not supported")
                        .hint("Use the simple protocol, for example preferQueryMode=simple with JDBC.");
                    self.report(&error, None);
                    self.flush().await?;
                }
            }
        }
    }

    /// Runs the statements of one Query message up to the first error, then says that it is ready.
    async fn simple_query(&mut self, text: Result<String, QueryError>) -> io::Result<()> {
        let outcome = match text {
            Ok(sql) => self.run_message(&sql).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => {}
            Err(Failure::Io(error)) => return Err(error),
            Err(Failure::Query(error)) => {
                if self.session.transaction == TransactionStatus::InBlock {
                    self.session.transaction = TransactionStatus::Failed;
                }
                self.report(&error, None);
            }
        }
        self.ready().await
    }

    async fn run_message(&mut self, sql: &str) -> Result<(), Failure> {
        let token = self.endpoint.cancels.begin(self.session.id);
        // When the client has gone this future is dropped; what still runs on a planner's thread ends by the token.
        let _ended = token.clone().drop_guard();
        let text = sql.to_owned();
        let planners = Arc::clone(&self.endpoint.planners);
        let statements =
            on_planner(planners, token.clone(), None, async move { query::parse(&text) }).await?;
        if statements.is_empty() {
            append(
                &mut self.out,
                &PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()),
            );
        }
        for statement in statements {
            if self.session.transaction == TransactionStatus::Failed && !query::ends_transaction(&statement) {
                return Err(QueryError::new(
                    SqlState::IN_FAILED_SQL_TRANSACTION,
                    "current transaction is aborted, commands ignored until end of transaction block",
                )
                .into());
            }
            if let Some(reply) = query::run_command(&mut self.session, &statement)? {
                self.reply(reply)?;
            } else {
                self.run_query(sql, statement, token.clone()).await?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, reply: query::CommandReply) -> Result<(), Failure> {
        if let Some(name) = reply
            .changed
            .as_deref()
            .and_then(crate::session::Settings::reported_name)
        {
            let value = self.session.settings.get(name).unwrap_or_default().to_owned();
            append(&mut self.out, &parameter_status(name, &value));
        }
        if let Some(rows) = &reply.rows {
            append(
                &mut self.out,
                &PgWireBackendMessage::RowDescription(row_description(&rows.schema())),
            );
            let encoder = RowEncoder::new(rows).map_err(|error| QueryError::internal(&error))?;
            for row in 0..encoder.rows() {
                encoder
                    .append(row, &mut self.out)
                    .map_err(|error| QueryError::internal(&error))?;
            }
        }
        append(
            &mut self.out,
            &PgWireBackendMessage::CommandComplete(CommandComplete::new(reply.tag)),
        );
        Ok(())
    }

    /// Plans, starts and streams one query, and logs how it ended.
    async fn run_query(
        &mut self,
        sql: &str,
        parsed: ParsedStatement,
        token: CancelToken,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let deadline = self
            .session
            .settings
            .statement_timeout()
            .map(|timeout| Deadline::now() + timeout);
        let context = PlanContext::new(&self.endpoint.engine, &mut self.session);
        let query_id = Arc::clone(context.query_id());
        let running = self.plan_and_stream(context, parsed, token, deadline);
        // A panic of the engine ends this statement only.
        let outcome = match AssertUnwindSafe(running).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(panic) => Err(Failure::Query(panicked(panic.as_ref()))),
        };
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (session_id, user) = (self.session.id, self.session.user.as_str());
        match outcome {
            Ok(rows) => {
                tracing::info!(query_id = %query_id, session_id, user, rows, elapsed_ms, sqlstate = "00000", "query");
                let tag = format!("SELECT {rows}");
                append(
                    &mut self.out,
                    &PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)),
                );
                Ok(())
            }
            Err(Failure::Query(error)) => {
                let sqlstate = error.state.code();
                tracing::info!(query_id = %query_id, session_id, user, elapsed_ms, sqlstate, "query");
                let mut error = error.located(sql);
                let id = format!("Query {query_id}.");
                error.detail = Some(error.detail.map_or(id.clone(), |detail| format!("{detail} {id}")));
                Err(error.into())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn plan_and_stream(
        &mut self,
        context: PlanContext,
        parsed: ParsedStatement,
        token: CancelToken,
        deadline: Option<Deadline>,
    ) -> Result<u64, Failure> {
        let engine = Arc::clone(&self.endpoint.engine);
        let planning = async move {
            let prepared = query::prepare(&engine, context, &parsed).await?;
            let tables = prepared.tables.clone();
            query::start(prepared)
                .await
                .inspect_err(|error| engine.forget_if_changed(error, &tables))
                .map(|handle| (handle, tables))
        };
        let planners = Arc::clone(&self.endpoint.planners);
        let (handle, tables) = on_planner(planners, token.clone(), deadline, planning).await?;
        let streamed = self.stream(handle, token, deadline).await;
        if let Err(Failure::Query(error)) = &streamed {
            self.endpoint.engine.forget_if_changed(error, &tables);
        }
        streamed
    }

    /// Writes a result row by row; returns the number of rows.
    async fn stream(
        &mut self,
        handle: QueryHandle,
        token: CancelToken,
        deadline: Option<Deadline>,
    ) -> Result<u64, Failure> {
        append(
            &mut self.out,
            &PgWireBackendMessage::RowDescription(row_description(&handle.schema)),
        );
        let mut stream = Some(handle.stream);
        let mut rows = 0_u64;
        while let Some(running) = stream.as_mut() {
            let Some(batch) = cancellable(&token, deadline, running.next()).await? else {
                break;
            };
            let batch: RecordBatch = batch.map_err(QueryError::from)?;
            let encoder = RowEncoder::new(&batch).map_err(|error| QueryError::from(arrow(error)))?;
            for row in 0..encoder.rows() {
                encoder
                    .append(row, &mut self.out)
                    .map_err(|error| QueryError::from(arrow(error)))?;
                if self.out.len() >= WRITE_BYTES {
                    let interrupted = self.write_out(&token, deadline, || stream = None).await?;
                    if let Some(error) = interrupted {
                        return Err(error.into());
                    }
                }
            }
            rows += u64::try_from(encoder.rows()).unwrap_or(0);
        }
        Ok(rows)
    }

    /// Writes what is ready. When the statement is cancelled meanwhile, `stop` is called at once, and what is ready is
    /// still written to its end, since a message must not be cut; then the cancellation is returned.
    async fn write_out(
        &mut self,
        token: &CancelToken,
        deadline: Option<Deadline>,
        stop: impl FnOnce(),
    ) -> Result<Option<QueryError>, Failure> {
        let ready = self.out.split();
        let mut interrupted = None;
        {
            let writing = self.write.write_all(&ready);
            tokio::pin!(writing);
            tokio::select! {
                biased;
                written = &mut writing => written?,
                error = interruption(token, deadline) => {
                    stop();
                    interrupted = Some(error);
                    writing.await?;
                }
            }
        }
        // The buffer is taken back: its memory is used again for the next rows.
        let mut ready = ready;
        ready.clear();
        if self.out.is_empty() {
            self.out = ready;
        }
        Ok(interrupted)
    }

    fn report(&mut self, error: &QueryError, query_id: Option<&str>) {
        append(&mut self.out, &response(error, Severity::Error, query_id));
    }

    async fn ready(&mut self) -> io::Result<()> {
        let status = match self.session.transaction {
            TransactionStatus::Idle => WireStatus::Idle,
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
        self.write.write_all(&ready).await?;
        Ok(())
    }
}

fn arrow(error: datafusion::arrow::error::ArrowError) -> datafusion::common::DataFusionError {
    datafusion::common::DataFusionError::from(error)
}

/// Runs `work` on a thread of its own, where planning blocks nobody; ends early when cancelled or too late.
async fn on_planner<T: Send + 'static>(
    planners: Arc<Semaphore>,
    token: CancelToken,
    deadline: Option<Deadline>,
    work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
) -> Result<T, QueryError> {
    let permit = cancellable(&token, deadline, planners.acquire_owned())
        .await?
        .map_err(|closed| QueryError::internal(&closed))?;
    let runtime = tokio::runtime::Handle::current();
    let planner_token = token.clone();
    let planner = tokio::task::spawn_blocking(move || {
        // Held until the thread is free, which may be later than the end of the statement.
        let _permit = permit;
        runtime.block_on(async move { cancellable(&planner_token, deadline, work).await? })
    });
    match cancellable(&token, deadline, planner).await? {
        Ok(outcome) => outcome,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => Err(panicked(panic.as_ref())),
            Err(failed) => Err(QueryError::internal(&failed)),
        },
    }
}

/// `work`, or the reason why it must end.
async fn cancellable<T>(
    token: &CancelToken,
    deadline: Option<Deadline>,
    work: impl Future<Output = T>,
) -> Result<T, QueryError> {
    tokio::select! {
        biased;
        error = interruption(token, deadline) => Err(error),
        done = work => Ok(done),
    }
}

/// Waits until the statement is cancelled or its time is over.
async fn interruption(token: &CancelToken, deadline: Option<Deadline>) -> QueryError {
    let timeout = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let message = tokio::select! {
        () = token.cancelled() => "canceling statement due to user request",
        () = timeout => "canceling statement due to statement timeout",
    };
    QueryError::new(SqlState::QUERY_CANCELED, message)
}

/// A panic as the client sees it; its text goes to the log.
fn panicked(panic: &(dyn std::any::Any + Send)) -> QueryError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown panic");
    tracing::error!(panic = text, "a statement panicked");
    QueryError::new(SqlState::INTERNAL_ERROR, "internal error").hint("The server's log has the cause.")
}

impl Engine {
    /// Forgets tables that a source says are not as remembered, so that the next statement asks again.
    fn forget_if_changed(&self, error: &QueryError, tables: &[causeway_spi::TableName]) {
        let changed = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::FDW_ERROR,
        ];
        if changed.contains(&error.state) {
            tables.iter().for_each(|table| self.catalogs.forget(table));
        }
    }
}
