//! A plan's operators with what is known of each: estimates, what they did, and for leaves what was pushed and what it cost.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{
    LeafFigures, LookupJoinExec, OperatorNote, ScanExec, ScanNote, figures_of, leaf_reference,
    refused_lookups, unpaced,
};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
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
    /// How it was read instead, though it was offered keys.
    pub(super) scanned: Option<String>,
    /// The lookups that joins do without, and why.
    pub(super) refused: Vec<OperatorNote>,
    /// Of files: the columns by whose values, as joins find them or an order does, they are left out when they are read.
    pub(super) runtime: Vec<String>,
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
        refused: refused_lookups(plan)?,
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
    refused: HashMap<usize, Vec<OperatorNote>>,
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
        let scanned = plan
            .downcast_ref::<LookupJoinExec>()
            .and_then(LookupJoinExec::scan_choice);
        if let (Some(scanned), Some(inner)) = (scanned, children.first_mut()) {
            inner.note_scan(&scanned);
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
        let reference = leaf_reference(plan)?;
        let note = *self.notes.get(&reference)?;
        let scan = plan.downcast_ref::<ScanExec>();
        let lookups = scan.map(ScanExec::lookup_columns).unwrap_or_default();
        let figures = figures_of(plan)?;
        let scans = !lookups.is_empty() && figures.lookup_keys == 0 && figures.requests > 0;
        Some(Leaf {
            note,
            kind: self.kinds.get(&note.table.catalog).copied(),
            lookups,
            scanned: scans.then(|| "scan, to look up the join's keys would cost more".to_owned()),
            refused: self.refused.get(&reference).cloned().unwrap_or_default(),
            runtime: match scan {
                Some(_) => Vec::new(),
                None => runtime_columns(plan).ok()?,
            },
            splits: scan.and_then(ScanExec::splits_text),
            parts: plan.output_partitioning().partition_count(),
            figures,
        })
    }
}

/// The columns of the filters that `plan` gets when it runs.
fn runtime_columns(plan: &dyn ExecutionPlan) -> Result<Vec<String>> {
    let mut columns = Vec::new();
    plan.apply_expressions(&mut |root| {
        root.apply(|expr| {
            if expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_none() {
                return Ok(TreeNodeRecursion::Continue);
            }
            let names = expr.children().into_iter().flat_map(collect_columns);
            for name in names.map(|column| column.name().to_owned()) {
                if !columns.contains(&name) {
                    columns.push(name);
                }
            }
            Ok(TreeNodeRecursion::Jump)
        })
    })?;
    Ok(columns)
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

    /// Notes that the leaf that a join above was to look up was scanned.
    fn note_scan(&mut self, choice: &str) {
        match (&mut self.leaf, self.children.first_mut()) {
            (Some(leaf), _) => leaf.scanned = Some(choice.to_owned()),
            (None, Some(child)) => child.note_scan(choice),
            (None, None) => {}
        }
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
