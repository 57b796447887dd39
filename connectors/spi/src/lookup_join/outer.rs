//! The outer side of a join, read ahead: what has come is kept, and given again before the rest.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

use crate::pacing::paced;

/// Batches of one partition that are read ahead of whoever takes them.
const BATCHES_AHEAD: usize = 2;

/// One partition of the outer side: what was kept of it, then the rest.
pub(super) struct Outer {
    kept: VecDeque<RecordBatch>,
    rest: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    reservation: MemoryReservation,
}

impl Outer {
    /// Every partition of `plan`, begun, each by a task of its own.
    pub(super) fn begin(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<Self>> {
        let partitions = 0..plan.output_partitioning().partition_count();
        let begun = partitions.map(|partition| {
            let stream = plan.execute(partition, Arc::clone(context))?;
            Ok(Self {
                kept: VecDeque::new(),
                schema: stream.schema(),
                rest: Some(spawn_buffered(stream, BATCHES_AHEAD)),
                reservation: MemoryConsumer::new(format!("LookupJoinOuter[{partition}]"))
                    .register(context.memory_pool()),
            })
        });
        begun.collect()
    }

    /// Keeps `batch`, to give it again. Whether the memory pool has room for it; it is kept in any case.
    pub(super) fn keep(&mut self, batch: RecordBatch) -> bool {
        let has_room = self.reservation.try_grow(batch.get_array_memory_size()).is_ok();
        self.kept.push_back(batch);
        has_room
    }

    /// The batches that are kept.
    pub(super) fn kept(&self) -> impl Iterator<Item = &RecordBatch> {
        self.kept.iter()
    }

    /// Bytes that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// What is kept, as a partition without a rest; `self` goes on behind it.
    pub(super) fn split_kept(&mut self) -> Self {
        Self {
            kept: std::mem::take(&mut self.kept),
            rest: None,
            schema: Arc::clone(&self.schema),
            reservation: self.reservation.take(),
        }
    }

    /// The next batch that is not kept yet.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let Some(rest) = self.rest.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = rest.poll_next_unpin(cx);
        if let Poll::Ready(None) = polled {
            self.rest = None;
        }
        polled
    }

    /// The same, waited for.
    pub(super) async fn next_ahead(&mut self) -> Result<Option<RecordBatch>> {
        poll_fn(|cx| self.poll_ahead(cx)).await.transpose()
    }

    /// Whether nothing comes behind what is kept.
    pub(super) fn has_ended(&self) -> bool {
        self.rest.is_none()
    }
}

impl Stream for Outer {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(batch) = self.kept.pop_front() {
            let bytes = batch.get_array_memory_size().min(self.reservation.size());
            self.reservation.shrink(bytes);
            return Poll::Ready(Some(Ok(batch)));
        }
        self.poll_ahead(cx)
    }
}

impl RecordBatchStream for Outer {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Takes the place of the outer side in the join that is run: each of its partitions is put here and taken once.
pub(super) struct OuterExec {
    partitions: Vec<Mutex<Option<Outer>>>,
    properties: Arc<PlanProperties>,
    /// The plan that the partitions are read from, for whoever looks for the scans that use the join's own filter.
    read: Vec<Arc<dyn ExecutionPlan>>,
}

impl OuterExec {
    /// Of as many partitions as `properties` has, none of them here yet.
    pub(super) fn new(properties: &Arc<PlanProperties>) -> Self {
        let partitions = 0..properties.partitioning.partition_count();
        Self {
            partitions: partitions.map(|_| Mutex::default()).collect(),
            properties: Arc::clone(properties),
            read: Vec::new(),
        }
    }

    /// The same, which shows `plan` below itself.
    pub(super) fn reading(mut self, plan: &Arc<dyn ExecutionPlan>) -> Self {
        self.read = vec![Arc::clone(plan)];
        self
    }

    /// One partition, whichever it was of the plan with `properties`: its rows are in the same order.
    pub(super) fn single(outer: Outer, properties: &Arc<PlanProperties>) -> Self {
        let properties =
            PlanProperties::clone(properties).with_partitioning(Partitioning::UnknownPartitioning(1));
        Self::new(&Arc::new(properties)).with(vec![outer])
    }

    /// The same with all of its partitions.
    pub(super) fn with(self, outer: Vec<Outer>) -> Self {
        for (partition, outer) in outer.into_iter().enumerate() {
            self.put(partition, outer);
        }
        self
    }

    /// Puts a partition here.
    pub(super) fn put(&self, partition: usize, outer: Outer) {
        if let Some(slot) = self.partitions.get(partition) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outer);
        }
    }

    /// Takes a partition. Errors: it was taken, or never put.
    pub(super) fn take(&self, partition: usize) -> Result<Outer> {
        let slot = self.partitions.get(partition);
        slot.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take())
            .ok_or_else(|| internal_datafusion_err!("partition {partition} of an outer side is read twice"))
    }
}

impl fmt::Debug for OuterExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OuterExec")
    }
}

impl DisplayAs for OuterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OuterExec")
    }
}

impl ExecutionPlan for OuterExec {
    fn name(&self) -> &'static str {
        "OuterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.read.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("an outer side that is being read is not planned again")
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("an outer side that is being read is not planned again")
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(paced(Box::pin(self.take(partition)?)))
    }
}
