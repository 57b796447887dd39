//! What a session's settings mean to scans: given to each statement's tables, and to the leaf by the task context.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::config::{ConfigOptions, OptimizerOptions};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::prelude::SessionConfig;

use crate::ScanExec;

/// Per-statement settings of the scans.
#[derive(Debug, Clone)]
pub struct ScanSettings {
    /// Off: no filter, limit or key lookup reaches a source. The answer must be the same.
    pub pushdown: bool,
    /// The query's id.
    pub query_id: Arc<str>,
    /// The longest wait for one answer of a source.
    pub source_timeout: Duration,
    /// A batch of a source is closed at about this many bytes.
    pub batch_bytes: usize,
    /// Whether sources are asked how many rows they expect of filtered scans: where there are joins to plan.
    pub asks_sources: bool,
    /// What joins that look at their outer side first may keep.
    pub lookup_joins: LookupJoinLimits,
}

/// The limits of joins that look at their outer side before they read a table ([`crate::LookupJoinExec`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupJoinLimits {
    /// Tables of fewer rows are scanned: that costs less than to wait for the outer side.
    pub scan_rows: usize,
    /// Keys of one batch, where the outer side is joined batch by batch.
    pub batch_keys: usize,
    /// Bytes of the outer side that are kept, over all partitions.
    pub outer_bytes: usize,
    /// Bytes of a table that is scanned and kept, and of an outer side that a hash table is built of.
    pub inner_bytes: usize,
    /// Keys of an outer side that a hash join hands over as one list.
    pub list_keys: usize,
}

impl Default for LookupJoinLimits {
    fn default() -> Self {
        Self {
            scan_rows: 20_000,
            batch_keys: 20_000,
            outer_bytes: 64 << 20,
            inner_bytes: 1 << 30,
            list_keys: LOOKUP_KEYS_MAX / 2,
        }
    }
}

impl Default for ScanSettings {
    fn default() -> Self {
        Self {
            pushdown: true,
            query_id: Arc::from("detached"),
            source_timeout: Duration::from_secs(60),
            batch_bytes: 4 << 20,
            asks_sources: false,
            lookup_joins: LookupJoinLimits::default(),
        }
    }
}

/// Most distinct keys that a join hands to a leaf as a list; beyond, the leaf scans.
const LOOKUP_KEYS_MAX: usize = 200_000;
/// Most bytes of key arrays per partition that a join hands over as a list.
const LOOKUP_KEYS_BYTES_MAX: usize = 32 << 20;

/// What every session of DataFusion needs, so that answers are right and keys reach the sources.
///
/// Joins hand up to [`LOOKUP_KEYS_MAX`] keys to leaves that can look them up; DataFusion's default stops at 150. The
/// filters that `min` and `max` leave at scans are off: above a partitioned join they gave wrong answers over Parquet.
pub fn engine_settings(mut config: SessionConfig) -> SessionConfig {
    let options = config.options_mut();
    // It refuses plans whose logical columns are never NULL and whose physical ones might be, as unions of `coalesce` are.
    options.execution.skip_physical_aggregate_schema_check = true;
    let optimizer = &mut options.optimizer;
    optimizer.hash_join_inlist_pushdown_max_distinct_values = LOOKUP_KEYS_MAX;
    optimizer.hash_join_inlist_pushdown_max_size = LOOKUP_KEYS_BYTES_MAX;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    config
}

/// Fewest keys that a leaf which can look up is offered as a list, however few rows it is believed to have.
const LOOKUP_KEYS_LEAST: usize = 10_000;

/// Most keys that scans of files are offered as a list, which tells how few rows have them.
const FILE_KEYS_MAX: usize = 1_000;

/// The keys of a partition may be more than its share by this part of all of them.
const UNEVEN_PART: usize = 16;

/// Most keys that a leaf of `plan` which can look them up is handed as lists; zero without such a leaf.
fn keys_of_leaves(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut keys_max = 0;
    let walked = plan.apply(|node| {
        if let Some(leaf) = node.downcast_ref::<ScanExec>()
            && !leaf.lookup_columns().is_empty()
        {
            keys_max = keys_max.max(leaf.keys_max().clamp(LOOKUP_KEYS_LEAST, LOOKUP_KEYS_MAX));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "nothing in the walk fails");
    keys_max
}

/// Bounds the lists of keys that the joins of `plan` hand over by what its leaves can use; `options` are those that it will
/// run with.
///
/// More keys than are looked up are no use to a leaf; and files are filtered faster by the join's own hash table, which they
/// get when there is no list. Without a leaf that looks up, lists are short. A partitioned join hands over one list for each
/// partition: together they are to be no longer.
pub fn bound_key_lists(options: &mut ConfigOptions, plan: &Arc<dyn ExecutionPlan>) {
    let mut keys_max = keys_of_leaves(plan);
    if keys_max > 0 {
        let mut lists = usize::MAX;
        let walked = plan.apply(|node| {
            if let Some(join) = node.downcast_ref::<HashJoinExec>()
                && keys_of_leaves(join.right()) > 0
            {
                lists = lists.min(match join.partition_mode() {
                    PartitionMode::Partitioned => join.properties().output_partitioning().partition_count(),
                    _ => 1,
                });
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(walked.is_ok(), "nothing in the walk fails");
        if lists > 1 && lists < usize::MAX {
            // Of the parts, which are about alike, none is to be cut off.
            keys_max = keys_max / lists + keys_max / UNEVEN_PART;
        }
    }
    let optimizer = &mut options.optimizer;
    (
        optimizer.hash_join_inlist_pushdown_max_distinct_values,
        optimizer.hash_join_inlist_pushdown_max_size,
    ) = match keys_max {
        0 => (
            FILE_KEYS_MAX,
            OptimizerOptions::default().hash_join_inlist_pushdown_max_size,
        ),
        keys => (keys, LOOKUP_KEYS_BYTES_MAX),
    };
}
