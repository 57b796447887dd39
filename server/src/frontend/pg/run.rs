//! A statement from text to rows on the wire: parsed and planned on threads of their own, streamed with back-pressure,
//! ended early when it is cancelled, too late, or the client has gone.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant as Deadline;
use tokio_util::sync::DropGuard;

use super::connection::Connection;
use super::encode::{Format, RowEncoder};
use super::statement::{Running, Sent};
use crate::error::QueryError;
use crate::query::{self, Engine, Outcome, ParsedStatement, PlanContext, Prepared};
use crate::session::{CancelToken, Session};
use crate::sqlstate::SqlState;

/// Rows are written to the socket whenever this many bytes are ready.
pub(super) const WRITE_BYTES: usize = 128 << 10;

/// Why a statement ended early.
pub(super) enum Failure {
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

/// What a client is told when the server stops.
pub(super) const STOPPED: &str = "terminating connection due to administrator command";

/// What ends a statement early.
#[derive(Debug)]
pub(super) struct Limits {
    token: CancelToken,
    stopping: CancelToken,
    deadline: Option<Deadline>,
    /// When the client has gone, what runs is dropped; what still runs on a planner's thread ends by the token.
    _ended: Option<DropGuard>,
}

impl Connection {
    /// The limits of a statement that begins now.
    pub(super) fn limits(&self) -> Limits {
        let token = self.endpoint.cancels.begin(self.session.id);
        let timeout = self.session.settings.statement_timeout();
        Limits {
            deadline: timeout.map(|timeout| Deadline::now() + timeout),
            _ended: Some(token.clone().drop_guard()),
            stopping: self.endpoint.stopping.running.clone(),
            token,
        }
    }

    /// Parses a text into its statements.
    pub(super) async fn parse(
        &mut self,
        sql: Arc<str>,
        limits: &Limits,
    ) -> Result<Vec<ParsedStatement>, QueryError> {
        self.on_planner(limits, move |_| async move { query::parse(&sql) })
            .await
    }

    /// Plans a statement.
    pub(super) async fn plan(
        &mut self,
        parsed: Arc<ParsedStatement>,
        types: Vec<Option<DataType>>,
        limits: &Limits,
    ) -> Result<Prepared, QueryError> {
        let engine = Arc::clone(&self.endpoint.engine);
        let context = PlanContext::new(&engine, &mut self.session);
        let tracked = Arc::clone(context.tracked());
        let planning = move |_| async move { query::prepare(&engine, context, &parsed, &types).await };
        let planned = self.on_planner(limits, planning).await;
        planned.inspect_err(|error| tracked.finish(Some(error)))
    }

    /// Plans a statement and says which columns its result has.
    pub(super) async fn plan_and_describe(
        &mut self,
        parsed: Arc<ParsedStatement>,
        types: Vec<Option<DataType>>,
        limits: &Limits,
    ) -> Result<(Prepared, SchemaRef), QueryError> {
        let engine = Arc::clone(&self.endpoint.engine);
        let context = PlanContext::new(&engine, &mut self.session);
        let tracked = Arc::clone(context.tracked());
        let planning = move |_| async move {
            let prepared = query::prepare(&engine, context, &parsed, &types).await?;
            let columns = prepared.describe()?;
            Ok((prepared, columns))
        };
        let planned = self.on_planner(limits, planning).await;
        planned.inspect_err(|error| tracked.finish(Some(error)))
    }

    /// Starts a planned statement. Nothing is read from the sources before its first row is asked for.
    pub(super) async fn start(&mut self, prepared: Prepared, limits: &Limits) -> Result<Running, QueryError> {
        let (query_id, tables) = (Arc::clone(&prepared.query_id), prepared.tables.clone());
        let tracked = Arc::clone(&prepared.tracked);
        tracked.start();
        let set_config = Arc::clone(&prepared.set_config);
        let explains = prepared.explains();
        let prepared = prepared.receipt(self.session.settings.receipt());
        let handle = self
            .on_planner(limits, move |token| query::start(prepared, token))
            .await;
        let handle = handle.inspect_err(|error| {
            tracked.finish(Some(error));
            self.endpoint.engine.forget_if_changed(error, &tables);
        })?;
        Ok(Running {
            explains,
            query_id,
            tracked,
            tables,
            columns: handle.schema,
            stream: Some(handle.stream),
            receipt: handle.receipt,
            returned: 0,
            batch: None,
            unnoted: Sent::default(),
            set_config,
        })
    }

