//! A file's footer: read through the guarded ranges, checked, and cleared of bounds that prove nothing.
//!
//! DataFusion prunes by whatever the footer says. Three kinds of bounds would lose rows and are removed here, once,
//! before anything sees them: those of floats (NaN is outside of them), those in the order of old writers (signed
//! bytes), and those of a column whose nulls were not counted (taken for "no nulls").

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use causeway_spi::{ReadMetrics, Result};
use datafusion::common::ColumnStatistics;
use datafusion::datasource::physical_plan::parquet::Int96Coercer;
use object_store::ObjectMeta;
use parquet::DecodeResult;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataBuilder,
    ParquetMetaDataPushDecoder, ParquetMetaDataReader, RowGroupMetaData,
};

use crate::error::invalid_file;
use crate::files::FileStore;
use crate::statistics::KnownStatistics;

/// Bytes read from the end of a file at once: most footers are smaller.
const FOOTER_PREFETCH_BYTES: u64 = 64 << 10;
/// The smallest Parquet file: two magic words and the footer's length.
const FILE_BYTES_MIN: u64 = 12;

/// The decoded footer of one version of a file.
#[derive(Debug)]
pub(crate) struct Footer {
    /// What DataFusion reads and prunes by.
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// The columns in the types the reader gives them, INT96 as microseconds.
    pub(crate) schema: SchemaRef,
    /// What it says of the columns of a table.
    pub(crate) statistics: KnownStatistics,
}

impl Footer {
    /// The rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// The bytes of its values, decompressed.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        let row_groups = self.metadata.row_groups().iter();
        row_groups
            .map(|group| u64::try_from(group.total_byte_size()).unwrap_or(0))
            .sum()
    }

    /// About what it takes in the cache.
    pub(crate) fn memory_bytes(&self) -> usize {
        let column = 256 + 2 * size_of::<ColumnStatistics>();
        self.metadata.memory_size() + column * self.schema.fields().len()
    }
}

/// Reads and checks the footer of `file`.
pub(crate) async fn load(
    files: &FileStore,
    file: &ObjectMeta,
    metrics: Option<&ReadMetrics>,
) -> Result<Footer> {
    if file.size < FILE_BYTES_MIN {
        let detail = format!("It has only {} bytes.", file.size);
        return Err(invalid_file(&file.location, detail));
    }
    let broken = |error: ParquetError| invalid_file(&file.location, sentence(&error)).source(error);
    let mut decoder = ParquetMetaDataPushDecoder::try_new(file.size)
        .map_err(broken)?
        .with_page_index_policy(PageIndexPolicy::Skip);
    let tail = file.size.saturating_sub(FOOTER_PREFETCH_BYTES)..file.size;
    let mut wanted = Vec::from([tail]);
    let since = Instant::now();
    let mut tail = Bytes::new();
    loop {
        let buffers = files.ranges(file, &wanted, since, metrics).await?;
        if tail.is_empty() {
            tail = buffers.first().cloned().unwrap_or_default();
        }
        match decode(&mut decoder, wanted, buffers).map_err(broken)? {
            DecodeResult::Data(metadata) => return checked(file, metadata, &tail).map_err(broken),
            DecodeResult::NeedsData(ranges) => wanted = ranges,
            DecodeResult::Finished => {
                return Err(invalid_file(&file.location, "Its footer has no end."));
            }
        }
    }
}

/// One step of decoding. The decoder indexes by lengths that it reads: on garbage it may panic.
fn decode(
    decoder: &mut ParquetMetaDataPushDecoder,
    ranges: Vec<Range<u64>>,
    buffers: Vec<Bytes>,
) -> Result<DecodeResult<ParquetMetaData>, ParquetError> {
    catch_unwind(AssertUnwindSafe(|| {
        decoder.push_ranges(ranges, buffers)?;
        decoder.try_decode()
    }))
    .unwrap_or_else(|_| Err(ParquetError::General("the footer is damaged".into())))
}

/// The footer of what was decoded, which `tail` ended with.
fn checked(file: &ObjectMeta, metadata: ParquetMetaData, tail: &Bytes) -> Result<Footer, ParquetError> {
    check_places(file.size, &metadata)?;
    let metadata = with_page_index(file.size, without_false_bounds(metadata)?, tail);
    let file_metadata = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file_metadata.schema_descr(), file_metadata.key_value_metadata())?;
    check_names(&schema)?;
    let schema = Int96Coercer::new(file_metadata.schema_descr(), &schema, &TimeUnit::Microsecond)
        .coerce()
        .unwrap_or(schema);
    Ok(Footer {
        metadata: Arc::new(metadata),
        schema: Arc::new(schema),
        statistics: KnownStatistics::default(),
    })
}

