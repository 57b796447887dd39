//! The receipt of a statement: what each source was asked and gave, in one line, once all rows are there.
//!
//! The figures are those of the plan's leaves. What planning asks of a source (columns, statistics, footers) is no part
//! of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_spi::{LeafFigures, ScanNote, figures_of, leaf_reference};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;

use super::explain::Kinds;
use crate::catalog::system::is_system_schema;

/// What a statement's receipt is made of when it has ended.
#[derive(Debug, Clone)]
pub struct Receipt {
    plan: Arc<dyn ExecutionPlan>,
    /// The catalog of each table reference; none for the system's own relations.
    catalogs: BTreeMap<usize, String>,
    kinds: Arc<Kinds>,
    /// Rows of the query, where the client got others: those of EXPLAIN.
    returned: Option<usize>,
}

/// What became of the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The client got as many.
    Returned(usize),
    /// A source got as many.
    Written(usize),
}

/// What one source was asked and gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    requests: usize,
    retries: usize,
    rows: usize,
    bytes: usize,
    cache_hits: Option<usize>,
    partial: bool,
}

impl Receipt {
    /// The receipt of `plan`, whose scans have `notes`.
    pub(super) fn new(
        plan: &Arc<dyn ExecutionPlan>,
        notes: &[ScanNote],
        kinds: &Arc<Kinds>,
        returned: Option<usize>,
    ) -> Self {
        let sources = notes
            .iter()
            .filter(|note| !is_system_schema(&note.table.schema))
            .map(|note| (note.reference, note.table.catalog.clone()));
        Self {
            plan: Arc::clone(plan),
            catalogs: sources.collect(),
            kinds: Arc::clone(kinds),
            returned,
        }
    }

    /// The text after the statement's last row; `None` if no source was to be read.
    pub fn text(&self, outcome: Outcome) -> Option<String> {
        let mut sources: BTreeMap<&str, Source> = BTreeMap::new();
        let walked = self.plan.apply(|node| {
            let catalog = leaf_reference(node.as_ref()).and_then(|reference| self.catalogs.get(&reference));
            if let (Some(catalog), Some(figures)) = (catalog, figures_of(node.as_ref())) {
                sources.entry(catalog).or_default().add(&figures);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(walked.is_ok(), "nothing in the walk fails");
        if sources.is_empty() {
            return None;
        }
        let mut parts: Vec<String> = sources
            .iter()
            .map(|(catalog, source)| {
                let kind = self.kinds.get(*catalog).map(|kind| format!(" ({kind})"));
                format!("{catalog}{}: {}", kind.unwrap_or_default(), source.text())
            })
            .collect();
        let moved = sources.values().map(|source| source.rows).sum();
        let partial = sources.values().any(|source| source.partial);
        let outcome = match (self.returned, outcome) {
            (Some(rows), _) | (None, Outcome::Returned(rows)) => format!("{rows} returned"),
            (None, Outcome::Written(rows)) => format!("{rows} written"),
        };
        let moved = counted(moved, "row");
        parts.push(format!("{}{moved} moved for {outcome}", at_least(partial)));
        Some(parts.join("; "))
    }
}

impl Source {
    fn add(&mut self, figures: &LeafFigures) {
        self.requests += figures.requests;
        self.retries += figures.retries;
        self.rows += figures.rows;
        self.bytes += figures.bytes;
        self.partial |= !figures.complete;
        if let Some(hits) = figures.cache_hits {
            self.cache_hits = Some(self.cache_hits.unwrap_or(0) + hits);
        }
    }

    fn text(&self) -> String {
        let again = match self.retries {
            0 => String::new(),
            retries => format!(" ({retries} of them again)"),
        };
        let mut facts = vec![
            format!("{}{again}", counted(self.requests, "request")),
            format!("{}{}", at_least(self.partial), counted(self.rows, "row")),
            bytes_text(self.bytes),
        ];
        facts.extend(self.cache_hits.map(|hits| counted(hits, "cache hit")));
        facts.join(", ")
    }
}

/// A source that was not read to its end may have sent more than was taken.
fn at_least(partial: bool) -> &'static str {
    if partial { "at least " } else { "" }
}

/// `1 row`, `2 rows`.
pub(super) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A number of bytes in a unit of powers of a thousand, with one digit behind the point.
pub(super) fn bytes_text(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return counted(bytes, "byte");
    }
    let (mut whole, mut rest, mut unit) = (bytes / 1_000, bytes % 1_000, 0);
    while whole >= 1_000 && unit + 1 < UNITS.len() {
        (whole, rest, unit) = (whole / 1_000, whole % 1_000, unit + 1);
    }
    format!("{whole}.{} {}", rest / 100, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (1_299, "1.2 kB"),
            (410_000, "410.0 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (7_650_000_000, "7.6 GB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }

    #[test]
    fn a_source_that_was_left_early_has_given_at_least_that_much() {
        let mut source = Source::default();
        source.add(&LeafFigures {
            requests: 1,
            rows: 1,
            bytes: 12,
            complete: true,
            ..LeafFigures::default()
        });
        assert_eq!(source.text(), "1 request, 1 row, 12 bytes");
        source.add(&LeafFigures {
            requests: 2,
            retries: 1,
            rows: 4,
            bytes: 2_000,
            cache_hits: Some(1),
            ..LeafFigures::default()
        });
        assert_eq!(
            source.text(),
            "3 requests (1 of them again), at least 5 rows, 2.0 kB, 1 cache hit"
        );
    }
}
