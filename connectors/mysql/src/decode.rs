//! Rows of the binary protocol into Arrow batches of the projected schema, value by value.
//!
//! Zero, partial and impossible dates become NULL. Any other value that does not fit its column's type is an error that
//! names table and column.

use std::sync::Arc;

use arrow::array::builder::{
    BinaryViewBuilder, Date32Builder, Decimal128Builder, Decimal256Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, i256};
use arrow::error::ArrowError;
use causeway_base_sql::ColumnProfile;
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};
use mysql_async::consts::ColumnType;
use mysql_async::{Column, Value};

/// Microseconds of a day.
pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_1970: i64 = 719_468;
/// Fewer digits than this always fit 64 bits with a sign.
const SHORT_DIGITS_END: usize = 19;
/// Days of 400 years.
const DAYS_PER_ERA: i64 = 146_097;

/// Collects rows and closes batches at a bound of rows or bytes.
pub(crate) struct Batcher {
    table: TableName,
    schema: SchemaRef,
    columns: Vec<ColumnDecoder>,
    rows: usize,
    bytes: usize,
    received: usize,
    rows_max: usize,
    bytes_max: usize,
}

struct ColumnDecoder {
    name: String,
    native_type: String,
    /// Bytes of a number of this column as it is sent.
    number_bytes: usize,
    builder: Builder,
}

enum Builder {
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Decimal128(Decimal128Builder, usize),
    Decimal256(Decimal256Builder, usize),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringViewBuilder, usize),
    Bytes(BinaryViewBuilder),
}

/// Why a value was refused; the caller adds table and column.
type Refusal = &'static str;

impl Batcher {
    /// Batches of `schema`, whose columns have these profiles, of at most `rows_max` rows and about `bytes_max` bytes.
    pub(crate) fn new(
        table: TableName,
        schema: SchemaRef,
        profiles: &[ColumnProfile],
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Self> {
        let columns = schema
            .fields()
            .iter()
            .zip(profiles)
            .map(|(field, profile)| {
                Ok(ColumnDecoder {
                    name: field.name().clone(),
                    native_type: profile.native_type.clone(),
                    number_bytes: size_of::<u64>(),
                    builder: Builder::new(field.data_type(), &profile.native_type).ok_or_else(|| {
                        internal(&table, format!("no reader for type {}", field.data_type()))
                    })?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            table,
            schema,
            columns,
            rows: 0,
            bytes: 0,
            received: 0,
            rows_max: rows_max.max(1),
            bytes_max,
        })
    }

    /// Takes the types of the rows that come from here on, of which their sizes follow.
    pub(crate) fn expect(&mut self, columns: &[Column]) {
        for (decoder, column) in self.columns.iter_mut().zip(columns) {
            decoder.number_bytes = number_bytes(column.column_type());
        }
    }

    /// Adds a row; returns the batch that it completes, when a bound is reached.
    pub(crate) fn push(&mut self, row: Vec<Option<Value>>) -> Result<Option<RecordBatch>> {
        // An empty projection selects a constant: only the row counts.
        if !self.columns.is_empty() && row.len() != self.columns.len() {
            return Err(internal(
                &self.table,
                "a row has another number of columns".to_owned(),
            ));
        }
        self.received += ROW_HEADER_BYTES + (self.columns.len() + 7 + 2) / 8;
        for (column, value) in self.columns.iter_mut().zip(row) {
            let value = value.unwrap_or(Value::NULL);
            self.received += sent_bytes(&value, column.number_bytes);
            self.bytes += held_bytes(&value);
            column
                .builder
                .append(value)
                .map_err(|refusal| invalid(&self.table, column, refusal))?;
        }
        self.rows += 1;
        let full = self.rows >= self.rows_max || self.bytes >= self.bytes_max;
        if full { self.finish() } else { Ok(None) }
    }

    /// How many bytes of rows have come since the last call.
    pub(crate) fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }

    /// The rows that are left.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let arrays = self
            .columns
            .iter_mut()
            .map(|column| column.builder.finish())
            .collect();
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map(Some)
            .map_err(|error| self.unlike_schema(error))
    }

    fn unlike_schema(&self, error: ArrowError) -> ConnectorError {
        ConnectorError::new(
            ErrorKind::Changed,
            format!("table {} has changed since it was planned", self.table),
        )
        .hint("Run the query again.")
        .source(error)
    }
}

fn internal(table: &TableName, detail: String) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Internal,
        format!("cannot read table {table}: {detail}"),
    )
}

