//! The columns of a row that are not its key, as bytes, and back to Arrow.
//!
//! A row is a bit for each column, set where it is NULL, then the values that are not, one after the other: those of a
//! fixed width in little-endian bytes, text and bytes after their length, lists after the number of their items and the
//! items' NULL bits. A length is seven bits a byte, the lowest first, the eighth set where more follow.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryViewBuilder, BooleanBuilder, ListArray, NullBufferBuilder,
    StringViewBuilder, make_array,
};
use arrow::buffer::{Buffer, MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};
use causeway_base_kv::KeyValue;
use causeway_spi::{ConnectorError, ErrorKind, Result};

/// The bytes in the file are those of Arrow's arrays.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "rows are kept in little-endian bytes"
);

/// Most bytes of one row: as many as a batch can hold with ease.
pub(crate) const ROW_BYTES_MAX: usize = 256 << 20;

/// How the values of one type are kept.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Boolean,
    /// Of so many bytes.
    Fixed(usize),
    Text,
    Bytes,
    List(FieldRef, Box<Cell>),
}

impl Cell {
    /// How values of `data_type` are kept; `None` for types that are not.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Utf8View => Self::Text,
            DataType::BinaryView => Self::Bytes,
            DataType::List(item) => Self::List(Arc::clone(item), Box::new(Self::of(item.data_type())?)),
            other => Self::Fixed(other.primitive_width()?),
        })
    }

    /// Steps over one value; `None` when the bytes end before it.
    fn skip(&self, rest: &mut &[u8]) -> Option<()> {
        match self {
            Self::Boolean => take(rest, 1).map(|_| ()),
            Self::Fixed(width) => take(rest, *width).map(|_| ()),
            Self::Text | Self::Bytes => {
                let length = take_length(rest)?;
                take(rest, length).map(|_| ())
            }
            Self::List(_, item) => {
                let count = take_length(rest)?;
                let nulls = take(rest, count.div_ceil(8))?;
                for index in 0..count {
                    if !is_null(nulls, index) {
                        item.skip(rest)?;
                    }
                }
                Some(())
            }
        }
    }
}

/// The columns of one batch to be written, in the order of the row.
pub(crate) struct RowEncoder {
    columns: Vec<(ArrayRef, Values)>,
}

/// A column's values within reach.
enum Values {
    Boolean,
    Fixed { bytes: Buffer, width: usize },
    Text,
    Bytes,
    List(Box<(ArrayRef, Values)>),
}

impl Values {
    fn of(array: &ArrayRef, cell: &Cell) -> Self {
        match cell {
            Cell::Boolean => Self::Boolean,
            Cell::Text => Self::Text,
            Cell::Bytes => Self::Bytes,
            Cell::Fixed(width) => {
                let data = array.to_data();
                let from = data.offset() * width;
                let bytes = data.buffers()[0].slice_with_length(from, data.len() * width);
                Self::Fixed { bytes, width: *width }
            }
            Cell::List(_, item) => {
                let items = Arc::clone(array.as_list::<i32>().values());
                let values = Self::of(&items, item);
                Self::List(Box::new((items, values)))
            }
        }
    }

    /// Appends the value at `row` of `array`, which is not NULL.
    fn push(&self, array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Boolean => out.push(array.as_boolean().value(row).into()),
            Self::Fixed { bytes, width } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
            Self::Text => push_bytes(out, array.as_string_view().value(row).as_bytes()),
            Self::Bytes => push_bytes(out, array.as_binary_view().value(row)),
            Self::List(inner) => {
                let (items, values) = inner.as_ref();
                let offsets = array.as_list::<i32>().value_offsets();
                // Offsets of an Arrow list are never negative.
                let at = |row: usize| usize::try_from(offsets[row]).unwrap_or_default();
                let (from, to) = (at(row), at(row + 1));
                push_length(out, to - from);
                push_values(out, (from..to).map(|item| (items, values, item)));
            }
        }
    }
}

/// Appends the NULL bits and the values of what stands at the given rows of the given arrays.
fn push_values<'a>(
    out: &mut Vec<u8>,
    places: impl ExactSizeIterator<Item = (&'a ArrayRef, &'a Values, usize)>,
) {
    let nulls = out.len();
    out.resize(nulls + places.len().div_ceil(8), 0);
    for (index, (array, values, row)) in places.enumerate() {
        if array.is_null(row) {
            out[nulls + index / 8] |= 1 << (index % 8);
        } else {
            values.push(array, row, out);
        }
    }
}

