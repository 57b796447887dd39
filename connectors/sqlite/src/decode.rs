//! Rows into Arrow batches of the projected schema, value by value.
//!
//! A value that does not fit its column's type is NULL or an error that names table, column and row, as the catalog says.
//! A stored double in a column of decimals is the decimal nearest to it, rounded half away from zero at the column's scale.

use std::sync::Arc;

use arrow::array::builder::{
    BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, TimeUnit, i256};
use causeway_base_sql::{ColumnKind, SqlRead};
use causeway_spi::{ConnectorError, ErrorKind, ReadContext, Result};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::moment::{day_of_micros, day_of_text, micros_of_integer, micros_of_real, micros_of_text};
use crate::options::{DateNumbers, InvalidValues};

/// A double beyond this has more digits than any decimal.
const DECIMAL_MAX: f64 = 1e77;

/// How odd values are read in one catalog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OddValues {
    pub(crate) invalid: InvalidValues,
    pub(crate) date_numbers: DateNumbers,
}

/// Collects rows and closes batches at a bound of rows or bytes.
pub(crate) struct Batcher<'a> {
    read: &'a SqlRead,
    odd_values: OddValues,
    builders: Vec<Builder>,
    rows: usize,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

enum Builder {
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Boolean(BooleanBuilder),
    Float64(Float64Builder),
    Decimal128(Decimal128Builder, Digits),
    Decimal256(Decimal256Builder, Digits),
    Text(StringViewBuilder),
    /// Text in which numbers stand for their digits.
    Anything(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Date(Date32Builder),
    Moment(TimestampMicrosecondBuilder),
}

#[derive(Clone, Copy)]
struct Digits {
    precision: u8,
    scale: u8,
}

/// Why a value was refused; the caller adds table, column and row.
#[derive(Clone, Copy)]
enum Refusal {
    /// It is not of the column's type: NULL if the catalog says so.
    Unfit(&'static str),
    /// It cannot be read at all.
    Broken(&'static str),
}

const OUT_OF_RANGE: Refusal = Refusal::Unfit("it is out of range");
const OTHER_TYPE: Refusal = Refusal::Unfit("it is a value of another type");
const NOT_A_MOMENT: Refusal =
    Refusal::Unfit("it is not written as YYYY-MM-DD HH:MM:SS, or is no such moment");
const NOT_UTF8: Refusal = Refusal::Broken("the text is not valid UTF-8");
const TOO_LONG: Refusal = Refusal::Broken("it is longer than 4 GiB");

impl<'a> Batcher<'a> {
    /// Batches for `read`, within the bounds of `cx`.
    pub(crate) fn new(read: &'a SqlRead, odd_values: OddValues, cx: &ReadContext) -> Result<Self> {
        let builders = read
            .schema
            .fields()
            .iter()
            .zip(&read.columns)
            .map(|(field, profile)| {
                Builder::new(field.data_type(), &profile.kind).ok_or_else(|| {
                    ConnectorError::new(
                        ErrorKind::Internal,
                        format!(
                            "cannot read table {}: no reader for type {}",
                            read.table,
                            field.data_type()
                        ),
                    )
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            read,
            odd_values,
            builders,
            rows: 0,
            bytes: 0,
            rows_max: cx.batch_rows.max(1),
            bytes_max: cx.batch_bytes,
        })
    }

    /// Adds a row; returns its size and, when a bound is reached, the batch that it completes.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(usize, Option<RecordBatch>)> {
        let mut row_bytes = 0;
        for (index, builder) in self.builders.iter_mut().enumerate() {
            let value = row.get_ref(index).map_err(|error| {
                let message = format!("a row of table {} has too few columns", self.read.table);
                ConnectorError::new(ErrorKind::Internal, message).source(error)
            })?;
            row_bytes += size(value);
            let refusal = match builder.append(value, self.odd_values.date_numbers) {
                Ok(()) => continue,
                Err(refusal) => refusal,
            };
            match (refusal, self.odd_values.invalid) {
                (Refusal::Unfit(_), InvalidValues::Null) => builder.append_null(),
                (Refusal::Unfit(why), InvalidValues::Error) => {
                    let hint = "Correct the value, or set invalid = \"null\" for the catalog, or give the \
                                column another type with its option types.";
                    return Err(invalid(self.read, index, row, value, why).hint(hint));
                }
                (Refusal::Broken(why), _) => return Err(invalid(self.read, index, row, value, why)),
            }
        }
        self.rows += 1;
        self.bytes += row_bytes;
        let full = self.rows >= self.rows_max || self.bytes >= self.bytes_max;
        Ok((row_bytes, if full { self.finish()? } else { None }))
    }

    /// The rows that are left.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.read.schema), arrays, &options)
            .map(Some)
            .map_err(|error| {
                ConnectorError::new(
                    ErrorKind::Changed,
                    format!("table {} has changed since it was planned", self.read.table),
                )
                .hint("Run the query again.")
                .source(error)
            })
    }
}

fn invalid(
    read: &SqlRead,
    index: usize,
    row: &Row<'_>,
    value: ValueRef<'_>,
    why: &'static str,
) -> ConnectorError {
    let profile = read.columns.get(index);
    let name = profile.map_or("?", |profile| profile.name.as_str());
    let declared = profile.map_or("?", |profile| profile.native_type.as_str());
    let place = match row.get_ref(read.columns.len()) {
        Ok(ValueRef::Integer(row_id)) if read.row_ids => format!(" in the row with rowid {row_id}"),
        _ => String::new(),
    };
    let class = match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Real(_) => "a floating point number",
        ValueRef::Text(_) => "a text",
        ValueRef::Blob(_) => "a blob",
    };
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!(
            "a value of column \"{name}\" of table {} cannot be read{place}",
            read.table
        ),
    )
    .detail(format!(
        "The column has the type {declared}, the value is {class}: {why}."
    ))
}

/// About how many bytes a value takes in the file and in a batch.
fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 1,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => 16 + bytes.len(),
    }
}

