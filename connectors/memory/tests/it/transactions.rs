//! What others see of a transaction, who waits for it, and what is left of one that ends otherwise.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BinaryViewArray, RecordBatch};
use causeway_spi::{
    ConnectorError, ErrorKind, ROW_LOCATOR, ViewDefinition, WriteTransaction, updated_schema,
};
use futures::{StreamExt, stream};

use crate::support::{begin, catalog, context, definition, ids, name, one, read, rows, writer};

#[tokio::test]
async fn others_see_a_transaction_when_it_commits_and_snapshots_stay() {
    let catalog = catalog();
    let before = writer(&catalog).snapshot();
    let mut transaction = begin(&catalog).await;
    let table = definition("t");
    transaction.create_table(&table).await.unwrap();
    let inserted = rows(&table.columns, &[(1, "a"), (2, "b")]);
    assert_eq!(transaction.insert(&table.name, one(inserted)).await.unwrap(), 2);
    assert_eq!(ids(&transaction.snapshot(), "t").await, [1, 2]);
    assert!(catalog.table(&table.name).await.unwrap().is_none());
    transaction.commit().await.unwrap();
    assert_eq!(ids(&catalog, "t").await, [1, 2]);
    assert!(before.table(&table.name).await.unwrap().is_none());

    let kept = writer(&catalog).snapshot();
    let mut transaction = begin(&catalog).await;
    transaction.truncate(&table.name).await.unwrap();
    assert_eq!(ids(&transaction.snapshot(), "t").await, [0_i32; 0]);
    drop(transaction);
    assert_eq!(ids(&catalog, "t").await, [1, 2]);
    let mut transaction = begin(&catalog).await;
    transaction.drop_table(&table.name).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(ids(&kept, "t").await, [1, 2]);
}

#[tokio::test]
async fn a_second_writer_waits_and_is_told() {
    let catalog = catalog();
    let first = begin(&catalog).await;
    let wait = context(Some(Duration::from_millis(20)));
    let error = writer(&catalog).begin(&wait).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout);
    first.rollback().await.unwrap();
    writer(&catalog).begin(&wait).await.unwrap();
}

#[tokio::test]
async fn savepoints_undo_in_any_order() {
    let catalog = catalog();
    let mut transaction = begin(&catalog).await;
    let table = definition("t");
    transaction.create_table(&table).await.unwrap();
    insert(transaction.as_mut(), &[1]).await.unwrap();
    let one_row = transaction.savepoint().await.unwrap();
    insert(transaction.as_mut(), &[2]).await.unwrap();
    let two_rows = transaction.savepoint().await.unwrap();
    insert(transaction.as_mut(), &[3]).await.unwrap();
    transaction.rollback_to(two_rows).await.unwrap();
    transaction.rollback_to(two_rows).await.unwrap();
    assert_eq!(ids(&transaction.snapshot(), "t").await, [1, 2]);
    transaction.rollback_to(one_row).await.unwrap();
    assert_eq!(ids(&transaction.snapshot(), "t").await, [1]);
}

#[tokio::test]
async fn a_write_that_fails_has_done_nothing() {
    let catalog = catalog();
    let mut transaction = begin(&catalog).await;
    let table = definition("t");
    transaction.create_table(&table).await.unwrap();
    insert(transaction.as_mut(), &[1, 2]).await.unwrap();
    let error = insert(transaction.as_mut(), &[3, 2]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateKey);
    assert_eq!(error.detail_text(), Some("Key (id)=(2) already exists."));
    let broken = stream::iter([
        Ok(rows(&table.columns, &[(7, "x")])),
        Err(ConnectorError::new(ErrorKind::Source, "the source is gone")),
    ]);
    let error = transaction.insert(&table.name, broken.boxed()).await.unwrap_err();
    assert_eq!(error.message(), "the source is gone");
    assert_eq!(ids(&transaction.snapshot(), "t").await, [1, 2]);
}

