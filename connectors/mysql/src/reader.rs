//! Runs printed statements and streams their rows.
//!
//! A task owns the session and fills the stream's channel. When the stream is dropped the task has the statement killed,
//! reads what is left of it, and only then gives the session back.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use causeway_base_sql::{Dialect, Estimator, OnePart, PartReader, SqlBackend, SqlRead, Statement, spawned};
use causeway_spi::{BatchStream, ConnectorError, ReadContext, Result};
use mysql_async::{Row, Value, from_value_opt};
use tokio::sync::mpsc::Sender;

use crate::bind::bound;
use crate::catalog::Found;
use crate::decode::Batcher;
use crate::error::{Doing, is_connection_lost, translate};
use crate::moment::{Gathering, SNAPSHOT_ENGINE, Share, tells_moments};
use crate::options::Splits;
use crate::pool::{Lease, Pool};
use crate::session::{Session, Turn};
use crate::stop::Killed;

/// Runs statements on the sessions of a pool.
#[derive(Debug)]
pub(crate) struct MySqlBackend {
    pool: Arc<Pool>,
    splits: Splits,
    /// Least rows of a part of a scan.
    split_rows: usize,
}

impl MySqlBackend {
    /// A backend on `pool` that splits scans as `splits` says, into parts of at least `split_rows` rows.
    pub(crate) fn new(pool: Arc<Pool>, splits: Splits, split_rows: usize) -> Self {
        Self {
            pool,
            splits,
            split_rows,
        }
    }

    /// The sessions.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The column by whose ranges scans of a table are split, or why they are not.
    pub(crate) fn range_key(&self, table: &Found) -> Result<usize, OnePart> {
        let Some(engine) = &table.engine else {
            return Err("a view has no key".into());
        };
        match self.splits {
            Splits::Off => Err("splits are off".into()),
            Splits::Consistent if engine != SNAPSHOT_ENGINE => {
                Err(format!("engine {engine} has no snapshots").into())
            }
            Splits::Consistent | Splits::Inconsistent => table.primary.ok_or("no primary key".into()),
        }
    }
}

#[async_trait]
impl PartReader for MySqlBackend {
    fn parts_max(&self, rows: usize) -> Result<usize, OnePart> {
        let connections = 1 + self.pool.split_connections();
        if connections == 1 {
            return Err("split_connections is 0".into());
        }
        match rows / self.split_rows {
            0 | 1 => Err("too few rows".into()),
            parts => Ok(parts.min(connections)),
        }
    }

    async fn bounds(&self, statement: &Statement) -> Result<Option<(i128, i128)>, OnePart> {
        let Some(leased) = self.pool.lease_now().await else {
            return Err("all connections are in use".into());
        };
        let asked = async {
            let (rows, mut lease) = leased?.rows(&statement.sql, vec![]).await?;
            let told = self.splits != Splits::Consistent || tells_moments(lease.session()?).await;
            lease.settle(&self.pool, Killed::No).await;
            Ok((rows, told))
        };
        match self.pool.within_request(asked).await {
            Ok((_, false)) => Err("the server does not tell the moments of snapshots".into()),
            Ok((rows, true)) => Ok(rows.into_iter().next().and_then(extent)),
            Err(error) => {
                tracing::debug!(catalog = self.pool.catalog(), %error, "the bounds of a key are not known");
                Err("the bounds of the key could not be read".into())
            }
        }
    }

    fn moment(&self) -> &'static str {
        match self.splits {
            Splits::Inconsistent => "each at a moment of its own",
            _ => "if all connections see one snapshot, else one",
        }
    }
}

/// The least and the greatest value of a key, which the text protocol writes as digits.
fn extent(row: Row) -> Option<(i128, i128)> {
    let mut values = row.unwrap().into_iter().map(|value| {
        let text = from_value_opt::<String>(value).ok()?;
        text.parse().ok()
    });
    Some((values.next()??, values.next()??))
}

impl SqlBackend for MySqlBackend {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    fn run(&self, read: SqlRead, cx: &ReadContext) -> BatchStream {
        let job = Job {
            pool: Arc::clone(&self.pool),
            splits: self.splits,
            read,
            cx: cx.clone(),
        };
        let table = job.read.table.clone();
        spawned(table, |batches| job.run(batches), || {})
    }

    fn parts(&self) -> Option<&dyn PartReader> {
        Some(self)
    }

    fn estimator(&self) -> Option<&dyn Estimator> {
        Some(self)
    }
}

struct Job {
    pool: Arc<Pool>,
    splits: Splits,
    read: SqlRead,
    cx: ReadContext,
}

impl Job {
    async fn run(mut self, batches: Sender<Result<RecordBatch>>) {
        if let Err(error) = self.read_all(&batches).await {
            // Nobody to tell when the stream is gone.
            let _ = batches.send(Err(error)).await;
        }
    }

    async fn read_all(&mut self, batches: &Sender<Result<RecordBatch>>) -> Result<()> {
        let pool = Arc::clone(&self.pool);
        let opened = tokio::select! {
            biased;
            () = batches.closed() => return Ok(()),
            opened = self.open() => opened,
        };
        let Some((first, mut lease)) = opened? else {
            return Ok(());
        };
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
        match self.read.native {
            true => lease.end_native(killed),
            false => lease.settle(&pool, killed).await,
        }
        Ok(())
    }

    /// The first statement and the connection to run it on; `None` when there is nothing to read, or nothing that is left
    /// to this part of a scan.
    async fn open(&mut self) -> Result<Option<(Statement, Lease)>> {
        let mut dealt = None;
        if let (Some(part), Some(execution)) = (&self.read.part, &self.cx.execution)
            && let Some(gathering) = execution.get_or_init(Gathering::default)
        {
            match gathering.share(&self.pool, part, self.splits).await? {
                Share::Nothing => return Ok(None),
                Share::Ranges(ranges, lease) => {
                    self.read.statements = Box::new(std::iter::once(Ok(part.statement(ranges))));
                    dealt = lease;
                }
            }
        }
        let Some(first) = self.read.statements.next().transpose()? else {
            return Ok(None);
        };
        let lease = match dealt {
            Some(lease) => lease,
            None => self.pool.lease().await?,
        };
        Ok(Some((first, lease)))
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

    /// The first thing that is asked of a session: here it shows that the server had closed it. Several statements read
    /// at one moment.
    async fn prepare_first(&self, session: &mut Session, statement: &Statement) -> Result<(), Failure> {
        let several = self.read.statements.size_hint().1 != Some(0);
        let prepared = async {
            if several && !session.is_in_snapshot() {
                session.begin_snapshot().await?;
            }
            session.prepare(&statement.sql).await
        };
        prepared.await.map_err(|error| match is_connection_lost(&error) {
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
        batcher.expect(result.columns_ref());
        let mut turn = Turn::default();
        while let Some(row) = result.next().await.map_err(|error| self.failed(error))? {
            turn.row().await;
            let full = batcher.push(row.unwrap_raw())?;
            if full.is_some() {
                self.cx.metrics.bytes.add(batcher.take_received());
                deliver(batches, full).await.map_err(|()| Failure::Gone)?;
            }
        }
        self.cx.metrics.bytes.add(batcher.take_received());
        Ok(())
    }

    fn failed(&self, error: mysql_async::Error) -> ConnectorError {
        let table = &self.read.table;
        let doing = match self.read.native {
            true => Doing::Native(&table.catalog),
            false => Doing::Reading(table),
        };
        translate(error, doing)
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
