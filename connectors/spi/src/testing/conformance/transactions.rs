//! Transactions: who sees what and when, who waits for whom, and what is left of one that ends otherwise.

use std::time::Duration;

use super::capabilities::{CATALOG, Writes};
use super::report::{ConformanceReport, Outcome, ensure, refused};
use super::suite::Suite;
use super::tables::plain_rows;
use super::written::{begin, keys, of_batches, plain, waiting, writer};
use crate::connector::TableName;
use crate::error::ErrorKind;
use crate::write::WriteTransaction;

/// How long a writer waits that is to be told.
const SHORT: Duration = Duration::from_millis(30);

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    if suite.declared.writes != Writes::Tables {
        return;
    }
    report
        .check("a transaction is seen when it commits", commits(suite))
        .await;
    report
        .check("what is rolled back or dropped was never there", undone(suite))
        .await;
    report
        .check("a second writer waits, and is told", second_writer(suite))
        .await;
    report
        .check("savepoints are as declared", savepoints(suite))
        .await;
}

/// Creates the table `name` with these keys, as part of `transaction`.
pub(super) async fn create(
    transaction: &mut dyn WriteTransaction,
    name: &TableName,
    keys: &[i64],
) -> Outcome {
    transaction.create_table(&plain(name)).await?;
    insert(transaction, name, keys).await
}

pub(super) async fn insert(
    transaction: &mut dyn WriteTransaction,
    name: &TableName,
    keys: &[i64],
) -> Outcome {
    let rows = of_batches(vec![plain_rows(keys)]);
    let inserted = transaction.insert(name, rows).await?;
    ensure(inserted == u64::try_from(keys.len()).unwrap_or(u64::MAX), || {
        format!("{inserted} rows were inserted instead of {}", keys.len())
    })
}

/// Checks the keys of a table as `catalog` shows it; `None`: there is no table.
pub(super) async fn holds(
    catalog: &std::sync::Arc<dyn crate::Connector>,
    name: &TableName,
    wanted: Option<&[i64]>,
) -> Outcome {
    let Some(wanted) = wanted else {
        let found = catalog.table(name).await?;
        return ensure(found.is_none(), || format!("table {name} is there"));
    };
    let found = keys(catalog, name).await?;
    ensure(found == wanted, || {
        format!("table {name} has the keys {found:?} instead of {wanted:?}")
    })
}

async fn commits(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w commits");
    let writer = writer(suite.catalog.as_ref())?;
    let before = writer.snapshot();
    // A snapshot that is not used yet is of the moment of its first use, or of when it was made.
    holds(&before, &name, None).await?;
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &name, &[1, 2]).await?;
    holds(&transaction.snapshot(), &name, Some(&[1, 2])).await?;
    holds(&writer.snapshot(), &name, None).await?;
    holds(&suite.catalog, &name, None).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, Some(&[1, 2])).await?;
    holds(&before, &name, None).await?;

    let kept = writer.snapshot();
    holds(&kept, &name, Some(&[1, 2])).await?;
    let mut transaction = begin(&suite.catalog).await?;
    insert(transaction.as_mut(), &name, &[3]).await?;
    holds(&transaction.snapshot(), &name, Some(&[1, 2, 3])).await?;
    holds(&writer.snapshot(), &name, Some(&[1, 2])).await?;
    transaction.commit().await?;
    let mut transaction = begin(&suite.catalog).await?;
    transaction.drop_table(&name).await?;
    holds(&transaction.snapshot(), &name, None).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, None).await?;
    holds(&kept, &name, Some(&[1, 2])).await
}

async fn undone(suite: &Suite<'_>) -> Outcome {
    let (kept, never) = (suite.name_of("w kept"), suite.name_of("w never"));
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &kept, &[1, 2]).await?;
    transaction.commit().await?;
    for dropped in [true, false] {
        let mut transaction = begin(&suite.catalog).await?;
        create(transaction.as_mut(), &never, &[7]).await?;
        insert(transaction.as_mut(), &kept, &[3]).await?;
        transaction.truncate(&kept).await?;
        holds(&transaction.snapshot(), &kept, Some(&[])).await?;
        if dropped {
            drop(transaction);
        } else {
            transaction.rollback().await?;
        }
        holds(&suite.catalog, &kept, Some(&[1, 2])).await?;
        holds(&suite.catalog, &never, None).await?;
    }
    // A transaction that did nothing.
    begin(&suite.catalog).await?.commit().await?;
    begin(&suite.catalog).await?.rollback().await?;
    holds(&suite.catalog, &kept, Some(&[1, 2])).await
}

async fn second_writer(suite: &Suite<'_>) -> Outcome {
    let writer = writer(suite.catalog.as_ref())?;
    let name = suite.name_of("w waits");
    let mut first = begin(&suite.catalog).await?;
    create(first.as_mut(), &name, &[1]).await?;
    let second = writer.begin(&waiting(Some(SHORT))).await;
    let message = format!("could not obtain the lock on catalog {CATALOG}");
    refused(
        "a second writer",
        second.map(drop),
        ErrorKind::LockTimeout,
        &message,
    )?;
    // Who does not wait any more leaves nothing behind.
    let patient = tokio::time::timeout(SHORT, writer.begin(&waiting(None))).await;
    ensure(patient.is_err(), || "a second writer did not wait".to_owned())?;
    // Readers wait for nobody.
    holds(&suite.catalog, &name, None).await?;
    let context = waiting(None);
    let (committed, next) = tokio::join!(first.commit(), writer.begin(&context));
    committed?;
    let mut next = next?;
    holds(&next.snapshot(), &name, Some(&[1])).await?;
    insert(next.as_mut(), &name, &[2]).await?;
    next.commit().await?;
    holds(&suite.catalog, &name, Some(&[1, 2])).await
}

async fn savepoints(suite: &Suite<'_>) -> Outcome {
    let name = suite.name_of("w savepoints");
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &name, &[1]).await?;
    if !suite.declared.savepoints {
        let found = transaction.savepoint().await;
        let message = "a savepoint after a write is not supported in this catalog";
        refused("a savepoint", found, ErrorKind::NotSupported, message)?;
        transaction.rollback().await?;
        return Ok(());
    }
    let one = transaction.savepoint().await?;
    insert(transaction.as_mut(), &name, &[2]).await?;
    let two = transaction.savepoint().await?;
    insert(transaction.as_mut(), &name, &[3]).await?;
    transaction.rollback_to(two).await?;
    insert(transaction.as_mut(), &name, &[4]).await?;
    transaction.rollback_to(two).await?;
    holds(&transaction.snapshot(), &name, Some(&[1, 2])).await?;
    // After a write that failed, too.
    let failed = insert(transaction.as_mut(), &name, &[5, 1]).await;
    ensure(failed.is_err(), || "a key that is there was inserted".to_owned())?;
    transaction.rollback_to(one).await?;
    holds(&transaction.snapshot(), &name, Some(&[1])).await?;
    insert(transaction.as_mut(), &name, &[6]).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, Some(&[1, 6])).await
}