#[tokio::test]
async fn rows_are_updated_and_deleted_by_their_locators() {
    let catalog = catalog();
    let mut transaction = begin(&catalog).await;
    let table = definition("t");
    transaction.create_table(&table).await.unwrap();
    insert(transaction.as_mut(), &[1, 2, 3]).await.unwrap();
    let target = transaction.target(&table.name).await.unwrap();
    assert_eq!(target.schema(), updated_schema(&table.columns));
    assert_eq!(target.schema().field(2).name(), ROW_LOCATOR);
    let batch = read(&target).await.remove(0);
    // Every key moves to the next one's place, and the last one to the first's.
    let moved = rows(&table.columns, &[(2, "x"), (3, "y"), (1, "z")]);
    let mut columns: Vec<ArrayRef> = moved.columns().to_vec();
    columns.push(Arc::clone(batch.column(2)));
    let updates = RecordBatch::try_new(updated_schema(&table.columns), columns).unwrap();
    assert_eq!(transaction.update(&table.name, one(updates)).await.unwrap(), 3);
    assert_eq!(ids(&transaction.snapshot(), "t").await, [1, 2, 3]);

    let target = transaction.target(&table.name).await.unwrap();
    let locators = read(&target).await.remove(0).column(2).slice(1, 1);
    assert!(locators.as_any().is::<BinaryViewArray>());
    let schema = updated_schema(&table.columns).project(&[2]).unwrap();
    let deleted = RecordBatch::try_new(Arc::new(schema), vec![locators]).unwrap();
    assert_eq!(transaction.delete(&table.name, one(deleted)).await.unwrap(), 1);
    assert_eq!(ids(&transaction.snapshot(), "t").await, [1, 2]);
}

#[tokio::test]
async fn a_full_catalog_refuses_and_keeps_what_it_has() {
    let catalog = catalog();
    let mut transaction = begin(&catalog).await;
    let table = definition("t");
    transaction.create_table(&table).await.unwrap();
    let text = "x".repeat(1 << 20);
    let mut kept = 0;
    let error = loop {
        let batch = rows(&table.columns, &[(kept, &text)]);
        match transaction.insert(&table.name, one(batch)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 20, "16 MiB hold {kept} texts of 1 MiB");
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(kept > 8, "16 MiB hold {kept} texts of 1 MiB only");
    assert_eq!(
        ids(&transaction.snapshot(), "t").await.len(),
        usize::try_from(kept).unwrap()
    );
}

#[tokio::test]
async fn views_are_kept_and_listed() {
    let catalog = catalog();
    let mut transaction = begin(&catalog).await;
    let table = definition("t");
    transaction.create_table(&table).await.unwrap();
    let view = ViewDefinition {
        sql: "SELECT id FROM mem.public.t".to_owned(),
        columns: Arc::new(table.columns.project(&[0]).unwrap()),
        reads: vec![table.name.clone()],
    };
    transaction.put_view(&name("v"), &view).await.unwrap();
    transaction.rename_table(&name("v"), "w").await.unwrap();
    transaction.rename_column(&table.name, 1, "label").await.unwrap();
    transaction.create_schema("more").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(catalog.schemas().await.unwrap(), ["more", "public"]);
    assert_eq!(catalog.tables("public").await.unwrap(), ["t", "w"]);
    assert_eq!(catalog.views("public").await.unwrap(), ["w"]);
    let found = catalog.table(&name("w")).await.unwrap().unwrap();
    assert_eq!(found.view(), Some(&view));
    let found = catalog.table(&table.name).await.unwrap().unwrap();
    assert_eq!(found.schema().field(1).name(), "label");
    assert_eq!(found.primary_key(), [0]);
}

async fn insert(transaction: &mut dyn WriteTransaction, ids: &[i32]) -> Result<u64, ConnectorError> {
    let table = definition("t");
    let named: Vec<(i32, &str)> = ids.iter().map(|id| (*id, "name")).collect();
    transaction
        .insert(&table.name, one(rows(&table.columns, &named)))
        .await
}
