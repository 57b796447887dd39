//! Joins that look at their outer side first: the same rows as without, however the inner side is read in the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use causeway_spi::testing::CanonicalTable;
use causeway_spi::{
    LookupJoinExec, LookupJoinLimits, ScanSettings, Table, engine_settings, logical_rules, lookup_joins,
    physical_rules,
};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect, collect_partitioned};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use rand::prelude::*;

use crate::leaf::{connector_error, leaf, looked_up, plan, session, with_table};
use crate::scripted::{Counts, Scripted, Step};
use crate::source::CollatedTable;

/// Longer than anything here takes, shorter than a test's patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many keys as a scan of the 300 rows of `t` costs, by four rows a key.
const KEYS_MAX: usize = 75;

fn collated() -> Arc<dyn Table> {
    Arc::new(standard())
}

fn standard() -> CollatedTable {
    let rows = CanonicalTable::standard().rows().clone();
    let keys: [&[&str]; 4] = [&["id"], &["grp", "name"], &["grp"], &["name"]];
    CollatedTable::new(rows, &keys, None)
}

/// Every table is worth looking for.
fn limits() -> LookupJoinLimits {
    LookupJoinLimits {
        scan_rows: 0,
        ..LookupJoinLimits::default()
    }
}

/// Limits under which the inner side is read in all ways.
fn all_limits() -> Vec<LookupJoinLimits> {
    vec![
        limits(),
        LookupJoinLimits {
            inner_bytes: 0,
            batch_keys: 7,
            ..limits()
        },
        LookupJoinLimits {
            outer_bytes: 4_000,
            batch_keys: 10,
            ..limits()
        },
        LookupJoinLimits {
            outer_bytes: 0,
            inner_bytes: 0,
            batch_keys: 1,
            ..limits()
        },
    ]
}

/// Registers `o (n, k, g, s, v)`: `k` and `g` are keys of `t`, others and NULL; `v` is between 0 and 99, each as often.
fn with_outer(context: &SessionContext, rows: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let t = CanonicalTable::standard();
    let column = |name: &str| Arc::clone(t.rows().column_by_name(name).expect("a standard column"));
    let ids = column("id");
    let ids = ids.as_primitive::<Int64Type>();
    let groups = arrow::compute::cast(&column("grp"), &DataType::Int64).expect("numbers");
    let groups = groups.as_primitive::<Int64Type>();
    let names = column("name");
    let names = names.as_string_view();
    let mut pick = |is_known: f64| -> Option<usize> {
        if random.random_bool(0.1) {
            return None;
        }
        Some(match random.random_bool(is_known) {
            true => random.random_range(0..t.rows().num_rows()),
            false => usize::MAX,
        })
    };
    let mut columns: [Vec<Option<usize>>; 3] = Default::default();
    for _ in 0..rows {
        // Groups and names come from one row now and then, so that the two together find it.
        let (key, group) = (pick(0.8), pick(0.9));
        let name = if pick(0.5) == Some(usize::MAX) {
            group
        } else {
            pick(0.9)
        };
        columns[0].push(key);
        columns[1].push(group);
        columns[2].push(name);
    }
    let number = |values: &Int64Array, place: Option<usize>| -> Option<i64> {
        let place = place?;
        match place < values.len() {
            true => (values.is_valid(place)).then(|| values.value(place)),
            false => Some(i64::MAX - 5),
        }
    };
    let text = |place: Option<usize>| -> Option<String> {
        let place = place?;
        match place < names.len() {
            true => (names.is_valid(place)).then(|| names.value(place).to_owned()),
            false => Some("nobody".to_owned()),
        }
    };
    let all: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new((0..).take(rows).map(Some).collect::<Int32Array>())),
        (
            "k",
            Arc::new(
                columns[0]
                    .iter()
                    .map(|&key| number(ids, key))
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "g",
            Arc::new(
                columns[1]
                    .iter()
                    .map(|&key| number(groups, key))
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "s",
            Arc::new(
                columns[2]
                    .iter()
                    .map(|&key| text(key))
                    .collect::<StringViewArray>(),
            ),
        ),
        (
            "v",
            Arc::new(
                (0..rows)
                    .map(|row| i32::try_from(row * 37 % 100).ok())
                    .collect::<Int32Array>(),
            ),
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(n, c)| (n, c, true)));
    let batch = batch.expect("columns of one length");
    let part = |part: usize| {
        let (from, to) = (rows * part / 3, rows * (part + 1) / 3);
        let pieces = (from..to).step_by(50);
        pieces
            .map(|at| batch.slice(at, 50.min(to - at)))
            .collect::<Vec<_>>()
    };
    let table = MemTable::try_new(batch.schema(), (0..3).map(part).collect());
    let table = table.expect("parts of one schema");
    context.register_table("o", Arc::new(table)).expect("a free name");
}

