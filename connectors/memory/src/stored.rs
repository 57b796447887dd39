//! A table's rows: chunks that tables of other moments share, and what inserting, updating and deleting makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BinaryViewArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use causeway_spi::{ConnectorError, ErrorKind, Result, TableDefinition};

use crate::chunk::{CHUNK_ROWS, Chunk, joined};
use crate::keys::{ChunkKeys, KeyEncoder, duplicate_key};

/// Where a row is, as 16 bytes: the chunk's number and the row's in it. True for one state of a table.
pub(crate) type Place = (usize, usize);

/// A table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct StoredTable {
    name: Arc<str>,
    pub(crate) columns: SchemaRef,
    pub(crate) primary_key: Vec<usize>,
    pub(crate) chunks: Vec<Arc<Chunk>>,
    rows: usize,
    bytes: usize,
}

impl StoredTable {
    pub(crate) fn new(definition: &TableDefinition) -> Self {
        Self {
            name: Arc::from(definition.name.table.as_str()),
            columns: Arc::clone(&definition.columns),
            primary_key: definition.primary_key.clone(),
            chunks: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How keys of this table become bytes; `None` without a primary key.
    pub(crate) fn key_encoder(&self) -> Result<Option<KeyEncoder>> {
        if self.primary_key.is_empty() {
            return Ok(None);
        }
        KeyEncoder::new(&self.columns, &self.primary_key)
            .map(Some)
            .map_err(internal)
    }

    /// The table under another name, which the messages about its key have.
    pub(crate) fn renamed(&self, to: &str) -> Self {
        Self {
            name: Arc::from(to),
            ..self.clone()
        }
    }

    /// The table with another name for one of its columns.
    pub(crate) fn with_column_renamed(&self, column: usize, to: &str) -> Result<Self> {
        let fields = self.columns.fields().iter().enumerate();
        let fields = fields.map(|(index, field)| match index == column {
            true => Arc::new(Field::clone(field).with_name(to)),
            false => Arc::clone(field),
        });
        let columns: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let encoder = self.key_encoder()?;
        let chunks = self.chunks.iter().map(|chunk| {
            let rows = RecordBatch::try_new(Arc::clone(&columns), chunk.rows.columns().to_vec());
            self.chunk(rows.map_err(internal)?, encoder.as_ref())
                .map(Arc::new)
        });
        Ok(Self {
            chunks: chunks.collect::<Result<_>>()?,
            columns: Arc::clone(&columns),
            ..self.clone()
        })
    }

    /// Without any row.
    pub(crate) fn emptied(&self) -> Self {
        self.with_chunks(Vec::new())
    }

    /// With `batches` behind its rows, of at most [`CHUNK_ROWS`] each. Errors: `DuplicateKey`.
    pub(crate) fn with_rows(&self, batches: Vec<RecordBatch>) -> Result<Self> {
        let encoder = self.key_encoder()?;
        let mut chunks = self.chunks.clone();
        for batch in batches {
            let chunk = self.chunk(batch, encoder.as_ref())?;
            if let Some(row) = self.row_with_known_key(&chunks, &chunk.rows, encoder.as_ref())? {
                return Err(duplicate_key(&self.name, &self.primary_key, &chunk.rows, row));
            }
            chunks.push(Arc::new(chunk));
            self.merge_last(&mut chunks, encoder.as_ref())?;
        }
        Ok(self.with_chunks(chunks))
    }

    /// With `rows` in the places of others: each has the number of its batch and of its row in that. Errors: `DuplicateKey`.
    pub(crate) fn with_replaced(&self, batches: &[RecordBatch], replaced: &Replaced) -> Result<Self> {
        let encoder = self.key_encoder()?;
        let mut chunks = self.chunks.clone();
        for (&number, rows) in &replaced.0 {
            let Some(old) = chunks.get(number) else {
                return Err(no_such_row());
            };
            let mut indices: Vec<(usize, usize)> = (0..old.rows.num_rows()).map(|row| (0, row)).collect();
            for (&row, &(batch, new)) in rows {
                *indices.get_mut(row).ok_or_else(no_such_row)? = (batch + 1, new);
            }
            let sources: Vec<&RecordBatch> = std::iter::once(&old.rows).chain(batches).collect();
            let rows = interleave_record_batch(&sources, &indices).map_err(internal)?;
            // Interleaved texts hold on to the buffers of both.
            let rows = joined(&self.columns, &[&rows]).map_err(internal)?.unwrap_or(rows);
            if let Some(chunk) = chunks.get_mut(number) {
                *chunk = Arc::new(self.chunk(rows, encoder.as_ref())?);
            }
        }
        if let Some(encoder) = &encoder {
            self.check_replaced(&chunks, replaced, encoder)?;
        }
        Ok(self.with_chunks(chunks))
    }

    /// Each new key must be in one chunk only; that it is there once, its chunk knows.
    fn check_replaced(&self, chunks: &[Arc<Chunk>], replaced: &Replaced, encoder: &KeyEncoder) -> Result<()> {
        for (&number, rows) in &replaced.0 {
            let Some(chunk) = chunks.get(number) else { continue };
            let keys = encoder.of_rows(&chunk.rows).map_err(internal)?;
            for &row in rows.keys() {
                let key = keys.row(row);
                let others = chunks.iter().enumerate().filter(|(other, _)| *other != number);
                let mut others = others.filter_map(|(_, other)| other.keys.as_ref());
                if others.any(|keys| keys.row(key.as_ref()).is_some()) {
                    return Err(duplicate_key(&self.name, &self.primary_key, &chunk.rows, row));
                }
            }
        }
        Ok(())
    }

    /// Without the rows in `places`.
    pub(crate) fn without(&self, places: &[Place]) -> Result<Self> {
        let mut by_chunk: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &(chunk, row) in places {
            by_chunk.entry(chunk).or_default().push(row);
        }
        let encoder = self.key_encoder()?;
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for (number, chunk) in self.chunks.iter().enumerate() {
            let Some(deleted) = by_chunk.get(&number) else {
                chunks.push(Arc::clone(chunk));
                continue;
            };
            let mut kept = vec![true; chunk.rows.num_rows()];
            for &row in deleted {
                *kept.get_mut(row).ok_or_else(no_such_row)? = false;
            }
            let rows = filter_record_batch(&chunk.rows, &BooleanArray::from(kept)).map_err(internal)?;
            if let Some(rows) = joined(&self.columns, &[&rows]).map_err(internal)? {
                chunks.push(Arc::new(self.chunk(rows, encoder.as_ref())?));
            }
        }
        Ok(self.with_chunks(chunks))
    }

    /// The places that locators stand for.
    pub(crate) fn places(locators: &dyn Array) -> Result<Vec<Place>> {
        let locators = locators.as_any().downcast_ref::<BinaryViewArray>();
        let locators = locators.ok_or_else(no_such_row)?;
        let places = (0..locators.len()).map(|index| {
            let bytes = locators.value(index);
            let number = |bytes: Option<&[u8]>| -> Option<usize> {
                usize::try_from(u64::from_be_bytes(bytes?.try_into().ok()?)).ok()
            };
            let place = number(bytes.get(..8)).zip(number(bytes.get(8..)));
            place.ok_or_else(no_such_row)
        });
        places.collect()
    }

    /// The locators of the rows of one chunk.
    pub(crate) fn locators(chunk: usize, rows: usize) -> BinaryViewArray {
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        let chunk = number(chunk);
        (0..rows).map(|row| Some([chunk, number(row)].concat())).collect()
    }

    fn with_chunks(&self, chunks: Vec<Arc<Chunk>>) -> Self {
        Self {
            rows: chunks.iter().map(|chunk| chunk.rows.num_rows()).sum(),
            bytes: chunks.iter().map(|chunk| chunk.bytes).sum(),
            chunks,
            ..self.clone()
        }
    }

    fn chunk(&self, rows: RecordBatch, encoder: Option<&KeyEncoder>) -> Result<Chunk> {
        let keys = match encoder {
            Some(encoder) => match ChunkKeys::of(encoder, &rows).map_err(internal)? {
                Ok(keys) => Some(keys),
                Err(row) => return Err(duplicate_key(&self.name, &self.primary_key, &rows, row)),
            },
            None => None,
        };
        Ok(Chunk::new(rows, keys))
    }

    fn row_with_known_key(
        &self,
        chunks: &[Arc<Chunk>],
        rows: &RecordBatch,
        encoder: Option<&KeyEncoder>,
    ) -> Result<Option<usize>> {
        let Some(encoder) = encoder else { return Ok(None) };
        let keys = encoder.of_rows(rows).map_err(internal)?;
        let mut known = chunks.iter().filter_map(|chunk| chunk.keys.as_ref());
        let found = known.find_map(|known| keys.iter().position(|key| known.row(key.as_ref()).is_some()));
        Ok(found)
    }

    /// Joins the last chunks while they are of like size, so that a table filled row by row has few.
    fn merge_last(&self, chunks: &mut Vec<Arc<Chunk>>, encoder: Option<&KeyEncoder>) -> Result<()> {
        while let [.., before, last] = chunks.as_slice() {
            let (earlier, later) = (before.rows.num_rows(), last.rows.num_rows());
            if earlier + later > CHUNK_ROWS || earlier > 2 * later {
                break;
            }
            let rows = joined(&self.columns, &[&before.rows, &last.rows]).map_err(internal)?;
            chunks.truncate(chunks.len() - 2);
            if let Some(rows) = rows {
                chunks.push(Arc::new(self.chunk(rows, encoder)?));
            }
        }
        Ok(())
    }
}

/// The rows that an update replaces: by chunk, by row in it, the batch and row that come there.
#[derive(Debug, Default)]
pub(crate) struct Replaced(BTreeMap<usize, BTreeMap<usize, (usize, usize)>>);

impl Replaced {
    pub(crate) fn put(&mut self, (chunk, row): Place, new: (usize, usize)) {
        self.0.entry(chunk).or_default().insert(row, new);
    }
}

fn no_such_row() -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, "a row to be changed is not in its table")
}

