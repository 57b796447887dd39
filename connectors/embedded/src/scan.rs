//! One read of a table made by SQL: keys one by one or ranges of them, a batch at a time, all of one moment.
//!
//! Between two batches the state rests: no thread waits for a client that reads slowly.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::IntoIter;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use causeway_base_kv::{KeyPredicate, KeyRange};
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ReadContext, Result, Scan};
use futures::StreamExt;
use futures::stream;

use crate::error::StoreResult;
use crate::format::Rows;
use crate::layout::{Decoder, TableLayout};
use crate::moment::{Moment, OpenTable, View};
use crate::row::ColumnBuilder;
use crate::store::Catalog;

type Bytes = &'static [u8];

/// Which rows are looked at.
#[derive(Debug)]
pub(crate) enum Places {
    /// Those of these keys.
    Keys(Vec<Vec<u8>>),
    /// Those in these ranges, which do not overlap.
    Ranges(Vec<KeyRange>),
}

/// What is read and how far.
pub(crate) struct Request {
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) predicate: KeyPredicate,
    pub(crate) places: Places,
    pub(crate) projection: Vec<usize>,
    pub(crate) schema: SchemaRef,
    pub(crate) limit: Option<usize>,
    pub(crate) cx: ReadContext,
}

impl Request {
    pub(crate) fn new(
        layout: &Arc<TableLayout>,
        predicate: KeyPredicate,
        places: Places,
        scan: &Scan,
        cx: &ReadContext,
    ) -> Self {
        Self {
            layout: Arc::clone(layout),
            predicate,
            places,
            projection: scan.projection.clone(),
            schema: scan.projected_schema(),
            limit: scan.limit,
            cx: cx.clone(),
        }
    }

    /// Reads at `moment`; the work starts with the first poll.
    pub(crate) fn read(self, catalog: Catalog, moment: &Moment) -> BatchStream {
        let moment = moment.held();
        let reading = Some(Box::new(Reading::new(self)));
        stream::try_unfold(reading, move |reading| {
            let (catalog, moment) = (catalog.clone(), moment.clone());
            async move {
                let Some(mut reading) = reading else {
                    return Ok(None);
                };
                let read = moment.read(&catalog, move |view| {
                    let batch = reading.next_batch(view)?;
                    Ok((batch, reading))
                });
                let (batch, reading) = read.await?;
                let rest = (!reading.ended).then_some(reading);
                Ok(Some((batch, rest)))
            }
        })
        .boxed()
    }
}

/// A read under way.
struct Reading {
    request: Request,
    cursor: Cursor,
    decoder: Decoder,
    /// Where among the decoder's columns those of the output and of the key are.
    output: Vec<usize>,
    key: Vec<usize>,
    left: usize,
    ended: bool,
}

enum Cursor {
    Keys(IntoIter<Vec<u8>>),
    /// What is still to be read; the first range begins after the last row.
    Ranges(VecDeque<KeyRange>),
}

impl Reading {
    fn new(mut request: Request) -> Self {
        let layout = &request.layout;
        let mut wanted: Vec<usize> = Vec::new();
        let mut place = |index: usize| {
            wanted
                .iter()
                .position(|&column| column == index)
                .unwrap_or_else(|| {
                    wanted.push(index);
                    wanted.len() - 1
                })
        };
        let output = request.projection.iter().map(|&index| place(index)).collect();
        let filtering = request.predicate.is_filtering();
        let key = layout
            .primary_key
            .iter()
            .filter(|_| filtering)
            .map(|&index| place(index));
        let key = key.collect();
        let places = std::mem::replace(&mut request.places, Places::Keys(Vec::new()));
        Self {
            decoder: layout.decoder(wanted),
            left: request.limit.unwrap_or(usize::MAX),
            request,
            cursor: match places {
                Places::Keys(keys) => Cursor::Keys(keys.into_iter()),
                Places::Ranges(ranges) => Cursor::Ranges(ranges.into()),
            },
            output,
            key,
            ended: false,
        }
    }

