//! Batches to DataRow messages: each column's type and format are decided once a batch, each row is written straight
//! into the connection's buffer.

mod binary;

use bytes::{BufMut, BytesMut};
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;

use crate::values::column::Column;

/// Type byte of DataRow.
const DATA_ROW: u8 = b'D';
/// A length of NULL.
const NULL_LENGTH: i32 = -1;

/// The format of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

impl Format {
    /// The number that messages have for it.
    pub(super) fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// The rows of one batch, ready to be written.
pub(super) struct RowEncoder {
    columns: Vec<(Column, Format)>,
    rows: usize,
}

impl RowEncoder {
    /// Prepares `batch`; columns beyond those of `formats` are text. Timestamps with time zone are shown in `zone`. Errors: a column has a type without a text form.
    pub(super) fn new(batch: &RecordBatch, formats: &[Format], zone: Tz) -> Result<Self, ArrowError> {
        let formats = formats.iter().copied().chain(std::iter::repeat(Format::Text));
        let columns = batch
            .columns()
            .iter()
            .zip(formats)
            .map(|(array, format)| Ok((Column::new(array, zone)?, format)))
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self {
            columns,
            rows: batch.num_rows(),
        })
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one row. Errors: the row is larger than a message can be.
    pub(super) fn append(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        out.put_u8(DATA_ROW);
        let start = out.len();
        out.put_i32(0);
        out.put_u16(u16::try_from(self.columns.len()).map_err(|_| too_large())?);
        for (column, format) in &self.columns {
            column.append(row, *format, out)?;
        }
        patch_length(out, start, out.len() - start)
    }
}

fn patch_length(out: &mut BytesMut, at: usize, length: usize) -> Result<(), ArrowError> {
    let length = i32::try_from(length).map_err(|_| too_large())?;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn too_large() -> ArrowError {
    ArrowError::InvalidArgumentError("row is larger than a protocol message can be".to_owned())
}

impl Column {
    /// Appends the value with its length, or NULL.
    fn append(&self, row: usize, format: Format, out: &mut BytesMut) -> Result<(), ArrowError> {
        if self.is_null(row) {
            out.put_i32(NULL_LENGTH);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        match format {
            Format::Text => self.append_text(row, out)?,
            Format::Binary => self.append_binary(row, out)?,
        }
        patch_length(out, start, out.len() - start - 4)
    }
}
