//! EXPLAIN: the operators, then for each scan what was pushed, what was not, and why.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use causeway_spi::{ScanExec, ScanNote, Verdict};
use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast::{Expr, Statement, UtilityOption, Value};
use futures::{StreamExt, TryStreamExt, stream};

use super::execute::plan_schema;
use crate::error::{QueryError, Result};

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

/// What is to be explained, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Explain {
    /// The plan only.
    Plan,
    /// The plan is run and shown with its counters.
    Analyze,
}

impl Explain {
    /// The statement inside an EXPLAIN, and what EXPLAIN asks.
    pub(super) fn unwrap(statement: &Statement) -> Result<(&Statement, Option<Self>)> {
        let Statement::Explain {
            analyze,
            statement: inner,
            format,
            options,
            ..
        } = statement
        else {
            return Ok((statement, None));
        };
        if format.is_some() {
            return Err(QueryError::not_supported("EXPLAIN FORMAT is not supported"));
        }
        let mut explain = if *analyze { Self::Analyze } else { Self::Plan };
        for option in options.iter().flatten() {
            match option.name.value.to_lowercase().as_str() {
                "analyze" => explain = if is_on(option)? { Self::Analyze } else { Self::Plan },
                "verbose" | "costs" | "timing" | "buffers" | "summary" | "settings" => {
                    is_on(option)?;
                }
                other => {
                    return Err(QueryError::syntax(format!(
                        "unrecognized EXPLAIN option \"{other}\""
                    )));
                }
            }
        }
        Ok((inner, Some(explain)))
    }

    /// Runs the plan if asked to, and returns the lines of text.
    pub(super) async fn run(
        self,
        plan: Arc<dyn ExecutionPlan>,
        notes: &[ScanNote],
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let tree = match self {
            Self::Plan => DisplayableExecutionPlan::new(plan.as_ref())
                .indent(false)
                .to_string(),
            Self::Analyze => {
                let rows = execute_stream(Arc::clone(&plan), context)?;
                let count = rows
                    .try_fold(0, |count, batch| async move { Ok(count + batch.num_rows()) })
                    .await?;
                let shown = METRICS_SHOWN.map(str::to_owned).to_vec();
                let displayed = DisplayableExecutionPlan::with_metrics(plan.as_ref()).set_metric_names(shown);
                let tree = displayed.indent(false).to_string();
                format!("{tree}Rows returned: {count}\n")
            }
        };
        let mut text = tree;
        pushdown_section(&mut text, notes, &lookups_by_reference(&plan));
        let lines = StringViewArray::from_iter_values(text.lines());
        let schema = plan_schema();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(lines)])
            .map_err(|error| QueryError::internal(&error))?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            stream::iter([Ok(batch)]).boxed(),
        )))
    }
}

/// For each table reference the key columns that joins hand to its leaf.
fn lookups_by_reference(plan: &Arc<dyn ExecutionPlan>) -> HashMap<usize, Vec<Vec<String>>> {
    let mut found = HashMap::new();
    // The closure never fails.
    let _ = plan.apply(|node| {
        if let Some(leaf) = node.downcast_ref::<ScanExec>() {
            found.insert(leaf.reference(), leaf.lookup_columns());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn is_on(option: &UtilityOption) -> Result<bool> {
    let value = match &option.arg {
        None => return Ok(true),
        Some(Expr::Value(value)) => match &value.value {
            Value::Boolean(on) => return Ok(*on),
            other => other.to_string(),
        },
        Some(other) => other.to_string(),
    };
    match value.to_lowercase().trim_matches('\'') {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(QueryError::syntax(format!(
            "{} requires a Boolean value",
            option.name.value.to_lowercase()
        ))),
    }
}

/// One block a scan: the table, each filter with verdict and reason, lookups, limit, and what the source gets.
fn pushdown_section(text: &mut String, notes: &[ScanNote], lookups: &HashMap<usize, Vec<Vec<String>>>) {
    if notes.is_empty() {
        return;
    }
    text.push_str("Pushdown\n");
    for note in notes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", note.table);
        for filter in &note.filters {
            let verdict = match filter.pushdown.verdict {
                Verdict::Exact => "exact",
                Verdict::Superset => "superset",
                Verdict::Declined => "declined",
            };
            let _ = writeln!(
                text,
                "    {verdict:<8} {}  -- {}",
                filter.filter, filter.pushdown.reason
            );
        }
        for columns in lookups.get(&note.reference).into_iter().flatten() {
            let _ = writeln!(
                text,
                "    lookup   by ({}) with the keys of a join",
                columns.join(", ")
            );
        }
        if let Some(limit) = note.limit {
            let _ = writeln!(text, "    limit    {limit}");
        }
        let _ = writeln!(text, "    remote   {}", note.remote.replace('\n', " "));
    }
}
