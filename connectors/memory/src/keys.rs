//! Primary keys as bytes: equal keys have equal bytes, so that a chunk can be asked for one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, RecordBatch};
use arrow::compute::unary;
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::array_value_to_string;
use causeway_spi::{ConnectorError, ErrorKind};

/// Turns the key columns of rows to bytes.
#[derive(Debug)]
pub(crate) struct KeyEncoder {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl KeyEncoder {
    /// For the key `columns` of a table with `schema`.
    pub(crate) fn new(schema: &SchemaRef, columns: &[usize]) -> Result<Self, ArrowError> {
        let fields = columns
            .iter()
            .map(|&column| SortField::new(schema.field(column).data_type().clone()));
        Ok(Self {
            columns: columns.to_vec(),
            converter: RowConverter::new(fields.collect())?,
        })
    }

    /// The keys of the rows of a table.
    pub(crate) fn of_rows(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns = self.columns.iter().map(|&column| batch.column(column));
        self.of_columns(columns)
    }

    /// The keys whose values are `columns`, in the key's order.
    pub(crate) fn of_columns<'a>(
        &self,
        columns: impl Iterator<Item = &'a ArrayRef>,
    ) -> Result<Rows, ArrowError> {
        let columns: Vec<ArrayRef> = columns.map(one_zero).collect();
        self.converter.convert_columns(&columns)
    }
}

/// -0.0 is equal to 0.0, but has other bytes.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => match column.as_any().downcast_ref::<Float32Array>() {
            Some(values) => Arc::new(unary::<_, _, Float32Type>(values, |value| value + 0.0)),
            None => Arc::clone(column),
        },
        DataType::Float64 => match column.as_any().downcast_ref::<Float64Array>() {
            Some(values) => Arc::new(unary::<_, _, Float64Type>(values, |value| value + 0.0)),
            None => Arc::clone(column),
        },
        _ => Arc::clone(column),
    }
}

/// The rows of one chunk by their keys.
#[derive(Debug, Default)]
pub(crate) struct ChunkKeys {
    rows: HashMap<Box<[u8]>, usize>,
    bytes: usize,
}

impl ChunkKeys {
    /// The keys of the rows of `batch`, or the number of a row whose key another one has too.
    pub(crate) fn of(encoder: &KeyEncoder, batch: &RecordBatch) -> Result<Result<Self, usize>, ArrowError> {
        let keys = encoder.of_rows(batch)?;
        let mut rows = HashMap::with_capacity(keys.num_rows());
        let mut bytes = 0;
        for (row, key) in keys.iter().enumerate() {
            let key: Box<[u8]> = Box::from(key.as_ref());
            bytes += key.len() + size_of::<(Box<[u8]>, usize)>();
            if rows.insert(key, row).is_some() {
                return Ok(Err(row));
            }
        }
        Ok(Ok(Self { rows, bytes }))
    }

    /// The row with this key.
    pub(crate) fn row(&self, key: &[u8]) -> Option<usize> {
        self.rows.get(key).copied()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// 23505 in PostgreSQL's words, for the key of one row of `batch`.
pub(crate) fn duplicate_key(table: &str, key: &[usize], batch: &RecordBatch, row: usize) -> ConnectorError {
    let schema = batch.schema();
    let names: Vec<&str> = key
        .iter()
        .map(|&column| schema.field(column).name().as_str())
        .collect();
    let values = key
        .iter()
        .map(|&column| array_value_to_string(batch.column(column), row));
    let values: Vec<String> = values.map(Result::unwrap_or_default).collect();
    let message = format!("duplicate key value violates unique constraint \"{table}_pkey\"");
    ConnectorError::new(ErrorKind::DuplicateKey, message).detail(format!(
        "Key ({})=({}) already exists.",
        names.join(", "),
        values.join(", ")
    ))
}