impl Builder {
    fn new(data_type: &DataType, kind: &ColumnKind) -> Option<Self> {
        let digits = |precision: u8, scale: i8| {
            Some(Digits {
                precision,
                scale: u8::try_from(scale).ok()?,
            })
        };
        Some(match data_type {
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal128(
                Decimal128Builder::new().with_data_type(data_type.clone()),
                digits(*precision, *scale)?,
            ),
            DataType::Decimal256(precision, scale) => Self::Decimal256(
                Decimal256Builder::new().with_data_type(data_type.clone()),
                digits(*precision, *scale)?,
            ),
            DataType::Utf8View if matches!(kind, ColumnKind::Dynamic(_)) => {
                Self::Text(StringViewBuilder::new())
            }
            DataType::Utf8View => Self::Anything(StringViewBuilder::new()),
            DataType::BinaryView => Self::Bytes(BinaryViewBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Moment(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            _ => return None,
        })
    }

    fn append(&mut self, value: ValueRef<'_>, numbers: DateNumbers) -> Result<(), Refusal> {
        if matches!(value, ValueRef::Null) {
            self.append_null();
            return Ok(());
        }
        match self {
            Self::Int16(builder) => builder.append_value(integer(value)?),
            Self::Int32(builder) => builder.append_value(integer(value)?),
            Self::Int64(builder) => builder.append_value(integer(value)?),
            Self::Boolean(builder) => builder.append_value(match value {
                ValueRef::Integer(0) => false,
                ValueRef::Integer(1) => true,
                ValueRef::Integer(_) => return Err(OUT_OF_RANGE),
                _ => return Err(OTHER_TYPE),
            }),
            Self::Float64(builder) => builder.append_value(double(value)?),
            Self::Decimal128(builder, digits) => {
                builder.append_value(decimal(value, *digits)?.to_i128().ok_or(OUT_OF_RANGE)?);
            }
            Self::Decimal256(builder, digits) => builder.append_value(decimal(value, *digits)?),
            Self::Text(builder) => match value {
                ValueRef::Text(bytes) => append_text(builder, bytes)?,
                _ => return Err(OTHER_TYPE),
            },
            Self::Anything(builder) => match value {
                ValueRef::Text(bytes) => append_text(builder, bytes)?,
                ValueRef::Integer(number) => builder.append_value(number.to_string()),
                // With the exponent that makes it short, and a point that tells it from an integer.
                ValueRef::Real(number) => builder.append_value(format!("{number:?}")),
                _ => return Err(OTHER_TYPE),
            },
            Self::Bytes(builder) => match value {
                ValueRef::Blob(bytes) => builder.try_append_value(bytes).map_err(|_| TOO_LONG)?,
                _ => return Err(OTHER_TYPE),
            },
            Self::Date(builder) => builder.append_value(
                match value {
                    ValueRef::Text(text) => day_of_text(text),
                    other => micros_of_number(other, numbers)?.and_then(day_of_micros),
                }
                .ok_or(NOT_A_MOMENT)?,
            ),
            Self::Moment(builder) => builder.append_value(
                match value {
                    ValueRef::Text(text) => micros_of_text(text),
                    other => micros_of_number(other, numbers)?,
                }
                .ok_or(NOT_A_MOMENT)?,
            ),
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal128(builder, _) => builder.append_null(),
            Self::Decimal256(builder, _) => builder.append_null(),
            Self::Text(builder) | Self::Anything(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Moment(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal128(builder, _) => Arc::new(builder.finish()),
            Self::Decimal256(builder, _) => Arc::new(builder.finish()),
            Self::Text(builder) | Self::Anything(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Moment(builder) => Arc::new(builder.finish()),
        }
    }
}

fn integer<T: TryFrom<i64>>(value: ValueRef<'_>) -> Result<T, Refusal> {
    match value {
        ValueRef::Integer(number) => T::try_from(number).map_err(|_| OUT_OF_RANGE),
        _ => Err(OTHER_TYPE),
    }
}

/// An integer only if a double holds it exactly.
fn double(value: ValueRef<'_>) -> Result<f64, Refusal> {
    match value {
        ValueRef::Real(number) => Ok(number),
        ValueRef::Integer(number) => exact_double(number).ok_or(OUT_OF_RANGE),
        _ => Err(OTHER_TYPE),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "compared with the original in more bits"
)]
fn exact_double(number: i64) -> Option<f64> {
    let double = number as f64;
    (double as i128 == i128::from(number)).then_some(double)
}

/// The digits of a number at the column's scale.
fn decimal(value: ValueRef<'_>, digits: Digits) -> Result<i256, Refusal> {
    let ten = i256::from_i128(10);
    let number = match value {
        ValueRef::Integer(number) => ten
            .checked_pow(digits.scale.into())
            .and_then(|unit| i256::from_i128(number.into()).checked_mul(unit))
            .ok_or(OUT_OF_RANGE)?,
        ValueRef::Real(number) => rounded(number, digits.scale)?,
        _ => return Err(OTHER_TYPE),
    };
    let limit = ten.checked_pow(digits.precision.into()).ok_or(OUT_OF_RANGE)?;
    match number < limit && number.wrapping_neg() < limit {
        true => Ok(number),
        false => Err(OUT_OF_RANGE),
    }
}

/// The shortest decimal that is this double, rounded half away from zero to `scale` digits.
fn rounded(number: f64, scale: u8) -> Result<i256, Refusal> {
    if number.is_nan() || number.abs() >= DECIMAL_MAX {
        return Err(OUT_OF_RANGE);
    }
    let text = number.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let scale = usize::from(scale);
    let kept: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(scale)
        .collect();
    let up = fraction.as_bytes().get(scale).is_some_and(|digit| *digit >= b'5');
    let magnitude = i256::from_string(&format!("{whole}{kept}"))
        .and_then(|magnitude| magnitude.checked_add(i256::from_i128(up.into())))
        .ok_or(OUT_OF_RANGE)?;
    Ok(match number < 0.0 {
        true => magnitude.wrapping_neg(),
        false => magnitude,
    })
}

fn append_text(builder: &mut StringViewBuilder, bytes: &[u8]) -> Result<(), Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
    builder.try_append_value(text).map_err(|_| TOO_LONG)
}

fn micros_of_number(value: ValueRef<'_>, numbers: DateNumbers) -> Result<Option<i64>, Refusal> {
    match value {
        _ if numbers == DateNumbers::Refuse => Err(OTHER_TYPE),
        ValueRef::Integer(number) => Ok(micros_of_integer(number, numbers)),
        ValueRef::Real(number) => Ok(micros_of_real(number, numbers)),
        _ => Err(OTHER_TYPE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_become_the_decimals_they_were_written_as() {
        let digits = Digits {
            precision: 12,
            scale: 2,
        };
        let read = |value| decimal(value, digits).ok().and_then(i256::to_i128);
        for (number, expected) in [
            (0.1, 10),
            (0.1 + 0.2, 30),
            (1.005, 101),
            (-1.005, -101),
            (2.675, 268),
            (9_999_999_999.99, 999_999_999_999),
            (1e-300, 0),
            (-0.0, 0),
        ] {
            assert_eq!(read(ValueRef::Real(number)), Some(expected), "{number}");
        }
        assert_eq!(read(ValueRef::Integer(-7)), Some(-700));
        for value in [
            ValueRef::Real(1e10),
            ValueRef::Real(f64::INFINITY),
            ValueRef::Real(f64::NAN),
            ValueRef::Integer(i64::MAX),
            ValueRef::Text(b"1"),
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
        let wide = Digits {
            precision: 76,
            scale: 10,
        };
        assert!(decimal(ValueRef::Integer(i64::MIN), wide).is_ok());
        assert!(decimal(ValueRef::Real(9e75), wide).is_err());
    }

    #[test]
    fn integers_are_doubles_only_where_nothing_is_lost() {
        assert!(double(ValueRef::Integer(1 << 53)).is_ok());
        assert!(double(ValueRef::Integer((1 << 53) + 1)).is_err());
        assert!(double(ValueRef::Integer(i64::MAX)).is_err());
        assert!(double(ValueRef::Integer(i64::MIN)).is_ok());
    }
}
