//! Statistics: what is called exact is exact, whether the leaf or DataFusion's own scan says it.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use datafusion::catalog::TableProvider;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::capabilities::RowCounts;
use super::report::{ConformanceReport, Outcome, ensure};
use super::suite::Suite;
use super::tables::ConformanceTable;
use crate::settings::ScanSettings;
use crate::source_table::{ScanNotes, SourceTable};

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    for table in &suite.tables {
        let law = format!("what is known of table {}'s size is as declared", table.name);
        report.check(&law, estimates(suite, table)).await;
        let law = format!("what is exact of table {} is true", table.name);
        report.check(&law, exactness(suite, table)).await;
    }
}

async fn estimates(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    let statistics = table.statistics();
    let rows = u64::try_from(canonical.rows().num_rows()).unwrap_or(u64::MAX);
    let known = match suite.declared.row_counts {
        RowCounts::Unknown => statistics.rows.is_none(),
        RowCounts::Estimated => true,
        RowCounts::Exact => statistics.rows == Some(rows),
    };
    ensure(known, || {
        format!(
            "it has {rows} rows, {:?} are known, and that is declared to be {:?}",
            statistics.rows, suite.declared.row_counts
        )
    })?;
    let (columns, width) = (statistics.columns.len(), table.schema().fields().len());
    ensure(columns == 0 || columns == width, || {
        format!("there are estimates of {columns} columns, and {width} columns")
    })
}

async fn exactness(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    let width = table.schema().fields().len();
    for projection in [(0..width).collect(), vec![width - 1], Vec::new()] {
        let provider: Arc<dyn TableProvider> = Arc::new(SourceTable::new(
            Arc::clone(&table),
            ScanSettings::default(),
            Arc::new(ScanNotes::default()),
        ));
        let state = suite.context.state();
        let plan = provider.scan(&state, Some(&projection), &[], None).await?;
        let context = StatisticsContext::new();
        let statistics = context.compute(plan.as_ref(), &StatisticsArgs::new())?;
        true_of(&statistics, &canonical.rows().project(&projection)?)?;
    }
    Ok(())
}

/// Checks every exact value of `statistics` against the rows.
fn true_of(statistics: &Statistics, rows: &RecordBatch) -> Outcome {
    if let Precision::Exact(count) = statistics.num_rows {
        ensure(count == rows.num_rows(), || {
            format!("exactly {count} rows instead of {}", rows.num_rows())
        })?;
    }
    let columns = statistics.column_statistics.iter().zip(rows.columns());
    for (index, (column, array)) in columns.enumerate() {
        of_column(column, array.as_ref(), rows.schema().field(index).name())?;
    }
    Ok(())
}

fn of_column(column: &ColumnStatistics, array: &dyn Array, name: &str) -> Outcome {
    if let Precision::Exact(nulls) = column.null_count {
        ensure(nulls == array.null_count(), || {
            format!(
                "column {name} has exactly {nulls} NULLs instead of {}",
                array.null_count()
            )
        })?;
    }
    if let Precision::Exact(value) = &column.min_value {
        let mut least = MinAccumulator::try_new(array.data_type())?;
        least.update_batch(&[arrow::array::make_array(array.to_data())])?;
        is_value(value, &least.evaluate()?, name, "least")?;
    }
    if let Precision::Exact(value) = &column.max_value {
        let mut greatest = MaxAccumulator::try_new(array.data_type())?;
        greatest.update_batch(&[arrow::array::make_array(array.to_data())])?;
        is_value(value, &greatest.evaluate()?, name, "greatest")?;
    }
    Ok(())
}

fn is_value(said: &ScalarValue, found: &ScalarValue, name: &str, which: &str) -> Outcome {
    let typed = said.cast_to(&found.data_type())?;
    ensure(typed == *found, || {
        format!("the {which} value of column {name} is exactly {said} instead of {found}")
    })
}
