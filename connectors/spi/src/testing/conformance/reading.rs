//! Reads of the canonical tables: whole, of each column, of none, in batches of all sizes, with filters and limits.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, col, lit};

use super::capabilities::Filters;
use super::report::{Broken, ConformanceReport, Outcome, ensure, refused};
use super::suite::{Suite, same_rows, scan_of, whole};
use super::tables::{ConformanceTable, KINDS, LONG, REPEATED};
use crate::connector::Table;
use crate::error::ErrorKind;
use crate::filter::{Filter, Verdict};
use crate::scan::{ReadContext, Scan, ScanFilter, Split};
use crate::testing::ColumnKind;
use crate::testing::compare::Rows;

/// Bytes asked for at once where values are long.
const SMALL_BATCH_BYTES: usize = 64 << 10;

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    for table in &suite.tables {
        let law = format!("table {} is read as it was loaded", table.name);
        report.check(&law, read_whole(suite, table)).await;
        let law = format!("each projection of table {} is read", table.name);
        report.check(&law, projections(suite, table)).await;
        let law = format!("table {} is read in batches of any size", table.name);
        report.check(&law, batches(suite, table)).await;
    }
    report
        .check("batches of long values are small", long_values(suite))
        .await;
    report
        .check("filters are pushed as declared", filters(suite))
        .await;
    report.check("limits end reads as declared", limits(suite)).await;
    report
        .check("what is read natively is not read otherwise", native(suite))
        .await;
}

async fn read_whole(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    let scan = whole(table.as_ref());
    let splits = table.splits(&scan).await?;
    let numbers: Vec<usize> = splits.iter().map(|split| split.index).collect();
    ensure(
        !splits.is_empty() && numbers.iter().copied().eq(0..splits.len()),
        || format!("the splits have the numbers {numbers:?}"),
    )?;
    let remote = table.remote_text(&scan);
    ensure(!remote.is_empty(), || "nothing is said to be sent".to_owned())?;
    suite.reads(&table, &scan, canonical.rows()).await?;
    // A table is loaded once and read often.
    suite.reads(&table, &scan, canonical.rows()).await
}

async fn projections(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    let width = table.schema().fields().len();
    let mut projections: Vec<Vec<usize>> = (0..width).map(|column| vec![column]).collect();
    projections.push((0..width).rev().collect());
    projections.push((0..width).step_by(2).collect());
    projections.push(vec![width - 1, 0]);
    projections.push(Vec::new());
    for projection in projections {
        let scan = scan_of(table.as_ref(), projection);
        let found = suite.reads(&table, &scan, canonical.rows()).await;
        found.map_err(|Broken(found)| Broken(format!("columns {:?}: {found}", scan.projection)))?;
    }
    Ok(())
}

async fn batches(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    if table.native().is_some() {
        return Ok(());
    }
    let width = table.schema().fields().len();
    for projection in [(0..width).collect(), Vec::new()] {
        let scan = scan_of(table.as_ref(), projection);
        for batch_rows in [1, 7, 100] {
            let cx = ReadContext {
                batch_rows,
                ..ReadContext::detached()
            };
            let found = suite.read(&table, &scan, &cx).await?;
            let largest = found.iter().map(RecordBatch::num_rows).max().unwrap_or(0);
            ensure(largest <= batch_rows, || {
                format!("a batch has {largest} rows where {batch_rows} were asked for")
            })?;
            same_rows(&scan, &found, &canonical.rows().project(&scan.projection)?)?;
        }
    }
    Ok(())
}

async fn long_values(suite: &Suite<'_>) -> Outcome {
    let table = suite.table(LONG).await?;
    if table.native().is_some() {
        return Ok(());
    }
    let cx = ReadContext {
        batch_bytes: SMALL_BATCH_BYTES,
        ..ReadContext::detached()
    };
    let scan = whole(table.as_ref());
    let found = suite.read(&table, &scan, &cx).await?;
    same_rows(&scan, &found, suite.canonical(LONG)?.rows())?;
    // Each value is longer than a batch should be, so that a batch holds one row, or two where the first did not fill it.
    let largest = found.iter().map(RecordBatch::num_rows).max().unwrap_or(0);
    ensure(largest <= 2, || {
        format!("a batch holds {largest} rows, each of more bytes than a batch")
    })
}

