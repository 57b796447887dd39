//! A plan to a running stream of batches.

use std::time::Instant;

use causeway_spi::{bound_key_lists, cheap_conditions_first, lookup_joins, paced_joins, push_operators};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;

use super::Prepared;
use super::checked::check_arithmetic;
use super::explain::{Executed, Explain, Explained};
use super::optimize::optimize;
use super::plan::with_names;
use super::receipt::Receipt;
use super::sort_keys::each_key_once;
use super::zeros::equal_join_keys;
use crate::error::Result;
use crate::session::CancelToken;

/// A running query. Dropping it stops the work, at the sources too.
pub struct QueryHandle {
    /// The columns as the client sees them: their names may repeat.
    pub schema: SchemaRef,
    /// The rows.
    pub stream: SendableRecordBatchStream,
    /// What it has moved, once the stream has ended, if that was asked for.
    pub receipt: Option<Receipt>,
}

impl std::fmt::Debug for QueryHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryHandle")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Optimises and starts `prepared`, unless `over` fires meanwhile. Must run on a thread with a large stack; sources are read only when the stream is
/// polled (for `EXPLAIN ANALYZE`: before this returns), but for what all scans wait for first ([`Table::begin`]).
///
/// [`Table::begin`]: causeway_spi::Table::begin
pub async fn start(mut prepared: Prepared, over: CancelToken) -> Result<QueryHandle> {
    let begun = Instant::now();
    let state = &prepared.state;
    let optimized = push_operators(optimize(state, &prepared.plan, &over)?, state)?;
    let optimized = each_key_once(equal_join_keys(check_arithmetic(optimized)?)?)?;
    let plan = state
        .query_planner()
        .create_physical_plan(&optimized, state)
        .await?;
    bound_key_lists(prepared.state.config_mut().options_mut(), &plan);
    let plan = paced_joins(lookup_joins(cheap_conditions_first(plan)?)?)?;
    let planning = prepared.planning + begun.elapsed();
    if prepared.explain.is_none_or(Explain::analyzes) {
        prepared.notes.begin(&plan)?;
    }
    let notes = prepared.notes.take();
    let kinds = &prepared.kinds;
    let receipt = |rows| {
        let wanted = prepared.with_receipt;
        wanted.then(|| Receipt::new(&plan, &notes, kinds, rows))
    };
    let Some(explain) = prepared.explain else {
        return Ok(QueryHandle {
            schema: with_names(&plan.schema(), &prepared.names),
            receipt: receipt(None),
            stream: execute_stream(plan, prepared.state.task_ctx())?,
        });
    };
    let executed = match explain.analyzes() {
        true => Some(Executed::run(&plan, prepared.state.task_ctx()).await?),
        false => None,
    };
    // A plan that was only shown has moved nothing.
    let receipt = executed.and_then(|executed| receipt(Some(executed.rows)));
    let stream = explain.show(&Explained {
        plan,
        notes: &notes,
        kinds,
        planning,
        executed,
    })?;
    Ok(QueryHandle {
        schema: stream.schema(),
        stream,
        receipt,
    })
}
