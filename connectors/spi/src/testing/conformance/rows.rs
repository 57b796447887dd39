//! Rows that come, change and go, by their keys and their locators.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewArray, RecordBatch};
use futures::{StreamExt, stream};

use super::capabilities::Writes;
use super::report::{Broken, ConformanceReport, Outcome, ensure, refused};
use super::suite::{Suite, same_rows, whole};
use super::tables::{EMPTY, KINDS, REPEATED, plain_rows};
use super::transactions::{create, holds, insert};
use super::written::{all_rows, begin, of_batches, plain, stream_of};
use crate::connector::TableName;
use crate::error::{ConnectorError, ErrorKind};
use crate::scan::ReadContext;
use crate::write::{WriteTransaction, updated_schema};

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    match suite.declared.writes {
        Writes::None => return,
        Writes::Rows => {
            report
                .check("rows of described tables come and go", described(suite))
                .await;
            return;
        }
        Writes::Tables => {}
    }
    report.check("a key comes once", duplicate_keys(suite)).await;
    report
        .check("an error of the rows ends the write as it is", broken_rows(suite))
        .await;
    report
        .check("rows are replaced by their locators", updates(suite))
        .await;
    report
        .check("rows are deleted by their locators", deletes(suite))
        .await;
    report
        .check("each row of a table without a key is one", repeated(suite))
        .await;
    report
        .check("a write reads what was there before it", own_rows(suite))
        .await;
    report
        .check("rows of each kind are replaced", every_kind(suite))
        .await;
}

/// Inserts that end in a duplicate key, within a batch, between batches and beside what is there.
async fn duplicate_keys(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w keys");
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &name, &[1, 2]).await?;
    transaction.commit().await?;
    let cases = [
        (vec![plain_rows(&[3, 2])], 2),
        (vec![plain_rows(&[3, 3])], 3),
        (vec![plain_rows(&[3]), plain_rows(&[4]), plain_rows(&[3])], 3),
    ];
    for (batches, key) in cases {
        let mut transaction = begin(&suite.catalog).await?;
        let inserted = transaction.insert(&name, of_batches(batches)).await;
        is_duplicate(inserted, &name, key)?;
        transaction.rollback().await?;
        holds(&suite.catalog, &name, Some(&[1, 2])).await?;
    }
    Ok(())
}

fn is_duplicate(done: crate::Result<u64>, name: &TableName, key: i64) -> Outcome {
    let detail = done
        .as_ref()
        .err()
        .and_then(|error| error.detail_text().map(str::to_owned));
    let message = format!(
        "duplicate key value violates unique constraint \"{}_pkey\"",
        name.table
    );
    refused("a duplicate key", done, ErrorKind::DuplicateKey, &message)?;
    let wanted = format!("Key (id)=({key}) already exists.");
    ensure(detail.as_deref() == Some(&wanted), || {
        format!("the detail is {detail:?} instead of {wanted:?}")
    })
}

async fn broken_rows(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w broken");
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &name, &[1]).await?;
    transaction.commit().await?;
    let mut transaction = begin(&suite.catalog).await?;
    let gone = ConnectorError::new(ErrorKind::Unavailable, "the other source is gone");
    let rows = stream::iter([Ok(plain_rows(&[2])), Err(gone)]).boxed();
    let inserted = transaction.insert(&name, rows).await;
    refused(
        "a stream that breaks",
        inserted,
        ErrorKind::Unavailable,
        "the other source is gone",
    )?;
    drop(transaction);
    holds(&suite.catalog, &name, Some(&[1])).await
}

/// The rows of `table` with their locators, which tell them apart.
async fn target(
    transaction: &dyn WriteTransaction,
    table: &TableName,
) -> Result<(RecordBatch, BinaryViewArray), Broken> {
    let target = transaction.target(table).await?;
    let columns = super::suite::table_in(&transaction.snapshot(), table)
        .await?
        .schema();
    let wanted = updated_schema(&columns);
    ensure(target.schema() == wanted, || {
        format!("the target has the columns {:?}", target.schema())
    })?;
    let rows = all_rows(&target).await?;
    let locators = rows
        .columns()
        .last()
        .and_then(|column| column.as_any().downcast_ref::<BinaryViewArray>());
    let locators = locators
        .cloned()
        .ok_or_else(|| Broken("locators are no bytes".to_owned()))?;
    let distinct: HashSet<Option<&[u8]>> = locators.iter().collect();
    ensure(
        distinct.len() == rows.num_rows() && !distinct.contains(&None),
        || "locators do not tell rows apart".to_owned(),
    )?;
    Ok((rows, locators))
}

