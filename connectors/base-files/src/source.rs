//! DataFusion's Parquet source, with each error and each panic of the decoder turned into one that names its file.
//!
//! The decoder runs inside DataFusion's scan and knows no file names; a damaged page can make it panic. Everything else
//! (pruning, pushdown, row filters) is handed through.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use causeway_spi::ReadMetrics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileOpener, FileScanConfig, FileSource, ParquetSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal, NotExpr, TryCastExpr,
};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr, ScalarFunctionExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::errors::ParquetError;

use crate::error::{connector_error, copy_of, invalid_file};
use crate::footer::sentence;
use crate::late;
use crate::opening::Opening;
use crate::provider::are_small;
use crate::read_ahead::Wanted;
use crate::reader::{GuardedReaderFactory, ScanReads};
use crate::snapshots::Snapshots;

/// Wraps the Parquet source of one scan.
#[derive(Clone)]
pub(crate) struct NamingSource {
    inner: Arc<dyn FileSource>,
    /// Whether the filters may be decided while a file is decoded.
    may_filter_rows: bool,
    scan: ScanReads,
    /// Those that `inner` has, for executions of which more is known.
    readers: GuardedReaderFactory,
    memory: Arc<dyn MemoryPool>,
    execution: Arc<Mutex<Execution>>,
}

/// The execution that the partitions of a scan are of.
#[derive(Default)]
struct Execution {
    /// What is under way before a partition has begun.
    begun: Option<Arc<Opening>>,
    /// What its partitions have in common.
    running: Weak<Opening>,
}

impl NamingSource {
    /// Wraps `inner`, which has no filters yet and reads by `readers` as `scan` does; what executions fetch ahead is accounted
    /// for in `memory`.
    pub(crate) fn wrap(
        inner: Arc<dyn FileSource>,
        scan: ScanReads,
        readers: GuardedReaderFactory,
        memory: Arc<dyn MemoryPool>,
    ) -> Arc<dyn FileSource> {
        Arc::new(Self {
            inner,
            may_filter_rows: true,
            scan,
            readers,
            memory,
            execution: Arc::default(),
        })
    }

    fn with_inner(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self {
            inner,
            ..self.clone()
        })
    }

    /// The filter that may be decided while a file is decoded.
    fn row_filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter().filter(|_| self.may_filter_rows)
    }

    /// What the execution that a partition of `config` is of fetches ahead; `None` if a limit ends it, or if nothing is waited for.
    fn opening(&self, config: &FileScanConfig) -> Option<Arc<Opening>> {
        if config.limit.is_some() || !self.scan.are_remote() {
            return None;
        }
        let mut execution = self.execution.lock().unwrap_or_else(PoisonError::into_inner);
        let known = execution.begun.take().or_else(|| execution.running.upgrade());
        let opening = known.unwrap_or_else(|| {
            let schema = Arc::clone(self.table_schema().table_schema());
            let filter = self.inner.filter().map(|filter| Arc::new(Snapshots::new(filter)));
            let whole = Wanted::new(filter, schema, Arc::clone(&self.memory));
            let late = self.row_filter().map(|_| whole.of_others());
            Arc::new(Opening::new(self.scan.clone(), config, whole, late))
        });
        execution.running = Arc::downgrade(&opening);
        Some(opening)
    }

    /// Begins what the first files of `config` wait for first.
    pub(crate) fn begin(&self, config: &FileScanConfig) {
        let Some(opening) = self.opening(config) else {
            return;
        };
        opening.begin(|| ReadMetrics::new(self.metrics(), 0));
        let mut execution = self.execution.lock().unwrap_or_else(PoisonError::into_inner);
        execution.begun = Some(opening);
    }
}

