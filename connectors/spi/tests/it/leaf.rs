//! The leaf operator under rough handling: partitions in any order, executions side by side, streams that are dropped,
//! fail or never answer, joins that hand it keys and top-Ns that must not be waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use causeway_spi::testing::CanonicalTable;
use causeway_spi::{
    ConnectorError, ErrorKind, ScanExec, ScanSettings, SourceTable, Table, bound_key_lists, engine_settings,
};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, collect, collect_partitioned};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{StreamExt, TryStreamExt};
use rand::prelude::*;

use crate::scripted::{Scripted, Step};
use crate::source::CollatedTable;

/// Longer than anything here takes, shorter than a test's patience.
const PATIENCE: Duration = Duration::from_secs(20);

fn collated() -> Arc<dyn Table> {
    let rows = CanonicalTable::standard().rows().clone();
    Arc::new(CollatedTable::new(rows, &[&["id"], &["grp"], &["name"]], None))
}

pub(crate) fn session(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(16);
    let optimizer = &mut config.options_mut().optimizer;
    if partitions > 1 {
        optimizer.hash_join_single_partition_threshold = 0;
        optimizer.hash_join_single_partition_threshold_rows = 0;
    }
    SessionContext::new_with_config(engine_settings(config))
}

pub(crate) fn with_table(context: &SessionContext, table: Arc<dyn Table>, settings: ScanSettings) {
    let provider = SourceTable::new(table, settings, Arc::default());
    context
        .register_table("t", Arc::new(provider))
        .expect("a free name");
}

/// Registers `keys (k)`, in two partitions.
fn with_keys(context: &SessionContext, keys: &[Option<i64>]) {
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let half = keys.len() / 2;
    let batch = |keys: &[Option<i64>]| {
        let column = Arc::new(Int64Array::from(keys.to_vec()));
        vec![RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("one column")]
    };
    let parts = vec![batch(&keys[..half]), batch(&keys[half..])];
    let table = MemTable::try_new(Arc::clone(&schema), parts).expect("parts of one schema");
    context
        .register_table("keys", Arc::new(table))
        .expect("a free name");
}

pub(crate) async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context
        .sql(sql)
        .await
        .expect("valid SQL")
        .create_physical_plan()
        .await
        .expect("a plan")
}

/// The leaf of `plan`.
pub(crate) fn leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<&ScanExec> {
    plan.downcast_ref::<ScanExec>()
        .or_else(|| plan.children().into_iter().find_map(leaf))
}

pub(crate) fn looked_up(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    leaf(plan)?
        .metrics()?
        .sum_by_name("lookup_keys")
        .map(|keys| keys.as_usize())
}

fn sorted_ids(batches: &[RecordBatch]) -> Vec<i64> {
    let ids = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids
}

fn all_ids() -> Vec<i64> {
    sorted_ids(std::slice::from_ref(CanonicalTable::standard().rows()))
}

/// Polls the partitions of `plan` side by side, each begun at a random moment. (Joins wait for all their partitions,
/// so that none may be drained alone.)
async fn collect_shuffled(
    plan: &Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    seed: u64,
) -> Vec<RecordBatch> {
    let mut random = StdRng::seed_from_u64(seed);
    let partitions = plan.properties().output_partitioning().partition_count();
    let mut order: Vec<usize> = (0..partitions).collect();
    order.shuffle(&mut random);
    let tasks = order.into_iter().map(|partition| {
        let stream = plan
            .execute(partition, Arc::clone(&context))
            .expect("a partition of the plan");
        let pause = random.random_range(0..20);
        tokio::spawn(async move {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            stream.try_collect::<Vec<RecordBatch>>().await.expect("an answer")
        })
    });
    let mut batches = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        batches.extend(task.await.expect("no panic"));
    }
    batches
}

pub(crate) fn connector_error(error: &DataFusionError) -> &ConnectorError {
    let source = match error.find_root() {
        DataFusionError::External(source) => source.downcast_ref(),
        _ => None,
    };
    source.expect("an error of the contract")
}

