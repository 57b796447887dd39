//! Values in Postgres' binary format.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{Array, ListArray};
use datafusion::arrow::error::ArrowError;

use super::{Column, Format, too_large};
use crate::frontend::pg::params::{EPOCH_DAYS, EPOCH_MICROSECONDS};
use crate::frontend::pg::types;
use crate::values::column::items_of;
use crate::values::decimal::{write_i128, write_i256};

impl Column {
    /// Appends the binary form of a value that is not NULL. What Postgres has no type for is sent as text, as which it is
    /// described.
    pub(super) fn append_binary(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        match self {
            Self::Null => {}
            Self::Boolean(array) => out.put_u8(u8::from(array.value(row))),
            Self::Int8(array) => out.put_i16(i16::from(array.value(row))),
            Self::UInt8(array) => out.put_i16(i16::from(array.value(row))),
            Self::Int16(array) => out.put_i16(array.value(row)),
            Self::UInt16(array) => out.put_i32(i32::from(array.value(row))),
            Self::Int32(array) => out.put_i32(array.value(row)),
            Self::UInt32(array) => out.put_u32(array.value(row)),
            Self::Int64(array) => out.put_i64(array.value(row)),
            Self::UInt64(array) => out.put_u64(array.value(row)),
            Self::Float32(array) => out.put_f32(array.value(row)),
            Self::Float64(array) => out.put_f64(array.value(row)),
            Self::Decimal128(array) => write_i128(out, array.value(row), array.scale()),
            Self::Decimal256(array) => write_i256(out, array.value(row), array.scale()),
            Self::Date(array) => out.put_i32(array.value(row).saturating_sub(EPOCH_DAYS)),
            Self::Time(array) => out.put_i64(array.value(row)),
            Self::Timestamp(array, _) => {
                let since_1970 = array.value(row);
                let value = since_1970
                    .checked_sub(EPOCH_MICROSECONDS)
                    .ok_or_else(|| ArrowError::ArithmeticOverflow("timestamp out of range".to_owned()))?;
                out.put_i64(value);
            }
            Self::Interval(array) => {
                let value = array.value(row);
                out.put_i64(value.nanoseconds / 1_000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            Self::Utf8(_) | Self::LargeUtf8(_) | Self::Utf8View(_) | Self::Other(_) => {
                return self.append_text(row, out);
            }
            Self::Binary(array) => out.put_slice(array.value(row)),
            Self::LargeBinary(array) => out.put_slice(array.value(row)),
            Self::BinaryView(array) => out.put_slice(array.value(row)),
            Self::List(array, items) => return append_array(array, items, row, out),
            Self::Struct(array, columns) => {
                out.put_i32(i32::try_from(columns.len()).map_err(|_| too_large())?);
                for (column, field) in columns.iter().zip(array.columns()) {
                    out.put_u32(types::oid(field.data_type()));
                    column.append(row, Format::Binary, out)?;
                }
            }
        }
        Ok(())
    }
}

/// Dimensions, whether there are NULLs, the items' type; then for each dimension its length and first index; the items.
fn append_array(array: &ListArray, items: &Column, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
    if matches!(items, Column::List(..)) {
        return Err(ArrowError::NotYetImplemented(
            "arrays of arrays cannot be sent in binary format".to_owned(),
        ));
    }
    let range = items_of(array, row)?;
    let has_nulls = range.clone().any(|item| items.is_null(item));
    out.put_i32(i32::from(!range.is_empty()));
    out.put_i32(i32::from(has_nulls));
    out.put_u32(types::oid(array.values().data_type()));
    if !range.is_empty() {
        out.put_i32(i32::try_from(range.len()).map_err(|_| too_large())?);
        out.put_i32(1);
    }
    for item in range {
        items.append(item, Format::Binary, out)?;
    }
    Ok(())
}
