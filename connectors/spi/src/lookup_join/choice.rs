//! Whether a join looks at its outer side first, and how its inner side was read then.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::inner::Inner;
use crate::ScanExec;

/// How the inner side is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// By so many keys: all that the outer side has.
    Lookups(usize),
    /// As a whole, since there are more keys than so many.
    Scan(usize),
    /// By the keys of one batch of the outer side after another.
    Batches,
    /// The same until as many keys were looked up as a scan costs; then as a whole.
    BatchesThenScan,
}

impl Choice {
    /// Whether the inner side is read as a whole, at least at last.
    pub(super) fn scans(self) -> bool {
        matches!(self, Self::Scan(_) | Self::BatchesThenScan)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookups(keys) => write!(f, "lookups, the outer side has {keys} keys"),
            Self::Scan(keys) => write!(f, "scan, the outer side has more than {keys} keys"),
            Self::Batches => f.write_str("lookups in batches"),
            Self::BatchesThenScan => f.write_str("lookups in batches, then a scan"),
        }
    }
}

/// Most keys whose lookups cost no more than the scan of `inner`, if `join` should look at its outer side first.
///
/// It should not where the scan is cheap, or is known to be needed. Nor where the outer side is read better when the inner one,
/// which is believed to be smaller, is known: by its keys, or from files of which the join's filter leaves out some. But a table
/// that is not filtered leaves out nothing to speak of.
pub(super) fn worth_looking(join: &HashJoinExec, inner: &Inner) -> Result<Option<usize>> {
    let Some(leaf) = inner.leaf() else {
        return Ok(None);
    };
    let (rows, keys_max) = (leaf.estimated_rows(), leaf.keys_max_of(inner.key));
    if rows.is_some_and(|rows| rows < leaf.settings().lookup_joins.scan_rows) {
        return Ok(None);
    }
    let outer = join.right();
    let statistics = StatisticsContext::new().compute(outer.as_ref(), &StatisticsArgs::new())?;
    let is_known_to_have_more = matches!(statistics.num_rows, Precision::Exact(rows) if rows > keys_max);
    if is_known_to_have_more && fits(leaf) {
        return Ok(None);
    }
    let outer_rows = statistics.num_rows.get_value().copied();
    let is_smaller = rows <= Some(outer_rows.unwrap_or(usize::MAX));
    let is_restricted = inner.is_filtered || !leaf.scan().filters.is_empty();
    let waits_for_inner = match uses_of(outer, &join.dynamic_expressions_produced())? {
        Uses::Keys => is_smaller,
        Uses::Files => is_smaller && is_restricted,
        Uses::Nothing => false,
    };
    Ok((!waits_for_inner).then_some(keys_max))
}

/// Whether all rows of `leaf` may be kept in memory; not where nothing is known of them.
pub(super) fn fits(leaf: &ScanExec) -> bool {
    let bytes = leaf.estimated_bytes();
    bytes.is_some_and(|bytes| bytes <= leaf.settings().lookup_joins.inner_bytes)
}

/// What scans of the outer side make of the join's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Uses {
    Nothing,
    Files,
    Keys,
}

fn uses_of(outer: &Arc<dyn ExecutionPlan>, filters: &[Arc<dyn PhysicalExpr>]) -> Result<Uses> {
    let ids: Vec<u64> = filters
        .iter()
        .filter_map(|filter| filter.expression_id())
        .collect();
    let mut uses = Uses::Nothing;
    outer.apply(|node| {
        let mut is_used = false;
        node.apply_expressions(&mut |root| {
            root.apply(|expr| {
                is_used |= expr.expression_id().is_some_and(|id| ids.contains(&id));
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if is_used {
            uses = uses.max(match node.downcast_ref::<ScanExec>() {
                Some(_) => Uses::Keys,
                None => Uses::Files,
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(uses)
}