#[tokio::test]
async fn partitions_in_any_order_give_each_row_once() {
    let context = session(4);
    with_table(&context, collated(), ScanSettings::default());
    for seed in 0..10 {
        let plan = plan(&context, "SELECT id FROM t").await;
        assert_eq!(
            leaf(&plan)
                .unwrap()
                .properties()
                .output_partitioning()
                .partition_count(),
            4
        );
        let batches = collect_shuffled(&plan, context.task_ctx(), seed).await;
        assert_eq!(sorted_ids(&batches), all_ids());
    }
}

/// The join itself is polled in turns, and below it the four splits; only one of them looks up.
#[tokio::test]
async fn join_in_any_order_looks_each_key_up_once() {
    let ids = all_ids();
    let keys = [
        Some(ids[3]),
        Some(ids[77]),
        Some(ids[3]),
        None,
        Some(ids[250]),
        Some(i64::MIN),
    ];
    for partitions in [1, 4] {
        let context = session(partitions);
        with_table(&context, collated(), ScanSettings::default());
        with_keys(&context, &keys);
        for seed in 0..10 {
            let plan = plan(&context, "SELECT t.id FROM keys JOIN t ON t.id = keys.k").await;
            let batches = collect_shuffled(&plan, context.task_ctx(), seed).await;
            assert_eq!(sorted_ids(&batches), [ids[3], ids[3], ids[77], ids[250]]);
            assert_eq!(looked_up(&plan), Some(4), "distinct keys without NULL");
        }
    }
}

/// Where NULL equals NULL, a key set would lose the rows whose key is NULL: they are scanned for.
#[tokio::test]
async fn joins_in_which_nulls_are_equal_find_them() {
    let queries = [
        "SELECT t.id FROM keys JOIN t ON CAST(t.grp AS BIGINT) IS NOT DISTINCT FROM keys.k",
        "SELECT coalesce(k, -99) AS k FROM (SELECT CAST(grp AS BIGINT) AS k FROM t INTERSECT SELECT k FROM keys) AS both",
    ];
    let copy = CanonicalTable::standard().rows().clone();
    for sql in queries {
        for keys in [&[Some(1), None, Some(3)][..], &[Some(1), Some(3)], &[None]] {
            let memory = session(1);
            let table = MemTable::try_new(copy.schema(), vec![vec![copy.clone()]]).unwrap();
            memory.register_table("t", Arc::new(table)).unwrap();
            with_keys(&memory, keys);
            let expected = memory.sql(sql).await.unwrap().collect().await.unwrap();
            for partitions in [1, 4] {
                let context = session(partitions);
                with_table(&context, collated(), ScanSettings::default());
                with_keys(&context, keys);
                let plan = plan(&context, sql).await;
                let found = collect(plan, context.task_ctx()).await.unwrap();
                assert_eq!(sorted_ids(&found), sorted_ids(&expected), "{sql} {keys:?}");
            }
        }
    }
}

#[tokio::test]
async fn recursive_query_reads_the_table_in_every_round() {
    let sql = "WITH RECURSIVE r (round, grp) AS (
                   SELECT 0, CAST(1 AS INTEGER)
                   UNION ALL
                   SELECT r.round + 1, CAST(r.grp + t.small % 2 + 1 AS INTEGER)
                   FROM r JOIN t ON t.grp = r.grp WHERE r.round < 4 AND t.small BETWEEN 0 AND 10
               )
               SELECT CAST(round * 1000 + grp AS BIGINT) FROM r";
    let copy = CanonicalTable::standard().rows().clone();
    let memory = session(1);
    let table = MemTable::try_new(copy.schema(), vec![vec![copy]]).unwrap();
    memory.register_table("t", Arc::new(table)).unwrap();
    let expected = memory.sql(sql).await.unwrap().collect().await.unwrap();
    assert!(sorted_ids(&expected).last() > Some(&3000), "several rounds");
    for partitions in [1, 4] {
        let context = session(partitions);
        with_table(&context, collated(), ScanSettings::default());
        let plan = plan(&context, sql).await;
        let found = tokio::time::timeout(PATIENCE, collect(plan, context.task_ctx())).await;
        assert_eq!(sorted_ids(&found.unwrap().unwrap()), sorted_ids(&expected));
    }
}

