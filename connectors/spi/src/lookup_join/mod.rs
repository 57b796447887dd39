//! A join that looks at its outer side before it reads the inner one.
//!
//! A hash join reads its build side first, however few of its rows the other side asks for. Where the build side is a table
//! that finds rows by the join's keys, this operator stands in the join's place and reads the other side, the *outer* one,
//! ahead:
//!
//! - The outer side has ended, and looking its keys up costs no more than the scan of the table: they are looked up, and what
//!   was read ahead is joined with the rows.
//! - There are more keys than that: the table is scanned, and joined with what was read ahead and then with the rest.
//! - The outer side holds more than may be kept, or the table does: the keys are looked up batch by batch, until as many have
//!   been as a scan costs; then the table is scanned for the rest, if it may be kept.
//!
//! So nothing has been asked of the table when the choice is made, and it changes at most once. What is joined is joined by
//! DataFusion's own hash join, made for this execution from the planned one: the meaning of every kind of join, of residual
//! conditions and of NULL is that of the plan. Restricting the inner side to the outer side's keys changes no row of an inner
//! join, nor of those that keep the outer side's rows; joins that keep the inner side's rows are left as they are.

mod batches;
mod choice;
mod inner;
mod keys;
mod outer;
mod refused;
mod sides;

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, NullEquality, Result, Statistics};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::{StreamExt, TryStreamExt, stream};

pub use refused::refused_lookups;
pub(crate) use sides::StreamedOuterSides;

use batches::Batches;
use choice::{Choice, fits, worth_looking};
use inner::Inner;
use keys::OuterKeys;
use outer::{Outer, OuterExec};

use crate::dynamic_keys::KeySet;
use crate::scan_exec::ScanMode;
use crate::settings::LookupJoinLimits;

/// `plan`, in which joins whose build side might be looked up look at their other side first. It must be ready to run.
pub fn lookup_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let placed = plan.transform_up(|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        Ok(match LookupJoinExec::over(join)? {
            Some(lookup_join) => Transformed::yes(Arc::new(lookup_join) as Arc<dyn ExecutionPlan>),
            None => Transformed::no(node),
        })
    })?;
    Ok(placed.data)
}

/// A hash join that reads its right side, the outer one, ahead: see above.
pub struct LookupJoinExec {
    /// The join as it was planned: it is never run itself.
    join: HashJoinExec,
    inner: Inner,
    /// Most keys that are looked up instead of a scan.
    keys_max: usize,
    limits: LookupJoinLimits,
    executions: Executions,
    choice: Arc<Mutex<Option<Choice>>>,
    metrics: ExecutionPlanMetricsSet,
}

/// Whether `join`, as a join of kind `kind`, may be of a part of its left side: of the rows that have keys of the right one.
fn may_look(join: &HashJoinExec, kind: &JoinType) -> bool {
    let keeps_outer_rows = matches!(
        kind,
        JoinType::Inner
            | JoinType::Right
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::RightMark
            | JoinType::LeftSemi
    );
    let finds_by_keys = join.null_equality() == NullEquality::NullEqualsNothing;
    keeps_outer_rows && finds_by_keys && !join.null_aware && join.fetch().is_none()
}

/// What every partition of one execution waits for: how the rows are joined.
type Look = Shared<BoxFuture<'static, Result<Arc<Way>, Arc<DataFusionError>>>>;

/// The looks of executions of which not all partitions have begun, known by their task contexts. Afterwards only the streams
/// hold a look: when those are dropped, the outer side is.
#[derive(Default)]
struct Executions(Mutex<Vec<Beginning>>);

/// An execution that begins.
struct Beginning {
    context: Weak<TaskContext>,
    look: Look,
    /// Partitions that have not begun.
    left: usize,
}

impl Executions {
    /// The look for one more of the `partitions` of `context`.
    fn of(&self, context: &Arc<TaskContext>, partitions: usize, begin: impl FnOnce() -> Look) -> Look {
        let mut beginning = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beginning.retain(|execution| execution.context.strong_count() > 0);
        let of_context = |execution: &Beginning| execution.context.as_ptr() == Arc::as_ptr(context);
        let place = beginning.iter().position(of_context).unwrap_or_else(|| {
            beginning.push(Beginning {
                context: Arc::downgrade(context),
                look: begin(),
                left: partitions,
            });
            beginning.len() - 1
        });
        let execution = &mut beginning[place];
        execution.left = execution.left.saturating_sub(1);
        match execution.left {
            0 => beginning.swap_remove(place).look,
            _ => execution.look.clone(),
        }
    }
}