/// The lookup join of `plan`.
fn lookup_join(plan: &Arc<dyn ExecutionPlan>) -> Option<&LookupJoinExec> {
    plan.downcast_ref::<LookupJoinExec>()
        .or_else(|| plan.children().into_iter().find_map(lookup_join))
}

async fn lookup_plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    lookup_joins(plan(context, sql).await).expect("a plan with joins")
}

fn choice(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    lookup_join(plan)?.choice()
}

fn session_with(partitions: usize, table: Arc<dyn Table>, limits: LookupJoinLimits) -> SessionContext {
    let context = session(partitions);
    let settings = ScanSettings {
        lookup_joins: limits,
        ..ScanSettings::default()
    };
    with_table(&context, table, settings);
    context
}

/// The rows as lines of text, sorted.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let table = pretty_format_batches(batches).expect("printable").to_string();
    let mut lines: Vec<String> = table.lines().map(ToOwned::to_owned).collect();
    lines.retain(|line| !line.starts_with('+'));
    lines.sort_unstable();
    lines
}

/// As many rows as `lines` has, without the header; nothing for no batches.
async fn expected(sql: &str, rows: usize, seed: u64) -> Vec<String> {
    let memory = session(1);
    let copy = CanonicalTable::standard().rows().clone();
    let table = MemTable::try_new(copy.schema(), vec![vec![copy]]).expect("one batch");
    memory.register_table("t", Arc::new(table)).expect("a free name");
    with_outer(&memory, rows, seed);
    let batches = memory.sql(sql).await.expect("valid SQL").collect().await;
    lines(&batches.expect("an answer"))
}

const JOINS: [&str; 12] = [
    "SELECT o.n, t.id, t.note FROM o JOIN t ON t.id = o.k WHERE o.v < {v}",
    "SELECT o.n, t.id FROM o JOIN t ON t.id = o.k AND t.small > o.v WHERE o.v < {v}",
    "SELECT o.n, t.id, t.name FROM o LEFT JOIN t ON t.id = o.k WHERE o.v < {v}",
    "SELECT o.n, t.id FROM o LEFT JOIN t ON t.id = o.k AND t.small < o.v WHERE o.v < {v}",
    "SELECT o.n, t.id FROM o JOIN t ON t.grp = o.g WHERE o.v < {v} AND o.n < 1000",
    "SELECT o.n, t.id FROM o JOIN t ON t.grp = o.g AND t.name = o.s WHERE o.v < {v}",
    "SELECT o.n, t.id FROM o LEFT JOIN t ON t.name = o.s AND t.grp = o.g WHERE o.v < {v}",
    "SELECT o.n, t.id FROM o JOIN t ON t.name = o.s WHERE o.v < {v}",
    "SELECT o.n FROM o WHERE EXISTS (SELECT 1 FROM t WHERE t.id = o.k) AND o.v < {v}",
    "SELECT o.n FROM o WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.id = o.k AND t.small > 0) AND o.v < {v}",
    "SELECT t.id, t.price FROM t WHERE t.id IN (SELECT k FROM o WHERE o.v < {v})",
    "SELECT o.n, t.id FROM o JOIN (SELECT id, name, small + 1 AS s1 FROM t WHERE lower(note) <> 'x' OR note IS NULL) AS t ON t.id = o.k WHERE o.v < {v}",
];

