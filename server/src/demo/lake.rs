//! Catalog `lake`: the large tables as Parquet files in folders.

use std::fs::{self, File};
use std::sync::atomic::AtomicBool;

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use super::error::DemoError;
use super::fill::{Made, go_on};
use super::place::{Place, file_error};
use super::tables::Table;

/// Rows of a row group: small enough that filters leave some out.
const ROW_GROUP_ROWS: usize = 16_384;
/// The tables and their files.
const TABLES: [(Table, i32); 2] = [(Table::LineItem, 4), (Table::Orders, 2)];

pub(super) fn make(place: &Place, stopping: &AtomicBool) -> Result<Made, DemoError> {
    let mut made = Made::new();
    for (table, files) in TABLES {
        let folder = place.lake().join(table.name());
        fs::create_dir_all(&folder).map_err(|error| file_error("make the folder", &folder, error))?;
        let mut rows = 0;
        for part in 1..=files {
            let path = folder.join(format!("part-{part}.parquet"));
            let file = File::create(&path).map_err(|error| file_error("write", &path, error))?;
            let failed = |source| DemoError::Parquet {
                path: path.clone(),
                source,
            };
            let batches = table.rows(place.scale(), part, files);
            let mut writer =
                ArrowWriter::try_new_with_options(file, batches.schema(), options()).map_err(failed)?;
            for batch in batches {
                go_on(stopping)?;
                let batch = batch.map_err(|source| DemoError::Rows {
                    table: table.name(),
                    source,
                })?;
                rows += batch.num_rows();
                writer.write(&batch).map_err(failed)?;
            }
            writer.close().map_err(failed)?;
        }
        made.push((table.name(), rows));
    }
    Ok(made)
}

fn options() -> ArrowWriterOptions {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
}
