//! Reads CSV and JSON files: ranges of the listed version, decompressed, decoded to texts, read as the columns' types.
//!
//! Not DataFusion's scans: those tell no line in an error, round numerics, and convert what does not say the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ReadContext, Result, Scan, with_source_timeout};
use datafusion::common::ScalarValue;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use crate::csv::{CsvField, CsvRecords, CsvTexts};
use crate::format::{FileFormat, decompressed};
use crate::json::{Flow, JsonTexts, Lines};
use crate::table::TableCore;
use crate::typed::typed;

/// Bytes of a file asked for at once.
const CHUNK_BYTES: usize = 4 << 20;

/// Reads `files` one after another: batches of `scan`'s columns, at most as many rows as its limit.
pub(crate) fn read(
    core: Arc<TableCore>,
    scan: &Scan,
    files: Vec<ObjectMeta>,
    cx: &ReadContext,
) -> BatchStream {
    let limit = scan.limit;
    let scan = Arc::new(TextScan::new(core, scan, cx));
    let batches = stream::iter(files)
        .map(move |file| open(Arc::clone(&scan), file))
        .try_flatten();
    match limit {
        Some(limit) => limited(batches.boxed(), limit),
        None => batches.boxed(),
    }
}

/// The first `limit` rows.
fn limited(batches: BatchStream, limit: usize) -> BatchStream {
    stream::try_unfold((batches, limit), |(mut batches, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(batch) = batches.try_next().await? else {
            return Ok(None);
        };
        let batch = batch.slice(0, batch.num_rows().min(left));
        let left = left - batch.num_rows();
        Ok(Some((batch, (batches, left))))
    })
    .boxed()
}

/// What all files of one read have in common.
struct TextScan {
    core: Arc<TableCore>,
    /// The batches' schema.
    schema: SchemaRef,
    /// Where each column of a batch comes from.
    sources: Vec<Source>,
    /// The columns that are read from files, in the order of the batch.
    file_columns: Schema,
    cx: ReadContext,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// The next of the columns that are read from the file.
    File,
    /// A value of the folder names.
    Folder(usize),
}

impl TextScan {
    fn new(core: Arc<TableCore>, scan: &Scan, cx: &ReadContext) -> Self {
        let schema = scan.projected_schema();
        let in_files = core.file_schema.fields().len();
        let sources = scan
            .projection
            .iter()
            .map(|index| match index.checked_sub(in_files) {
                Some(folder) => Source::Folder(folder),
                None => Source::File,
            });
        let sources: Vec<Source> = sources.collect();
        let of_files = schema.fields().iter().zip(&sources);
        let of_files = of_files.filter(|(_, source)| matches!(source, Source::File));
        let of_files: Vec<FieldRef> = of_files.map(|(field, _)| Arc::clone(field)).collect();
        Self {
            core,
            schema,
            sources,
            file_columns: Schema::new(of_files),
            cx: cx.clone(),
        }
    }

    fn is_full(&self, rows: usize, bytes: usize) -> bool {
        rows >= self.cx.batch_rows.max(1) || bytes >= self.cx.batch_bytes
    }

    /// The rows of `texts`, which stand in `lines` of `file`.
    fn batch(&self, file: &OpenFile, texts: Vec<ArrayRef>, lines: &[u64]) -> Result<RecordBatch> {
        let mut typed_columns = Vec::with_capacity(texts.len());
        for (column, field) in texts.iter().zip(self.file_columns.fields()) {
            let values = typed(column, field.data_type(), self.core.reading).map_err(|misfit| {
                let line = lines.get(misfit.row).copied().unwrap_or(0);
                let place = format!("line {line} of file {}", file.meta.location);
                misfit.error(field.name(), &place, self.core.reading)
            })?;
            typed_columns.push(values);
        }
        let mut typed_columns = typed_columns.into_iter();
        let mut columns = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let column = match source {
                Source::File => typed_columns.next(),
                Source::Folder(index) => match file.folder_values.get(*index) {
                    Some(value) => Some(value.to_array_of_size(lines.len()).map_err(internal)?),
                    None => None,
                },
            };
            columns.extend(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(internal)
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, "the columns of a file do not make a batch").source(error)
}

/// A file while it is read.
struct OpenFile {
    meta: ObjectMeta,
    folder_values: Vec<ScalarValue>,
    content: BoxStream<'static, Result<Bytes>>,
    chunk: Bytes,
    ended: bool,
}

/// The batches of one file.
fn open(scan: Arc<TextScan>, meta: ObjectMeta) -> Result<BatchStream> {
    let core = &scan.core;
    let metrics = scan.cx.metrics.clone();
    let stored = core.files.stored(meta.clone(), CHUNK_BYTES, Some(metrics));
    let file = OpenFile {
        folder_values: core.folder_values(&meta)?,
        content: decompressed(stored, &meta.location),
        chunk: Bytes::new(),
        ended: false,
        meta,
    };
    let decoder = match core.format {
        FileFormat::Json => Decoder::Json(JsonFile::new(&scan, &file)?),
        FileFormat::Csv | FileFormat::Parquet => Decoder::Csv(CsvFile::new(&scan, &file)),
    };
    let state = (scan, file, decoder);
    Ok(
        stream::try_unfold(state, |(scan, mut file, mut decoder)| async move {
            let batch = next_batch(&scan, &mut file, &mut decoder).await?;
            Ok(batch.map(|batch| (batch, (scan, file, decoder))))
        })
        .boxed(),
    )
}

async fn next_batch(
    scan: &TextScan,
    file: &mut OpenFile,
    decoder: &mut Decoder,
) -> Result<Option<RecordBatch>> {
    while !decoder.is_full(scan) && !file.ended {
        if file.chunk.is_empty() {
            // The store is asked within the polls of the content, and only the context knows how long it may take.
            let next = with_source_timeout(scan.cx.source_timeout, file.content.try_next());
            match next.await? {
                Some(chunk) => file.chunk = chunk,
                None => {
                    file.ended = true;
                    decoder.finish(scan)?;
                    break;
                }
            }
        }
        let mut rest: &[u8] = &file.chunk;
        decoder.feed(scan, &mut rest)?;
        let taken = file.chunk.len() - rest.len();
        file.chunk.advance(taken);
    }
    if decoder.rows() == 0 {
        return Ok(None);
    }
    let (texts, lines) = decoder.take()?;
    scan.batch(file, texts, &lines).map(Some)
}

enum Decoder {
    Csv(CsvFile),
    Json(JsonFile),
}

impl Decoder {
    fn rows(&self) -> usize {
        match self {
            Self::Csv(csv) => csv.texts.lines.len(),
            Self::Json(json) => json.texts.rows(),
        }
    }