fn invalid(table: &TableName, column: &ColumnDecoder, refusal: Refusal) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!(
            "a value of column \"{}\" of table {table} cannot be read",
            column.name
        ),
    )
    .detail(format!(
        "The column has the type {}: {refusal}.",
        column.native_type
    ))
    .hint("If the table was changed a moment ago, run the query again.")
}

/// About how many bytes a value takes in a batch.
fn held_bytes(value: &Value) -> usize {
    match value {
        Value::NULL => 1,
        Value::Bytes(bytes) => 16 + bytes.len(),
        _ => 8,
    }
}

/// Bytes of the packet's header and of the sign before a row of the binary protocol; a bit for each column and two follow.
const ROW_HEADER_BYTES: usize = 5;

/// Bytes of a number in the binary protocol.
fn number_bytes(column_type: ColumnType) -> usize {
    match column_type {
        ColumnType::MYSQL_TYPE_TINY => 1,
        ColumnType::MYSQL_TYPE_SHORT | ColumnType::MYSQL_TYPE_YEAR => 2,
        ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24 | ColumnType::MYSQL_TYPE_FLOAT => 4,
        _ => 8,
    }
}

/// Bytes of a value in the binary protocol. NULL is a bit before the values.
fn sent_bytes(value: &Value, number_bytes: usize) -> usize {
    match value {
        Value::NULL => 0,
        Value::Bytes(bytes) => {
            let length_bytes = match bytes.len() {
                0..=250 => 1,
                251..=0xFFFF => 3,
                0x1_0000..=0xFF_FFFF => 4,
                _ => 9,
            };
            length_bytes + bytes.len()
        }
        Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Double(_) => number_bytes,
        // Zeros at the end are not sent.
        Value::Date(0, 0, 0, 0, 0, 0, 0) | Value::Time(_, 0, 0, 0, 0, 0) => 1,
        Value::Date(_, _, _, 0, 0, 0, 0) => 5,
        Value::Date(.., 0) => 8,
        Value::Date(..) => 12,
        Value::Time(.., 0) => 9,
        Value::Time(..) => 13,
    }
}

impl Builder {
    fn new(data_type: &DataType, native_type: &str) -> Option<Self> {
        Some(match data_type {
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Decimal128(_, scale) => Self::Decimal128(
                Decimal128Builder::new().with_data_type(data_type.clone()),
                usize::try_from(*scale).ok()?,
            ),
            DataType::Decimal256(_, scale) => Self::Decimal256(
                Decimal256Builder::new().with_data_type(data_type.clone()),
                usize::try_from(*scale).ok()?,
            ),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::Utf8View => Self::Text(StringViewBuilder::new(), time_digits(native_type)),
            DataType::BinaryView => Self::Bytes(BinaryViewBuilder::new()),
            _ => return None,
        })
    }