/// The rows of an update: `values` in the places of the rows with `locators`.
fn updated(values: &RecordBatch, locators: &BinaryViewArray) -> Result<RecordBatch, Broken> {
    let mut columns: Vec<ArrayRef> = values.columns().to_vec();
    columns.push(Arc::new(locators.clone()));
    Ok(RecordBatch::try_new(updated_schema(&values.schema()), columns)?)
}

fn keys_of(rows: &RecordBatch) -> Result<Vec<i64>, Broken> {
    let keys = rows.column(0).as_any().downcast_ref::<arrow::array::Int64Array>();
    let keys = keys.ok_or_else(|| Broken("the key is no bigint".to_owned()))?;
    Ok(keys.values().to_vec())
}

async fn updates(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w updates");
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &name, &[1, 2, 3, 4]).await?;
    // Each key moves to the next one's place: none is there twice when all have moved.
    let (rows, locators) = target(transaction.as_ref(), &name).await?;
    let moved: Vec<i64> = keys_of(&rows)?.iter().map(|key| key % 4 + 1).collect();
    let batch = updated(&plain_rows(&moved), &locators)?;
    let done = transaction
        .update(&name, of_batches(vec![batch.slice(0, 1), batch.slice(1, 3)]))
        .await?;
    ensure(done == 4, || format!("{done} rows were updated instead of 4"))?;
    holds(&transaction.snapshot(), &name, Some(&[1, 2, 3, 4])).await?;
    transaction.commit().await?;

    let mut transaction = begin(&suite.catalog).await?;
    let (rows, locators) = target(transaction.as_ref(), &name).await?;
    let first = keys_of(&rows)?.first().copied().unwrap_or_default();
    let batch = updated(&plain_rows(&[9]), &locators.slice(0, 1))?;
    transaction.update(&name, of_batches(vec![batch])).await?;
    let mut wanted: Vec<i64> = [1, 2, 3, 4, 9].into_iter().filter(|key| *key != first).collect();
    wanted.sort_unstable();
    holds(&transaction.snapshot(), &name, Some(&wanted)).await?;
    let none = transaction.update(&name, of_batches(Vec::new())).await?;
    ensure(none == 0, || format!("{none} rows of none were updated"))?;
    transaction.commit().await?;

    let mut transaction = begin(&suite.catalog).await?;
    let (rows, locators) = target(transaction.as_ref(), &name).await?;
    let keys = keys_of(&rows)?;
    let (first, second) = (keys.first().copied(), keys.get(1).copied());
    let batch = updated(&plain_rows(&[second.unwrap_or_default()]), &locators.slice(0, 1))?;
    let done = transaction.update(&name, of_batches(vec![batch])).await;
    is_duplicate(done, &name, second.unwrap_or_default())?;
    transaction.rollback().await?;
    ensure(first.is_some(), || "there are no rows".to_owned())?;
    holds(&suite.catalog, &name, Some(&wanted)).await
}

async fn deletes(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w deletes");
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &name, &[1, 2, 3]).await?;
    let (rows, locators) = target(transaction.as_ref(), &name).await?;
    let kept = keys_of(&rows)?.get(1).copied().unwrap_or_default();
    let done = transaction
        .delete(
            &name,
            of_batches(vec![
                located(&locators.slice(0, 1))?,
                located(&locators.slice(2, 1))?,
            ]),
        )
        .await?;
    ensure(done == 2, || format!("{done} rows were deleted instead of 2"))?;
    holds(&transaction.snapshot(), &name, Some(&[kept])).await?;
    insert(transaction.as_mut(), &name, &[7]).await?;
    transaction.truncate(&name).await?;
    holds(&transaction.snapshot(), &name, Some(&[])).await?;
    insert(transaction.as_mut(), &name, &[8]).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, Some(&[8])).await?;

    let transaction = begin(&suite.catalog).await?;
    let missing = suite.name_of("no such table");
    let found = transaction.target(&missing).await;
    let message = format!("table {missing} does not exist");
    refused(
        "the target of no table",
        found.map(drop),
        ErrorKind::UnknownTable,
        &message,
    )?;
    transaction.rollback().await?;
    Ok(())
}

fn located(locators: &BinaryViewArray) -> Result<RecordBatch, Broken> {
    let schema = updated_schema(&arrow::datatypes::Schema::empty());
    Ok(RecordBatch::try_new(schema, vec![Arc::new(locators.clone())])?)
}

