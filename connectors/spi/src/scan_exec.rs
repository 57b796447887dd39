//! The leaf operator: the only place where a source is read.
//!
//! Each partition reads one split. Filters that joins leave here in the `Post` phase are read at the first poll: when
//! they name the keys, and looking those up is cheaper than the scan, partition 0 looks up every key and the other
//! partitions end empty. That choice is made once per execution and shared by all its partitions.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as DataFusionResult, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput, Time,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::connector::{Lookup, Table};
use crate::dynamic_keys::{KeySet, join_keys};
use crate::error::{ConnectorError, ErrorKind, Result};
use crate::estimate::{count, key_cost_rows, keys_worth, scan_statistics};
use crate::scan::{BatchStream, Execution, ReadContext, ReadMetrics, Scan, Split};
use crate::settings::ScanSettings;
use crate::statistics::TableStatistics;
use crate::types::check_canonical;

/// How many times longer an answer may take where the source computes an operator.
const COMPUTING_PATIENCE: u32 = 10;

/// Tables of fewer rows are not worth the question how many of them a scan gives.
const ESTIMATE_ROWS_MIN: u64 = 1_000;
/// The longest wait for a source's own estimate.
const ESTIMATE_PATIENCE: Duration = Duration::from_secs(1);

/// The name of the counter of keys that were looked up.
pub(crate) const LOOKUP_KEYS: &str = "lookup_keys";
/// The name of the time from the first poll of a partition to its first batch.
pub(crate) const FIRST_BATCH: &str = "time_to_first_batch";
/// The name of the counter of partitions that were polled.
pub(crate) const BEGUN: &str = "splits_begun";
/// The name of the counter of partitions that were read to their end.
pub(crate) const ENDED: &str = "splits_ended";

/// How one execution reads its table.
#[derive(Debug, Clone)]
pub enum ScanMode {
    /// Every partition reads its split.
    Scan,
    /// Partition 0 looks these keys up, the others end empty.
    Lookup(KeySet),
}

/// Reads a table of a source: by splits, or by the keys of the joins above.
#[derive(Debug)]
pub struct ScanExec {
    table: Arc<dyn Table>,
    scan: Scan,
    splits: Vec<Split>,
    settings: ScanSettings,
    reference: usize,
    statistics: Arc<Statistics>,
    join_filters: Vec<Arc<dyn PhysicalExpr>>,
    /// The key that a join above may look up, which decides it when it runs.
    offered_key: Option<usize>,
    /// How it is read, where a join has decided that.
    decided: Option<ScanMode>,
    executions: Executions,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What was decided so far, one per running execution.
#[derive(Debug, Default)]
struct Executions(Mutex<Vec<Running>>);

/// One running execution: known by its task context, which all its partitions share.
#[derive(Debug)]
struct Running {
    context: Weak<TaskContext>,
    shared: Shared,
}

/// What the partitions of one execution share: the mode once it is chosen, and the connector's own arrangement.
#[derive(Debug, Clone, Default)]
struct Shared {
    mode: Arc<OnceLock<ScanMode>>,
    execution: Execution,
}

impl Executions {
    fn of(&self, context: &Arc<TaskContext>) -> Shared {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|execution| execution.context.strong_count() > 0);
        if let Some(found) = running
            .iter()
            .find(|execution| execution.context.as_ptr() == Arc::as_ptr(context))
        {
            return found.shared.clone();
        }
        let shared = Shared::default();
        running.push(Running {
            context: Arc::downgrade(context),
            shared: shared.clone(),
        });
        shared
    }
}

