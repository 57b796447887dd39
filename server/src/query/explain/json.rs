//! EXPLAIN for programs: PostgreSQL's document, with keys of our own beside it.
//!
//! Nodes have PostgreSQL's names where it has such a node, and costs that count rows: a node's total is the rows that pass
//! through it and through what is below it, by the estimates.

use std::time::Duration;

use causeway_spi::{LookupJoinExec, OperatorNote, Pushdown, ScanNote};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::Value;

use super::nodes::{Leaf, Node, parts_text};
use super::options::Explain;
use super::{Executed, Explained};

/// An object whose keys stand in the order in which they were put.
#[derive(Default)]
struct Object(Vec<(&'static str, Json)>);

/// A value of an object.
#[derive(Serialize)]
#[serde(untagged)]
enum Json {
    Value(Value),
    Object(Object),
    List(Vec<Object>),
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Object {
    fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((key, Json::Value(value.into())));
    }

    fn put_list(&mut self, key: &'static str, list: Vec<Object>) {
        self.0.push((key, Json::List(list)));
    }
}

/// All of the document.
pub(super) fn json(
    explain: Explain,
    explained: &Explained<'_>,
    root: &Node<'_>,
    unread: &[&ScanNote],
) -> serde_json::Result<String> {
    let mut document = Object::default();
    document.0.push(("Plan", Json::Object(node(explain, root, None))));
    let unread: Vec<Object> = unread.iter().map(|note| unread_scan(note)).collect();
    if !unread.is_empty() {
        document.put_list("Unread Scans", unread);
    }
    if explain.shows_summary() {
        document.put("Planning Time", milliseconds(explained.planning));
    }
    if let Some(Executed { rows, elapsed }) = explained.executed {
        document.put_list("Triggers", Vec::new());
        document.put("Rows Returned", rows);
        if explain.shows_summary() {
            document.put("Execution Time", milliseconds(elapsed));
        }
    }
    serde_json::to_string_pretty(&[document])
}

fn node(explain: Explain, node: &Node<'_>, relationship: Option<&'static str>) -> Object {
    let mut object = Object::default();
    let node_type = node_type(node);
    object.put("Node Type", node_type.clone());
    if let Some(relationship) = relationship {
        object.put("Parent Relationship", relationship);
    }
    kind_of_node(&mut object, node);
    if let Some(leaf) = &node.leaf {
        let table = &leaf.note.table;
        object.put("Relation Name", table.table.clone());
        object.put("Schema", table.schema.clone());
        object.put("Alias", table.table.clone());
    }
    if explain.shows_estimates() {
        object.put("Startup Cost", 0.0);
        object.put("Total Cost", cost(node));
        object.put("Plan Rows", node.rows);
        object.put("Plan Width", node.width);
    }
    if explain.analyzes() {
        if explain.shows_times() {
            let first = node.leaf.as_ref().and_then(|leaf| leaf.figures.first_row);
            object.put("Actual Startup Time", milliseconds(first.unwrap_or_default()));
            object.put("Actual Total Time", milliseconds(node.time.unwrap_or_default()));
        }
        object.put("Actual Rows", node.actual_rows);
        object.put("Actual Loops", 1);
    }
    object.put("Operator", node.line());
    if let Some(leaf) = &node.leaf {
        source(&mut object, explain, leaf);
    }
    if !node.children.is_empty() {
        let children = node.children.iter().enumerate();
        let children = children
            .map(|(index, child)| self::node(explain, child, Some(relation(&node_type, node, index))));
        object.put_list("Plans", children.collect());
    }
    object
}

/// What a scan's source is asked, why not more, and with ANALYZE what it gave.
fn source(object: &mut Object, explain: Explain, leaf: &Leaf<'_>) {
    object.put("Catalog", leaf.note.table.catalog.clone());
    if let Some(kind) = leaf.kind {
        object.put("Connector", kind);
    }
    pushed(object, leaf.note, &leaf.refused);
    if !leaf.lookups.is_empty() {
        let lookups = leaf.lookups.iter().cloned().map(Value::from);
        object.put("Lookup Keys", lookups.collect::<Vec<Value>>());
    }
    if let Some(scanned) = &leaf.scanned {
        object.put("Read By", scanned.clone());
    }
    if !leaf.runtime.is_empty() {
        object.put("Runtime Filter", leaf.runtime.clone());
    }
    object.put("Splits", leaf.parts);
    if let Some(splits) = &leaf.splits {
        object.put("Splits Reason", splits.clone());
    }
    object.put("Remote", leaf.note.remote.clone());
    if !explain.analyzes() {
        return;
    }
    let figures = &leaf.figures;
    object.put("Requests", figures.requests);
    object.put("Retries", figures.retries);
    object.put("Received Rows", figures.rows);
    object.put("Received Bytes", figures.bytes);
    object.put("Read to the End", figures.complete);
    if figures.lookup_keys > 0 {
        object.put("Keys Looked Up", figures.lookup_keys);
    }
    if let Some(hits) = figures.cache_hits {
        object.put("Cache Hits", hits);
    }
    if let Some(first_row) = figures.first_row.filter(|_| explain.shows_times()) {
        object.put("Time to First Row", milliseconds(first_row));
    }
    let pruned = figures.pruned.iter().map(|part| {
        let mut object = Object::default();
        object.put("Parts", parts_text(&part.name));
        object.put("Pruned", part.pruned);
        object.put("Total", part.total);
        object
    });
    let pruned: Vec<Object> = pruned.collect();
    if !pruned.is_empty() {
        object.put_list("Pruned", pruned);
    }
}

/// The verdicts on filters and operators, and the limit.
fn pushed(object: &mut Object, note: &ScanNote, refused: &[OperatorNote]) {
    let verdict = |key: &'static str, text: String, pushdown: &Pushdown| {
        let mut object = Object::default();
        object.put(key, text);
        object.put("Verdict", pushdown.verdict.to_string());
        object.put("Reason", pushdown.reason.clone());
        if let Some(hint) = &pushdown.hint {
            object.put("Hint", hint.clone());
        }
        object
    };
    let filters = note.filters.iter();
    let filters = filters.map(|filter| verdict("Filter", filter.filter.to_string(), &filter.pushdown));
    object.put_list("Filters", filters.collect());
    let operators = note.operators.iter().chain(refused);
    let operators =
        operators.map(|operator| verdict("Computed", operator.operator.clone(), &operator.pushdown));
    object.put_list("Operators", operators.collect());
    if let Some(limit) = note.limit {
        object.put("Limit", limit);
    }
}

/// A scan that became no leaf, since all that it could read was left out.
fn unread_scan(note: &ScanNote) -> Object {
    let mut object = Object::default();
    object.put("Relation Name", note.table.table.clone());
    object.put("Schema", note.table.schema.clone());
    object.put("Catalog", note.table.catalog.clone());
    pushed(&mut object, note, &[]);
    object.put("Remote", note.remote.clone());
    object
}

/// PostgreSQL's name of such a node, or ours in its spelling.
fn node_type(node: &Node<'_>) -> String {
    if node.leaf.is_some() {
        return "Foreign Scan".to_owned();
    }
    // The first rows of an order are a sort that says so: `SortExec(TopK)`.
    let name = node.plan.name().split('(').next().unwrap_or_default();
    let known = match name {
        "HashJoinExec" => "Hash Join",
        "LookupJoinExec" => "Lookup Join",
        "SortMergeJoinExec" => "Merge Join",
        "NestedLoopJoinExec" | "CrossJoinExec" => "Nested Loop",
        "GlobalLimitExec" | "LocalLimitExec" => "Limit",
        "UnionExec" | "InterleaveExec" => "Append",
        "BoundedWindowAggExec" | "WindowAggExec" => "WindowAgg",
        "SortPreservingMergeExec" => "Gather Merge",
        "CoalescePartitionsExec" => "Gather",
        "EmptyExec" | "PlaceholderRowExec" | "ProjectionExec" => "Result",
        "RecursiveQueryExec" => "Recursive Union",
        "WorkTableExec" => "WorkTable Scan",
        other => return in_words(other.strip_suffix("Exec").unwrap_or(other)),
    };
    known.to_owned()
}

/// `CoalesceBatches` as `Coalesce Batches`.
fn in_words(name: &str) -> String {
    let mut words = String::new();
    for (index, character) in name.char_indices() {
        if index > 0 && character.is_uppercase() {
            words.push(' ');
        }
        words.push(character);
    }
    words
}

/// The kind of join, or of aggregation.
fn kind_of_node(object: &mut Object, node: &Node<'_>) {
    let join = if let Some(join) = node.plan.downcast_ref::<HashJoinExec>() {
        Some(*join.join_type())
    } else if let Some(join) = node.plan.downcast_ref::<LookupJoinExec>() {
        if let Some(choice) = join.choice() {
            object.put("Inner Read By", choice);
        }
        Some(*join.join().join_type())
    } else if let Some(join) = node.plan.downcast_ref::<NestedLoopJoinExec>() {
        Some(*join.join_type())
    } else {
        node.plan
            .downcast_ref::<SortMergeJoinExec>()
            .map(SortMergeJoinExec::join_type)
    };
    if let Some(join) = join {
        let name = join.to_string();
        // PostgreSQL's semi and anti joins have no side.
        let side = ["Left", "Right"]
            .into_iter()
            .find_map(|side| name.strip_prefix(side));
        let name = side.filter(|rest| !rest.is_empty()).unwrap_or(&name);
        object.put("Join Type", name);
    }
    if let Some(aggregate) = node.plan.downcast_ref::<AggregateExec>() {
        let keys = aggregate.group_expr().expr().len();
        object.put("Strategy", if keys == 0 { "Plain" } else { "Hashed" });
        object.put(
            "Partial Mode",
            match aggregate.mode() {
                AggregateMode::Partial | AggregateMode::PartialReduce => "Partial",
                AggregateMode::Final | AggregateMode::FinalPartitioned => "Finalize",
                AggregateMode::Single | AggregateMode::SinglePartitioned => "Simple",
            },
        );
    }
}

/// What a node is to the one above it: joins keep the rows of one side, which PostgreSQL calls the inner one.
fn relation(node_type: &str, node: &Node<'_>, child: usize) -> &'static str {
    match (node_type, node.children.len(), child) {
        (_, 1, _) | ("Merge Join", 2, 0) | ("Hash Join" | "Lookup Join" | "Nested Loop", 2, 1) => "Outer",
        ("Hash Join" | "Lookup Join" | "Nested Loop" | "Merge Join", 2, _) => "Inner",
        _ => "Member",
    }
}

/// Rows that pass through a node and those below it, by the estimates.
fn cost(node: &Node<'_>) -> usize {
    let below = node.children.iter().map(cost);
    below.fold(node.rows.unwrap_or(0), usize::saturating_add)
}

/// With three digits behind the point, as PostgreSQL shows times.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
