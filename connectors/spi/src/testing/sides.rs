//! The sides of a law: sessions that run one query with pushdown on, with pushdown off, and on the in-memory copy.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::compare::Rows;
use super::query::{Join, Query};
use crate::logical_rules::logical_rules;
use crate::lookup_join::lookup_joins;
use crate::physical_rules::physical_rules;
use crate::settings::engine_settings;
use crate::subplan::push_operators;

/// A query that takes longer has dead-locked.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How a session runs its queries: partitions and batch sizes that bring out different plans.
struct SideConfig {
    partitions: usize,
    batch_rows: usize,
    /// Whether even small joins are partitioned by hash.
    partitioned_joins: bool,
    /// Whether files decide filters while they decode, as in the server.
    filtering_decoder: bool,
    /// Whether the side of a join that is written first is the one that is built, however large it is.
    sides_as_written: bool,
}

const CONFIGS: &[SideConfig] = &[
    SideConfig {
        partitions: 1,
        batch_rows: 8192,
        partitioned_joins: false,
        filtering_decoder: true,
        sides_as_written: false,
    },
    SideConfig {
        partitions: 2,
        batch_rows: 7,
        partitioned_joins: false,
        filtering_decoder: false,
        sides_as_written: true,
    },
    SideConfig {
        partitions: 3,
        batch_rows: 100,
        partitioned_joins: true,
        filtering_decoder: true,
        sides_as_written: false,
    },
    SideConfig {
        partitions: 4,
        batch_rows: 1024,
        partitioned_joins: false,
        filtering_decoder: true,
        sides_as_written: false,
    },
    SideConfig {
        partitions: 4,
        batch_rows: 3,
        partitioned_joins: true,
        filtering_decoder: true,
        sides_as_written: true,
    },
];

/// One session per configuration.
pub(crate) struct Sides {
    on: Vec<SessionContext>,
    off: Vec<SessionContext>,
    /// Optimises in one pass, so that a plan of the copy owes little to the rules under test.
    copy: SessionContext,
}

/// What one side answered: rows, or the text of its error.
pub(crate) type Answer = std::result::Result<Rows, String>;

impl Sides {
    pub(crate) fn new() -> Self {
        let copy = session(&CONFIGS[0]);
        copy.state_ref()
            .write()
            .config_mut()
            .options_mut()
            .optimizer
            .max_passes = 1;
        let off = |side| {
            let context = session(side);
            read_everything(context.state_ref().write().config_mut().options_mut());
            context
        };
        Self {
            on: CONFIGS.iter().map(session).collect(),
            off: CONFIGS.iter().map(off).collect(),
            copy,
        }
    }

    /// The number of configurations.
    pub(crate) fn len(&self) -> usize {
        CONFIGS.len()
    }

    /// The session that evaluates filters on the copy.
    pub(crate) fn plain(&self) -> &SessionContext {
        &self.copy
    }

    /// Runs `query` over `table` in the session of one configuration, with pushdown on.
    pub(crate) async fn run_on(&self, side: usize, table: Arc<dyn TableProvider>, query: &Query) -> Answer {
        bounded(&self.on[side], table, query).await
    }

    /// Runs `query` over `table` in the session of one configuration, with pushdown off.
    pub(crate) async fn run_off(&self, side: usize, table: Arc<dyn TableProvider>, query: &Query) -> Answer {
        bounded(&self.off[side], table, query).await
    }

    /// Runs `query` over the in-memory copy.
    pub(crate) async fn run_copy(&self, table: Arc<dyn TableProvider>, query: &Query) -> Answer {
        bounded(&self.copy, table, query).await
    }
}

async fn bounded(context: &SessionContext, table: Arc<dyn TableProvider>, query: &Query) -> Answer {
    match tokio::time::timeout(QUERY_TIMEOUT, run(context, table, query)).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(error.find_root().to_string()),
        Err(_) => Err(format!("no end after {} s", QUERY_TIMEOUT.as_secs())),
    }
}

async fn run(context: &SessionContext, table: Arc<dyn TableProvider>, query: &Query) -> Result<Rows> {
    context.deregister_table("t")?;
    context.register_table("t", table)?;
    if let Some(join) = &query.join {
        let batch = key_table(join)?;
        // Several partitions, so that no join sees its whole build side in one of them by chance.
        let half = batch.num_rows() / 2;
        let parts = vec![
            vec![batch.slice(0, half)],
            vec![batch.slice(half, batch.num_rows() - half)],
        ];
        let keys = MemTable::try_new(batch.schema(), parts)?;
        context.deregister_table("keys")?;
        context.register_table("keys", Arc::new(keys))?;
    }
    let plan = context.sql(&query.to_string()).await?.into_optimized_plan()?;
    let state = context.state();
    let plan = push_operators(plan, &state)?;
    let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
    let plan = lookup_joins(plan)?;
    let schema = plan.schema();
    let batches = collect(plan, context.task_ctx()).await?;
    Rows::new(&schema, &batches)
}

fn session(side: &SideConfig) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_target_partitions(side.partitions)
        .with_batch_size(side.batch_rows)
        .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = side.filtering_decoder;
    parquet.reorder_filters = true;
    config.options_mut().optimizer.join_reordering = !side.sides_as_written;
    if side.partitioned_joins {
        let optimizer = &mut config.options_mut().optimizer;
        optimizer.hash_join_single_partition_threshold = 0;
        optimizer.hash_join_single_partition_threshold_rows = 0;
    }
    let state = SessionStateBuilder::new()
        .with_config(engine_settings(config))
        .with_default_features()
        .with_optimizer_rules(logical_rules())
        .with_physical_optimizer_rules(physical_rules())
        .build();
    SessionContext::new_with_state(state)
}

/// What the server sets with pushdown off: files leave nothing out by statistics, filters or joins either.
fn read_everything(options: &mut ConfigOptions) {
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.execution.parquet.pruning = false;
    options.execution.parquet.enable_page_index = false;
    options.execution.parquet.bloom_filter_on_read = false;
    options.execution.parquet.pushdown_filters = false;
}

/// The keys of `join`, numbered by `n`, typed as the columns they are compared with.
fn key_table(join: &Join) -> Result<RecordBatch> {
    let numbers = (0_i64..).take(join.keys.len());
    let mut fields = vec![Field::new("n", DataType::Int64, true)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(numbers))];
    for (index, data_type) in join.types.iter().enumerate() {
        fields.push(Field::new(format!("k{index}"), data_type.clone(), true));
        let values: Vec<ScalarValue> = join
            .keys
            .iter()
            .filter_map(|key| key.get(index).cloned())
            .collect();
        arrays.push(if values.is_empty() {
            arrow::array::new_empty_array(data_type)
        } else {
            ScalarValue::iter_to_array(values)?
        });
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, arrays).map_err(DataFusionError::from)
}
