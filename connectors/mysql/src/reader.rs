//! Runs printed statements and streams their rows.
//!
//! A task owns the session and fills a channel of one batch; it starts when the stream is first polled. When the stream
//! is dropped the task has the statement killed, reads what is left of it, and only then gives the session back.

use std::sync::Arc;

use arrow::array::RecordBatch;
use causeway_base_sql::{Dialect, SqlBackend, SqlRead, Statement};
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ReadContext, Result, TableName};
use futures::{StreamExt, stream};
use mysql_async::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::bind::bound;
use crate::decode::Batcher;
use crate::error::{Doing, is_connection_lost, translate};
use crate::pool::Pool;
use crate::session::Session;

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
        let task = tokio::spawn(self.run(sender));
        Running { table, batches, task }
    }

    async fn run(mut self, batches: Sender<Result<RecordBatch>>) {
        if let Err(error) = self.read_all(&batches).await {
            // Nobody to tell when the stream is gone.
            let _ = batches.send(Err(error)).await;
        }
    }

    async fn read_all(&mut self, batches: &Sender<Result<RecordBatch>>) -> Result<()> {
        let Some(first) = self.read.statements.next().transpose()? else {
            return Ok(());
        };
        let pool = Arc::clone(&self.pool);
        let leased = tokio::select! {
            biased;
            () = batches.closed() => return Ok(()),
            leased = pool.lease() => leased,
        };
        let mut lease = leased?;
        let (outcome, killed) = loop {
            let Some(id) = lease.id() else { return Ok(()) };
            let work = self.statements(lease.session()?, &first, batches);
            let (outcome, killed) = pool.drive(&id, work, batches.closed()).await;
            match outcome {
                // An idle session that the server had closed meanwhile.
                Some(Err(Failure::Stale(error))) if !batches.is_closed() => {
                    if !lease.renew().await? {
                        return Err(error);
                    }
                }
                Some(outcome) => break (outcome, killed),
                // Nobody waits, and the server does not answer: dropping the lease closes the session.
                None => return Ok(()),
            }
        };
        let told = match outcome {
            Ok(last) => deliver(batches, last).await,
            Err(Failure::Stale(error) | Failure::Error(error)) => {
                batches.send(Err(error)).await.map_err(|_| ())
            }
            Err(Failure::Gone) => Err(()),
        };
        // Whether it was heard or not, the session is settled.
        let _ = told;
        lease.settle(&pool, killed).await;
        Ok(())
    }

    /// Runs the statements one after another and delivers their rows; returns those of the last batch.
    async fn statements(
        &mut self,
        session: &mut Session,
        first: &Statement,
        batches: &Sender<Result<RecordBatch>>,
    ) -> Result<Option<RecordBatch>, Failure> {
        let mut batcher = Batcher::new(
            self.read.table.clone(),
            Arc::clone(&self.read.schema),
            &self.read.columns,
            self.cx.batch_rows,
            self.cx.batch_bytes,
        )?;
        self.prepare_first(session, first).await?;
        self.execute(session, first, &mut batcher, batches).await?;
        while let Some(statement) = self.read.statements.next().transpose()? {
            session
                .prepare(&statement.sql)
                .await
                .map_err(|error| self.failed(error))?;
            self.execute(session, &statement, &mut batcher, batches).await?;
        }
        Ok(batcher.finish()?)
    }

    /// The first thing that is asked of a session: here it shows that the server had closed it.
    async fn prepare_first(&self, session: &mut Session, statement: &Statement) -> Result<(), Failure> {
        let prepared = session.prepare(&statement.sql).await;
        prepared.map_err(|error| match is_connection_lost(&error) {
            true => Failure::Stale(self.failed(error)),
            false => Failure::Error(self.failed(error)),
        })
    }

    async fn execute(
        &self,
        session: &mut Session,
        statement: &Statement,
        batcher: &mut Batcher,
        batches: &Sender<Result<RecordBatch>>,
    ) -> Result<(), Failure> {
        let params = statement
            .params
            .iter()
            .map(|param| bound(param, &self.read.table))
            .collect::<Result<Vec<Value>>>()?;
        if batches.is_closed() {
            return Err(Failure::Gone);
        }
        self.cx.metrics.requests.add(1);
        let mut result = session
            .execute(params)
            .await
            .map_err(|error| self.failed(error))?;
        while let Some(row) = result.next().await.map_err(|error| self.failed(error))? {
            let (row_bytes, full) = batcher.push(row.unwrap_raw())?;
            self.cx.metrics.bytes.add(row_bytes);
            if full.is_some() {
                deliver(batches, full).await.map_err(|()| Failure::Gone)?;
            }
        }
        Ok(())
    }

    fn failed(&self, error: mysql_async::Error) -> ConnectorError {
        translate(error, Doing::Reading(&self.read.table))
    }
}

/// Why the statements of a read came to no end.
enum Failure {
    /// The connection was lost before anything was asked of it.
    Stale(ConnectorError),
    Error(ConnectorError),
    /// Nobody waits for the rows any more.
    Gone,
}

impl From<ConnectorError> for Failure {
    fn from(error: ConnectorError) -> Self {
        Self::Error(error)
    }
}

async fn deliver(batches: &Sender<Result<RecordBatch>>, batch: Option<RecordBatch>) -> Result<(), ()> {
    match batch {
        Some(batch) => batches.send(Ok(batch)).await.map_err(|_| ()),
        None => Ok(()),
    }
}