    /// Sends at most `rows_max` rows; 0 is all. Returns how many, and whether they were the last.
    pub(super) async fn send(
        &mut self,
        running: &mut Running,
        formats: &[Format],
        rows_max: usize,
        limits: &Limits,
    ) -> Result<(usize, bool), Failure> {
        let sending = self.send_rows(running, formats, rows_max, limits);
        // A panic of the engine ends this statement only.
        let sent = match AssertUnwindSafe(sending).catch_unwind().await {
            Ok(sent) => sent,
            Err(panic) => Err(Failure::Query(panicked(panic.as_ref()))),
        };
        running.unnoted.note(&running.tracked);
        if let Ok((rows, _)) = &sent {
            running.returned += rows;
        }
        match &sent {
            Ok((_, true)) => {
                running.tracked.finish(None);
                self.tell_receipt(running.receipt.take(), Outcome::Returned(running.returned));
            }
            Err(Failure::Query(error)) => running.tracked.finish(Some(error)),
            _ => {}
        }
        if let Err(Failure::Query(error)) = &sent {
            self.endpoint.engine.forget_if_changed(error, &running.tables);
        }
        sent
    }

    async fn send_rows(
        &mut self,
        running: &mut Running,
        formats: &[Format],
        rows_max: usize,
        limits: &Limits,
    ) -> Result<(usize, bool), Failure> {
        let zone = self.session.settings.time_zone();
        let mut sent = 0;
        loop {
            if let Some((encoder, next)) = &mut running.batch {
                while *next < encoder.rows() {
                    if sent == rows_max && rows_max > 0 {
                        return Ok((sent, false));
                    }
                    let before = self.out.len();
                    encoder.append(*next, &mut self.out).map_err(arrow)?;
                    (sent, *next) = (sent + 1, *next + 1);
                    running.unnoted.add(self.out.len() - before);
                    if self.out.len() >= WRITE_BYTES {
                        running.unnoted.note(&running.tracked);
                        let interrupted = self.write_out(limits, || running.stream = None).await?;
                        if let Some(error) = interrupted {
                            return Err(error.into());
                        }
                    }
                }
                running.batch = None;
            }
            let Some(stream) = running.stream.as_mut() else {
                return Ok((sent, true));
            };
            match limits.cancellable(stream.next()).await? {
                Some(batch) => {
                    let batch: RecordBatch = batch.map_err(QueryError::from)?;
                    running.batch = Some((RowEncoder::new(&batch, formats, zone).map_err(arrow)?, 0));
                }
                None => {
                    running.stream = None;
                    self.apply_settings(&running.set_config)?;
                }
            }
        }
    }

    /// Writes what is ready. When the statement is cancelled meanwhile, `stop` is called at once, and what is ready is
    /// still written to its end, since a message must not be cut; then the cancellation is returned.
    async fn write_out(
        &mut self,
        limits: &Limits,
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
                error = limits.interruption() => {
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

    /// Runs `work` on a thread of its own, where planning blocks nobody; ends early when cancelled or too late.
    pub(super) async fn on_planner<T, F>(
        &mut self,
        limits: &Limits,
        work: impl FnOnce(CancelToken) -> F + Send + 'static,
    ) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>> + Send,
    {
        let planners: Arc<Semaphore> = Arc::clone(&self.endpoint.planners);
        let permit = limits
            .cancellable(planners.acquire_owned())
            .await?
            .map_err(|closed| QueryError::internal(&closed))?;
        let runtime = tokio::runtime::Handle::current();
        let token = limits.token.child_token();
        // The planner goes on until it looks at the token: it fires when this statement is over, however it ends.
        let _over = token.clone().drop_guard();
        let planner = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, which may be later than the end of the statement.
            let _permit = permit;
            runtime.block_on(async move {
                tokio::select! {
                    biased;
                    () = token.cancelled() => Err(canceled()),
                    done = work(token.clone()) => done,
                }
            })
        });
        match limits.cancellable(planner).await? {
            Ok(outcome) => outcome,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => Err(panicked(panic.as_ref())),
                Err(failed) => Err(QueryError::internal(&failed)),
            },
        }
    }
}