/// How the rows of one execution are joined.
enum Way {
    /// All at once, by this join.
    Joined(Box<HashJoinExec>),
    /// The outer side's rows batch by batch.
    Batches(Arc<Batches>),
}

impl LookupJoinExec {
    /// `join` as one that looks at its outer side first; `None` where that would be wrong, or not worth it.
    fn over(join: &HashJoinExec) -> Result<Option<Self>> {
        let on = join.on().iter().map(|(inner, outer)| (inner, outer));
        let Some(inner) = Inner::of(join.left(), on).filter(|_| may_look(join, join.join_type())) else {
            return Ok(None);
        };
        let Some(keys_max) = worth_looking(join, &inner)? else {
            return Ok(None);
        };
        let Some(leaf) = inner.leaf() else {
            return Ok(None);
        };
        let limits = leaf.settings().lookup_joins.clone();
        let marked = inner.offering()?;
        let join = join
            .builder()
            .with_new_children(vec![Arc::clone(marked.plan()), Arc::clone(join.right())])?
            .build()?;
        Ok(Some(Self {
            join,
            inner: marked,
            keys_max,
            limits,
            executions: Executions::default(),
            choice: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    /// The join in whose place this stands.
    pub fn join(&self) -> &HashJoinExec {
        &self.join
    }

    /// How the inner side was read; `None` before the outer side was looked at.
    pub fn choice(&self) -> Option<String> {
        let choice = *self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        choice.map(|choice| choice.to_string())
    }

    /// The same, where the inner side was scanned, though its keys were offered.
    pub fn scan_choice(&self) -> Option<String> {
        let choice = *self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        choice
            .filter(|choice| choice.scans())
            .map(|choice| choice.to_string())
    }

    /// Reads the outer side ahead, for one execution.
    fn look(&self, context: &Arc<TaskContext>) -> Look {
        let looking = Looking {
            template: self.join.builder().build(),
            inner: self.inner.clone(),
            keys_max: self.keys_max,
            limits: self.limits.clone(),
            choice: Arc::clone(&self.choice),
            context: Arc::downgrade(context),
        };
        looking
            .look()
            .map(|way| way.map(Arc::new).map_err(Arc::new))
            .boxed()
            .shared()
    }
}

/// One look at the outer side.
struct Looking {
    template: Result<HashJoinExec>,
    inner: Inner,
    keys_max: usize,
    limits: LookupJoinLimits,
    choice: Arc<Mutex<Option<Choice>>>,
    /// The streams that wait for this hold it.
    context: Weak<TaskContext>,
}

impl Looking {
    async fn look(self) -> Result<Way> {
        let template = self.template?;
        let Some(context) = self.context.upgrade() else {
            return Err(DataFusionError::Execution("the query has ended".to_owned()));
        };
        let outer_plan = template.right();
        let mut outer = Outer::begin(outer_plan, &context)?;
        let mut keys = OuterKeys::new(self.inner.outer_keys.clone(), Arc::clone(&self.inner.key_schema))?;
        let (mut bytes, mut has_room) = (0, true);
        let bytes_max = kept_max(&self.limits, &context);
        while has_room && bytes <= bytes_max && keys.len() <= self.keys_max {
            let Some((partition, batch)) = next_of_any(&mut outer).await? else {
                break;
            };
            keys.add(&batch)?;
            bytes += batch.get_array_memory_size();
            has_room = outer[partition].keep(batch);
        }
        let has_ended = outer.iter().all(Outer::has_ended);
        let found = keys.len();
        let may_scan = *template.join_type() == JoinType::LeftSemi || self.inner.leaf().is_some_and(fits);
        let choice = match (has_ended, found > self.keys_max) {
            (true, false) => Choice::Lookups(found),
            (_, true) if may_scan => Choice::Scan(self.keys_max),
            _ if *template.join_type() == JoinType::LeftSemi => Choice::Scan(self.keys_max),
            _ => Choice::Batches,
        };
        *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Some(choice);
        let handed = OuterExec::new(outer_plan.properties());
        Ok(match choice {
            Choice::Lookups(_) => {
                let values = keys.take()?;
                let mode = ScanMode::Lookup(KeySet {
                    key: self.inner.key,
                    values,
                });
                let join = join_of(&template, self.inner.read(&mode)?, handed.with(outer))?;
                Way::Joined(Box::new(join))
            }
            Choice::Scan(_) => {
                let handed = handed.reading(outer_plan).with(outer);
                let join = join_of(&template, self.inner.read(&ScanMode::Scan)?, handed)?;
                Way::Joined(Box::new(with_own_filter(join, &template)?))
            }
            Choice::Batches | Choice::BatchesThenScan => Way::Batches(Arc::new(Batches::new(
                template,
                self.inner,
                handed.with(outer),
                self.limits,
                may_scan.then_some(self.keys_max),
                self.choice,
            ))),
        })
    }
}

/// The part of the memory pool that an outer side may take: the rows that it finds need some as well.
const POOL_PART: usize = 4;

/// Bytes of the outer side that may be kept, over all partitions.
fn kept_max(limits: &LookupJoinLimits, context: &TaskContext) -> usize {
    let room = match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(limit) => limit / POOL_PART,
        _ => usize::MAX,
    };
    limits.outer_bytes.min(room)
}

/// The next batch of any partition; `None` when all have ended.
async fn next_of_any(outer: &mut [Outer]) -> Result<Option<(usize, RecordBatch)>> {
    poll_fn(|cx| {
        for (partition, outer) in outer.iter_mut().enumerate() {
            if let Poll::Ready(Some(batch)) = outer.poll_ahead(cx) {
                return Poll::Ready(batch.map(|batch| Some((partition, batch))));
            }
        }
        match outer.iter().all(Outer::has_ended) {
            true => Poll::Ready(Ok(None)),
            false => Poll::Pending,
        }
    })
    .await
}

/// `template` of other sides, which has not run yet.
fn join_of(template: &HashJoinExec, inner: Arc<dyn ExecutionPlan>, outer: OuterExec) -> Result<HashJoinExec> {
    template
        .builder()
        .reset_state()
        .with_new_children(vec![inner, Arc::new(outer)])?
        .build()
}

/// `join` with the filter that scans of the outer side have of `template`.
fn with_own_filter(join: HashJoinExec, template: &HashJoinExec) -> Result<HashJoinExec> {
    #[expect(deprecated, reason = "what replaces it does not give the filter's own type")]
    match template.dynamic_filter_expr() {
        Some(filter) => join.with_dynamic_filter_expr(Arc::clone(filter)),
        None => Ok(join),
    }
}

impl fmt::Debug for LookupJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupJoinExec")
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for LookupJoinExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Planned<'a>(&'a HashJoinExec, DisplayFormatType);
        impl fmt::Display for Planned<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt_as(self.1, f)
            }
        }
        let planned = Planned(&self.join, format).to_string();
        let planned = planned.strip_prefix("HashJoinExec: ").unwrap_or(&planned);
        write!(f, "LookupJoinExec: {planned}, keys_max={}", self.keys_max)
    }
}

