//! Transactions: what is seen when, keys that are there already, rows that move, and what is undone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use causeway_spi::{
    ErrorKind, ReadContext, TEXT_LENGTH, Table, TableName, ViewDefinition, WriteContext, updated_schema,
};
use datafusion::logical_expr::lit;
use datafusion::prelude::col;

use crate::support::{Store, create, read, read_all, rows, scan, table, table_name, try_read};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, true),
    ]))
}

fn batch(values: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(values.iter().map(|value| value.0)));
    let names: ArrayRef = Arc::new(StringViewArray::from_iter(values.iter().map(|value| value.1)));
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

async fn people() -> Store {
    let store = Store::new();
    let people = batch(&[(1, Some("Ann")), (2, None), (3, Some("Zoë"))]);
    store.fill("t", &schema(), &[0], vec![people]).await;
    store
}

/// The rows of `target` with their locators and other values.
async fn changed(
    target: &Arc<dyn Table>,
    change: impl Fn(i64, Option<&str>) -> (i64, Option<String>),
) -> RecordBatch {
    let found = try_read(target, &scan(target, &["id", "name", "?row?"], &[]))
        .await
        .unwrap();
    let ids = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(found.column(0));
    let names = arrow::array::AsArray::as_string_view(found.column(1));
    let changed: Vec<(i64, Option<String>)> = ids
        .values()
        .iter()
        .zip(names)
        .map(|(&id, name)| change(id, name))
        .collect();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(changed.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringViewArray::from_iter(
        changed.iter().map(|row| row.1.as_deref()),
    ));
    RecordBatch::try_new(
        updated_schema(&schema()),
        vec![ids, names, Arc::clone(found.column(2))],
    )
    .unwrap()
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_others_see_them_after_it() {
    let store = people().await;
    let mut transaction = store.begin().await;
    assert_eq!(
        read_all(&table(&transaction.snapshot(), "t").await).await.len(),
        3
    );
    let before = store.catalog.writer().unwrap().snapshot();
    assert_eq!(read_all(&table(&before, "t").await).await.len(), 3);
    let inserted = transaction
        .insert(&table_name("t"), rows(vec![batch(&[(4, Some("Di"))])]))
        .await
        .unwrap();
    assert_eq!(inserted, 1);
    let within = table(&transaction.snapshot(), "t").await;
    assert_eq!(within.statistics().rows, Some(4));
    assert_eq!(
        read(&within, &["name"], &[col("id").eq(lit(4_i64))]).await,
        ["Di"]
    );
    assert_eq!(read_all(&store.table("t").await).await.len(), 3);
    transaction.commit().await.unwrap();
    assert_eq!(read_all(&store.table("t").await).await.len(), 4);
    assert_eq!(
        read_all(&table(&before, "t").await).await.len(),
        3,
        "a snapshot stays as it is"
    );
    let store = store.reopened().await;
    assert_eq!(
        read_all(&store.table("t").await).await,
        ["1|Ann", "2|NULL", "3|Zoë", "4|Di"]
    );
}

#[tokio::test]
async fn rollback_and_drop_undo_everything() {
    let store = people().await;
    for rolled_back in [true, false] {
        let mut transaction = store.begin().await;
        transaction
            .insert(&table_name("t"), rows(vec![batch(&[(9, None)])]))
            .await
            .unwrap();
        transaction.create_schema("other").await.unwrap();
        create(&mut transaction, "new", &schema(), &[]).await.unwrap();
        transaction.drop_table(&table_name("t")).await.unwrap();
        if rolled_back {
            transaction.rollback().await.unwrap();
        } else {
            drop(transaction);
        }
        assert_eq!(store.catalog.tables("public").await.unwrap(), ["t"]);
        assert_eq!(store.catalog.schemas().await.unwrap(), ["public"]);
        assert_eq!(read_all(&store.table("t").await).await.len(), 3);
    }
}

#[tokio::test]
async fn a_key_that_is_there_is_refused_in_postgres_words() {
    let store = people().await;
    for values in [
        vec![batch(&[(3, None)])],
        vec![batch(&[(7, None), (7, None)])],
        vec![batch(&[(7, None)]), batch(&[(7, None)])],
    ] {
        let mut transaction = store.begin().await;
        let error = transaction
            .insert(&table_name("t"), rows(values))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DuplicateKey);
        assert_eq!(
            error.message(),
            "duplicate key value violates unique constraint \"t_pkey\""
        );
        assert!(
            error.detail_text().unwrap().starts_with("Key (id)=("),
            "{error:?}"
        );
        transaction.rollback().await.unwrap();
    }
    assert_eq!(read_all(&store.table("t").await).await.len(), 3);
}

