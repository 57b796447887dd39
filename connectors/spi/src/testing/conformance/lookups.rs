//! Lookups: rows by each of the keys that a table says it is found by.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::TryStreamExt;

use super::report::{Broken, ConformanceReport, Outcome, ensure};
use super::suite::{Suite, same_rows, scan_of};
use super::tables::{ConformanceTable, KINDS};
use crate::connector::{Lookup, Table};
use crate::scan::ReadContext;
use crate::testing::contract::{distinct_keys, restricted_to};

/// A key that no canonical table has.
const MISSING: i64 = 7_777_777_777;

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    for table in &suite.tables {
        let law = format!("rows of table {} are found by keys as declared", table.name);
        report.check(&law, lookups(suite, table)).await;
    }
    report
        .check("keys that are not there find nothing", missing_keys(suite))
        .await;
}

async fn lookups(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    let Some(lookup) = table.lookup() else {
        let wanted = suite.declared.lookups && !canonical.primary_key.is_empty();
        return ensure(!wanted, || "there is no lookup".to_owned());
    };
    ensure(suite.declared.lookups, || {
        "there is a lookup, which is not declared".to_owned()
    })?;
    let keys = lookup.keys();
    ensure(
        canonical.primary_key.is_empty() || keys.contains(&canonical.primary_key),
        || format!("the keys {keys:?} are without the primary key"),
    )?;
    let cost = lookup.key_cost_rows();
    ensure(cost.is_finite() && cost > 0.0, || {
        format!("a key costs as much as {cost} rows")
    })?;
    for key in 0..keys.len() {
        by_key(table.as_ref(), lookup, key, canonical).await?;
    }
    Ok(())
}

/// All rows, the first and the last of them by one key, in several projections.
async fn by_key(table: &dyn Table, lookup: &dyn Lookup, key: usize, canonical: &ConformanceTable) -> Outcome {
    let columns = lookup.keys().get(key).cloned().unwrap_or_default();
    let width = table.schema().fields().len();
    ensure(
        !columns.is_empty() && columns.iter().all(|column| *column < width),
        || format!("key {key} has the columns {columns:?}"),
    )?;
    let all = distinct_keys(&canonical.rows().project(&columns)?)?;
    let last = all.num_rows().saturating_sub(1);
    for values in [
        all.clone(),
        all.slice(0, 1.min(all.num_rows())),
        all.slice(last, all.num_rows() - last),
    ] {
        if values.num_rows() == 0 {
            continue;
        }
        let wanted = restricted_to(canonical.rows(), &columns, &values)?;
        for projection in [(0..width).rev().collect(), vec![width - 1], Vec::new()] {
            let scan = scan_of(table, projection);
            let cx = ReadContext {
                batch_rows: 50,
                ..ReadContext::detached()
            };
            let stream = lookup.get(&scan, key, values.clone(), &cx).await?;
            let found: Vec<RecordBatch> = stream.try_collect().await?;
            let largest = found.iter().map(RecordBatch::num_rows).max().unwrap_or(0);
            ensure(largest <= cx.batch_rows, || format!("a batch has {largest} rows"))?;
            let same = same_rows(&scan, &found, &wanted.project(&scan.projection)?);
            same.map_err(|Broken(found)| {
                Broken(format!(
                    "{} keys of columns {columns:?}: {found}",
                    values.num_rows()
                ))
            })?;
        }
    }
    Ok(())
}

async fn missing_keys(suite: &Suite<'_>) -> Outcome {
    let table = suite.table(KINDS).await?;
    let Some(lookup) = table.lookup() else {
        return Ok(());
    };
    let Some(key) = lookup.keys().iter().position(|key| *key == [0]) else {
        return Ok(());
    };
    let rows = suite.canonical(KINDS)?.rows();
    let ids: Vec<i64> = match rows.column(0).as_any().downcast_ref::<Int64Array>() {
        Some(ids) => vec![MISSING, ids.value(0), -MISSING],
        None => vec![MISSING],
    };
    let scan = scan_of(table.as_ref(), vec![0]);
    for (ids, found_rows) in [(ids.clone(), ids.len() - 2), (vec![MISSING], 0)] {
        let values: ArrayRef = Arc::new(Int64Array::from(ids));
        let values = RecordBatch::try_new(scan.projected_schema(), vec![values])?;
        let cx = ReadContext::detached();
        let stream = lookup.get(&scan, key, values, &cx).await?;
        let found: Vec<RecordBatch> = stream.try_collect().await?;
        let found: usize = found.iter().map(RecordBatch::num_rows).sum();
        ensure(found == found_rows, || {
            format!("{found} rows instead of {found_rows}")
        })?;
    }
    Ok(())
}