impl ScanExec {
    /// Plans the scan of `table`: asks it for its splits and checks its types. `reference` numbers it in its statement.
    pub async fn plan(
        table: Arc<dyn Table>,
        scan: Scan,
        settings: ScanSettings,
        reference: usize,
    ) -> Result<Self> {
        let splits = table.splits(&scan).await?;
        let estimate = match settings.asks_sources && is_worth_asking(&table.statistics(), &scan) {
            true => tokio::time::timeout(ESTIMATE_PATIENCE, table.estimate(&scan))
                .await
                .ok(),
            false => None,
        };
        let mut leaf = Self::new(table, scan, splits, settings, reference)?;
        if let Some(estimate) = estimate.flatten() {
            leaf.statistics = Arc::new(scan_statistics(
                &leaf.table.statistics(),
                &leaf.scan,
                Some(&estimate),
            ));
        }
        Ok(leaf)
    }

    /// The scan of `table` in the parts that it gave for this very scan.
    pub(crate) fn new(
        table: Arc<dyn Table>,
        scan: Scan,
        splits: Vec<Split>,
        settings: ScanSettings,
        reference: usize,
    ) -> Result<Self> {
        check_canonical(table.name(), &scan.projected_schema())?;
        if splits.is_empty() {
            let message = format!("table {} has no splits", table.name());
            return Err(ConnectorError::new(ErrorKind::Internal, message));
        }
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(scan.projected_schema()),
            Partitioning::UnknownPartitioning(splits.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let statistics = Arc::new(scan_statistics(&table.statistics(), &scan, None));
        Ok(Self {
            table,
            scan,
            splits,
            settings,
            reference,
            statistics,
            join_filters: Vec::new(),
            offered_key: None,
            decided: None,
            executions: Executions::default(),
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The table this leaf reads.
    pub fn table(&self) -> &Arc<dyn Table> {
        &self.table
    }

    /// What is read of it.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// The parts it is read in, one a partition.
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// How it is split, for EXPLAIN, where its source has something to say.
    pub fn splits_text(&self) -> Option<String> {
        self.table.splits_text(&self.splits)
    }

    /// The settings of its statement.
    pub fn settings(&self) -> &ScanSettings {
        &self.settings
    }

    /// The number of this leaf's table reference in its statement.
    pub fn reference(&self) -> usize {
        self.reference
    }

    /// Rows of the scan, by the estimates; `None` where nothing is known.
    pub(crate) fn estimated_rows(&self) -> Option<usize> {
        self.statistics.num_rows.get_value().copied()
    }

    /// Bytes of the scan, by the estimates; `None` where nothing is known.
    pub(crate) fn estimated_bytes(&self) -> Option<usize> {
        self.statistics.total_byte_size.get_value().copied()
    }

    /// What finds rows by key, if this leaf may use it.
    pub(crate) fn lookup(&self) -> Option<&dyn Lookup> {
        // A limit asks for any rows that pass: restricting them to keys would be right, but never needed.
        let may = self.settings.pushdown && self.scan.limit.is_none();
        self.table.lookup().filter(|_| may)
    }

    /// What looking up one of `key` of [`Lookup::keys`] costs, in rows of a scan; infinite where this leaf may not.
    pub(crate) fn key_cost_rows(&self, key: usize) -> f64 {
        let cost = |lookup| key_cost_rows(lookup, key, &self.table.statistics(), self.estimated_rows());
        self.lookup().map_or(f64::INFINITY, cost)
    }

    /// Most keys of any of [`Lookup::keys`] whose lookups cost no more than the scan; where nothing is known of it, any number.
    pub(crate) fn keys_max(&self) -> usize {
        let keys = self.lookup().map_or(0, |lookup| lookup.keys().len());
        let most = (0..keys).map(|key| self.keys_max_of(key));
        most.max().unwrap_or(0)
    }

    /// The same of `key` alone.
    pub(crate) fn keys_max_of(&self, key: usize) -> usize {
        let rows = self.estimated_rows();
        rows.map_or(usize::MAX, |rows| keys_worth(rows, self.key_cost_rows(key)))
    }

    /// The same leaf, to which a join above may hand keys for `key` of [`Lookup::keys`].
    pub(crate) fn offering(&self, key: usize) -> Self {
        Self {
            offered_key: Some(key),
            ..self.with_join_filters(self.join_filters.clone())
        }
    }

    /// The same leaf, which is read as `mode` says. Both count into the same figures.
    pub(crate) fn decided(&self, mode: ScanMode) -> Self {
        Self {
            decided: Some(mode),
            ..self.with_join_filters(self.join_filters.clone())
        }
    }

    /// The key columns, by name, whose keys the operators above may hand to this leaf; empty when it can only scan.
    pub fn lookup_columns(&self) -> Vec<Vec<String>> {
        let Some(lookup) = self.table.lookup() else {
            return Vec::new();
        };
        let columns: HashSet<usize> = self
            .join_filters
            .iter()
            .flat_map(collect_columns)
            .filter_map(|column| self.scan.projection.get(column.index()).copied())
            .collect();
        let usable = lookup.keys().iter().enumerate().filter(|(index, key)| {
            self.offered_key == Some(*index) || key.iter().all(|column| columns.contains(column))
        });
        let names = |key: &Vec<usize>| {
            key.iter()
                .map(|&c| self.scan.schema.field(c).name().clone())
                .collect()
        };
        usable.map(|(_, key)| names(key)).collect()
    }

    /// The same leaf with those of its filters only whose ids are among `made`; `None` if it has no others.
    pub(crate) fn with_filters_of(&self, made: &HashSet<u64>) -> DataFusionResult<Option<Self>> {
        let mut kept = Vec::new();
        for filter in &self.join_filters {
            let is_made =
                filter.exists(|part| Ok(part.expression_id().is_some_and(|id| made.contains(&id))))?;
            kept.extend(is_made.then(|| Arc::clone(filter)));
        }
        Ok((kept.len() < self.join_filters.len()).then(|| self.with_join_filters(kept)))
    }

    /// The same leaf with other join filters and nothing decided yet.
    fn with_join_filters(&self, join_filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self {
            table: Arc::clone(&self.table),
            scan: self.scan.clone(),
            splits: self.splits.clone(),
            settings: self.settings.clone(),
            reference: self.reference,
            statistics: Arc::clone(&self.statistics),
            join_filters,
            offered_key: self.offered_key,
            decided: self.decided.clone(),
            executions: Executions::default(),
            properties: Arc::clone(&self.properties),
            metrics: self.metrics.clone(),
        }
    }

    /// The longest wait for one answer: longer where the source goes through all rows before the first one comes.
    fn patience(&self) -> Duration {
        match self.table.is_computed() {
            true => self.settings.source_timeout.saturating_mul(COMPUTING_PATIENCE),
            false => self.settings.source_timeout,
        }
    }
}

/// Whether a source's estimate could tell more of `scan` than the table's size. Where that is not known it stands for a view,
/// perhaps one that the login may read and not have explained.
fn is_worth_asking(table: &TableStatistics, scan: &Scan) -> bool {
    !scan.filters.is_empty() && table.rows.is_some_and(|rows| rows >= ESTIMATE_ROWS_MIN)
}

/// Everything one partition needs, so that its stream does not borrow the plan.
struct PartitionRead {
    table: Arc<dyn Table>,
    scan: Scan,
    split: Split,
    partition: usize,
    mode: Arc<OnceLock<ScanMode>>,
    join_filters: Vec<Arc<dyn PhysicalExpr>>,
    rows_estimate: Option<usize>,
    cx: ReadContext,
    metrics: ExecutionPlanMetricsSet,
}

impl PartitionRead {
    async fn open(self) -> Result<BatchStream> {
        let mode = self.mode.get_or_init(|| self.choose_mode());
        match mode {
            ScanMode::Scan => self.table.read(&self.scan, &self.split, &self.cx).await,
            ScanMode::Lookup(keys) if self.partition == 0 && keys.values.num_rows() > 0 => {
                let counter = MetricBuilder::new(&self.metrics).counter(LOOKUP_KEYS, self.partition);
                counter.add(keys.values.num_rows());
                let lookup = self.table.lookup().ok_or_else(|| {
                    let message = format!("table {} has no lookup", self.table.name());
                    ConnectorError::new(ErrorKind::Internal, message)
                })?;
                lookup
                    .get(&self.scan, keys.key, keys.values.clone(), &self.cx)
                    .await
            }
            ScanMode::Lookup(_) => Ok(stream::empty().boxed()),
        }
    }

    /// Lookups when the joins name keys and those cost less than the scan; unknown sizes count as large.
    fn choose_mode(&self) -> ScanMode {
        let Some(lookup) = self.table.lookup() else {
            return ScanMode::Scan;
        };
        let complete: Vec<Arc<dyn PhysicalExpr>> = self
            .join_filters
            .iter()
            // Never wait: a filter of a top-N or of an aggregate completes only after this leaf has ended.
            .filter(|filter| {
                !matches!(
                    DynamicFilterTracking::classify(filter),
                    DynamicFilterTracking::Watching(_)
                )
            })
            .filter_map(|filter| snapshot_physical_expr(Arc::clone(filter)).ok())
            .collect();
        match join_keys(&complete, &self.scan.projection, &self.scan.schema, lookup.keys()) {
            Some(keys) if self.is_cheaper(lookup, &keys) => ScanMode::Lookup(keys),
            _ => ScanMode::Scan,
        }
    }

    fn is_cheaper(&self, lookup: &dyn Lookup, keys: &KeySet) -> bool {
        let Some(rows) = self.rows_estimate else {
            return true;
        };
        let cost = key_cost_rows(lookup, keys.key, &self.table.statistics(), Some(rows));
        count(keys.values.num_rows()) * cost <= count(rows.max(1))
    }
}

/// Ends a stream with an error when one answer takes longer than the deadline, and after any error.
fn with_deadline(stream: BatchStream, table: Arc<dyn Table>, cx: ReadContext) -> BatchStream {
    stream::unfold(Some(stream), move |stream| {
        let (table, deadline) = (Arc::clone(&table), cx.source_timeout);
        async move {
            let mut stream = stream?;
            match tokio::time::timeout(deadline, stream.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(batch))) => Some((Ok(batch), Some(stream))),
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Err(_) => {
                    let seconds = deadline.as_secs_f64();
                    let message = format!("table {} did not answer within {seconds} s", table.name());
                    let error = ConnectorError::new(ErrorKind::Timeout, message)
                        .hint("The source is slow or gone; the setting source_timeout bounds the wait.");
                    Some((Err(error), None))
                }
            }
        }
    })
    .boxed()
}

/// The time from the first poll to the first batch: what was waited before, a join's other side took.
#[derive(Clone)]
struct FirstBatch {
    polled: Arc<OnceLock<Instant>>,
    time: Time,
}

impl FirstBatch {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            polled: Arc::default(),
            time: MetricBuilder::new(metrics).subset_time(FIRST_BATCH, partition),
        }
    }

