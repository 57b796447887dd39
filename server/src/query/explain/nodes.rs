//! A plan's operators with what is known of each: estimates, what they did, and for leaves what was pushed and what it cost.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{LeafFigures, ScanExec, ScanNote, figures_of, leaf_reference, unpaced};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, ExecutionPlanProperties};

use crate::error::Result;
use crate::query::names::shown_in;

/// The kinds of the catalogs, by name.
pub(in crate::query) type Kinds = BTreeMap<String, &'static str>;

/// One operator.
pub(super) struct Node<'a> {
    pub(super) plan: &'a dyn ExecutionPlan,
    /// Rows, by the estimates.
    pub(super) rows: Option<usize>,
    /// Bytes of a row, by the estimates; 0 where nothing is known.
    pub(super) width: usize,
    /// Rows that came out of it.
    pub(super) actual_rows: Option<usize>,
    /// From its start to its end, its inputs included.
    pub(super) time: Option<Duration>,
    pub(super) leaf: Option<Leaf<'a>>,
    pub(super) children: Vec<Node<'a>>,
}

/// One reference to a table of a source.
pub(super) struct Leaf<'a> {
    pub(super) note: &'a ScanNote,
    /// The kind of the connector; `None` for the system's relations.
    pub(super) kind: Option<&'static str>,
    /// The key columns that joins hand to it.
    pub(super) lookups: Vec<Vec<String>>,
    /// How it is split, or why it is not.
    pub(super) splits: Option<String>,
    /// The parts in which it is read.
    pub(super) parts: usize,
    /// What it has asked and got.
    pub(super) figures: LeafFigures,
}

/// The operators of `plan`, and the notes of the scans that none of its leaves reads any more.
pub(super) fn nodes<'a>(
    plan: &'a Arc<dyn ExecutionPlan>,
    notes: &'a [ScanNote],
    kinds: &Kinds,
) -> Result<(Node<'a>, Vec<&'a ScanNote>)> {
    let mut walk = Walk {
        statistics: StatisticsContext::new(),
        notes: notes.iter().map(|note| (note.reference, note)).collect(),
        kinds,
    };
    let root = walk.node(unpaced(plan).as_ref())?;
    let mut seen = Vec::new();
    root.each_leaf(&mut |_, leaf| seen.push(leaf.note.reference));
    let unread = notes.iter().filter(|note| !seen.contains(&note.reference));
    Ok((root, unread.collect()))
}

struct Walk<'a, 'k> {
    statistics: StatisticsContext,
    notes: HashMap<usize, &'a ScanNote>,
    kinds: &'k Kinds,
}

impl<'a> Walk<'a, '_> {
    fn node(&mut self, plan: &'a dyn ExecutionPlan) -> Result<Node<'a>> {
        let statistics = self.statistics.compute(plan, &StatisticsArgs::new())?;
        let rows = statistics.num_rows.get_value().copied();
        let bytes = statistics.total_byte_size.get_value().copied();
        let width = bytes.zip(rows).and_then(|(bytes, rows)| bytes.checked_div(rows));
        let mut children = Vec::new();
        for child in plan.children() {
            children.push(self.node(unpaced(child).as_ref())?);
        }
        let metrics = plan.metrics().unwrap_or_default();
        let only_child = match children.as_slice() {
            [child] if matches!(plan.cardinality_effect(), CardinalityEffect::Equal) => child.actual_rows,
            _ => None,
        };
        // An operator that only hands on what others read may be told of its end before they are.
        let below = children.iter().filter_map(|child| child.time).max();
        Ok(Node {
            plan,
            rows,
            width: width.unwrap_or(0),
            actual_rows: metrics.output_rows().or(only_child),
            time: wall_time(&metrics).max(below),
            leaf: self.leaf(plan),
            children,
        })
    }

    fn leaf(&self, plan: &'a dyn ExecutionPlan) -> Option<Leaf<'a>> {
        let note = *self.notes.get(&leaf_reference(plan)?)?;
        let scan = plan.downcast_ref::<ScanExec>();
        Some(Leaf {
            note,
            kind: self.kinds.get(&note.table.catalog).copied(),
            lookups: scan.map(ScanExec::lookup_columns).unwrap_or_default(),
            splits: scan.and_then(ScanExec::splits_text),
            parts: plan.output_partitioning().partition_count(),
            figures: figures_of(plan)?,
        })
    }
}

impl<'a> Node<'a> {
    /// The operator in one line.
    pub(super) fn line(&self) -> String {
        struct Line<'b>(&'b dyn ExecutionPlan);
        impl fmt::Display for Line<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt_as(DisplayFormatType::Default, f)
            }
        }
        shown_in(&Line(self.plan).to_string())
    }

    /// Calls `each` with every leaf, and the operator that it is.
    pub(super) fn each_leaf<'b>(&'b self, each: &mut impl FnMut(&'b Self, &'b Leaf<'a>)) {
        if let Some(leaf) = &self.leaf {
            each(self, leaf);
        }
        for child in &self.children {
            child.each_leaf(each);
        }
    }
}

/// From the first start to the last end of an operator's partitions.
fn wall_time(metrics: &MetricsSet) -> Option<Duration> {
    let (mut start, mut end) = (None, None);
    for metric in metrics.aggregate_by_name().iter() {
        match metric.value() {
            MetricValue::StartTimestamp(at) => start = at.value(),
            MetricValue::EndTimestamp(at) => end = at.value(),
            _ => {}
        }
    }
    (end? - start?).to_std().ok()
}

/// The parts of files that a counter counts, for people.
pub(super) fn parts_text(counter: &str) -> String {
    let known = match counter {
        "files_ranges_pruned_statistics" => "files by their bounds",
        "row_groups_pruned_statistics" => "row groups by their bounds",
        "row_groups_pruned_bloom_filter" => "row groups by bloom filters",
        "page_index_pages_pruned" => "pages by their bounds",
        "page_index_rows_pruned" => "rows by the bounds of pages",
        other => return other.replace('_', " "),
    };
    known.to_owned()
}
