//! Inner joins in an order of our own: the rows are those of the order that is written.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use causeway_spi::{logical_rules, physical_rules};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use rand::prelude::*;

/// A session that orders joins, or leaves them as they are written.
fn session(orders: bool) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().optimizer.join_reordering = orders;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(logical_rules())
        .with_physical_optimizer_rules(physical_rules())
        .build();
    SessionContext::new_with_state(state)
}

/// Columns `a`, `b` and `c`, with values below `values` and some NULLs.
fn table(rows: usize, values: i32, random: &mut StdRng) -> MemTable {
    let mut column = || -> ArrayRef {
        let value = |_| random.random_bool(0.95).then(|| random.random_range(0..values));
        Arc::new((0..rows).map(value).collect::<Int32Array>())
    };
    let columns = vec![column(), column(), column()];
    let fields = ["a", "b", "c"].map(|name| Field::new(name, DataType::Int32, true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of the schema");
    MemTable::try_new(schema, vec![vec![batch]]).expect("a table")
}

async fn answer(context: &SessionContext, sql: &str) -> (Vec<String>, String) {
    let frame = context.sql(sql).await.expect("valid SQL");
    let plan = frame.create_physical_plan().await.expect("a plan");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx())
        .await
        .expect("an answer");
    let mut lines = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter();
            let cells = cells.map(|column| array_value_to_string(column, row).expect("a value"));
            lines.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    lines.sort_unstable();
    (lines, text)
}

/// A query over `count` tables, each joined to those before it: by one or two columns, with conditions of any kind.
fn query(count: usize, random: &mut StdRng) -> String {
    let columns = ["a", "b", "c"];
    let column =
        |table: usize, random: &mut StdRng| format!("x{table}.{}", columns.choose(random).expect("one"));
    let mut from = "t0 AS x0".to_owned();
    for table in 1..count {
        let mut on = Vec::new();
        for _ in 0..1 + usize::from(random.random_bool(0.3)) {
            let other = random.random_range(0..table);
            on.push(format!("{} = {}", column(other, random), column(table, random)));
        }
        if random.random_bool(0.3) {
            let other = random.random_range(0..table);
            on.push(format!(
                "{} + 1 <> {}",
                column(other, random),
                column(table, random)
            ));
        }
        if random.random_bool(0.1) {
            on.push(format!("{} > 2", column(table, random)));
        }
        let source = match random.random_range(0..6) {
            0 => format!("(SELECT a, max(b) AS b, min(c) AS c FROM t{table} GROUP BY a)"),
            1 => format!("(SELECT c AS a, b + 0 AS b, a AS c FROM t{table} WHERE b < 9)"),
            _ => format!("t{table}"),
        };
        from.push_str(&format!(" JOIN {source} AS x{table} ON {}", on.join(" AND ")));
    }
    let outputs: Vec<String> = (0..3)
        .map(|_| column(random.random_range(0..count), random))
        .enumerate()
        .map(|(index, output)| format!("{output} AS o{index}"))
        .collect();
    let filter = match random.random_bool(0.3) {
        true => format!(
            " WHERE {} < {}",
            column(random.random_range(0..count), random),
            column(0, random)
        ),
        false => String::new(),
    };
    format!("SELECT {} FROM {from}{filter}", outputs.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_are_those_of_the_written_order() {
    let (mut changed, mut rows) = (0, 0);
    for seed in 0..120 {
        let mut random = StdRng::seed_from_u64(seed);
        let (ordering, written) = (session(true), session(false));
        let count = random.random_range(3..=6);
        for number in 0..count {
            let size = *[3, 10, 25, 40].choose(&mut random).expect("one");
            let table = Arc::new(table(size, 8, &mut random));
            for context in [&ordering, &written] {
                let name = format!("t{number}");
                context
                    .register_table(name, Arc::clone(&table) as _)
                    .expect("a new name");
            }
        }
        let sql = query(count, &mut random);
        let (expected, plain) = answer(
            &written,
            &format!("SELECT count(*), sum(o0 * 7 + o1), min(o2) FROM ({sql})"),
        )
        .await;
        let (found, ordered) = answer(
            &ordering,
            &format!("SELECT count(*), sum(o0 * 7 + o1), min(o2) FROM ({sql})"),
        )
        .await;
        assert_eq!(found, expected, "seed {seed}: {sql}");
        changed += usize::from(joins(&plain) != joins(&ordered));
        rows += usize::from(!expected[0].starts_with("0 "));
    }
    println!("{changed} orders changed, {rows} answers with rows");
    assert!(changed > 60, "{changed} orders changed");
    assert!(rows > 40, "{rows} answers with rows");
}

/// The joins of a plan with their conditions, from the top.
fn joins(plan: &str) -> Vec<&str> {
    let lines = plan.lines().filter(|line| line.contains("HashJoinExec"));
    lines.filter_map(|line| Some(line.split_once("on=")?.1)).collect()
}

/// `n` rows with keys from 0 on, each of which refers to one of `others` keys.
fn keyed(n: i64, others: i64) -> Arc<MemTable> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let refers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..n).map(|key| key % others)));
    let batch = RecordBatch::try_from_iter([("id", keys), ("other", refers)]).expect("two columns");
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_rows_are_joined_first() {
    let sql = "SELECT count(*) FROM facts JOIN orders ON facts.other = orders.id JOIN customers ON orders.other = customers.id \
               JOIN regions ON customers.other = regions.id WHERE regions.other = 3";
    let mut texts = Vec::new();
    for orders in [true, false] {
        let context = session(orders);
        for (name, rows, others) in [
            ("facts", 60_000, 15_000),
            ("orders", 15_000, 1_500),
            ("customers", 1_500, 25),
            ("regions", 25, 5),
        ] {
            context
                .register_table(name, keyed(rows, others))
                .expect("a new name");
        }
        let (rows, text) = answer(&context, sql).await;
        assert_eq!(rows, ["12000"]);
        texts.push(text);
    }
    let columns = |plan| -> Vec<&str> {
        let joins = joins(plan).into_iter();
        joins
            .map(|on| on.split_once(']').map_or(on, |(on, _)| on))
            .collect()
    };
    let order = columns(&texts[0]);
    assert_ne!(order, columns(&texts[1]));
    // From the top: the facts last, the customers of the region first.
    assert_eq!(
        order,
        ["[(id@0, other@0)", "[(id@0, other@1)", "[(id@0, other@1)"],
        "{}",
        texts[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_costs_about_as_much_stays() {
    let context = session(true);
    for (name, rows) in [("one", 1_000), ("two", 900), ("three", 1_100)] {
        context
            .register_table(name, keyed(rows, 500))
            .expect("a new name");
    }
    let sql = "SELECT count(*) FROM one JOIN two ON one.id = two.id JOIN three ON two.id = three.id";
    let (rows, text) = answer(&context, sql).await;
    assert_eq!(rows, ["900"]);
    let written = session(false);
    for (name, rows) in [("one", 1_000), ("two", 900), ("three", 1_100)] {
        written
            .register_table(name, keyed(rows, 500))
            .expect("a new name");
    }
    assert_eq!(joins(&text).len(), joins(&answer(&written, sql).await.1).len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tables_are_ordered_as_well() {
    let context = session(true);
    let mut from = "t0".to_owned();
    for number in 0..24 {
        let name = format!("t{number}");
        context
            .register_table(&name, keyed(400, 400))
            .expect("a new name");
        if number > 0 {
            from.push_str(&format!(" JOIN {name} ON t{}.other = {name}.id", number - 1));
        }
    }
    let sql = format!("SELECT count(*) FROM {from} WHERE t23.other = 7");
    let (rows, text) = answer(&context, &sql).await;
    assert_eq!(rows, ["1"]);
    assert_eq!(joins(&text).len(), 23);
    // The table with a filter, which is written last, is joined first: it is the deepest.
    let mut below_first = text
        .lines()
        .rev()
        .take_while(|line| !line.contains("HashJoinExec"));
    assert!(below_first.any(|line| line.contains("FilterExec")), "{text}");
}