/// The metadata with the bounds of pages, where these are in the tail as well: each scan with a filter would read them again.
/// Whatever is wrong with them, the scan says.
fn with_page_index(size: u64, metadata: ParquetMetaData, tail: &Bytes) -> ParquetMetaData {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata.clone())
            .with_page_index_policy(PageIndexPolicy::Optional);
        reader.read_page_indexes_sized(tail, size)?;
        reader.finish()
    }));
    match read {
        Ok(Ok(with_index)) => with_index,
        Ok(Err(_)) | Err(_) => metadata,
    }
}

/// Refuses a footer that points outside of its file: the file was cut in the middle.
fn check_places(size: u64, metadata: &ParquetMetaData) -> Result<(), ParquetError> {
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err(ParquetError::General("a row group has fewer than no rows".into()));
        }
        for column in group.columns() {
            let start = match column.dictionary_page_offset() {
                Some(offset) if offset > 0 => offset.min(column.data_page_offset()),
                _ => column.data_page_offset(),
            };
            let start = u64::try_from(start).ok();
            let length = u64::try_from(column.compressed_size()).ok();
            let end = start
                .zip(length)
                .and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > size) {
                let text = format!("column {} lies outside of the file", column.column_path());
                return Err(ParquetError::General(text));
            }
        }
    }
    Ok(())
}

fn check_names(schema: &Schema) -> Result<(), ParquetError> {
    let mut names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ParquetError::General(format!(
            "two columns are named \"{}\"",
            pair[0]
        ))),
        None => Ok(()),
    }
}

/// The metadata without the bounds, page bounds and bloom filters that could prune a row that matches.
fn without_false_bounds(metadata: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let mut builder = ParquetMetaDataBuilder::new_from_metadata(metadata);
    for group in builder.take_row_groups() {
        builder = builder.add_row_group(trusted_row_group(group)?);
    }
    Ok(builder.build())
}

fn trusted_row_group(group: RowGroupMetaData) -> Result<RowGroupMetaData, ParquetError> {
    let mut builder = group.into_builder();
    for column in builder.take_columns() {
        builder = builder.add_column_metadata(trusted_column(column)?);
    }
    builder.build()
}

fn trusted_column(column: ColumnChunkMetaData) -> Result<ColumnChunkMetaData, ParquetError> {
    if has_no_usable_order(&column) {
        return column
            .into_builder()
            .clear_statistics()
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .set_bloom_filter_offset(None)
            .set_bloom_filter_length(None)
            .build();
    }
    if has_false_statistics(&column) {
        return column.into_builder().clear_statistics().build();
    }
    Ok(column)
}

/// Types whose bounds say nothing in our order: floats (NaN, -0.0), INT96 and intervals (no defined order).
fn has_no_usable_order(column: &ColumnChunkMetaData) -> bool {
    let descriptor = column.column_descr();
    matches!(column.column_type(), Type::FLOAT | Type::DOUBLE | Type::INT96)
        || matches!(descriptor.logical_type_ref(), Some(LogicalType::Float16))
        || descriptor.converted_type() == ConvertedType::INTERVAL
}

fn has_false_statistics(column: &ColumnChunkMetaData) -> bool {
    let Some(statistics) = column.statistics() else {
        return false;
    };
    let uncounted = statistics.null_count_opt().is_none() && column.column_descr().max_def_level() > 0;
    uncounted || (statistics.is_min_max_deprecated() && !is_signed_number(column))
}

/// Old writers compared everything as signed numbers: right for these only.
fn is_signed_number(column: &ColumnChunkMetaData) -> bool {
    let descriptor = column.column_descr();
    let unsigned = matches!(
        descriptor.converted_type(),
        ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
    ) || matches!(
        descriptor.logical_type_ref(),
        Some(LogicalType::Integer(integer)) if !integer.is_signed
    );
    matches!(column.column_type(), Type::INT32 | Type::INT64 | Type::BOOLEAN) && !unsigned
}

/// What the decoder says, as a sentence.
pub(crate) fn sentence(error: &ParquetError) -> String {
    let text = error.to_string();
    let text = text.trim_start_matches("Parquet error: ").trim_end_matches('.');
    format!("The decoder says: {text}.")
}