#[tokio::test]
async fn updates_replace_rows_and_check_keys_at_the_end() {
    let store = people().await;
    let mut transaction = store.begin().await;
    let target = transaction.target(&table_name("t")).await.unwrap();
    let shifted = changed(&target, |id, name| (id + 1, name.map(str::to_uppercase))).await;
    assert_eq!(
        transaction
            .update(&table_name("t"), rows(vec![shifted]))
            .await
            .unwrap(),
        3
    );
    transaction.commit().await.unwrap();
    assert_eq!(
        read_all(&store.table("t").await).await,
        ["2|ANN", "3|NULL", "4|ZOË"]
    );

    let mut transaction = store.begin().await;
    let target = transaction.target(&table_name("t")).await.unwrap();
    let same = changed(&target, |_, name| (2, name.map(str::to_owned))).await;
    let error = transaction
        .update(&table_name("t"), rows(vec![same]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateKey);
    assert_eq!(error.detail_text(), Some("Key (id)=(2) already exists."));
    drop(transaction);
    assert_eq!(read_all(&store.table("t").await).await.len(), 3);
}

#[tokio::test]
async fn deletes_and_truncate() {
    let store = people().await;
    let mut transaction = store.begin().await;
    let target = transaction.target(&table_name("t")).await.unwrap();
    let some = scan(&target, &["?row?"], &[col("id").gt_eq(lit(2_i64))]);
    let locators = try_read(&target, &some).await.unwrap();
    assert_eq!(
        transaction
            .delete(&table_name("t"), rows(vec![locators]))
            .await
            .unwrap(),
        2
    );
    let within = table(&transaction.snapshot(), "t").await;
    assert_eq!(read_all(&within).await, ["1|Ann"]);
    transaction.truncate(&table_name("t")).await.unwrap();
    assert_eq!(read_all(&within).await.len(), 0);
    transaction
        .insert(&table_name("t"), rows(vec![batch(&[(1, None)])]))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(read_all(&store.table("t").await).await, ["1|NULL"]);
}

/// The rows of an insert that its own transaction gives are those from before it.
#[tokio::test]
async fn an_insert_from_the_table_itself_ends() {
    let store = Store::new();
    let mut transaction = store.begin().await;
    create(&mut transaction, "t", &schema(), &[]).await.unwrap();
    transaction
        .insert(&table_name("t"), rows(vec![batch(&[(1, None), (2, Some("x"))])]))
        .await
        .unwrap();
    for doubled in [4, 8, 16] {
        let within = table(&transaction.snapshot(), "t").await;
        let mut cx = ReadContext::detached();
        cx.batch_rows = 1;
        let all = scan(&within, &["id", "name"], &[]);
        let splits = within.splits(&all).await.unwrap();
        let stream = within.read(&all, &splits[0], &cx).await.unwrap();
        assert_eq!(
            transaction.insert(&table_name("t"), stream).await.unwrap(),
            doubled / 2
        );
        let within = table(&transaction.snapshot(), "t").await;
        assert_eq!(within.statistics().rows, Some(doubled));
    }
    transaction.commit().await.unwrap();
    let store = store.reopened().await;
    assert_eq!(store.table("t").await.statistics().rows, Some(16));
}

#[tokio::test]
async fn rows_without_a_key_stay_apart() {
    let store = Store::new();
    let same = batch(&[(1, None), (1, None), (1, None)]);
    store.fill("t", &schema(), &[], vec![same.clone()]).await;
    let mut transaction = store.begin().await;
    let target = transaction.target(&table_name("t")).await.unwrap();
    let locators = try_read(&target, &scan(&target, &["?row?"], &[])).await.unwrap();
    let first = transaction
        .delete(&table_name("t"), rows(vec![locators.slice(1, 1)]))
        .await
        .unwrap();
    assert_eq!(first, 1);
    transaction
        .insert(&table_name("t"), rows(vec![same]))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(read_all(&store.table("t").await).await.len(), 5);
}

#[tokio::test]
async fn names_change_and_rows_stay() {
    let store = people().await;
    let mut transaction = store.begin().await;
    transaction.rename_table(&table_name("t"), "u").await.unwrap();
    transaction
        .rename_column(&table_name("u"), 1, "full name")
        .await
        .unwrap();
    transaction.create_schema("s").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(store.catalog.tables("public").await.unwrap(), ["u"]);
    assert_eq!(
        read(
            &store.table("u").await,
            &["full name"],
            &[col("id").eq(lit(1_i64))]
        )
        .await,
        ["Ann"]
    );
    assert_eq!(store.catalog.schemas().await.unwrap(), ["public", "s"]);
    let mut transaction = store.begin().await;
    transaction.drop_schema("s").await.unwrap();
    transaction.drop_table(&table_name("u")).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(store.catalog.table(&table_name("u")).await.unwrap().is_none());
    let error = store.catalog.tables("s").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownSchema);
}

