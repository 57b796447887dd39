//! How many rows and bytes a scan is likely to give: what the planner decides join sides by.

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::logical_expr::{Expr, Operator};

use crate::connector::Lookup;
use crate::filter::Filter;
use crate::scan::Scan;
use crate::statistics::{SourceEstimate, TableStatistics};

/// Share of rows assumed for an equality on a column without a distinct count.
const EQUALITY_SHARE: f64 = 0.1;
/// Share of rows assumed for one side of a range.
const RANGE_SHARE: f64 = 0.33;
/// Share of rows assumed for a condition that says nothing.
const DEFAULT_SHARE: f64 = 0.5;
/// What a row that a key finds beside others costs, in rows of a scan: an index leads to each by itself. Measured with MariaDB:
/// 80 rows for each key of a secondary index took 7 to 8 rows' time each, 4 for each of a primary key's beginning 10.
const FOUND_ROW_COST: f64 = 6.0;

/// The statistics of `scan`'s output, by what its source expects where that is known. Unknown rows stay unknown.
pub(crate) fn scan_statistics(
    table: &TableStatistics,
    scan: &Scan,
    source: Option<&SourceEstimate>,
) -> Statistics {
    let mut statistics = Statistics::new_unknown(&scan.projected_schema());
    let rows = match source {
        Some(source) => Some(source_rows(table, scan, source)),
        None => scan_rows(table, scan),
    };
    let Some(estimate) = rows else {
        return statistics;
    };
    statistics.num_rows = Precision::Inexact(estimate);
    if let Some(row_bytes) = table.row_bytes {
        let width = projected_width(row_bytes, scan);
        statistics.total_byte_size = Precision::Inexact(estimate.saturating_mul(width.max(1)));
    }
    for (column, &index) in statistics.column_statistics.iter_mut().zip(&scan.projection) {
        *column = column_statistics(table, index, estimate);
    }
    statistics
}

/// About how many rows `scan` gives, by its filters and its limit; unknown rows stay unknown.
pub fn scan_rows(table: &TableStatistics, scan: &Scan) -> Option<usize> {
    let shares = scan
        .filters
        .iter()
        .map(|filter| share(filter.filter.expr(), table, scan));
    let rows = scale(table.rows?, shares.product());
    Some(scan.limit.map_or(rows, |limit| rows.min(limit)))
}

/// About how many rows `scan` gives, when its source expects `source` of it.
fn source_rows(table: &TableStatistics, scan: &Scan, source: &SourceEstimate) -> usize {
    let is_counted = |filter: &Filter| {
        let mut columns = filter.expr().column_refs().into_iter();
        columns.all(|column| {
            let index = scan.schema.index_of(column.name());
            index.is_ok_and(|index| source.columns.contains(&index))
        })
    };
    let others = scan.filters.iter().filter(|filter| !is_counted(&filter.filter));
    let shares = others.map(|filter| share(filter.filter.expr(), table, scan));
    let rows = scale(source.rows, shares.product());
    scan.limit.map_or(rows, |limit| rows.min(limit))
}

/// What looking up one of `key` costs in rows of a scan that gives `rows`: what the source says, and what each row beyond the
/// first does that a key is expected to find. A column whose values nobody has counted is believed to tell rows apart.
pub(crate) fn key_cost_rows(
    lookup: &dyn Lookup,
    key: usize,
    table: &TableStatistics,
    rows: Option<usize>,
) -> f64 {
    let columns = lookup.keys().get(key).into_iter().flatten();
    let values = columns.filter_map(|&column| distinct(table, column)).max();
    let found = match rows.zip(values) {
        Some((rows, values)) => count(rows) / u64_to_f64(values),
        None => 1.0,
    };
    lookup.key_cost_rows() + FOUND_ROW_COST * (found - 1.0).max(0.0)
}

/// How many keys that cost `key_cost` rows each cost as much as the scan of `rows`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; `as` saturates"
)]
pub(crate) fn keys_worth(rows: usize, key_cost: f64) -> usize {
    (count(rows) / key_cost.max(f64::MIN_POSITIVE)) as usize
}

