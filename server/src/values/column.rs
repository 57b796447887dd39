//! Columns as PostgreSQL shows them: each column's type is decided once a batch.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use chrono_tz::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Decimal128Array, Decimal256Array,
    Float32Array, Float64Array, LargeBinaryArray, LargeStringArray, ListArray, PrimitiveArray, StringArray,
    StringViewArray, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::text;

/// One column, its type decided.
pub(crate) enum Column {
    Null,
    Boolean(BooleanArray),
    Int8(PrimitiveArray<Int8Type>),
    Int16(PrimitiveArray<Int16Type>),
    Int32(PrimitiveArray<Int32Type>),
    Int64(PrimitiveArray<Int64Type>),
    UInt8(PrimitiveArray<UInt8Type>),
    UInt16(PrimitiveArray<UInt16Type>),
    UInt32(PrimitiveArray<UInt32Type>),
    UInt64(PrimitiveArray<UInt64Type>),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal128(Decimal128Array),
    Decimal256(Decimal256Array),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    /// In the zone in which it is shown, if it has one.
    Timestamp(PrimitiveArray<TimestampMicrosecondType>, Option<Tz>),
    Interval(PrimitiveArray<IntervalMonthDayNanoType>),
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    List(ListArray, Box<Column>),
    Struct(StructArray, Vec<Column>),
    /// Any other type, in Arrow's own words.
    Other(ArrayRef),
}

