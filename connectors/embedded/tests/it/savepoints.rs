//! Savepoints after the first write: a return to one gives back what was there, whatever was done since.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use causeway_spi::{
    Connector, ErrorKind, Savepoint, TableName, ViewDefinition, WriteTransaction, updated_schema,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{ReadableDatabase, TableHandle};

use crate::support::{Store, create, read_all, rows, scan, table_name, try_read};

/// Transactions of the generated test, and what each of them does.
const TRANSACTIONS: u64 = 40;
const STEPS: usize = 60;

const NOTES: &str = r#"
[[tables]]
name = "notes"
key = "note:{id}"
value = "json"
columns = ["id bigint", "name text"]
"#;

type Transaction = Box<dyn WriteTransaction>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, true),
    ]))
}

fn batch(columns: SchemaRef, ids: &[i64], name: &str) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(ids.iter().map(|_| name)));
    RecordBatch::try_new(columns, vec![Arc::new(Int64Array::from(ids.to_vec())), names]).unwrap()
}

async fn insert(
    transaction: &mut Transaction,
    table: &TableName,
    ids: &[i64],
    name: &str,
) -> Result<u64, ErrorKind> {
    let columns = match transaction.target(table).await {
        Ok(target) => Arc::new(target.schema().project(&[0, 1]).unwrap()),
        Err(_) => schema(),
    };
    let inserted = transaction
        .insert(table, rows(vec![batch(columns, ids, name)]))
        .await;
    inserted.map_err(|error| error.kind())
}

/// Everything that can be read of `catalog`.
async fn everything(catalog: &Arc<dyn Connector>) -> Vec<String> {
    let mut lines = Vec::new();
    for schema in catalog.schemas().await.unwrap() {
        lines.push(format!("schema {schema}"));
        for name in catalog.tables(&schema).await.unwrap() {
            let table = catalog
                .table(&TableName::new("kv", &schema, &name))
                .await
                .unwrap()
                .unwrap();
            if let Some(view) = table.view() {
                lines.push(format!("view {schema}.{name} {}", view.sql));
                continue;
            }
            lines.push(format!("table {schema}.{name} {:?}", table.schema()));
            lines.extend(read_all(&table).await);
        }
    }
    lines
}

#[tokio::test]
async fn savepoints_nest_and_are_returned_to_more_than_once() {
    let store = Store::new();
    store
        .fill("t", &schema(), &[0], vec![batch(schema(), &[1, 2, 3], "a")])
        .await;
    let mut transaction = store.begin().await;
    let t = table_name("t");
    insert(&mut transaction, &t, &[4], "b").await.unwrap();
    let first = transaction.savepoint().await.unwrap();
    transaction.truncate(&t).await.unwrap();
    insert(&mut transaction, &t, &[1], "c").await.unwrap();
    let second = transaction.savepoint().await.unwrap();
    for _ in 0..2 {
        insert(&mut transaction, &t, &[2, 3], "d").await.unwrap();
        // What a failed statement has done goes as well.
        assert_eq!(
            insert(&mut transaction, &t, &[8, 9, 3], "e").await,
            Err(ErrorKind::DuplicateKey)
        );
        transaction.rollback_to(second).await.unwrap();
        assert_eq!(rows_within(&transaction).await, ["1|c"]);
    }
    transaction.drop_table(&t).await.unwrap();
    create(&mut transaction, "t", &schema(), &[]).await.unwrap();
    transaction.rollback_to(first).await.unwrap();
    assert_eq!(rows_within(&transaction).await, ["1|a", "2|a", "3|a", "4|b"]);
    let gone = transaction.rollback_to(second).await.unwrap_err();
    assert_eq!(
        (gone.kind(), gone.message()),
        (ErrorKind::Internal, "a savepoint is gone")
    );
    transaction.rollback_to(first).await.unwrap();
    insert(&mut transaction, &t, &[5], "f").await.unwrap();
    transaction.commit().await.unwrap();
    let store = store.reopened().await;
    assert_eq!(
        read_all(&store.table("t").await).await,
        ["1|a", "2|a", "3|a", "4|b", "5|f"]
    );
}

async fn rows_within(transaction: &Transaction) -> Vec<String> {
    read_all(&crate::support::table(&transaction.snapshot(), "t").await).await
}

/// The law: after a return everything reads as it did at the savepoint; what commits is what was seen last.
#[tokio::test]
async fn a_return_undoes_every_kind_of_change() {
    let store = Store::with(NOTES);
    let (mut returns, mut errors) = (0, 0);
    for seed in 0..TRANSACTIONS {
        let mut random = StdRng::seed_from_u64(seed);
        let before = everything(&store.catalog).await;
        let mut transaction = store.begin().await;
        transaction.create_schema(&format!("s{seed}")).await.unwrap();
        let mut marks = vec![mark(&mut transaction).await];
        for _ in 0..STEPS {
            let mut back_to = None;
            match random.random_range(0..10) {
                0 | 1 => marks.push(mark(&mut transaction).await),
                2 => back_to = Some(random.random_range(0..marks.len())),
                _ if change(&mut transaction, &mut random).await.is_err() => {
                    errors += 1;
                    back_to = Some(marks.len() - 1);
                }
                _ => {}
            }
            if let Some(index) = back_to {
                marks.truncate(index + 1);
                let (savepoint, seen) = &marks[index];
                transaction.rollback_to(*savepoint).await.unwrap();
                assert_eq!(everything(&transaction.snapshot()).await, *seen, "seed {seed}");
                returns += 1;
            }
        }
        let seen = everything(&transaction.snapshot()).await;
        if seed % 4 == 0 {
            drop(transaction);
            assert_eq!(everything(&store.catalog).await, before, "seed {seed}");
        } else {
            transaction.commit().await.unwrap();
            assert_eq!(everything(&store.catalog).await, seen, "seed {seed}");
        }
    }
    assert!(returns > 100 && errors > 10, "{returns} returns, {errors} errors");
    assert_nothing_is_left_over(store).await;
}