    fn append(&mut self, value: Value) -> Result<(), Refusal> {
        match self {
            Self::Int16(builder) => builder.append_option(integer(&value)?),
            Self::Int32(builder) => builder.append_option(integer(&value)?),
            Self::Int64(builder) => builder.append_option(integer(&value)?),
            Self::Decimal128(builder, scale) => builder.append_option(decimal128(&value, *scale)?),
            Self::Decimal256(builder, scale) => builder.append_option(decimal256(&value, *scale)?),
            Self::Float32(builder) => match value {
                Value::NULL => builder.append_null(),
                Value::Float(number) => builder.append_value(number),
                _ => return Err(OTHER_TYPE),
            },
            Self::Float64(builder) => match value {
                Value::NULL => builder.append_null(),
                Value::Double(number) => builder.append_value(number),
                Value::Float(number) => builder.append_value(f64::from(number)),
                _ => return Err(OTHER_TYPE),
            },
            Self::Date(builder) => builder.append_option(match value {
                Value::NULL => None,
                Value::Date(year, month, day, 0, 0, 0, 0) => days(year, month, day)
                    .map(i32::try_from)
                    .transpose()
                    .map_err(|_| OUT_OF_RANGE)?,
                _ => return Err(OTHER_TYPE),
            }),
            Self::Timestamp(builder) => builder.append_option(timestamp(&value)?),
            Self::Text(builder, digits) => return append_text(builder, &value, *digits),
            Self::Bytes(builder) => match value {
                Value::NULL => builder.append_null(),
                Value::Bytes(bytes) => builder.try_append_value(bytes).map_err(|_| TOO_LONG)?,
                _ => return Err(OTHER_TYPE),
            },
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Decimal128(builder, _) => Arc::new(builder.finish()),
            Self::Decimal256(builder, _) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Text(builder, _) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
        }
    }
}

const OTHER_TYPE: Refusal = "the server sent a value of another type";
const OUT_OF_RANGE: Refusal = "the value is out of range";
const TOO_LONG: Refusal = "the value is longer than 4 GiB";
const NOT_UTF8: Refusal = "the text is not valid UTF-8";
const NOT_A_DECIMAL: Refusal = "the value is not a decimal of this precision";

fn integer<T: TryFrom<i64> + TryFrom<u64>>(value: &Value) -> Result<Option<T>, Refusal> {
    match value {
        Value::NULL => Ok(None),
        Value::Int(number) => T::try_from(*number).map(Some).map_err(|_| OUT_OF_RANGE),
        Value::UInt(number) => T::try_from(*number).map(Some).map_err(|_| OUT_OF_RANGE),
        // The sum of integers is a decimal there.
        Value::Bytes(text) => {
            let number = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse::<i64>().ok());
            T::try_from(number.ok_or(OUT_OF_RANGE)?)
                .map(Some)
                .map_err(|_| OUT_OF_RANGE)
        }
        _ => Err(OTHER_TYPE),
    }
}

fn decimal128(value: &Value, scale: usize) -> Result<Option<i128>, Refusal> {
    match value {
        Value::NULL => Ok(None),
        // bigint unsigned, and integers that stand for their casts.
        Value::Int(number) => scaled(i128::from(*number), scale).map(Some),
        Value::UInt(number) => scaled(i128::from(*number), scale).map(Some),
        Value::Bytes(text) => {
            // Arithmetic in 64 bits is several times faster, and most decimals are short.
            if text.len() + scale < SHORT_DIGITS_END {
                return short_decimal(text, scale).map(|number| Some(i128::from(number)));
            }
            let (negative, digits) = decimal_digits(text, scale)?;
            let mut number: i128 = 0;
            for digit in digits {
                number = number
                    .checked_mul(10)
                    .and_then(|number| number.checked_add(i128::from(digit)))
                    .ok_or(NOT_A_DECIMAL)?;
            }
            Ok(Some(if negative { -number } else { number }))
        }
        _ => Err(OTHER_TYPE),
    }
}

/// The digits of a decimal that has, with the zeros up to `scale`, fewer than [`SHORT_DIGITS_END`]: in one pass.
fn short_decimal(text: &[u8], scale: usize) -> Result<i64, Refusal> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut number: i64 = 0;
    let mut digits = 0;
    // How many digits came before the point.
    let mut whole = None;
    for byte in unsigned {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + i64::from(byte - b'0');
                digits += 1;
            }
            b'.' if whole.is_none() => whole = Some(digits),
            _ => return Err(NOT_A_DECIMAL),
        }
    }
    let fraction = digits - whole.unwrap_or(digits);
    if digits == 0 || fraction > scale {
        return Err(NOT_A_DECIMAL);
    }
    for _ in fraction..scale {
        number *= 10;
    }
    Ok(if negative { -number } else { number })
}

