//! Rows in pieces that never change, each with the keys of its rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::keys::ChunkKeys;

/// Rows of a full chunk: what a change of one row copies at most, and what a statement sees at once.
pub(crate) const CHUNK_ROWS: usize = 8192;

/// A piece of a table.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) rows: RecordBatch,
    /// The rows by their keys, if the table has a primary key.
    pub(crate) keys: Option<ChunkKeys>,
    pub(crate) bytes: usize,
}

impl Chunk {
    pub(crate) fn new(rows: RecordBatch, keys: Option<ChunkKeys>) -> Self {
        let bytes = rows.get_array_memory_size() + keys.as_ref().map_or(0, ChunkKeys::bytes);
        Self { rows, keys, bytes }
    }
}

/// Gathers rows into batches of [`CHUNK_ROWS`] that hold on to nothing but their own values.
pub(crate) struct Gatherer {
    coalescer: BatchCoalescer,
    schema: SchemaRef,
    done: Vec<RecordBatch>,
    bytes: usize,
}

impl Gatherer {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self {
            coalescer: BatchCoalescer::new(Arc::clone(schema), CHUNK_ROWS),
            schema: Arc::clone(schema),
            done: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        // Types are equal; what a field's metadata and nullability say is the table's to decide.
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
        self.coalescer.push_batch(batch)?;
        self.take_completed();
        Ok(())
    }

    /// Bytes gathered so far; those of the batch that is being filled are an estimate.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.coalescer.size()
    }

    pub(crate) fn finish(mut self) -> Result<Vec<RecordBatch>, ArrowError> {
        let left = self.coalescer.get_buffered_rows();
        self.coalescer.finish_buffered_batch()?;
        self.take_completed();
        if left > 0
            && let Some(last) = self.done.pop()
        {
            // Its arrays have room for a full chunk.
            self.done.extend(joined(&self.schema, &[&last])?);
        }
        Ok(self.done)
    }

    fn take_completed(&mut self) {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.bytes += batch.get_array_memory_size();
            self.done.push(batch);
        }
    }
}

/// The rows of `batches`, at most [`CHUNK_ROWS`], in one batch that is as large as it must be.
pub(crate) fn joined(
    schema: &SchemaRef,
    batches: &[&RecordBatch],
) -> Result<Option<RecordBatch>, ArrowError> {
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    debug_assert!(rows <= CHUNK_ROWS);
    if rows == 0 {
        return Ok(None);
    }
    let mut coalescer = BatchCoalescer::new(Arc::clone(schema), rows);
    for batch in batches {
        coalescer.push_batch((*batch).clone())?;
    }
    coalescer.finish_buffered_batch()?;
    Ok(coalescer.next_completed_batch())
}
