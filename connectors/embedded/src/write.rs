//! Rows into the file: batches to keys and values, with the primary key checked.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::util::display::array_value_to_string;
use causeway_base_kv::{KeyTuple, KeyValue, OrderedKey};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};

use crate::error::{StoreError, StoreResult};
use crate::layout::TableLayout;
use crate::row::RowEncoder;
use crate::undo::Writing;

/// Longest key in bytes: longer ones would fill pages of their own in every level of the file's tree.
pub(crate) const KEY_BYTES_MAX: usize = 8 << 10;

/// Rows that have left their keys for others, which are taken when all rows have left theirs.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    rows: Vec<Moved>,
    bytes: usize,
}

#[derive(Debug)]
struct Moved {
    key: Vec<u8>,
    row: Vec<u8>,
    /// The key in words, for the error.
    shown: String,
}

impl Changes {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Makes the keys and values of a batch's rows.
struct Encoded<'a> {
    layout: &'a TableLayout,
    batch: &'a RecordBatch,
    key_parts: Vec<Vec<Option<KeyValue>>>,
    rows: RowEncoder,
}

impl<'a> Encoded<'a> {
    /// Of the table's columns, which are the first of `batch`.
    fn new(layout: &'a TableLayout, batch: &'a RecordBatch) -> Result<Self> {
        if batch.num_columns() < layout.cells.len() {
            return Err(internal(
                &layout.name,
                "rows with other columns were to be written",
            ));
        }
        let parts = layout.primary_key.iter().zip(layout.key.types());
        let key_parts = parts.map(|(&index, key_type)| key_type.values(batch.column(index)));
        let columns = layout.row_columns();
        let columns = columns.map(|index| (ArrayRef::clone(batch.column(index)), &layout.cells[index]));
        Ok(Self {
            key_parts: key_parts.collect::<Result<_>>()?,
            rows: RowEncoder::new(columns.collect()),
            layout,
            batch,
        })
    }

    fn has_key(&self) -> bool {
        !self.key_parts.is_empty()
    }

    /// The primary key of a row. Errors: `LimitExceeded`.
    fn key(&self, row: usize) -> Result<Vec<u8>> {
        let tuple = self.key_parts.iter().map(|part| part[row].clone());
        let tuple = tuple.collect::<Option<KeyTuple>>();
        let tuple = tuple
            .ok_or_else(|| internal(&self.layout.name, "a NULL was to be written into the primary key"))?;
        let key = OrderedKey::encode(&tuple);
        if key.len() > KEY_BYTES_MAX {
            return Err(ConnectorError::new(
                ErrorKind::LimitExceeded,
                format!("a primary key of table {} is too long", self.layout.name),
            )
            .detail(format!(
                "It has {} bytes, at most {KEY_BYTES_MAX} are kept.",
                key.len()
            )));
        }
        Ok(key)
    }

    /// The key of a row in PostgreSQL's words: `(a, b)=(1, x)`.
    fn shown(&self, row: usize) -> String {
        let columns = self.layout.primary_key.iter();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for &index in columns {
            names.push(self.layout.schema.field(index).name().as_str());
            values.push(array_value_to_string(self.batch.column(index), row).unwrap_or_default());
        }
        format!("({})=({})", names.join(", "), values.join(", "))
    }
}

fn internal(table: &TableName, what: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, format!("{what} of table {table}"))
}

/// 23505 in PostgreSQL's words.
pub(crate) fn duplicate_key(table: &TableName, shown: &str) -> ConnectorError {
    let message = format!(
        "duplicate key value violates unique constraint \"{}_pkey\"",
        table.table
    );
    ConnectorError::new(ErrorKind::DuplicateKey, message).detail(format!("Key {shown} already exists."))
}

/// Adds the rows of `batch`.
pub(crate) fn insert_batch(write: &Writing, layout: &TableLayout, batch: &RecordBatch) -> StoreResult<()> {
    let encoded = Encoded::new(layout, batch)?;
    let mut rows = write.entries(&layout.rows)?;
    let mut next = match encoded.has_key() {
        true => 0,
        false => next_number(rows.last_key()?)?,
    };
    let mut value = Vec::new();
    for row in 0..batch.num_rows() {
        encoded.rows.encode(row, &mut value)?;
        let key = if encoded.has_key() {
            encoded.key(row)?
        } else {
            next += 1;
            (next - 1).to_be_bytes().to_vec()
        };
        if rows.insert(&key, &value)? {
            return Err(duplicate_key(&layout.name, &encoded.shown(row)).into());
        }
    }
    Ok(())
}

/// The number of the next row of a table without a key: after the last one's.
fn next_number(last: Option<Vec<u8>>) -> StoreResult<u64> {
    let Some(last) = last else { return Ok(0) };
    let number = <[u8; 8]>::try_from(last.as_slice()).map(u64::from_be_bytes);
    let next = number.ok().and_then(|number| number.checked_add(1));
    next.ok_or_else(|| StoreError::damaged("a row of a table without a key has no number"))
}

/// Replaces the rows whose locators are the last column of `batch`; those whose keys change wait in `moved`.
pub(crate) fn replace_batch(
    write: &Writing,
    layout: &TableLayout,
    batch: &RecordBatch,
    moved: &mut Changes,
) -> StoreResult<()> {
    let encoded = Encoded::new(layout, batch)?;
    let locators = locators(&layout.name, batch)?;
    let mut rows = write.entries(&layout.rows)?;
    for (row, locator) in locators.iter().enumerate() {
        let mut value = Vec::new();
        encoded.rows.encode(row, &mut value)?;
        let key = if encoded.has_key() {
            encoded.key(row)?
        } else {
            locator.clone()
        };
        let replaced = if key == *locator {
            rows.insert(&key, &value)?
        } else {
            let removed = rows.remove(locator)?;
            let shown = encoded.shown(row);
            moved.bytes += key.len() + value.len() + shown.len();
            moved.rows.push(Moved {
                key,
                row: value,
                shown,
            });
            removed
        };
        if !replaced {
            return Err(internal(&layout.name, "a row is gone that was to be replaced").into());
        }
    }
    Ok(())
}

/// Gives the rows that left their keys the new ones.
pub(crate) fn move_rows(write: &Writing, layout: &TableLayout, moved: Changes) -> StoreResult<()> {
    let mut rows = write.entries(&layout.rows)?;
    for Moved { key, row, shown } in moved.rows {
        if rows.insert(&key, &row)? {
            return Err(duplicate_key(&layout.name, &shown).into());
        }
    }
    Ok(())
}

/// Deletes the rows whose locators are the only column of `batch`.
pub(crate) fn delete_batch(write: &Writing, layout: &TableLayout, batch: &RecordBatch) -> StoreResult<()> {
    let mut rows = write.entries(&layout.rows)?;
    for locator in locators(&layout.name, batch)? {
        if !rows.remove(&locator)? {
            return Err(internal(&layout.name, "a row is gone that was to be deleted").into());
        }
    }
    Ok(())
}

/// The locators in the last column of `batch`.
pub(crate) fn locators(table: &TableName, batch: &RecordBatch) -> Result<Vec<Vec<u8>>> {
    let last = batch.columns().last();
    let last = last.and_then(|column| column.as_binary_view_opt());
    let last = last.filter(|column| column.null_count() == 0);
    let last = last.ok_or_else(|| internal(table, "rows without locators were to be changed"))?;
    Ok(last.iter().flatten().map(<[u8]>::to_vec).collect())
}
