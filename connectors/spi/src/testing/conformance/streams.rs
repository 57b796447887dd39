//! What a stream costs the source: nothing before it is polled and after it is dropped, and several live side by side.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};

use super::report::{ConformanceReport, Outcome, ensure};
use super::suite::{Suite, same_rows, whole};
use super::tables::{KINDS, LONG};
use crate::connector::Table;
use crate::scan::{BatchStream, ReadContext, Scan};

/// Streams dropped one after another: more than any source has connections.
const DROPPED: usize = 80;
/// Streams open at once: the sides of a join, and what is sorted above them.
const SIDE_BY_SIDE: usize = 3;

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    report
        .check("a stream that is dropped early ends", dropped(suite))
        .await;
    report
        .check("a stream that is never polled costs nothing", unpolled(suite))
        .await;
    report
        .check("streams live side by side", side_by_side(suite))
        .await;
}

/// A stream over the first split, a row at a time.
async fn open(table: &dyn Table, scan: &Scan, cx: &ReadContext) -> crate::Result<BatchStream> {
    let splits = table.splits(scan).await?;
    let first = splits.first().cloned().unwrap_or_default();
    table.read(scan, &first, cx).await
}

fn row_by_row() -> ReadContext {
    ReadContext {
        batch_rows: 1,
        batch_bytes: 1,
        ..ReadContext::detached()
    }
}

async fn dropped(suite: &Suite<'_>) -> Outcome {
    for name in [KINDS, LONG] {
        let table = suite.table(name).await?;
        let scan = whole(table.as_ref());
        if table.native().is_none() {
            for _ in 0..DROPPED {
                let mut stream = open(table.as_ref(), &scan, &row_by_row()).await?;
                let batch = stream.try_next().await?;
                let rows = batch.map(|batch| batch.num_rows());
                ensure(rows == Some(1), || {
                    format!("the first batch of table {name} has {rows:?} rows instead of one")
                })?;
            }
        }
        suite.reads(&table, &scan, suite.canonical(name)?.rows()).await?;
    }
    Ok(())
}

async fn unpolled(suite: &Suite<'_>) -> Outcome {
    let table = suite.table(KINDS).await?;
    let scan = whole(table.as_ref());
    if table.native().is_none() {
        let cx = row_by_row();
        let mut streams = Vec::new();
        for _ in 0..DROPPED {
            streams.push(open(table.as_ref(), &scan, &cx).await?);
        }
        let requests = cx.metrics.requests.value();
        ensure(requests == 0, || {
            format!("{requests} requests were sent for streams that nobody polled")
        })?;
    }
    suite.reads(&table, &scan, suite.canonical(KINDS)?.rows()).await
}

/// Several streams over one table, a batch of each by turns.
async fn side_by_side(suite: &Suite<'_>) -> Outcome {
    let table = suite.table(KINDS).await?;
    if table.native().is_some() {
        return Ok(());
    }
    let scan = whole(table.as_ref());
    let cx = ReadContext {
        batch_rows: 50,
        ..ReadContext::detached()
    };
    let mut open = Vec::new();
    for _ in 0..SIDE_BY_SIDE {
        open.push((streams(&table, &scan, &cx).await?, Vec::<RecordBatch>::new()));
    }
    let mut left = open.len();
    while left > 0 {
        left = 0;
        for (stream, batches) in &mut open {
            if let Some(batch) = stream.next().await {
                batches.push(batch?);
                left += 1;
            }
        }
    }
    for (_, batches) in open {
        same_rows(&scan, &batches, suite.canonical(KINDS)?.rows())?;
    }
    Ok(())
}

/// All splits of a table, one after another.
async fn streams(table: &Arc<dyn Table>, scan: &Scan, cx: &ReadContext) -> crate::Result<BatchStream> {
    let mut all = Vec::new();
    for split in table.splits(scan).await? {
        all.push(table.read(scan, &split, cx).await?);
    }
    Ok(futures::stream::iter(all).flatten().boxed())
}
