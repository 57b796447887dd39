//! The outer side's rows, batch by batch: the keys of each are looked up, and its rows joined with what they find.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{TryStreamExt, stream};

use super::choice::Choice;
use super::inner::Inner;
use super::kept_max;
use super::keys::OuterKeys;
use super::outer::{Outer, OuterExec};
use crate::dynamic_keys::KeySet;
use crate::scan_exec::ScanMode;
use crate::settings::LookupJoinLimits;

/// What the partitions of one execution share.
pub(super) struct Batches {
    template: HashJoinExec,
    inner: Inner,
    outer: OuterExec,
    limits: LookupJoinLimits,
    /// As many keys as a scan costs, where the table may be scanned.
    keys_max: Option<usize>,
    looked_up: AtomicUsize,
    /// The join with the scan, once there is one.
    scan: OnceLock<(HashJoinExec, Arc<OuterExec>)>,
    choice: Arc<Mutex<Option<Choice>>>,
}

impl Batches {
    pub(super) fn new(
        template: HashJoinExec,
        inner: Inner,
        outer: OuterExec,
        limits: LookupJoinLimits,
        keys_max: Option<usize>,
        choice: Arc<Mutex<Option<Choice>>>,
    ) -> Self {
        Self {
            template,
            inner,
            outer,
            limits,
            keys_max,
            looked_up: AtomicUsize::new(0),
            scan: OnceLock::new(),
            choice,
        }
    }

    /// The joined rows of one partition of the outer side, in its order.
    pub(super) fn read(
        self: &Arc<Self>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reading = Some(Reading {
            batches: Arc::clone(self),
            outer: self.outer.take(partition)?,
            partition,
            context,
        });
        let joined = stream::try_unfold(reading, |reading| async move {
            match reading {
                Some(reading) => reading.next().await,
                None => Ok(None),
            }
        });
        let schema = self.template.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            joined.try_flatten(),
        )))
    }

    /// The join of `kept` with the rows that `mode` reads.
    fn join(&self, mode: &ScanMode, outer: Arc<OuterExec>) -> Result<HashJoinExec> {
        self.template
            .builder()
            .reset_state()
            .with_partition_mode(PartitionMode::CollectLeft)
            .with_new_children(vec![self.inner.read_whole(mode)?, outer])?
            .build()
    }

    /// The join of the rest of all partitions, once for all of them.
    fn scan(&self) -> Result<&(HashJoinExec, Arc<OuterExec>)> {
        if let Some(scan) = self.scan.get() {
            return Ok(scan);
        }
        let outer = Arc::new(OuterExec::new(self.template.right().properties()));
        let join = self.join(&ScanMode::Scan, Arc::clone(&outer))?;
        *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Some(Choice::BatchesThenScan);
        Ok(self.scan.get_or_init(|| (join, outer)))
    }
}

/// One partition that is being read.
struct Reading {
    batches: Arc<Batches>,
    outer: Outer,
    partition: usize,
    context: Arc<TaskContext>,
}

impl Reading {
    /// The joined rows of the next batch, or of all that is left, and who goes on behind them.
    async fn next(mut self) -> Result<Option<(SendableRecordBatchStream, Option<Self>)>> {
        let batches = Arc::clone(&self.batches);
        let mut keys = OuterKeys::new(
            batches.inner.outer_keys.clone(),
            Arc::clone(&batches.inner.key_schema),
        )?;
        for batch in self.outer.kept() {
            keys.add(batch)?;
        }
        let mut bytes = self.outer.kept_bytes();
        let bytes_max = kept_max(&batches.limits, &self.context) / batches.partitions();
        let mut has_room = true;
        while has_room && keys.len() < batches.limits.batch_keys && bytes <= bytes_max {
            let Some(batch) = self.outer.next_ahead().await? else {
                break;
            };
            keys.add(&batch)?;
            bytes += batch.get_array_memory_size();
            has_room = self.outer.keep(batch);
        }
        if self.outer.kept().next().is_none() {
            return Ok(None);
        }
        let looked_up = batches.looked_up.fetch_add(keys.len(), Ordering::Relaxed) + keys.len();
        let context = Arc::clone(&self.context);
        if batches.keys_max.is_some_and(|keys_max| looked_up > keys_max) {
            let (join, outer) = batches.scan()?;
            outer.put(self.partition, self.outer);
            return Ok(Some((join.execute(self.partition, context)?, None)));
        }
        let mode = ScanMode::Lookup(KeySet {
            key: batches.inner.key,
            values: keys.take()?,
        });
        let kept = OuterExec::single(self.outer.split_kept(), batches.template.right().properties());
        let rows = batches.join(&mode, Arc::new(kept))?.execute(0, context)?;
        Ok(Some((rows, Some(self))))
    }
}

impl Batches {
    fn partitions(&self) -> usize {
        self.template
            .right()
            .output_partitioning()
            .partition_count()
            .max(1)
    }
}