/// `number` in units of its last digit.
fn scaled(number: i128, scale: usize) -> Result<i128, Refusal> {
    let unit = u32::try_from(scale)
        .ok()
        .and_then(|scale| 10_i128.checked_pow(scale));
    unit.and_then(|unit| number.checked_mul(unit))
        .ok_or(NOT_A_DECIMAL)
}

fn decimal256(value: &Value, scale: usize) -> Result<Option<i256>, Refusal> {
    let whole;
    let text: &[u8] = match value {
        Value::NULL => return Ok(None),
        Value::Bytes(text) => text,
        Value::Int(_) | Value::UInt(_) => {
            whole = value.as_sql(true);
            whole.as_bytes()
        }
        _ => return Err(OTHER_TYPE),
    };
    let (negative, digits) = decimal_digits(text, scale)?;
    let mut number = i256::ZERO;
    for digit in digits {
        number = number
            .checked_mul(i256::from_i128(10))
            .and_then(|number| number.checked_add(i256::from_i128(i128::from(digit))))
            .ok_or(NOT_A_DECIMAL)?;
    }
    Ok(Some(if negative { -number } else { number }))
}

/// The sign and the digits of a decimal, padded with zeros to `scale` digits behind the point.
fn decimal_digits(text: &[u8], scale: usize) -> Result<(bool, impl Iterator<Item = u8>), Refusal> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let point = unsigned.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
        None => (unsigned, &unsigned[unsigned.len()..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || fraction.len() > scale || whole.len() + fraction.len() == 0 {
        return Err(NOT_A_DECIMAL);
    }
    let padding = std::iter::repeat_n(0, scale - fraction.len());
    let digits = whole
        .iter()
        .chain(fraction)
        .map(|byte| byte - b'0')
        .chain(padding);
    Ok((negative, digits))
}

fn append_text(builder: &mut StringViewBuilder, value: &Value, digits: usize) -> Result<(), Refusal> {
    match value {
        Value::NULL => builder.append_null(),
        Value::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
            builder.try_append_value(text).map_err(|_| TOO_LONG)?;
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if *negative { "-" } else { "" };
            let hours = u64::from(*days) * 24 + u64::from(*hours);
            let fraction = format!("{micros:06}");
            let mut text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
            if let Some(fraction) = fraction.get(..digits).filter(|fraction| !fraction.is_empty()) {
                text.push('.');
                text.push_str(fraction);
            }
            builder.append_value(text);
        }
        Value::Int(number) => builder.append_value(number.to_string()),
        Value::UInt(number) => builder.append_value(number.to_string()),
        _ => return Err(OTHER_TYPE),
    }
    Ok(())
}

/// The digits behind the second that `time(n)` keeps; 0 for any other type.
fn time_digits(native_type: &str) -> usize {
    native_type
        .strip_prefix("time(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn timestamp(value: &Value) -> Result<Option<i64>, Refusal> {
    match value {
        Value::NULL => Ok(None),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            Ok(days(*year, *month, *day).map(|days| {
                let seconds = (i64::from(*hour) * 60 + i64::from(*minute)) * 60 + i64::from(*second);
                days * MICROS_PER_DAY + seconds * 1_000_000 + i64::from(*micros)
            }))
        }
        _ => Err(OTHER_TYPE),
    }
}

/// Days since 1970 of a real date; `None` for zero, partial and impossible ones.
fn days(year: u16, month: u8, day: u8) -> Option<i64> {
    let leap = year.is_multiple_of(400) || (year.is_multiple_of(4) && !year.is_multiple_of(100));
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || !(1..=month_days).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day last.
    let (year, month) = (i64::from(year), i64::from(month));
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970)
}

/// The date of a day since 1970, in the years 1 to 9999.
pub(crate) fn civil_from_days(days: i64) -> Option<(u16, u8, u8)> {
    let shifted = days.checked_add(DAYS_TO_1970)?;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    if !(1..=9999).contains(&year) {
        return None;
    }
    Some((
        u16::try_from(year).ok()?,
        u8::try_from(month).ok()?,
        u8::try_from(day).ok()?,
    ))
}

#[cfg(test)]
mod tests;
