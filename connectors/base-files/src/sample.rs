//! Looks into CSV and JSON files to find a table's columns: the beginning of some of the files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use crate::csv::{CsvRecord, CsvRecords, CsvStyle};
use crate::files::FileStore;
use crate::format::{FileFormat, decompressed};
use crate::infer::{Seen, join_field};
use crate::json::{Flow, Lines, broken_line};
use crate::json_value::JsonValue;

/// Files that are looked into; of more files, these.
pub(crate) const SAMPLED_FILES_MAX: usize = 16;
/// Files looked into at once.
const SAMPLED_AT_ONCE: usize = 4;
/// Bytes read of a file, decompressed.
const SAMPLE_BYTES: usize = 1 << 20;
/// Rows read of a file.
const SAMPLE_ROWS: u64 = 20_000;

/// What was found in the sample.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// The columns in the order of their appearance.
    pub(crate) columns: Vec<(String, Seen)>,
    pub(crate) rows: u64,
    /// The bytes, as stored, that these rows take.
    pub(crate) stored_bytes: u64,
}

impl Sample {
    /// The columns of the table, without those that stand in folder names.
    pub(crate) fn schema(&self, table: &TableName, partition_columns: &[FieldRef]) -> Result<SchemaRef> {
        let is_partition = |name: &str| partition_columns.iter().any(|column| column.name() == name);
        let columns = self.columns.iter().filter(|(name, _)| !is_partition(name));
        let fields = columns.filter_map(|(name, seen)| Some(Field::new(name, seen.data_type()?, true)));
        let fields: Vec<Field> = fields.collect();
        if fields.is_empty() {
            let message = format!("the files of table {table} show no columns");
            return Err(ConnectorError::new(ErrorKind::InvalidData, message)
                .hint("Declare the table with its columns."));
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Looks into `wanted`, all of the same format.
pub(crate) async fn look_into(
    files: &Arc<FileStore>,
    wanted: &[ObjectMeta],
    format: FileFormat,
    style: &CsvStyle,
) -> Result<Sample> {
    let samples: Vec<Sample> = stream::iter(wanted.to_vec())
        .map(|file| look_into_file(Arc::clone(files), file, format, style))
        .buffered(SAMPLED_AT_ONCE)
        .try_collect()
        .await?;
    let mut all = Sample::default();
    for (sample, file) in samples.into_iter().zip(wanted) {
        all.rows += sample.rows;
        all.stored_bytes += sample.stored_bytes;
        for (name, seen) in sample.columns {
            join_field(&mut all.columns, name, seen)
                .map_err(|error| error.error(&format!("file {}", file.location)))?;
        }
    }
    Ok(all)
}

async fn look_into_file(
    files: Arc<FileStore>,
    file: ObjectMeta,
    format: FileFormat,
    style: &CsvStyle,
) -> Result<Sample> {
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let stored = files
        .stored(file.clone(), SAMPLE_BYTES, None)
        .inspect_ok(move |bytes| {
            counter.fetch_add(u64::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
        });
    let mut content = decompressed(stored.boxed(), &file.location);
    let mut looker = match format {
        FileFormat::Json => Looker::Json(JsonLooker::new(&file)),
        FileFormat::Csv | FileFormat::Parquet => Looker::Csv(CsvLooker::new(style, &file)),
    };
    let mut bytes = 0;
    let mut whole = true;
    while let Some(chunk) = content.try_next().await? {
        bytes += chunk.len();
        let flow = looker.look(&chunk)?;
        if flow == Flow::Stop || bytes >= SAMPLE_BYTES {
            whole = false;
            break;
        }
    }
    if whole {
        looker.finish()?;
    }
    let (columns, rows) = match looker {
        Looker::Csv(csv) => (csv.columns, csv.rows),
        Looker::Json(json) => (json.columns, json.rows),
    };
    Ok(Sample {
        columns,
        rows,
        stored_bytes: if whole {
            file.size
        } else {
            read.load(Ordering::Relaxed).min(file.size)
        },
    })
}

enum Looker<'a> {
    Csv(CsvLooker<'a>),
    Json(JsonLooker),
}

impl Looker<'_> {
    fn look(&mut self, chunk: &[u8]) -> Result<Flow> {
        match self {
            Self::Csv(csv) => csv.look(chunk),
            Self::Json(json) => json.look(chunk),
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self {
            Self::Csv(csv) => csv.finish(),
            Self::Json(json) => json.finish(),
        }
    }
}

struct CsvLooker<'a> {
    style: &'a CsvStyle,
    records: CsvRecords,
    columns: Vec<(String, Seen)>,
    rows: u64,
}

impl<'a> CsvLooker<'a> {
    fn new(style: &'a CsvStyle, file: &ObjectMeta) -> Self {
        Self {
            style,
            records: CsvRecords::new(style, &file.location),
            columns: Vec::new(),
            rows: 0,
        }
    }

    fn look(&mut self, mut chunk: &[u8]) -> Result<Flow> {
        while let Some(record) = self.records.next(&mut chunk)? {
            see_record(&record, self.style, &mut self.columns, &mut self.rows)?;
            if self.rows >= SAMPLE_ROWS {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    fn finish(&mut self) -> Result<()> {
        match self.records.last()? {
            Some(record) => see_record(&record, self.style, &mut self.columns, &mut self.rows),
            None => Ok(()),
        }
    }
}

fn see_record(
    record: &CsvRecord<'_>,
    style: &CsvStyle,
    columns: &mut Vec<(String, Seen)>,
    rows: &mut u64,
) -> Result<()> {
    if columns.is_empty() {
        if style.header {
            *columns = record
                .names()?
                .into_iter()
                .map(|name| (name, Seen::Nothing))
                .collect();
            return Ok(());
        }
        let names = (1..=record.len()).map(|number| format!("column{number}"));
        *columns = names.map(|name| (name, Seen::Nothing)).collect();
    }
    record.check_len(columns.len())?;
    for (index, (name, seen)) in columns.iter_mut().enumerate() {
        let text = record.text(index, name)?;
        if text == style.null || *seen == Seen::Text {
            continue;
        }
        let before = std::mem::replace(seen, Seen::Nothing);
        *seen = before
            .joined(Seen::of_text(text))
            .map_err(|error| error.error(&format!("line {}", record.line)))?;
    }
    *rows += 1;
    Ok(())
}

struct JsonLooker {
    file: ObjectMeta,
    lines: Lines,
    columns: Vec<(String, Seen)>,
    rows: u64,
}

impl JsonLooker {
    fn new(file: &ObjectMeta) -> Self {
        Self {
            file: file.clone(),
            lines: Lines::new(&file.location),
            columns: Vec::new(),
            rows: 0,
        }
    }

    fn look(&mut self, mut chunk: &[u8]) -> Result<Flow> {
        let (file, columns, rows) = (&self.file, &mut self.columns, &mut self.rows);
        self.lines.read(&mut chunk, |number, line| {
            see_line(file, number, line, columns, rows)
        })
    }

    fn finish(&mut self) -> Result<()> {
        let (file, columns, rows) = (&self.file, &mut self.columns, &mut self.rows);
        self.lines
            .last(|number, line| see_line(file, number, line, columns, rows))
    }
}

fn see_line(
    file: &ObjectMeta,
    number: u64,
    line: &[u8],
    columns: &mut Vec<(String, Seen)>,
    rows: &mut u64,
) -> Result<Flow> {
    let place = || format!("line {number} of file {}", file.location);
    let value: JsonValue = serde_json::from_slice(line)
        .map_err(|error| broken_line(number, &file.location, &error.to_string()).source(error))?;
    let JsonValue::Object(fields) = value else {
        return Err(broken_line(number, &file.location, "it is not an object"));
    };
    for (name, value) in fields {
        let seen = Seen::of_json(&value).map_err(|error| error.in_field(&name).error(&place()))?;
        join_field(columns, name, seen).map_err(|error| error.error(&place()))?;
    }
    *rows += 1;
    Ok(if *rows >= SAMPLE_ROWS {
        Flow::Stop
    } else {
        Flow::Go
    })
}