/// Filters on the key, and on an integer that is none.
async fn filters(suite: &Suite<'_>) -> Outcome {
    let canonical = suite.canonical(KINDS)?;
    let table = suite.table(KINDS).await?;
    let declared = suite.declared.filters;
    let key = ScalarValue::try_from_array(canonical.rows().column(0), 3)?;
    let on_key = col("id").eq(lit(key));
    filter(suite, &table, canonical.rows(), on_key, declared != Filters::None).await?;
    let integer = suite
        .declared
        .kinds
        .iter()
        .find(|kind| matches!(kind, ColumnKind::Integer { bits: 32 | 64 }));
    let Some(integer) = integer else {
        return ensure(declared != Filters::Columns, || {
            "there are no integers to filter by".to_owned()
        });
    };
    let value = ScalarValue::Int64(Some(7)).cast_to(&integer.data_type())?;
    let on_column = col(integer.word()).gt(lit(value));
    filter(
        suite,
        &table,
        canonical.rows(),
        on_column,
        declared == Filters::Columns,
    )
    .await?;
    // Nobody decides what nobody knows.
    let variable = Field::new("v", DataType::Int64, true);
    let variable = Expr::ScalarVariable(Arc::new(variable), vec!["@v".to_owned()]);
    let verdict = table.pushdown(&Filter::new(&col("id").eq(variable)));
    ensure(
        verdict.verdict != Verdict::Exact && !verdict.reason.is_empty(),
        || format!("a filter of an unknown kind is {verdict:?}"),
    )
}

async fn filter(
    suite: &Suite<'_>,
    table: &Arc<dyn Table>,
    rows: &RecordBatch,
    expr: Expr,
    is_pushed: bool,
) -> Outcome {
    let filter = Filter::new(&expr);
    let pushdown = table.pushdown(&filter);
    ensure(!pushdown.reason.is_empty(), || format!("no reason for {filter}"))?;
    ensure((pushdown.verdict != Verdict::Declined) == is_pushed, || {
        format!("filter {filter} is {:?}: {}", pushdown.verdict, pushdown.reason)
    })?;
    if !is_pushed {
        return Ok(());
    }
    let verdict = pushdown.verdict;
    let scan = Scan {
        filters: vec![ScanFilter { filter, pushdown }],
        ..whole(table.as_ref())
    };
    let schema = DFSchema::try_from(rows.schema())?;
    let passes = suite.context.create_physical_expr(expr, &schema)?;
    let mask = passes.evaluate(rows)?.into_array(rows.num_rows())?;
    let mask = mask.as_any().downcast_ref::<BooleanArray>();
    let mask = mask.ok_or_else(|| Broken("a filter is not boolean".to_owned()))?;
    let wanted = filter_record_batch(rows, mask)?;
    let found = suite.read(table, &scan, &ReadContext::detached()).await?;
    if verdict == Verdict::Exact {
        return same_rows(&scan, &found, &wanted);
    }
    let found = Rows::new(&scan.projected_schema(), &found)?;
    let wanted = Rows::new(&wanted.schema(), &[wanted])?;
    match wanted.outside(&found, "rows that the filter lost") {
        None => Ok(()),
        Some(lost) => Err(Broken(lost)),
    }
}

async fn limits(suite: &Suite<'_>) -> Outcome {
    for name in [KINDS, REPEATED] {
        let canonical = suite.canonical(name)?;
        let table = suite.table(name).await?;
        let all = canonical.rows().num_rows();
        for limit in [1, 2, 50, all, all + 1] {
            let scan = Scan {
                limit: Some(limit),
                ..whole(table.as_ref())
            };
            let splits = table.splits(&scan).await?.len();
            let found = suite.read(&table, &scan, &ReadContext::detached()).await?;
            let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
            let most = if suite.declared.limits {
                limit * splits
            } else {
                all
            };
            let least = if suite.declared.limits {
                limit.min(all)
            } else {
                all
            };
            ensure((least..=most.min(all)).contains(&rows), || {
                format!("{rows} rows of {all} in {splits} splits with a limit of {limit}")
            })?;
            let found = Rows::new(&scan.projected_schema(), &found)?;
            let whole = Rows::new(&canonical.schema(), std::slice::from_ref(canonical.rows()))?;
            if let Some(extra) = found.outside(&whole, "rows that are not of the table") {
                return Err(Broken(extra));
            }
        }
    }
    Ok(())
}

async fn native(suite: &Suite<'_>) -> Outcome {
    let table = suite.table(KINDS).await?;
    if table.native().is_none() {
        return Ok(());
    }
    let scan = whole(table.as_ref());
    let read = table.read(&scan, &Split::whole(), &ReadContext::detached()).await;
    let message = format!("table {} is read by its own scan", table.name());
    refused(
        "reading it by the leaf",
        read.map(drop),
        ErrorKind::Internal,
        &message,
    )
}