impl ExecutionPlan for LookupJoinExec {
    fn name(&self) -> &'static str {
        "LookupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.join.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        ExecutionPlan::maintains_input_order(&self.join)
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.join.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.join.apply_expressions(f)
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.join.dynamic_expressions_produced()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let join = self
            .join
            .builder()
            .recompute_properties()
            .with_new_children(children)?
            .build()?;
        Ok(match Self::over(&join)? {
            Some(lookup_join) => Arc::new(lookup_join),
            None => Arc::new(join),
        })
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            join: self.join.builder().reset_state().build()?,
            inner: self.inner.clone(),
            keys_max: self.keys_max,
            limits: self.limits.clone(),
            executions: Executions::default(),
            choice: Arc::clone(&self.choice),
            metrics: self.metrics.clone(),
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = self.properties().output_partitioning().partition_count();
        let look = self.executions.of(&context, partitions, || self.look(&context));
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let opened = stream::once(async move {
            let way = look.clone().await.map_err(DataFusionError::Shared)?;
            let rows = match way.as_ref() {
                Way::Joined(join) => join.execute(partition, context)?,
                Way::Batches(batches) => batches.read(partition, context)?,
            };
            // As long as rows come, the look that they come from is there for the other partitions.
            Ok::<_, DataFusionError>(rows.inspect(move |_| {
                let _ = &look;
            }))
        });
        let rows = opened
            .try_flatten()
            .map_ok(move |batch| batch.record_output(&baseline));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.join.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.join.statistics_from_inputs(inputs, args)
    }
}
