//! A plan to a running stream of batches.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;

use super::Prepared;
use super::checked::check_arithmetic;
use super::optimize::optimize;
use super::plan::with_names;
use crate::error::Result;
use crate::session::CancelToken;

/// A running query. Dropping it stops the work, at the sources too.
pub struct QueryHandle {
    /// The columns as the client sees them: their names may repeat.
    pub schema: SchemaRef,
    /// The rows.
    pub stream: SendableRecordBatchStream,
}

impl std::fmt::Debug for QueryHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryHandle")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Optimises and starts `prepared`, unless `over` fires meanwhile. Must run on a thread with a large stack; sources are read only when the stream is
/// polled (for `EXPLAIN ANALYZE`: before this returns).
pub async fn start(prepared: Prepared, over: CancelToken) -> Result<QueryHandle> {
    let state = &prepared.state;
    let optimized = check_arithmetic(optimize(state, &prepared.plan, &over)?)?;
    let plan = state
        .query_planner()
        .create_physical_plan(&optimized, state)
        .await?;
    if let Some(explain) = &prepared.explain {
        let notes = prepared.notes.take();
        let stream = explain.run(plan, &notes, prepared.state.task_ctx()).await?;
        return Ok(QueryHandle {
            schema: stream.schema(),
            stream,
        });
    }
    let schema = with_names(&plan.schema(), &prepared.names);
    let stream = execute_stream(plan, prepared.state.task_ctx())?;
    Ok(QueryHandle { schema, stream })
}

/// The type of EXPLAIN's one column.
pub(super) fn plan_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(
        "QUERY PLAN",
        DataType::Utf8View,
        false,
    )]))
}