/// `rows` as what costs are computed of.
pub(crate) fn count(rows: usize) -> f64 {
    u64_to_f64(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// The part of a row's bytes that is in the projected columns: types of fixed width take theirs, the others share the
/// rest.
fn projected_width(row_bytes: u64, scan: &Scan) -> usize {
    let row_bytes = usize::try_from(row_bytes).unwrap_or(usize::MAX);
    let width = |index: usize| scan.schema.fields().get(index)?.data_type().primitive_width();
    let all = 0..scan.schema.fields().len();
    let fixed: usize = all.clone().filter_map(width).sum();
    let others = all.filter(|&index| width(index).is_none()).count();
    let share = row_bytes.saturating_sub(fixed) / others.max(1);
    let projected = scan.projection.iter().map(|&index| width(index).unwrap_or(share));
    projected.fold(0, usize::saturating_add)
}

fn column_statistics(table: &TableStatistics, index: usize, rows: usize) -> ColumnStatistics {
    let mut column = ColumnStatistics::new_unknown();
    if let Some(distinct) = distinct(table, index) {
        let distinct = usize::try_from(distinct).unwrap_or(usize::MAX);
        column.distinct_count = Precision::Inexact(distinct.min(rows));
    }
    column
}

fn distinct(table: &TableStatistics, index: usize) -> Option<u64> {
    table
        .columns
        .get(index)?
        .distinct
        .filter(|&distinct| distinct > 0)
}

/// The share of rows that passes `expr`, between 0 and 1.
fn share(expr: &Expr, table: &TableStatistics, scan: &Scan) -> f64 {
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And => share(&binary.left, table, scan) * share(&binary.right, table, scan),
            Operator::Or => (share(&binary.left, table, scan) + share(&binary.right, table, scan)).min(1.0),
            Operator::Eq => equality_share(&[&binary.left, &binary.right], table, scan),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => RANGE_SHARE,
            Operator::NotEq | Operator::IsDistinctFrom => 1.0,
            _ => DEFAULT_SHARE,
        },
        Expr::InList(list) if !list.negated => {
            let items = u32::try_from(list.list.len()).unwrap_or(u32::MAX);
            (equality_share(&[&list.expr], table, scan) * f64::from(items)).min(1.0)
        }
        Expr::Between(between) if !between.negated => RANGE_SHARE * RANGE_SHARE,
        Expr::IsNull(_) | Expr::Like(_) => EQUALITY_SHARE,
        Expr::IsNotNull(_) | Expr::InList(_) => 1.0,
        Expr::Not(inner) => 1.0 - share(inner, table, scan),
        _ => DEFAULT_SHARE,
    }
}

fn equality_share(sides: &[&Expr], table: &TableStatistics, scan: &Scan) -> f64 {
    let column = sides.iter().find_map(|side| match side {
        Expr::Column(column) => scan.schema.index_of(&column.name).ok(),
        _ => None,
    });
    match column.and_then(|index| distinct(table, index)) {
        Some(distinct) => 1.0 / u64_to_f64(distinct),
        None => EQUALITY_SHARE,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate needs no more than 53 bits"
)]
fn u64_to_f64(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a finite share of a count; `as` saturates"
)]
fn scale(rows: u64, share: f64) -> usize {
    ((u64_to_f64(rows) * share).ceil() as usize).max(usize::from(rows > 0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::{col, lit};

    use super::*;
    use crate::filter::Pushdown;
    use crate::scan::ScanFilter;

    #[test]
    fn what_the_source_expects_counts_for_its_columns() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let filter = |expr: Expr| ScanFilter {
            filter: Filter::new(&expr),
            pushdown: Pushdown::exact("compares alike"),
        };
        let scan = Scan {
            schema: Arc::new(Schema::new(vec![field("id"), field("other")])),
            projection: vec![0],
            filters: vec![
                filter(col("id").gt(lit(5_i64))),
                filter(col("other").eq(lit(1_i64))),
            ],
            limit: None,
        };
        let table = TableStatistics {
            rows: Some(100_000),
            ..TableStatistics::default()
        };
        let rows = |source: Option<SourceEstimate>| {
            let statistics = scan_statistics(&table, &scan, source.as_ref());
            statistics.num_rows.get_value().copied()
        };
        let expected = |rows, columns: &[usize]| {
            Some(SourceEstimate {
                rows,
                columns: columns.to_vec(),
            })
        };
        assert_eq!(rows(None), Some(3_300));
        assert_eq!(rows(expected(50, &[0])), Some(5));
        assert_eq!(rows(expected(50, &[0, 1])), Some(50));
        assert_eq!(rows(expected(0, &[0, 1])), Some(0));
    }

    #[test]
    fn wide_columns_have_the_bytes_that_others_leave() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            field("id", DataType::Int64),
            field("small", DataType::Int16),
            field("note", DataType::Utf8View),
            field("picture", DataType::BinaryView),
        ]);
        let width = |projection: Vec<usize>, row_bytes| {
            let scan = Scan {
                schema: Arc::new(schema.clone()),
                projection,
                filters: Vec::new(),
                limit: None,
            };
            projected_width(row_bytes, &scan)
        };
        assert_eq!(width(vec![0, 1], 1_010), 10);
        assert_eq!(width(vec![2], 1_010), 500);
        assert_eq!(width(vec![0, 1, 2, 3], 1_010), 1_010);
        assert_eq!(width(vec![], 1_010), 0);
        assert_eq!(
            width(vec![3], 4),
            0,
            "an estimate that is smaller than the fixed columns"
        );
    }
}