impl FileSource for NamingSource {
    /// Files that were dealt out whole stay so: to cut them is to copy the list of all of them.
    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        let groups = &config.file_groups;
        let files = groups.iter().flat_map(FileGroup::iter);
        if groups.len() == target_partitions && are_small(files, target_partitions) {
            return Ok(None);
        }
        self.inner.repartitioned(
            target_partitions,
            repartition_file_min_size,
            output_ordering,
            config,
        )
    }

    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner
            .create_file_opener(object_store, base_config, partition)
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let opening = self.opening(base_config);
        let morselizer = |source: &dyn FileSource| {
            source.create_morselizer(Arc::clone(&object_store), base_config, partition)
        };
        let Some(source) = self.inner.downcast_ref::<ParquetSource>() else {
            let (inner, late) = (morselizer(self.inner.as_ref())?, None);
            return Ok(Box::new(NamingMorselizer { inner, late, opening }));
        };
        let reading = |wanted: Option<&Wanted>| match (&opening, wanted) {
            (Some(opening), Some(wanted)) => {
                let readers = Arc::new(self.readers.ahead(wanted, opening));
                source.clone().with_parquet_file_reader_factory(readers)
            }
            _ => source.clone(),
        };
        let inner = morselizer(&reading(opening.as_ref().map(|opening| &opening.whole)))?;
        let late = match self.row_filter() {
            Some(filter) => {
                let source = reading(opening.as_ref().and_then(|opening| opening.late.as_ref()));
                Some(Late {
                    morselizer: morselizer(&source.with_pushdown_filters(true))?,
                    filter: Snapshots::new(filter),
                    schema: Arc::clone(self.table_schema().table_schema()),
                })
            }
            None => None,
        };
        Ok(Box::new(NamingMorselizer { inner, late, opening }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.with_inner(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let for_rows = config.execution.parquet.pushdown_filters;
        let taken: Vec<bool> = filters
            .iter()
            .map(|filter| match for_rows {
                true => never_fails(filter) && is_read_whole(filter, self.table_schema().table_schema()),
                false => casts_keep_order(filter),
            })
            .collect();
        let handed = filters.into_iter().zip(&taken);
        let handed = handed
            .filter_map(|(filter, taken)| taken.then_some(filter))
            .collect();
        // All of them are checked above the scan: which of the files decide them while they are decoded shows when these are
        // opened.
        let mut for_bounds = config.clone();
        for_bounds.execution.parquet.pushdown_filters = false;
        let pushed = self.inner.try_pushdown_filters(handed, &for_bounds)?;
        Ok(FilterPushdownPropagation {
            filters: vec![PushedDown::No; taken.len()],
            updated_node: pushed.updated_node.map(|inner| {
                Arc::new(Self {
                    inner,
                    may_filter_rows: self.may_filter_rows && for_rows,
                    ..self.clone()
                }) as Arc<dyn FileSource>
            }),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(self
            .inner
            .try_pushdown_sort(order, eq_properties)?
            .map(|inner| self.with_inner(inner)))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| self.with_inner(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// Whether evaluating `filter` cannot be an error, whatever the row.
///
/// The decoder turns the error of a row filter into text: a division by zero would lose its SQLSTATE. So what can fail
/// stays above the scan.
fn never_fails(filter: &Arc<dyn PhysicalExpr>) -> bool {
    const SAFE_FUNCTIONS: [&str; 5] = [
        "array_has",
        "array_has_all",
        "array_has_any",
        "get_field",
        "struct",
    ];
    let node = filter.as_ref();
    if node.downcast_ref::<DynamicFilterPhysicalExpr>().is_some() {
        return true;
    }
    let is_safe = match (
        node.downcast_ref::<BinaryExpr>(),
        node.downcast_ref::<ScalarFunctionExpr>(),
    ) {
        (Some(binary), _) => binary.op().is_logic_operator() || is_comparison(*binary.op()),
        (_, Some(function)) => SAFE_FUNCTIONS.contains(&function.name()),
        _ => is_plain(node),
    };
    is_safe && filter.children().into_iter().all(never_fails)
}

/// Whether no cast in `filter` breaks the order of its values.
///
/// DataFusion prunes `CAST(at AS TIME) > ..` by the cast of the bounds of `at`, which are not the bounds of the times.
pub(crate) fn casts_keep_order(filter: &Arc<dyn PhysicalExpr>) -> bool {
    let node = filter.as_ref();
    let to = match (
        node.downcast_ref::<CastExpr>(),
        node.downcast_ref::<TryCastExpr>(),
    ) {
        (Some(cast), _) => Some(cast.cast_type()),
        (_, Some(cast)) => Some(cast.cast_type()),
        _ => None,
    };
    let breaks_order =
        to.is_some_and(|to| matches!(to, DataType::Time32(_) | DataType::Time64(_) | DataType::Boolean));
    !breaks_order && filter.children().into_iter().all(casts_keep_order)
}

/// Whether no composite is looked at but by its fields: the decoder reads its rows for a filter without some of its leaves.
fn is_read_whole(filter: &Arc<dyn PhysicalExpr>, table: &Schema) -> bool {
    let node = filter.as_ref();
    if let Some(function) = node.downcast_ref::<ScalarFunctionExpr>()
        && function.name() == "get_field"
    {
        return collect_columns(filter).iter().all(|column| {
            let field = table.field_with_name(column.name());
            field.is_ok_and(|field| !may_hold_map(field.data_type()))
        });
    }
    if let Some(column) = node.downcast_ref::<Column>() {
        let field = table.field_with_name(column.name());
        return field.is_ok_and(|field| {
            !matches!(field.data_type(), DataType::Struct(_)) && !may_hold_map(field.data_type())
        });
    }
    filter
        .children()
        .into_iter()
        .all(|child| is_read_whole(child, table))
}

/// Whether a file may hold maps in a column of this type: they are read as lists of composites.
fn may_hold_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => item.data_type().is_nested(),
        DataType::Struct(fields) => fields.iter().any(|field| may_hold_map(field.data_type())),
        _ => false,
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        operator,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

fn is_plain(node: &dyn PhysicalExpr) -> bool {
    node.downcast_ref::<Column>().is_some()
        || node.downcast_ref::<Literal>().is_some()
        || node.downcast_ref::<InListExpr>().is_some()
        || node.downcast_ref::<IsNullExpr>().is_some()
        || node.downcast_ref::<IsNotNullExpr>().is_some()
        || node.downcast_ref::<NotExpr>().is_some()
        || node.downcast_ref::<LikeExpr>().is_some()
}

#[derive(Debug)]
struct NamingMorselizer {
    inner: Box<dyn Morselizer>,
    late: Option<Late>,
    opening: Option<Arc<Opening>>,
}

/// What reads the files of which few rows pass.
#[derive(Debug)]
struct Late {
    morselizer: Box<dyn Morselizer>,
    filter: Snapshots,
    schema: SchemaRef,
}

impl Morselizer for NamingMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let location = file.object_meta.location.clone();
        if let Some(opening) = &self.opening {
            opening.opens();
        }
        let is_selective =
            |late: &&Late| late::is_selective(&late.filter, &late.schema, file.statistics.as_deref());
        let late = self.late.as_ref().filter(is_selective);
        let morselizer = late.map_or(&self.inner, |late| &late.morselizer);
        let inner = guarded(&location, || morselizer.plan_file(file))?;
        Ok(Box::new(NamingPlanner { inner, location }))
    }
}

#[derive(Debug)]
struct NamingPlanner {
    inner: Box<dyn MorselPlanner>,
    location: Path,
}

impl NamingPlanner {
    fn wrap(inner: Box<dyn MorselPlanner>, location: &Path) -> Box<dyn MorselPlanner> {
        Box::new(Self {
            inner,
            location: location.clone(),
        })
    }
}

impl MorselPlanner for NamingPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, location } = *self;
        let Some(mut plan) = guarded(&location, || inner.plan())? else {
            return Ok(None);
        };
        let morsels = plan.take_morsels().into_iter().map(|inner| {
            let location = location.clone();
            Box::new(NamingMorsel { inner, location }) as Box<dyn Morsel>
        });
        let morsels = morsels.collect();
        let planners = plan.take_ready_planners().into_iter();
        let planners = planners.map(|inner| Self::wrap(inner, &location)).collect();
        let pending = plan.take_pending_planner();
        let mut named = MorselPlan::new().with_morsels(morsels).with_planners(planners);
        if let Some(pending) = pending {
            named.set_pending_planner(async move {
                match AssertUnwindSafe(pending.into_future()).catch_unwind().await {
                    Ok(Ok(inner)) => Ok(Self::wrap(inner, &location)),
                    Ok(Err(error)) => Err(named_error(&location, error)),
                    Err(panic) => Err(panicked(&location, panic)),
                }
            });
        }
        Ok(Some(named))
    }
}

#[derive(Debug)]
struct NamingMorsel {
    inner: Box<dyn Morsel>,
    location: Path,
}

impl Morsel for NamingMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, location } = *self;
        AssertUnwindSafe(inner.into_stream())
            .catch_unwind()
            .map(move |batch| match batch {
                Ok(Ok(batch)) => Ok(batch),
                Ok(Err(error)) => Err(named_error(&location, error)),
                Err(panic) => Err(panicked(&location, panic)),
            })
            .boxed()
    }
}

