//! Puts Arrow batches into the services: Parquet objects, MySQL tables, Redis hashes.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use mysql_async::prelude::Queryable;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// Rows of one multi-row INSERT, and of one Redis pipeline.
const ROWS_PER_REQUEST: usize = 500;

/// Batches in order, as a generator makes them.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Writes one Parquet file in memory, as a foreign writer would: without Arrow's own description of the schema.
pub fn parquet_file(schema: SchemaRef, batches: Batches, row_group_rows: usize) -> Result<Bytes> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(row_group_rows))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    Ok(writer.into_inner()?.into())
}

/// PUTs an object.
pub async fn put_object(store: &Arc<dyn ObjectStore>, key: &str, data: Bytes) -> Result<()> {
    store
        .put(&Path::from(key), data.into())
        .await
        .with_context(|| format!("could not put {key}"))?;
    Ok(())
}

/// Inserts all rows into a table whose columns stand in the batches' order.
pub async fn insert_mysql(connection: &mut mysql_async::Conn, table: &str, batches: Batches) -> Result<()> {
    for batch in batches {
        let batch = batch?;
        let columns = formatters(&batch)?;
        for start in (0..batch.num_rows()).step_by(ROWS_PER_REQUEST) {
            let end = batch.num_rows().min(start + ROWS_PER_REQUEST);
            let rows: Vec<String> = (start..end)
                .map(|row| {
                    let values: Vec<String> =
                        columns.iter().map(|column| literal(column.value(row))).collect();
                    format!("({})", values.join(","))
                })
                .collect();
            connection
                .query_drop(format!("INSERT INTO {table} VALUES {}", rows.join(",")))
                .await
                .with_context(|| format!("could not load {table}"))?;
        }
    }
    Ok(())
}

/// Writes each row as the hash `<prefix><first column>`, every column a field.
pub async fn write_redis_hashes(
    connection: &mut redis::aio::MultiplexedConnection,
    prefix: &str,
    batches: Batches,
) -> Result<()> {
    for batch in batches {
        let batch = batch?;
        let columns = formatters(&batch)?;
        let schema = batch.schema();
        for start in (0..batch.num_rows()).step_by(ROWS_PER_REQUEST) {
            let mut pipeline = redis::pipe();
            for row in start..batch.num_rows().min(start + ROWS_PER_REQUEST) {
                let fields: Vec<(&str, String)> = columns
                    .iter()
                    .zip(schema.fields())
                    .filter_map(|(column, field)| Some((field.name().as_str(), column.value(row)?)))
                    .collect();
                let key = format!("{prefix}{}", columns[0].value(row).unwrap_or_default());
                pipeline.hset_multiple(key, &fields).ignore();
            }
            pipeline.exec_async(connection).await?;
        }
    }
    Ok(())
}

/// A column's values as text; NULL is `None`.
struct Column<'a> {
    array: &'a dyn Array,
    formatter: ArrayFormatter<'a>,
}

impl Column<'_> {
    fn value(&self, row: usize) -> Option<String> {
        self.array
            .is_valid(row)
            .then(|| self.formatter.value(row).to_string())
    }
}

fn formatters(batch: &RecordBatch) -> Result<Vec<Column<'_>>> {
    static OPTIONS: FormatOptions<'static> = FormatOptions::new();
    batch
        .columns()
        .iter()
        .map(|array| {
            Ok(Column {
                array,
                formatter: ArrayFormatter::try_new(array, &OPTIONS)?,
            })
        })
        .collect()
}

/// MySQL converts a text literal to the column's type, which is exact for all types used here.
fn literal(value: Option<String>) -> String {
    match value {
        Some(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        None => "NULL".to_owned(),
    }
}