/// All kinds of joins, from no outer row to all of them, in every way to read the inner side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_are_those_of_the_planned_join() {
    let rows = 2_000;
    let mut ways = std::collections::BTreeSet::new();
    for (seed, join) in (0_u64..).zip(JOINS) {
        for v in [0, 1, 30, 100] {
            let sql = join.replace("{v}", &v.to_string());
            let expected = expected(&sql, rows, seed).await;
            for limits in all_limits() {
                for partitions in [1, 4] {
                    let context = session_with(partitions, collated(), limits.clone());
                    with_outer(&context, rows, seed);
                    let plan = lookup_plan(&context, &sql).await;
                    assert!(lookup_join(&plan).is_some(), "{sql}\n{plan:?}");
                    let found = collect(Arc::clone(&plan), context.task_ctx());
                    let found = tokio::time::timeout(PATIENCE, found).await.expect("no dead-lock");
                    let found = found.expect("an answer");
                    assert_eq!(lines(&found), expected, "{sql} {limits:?} {partitions}");
                    ways.insert(
                        choice(&plan)
                            .expect("a choice")
                            .split(',')
                            .next()
                            .map(ToOwned::to_owned),
                    );
                }
            }
        }
    }
    assert_eq!(ways.len(), 3, "{ways:?}");
}

#[tokio::test]
async fn few_keys_are_looked_up_and_many_are_scanned_for() {
    for partitions in [1, 4] {
        let run = async |v: usize, limits: LookupJoinLimits| {
            let context = session_with(partitions, collated(), limits);
            with_outer(&context, 3_000, 1);
            let sql = format!("SELECT o.n, t.id FROM o JOIN t ON t.id = o.k WHERE o.v < {v}");
            let plan = lookup_plan(&context, &sql).await;
            collect(Arc::clone(&plan), context.task_ctx())
                .await
                .expect("an answer");
            let requests = leaf(&plan).expect("a leaf").metrics().expect("metrics");
            let requests = requests.sum_by_name("requests").map(|count| count.as_usize());
            (choice(&plan).expect("a choice"), looked_up(&plan), requests)
        };
        let (how, keys, requests) = run(1, limits()).await;
        let keys = keys.expect("keys");
        assert_eq!(how, format!("lookups, the outer side has {keys} keys"));
        assert!((10..=30).contains(&keys), "a hundredth of 3,000 rows: {keys}");
        assert_eq!(requests, Some(1));

        let (how, keys, requests) = run(100, limits()).await;
        assert_eq!(how, format!("scan, the outer side has more than {KEYS_MAX} keys"));
        assert_eq!((keys, requests), (None, Some(4)), "one read a split");

        let batches = LookupJoinLimits {
            inner_bytes: 0,
            batch_keys: 20,
            ..limits()
        };
        let (how, keys, requests) = run(100, batches).await;
        assert_eq!(how, "lookups in batches");
        assert!(keys > Some(200) && requests > Some(1), "{keys:?} {requests:?}");

        let switching = LookupJoinLimits {
            outer_bytes: 1,
            batch_keys: 20,
            ..limits()
        };
        let (how, keys, _) = run(100, switching).await;
        assert_eq!(how, "lookups in batches, then a scan");
        assert!(keys.is_some_and(|keys| keys <= KEYS_MAX), "{keys:?}");
    }
}

/// A key that finds fifty rows of 300 costs 294 more than one that finds a single row.
#[tokio::test]
async fn keys_that_find_many_rows_are_scanned_for_sooner() {
    for (counted, keys_max) in [
        (None, 75),
        (Some(6), 1),
        (Some(1), 0),
        (Some(1_000), 75),
        (Some(0), 75),
    ] {
        let table = match counted {
            Some(values) => standard().counting("grp", values),
            None => standard(),
        };
        let context = session_with(2, Arc::new(table), limits());
        with_outer(&context, 3_000, 1);
        let sql = "SELECT o.n, t.id FROM o JOIN t ON t.grp = o.g WHERE o.v < 100 AND o.n < 40";
        let plan = lookup_plan(&context, sql).await;
        let rows = collect(Arc::clone(&plan), context.task_ctx()).await;
        assert_eq!(lines(&rows.expect("an answer")), expected(sql, 3_000, 1).await);
        let how = choice(&plan).expect("a choice");
        match keys_max {
            75 => assert!(
                how.starts_with("lookups, the outer side has "),
                "{counted:?}: {how}"
            ),
            _ => assert_eq!(how, format!("scan, the outer side has more than {keys_max} keys")),
        }
    }
}