/// Of rows that are equal, one is deleted.
async fn repeated(suite: &Suite<'_>) -> Outcome {
    let canonical = suite.canonical(REPEATED)?;
    if !canonical.primary_key.is_empty() {
        return Ok(());
    }
    let name = suite.name_of(REPEATED);
    let mut transaction = begin(&suite.catalog).await?;
    let (rows, locators) = target(transaction.as_ref(), &name).await?;
    let deleted = transaction
        .delete(&name, of_batches(vec![located(&locators.slice(0, 1))?]))
        .await?;
    ensure(deleted == 1, || {
        format!("{deleted} rows were deleted instead of one")
    })?;
    let table = super::suite::table_in(&transaction.snapshot(), &name).await?;
    let found = all_rows(&table).await?;
    let width = found.num_columns();
    let wanted = rows
        .slice(1, rows.num_rows() - 1)
        .project(&(0..width).collect::<Vec<_>>())?;
    let scan = whole(table.as_ref());
    same_rows(&scan, &[found], &wanted)?;
    transaction.rollback().await?;
    Ok(())
}

/// The rows that a statement inserts come from the table that it inserts into.
async fn own_rows(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w own");
    let keyless = crate::TableDefinition {
        primary_key: Vec::new(),
        ..plain(&name)
    };
    let mut transaction = begin(&suite.catalog).await?;
    transaction.create_table(&keyless).await?;
    insert(transaction.as_mut(), &name, &[1, 2, 3, 4, 5]).await?;
    let rows = stream_of(&transaction.snapshot(), &name).await?;
    let inserted = transaction.insert(&name, rows).await?;
    ensure(inserted == 5, || {
        format!("{inserted} rows were inserted instead of 5")
    })?;
    let twice = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5];
    holds(&transaction.snapshot(), &name, Some(&twice)).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, Some(&twice)).await
}

/// All rows of the table of all kinds get those of the next ones, and go into a table that was empty.
async fn every_kind(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of(KINDS);
    let mut transaction = begin(&suite.catalog).await?;
    let (rows, locators) = target(transaction.as_ref(), &name).await?;
    let width = rows.num_columns() - 1;
    let values = rows.project(&(0..width).collect::<Vec<_>>())?;
    let last = values.num_rows() - 1;
    let shifted =
        arrow::compute::concat_batches(&values.schema(), &[values.slice(1, last), values.slice(0, 1)])?;
    let done = transaction
        .update(&name, of_batches(vec![updated(&shifted, &locators)?]))
        .await?;
    ensure(usize::try_from(done) == Ok(values.num_rows()), || {
        format!("{done} rows were updated")
    })?;
    let empty = suite.name_of(EMPTY);
    let copied = stream_of(&transaction.snapshot(), &name).await?;
    transaction.insert(&empty, copied).await?;
    for name in [&name, &empty] {
        let table = super::suite::table_in(&transaction.snapshot(), name).await?;
        let found = all_rows(&table).await?;
        same_rows(&whole(table.as_ref()), &[found], suite.canonical(KINDS)?.rows())?;
    }
    transaction.rollback().await?;
    Ok(())
}

/// A source whose tables the configuration describes: rows come and go, and everything else is refused.
async fn described(suite: &Suite<'_>) -> Outcome {
    let (from, name) = (suite.name_of(KINDS), suite.name_of(EMPTY));
    let mut transaction = begin(&suite.catalog).await?;
    let rows = stream_of(&suite.catalog, &from).await?;
    let inserted = transaction.insert(&name, rows).await?;
    let canonical = suite.canonical(KINDS)?.rows();
    ensure(usize::try_from(inserted) == Ok(canonical.num_rows()), || {
        format!("{inserted} rows were inserted")
    })?;
    transaction.commit().await?;
    let table = suite.table(EMPTY).await?;
    let found = suite
        .read(&table, &whole(table.as_ref()), &ReadContext::detached())
        .await?;
    same_rows(&whole(table.as_ref()), &found, canonical)?;

    let mut transaction = begin(&suite.catalog).await?;
    let (_, locators) = target(transaction.as_ref(), &name).await?;
    let deleted = transaction
        .delete(&name, of_batches(vec![located(&locators.slice(0, 3))?]))
        .await?;
    ensure(deleted == 3, || {
        format!("{deleted} rows were deleted instead of 3")
    })?;
    transaction.truncate(&name).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, Some(&[])).await?;
    refuses_described(suite, &from).await
}

async fn refuses_described(suite: &Suite<'_>, name: &TableName) -> Outcome {
    let kind = ErrorKind::NotSupported;
    let message =
        |what: &str| format!("{what} table {name} is not supported: the configuration describes it");
    let mut transaction = begin(&suite.catalog).await?;
    let updated = transaction.update(name, of_batches(Vec::new())).await;
    refused("an update", updated, kind, &message("updating"))?;
    let dropped = transaction.drop_table(name).await;
    refused("a drop", dropped, kind, &message("dropping"))?;
    let renamed = transaction.rename_table(name, "other").await;
    refused("a new name", renamed, kind, &message("renaming"))?;
    let renamed = transaction.rename_column(name, 1, "other").await;
    refused(
        "a column's new name",
        renamed,
        kind,
        &message("renaming a column of"),
    )?;
    transaction.rollback().await?;
    Ok(())
}