    fn polled(&self) {
        self.polled.get_or_init(Instant::now);
    }

    fn came(&self) {
        if let Some(polled) = self.polled.get() {
            self.time.add_duration(polled.elapsed());
        }
    }
}

/// Counts rows, bytes and the time to the first batch, and refuses batches that do not have the promised schema.
fn checked(
    stream: BatchStream,
    schema: SchemaRef,
    table: Arc<dyn Table>,
    baseline: BaselineMetrics,
    first_batch: FirstBatch,
) -> SendableRecordBatchStream {
    let mut first = true;
    let promised = Arc::clone(&schema);
    let batches = stream.map(move |batch| {
        let batch: RecordBatch = batch?;
        if std::mem::take(&mut first) {
            first_batch.came();
        }
        let alike = batch.num_columns() == promised.fields().len()
            && batch
                .columns()
                .iter()
                .zip(promised.fields())
                .all(|(column, field)| column.data_type() == field.data_type());
        if !alike {
            let message = format!(
                "table {} answered with other columns than it promised",
                table.name()
            );
            return Err(ConnectorError::new(ErrorKind::Internal, message).into());
        }
        Ok(batch.record_output(&baseline))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self
            .scan
            .projected_schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        write!(
            f,
            "ScanExec: table={}, columns=[{}]",
            self.table.name(),
            columns.join(", ")
        )?;
        if self.splits.len() > 1 {
            write!(f, ", splits={}", self.splits.len())?;
        }
        if let Some(limit) = self.scan.limit {
            write!(f, ", limit={limit}")?;
        }
        if !self.lookup_columns().is_empty() {
            write!(f, ", join_keys=lookup")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        // A join computes its filter only when it finds it again below itself.
        let mut recursion = TreeNodeRecursion::Continue;
        for filter in &self.join_filters {
            recursion = recursion.visit_sibling(|| f(filter))?;
        }
        Ok(recursion)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        // The joins above start again with new filters: those kept here hold the keys of the last round.
        Ok(Arc::new(self.with_join_filters(Vec::new())))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // "No" is right even for the filters kept: the operator above checks every row again.
        let answers = vec![PushedDown::No; result.parent_filters.len()];
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        if phase != FilterPushdownPhase::Post || result.parent_filters.is_empty() || self.lookup().is_none() {
            return Ok(propagation);
        }
        let kept = self.join_filters.iter().cloned();
        let filters = kept
            .chain(result.parent_filters.into_iter().map(|parent| parent.filter))
            .collect();
        Ok(propagation.with_updated_node(Arc::new(self.with_join_filters(filters))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let split = self.splits.get(partition).cloned().ok_or_else(|| {
            let message = format!("table {} has no split {partition}", self.table.name());
            ConnectorError::new(ErrorKind::Internal, message)
        })?;
        let mut shared = self.executions.of(&context);
        if let Some(mode) = &self.decided {
            shared.mode = Arc::new(OnceLock::from(mode.clone()));
        }
        let cx = ReadContext {
            query_id: Arc::clone(&self.settings.query_id),
            batch_rows: context.session_config().batch_size(),
            batch_bytes: self.settings.batch_bytes,
            source_timeout: self.patience(),
            execution: Some(shared.execution),
            metrics: ReadMetrics::new(&self.metrics, partition),
        };
        let read = PartitionRead {
            table: Arc::clone(&self.table),
            scan: self.scan.clone(),
            split,
            partition,
            mode: shared.mode,
            join_filters: self.join_filters.clone(),
            rows_estimate: match self.statistics.num_rows {
                Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows),
                Precision::Absent => None,
            },
            cx: cx.clone(),
            metrics: self.metrics.clone(),
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let first_batch = FirstBatch::new(&self.metrics, partition);
        let polled = first_batch.clone();
        let begun = MetricBuilder::new(&self.metrics).counter(BEGUN, partition);
        let mut ended = Some(MetricBuilder::new(&self.metrics).counter(ENDED, partition));
        // The context is held until the stream ends, so that its address names this execution alone.
        let opened = stream::once(async move {
            let _execution = context;
            begun.add(1);
            polled.polled();
            read.open().await
        });
        // What comes after the last batch is asked for only by whoever reads to the end.
        let end = stream::iter(std::iter::from_fn(move || {
            ended.take().iter().for_each(|ended| ended.add(1));
            None
        }));
        let batches = opened.try_flatten().chain(end).boxed();
        let stream = with_deadline(batches, Arc::clone(&self.table), cx);
        Ok(checked(
            stream,
            self.scan.projected_schema(),
            Arc::clone(&self.table),
            baseline,
            first_batch,
        ))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        if args.partition().is_some() && self.splits.len() > 1 {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema())));
        }
        Ok(Arc::clone(&self.statistics))
    }
}
