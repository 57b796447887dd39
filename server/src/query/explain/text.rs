//! EXPLAIN for people: the operators, then a block for each scan.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use causeway_spi::{LeafFigures, LookupJoinExec, OperatorNote, Pushdown, ScanNote};
use datafusion::physical_plan::ExecutionPlan;

use super::nodes::{Leaf, Node, parts_text};
use super::options::Explain;
use super::{Executed, Explained};
use crate::query::receipt::{bytes_text, counted};

/// The counters that EXPLAIN ANALYZE shows: what an operator did and what it cost.
const METRICS_SHOWN: [&str; 17] = [
    "output_rows",
    "elapsed_compute",
    "build_input_rows",
    "lookup_keys",
    "requests",
    "source_bytes",
    "time_to_first_batch",
    "time_elapsed_scanning_until_data",
    "files_ranges_pruned_statistics",
    "files_opened",
    "row_groups_pruned_statistics",
    "row_groups_pruned_dynamic_filter",
    "row_groups_pruned_bloom_filter",
    "page_index_rows_pruned",
    "pushdown_rows_pruned",
    "spill_count",
    "spilled_bytes",
];

/// All of the text.
pub(super) fn text(explain: Explain, explained: &Explained<'_>, root: &Node<'_>) -> String {
    let mut text = String::new();
    operator(&mut text, explain, root, 0);
    // Writing to a String cannot fail.
    if let Some(Executed { rows, .. }) = explained.executed {
        let _ = writeln!(text, "Rows returned: {rows}");
    }
    pushdown_section(&mut text, explain, explained.notes, root);
    if explain.shows_summary() {
        let _ = writeln!(text, "Planning Time: {} ms", milliseconds(explained.planning));
        if let Some(Executed { elapsed, .. }) = explained.executed {
            let _ = writeln!(text, "Execution Time: {} ms", milliseconds(elapsed));
        }
    }
    text
}

/// One line an operator, those below it indented.
fn operator(text: &mut String, explain: Explain, node: &Node<'_>, depth: usize) {
    let _ = write!(text, "{:indent$}{}", "", node.line(), indent = 2 * depth);
    if explain.shows_estimates()
        && let Some(rows) = node.rows
    {
        let _ = write!(text, ", rows_estimated={rows}");
    }
    if explain.analyzes() {
        let _ = write!(text, ", metrics=[{}]", metrics(explain, node.plan));
        let join = node.plan.downcast_ref::<LookupJoinExec>();
        if let Some(choice) = join.and_then(LookupJoinExec::choice) {
            let _ = write!(text, ", inner side read by {choice}");
        }
    }
    text.push('\n');
    for child in &node.children {
        operator(text, explain, child, depth + 1);
    }
}

fn metrics(explain: Explain, plan: &dyn ExecutionPlan) -> String {
    let names = METRICS_SHOWN.iter().filter(|name| {
        let is_time = name.contains("time") || name.contains("elapsed");
        explain.shows_times() || !is_time
    });
    let names: Vec<String> = names.map(ToString::to_string).collect();
    let metrics = plan.metrics().unwrap_or_default().aggregate_by_name();
    let metrics = metrics.sorted_for_display().timestamps_removed();
    metrics.filter_by_names(&names).to_string()
}

/// One block a scan: the table, each filter with verdict and reason, lookups, limit, splits, what the source gets, and what
/// it was asked and gave.
fn pushdown_section(text: &mut String, explain: Explain, notes: &[ScanNote], root: &Node<'_>) {
    if notes.is_empty() {
        return;
    }
    let mut leaves = HashMap::new();
    root.each_leaf(&mut |node, leaf| {
        leaves.insert(leaf.note.reference, (node, leaf));
    });
    text.push_str("Pushdown\n");
    for note in notes {
        let _ = writeln!(text, "  {}", note.table);
        let leaf = leaves.get(&note.reference);
        verdicts(text, note, leaf.map_or(&[][..], |(_, leaf)| &leaf.refused));
        leaf_lines(text, note, leaf.map(|(_, leaf)| *leaf));
        if let Some((node, leaf)) = leaf
            && explain.analyzes()
        {
            let estimate = node.rows.filter(|_| explain.shows_estimates());
            let _ = writeln!(text, "    actual   {}", actual(explain, &leaf.figures, estimate));
            pruned(text, &leaf.figures);
        }
    }
}