impl Limits {
    /// The limits of the next statement of the same message, whose time begins now. These here must live longer.
    pub(super) fn renewed(&self, session: &Session) -> Self {
        let timeout = session.settings.statement_timeout();
        Self {
            token: self.token.clone(),
            stopping: self.stopping.clone(),
            deadline: timeout.map(|timeout| Deadline::now() + timeout),
            _ended: None,
        }
    }

    /// `work`, or the reason why it must end.
    pub(super) async fn cancellable<T>(&self, work: impl Future<Output = T>) -> Result<T, QueryError> {
        tokio::select! {
            biased;
            error = self.interruption() => Err(error),
            done = work => Ok(done),
        }
    }

    /// Waits until the statement is cancelled, its time is over, or the server stops.
    async fn interruption(&self) -> QueryError {
        let timeout = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.token.cancelled() => canceled(),
            () = self.stopping.cancelled() => QueryError::new(SqlState::ADMIN_SHUTDOWN, STOPPED),
            () = timeout => {
                QueryError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
            }
        }
    }
}

fn canceled() -> QueryError {
    QueryError::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

fn arrow(error: ArrowError) -> QueryError {
    QueryError::from(DataFusionError::from(error))
}

/// A panic as the client sees it; its text goes to the log.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> QueryError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown panic");
    tracing::error!(panic = text, "a statement panicked");
    QueryError::new(SqlState::INTERNAL_ERROR, "internal error").hint("The server's log has the cause.")
}

/// `error` as the client sees it: with its place in `sql` and the query's id.
pub(super) fn told(error: QueryError, sql: &str, query_id: &str) -> QueryError {
    let mut error = error.located(sql);
    let id = format!("Query {query_id}.");
    error.detail = Some(match error.detail {
        Some(detail) => format!("{detail} {id}"),
        None => id,
    });
    error
}

/// `error` of planning with the place of the literal that is no value of its type, if the text has it once.
pub(super) fn at_literal(mut error: QueryError, sql: &str) -> QueryError {
    let about_literals = [
        SqlState::INVALID_TEXT_REPRESENTATION,
        SqlState::INVALID_DATETIME_FORMAT,
        SqlState::DATETIME_OVERFLOW,
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
    ];
    if error.position.is_some() || error.span.is_some() || !about_literals.contains(&error.state) {
        return error;
    }
    let mut quoted = error.message.split('"');
    if let (Some(_), Some(value), Some(_)) = (quoted.next(), quoted.next(), quoted.next_back()) {
        error.position = only_place(sql, &format!("'{}'", value.replace('\'', "''")));
    }
    error
}

/// The character (from 1) at which `part` stands in `sql`, if it is there once.
pub(super) fn only_place(sql: &str, part: &str) -> Option<usize> {
    let (before, behind) = sql.split_once(part)?;
    (!behind.contains(part)).then(|| before.chars().count() + 1)
}

impl Engine {
    /// Forgets tables that a source says are not as remembered, so that the next statement asks again.
    fn forget_if_changed(&self, error: &QueryError, tables: &[causeway_spi::TableName]) {
        let changed = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::FDW_ERROR,
            SqlState::SERIALIZATION_FAILURE,
        ];
        if changed.contains(&error.state) {
            let catalogs = self.catalogs();
            tables.iter().for_each(|table| catalogs.forget(table));
        }
    }
}
