//! What is asked of a table, and with what limits it is read.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::filter::{Filter, Pushdown, Verdict};

/// The name of the counter of requests.
pub(crate) const REQUESTS: &str = "requests";
/// The name of the counter of requests that were sent again.
pub(crate) const RETRIES: &str = "retries";
/// The name of the counter of bytes received.
pub(crate) const SOURCE_BYTES: &str = "source_bytes";
/// The name of the counter of remembered answers.
pub(crate) const CACHE_HITS: &str = "cache_hits";

/// Batches of a read or lookup, all of the scan's projected schema.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// A pushed filter with the verdict that let it through: Exact or Superset, never Declined.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanFilter {
    /// The normalised filter.
    pub filter: Filter,
    /// The table's verdict on it.
    pub pushdown: Pushdown,
}

/// Columns, filters and limit of one read. Names and values only: any worker could read it.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The table's whole schema; `projection` and filters refer to it.
    pub schema: SchemaRef,
    /// Indexes into `schema` of the columns wanted, in output order. May be empty: only the number of rows counts.
    pub projection: Vec<usize>,
    /// The pushed filters: all of them apply.
    pub filters: Vec<ScanFilter>,
    /// At most this many rows are needed, any of those that pass. Only set when every filter below is Exact.
    pub limit: Option<usize>,
}

impl Scan {
    /// The schema of the batches to return.
    pub fn projected_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .projection
            .iter()
            .map(|&index| Arc::clone(&self.schema.fields()[index]))
            .collect();
        Arc::new(Schema::new(fields))
    }

    /// Whether every filter is Exact: the condition for a limit to go down.
    pub fn all_exact(&self) -> bool {
        self.filters
            .iter()
            .all(|filter| filter.pushdown.verdict == Verdict::Exact)
    }
}

/// One part of a scan: a number within the scan, and what the connector needs to find it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// Position among the scan's splits, from 0.
    pub index: usize,
    /// The connector's own description; empty for a whole table.
    pub part: String,
}

impl Split {
    /// The one split that is the whole table.
    pub fn whole() -> Self {
        Self::default()
    }
}

/// The limits, the identity and the counters of one read.
#[derive(Debug, Clone)]
pub struct ReadContext {
    /// The query's id: for the source's own logs and process list.
    pub query_id: Arc<str>,
    /// A batch holds at most this many rows.
    pub batch_rows: usize,
    /// A batch is closed when its values reach about this many bytes.
    pub batch_bytes: usize,
    /// The longest wait for one answer of the source.
    pub source_timeout: Duration,
    /// What the splits of one execution share; absent where a split is read by itself.
    pub execution: Option<Execution>,
    /// Counters shown by EXPLAIN ANALYZE.
    pub metrics: ReadMetrics,
}

/// A place that all splits of one execution of one leaf share, for what the connector must arrange between them.
///
/// Every split of the leaf is read through the same one, in any order and perhaps more than once.
#[derive(Clone, Default)]
pub struct Execution(Arc<OnceLock<Arc<dyn Any + Send + Sync>>>);

impl Execution {
    /// What is kept here, made by `make` at the first call; `None` when something of another type is kept.
    pub fn get_or_init<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<Arc<T>> {
        let kept = self.0.get_or_init(|| Arc::new(make()));
        Arc::clone(kept).downcast().ok()
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Execution")
    }
}

impl ReadContext {
    /// A context with the default limits, for tests and for reads outside a query.
    pub fn detached() -> Self {
        Self {
            query_id: Arc::from("detached"),
            batch_rows: 8192,
            batch_bytes: 4 << 20,
            source_timeout: Duration::from_secs(60),
            execution: None,
            metrics: ReadMetrics::new(&ExecutionPlanMetricsSet::new(), 0),
        }
    }
}

/// What a connector counts while it reads; rows and time are counted by the leaf.
#[derive(Debug, Clone)]
pub struct ReadMetrics {
    /// Statements, commands or HTTP requests sent.
    pub requests: Count,
    /// Requests that were sent again, since the first try had failed; they are among `requests`.
    pub retries: Count,
    /// Bytes of values received, before they became Arrow.
    pub bytes: Count,
    /// Answers remembered from before, which are not asked for again; absent where a connector remembers none.
    pub cache_hits: Option<Count>,
}

impl ReadMetrics {
    /// Registers the counters of one partition.
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            requests: MetricBuilder::new(metrics).counter(REQUESTS, partition),
            retries: MetricBuilder::new(metrics).counter(RETRIES, partition),
            bytes: MetricBuilder::new(metrics).counter(SOURCE_BYTES, partition),
            cache_hits: None,
        }
    }

    /// Counts what is remembered as well.
    #[must_use]
    pub fn with_cache_hits(mut self, metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        self.cache_hits = Some(MetricBuilder::new(metrics).counter(CACHE_HITS, partition));
        self
    }
}
