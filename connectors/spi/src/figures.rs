//! What the leaves of a plan have asked of their sources and got: for EXPLAIN ANALYZE and for receipts.
//!
//! A leaf is a [`ScanExec`], or DataFusion's own scan of files, whose readers count into its metrics as a connector
//! does. Such a scan is known by a mark on one of its files, since the planner makes other scans of it.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};

use crate::scan::{CACHE_HITS, REQUESTS, RETRIES, SOURCE_BYTES};
use crate::scan_exec::{BEGUN, ENDED, FIRST_BATCH, LOOKUP_KEYS, ScanExec};

/// The time that DataFusion's scan of a file took until its first rows.
const FILE_FIRST_BATCH: &str = "time_elapsed_scanning_until_data";

/// The number of a table reference in its statement, on a file of the scan that reads it.
#[derive(Debug, Clone, Copy)]
struct Reference(usize);

/// What one leaf has asked of its source and got, by all of its partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeafFigures {
    /// Statements, commands or HTTP requests sent.
    pub requests: usize,
    /// Those of them that were sent again.
    pub retries: usize,
    /// Rows that the source gave.
    pub rows: usize,
    /// Bytes of values received.
    pub bytes: usize,
    /// Keys that were looked up.
    pub lookup_keys: usize,
    /// Answers that were remembered from before, where the source remembers any.
    pub cache_hits: Option<usize>,
    /// From the first poll to the first rows; `None` where none came.
    pub first_row: Option<Duration>,
    /// Whether all was read that was begun: otherwise the source may have given more than is told here.
    pub complete: bool,
    /// What was left out of files by their bounds.
    pub pruned: Vec<Pruned>,
}

/// How much of one kind of part of files was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The name of the counter, such as `row_groups_pruned_statistics`.
    pub name: String,
    /// Parts left out.
    pub pruned: usize,
    /// Parts looked at.
    pub total: usize,
}

/// The number of the table reference that the leaf `plan` reads ([`crate::ScanNote::reference`]); `None` where `plan` is no
/// leaf of a source.
pub fn leaf_reference(plan: &dyn ExecutionPlan) -> Option<usize> {
    if let Some(leaf) = plan.downcast_ref::<ScanExec>() {
        return Some(leaf.reference());
    }
    let mut files = file_scan(plan)?.file_groups.iter().flat_map(|group| group.iter());
    files.find_map(|file| file.extension::<Reference>().map(|reference| reference.0))
}

/// What the leaf `plan` has asked and got so far; `None` where `plan` is no leaf of a source.
pub fn figures_of(plan: &dyn ExecutionPlan) -> Option<LeafFigures> {
    leaf_reference(plan)?;
    let metrics = plan.metrics().unwrap_or_default();
    let count = |name: &str| metrics.sum_by_name(name).map(|value| value.as_usize());
    let rows = metrics.output_rows().unwrap_or(0);
    let read_to_end = count(BEGUN) == count(ENDED);
    let limit = plan.downcast_ref::<ScanExec>().and_then(|leaf| leaf.scan().limit);
    Some(LeafFigures {
        requests: count(REQUESTS).unwrap_or(0),
        retries: count(RETRIES).unwrap_or(0),
        rows,
        bytes: count(SOURCE_BYTES).unwrap_or(0),
        lookup_keys: count(LOOKUP_KEYS).unwrap_or(0),
        cache_hits: count(CACHE_HITS),
        first_row: first_row(&metrics).filter(|_| rows > 0),
        // Whoever has as many rows as the source was asked for does not look for its end.
        complete: read_to_end || limit.is_some_and(|limit| rows >= limit),
        pruned: pruned(&metrics),
    })
}

/// `plan`, which reads files, with a mark that says for which table reference.
pub(crate) fn with_reference(plan: Arc<dyn ExecutionPlan>, reference: usize) -> Arc<dyn ExecutionPlan> {
    let marked = Arc::clone(&plan).transform_down(|node| {
        let Some(marked) = file_scan(node.as_ref()).and_then(|scan| marked(scan, reference)) else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(
            DataSourceExec::from_data_source(marked) as Arc<dyn ExecutionPlan>
        ))
    });
    marked.map_or(plan, |marked| marked.data)
}

fn marked(scan: &FileScanConfig, reference: usize) -> Option<FileScanConfig> {
    let mut marked = scan.clone();
    let group = marked.file_groups.iter_mut().find(|group| !group.is_empty())?;
    group[0].extensions.insert(Reference(reference));
    Some(marked)
}

/// The scan of files that `plan` is.
pub(crate) fn file_scan(plan: &dyn ExecutionPlan) -> Option<&FileScanConfig> {
    let leaf = plan.downcast_ref::<DataSourceExec>()?;
    leaf.data_source().downcast_ref::<FileScanConfig>()
}

/// The shortest of the partitions' times: when the first of all rows came.
fn first_row(metrics: &MetricsSet) -> Option<Duration> {
    let times = metrics.iter().filter_map(|metric| match metric.value() {
        MetricValue::Time { name, time } if [FIRST_BATCH, FILE_FIRST_BATCH].contains(&name.as_ref()) => {
            u64::try_from(time.value()).ok().filter(|nanos| *nanos > 0)
        }
        _ => None,
    });
    times.min().map(Duration::from_nanos)
}

fn pruned(metrics: &MetricsSet) -> Vec<Pruned> {
    let mut all = Vec::new();
    for metric in metrics.aggregate_by_name().iter() {
        if let MetricValue::PruningMetrics {
            name,
            pruning_metrics,
        } = metric.value()
        {
            let pruned = pruning_metrics.pruned();
            all.push(Pruned {
                name: name.to_string(),
                pruned,
                total: pruned + pruning_metrics.matched(),
            });
        }
    }
    all.retain(|pruned| pruned.total > 0);
    all.sort_by(|left, right| left.name.cmp(&right.name));
    all
}
