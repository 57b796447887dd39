//! What a file's footer says about its columns, in the table's types: prunes files before they are opened and tells
//! the planner how large a scan is.
//!
//! `Exact` is used by DataFusion in place of reading (`count`, `min`, a column that holds one value), so it is said
//! only where every row group says so.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::stats::{NdvFallback, Precision};
use datafusion::common::{ColumnStatistics, Result as DataFusionResult, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::parquet_column;
use parquet::file::metadata::RowGroupMetaData;

use crate::footer::Footer;

/// What a footer was found to say, for the last table that asked.
#[derive(Debug, Default)]
pub(crate) struct KnownStatistics(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    file_schema: SchemaRef,
    partition_values: Vec<ScalarValue>,
    statistics: Arc<Statistics>,
}

/// Statistics of a file with rows for all columns of the table: those in the file, then the partition columns.
pub(crate) fn of_file(
    footer: &Footer,
    file_schema: &SchemaRef,
    partition_values: &[ScalarValue],
) -> Arc<Statistics> {
    let mut last = footer.statistics.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = last.as_ref()
        && Arc::ptr_eq(&known.file_schema, file_schema)
        && known.partition_values == partition_values
    {
        return Arc::clone(&known.statistics);
    }
    let mut statistics = from_footer(footer, file_schema);
    add_partition_values(&mut statistics, partition_values);
    let statistics = Arc::new(statistics);
    *last = Some(Known {
        file_schema: Arc::clone(file_schema),
        partition_values: partition_values.to_vec(),
        statistics: Arc::clone(&statistics),
    });
    statistics
}

/// Statistics of a file whose footer is not known: what its partition values say of its rows, if it has any.
pub(crate) fn of_unread(file_schema: &SchemaRef, partition_values: &[ScalarValue]) -> Statistics {
    let mut statistics = Statistics::new_unknown(file_schema);
    add_partition_values(&mut statistics, partition_values);
    statistics
}

fn add_partition_values(statistics: &mut Statistics, values: &[ScalarValue]) {
    for value in values {
        let of_column = of_partition_value(value, &statistics.num_rows);
        statistics.column_statistics.push(of_column);
    }
}

/// Statistics of the rows of `files`; each without a footer has about as many as `guess` says of its bytes.
pub(crate) fn of_group(
    files: &FileGroup,
    schema: &SchemaRef,
    guess: impl Fn(u64) -> Option<u64>,
) -> DataFusionResult<Statistics> {
    let mut different: Vec<&Arc<Statistics>> = Vec::new();
    let mut rows = Precision::Exact(0);
    for file in files.iter() {
        let Some(known) = file.statistics.as_ref() else {
            continue;
        };
        if !different.last().is_some_and(|last| Arc::ptr_eq(last, known)) {
            different.push(known);
        }
        rows = rows.add(&match known.num_rows {
            Precision::Absent => precision(guess(file.object_meta.size), Precision::Inexact),
            known => known,
        });
    }
    merged(different.into_iter().map(Arc::as_ref), rows, schema)
}

/// Statistics of all the rows of `groups`.
pub(crate) fn of_groups(groups: &[FileGroup], schema: &SchemaRef) -> DataFusionResult<Statistics> {
    let groups = groups.iter().filter_map(|group| group.file_statistics(None));
    let rows = groups.clone().map(|group| group.num_rows);
    let rows = rows.fold(Precision::Exact(0), |sum, rows| sum.add(&rows));
    merged(groups, rows, schema)
}

fn merged<'a>(
    parts: impl Iterator<Item = &'a Statistics>,
    rows: Precision<usize>,
    schema: &SchemaRef,
) -> DataFusionResult<Statistics> {
    let mut merged = Statistics::try_merge_iter_with_ndv_fallback(parts, schema, NdvFallback::Max)?;
    merged.num_rows = rows;
    if rows == Precision::Absent {
        merged.total_byte_size = Precision::Absent;
    }
    Ok(merged)
}

fn precision(value: Option<u64>, make: fn(usize) -> Precision<usize>) -> Precision<usize> {
    value
        .and_then(|value| usize::try_from(value).ok())
        .map_or(Precision::Absent, make)
}

fn of_partition_value(value: &ScalarValue, rows: &Precision<usize>) -> ColumnStatistics {
    let width = value.data_type().primitive_width().unwrap_or(16);
    let unknown = ColumnStatistics {
        byte_size: rows.multiply(&Precision::Inexact(width)),
        ..ColumnStatistics::new_unknown()
    };
    if value.is_null() {
        return ColumnStatistics {
            null_count: *rows,
            ..unknown
        };
    }
    // A file without rows has no value: taken for certain, it would be the answer to `max`.
    let has_rows = matches!(rows, Precision::Exact(_));
    let (bound, distinct_count) = match has_rows {
        true => (Precision::Exact(value.clone()), Precision::Exact(1)),
        false => (Precision::Inexact(value.clone()), Precision::Inexact(1)),
    };
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: bound.clone(),
        max_value: bound,
        distinct_count,
        ..unknown
    }
}

fn from_footer(footer: &Footer, file_schema: &SchemaRef) -> Statistics {
    let columns = file_schema.fields().iter().map(|field| of_column(footer, field));
    Statistics {
        num_rows: precision(Some(footer.rows()), Precision::Exact),
        total_byte_size: precision(Some(footer.decoded_bytes()), Precision::Inexact),
        column_statistics: columns.collect(),
    }
}