impl Column {
    /// Errors: a column has a type without a text form. Timestamps with time zone are shown in `shown_in`.
    pub(crate) fn new(array: &ArrayRef, shown_in: Tz) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            DataType::Int8 => Self::Int8(array.as_primitive().clone()),
            DataType::Int16 => Self::Int16(array.as_primitive().clone()),
            DataType::Int32 => Self::Int32(array.as_primitive().clone()),
            DataType::Int64 => Self::Int64(array.as_primitive().clone()),
            DataType::UInt8 => Self::UInt8(array.as_primitive().clone()),
            DataType::UInt16 => Self::UInt16(array.as_primitive().clone()),
            DataType::UInt32 => Self::UInt32(array.as_primitive().clone()),
            DataType::UInt64 => Self::UInt64(array.as_primitive().clone()),
            DataType::Float32 => Self::Float32(array.as_primitive().clone()),
            DataType::Float64 => Self::Float64(array.as_primitive().clone()),
            DataType::Decimal128(..) => Self::Decimal128(array.as_primitive().clone()),
            DataType::Decimal256(..) => Self::Decimal256(array.as_primitive().clone()),
            DataType::Date32 => Self::Date(array.as_primitive().clone()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Self::Timestamp(array.as_primitive().clone(), zone.as_ref().map(|_| shown_in))
            }
            DataType::Timestamp(_, zone) => {
                let microseconds = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                return Self::new(&cast(array, &microseconds)?, shown_in);
            }
            DataType::Date64 => {
                return Self::new(
                    &cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
                    shown_in,
                );
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                return Self::new(&cast(array, &DataType::Time64(TimeUnit::Microsecond))?, shown_in);
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => Self::Interval(array.as_primitive().clone()),
            DataType::Interval(_) => {
                return Self::new(
                    &cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?,
                    shown_in,
                );
            }
            DataType::Utf8 => Self::Utf8(array.as_string().clone()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string().clone()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view().clone()),
            DataType::Binary => Self::Binary(array.as_binary().clone()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary().clone()),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view().clone()),
            DataType::Dictionary(_, value) => return Self::new(&cast(array, value)?, shown_in),
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                Self::List(list.clone(), Box::new(Self::new(list.values(), shown_in)?))
            }
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                return Self::new(&cast(array, &DataType::List(Arc::clone(item)))?, shown_in);
            }
            DataType::Struct(_) => {
                let fields = array.as_struct();
                let columns = fields
                    .columns()
                    .iter()
                    .map(|column| Self::new(column, shown_in))
                    .collect::<Result<_, _>>()?;
                Self::Struct(fields.clone(), columns)
            }
            _ => Self::Other(Arc::clone(array)),
        })
    }

    /// Whether the value is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(array) => array.is_null(row),
            Self::Int8(array) => array.is_null(row),
            Self::Int16(array) => array.is_null(row),
            Self::Int32(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::UInt8(array) => array.is_null(row),
            Self::UInt16(array) => array.is_null(row),
            Self::UInt32(array) => array.is_null(row),
            Self::UInt64(array) => array.is_null(row),
            Self::Float32(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Decimal128(array) => array.is_null(row),
            Self::Decimal256(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Timestamp(array, _) => array.is_null(row),
            Self::Interval(array) => array.is_null(row),
            Self::Utf8(array) => array.is_null(row),
            Self::LargeUtf8(array) => array.is_null(row),
            Self::Utf8View(array) => array.is_null(row),
            Self::Binary(array) => array.is_null(row),
            Self::LargeBinary(array) => array.is_null(row),
            Self::BinaryView(array) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
            Self::Struct(array, _) => array.is_null(row),
            Self::Other(array) => array.is_null(row),
        }
    }

    /// Appends the text of a value that is not NULL.
    pub(crate) fn append_text(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        match self {
            Self::Null => {}
            Self::Boolean(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
            Self::Int8(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::Int16(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::Int32(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::Int64(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::UInt8(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::UInt16(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::UInt32(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::UInt64(array) => text::write(out, format_args!("{}", array.value(row))),
            Self::Float32(array) => {
                let value = array.value(row);
                text::float(out, f64::from(value), &format!("{value:e}"), 6);
            }
            Self::Float64(array) => {
                text::float(out, array.value(row), &format!("{:e}", array.value(row)), 15)
            }
            Self::Decimal128(array) => {
                let shown =
                    Decimal128Type::format_decimal(array.value(row), array.precision(), array.scale());
                out.put_slice(shown.as_bytes());
            }
            Self::Decimal256(array) => {
                let shown =
                    Decimal256Type::format_decimal(array.value(row), array.precision(), array.scale());
                out.put_slice(shown.as_bytes());
            }
            Self::Date(array) => text::date(out, i64::from(array.value(row))),
            Self::Time(array) => text::time(out, array.value(row)),
            Self::Timestamp(array, None) => text::timestamp(out, array.value(row)),
            Self::Timestamp(array, Some(zone)) => text::timestamptz(out, array.value(row), *zone),
            Self::Interval(array) => {
                let value = array.value(row);
                text::interval(out, value.months, value.days, value.nanoseconds);
            }
            Self::Utf8(array) => out.put_slice(array.value(row).as_bytes()),
            Self::LargeUtf8(array) => out.put_slice(array.value(row).as_bytes()),
            Self::Utf8View(array) => out.put_slice(array.value(row).as_bytes()),
            Self::Binary(array) => text::bytes(out, array.value(row)),
            Self::LargeBinary(array) => text::bytes(out, array.value(row)),
            Self::BinaryView(array) => text::bytes(out, array.value(row)),
            Self::List(array, items) => return append_list(array, items, row, out),
            Self::Struct(_, columns) => return append_record(columns, row, out),
            Self::Other(array) => {
                let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())?;
                text::write(out, format_args!("{}", formatter.value(row)));
            }
        }
        Ok(())
    }
}

fn no_such_row() -> ArrowError {
    ArrowError::InvalidArgumentError("the list has no such row".to_owned())
}

/// Where the items of the list in `row` stand among those of all rows.
pub(crate) fn items_of(array: &ListArray, row: usize) -> Result<std::ops::Range<usize>, ArrowError> {
    let offsets = array.value_offsets();
    let bounds = offsets
        .get(row)
        .zip(offsets.get(row + 1))
        .ok_or_else(no_such_row)?;
    Ok(usize::try_from(*bounds.0).unwrap_or(0)..usize::try_from(*bounds.1).unwrap_or(0))
}

/// `{1,NULL,"a b"}`; the items of lists inside are not quoted again.
fn append_list(array: &ListArray, items: &Column, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
    let range = items_of(array, row)?;
    out.put_u8(b'{');
    let first = range.start;
    for item in range {
        if item > first {
            out.put_u8(b',');
        }
        if items.is_null(item) {
            out.put_slice(b"NULL");
        } else if matches!(items, Column::List(..)) {
            items.append_text(item, out)?;
        } else {
            let mut shown = BytesMut::new();
            items.append_text(item, &mut shown)?;
            text::element(out, &shown, b'\\');
        }
    }
    out.put_u8(b'}');
    Ok(())
}

/// `(1,"a b",)`.
fn append_record(columns: &[Column], row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
    out.put_u8(b'(');
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        if !column.is_null(row) {
            let mut shown = BytesMut::new();
            column.append_text(row, &mut shown)?;
            text::element(out, &shown, b'"');
        }
    }
    out.put_u8(b')');
    Ok(())
}
