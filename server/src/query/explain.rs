//! EXPLAIN: the operators, then for each scan what was pushed, what was not, and why; with ANALYZE what it cost.

mod json;
mod nodes;
mod options;
mod text;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_spi::ScanNote;
use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{StreamExt, TryStreamExt, stream};

pub(super) use nodes::Kinds;
pub(super) use options::Explain;
use options::Format;

use crate::catalog::pg_type::TYPE_NAME;
use crate::error::{QueryError, Result};

/// A plan and what is known of it.
pub(super) struct Explained<'a> {
    /// The finished plan; with ANALYZE it has run.
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// What happened to each scan.
    pub(super) notes: &'a [ScanNote],
    /// The kinds of the catalogs.
    pub(super) kinds: &'a Kinds,
    /// How long planning took.
    pub(super) planning: Duration,
    /// How the plan has run, if it has.
    pub(super) executed: Option<Executed>,
}

/// How a plan has run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Executed {
    /// Rows of its result.
    pub(super) rows: usize,
    /// From its start to its last row.
    pub(super) elapsed: Duration,
}

impl Executed {
    /// Runs `plan` and drops its rows.
    pub(super) async fn run(plan: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Self> {
        let begun = Instant::now();
        let stream = execute_stream(Arc::clone(plan), context)?;
        let rows = stream
            .try_fold(0, |count, batch| async move { Ok(count + batch.num_rows()) })
            .await?;
        Ok(Self {
            rows,
            elapsed: begun.elapsed(),
        })
    }
}

impl Explain {
    /// The one column of the answer.
    pub(super) fn schema(self) -> SchemaRef {
        let field = Field::new("QUERY PLAN", DataType::Utf8View, false);
        let field = match self.format() {
            Format::Text => field,
            Format::Json => field.with_metadata(HashMap::from([(TYPE_NAME.to_owned(), "json".to_owned())])),
        };
        Arc::new(Schema::new(vec![field]))
    }

    /// The answer: a row a line of text, or one row with the document.
    pub(super) fn show(self, explained: &Explained<'_>) -> Result<SendableRecordBatchStream> {
        let (root, unread) = nodes::nodes(&explained.plan, explained.notes, explained.kinds)?;
        let lines = match self.format() {
            Format::Text => StringViewArray::from_iter_values(text::text(self, explained, &root).lines()),
            Format::Json => {
                let document = json::json(self, explained, &root, &unread);
                let document = document.map_err(|error| QueryError::internal(&error))?;
                StringViewArray::from_iter_values([document])
            }
        };
        let schema = self.schema();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(lines)])
            .map_err(|error| QueryError::internal(&error))?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            stream::iter([Ok(batch)]).boxed(),
        )))
    }
}