pub(crate) fn internal(error: ArrowError) -> ConnectorError {
    let message = "rows of a memory table are not of its types";
    ConnectorError::new(ErrorKind::Internal, message).source(error)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringViewArray};
    use arrow::datatypes::DataType;
    use causeway_spi::TableName;

    use super::*;

    fn table() -> StoredTable {
        let columns = Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("name", DataType::Utf8View, true),
        ]);
        StoredTable::new(&TableDefinition {
            name: TableName::new("mem", "public", "t"),
            columns: Arc::new(columns),
            primary_key: vec![0],
        })
    }

    fn rows(table: &StoredTable, ids: impl IntoIterator<Item = i32>) -> RecordBatch {
        let ids: Vec<i32> = ids.into_iter().collect();
        let names: StringViewArray = ids
            .iter()
            .map(|id| Some(format!("a name longer than twelve bytes {id}")))
            .collect();
        let ids = Int32Array::from(ids);
        RecordBatch::try_new(Arc::clone(&table.columns), vec![Arc::new(ids), Arc::new(names)]).unwrap()
    }

    #[test]
    fn a_table_filled_row_by_row_has_few_chunks() {
        let mut table = table();
        for id in 0..10_000 {
            table = table.with_rows(vec![rows(&table, [id])]).unwrap();
        }
        assert_eq!(table.rows(), 10_000);
        assert!(table.chunks.len() < 16, "{} chunks", table.chunks.len());
        assert!(table.bytes() < 2 << 20, "{} bytes", table.bytes());
        let error = table.with_rows(vec![rows(&table, [10_000, 4_711])]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DuplicateKey);
        assert_eq!(error.detail_text(), Some("Key (id)=(4711) already exists."));
        let error = table.with_rows(vec![rows(&table, [-1, -1])]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DuplicateKey);
    }

    #[test]
    fn keys_may_move_within_an_update_but_not_meet() {
        assert_eq!(CHUNK_ROWS, 8_192);
        let table = table();
        let table = table
            .with_rows(vec![rows(&table, 0..8_192), rows(&table, 9_000..9_010)])
            .unwrap();
        let (mut shifted, mut met) = (Replaced::default(), Replaced::default());
        for row in 0..CHUNK_ROWS {
            shifted.put((0, row), (0, row));
        }
        met.put((1, 0), (0, 0));
        let moved = table.with_replaced(&[rows(&table, 1..=8_192)], &shifted).unwrap();
        assert_eq!(moved.rows(), CHUNK_ROWS + 10);
        let error = table.with_replaced(&[rows(&table, [5])], &met).unwrap_err();
        assert_eq!(error.detail_text(), Some("Key (id)=(5) already exists."));
        let emptied = moved.without(&[(1, 0), (1, 9)]).unwrap();
        assert_eq!((emptied.rows(), emptied.chunks.len()), (CHUNK_ROWS + 8, 2));
        emptied.with_rows(vec![rows(&table, [0, 9_000])]).unwrap();
    }
}