    fn is_full(&self, scan: &TextScan) -> bool {
        let bytes = match self {
            Self::Csv(csv) => csv.texts.bytes,
            Self::Json(json) => json.texts.bytes(),
        };
        scan.is_full(self.rows(), bytes)
    }

    /// Takes what it can from the front of `chunk`: all of it, or until a batch is full.
    fn feed(&mut self, scan: &TextScan, chunk: &mut &[u8]) -> Result<()> {
        match self {
            Self::Csv(csv) => csv.feed(scan, chunk),
            Self::Json(json) => json.feed(scan, chunk),
        }
    }

    /// The file has ended.
    fn finish(&mut self, scan: &TextScan) -> Result<()> {
        match self {
            Self::Csv(csv) => csv.finish(scan),
            Self::Json(json) => json
                .lines
                .last(|number, line| json.texts.push(number, line).map(|()| Flow::Go)),
        }
    }

    fn take(&mut self) -> Result<(Vec<ArrayRef>, Vec<u64>)> {
        match self {
            Self::Csv(csv) => Ok(csv.texts.take()),
            Self::Json(json) => json.texts.take(),
        }
    }
}

struct CsvFile {
    records: CsvRecords,
    texts: CsvTexts,
    /// Known once the header was read.
    layout: Option<RecordLayout>,
}

/// What the records of a file look like.
struct RecordLayout {
    /// Where the columns of the scan stand.
    columns: Vec<CsvField>,
    /// The fields of a record.
    count: usize,
}

impl CsvFile {
    fn new(scan: &TextScan, file: &OpenFile) -> Self {
        let style = &scan.core.csv;
        let layout = (!style.header).then(|| layout_of(scan, &scan.core.positions));
        Self {
            records: CsvRecords::new(style, &file.meta.location),
            texts: CsvTexts::new(scan.file_columns.fields().len()),
            layout,
        }
    }

    fn feed(&mut self, scan: &TextScan, chunk: &mut &[u8]) -> Result<()> {
        while !scan.is_full(self.texts.lines.len(), self.texts.bytes) {
            let Some(record) = self.records.next(chunk)? else {
                break;
            };
            match &self.layout {
                Some(layout) => {
                    record.check_len(layout.count)?;
                    self.texts.push(&record, &layout.columns, &scan.core.csv.null)?;
                }
                None => self.layout = Some(layout_of(scan, &record.names()?)),
            }
        }
        Ok(())
    }

    fn finish(&mut self, scan: &TextScan) -> Result<()> {
        let Some(record) = self.records.last()? else {
            return Ok(());
        };
        match &self.layout {
            Some(layout) => {
                record.check_len(layout.count)?;
                self.texts.push(&record, &layout.columns, &scan.core.csv.null)
            }
            None => record.names().map(|_| ()),
        }
    }
}

/// The layout of records whose fields are named `names`.
fn layout_of(scan: &TextScan, names: &[String]) -> RecordLayout {
    let columns = scan.file_columns.fields().iter().map(|column| CsvField {
        position: names.iter().position(|name| name == column.name()),
        name: column.name().clone(),
    });
    RecordLayout {
        columns: columns.collect(),
        count: names.len(),
    }
}

struct JsonFile {
    lines: Lines,
    texts: JsonTexts,
}

impl JsonFile {
    fn new(scan: &TextScan, file: &OpenFile) -> Result<Self> {
        let location = &file.meta.location;
        Ok(Self {
            lines: Lines::new(location),
            texts: JsonTexts::new(&scan.file_columns, scan.cx.batch_rows.max(1), location)?,
        })
    }

    fn feed(&mut self, scan: &TextScan, chunk: &mut &[u8]) -> Result<()> {
        let texts = &mut self.texts;
        let flow = self.lines.read(chunk, |number, line| {
            texts.push(number, line)?;
            let is_full = scan.is_full(texts.rows(), texts.bytes());
            Ok(if is_full { Flow::Stop } else { Flow::Go })
        });
        flow.map(|_| ())
    }
}