/// Each filter, operator and lookup that is not, and the advice that goes with it, once a scan.
fn verdicts(text: &mut String, note: &ScanNote, refused: &[OperatorNote]) {
    let filters = note
        .filters
        .iter()
        .map(|filter| (filter.filter.to_string(), &filter.pushdown));
    let operators = note
        .operators
        .iter()
        .chain(refused)
        .map(|operator| (operator.operator.clone(), &operator.pushdown));
    let mut told = Vec::new();
    for (what, pushdown) in filters.chain(operators) {
        let Pushdown {
            verdict,
            reason,
            hint,
        } = pushdown;
        let _ = writeln!(text, "    {verdict:<8} {what}  -- {reason}");
        if let Some(hint) = hint
            && !told.contains(&hint)
        {
            let _ = writeln!(text, "    hint     {hint}");
            told.push(hint);
        }
    }
}

fn leaf_lines(text: &mut String, note: &ScanNote, leaf: Option<&Leaf<'_>>) {
    for columns in leaf.iter().flat_map(|leaf| &leaf.lookups) {
        let columns = columns.join(", ");
        let _ = write!(text, "    lookup   by ({columns}) with the keys of a join");
        if let Some(scanned) = leaf.and_then(|leaf| leaf.scanned.as_ref()) {
            let _ = write!(text, "; read by {scanned}");
        }
        text.push('\n');
    }
    if let Some(columns) = leaf
        .map(|leaf| &leaf.runtime)
        .filter(|columns| !columns.is_empty())
    {
        let columns = columns.join(", ");
        let _ = writeln!(
            text,
            "    runtime  files, row groups and pages are pruned by the values of ({columns}) that operators above ask for"
        );
    }
    if let Some(limit) = note.limit {
        let _ = writeln!(text, "    limit    {limit}");
    }
    if let Some(splits) = leaf.and_then(|leaf| leaf.splits.as_ref()) {
        let _ = writeln!(text, "    splits   {splits}");
    }
    let _ = writeln!(text, "    remote   {}", note.remote.replace('\n', " "));
}

fn actual(explain: Explain, figures: &LeafFigures, estimate: Option<usize>) -> String {
    let at_least = if figures.complete { "" } else { "at least " };
    let mut facts = vec![format!("{at_least}{}", counted(figures.rows, "row"))];
    if let Some(estimate) = estimate {
        facts.push(format!("{estimate} estimated"));
    }
    if figures.lookup_keys > 0 {
        facts.push(format!("{} looked up", counted(figures.lookup_keys, "key")));
    }
    facts.push(counted(figures.requests, "request"));
    if figures.retries > 0 {
        facts.push(format!("{} of them again", figures.retries));
    }
    facts.push(bytes_text(figures.bytes));
    if let Some(hits) = figures.cache_hits {
        facts.push(counted(hits, "cache hit"));
    }
    if let Some(first_row) = figures.first_row.filter(|_| explain.shows_times()) {
        facts.push(format!("first row after {} ms", milliseconds(first_row)));
    }
    facts.join(", ")
}

fn pruned(text: &mut String, figures: &LeafFigures) {
    let parts = figures
        .pruned
        .iter()
        .map(|part| format!("{} of {} {}", part.pruned, part.total, parts_text(&part.name)));
    let parts: Vec<String> = parts.collect();
    if !parts.is_empty() {
        let _ = writeln!(text, "    pruned   {}", parts.join(", "));
    }
}

/// As PostgreSQL shows times: with three digits behind the point.
fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}