impl RowEncoder {
    /// Of columns of the types that `cells` keep.
    pub(crate) fn new(columns: Vec<(ArrayRef, &Cell)>) -> Self {
        let columns = columns.into_iter().map(|(array, cell)| {
            let values = Values::of(&array, cell);
            (array, values)
        });
        Self {
            columns: columns.collect(),
        }
    }

    /// Writes the row at `row` over what `out` held. Errors: `LimitExceeded`.
    pub(crate) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        push_values(
            out,
            self.columns.iter().map(|(array, values)| (array, values, row)),
        );
        if out.len() > ROW_BYTES_MAX {
            return Err(ConnectorError::new(
                ErrorKind::LimitExceeded,
                format!(
                    "a row of {} bytes is too large, at most {ROW_BYTES_MAX} are kept",
                    out.len()
                ),
            ));
        }
        Ok(())
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).expect("seven bits"));
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

fn is_null(nulls: &[u8], index: usize) -> bool {
    nulls
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Reads rows into the columns that are asked for.
pub(crate) struct RowDecoder {
    /// For each column of the row, how it is kept and where among the builders it goes.
    columns: Vec<(Cell, Option<usize>)>,
    /// The number of the row's columns.
    all: usize,
}

impl RowDecoder {
    /// Of rows of `columns`; the columns after the last that goes anywhere are not looked at.
    pub(crate) fn new(mut columns: Vec<(Cell, Option<usize>)>) -> Self {
        let all = columns.len();
        let last = columns.iter().rposition(|(_, target)| target.is_some());
        columns.truncate(last.map_or(0, |last| last + 1));
        Self { columns, all }
    }

    /// Appends the row's values to `builders`; `None` when the bytes are no row.
    pub(crate) fn decode(&self, row: &[u8], builders: &mut [ColumnBuilder]) -> Option<()> {
        let mut rest = row;
        let nulls = take(&mut rest, self.all.div_ceil(8))?;
        for (index, (cell, target)) in self.columns.iter().enumerate() {
            match (is_null(nulls, index), target) {
                (true, Some(target)) => builders[*target].push_null(),
                (true, None) => {}
                (false, Some(target)) => builders[*target].push(&mut rest)?,
                (false, None) => cell.skip(&mut rest)?,
            }
        }
        Some(())
    }
}

/// One column of a batch under construction.
pub(crate) struct ColumnBuilder {
    data_type: DataType,
    values: BuilderValues,
    bytes: usize,
}

enum BuilderValues {
    Boolean(BooleanBuilder),
    Fixed {
        width: usize,
        bytes: MutableBuffer,
        nulls: NullBufferBuilder,
    },
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    List {
        item: FieldRef,
        offsets: Vec<i32>,
        nulls: NullBufferBuilder,
        items: Box<ColumnBuilder>,
    },
}

impl ColumnBuilder {
    /// For values of `data_type`, kept as `cell` says.
    pub(crate) fn new(data_type: DataType, cell: &Cell) -> Self {
        let values = match cell {
            Cell::Boolean => BuilderValues::Boolean(BooleanBuilder::new()),
            Cell::Fixed(width) => BuilderValues::Fixed {
                width: *width,
                bytes: MutableBuffer::new(0),
                nulls: NullBufferBuilder::new(0),
            },
            Cell::Text => BuilderValues::Text(StringViewBuilder::new()),
            Cell::Bytes => BuilderValues::Bytes(BinaryViewBuilder::new()),
            Cell::List(item, cell) => BuilderValues::List {
                item: Arc::clone(item),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
                items: Box::new(Self::new(item.data_type().clone(), cell)),
            },
        };
        Self {
            data_type,
            values,
            bytes: 0,
        }
    }

    /// The bytes of the values so far, about.
    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            BuilderValues::List { items, .. } => self.bytes + items.bytes(),
            _ => self.bytes,
        }
    }

    fn push_null(&mut self) {
        self.bytes += 1;
        match &mut self.values {
            BuilderValues::Boolean(builder) => builder.append_null(),
            BuilderValues::Fixed { width, bytes, nulls } => {
                bytes.extend_zeros(*width);
                nulls.append_null();
            }
            BuilderValues::Text(builder) => builder.append_null(),
            BuilderValues::Bytes(builder) => builder.append_null(),
            BuilderValues::List { offsets, nulls, .. } => {
                offsets.push(offsets.last().copied().unwrap_or_default());
                nulls.append_null();
            }
        }
    }

    /// Takes one value off the bytes of a row.
    fn push(&mut self, rest: &mut &[u8]) -> Option<()> {
        let before = rest.len();
        match &mut self.values {
            BuilderValues::Boolean(builder) => builder.append_value(take(rest, 1)? != [0]),
            BuilderValues::Fixed { width, bytes, nulls } => {
                bytes.extend_from_slice(take(rest, *width)?);
                nulls.append_non_null();
            }
            BuilderValues::Text(builder) => {
                let length = take_length(rest)?;
                let text = std::str::from_utf8(take(rest, length)?).ok()?;
                builder.try_append_value(text).ok()?;
            }
            BuilderValues::Bytes(builder) => {
                let length = take_length(rest)?;
                builder.try_append_value(take(rest, length)?).ok()?;
            }
            BuilderValues::List {
                offsets,
                nulls,
                items,
                ..
            } => {
                let count = take_length(rest)?;
                let item_nulls = take(rest, count.div_ceil(8))?;
                for index in 0..count {
                    if is_null(item_nulls, index) {
                        items.push_null();
                    } else {
                        items.push(rest)?;
                    }
                }
                let end = offsets.last()?.checked_add(i32::try_from(count).ok()?)?;
                offsets.push(end);
                nulls.append_non_null();
            }
        }
        self.bytes += before - rest.len();
        Some(())
    }

    /// Appends a part of a key; `None` when it is not of the column's type.
    pub(crate) fn push_key(&mut self, value: &KeyValue) -> Option<()> {
        self.bytes += 8;
        match (&mut self.values, value) {
            (BuilderValues::Boolean(builder), KeyValue::Int(number)) => builder.append_value(*number != 0),
            (BuilderValues::Text(builder), KeyValue::Text(text)) => {
                self.bytes += text.len();
                builder.try_append_value(text).ok()?;
            }
            (BuilderValues::Bytes(builder), KeyValue::Bytes(bytes)) => {
                self.bytes += bytes.len();
                builder.try_append_value(bytes).ok()?;
            }
            (BuilderValues::Fixed { width, bytes, nulls }, value) => {
                match (width, value) {
                    (2, KeyValue::Int(number)) => bytes.push(i16::try_from(*number).ok()?),
                    (4, KeyValue::Int(number)) => bytes.push(i32::try_from(*number).ok()?),
                    (8, KeyValue::Int(number)) => bytes.push(*number),
                    (4, KeyValue::Date(days)) => bytes.push(*days),
                    (16, KeyValue::Decimal(number)) => bytes.push(*number),
                    _ => return None,
                }
                nulls.append_non_null();
            }
            _ => return None,
        }
        Some(())
    }

    /// The column so far; the builder starts again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        self.bytes = 0;
        Ok(match &mut self.values {
            BuilderValues::Boolean(builder) => Arc::new(builder.finish()),
            BuilderValues::Text(builder) => Arc::new(builder.finish()),
            BuilderValues::Bytes(builder) => Arc::new(builder.finish()),
            BuilderValues::Fixed { width, bytes, nulls } => {
                let bytes = std::mem::replace(bytes, MutableBuffer::new(0));
                let data = ArrayData::builder(self.data_type.clone())
                    .len(bytes.len() / *width)
                    .nulls(nulls.finish())
                    .add_buffer(bytes.into())
                    .build()
                    .map_err(unfitting)?;
                make_array(data)
            }
            BuilderValues::List {
                item,
                offsets,
                nulls,
                items,
            } => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let list = ListArray::try_new(Arc::clone(item), offsets, items.finish()?, nulls.finish());
                Arc::new(list.map_err(unfitting)?)
            }
        })
    }
}

fn unfitting(error: arrow::error::ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, "rows do not fit their columns").source(error)
}

#[cfg(test)]
mod tests;
