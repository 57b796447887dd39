//! Runs printed statements and streams their rows.
//!
//! A blocking thread owns the session, reads in one transaction, so that all rows are of one moment, and fills a channel of
//! one batch; it starts when the stream is first polled. When the stream is dropped the running statement is interrupted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use causeway_base_sql::{Dialect, SqlBackend, SqlRead, Statement, spawned};
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ReadContext, Result, TableName};
use rusqlite::{Connection, InterruptHandle, params_from_iter};
use tokio::sync::mpsc::Sender;

use crate::bind::bound;
use crate::decode::{Batcher, OddValues};
use crate::error::{Doing, translate};
use crate::sessions::Sessions;

/// Runs statements on the sessions of a catalog.
#[derive(Debug)]
pub(crate) struct SqliteBackend {
    sessions: Arc<Sessions>,
    odd_values: OddValues,
}

impl SqliteBackend {
    /// A backend on `sessions`.
    pub(crate) fn new(sessions: Arc<Sessions>, odd_values: OddValues) -> Self {
        Self { sessions, odd_values }
    }
}

impl SqlBackend for SqliteBackend {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn run(&self, read: SqlRead, cx: &ReadContext) -> BatchStream {
        let job = Job {
            sessions: Arc::clone(&self.sessions),
            odd_values: self.odd_values,
            read,
            cx: cx.clone(),
            running: Arc::default(),
        };
        let (table, running) = (job.read.table.clone(), Arc::clone(&job.running));
        spawned(table, |batches| job.start(batches), move || running.interrupt())
    }
}

struct Job {
    sessions: Arc<Sessions>,
    odd_values: OddValues,
    read: SqlRead,
    cx: ReadContext,
    running: Arc<RunningStatement>,
}

/// The way to stop what runs on a session, as long as this read owns it.
#[derive(Default)]
struct RunningStatement(Mutex<Option<InterruptHandle>>);

impl fmt::Debug for RunningStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunningStatement")
    }
}

impl RunningStatement {
    fn begin(&self, handle: InterruptHandle) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// From now on a late interrupt hits nothing.
    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn interrupt(&self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }
}

impl Job {
    async fn start(self, sender: Sender<Result<RecordBatch>>) {
        let permit = tokio::select! {
            biased;
            () = sender.closed() => return,
            permit = self.sessions.permit() => permit,
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(error) => {
                // Nobody to tell when the stream is gone; so below.
                let _ = sender.send(Err(error)).await;
                return;
            }
        };
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            if let Err(error) = self.read_all(&sender) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        if let Err(error) = reading.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    fn read_all(mut self, batches: &Sender<Result<RecordBatch>>) -> Result<()> {
        let session = match self.read.native {
            true => self.sessions.native()?,
            false => self.sessions.session()?,
        };
        self.running.begin(session.connection.get_interrupt_handle());
        let outcome = match batches.is_closed() {
            true => Ok(()),
            false => self.run(&session.connection, batches),
        };
        self.running.end();
        // A session in an unknown state is closed, which ends its transaction; so is that of a user's own statement.
        if !self.read.native && outcome.is_ok() && session.connection.is_autocommit() {
            self.sessions.give_back(session);
        }
        outcome
    }

    fn run(&mut self, connection: &Connection, batches: &Sender<Result<RecordBatch>>) -> Result<()> {
        let Self {
            read, odd_values, cx, ..
        } = self;
        let native = read.native;
        let failed = |table: &TableName, error| match native {
            true => translate(error, Doing::Native(&table.catalog)),
            false => translate(error, Doing::Reading(table)),
        };
        connection
            .execute_batch("BEGIN")
            .map_err(|error| failed(&read.table, error))?;
        let statements = std::mem::replace(&mut read.statements, Box::new(std::iter::empty()));
        let read = &*read;
        let mut batcher = Batcher::new(read, *odd_values, cx)?;
        let mut prepared: Option<(String, rusqlite::Statement<'_>)> = None;
        for statement in statements {
            let Statement { sql, params } = statement?;
            let params = params
                .iter()
                .map(|param| bound(param, &read.table))
                .collect::<Result<Vec<_>>>()?;
            let mut current = match prepared.take() {
                Some(same) if same.0 == sql => same,
                _ => {
                    let new = connection
                        .prepare(&sql)
                        .map_err(|error| failed(&read.table, error))?;
                    (sql, new)
                }
            };
            cx.metrics.requests.add(1);
            let mut rows = current
                .1
                .query(params_from_iter(params))
                .map_err(|error| failed(&read.table, error))?;
            while let Some(row) = rows.next().map_err(|error| failed(&read.table, error))? {
                let (row_bytes, full) = batcher.push(row)?;
                cx.metrics.bytes.add(row_bytes);
                if let Some(batch) = full {
                    deliver(batches, batch)?;
                }
            }
            drop(rows);
            prepared = Some(current);
        }
        drop(prepared);
        connection
            .execute_batch("COMMIT")
            .map_err(|error| failed(&read.table, error))?;
        match batcher.finish()? {
            Some(batch) => deliver(batches, batch),
            None => Ok(()),
        }
    }
}

fn deliver(batches: &Sender<Result<RecordBatch>>, batch: RecordBatch) -> Result<()> {
    batches
        .blocking_send(Ok(batch))
        .map_err(|_| ConnectorError::new(ErrorKind::Internal, "the reader of a stream is gone"))
}