async fn mark(transaction: &mut Transaction) -> (Savepoint, Vec<String>) {
    let savepoint = transaction.savepoint().await.unwrap();
    (savepoint, everything(&transaction.snapshot()).await)
}

/// The rows in the file are those of tables.
async fn assert_nothing_is_left_over(store: Store) {
    let lines = everything(&store.catalog).await;
    let tables = lines.iter().filter(|line| line.starts_with("table ")).count();
    assert!(tables > 1, "{lines:?}");
    let (_folder, path) = store.closed();
    let database = redb::Database::open(path).unwrap();
    let read = database.begin_read().unwrap();
    let names = read.list_tables().unwrap().map(|table| table.name().to_owned());
    // One of the tables is described, and has no rows of its own.
    assert_eq!(names.filter(|name| name.starts_with("rows_")).count(), tables - 1);
}

/// Does something to a table, a view or a schema. Errors: a key that is there already.
async fn change(transaction: &mut Transaction, random: &mut StdRng) -> Result<(), ErrorKind> {
    let tables = transaction.snapshot().tables("public").await.unwrap();
    let views = transaction.snapshot().views("public").await.unwrap();
    let made: Vec<&String> = tables
        .iter()
        .filter(|name| *name != "notes" && !views.contains(name))
        .collect();
    let free = (0..)
        .map(|number| format!("t{number}"))
        .find(|name| !tables.contains(name))
        .unwrap();
    let kind = random.random_range(0..12);
    if made.is_empty() || kind == 0 {
        let key: &[usize] = if random.random_bool(0.7) { &[0] } else { &[] };
        create(transaction, &free, &schema(), key).await.unwrap();
        return Ok(());
    }
    let notes = table_name("notes");
    let table = table_name(made[random.random_range(0..made.len())]);
    let ids: Vec<i64> = (0..random.random_range(1..4))
        .map(|_| random.random_range(0..40))
        .collect();
    match kind {
        1 => insert(transaction, &notes, &ids, "note").await.map(drop)?,
        2 => delete_some(transaction, &notes, random).await,
        3 => {
            update(transaction, &table, random.random_range(0..3), |rows| {
                random.random_range(0..=rows)
            })
            .await?
        }
        4 => delete_some(transaction, &table, random).await,
        5 => match random.random_bool(0.5) {
            true => transaction.truncate(&table).await.unwrap(),
            false => transaction.truncate(&notes).await.unwrap(),
        },
        6 => transaction.drop_table(&table).await.unwrap(),
        7 => transaction.rename_table(&table, &free).await.unwrap(),
        8 => transaction
            .rename_column(&table, 1, &format!("name{}", ids[0]))
            .await
            .unwrap(),
        9 => {
            let view = ViewDefinition {
                sql: format!("SELECT {}", ids[0]),
                columns: schema(),
                reads: vec![],
            };
            let name = views.first().map_or(free.as_str(), String::as_str);
            transaction.put_view(&table_name(name), &view).await.unwrap();
        }
        10 if !views.is_empty() => transaction.drop_view(&table_name(&views[0])).await.unwrap(),
        _ => insert(transaction, &table, &ids, "x").await.map(drop)?,
    }
    Ok(())
}

/// The rows of `table` from the one at `start` on, if there are as many, with the locators behind their columns.
async fn rows_from(
    transaction: &Transaction,
    table: &TableName,
    start: impl FnOnce(usize) -> usize,
) -> RecordBatch {
    let target = transaction.target(table).await.unwrap();
    let columns = target.schema();
    let names: Vec<&str> = columns
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let found = try_read(&target, &scan(&target, &names, &[])).await.unwrap();
    let start = start(found.num_rows());
    found.slice(start, found.num_rows() - start)
}

async fn delete_some(transaction: &mut Transaction, table: &TableName, random: &mut StdRng) {
    let found = rows_from(transaction, table, |rows| random.random_range(0..=rows)).await;
    let locators = found.project(&[found.num_columns() - 1]).unwrap();
    transaction.delete(table, rows(vec![locators])).await.unwrap();
}

/// Moves rows to other keys, which may be taken.
async fn update(
    transaction: &mut Transaction,
    table: &TableName,
    by: i64,
    start: impl FnOnce(usize) -> usize,
) -> Result<(), ErrorKind> {
    let found = rows_from(transaction, table, start).await;
    let ids = found
        .column(0)
        .as_primitive::<Int64Type>()
        .unary::<_, Int64Type>(|id| id + by);
    let columns = vec![
        Arc::new(ids) as ArrayRef,
        Arc::clone(found.column(1)),
        Arc::clone(found.column(2)),
    ];
    let columns_of = found.schema().project(&[0, 1]).unwrap();
    let changed = RecordBatch::try_new(updated_schema(&columns_of), columns).unwrap();
    let updated = transaction.update(table, rows(vec![changed])).await;
    updated.map(drop).map_err(|error| error.kind())
}