#[tokio::test]
async fn two_executions_of_one_plan_do_not_meet() {
    let context = session(4);
    with_table(&context, collated(), ScanSettings::default());
    let plan = plan(&context, "SELECT id FROM t").await;
    let (first, second) = tokio::join!(
        collect_shuffled(&plan, context.task_ctx(), 1),
        collect_shuffled(&plan, context.task_ctx(), 2)
    );
    assert_eq!(sorted_ids(&first), all_ids());
    assert_eq!(sorted_ids(&second), all_ids());
}

#[tokio::test]
async fn two_executions_of_one_join_do_not_meet() {
    let ids = all_ids();
    let context = session(1);
    with_table(&context, collated(), ScanSettings::default());
    with_keys(&context, &[Some(ids[3]), Some(ids[77])]);
    let plan = plan(&context, "SELECT t.id FROM keys JOIN t ON t.id = keys.k").await;
    let (first, second) = tokio::join!(
        collect(Arc::clone(&plan), context.task_ctx()),
        collect(Arc::clone(&plan), context.task_ctx())
    );
    assert_eq!(sorted_ids(&first.unwrap()), [ids[3], ids[77]]);
    assert_eq!(sorted_ids(&second.unwrap()), [ids[3], ids[77]]);
}

/// Whatever the order in which its partitions come, and beside another execution of the same plan.
#[tokio::test]
async fn the_splits_of_an_execution_share_a_place() {
    let table = Scripted::new(vec![vec![Step::Rows(vec![1])]; 3], Vec::new());
    let counts = Arc::clone(&table.counts);
    let context = session(3);
    with_table(&context, Arc::new(table), ScanSettings::default());
    let plan = plan(&context, "SELECT id FROM t").await;
    let (first, second) = (context.task_ctx(), context.task_ctx());
    for (partition, task) in [
        (2, &first),
        (0, &second),
        (0, &first),
        (2, &second),
        (1, &first),
        (1, &second),
    ] {
        let stream = plan.execute(partition, Arc::clone(task)).unwrap();
        let rows: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        assert_eq!(rows.len(), 1);
    }
    assert_eq!(counts.reads.load(Ordering::SeqCst), 6);
    assert_eq!(counts.executions.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn dropped_stream_stops_the_source() {
    let splits = vec![vec![Step::Rows(vec![1]), Step::Hang], vec![Step::Hang]];
    let table = Scripted::new(splits, Vec::new());
    let counts = Arc::clone(&table.counts);
    let context = session(2);
    with_table(&context, Arc::new(table), ScanSettings::default());
    let plan = plan(&context, "SELECT id FROM t").await;
    let mut stream = plan.execute(0, context.task_ctx()).unwrap();
    assert_eq!(
        counts.reads.load(Ordering::SeqCst),
        0,
        "nothing is read before the first poll"
    );
    assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 1);
    assert_eq!(counts.open.load(Ordering::SeqCst), 1);
    drop(stream);
    assert_eq!(counts.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn error_in_mid_stream_is_the_last_word() {
    let splits = vec![vec![Step::Rows(vec![1]), Step::Fail, Step::Rows(vec![2])]];
    let context = session(1);
    with_table(
        &context,
        Arc::new(Scripted::new(splits, Vec::new())),
        ScanSettings::default(),
    );
    let plan = plan(&context, "SELECT id FROM t").await;
    let mut stream = plan.execute(0, context.task_ctx()).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(connector_error(&error).kind(), ErrorKind::Source);
    assert_eq!(connector_error(&error).hint_text(), Some("Lift it."));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn source_that_never_answers_meets_the_deadline() {
    let settings = ScanSettings {
        source_timeout: Duration::from_millis(50),
        ..ScanSettings::default()
    };
    for (hangs_at_open, sql) in [
        (false, "SELECT id FROM t"),
        (true, "SELECT id FROM t"),
        (false, "SELECT t.id FROM keys JOIN t ON t.id = keys.k"),
        (true, "SELECT t.id FROM keys JOIN t ON t.id = keys.k"),
    ] {
        let mut table = Scripted::new(vec![vec![Step::Hang]; 2], vec![Step::Rows(vec![1]), Step::Hang]);
        table.hangs_at_open = hangs_at_open;
        let context = session(1);
        with_table(&context, Arc::new(table), settings.clone());
        with_keys(&context, &[Some(1), Some(2)]);
        let plan = plan(&context, sql).await;
        let outcome = tokio::time::timeout(PATIENCE, collect(plan, context.task_ctx())).await;
        let error = outcome.expect("the deadline ends the query").unwrap_err();
        assert_eq!(connector_error(&error).kind(), ErrorKind::Timeout, "{sql}");
    }
}

/// A join opens its probe side long before it reads it: that wait is not the source's.
#[tokio::test]
async fn time_to_the_first_batch_begins_with_the_first_poll() {
    let table = Scripted::new(vec![vec![Step::Rows(vec![1, 2])]], Vec::new());
    let context = session(1);
    with_table(&context, Arc::new(table), ScanSettings::default());
    let plan = plan(&context, "SELECT id FROM t").await;
    let stream = plan.execute(0, context.task_ctx()).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let rows: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let metrics = leaf(&plan).unwrap().metrics().unwrap();
    let nanos = metrics.sum_by_name("time_to_first_batch").unwrap().as_usize();
    assert!((1..1_000_000_000).contains(&nanos), "{nanos} ns");
    assert_eq!(metrics.output_rows(), Some(2));
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn answer_of_another_type_is_refused() {
    let context = session(1);
    let table = Scripted::new(vec![vec![Step::WrongType]], Vec::new());
    with_table(&context, Arc::new(table), ScanSettings::default());
    let plan = plan(&context, "SELECT id FROM t").await;
    let error = collect(plan, context.task_ctx()).await.unwrap_err();
    assert_eq!(connector_error(&error).kind(), ErrorKind::Internal);
}

/// Files are filtered faster by the join's hash table than by a long list: only what can look keys up gets one.
#[tokio::test]
async fn key_lists_are_as_long_as_the_leaves_can_use() {
    let sql = "SELECT count(*) FROM keys JOIN t ON t.id = keys.k";
    let bounds_of = async |table: Arc<dyn Table>, partitions: usize| {
        let context = session(partitions);
        with_keys(&context, &[Some(1), Some(2)]);
        with_table(&context, table, ScanSettings::default());
        let plan = plan(&context, sql).await;
        let mut options = context.copied_config().options().as_ref().clone();
        bound_key_lists(&mut options, &plan);
        let optimizer = options.optimizer;
        (
            optimizer.hash_join_inlist_pushdown_max_distinct_values,
            optimizer.hash_join_inlist_pushdown_max_size,
        )
    };
    let bounds = async |table| bounds_of(table, 1).await;
    let defaults = datafusion::common::config::OptimizerOptions::default();
    let rows = CanonicalTable::standard().rows().clone();
    assert_eq!(
        bounds(Arc::new(CollatedTable::new(rows, &[], None))).await,
        (1_000, defaults.hash_join_inlist_pushdown_max_size)
    );
    // A few hundred rows: the least that is offered.
    assert_eq!(bounds(collated()).await, (10_000, 32 << 20));
    // As many keys of four rows each as its rows cost; at most 200,000, and so where nothing is known.
    for (rows, keys) in [
        (Some(100_000), 25_000),
        (Some(100_000_000), 200_000),
        (None, 200_000),
    ] {
        let mut table = Scripted::new(vec![vec![Step::Fail]], vec![Step::Fail]);
        table.rows = rows;
        assert_eq!(bounds(Arc::new(table)).await, (keys, 32 << 20), "{rows:?}");
    }
    // Two partitions, each with its list: half of the keys and some more.
    let mut table = Scripted::new(vec![vec![Step::Fail]], vec![Step::Fail]);
    table.rows = Some(100_000);
    assert_eq!(bounds_of(Arc::new(table), 2).await, (14_062, 32 << 20));
}

#[tokio::test]
async fn empty_key_set_reads_nothing() {
    for keys in [&[][..], &[None, None]] {
        for partitions in [1, 4] {
            let table = Scripted::new(vec![vec![Step::Fail]; 4], vec![Step::Fail]);
            let counts = Arc::clone(&table.counts);
            let context = session(partitions);
            with_table(&context, Arc::new(table), ScanSettings::default());
            with_keys(&context, keys);
            let plan = plan(&context, "SELECT t.id FROM keys JOIN t ON t.id = keys.k").await;
            let rows = collect(plan, context.task_ctx()).await.unwrap();
            assert!(sorted_ids(&rows).is_empty());
            assert_eq!(counts.gets.load(Ordering::SeqCst), 0);
            assert_eq!(counts.reads.load(Ordering::SeqCst), 0);
        }
    }
}

/// A top-N and an aggregate leave filters of the same kind as a join's, but complete only after the leaf has ended.
#[tokio::test]
async fn filters_of_top_n_and_aggregates_are_not_waited_for() {
    let ids = all_ids();
    let queries = [
        ("SELECT id FROM t ORDER BY id LIMIT 2", vec![ids[0], ids[1]]),
        ("SELECT max(id) AS id FROM t", vec![ids[299]]),
        (
            "SELECT t.id FROM keys JOIN t ON t.id = keys.k ORDER BY t.id LIMIT 1",
            vec![ids[3]],
        ),
        (
            "SELECT max(t.id) AS id FROM keys JOIN t ON t.id = keys.k",
            vec![ids[77]],
        ),
    ];
    for (sql, expected) in queries {
        for partitions in [1, 4] {
            let context = session(partitions);
            with_table(&context, collated(), ScanSettings::default());
            with_keys(&context, &[Some(ids[77]), Some(ids[3])]);
            let plan = plan(&context, sql).await;
            let outcome = tokio::time::timeout(PATIENCE, collect(plan, context.task_ctx())).await;
            assert_eq!(
                sorted_ids(&outcome.expect("no dead-lock").unwrap()),
                expected,
                "{sql}"
            );
        }
    }
}

#[tokio::test]
async fn limit_goes_down_only_over_exact_filters() {
    let limits = [
        ("SELECT id FROM t LIMIT 3", Some(3)),
        ("SELECT id FROM t WHERE id > 10 LIMIT 3", Some(3)),
        ("SELECT id FROM t WHERE name = 'Alice' LIMIT 1", Some(1)),
        ("SELECT id FROM t WHERE note = 'Alice' LIMIT 1", None),
        ("SELECT id FROM t WHERE lower(name) = 'alice' LIMIT 1", None),
        ("SELECT id FROM t WHERE id > 10 AND note = 'Alice' LIMIT 1", None),
    ];
    for (sql, limit) in limits {
        let context = session(4);
        with_table(&context, collated(), ScanSettings::default());
        let plan = plan(&context, sql).await;
        assert_eq!(leaf(&plan).unwrap().scan().limit, limit, "{sql}");
        let rows = collect_partitioned(plan, context.task_ctx()).await.unwrap();
        let rows: usize = rows.iter().flatten().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, if sql.ends_with('3') { 3 } else { 1 }, "{sql}");
    }
}

#[tokio::test]
async fn pushdown_off_sends_nothing() {
    let ids = all_ids();
    let context = session(1);
    let settings = ScanSettings {
        pushdown: false,
        ..ScanSettings::default()
    };
    with_table(&context, collated(), settings);
    with_keys(&context, &[Some(ids[3])]);
    let sql = "SELECT t.id FROM keys JOIN t ON t.id = keys.k WHERE t.id < 1000000 LIMIT 5";
    let plan = plan(&context, sql).await;
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    assert_eq!(sorted_ids(&rows), [ids[3]]);
    assert!(leaf(&plan).unwrap().scan().filters.is_empty());
    assert_eq!(looked_up(&plan), None);
}