fn guarded<T>(location: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| named_error(location, error)),
        Err(panic) => Err(panicked(location, panic)),
    }
}

fn panicked(location: &Path, panic: Box<dyn Any + Send>) -> DataFusionError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::warn!(file = %location, panic = text, "the Parquet decoder panicked");
    invalid_file(location, "The decoder stopped at a damaged page.").into()
}

/// Names the file in an error of the decoder; leaves our own errors and those of the query's expressions as they are.
fn named_error(location: &Path, error: DataFusionError) -> DataFusionError {
    if let Some(ours) = connector_error(&error) {
        return copy_of(ours).source(error).into();
    }
    match decoder_says(&error) {
        Some(detail) => invalid_file(location, detail).source(error).into(),
        None => error,
    }
}

/// What the decoder says, if `error` is its own and not one of an expression that it evaluated for the query.
fn decoder_says(error: &DataFusionError) -> Option<String> {
    const EXPRESSION_FAILED: &str = "Error evaluating filter predicate";
    let said = match error.find_root() {
        DataFusionError::ParquetError(error) => parquet_says(error)?,
        DataFusionError::ArrowError(error, _) => arrow_says(error)?,
        _ => return None,
    };
    (!said.contains(EXPRESSION_FAILED)).then_some(said)
}

/// The decoder wraps its errors in each other. `None` when it only hands on someone else's.
fn parquet_says(error: &ParquetError) -> Option<String> {
    let ParquetError::External(inner) = error else {
        return Some(sentence(error));
    };
    match inner.downcast_ref::<ParquetError>() {
        Some(inner) => parquet_says(inner),
        None => arrow_says(inner.downcast_ref::<ArrowError>()?),
    }
}

fn arrow_says(error: &ArrowError) -> Option<String> {
    match error {
        ArrowError::ParquetError(text) => Some(sentence(&ParquetError::General(
            text.trim_start_matches("Parquet error: ").to_owned(),
        ))),
        ArrowError::ExternalError(inner) => parquet_says(inner.downcast_ref::<ParquetError>()?),
        _ => None,
    }
}
