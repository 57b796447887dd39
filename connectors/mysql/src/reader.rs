//! Runs printed statements and streams their rows.
//!
//! A task owns the session and fills a channel of one batch; it starts when the stream is first polled. When the stream
//! is dropped the task stops at once: its lease closes the session and has the statement killed.

use std::sync::Arc;

use arrow::array::RecordBatch;
use causeway_base_sql::{Dialect, SqlBackend, SqlRead, Statement};
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ReadContext, Result, TableName};
use futures::{StreamExt, stream};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::bind::bound;
use crate::decode::Batcher;
use crate::error::{Doing, is_connection_lost, translate};
use crate::pool::{Lease, Pool};

/// Batches that may wait for the reader of the stream.
const BATCHES_AHEAD: usize = 1;

/// Runs statements on the sessions of a pool.
#[derive(Debug)]
pub(crate) struct MySqlBackend {
    pool: Arc<Pool>,
}

impl MySqlBackend {
    /// A backend on `pool`.
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl SqlBackend for MySqlBackend {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    fn run(&self, read: SqlRead, cx: &ReadContext) -> BatchStream {
        let job = Job {
            pool: Arc::clone(&self.pool),
            read,
            cx: cx.clone(),
        };
        stream::unfold(State::Waiting(Box::new(job)), next_batch).boxed()
    }
}

struct Job {
    pool: Arc<Pool>,
    read: SqlRead,
    cx: ReadContext,
}

enum State {
    Waiting(Box<Job>),
    Running(Running),
    Ended,
}

struct Running {
    table: TableName,
    batches: Receiver<Result<RecordBatch>>,
    task: JoinHandle<()>,
}

async fn next_batch(state: State) -> Option<(Result<RecordBatch>, State)> {
    let mut running = match state {
        State::Waiting(job) => job.start(),
        State::Running(running) => running,
        State::Ended => return None,
    };
    match running.batches.recv().await {
        Some(Ok(batch)) => Some((Ok(batch), State::Running(running))),
        Some(Err(error)) => Some((Err(error), State::Ended)),
        // The channel also closes when the task panics: that is no end of data.
        None => match running.task.await {
            Ok(()) => None,
            Err(error) => {
                let message = format!("the reader of table {} ended unexpectedly", running.table);
                let error = ConnectorError::new(ErrorKind::Internal, message).source(error);
                Some((Err(error), State::Ended))
            }
        },
    }
}

impl Job {
    fn start(self) -> Running {
        let (sender, batches) = channel(BATCHES_AHEAD);
        let table = self.read.table.clone();
        let task = tokio::spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = sender.closed() => return,
                outcome = self.read_all(&sender) => outcome,
            };
            if let Err(error) = outcome {
                // Nobody to tell when the stream is gone.
                let _ = sender.send(Err(error)).await;
            }
        });
        Running { table, batches, task }
    }

    async fn read_all(mut self, batches: &Sender<Result<RecordBatch>>) -> Result<()> {
        let Some(first) = self.read.statements.next().transpose()? else {
            return Ok(());
        };
        let mut batcher = Batcher::new(
            self.read.table.clone(),
            Arc::clone(&self.read.schema),
            &self.read.columns,
            self.cx.batch_rows,
            self.cx.batch_bytes,
        )?;
        let mut lease = self.pool.lease().await?;
        let mut prepared = self.prepare_first(&mut lease, &first).await?;
        let mut next = Some(first);
        while let Some(statement) = next {
            if statement.sql != prepared.sql {
                let session = lease.session()?;
                let old = std::mem::replace(&mut prepared, self.prepare(session, &statement).await?);
                session
                    .close(old.handle)
                    .await
                    .map_err(|error| self.failed(error))?;
            }
            self.execute(lease.session()?, &prepared, &statement, &mut batcher, batches)
                .await?;
            next = self.read.statements.next().transpose()?;
        }
        let session = lease.session()?;
        session
            .close(prepared.handle)
            .await
            .map_err(|error| self.failed(error))?;
        lease.give_back();
        match batcher.finish()? {
            Some(batch) => deliver(batches, batch).await,
            None => Ok(()),
        }
    }

    /// Prepares the first statement, on a new session if the idle one was closed by the server meanwhile.
    async fn prepare_first(&self, lease: &mut Lease, statement: &Statement) -> Result<Prepared> {
        loop {
            let error = match lease.session()?.prep(statement.sql.as_str()).await {
                Ok(handle) => {
                    return Ok(Prepared {
                        sql: statement.sql.clone(),
                        handle,
                    });
                }
                Err(error) => error,
            };
            if !is_connection_lost(&error) || !lease.renew().await? {
                return Err(self.failed(error));
            }
        }
    }

    async fn prepare(&self, session: &mut Conn, statement: &Statement) -> Result<Prepared> {
        let handle = session
            .prep(statement.sql.as_str())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(Prepared {
            sql: statement.sql.clone(),
            handle,
        })
    }

    async fn execute(
        &self,
        session: &mut Conn,
        prepared: &Prepared,
        statement: &Statement,
        batcher: &mut Batcher,
        batches: &Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        let params = statement
            .params
            .iter()
            .map(|param| bound(param, &self.read.table))
            .collect::<Result<Vec<Value>>>()?;
        let params = match params.is_empty() {
            true => Params::Empty,
            false => Params::Positional(params),
        };
        self.cx.metrics.requests.add(1);
        let mut result = session
            .exec_iter(&prepared.handle, params)
            .await
            .map_err(|error| self.failed(error))?;
        while let Some(row) = result.next().await.map_err(|error| self.failed(error))? {
            let (row_bytes, full) = batcher.push(row.unwrap_raw())?;
            self.cx.metrics.bytes.add(row_bytes);
            if let Some(batch) = full {
                deliver(batches, batch).await?;
            }
        }
        result.drop_result().await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: mysql_async::Error) -> ConnectorError {
        translate(error, Doing::Reading(&self.read.table))
    }
}

/// A statement prepared on the session of the read.
struct Prepared {
    sql: String,
    handle: mysql_async::Statement,
}

async fn deliver(batches: &Sender<Result<RecordBatch>>, batch: RecordBatch) -> Result<()> {
    batches
        .send(Ok(batch))
        .await
        .map_err(|_| ConnectorError::new(ErrorKind::Internal, "the reader of a stream is gone"))
}