/// A small table, one that is filtered while the other side is read by its keys, and joins that keep its rows.
#[tokio::test]
async fn joins_that_had_better_read_their_build_side_first_are_left_alone() {
    let is_placed = async |sql: &str, limits: LookupJoinLimits, settings: ScanSettings| {
        let context = session(2);
        let settings = ScanSettings {
            lookup_joins: limits,
            ..settings
        };
        with_table(&context, collated(), settings);
        with_outer(&context, 3_000, 1);
        lookup_join(&lookup_plan(&context, sql).await).is_some()
    };
    let sql = "SELECT o.n FROM o JOIN t ON t.id = o.k WHERE o.v < 3";
    assert!(is_placed(sql, limits(), ScanSettings::default()).await);
    assert!(!is_placed(sql, LookupJoinLimits::default(), ScanSettings::default()).await);
    let off = ScanSettings {
        pushdown: false,
        ..ScanSettings::default()
    };
    assert!(!is_placed(sql, limits(), off).await);
    for sql in [
        "SELECT o.n FROM o JOIN t ON t.id = o.k",
        "SELECT o.n FROM o JOIN t ON t.small = o.v WHERE o.v < 3",
        "SELECT o.n FROM o JOIN (SELECT * FROM t LIMIT 200) AS t ON t.id = o.k WHERE o.v < 3",
        "SELECT o.n FROM o FULL JOIN t ON t.id = o.k WHERE o.v < 3 OR o.v IS NULL",
        "SELECT t.id FROM t WHERE t.id NOT IN (SELECT k FROM o WHERE o.v < 3)",
        "SELECT t.id FROM t LEFT JOIN (SELECT * FROM o WHERE v < 3) AS o ON t.id = o.k",
    ] {
        assert!(!is_placed(sql, limits(), ScanSettings::default()).await, "{sql}");
    }
}

/// The rows of each partition stay in the order of the outer side.
#[tokio::test]
async fn the_order_of_the_outer_side_is_kept() {
    for limits in all_limits() {
        let context = session_with(1, collated(), limits.clone());
        with_outer(&context, 3_000, 5);
        let sql = "SELECT o.n, t.id FROM (SELECT * FROM o WHERE v < 40 ORDER BY n LIMIT 2000) AS o LEFT JOIN t ON t.id = o.k";
        let plan = lookup_plan(&context, sql).await;
        assert!(lookup_join(&plan).is_some());
        for rows in collect_partitioned(plan, context.task_ctx())
            .await
            .expect("an answer")
        {
            let Some(first) = rows.first() else { continue };
            let rows = concat_batches(&first.schema(), &rows).expect("one schema");
            let numbers = rows.column(0).as_primitive::<Int32Type>();
            assert!(numbers.values().is_sorted(), "{limits:?}");
        }
    }
}

/// An outer side of many times the memory pool, joined batch by batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outer_side_larger_than_memory_is_joined() {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(4 << 20)))
        .build_arc()
        .expect("a runtime");
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .with_batch_size(1024);
    let context = SessionContext::new_with_config_rt(engine_settings(config), runtime);
    let settings = ScanSettings {
        lookup_joins: LookupJoinLimits {
            inner_bytes: 0,
            ..limits()
        },
        ..ScanSettings::default()
    };
    with_table(&context, collated(), settings);
    let ids = CanonicalTable::standard();
    let ids = ids.rows().column(0).as_primitive::<Int64Type>();
    // 100 bytes of text in each of 400,000 rows, one in two with a key of the table.
    let outer = format!(
        "SELECT value, CASE value % 200 {} ELSE -value END AS k, repeat('x', 100) AS pad FROM generate_series(1, 400000)",
        (0..100)
            .map(|row| format!("WHEN {row} THEN CAST({} AS BIGINT)", ids.value(row)))
            .collect::<Vec<_>>()
            .join(" ")
    );
    let sql = format!(
        "SELECT count(*), count(t.id), sum(length(o.pad)) FROM ({outer}) AS o LEFT JOIN t ON t.id = o.k WHERE length(o.pad) > 5"
    );
    let plan = lookup_plan(&context, &sql).await;
    assert!(lookup_join(&plan).is_some(), "{plan:?}");
    let rows = collect(Arc::clone(&plan), context.task_ctx())
        .await
        .expect("an answer");
    assert_eq!(lines(&rows)[0], "| 400000   | 200000      | 40000000           |");
    assert_eq!(choice(&plan).as_deref(), Some("lookups in batches"));
}