#[tokio::test]
async fn views_and_lengths_of_texts_are_kept() {
    let store = people().await;
    let metadata = HashMap::from([(TEXT_LENGTH.to_owned(), "3".to_owned())]);
    let short = Field::new("a", DataType::Utf8View, true).with_metadata(metadata.clone());
    let view = ViewDefinition {
        sql: "SELECT name AS a FROM kv.public.t".to_owned(),
        columns: Arc::new(Schema::new(vec![short.clone()])),
        reads: vec![table_name("t")],
    };
    let mut transaction = store.begin().await;
    create(
        &mut transaction,
        "short",
        &Arc::new(Schema::new(vec![short])),
        &[],
    )
    .await
    .unwrap();
    transaction.put_view(&table_name("v"), &view).await.unwrap();
    transaction.commit().await.unwrap();
    let store = store.reopened().await;
    assert_eq!(store.catalog.tables("public").await.unwrap(), ["short", "t", "v"]);
    assert_eq!(store.catalog.views("public").await.unwrap(), ["v"]);
    assert_eq!(store.table("v").await.view(), Some(&view));
    assert_eq!(store.table("short").await.schema().field(0).metadata(), &metadata);
    let mut transaction = store.begin().await;
    transaction.drop_view(&table_name("v")).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(store.catalog.table(&table_name("v")).await.unwrap().is_none());
}

#[tokio::test]
async fn there_is_one_writer_at_a_time() {
    let store = people().await;
    let transaction = store.begin().await;
    let cx = WriteContext {
        query_id: Arc::from("second"),
        lock_timeout: Some(Duration::from_millis(50)),
    };
    let writer = store.catalog.writer().unwrap();
    let error = writer.begin(&cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout);
    assert_eq!(error.message(), "could not obtain the lock on catalog kv");
    drop(transaction);
    let second = writer
        .begin(&WriteContext {
            lock_timeout: None,
            ..cx
        })
        .await
        .unwrap();
    second.rollback().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let store = Store::new();
    let mut transaction = store.begin().await;
    let structs = DataType::Struct(vec![Field::new("x", DataType::Int32, true)].into());
    let columns = Arc::new(Schema::new(vec![Field::new("a", structs, true)]));
    let error = create(&mut transaction, "t", &columns, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let columns = Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, false)]));
    let error = create(&mut transaction, "t", &columns, &[0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let columns = Arc::new(Schema::new(vec![Field::new("a", DataType::BinaryView, false)]));
    create(&mut transaction, "t", &columns, &[0]).await.unwrap();
    let long: ArrayRef = Arc::new(BinaryViewArray::from(vec![&vec![1; 9000][..]]));
    let long = RecordBatch::try_new(columns, vec![long]).unwrap();
    let error = transaction
        .insert(&table_name("t"), rows(vec![long]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(error.message(), "a primary key of table kv.public.t is too long");
}

#[tokio::test]
async fn a_dropped_table_is_no_table_for_who_loaded_it() {
    let store = people().await;
    let loaded = store.table("t").await;
    let mut transaction = store.begin().await;
    transaction.drop_table(&table_name("t")).await.unwrap();
    create(&mut transaction, "t", &schema(), &[0]).await.unwrap();
    transaction.commit().await.unwrap();
    let error = try_read(&loaded, &scan(&loaded, &["id"], &[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTable);
    assert_eq!(error.message(), "table kv.public.t does not exist any more");
    let name = TableName::new("kv", "nope", "t");
    assert_eq!(
        store.catalog.table(&name).await.unwrap_err().kind(),
        ErrorKind::UnknownSchema
    );
}