    /// The rows of the next entries that pass, perhaps none; notes when there are no more.
    fn next_batch(&mut self, view: &View<'_>) -> StoreResult<RecordBatch> {
        let layout = &self.request.layout;
        let rows = view.open(Rows::new(&layout.rows))?;
        let rows = rows.ok_or_else(|| dropped(layout))?;
        let cx = &self.request.cx;
        let mut entries_max = cx.batch_rows.max(1);
        if !self.request.predicate.is_filtering() {
            entries_max = entries_max.min(self.left);
        }
        let mut room = Room {
            entries: entries_max,
            bytes_max: cx.batch_bytes,
            bytes_read: 0,
        };
        self.ended = match &mut self.cursor {
            Cursor::Keys(keys) => read_keys(&rows, keys, &mut self.decoder, &mut room)?,
            Cursor::Ranges(ranges) => read_ranges(&rows, ranges, &mut self.decoder, &mut room)?,
        };
        cx.metrics.requests.add(1);
        cx.metrics.bytes.add(room.bytes_read);
        let batch = self.finish()?;
        self.left -= batch.num_rows();
        self.ended |= self.left == 0;
        Ok(batch)
    }

    /// The rows so far that pass, no more than are left.
    fn finish(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.decoder.rows);
        let columns = self.decoder.builders.iter_mut().map(ColumnBuilder::finish);
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let at = |places: &[usize]| -> Vec<ArrayRef> {
            places.iter().map(|&place| Arc::clone(&columns[place])).collect()
        };
        let unfitting = |error: arrow::error::ArrowError| {
            ConnectorError::new(ErrorKind::Internal, "rows do not fit their table").source(error)
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.request.schema);
        let mut batch =
            RecordBatch::try_new_with_options(schema, at(&self.output), &options).map_err(unfitting)?;
        if let Some(mask) = self.request.predicate.mask(at(&self.key))? {
            batch = filter_record_batch(&batch, &mask).map_err(unfitting)?;
        }
        Ok(batch.slice(0, batch.num_rows().min(self.left)))
    }
}

/// How much of a batch is left.
struct Room {
    entries: usize,
    bytes_max: usize,
    bytes_read: usize,
}

impl Room {
    fn is_full(&self, decoder: &Decoder) -> bool {
        self.entries == 0 || decoder.bytes() >= self.bytes_max
    }

    fn take(&mut self, bytes: usize) {
        self.entries -= 1;
        self.bytes_read += bytes;
    }
}

/// Reads the rows of `keys` until the batch is full; whether that were all.
fn read_keys(
    rows: &OpenTable<'_, Bytes, Bytes>,
    keys: &mut IntoIter<Vec<u8>>,
    decoder: &mut Decoder,
    room: &mut Room,
) -> StoreResult<bool> {
    while !room.is_full(decoder) {
        let Some(key) = keys.next() else { return Ok(true) };
        let row = rows.get(key.as_slice())?;
        if let Some(row) = &row {
            decoder.push(&key, row.value())?;
        }
        room.take(key.len() + row.map_or(0, |row| row.value().len()));
    }
    Ok(keys.len() == 0)
}

/// Reads the rows in `ranges` until the batch is full; whether that were all.
fn read_ranges(
    rows: &OpenTable<'_, Bytes, Bytes>,
    ranges: &mut VecDeque<KeyRange>,
    decoder: &mut Decoder,
    room: &mut Room,
) -> StoreResult<bool> {
    while let Some(range) = ranges.front_mut() {
        let mut last = None;
        for entry in rows.range(&range.low, range.high.as_deref())? {
            if room.is_full(decoder) {
                break;
            }
            let (key, row) = entry?;
            decoder.push(key.value(), row.value())?;
            room.take(key.value().len() + row.value().len());
            last = Some(key.value().to_vec());
        }
        if !room.is_full(decoder) {
            ranges.pop_front();
            // A range without rows takes its time too.
            room.entries -= 1;
        } else if let Some(mut after) = last {
            // The first key that can come after this one.
            after.push(0);
            range.low = after;
        } else {
            break;
        }
        if room.is_full(decoder) {
            break;
        }
    }
    Ok(ranges.is_empty())
}

fn dropped(layout: &TableLayout) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::UnknownTable,
        format!("table {} does not exist any more", layout.name),
    )
}