/// More keys than a list has, of a table that is larger still: the outer side is not built, but streamed.
#[tokio::test]
async fn outer_sides_of_too_many_keys_are_streamed() {
    let sql = "SELECT o.n, t.id FROM o LEFT JOIN t ON t.id = o.k WHERE o.v < 30";
    for (list_keys, inner_bytes, is_streamed) in [
        (1_000, usize::MAX, false),
        (5, usize::MAX, true),
        (1_000, 1, true),
    ] {
        let limits = LookupJoinLimits {
            list_keys,
            inner_bytes,
            ..limits()
        };
        let context = session_with(2, collated(), limits);
        with_outer(&context, 60, 2);
        let state = context.state();
        let state = SessionStateBuilder::new_from_existing(state)
            .with_optimizer_rules(logical_rules())
            .with_physical_optimizer_rules(physical_rules())
            .build();
        let plan = state.create_logical_plan(sql).await.expect("valid SQL");
        let plan = state.create_physical_plan(&plan).await.expect("a plan");
        let plan = lookup_joins(plan).expect("a plan with joins");
        assert_eq!(
            lookup_join(&plan).is_some(),
            is_streamed,
            "{list_keys} {inner_bytes}"
        );
        let found = collect(plan, context.task_ctx()).await.expect("an answer");
        assert_eq!(lines(&found), expected(sql, 60, 2).await);
    }
}

/// Errors of both sides end the join; what is dropped stops both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_drops_end_both_sides() {
    let sql = "SELECT t.id FROM t JOIN o ON t.id = o.k WHERE o.v < 3";
    let run = |lookup: Vec<Step>| {
        let table = Scripted::new(vec![vec![Step::Fail]; 2], lookup);
        let counts = Arc::clone(&table.counts);
        let context = session_as_written(Arc::new(table));
        with_outer(&context, 30_000, 1);
        (context, counts)
    };
    let (context, counts) = run(vec![Step::Rows(vec![1]), Step::Fail]);
    let plan = lookup_plan(&context, sql).await;
    assert!(lookup_join(&plan).is_some(), "{plan:?}");
    let error = collect(plan, context.task_ctx())
        .await
        .expect_err("the lookup fails");
    assert_eq!(connector_error(&error).hint_text(), Some("Lift it."));
    until_closed(&counts).await;

    let (context, counts) = run(vec![Step::Hang]);
    let plan = lookup_plan(&context, sql).await;
    assert!(lookup_join(&plan).is_some(), "{plan:?}");
    let task = context.task_ctx();
    let partitions = plan.output_partitioning().partition_count();
    let streams =
        (0..partitions).map(|partition| plan.execute(partition, Arc::clone(&task)).expect("a stream"));
    let mut streams = futures::stream::select_all(streams);
    let waited = tokio::time::timeout(Duration::from_millis(300), streams.next()).await;
    assert!(waited.is_err(), "the lookup does not answer");
    assert_eq!(counts.open.load(Ordering::SeqCst), 1);
    drop(streams);
    until_closed(&counts).await;
}

/// Tasks that are told to end do so soon.
async fn until_closed(counts: &Counts) {
    for _ in 0..500 {
        if counts.open.load(Ordering::SeqCst) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(counts.open.load(Ordering::SeqCst), 0, "streams that are open");
}

/// A session in which the sides of joins are those that are written.
fn session_as_written(table: Arc<dyn Table>) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().optimizer.join_reordering = false;
    let context = SessionContext::new_with_config(engine_settings(config));
    let settings = ScanSettings {
        lookup_joins: limits(),
        ..ScanSettings::default()
    };
    with_table(&context, table, settings);
    context
}