fn of_column(footer: &Footer, field: &Field) -> ColumnStatistics {
    let rows = precision(Some(footer.rows()), Precision::Exact);
    let unknown = ColumnStatistics::new_unknown();
    let parquet_schema = footer.metadata.file_metadata().schema_descr();
    if footer.schema.column_with_name(field.name()).is_none() {
        return ColumnStatistics {
            null_count: rows,
            ..unknown
        };
    }
    let Some((index, _)) = parquet_column(parquet_schema, &footer.schema, field.name()) else {
        return unknown;
    };
    let Ok(converter) = StatisticsConverter::try_new(field.name(), &footer.schema, parquet_schema) else {
        return unknown;
    };
    let converter = converter.with_missing_null_counts_as_zero(false);
    let groups = footer.metadata.row_groups();
    let (min_value, max_value) =
        bounds(&converter, groups, field.data_type()).unwrap_or((Precision::Absent, Precision::Absent));
    ColumnStatistics {
        null_count: null_count(&converter, groups),
        min_value,
        max_value,
        byte_size: byte_size(groups, index, field.data_type(), &rows),
        ..unknown
    }
}

/// Forgets the bounds of columns whose casts lose something, such as that of a timestamp to a date.
///
/// DataFusion estimates `CAST(at AS DATE) > ..` by casting the bounds there and back. When they come back wider than they
/// were, more than all rows seem to pass, and planning ends in an internal error.
pub(crate) fn forget_bounds_that_casts_widen(statistics: &mut Statistics, schema: &SchemaRef) {
    for (column, field) in statistics.column_statistics.iter_mut().zip(schema.fields()) {
        let is_widened = matches!(field.data_type(), DataType::Timestamp(..) | DataType::Time64(_))
            || field.data_type().is_floating()
            || [&column.min_value, &column.max_value]
                .into_iter()
                .any(is_beyond_doubles);
        if is_widened {
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
        }
    }
}

/// Whether a bound is an integer that a double may not hold.
fn is_beyond_doubles(bound: &Precision<ScalarValue>) -> bool {
    const EXACT: u64 = 1 << 53;
    matches!(bound.get_value(), Some(ScalarValue::Int64(Some(value))) if value.unsigned_abs() > EXACT)
}

/// The decoded width: known for numbers, about the uncompressed pages for the rest.
fn byte_size(
    groups: &[RowGroupMetaData],
    column: usize,
    data_type: &DataType,
    rows: &Precision<usize>,
) -> Precision<usize> {
    if let Some(width) = data_type.primitive_width() {
        return rows.multiply(&Precision::Inexact(width));
    }
    let sizes = groups.iter().filter_map(|group| group.columns().get(column));
    let bytes = sizes
        .map(|chunk| u64::try_from(chunk.uncompressed_size()).unwrap_or(0))
        .sum();
    precision(Some(bytes), Precision::Inexact)
}

fn null_count(converter: &StatisticsConverter<'_>, groups: &[RowGroupMetaData]) -> Precision<usize> {
    let Ok(counts) = converter.row_group_null_counts(groups) else {
        return Precision::Absent;
    };
    if counts.null_count() > 0 {
        return Precision::Absent;
    }
    precision(Some(counts.values().iter().sum()), Precision::Exact)
}

/// The smallest and the largest value over all row groups; `None` when a row group with values does not tell.
fn bounds(
    converter: &StatisticsConverter<'_>,
    groups: &[RowGroupMetaData],
    data_type: &DataType,
) -> Option<(Precision<ScalarValue>, Precision<ScalarValue>)> {
    let mins = in_table_type(&converter.row_group_mins(groups).ok()?, data_type)?;
    let maxes = in_table_type(&converter.row_group_maxes(groups).ok()?, data_type)?;
    let nulls = converter.row_group_null_counts(groups).ok()?;
    for (index, group) in groups.iter().enumerate() {
        let all_null = nulls.is_valid(index) && i64::try_from(nulls.value(index)).ok()? == group.num_rows();
        if !all_null && (mins.is_null(index) || maxes.is_null(index)) {
            return None;
        }
    }
    let min_exact = converter.row_group_is_min_value_exact(groups).ok()?;
    let max_exact = converter.row_group_is_max_value_exact(groups).ok()?;
    let min = least(&mins, data_type).ok()?;
    let max = greatest(&maxes, data_type).ok()?;
    let certain = |value: ScalarValue, exact: bool| match (value.is_null(), exact) {
        (true, _) => Precision::Absent,
        (false, true) => Precision::Exact(value),
        (false, false) => Precision::Inexact(value),
    };
    Some((
        certain(min, min_exact.null_count() == 0 && min_exact.false_count() == 0),
        certain(max, max_exact.null_count() == 0 && max_exact.false_count() == 0),
    ))
}

/// The bounds in the table's type: all our conversions keep the order.
fn in_table_type(values: &ArrayRef, data_type: &DataType) -> Option<ArrayRef> {
    if values.data_type() == data_type {
        return Some(Arc::clone(values));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(values, data_type, &options).ok()
}

fn least(values: &ArrayRef, data_type: &DataType) -> DataFusionResult<ScalarValue> {
    let mut min = MinAccumulator::try_new(data_type)?;
    min.update_batch(&[Arc::clone(values)])?;
    min.evaluate()
}

fn greatest(values: &ArrayRef, data_type: &DataType) -> DataFusionResult<ScalarValue> {
    let mut max = MaxAccumulator::try_new(data_type)?;
    max.update_batch(&[Arc::clone(values)])?;
    max.evaluate()
}
