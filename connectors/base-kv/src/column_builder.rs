//! One Arrow column under construction: stored text to typed values.

use std::str;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListArray, NullBufferBuilder,
    StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Field;
use causeway_spi::Result;

use crate::columns::{ColumnType, DECIMAL128_PRECISION_MAX};
use crate::json::JsonValue;
use crate::key::{KeyValue, internal};
use crate::value_text::{
    Problem, parse_boolean, parse_date, parse_decimal128, parse_decimal256, parse_float, parse_integer,
    parse_time, parse_timestamp, parse_timestamptz, parse_uuid,
};

const TOO_LONG: Problem = "is longer than a batch can hold";

/// One column under construction.
pub(crate) enum ColumnBuilder {
    SmallInt(Int16Builder),
    Integer(Int32Builder),
    BigInt(Int64Builder),
    Real(Float32Builder),
    Double(Float64Builder),
    Decimal128(Decimal128Builder, u8, u8),
    Decimal256(Decimal256Builder, u8, u8),
    Text(StringViewBuilder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampTz(TimestampMicrosecondBuilder),
    Time(Time64MicrosecondBuilder),
    Bytea(BinaryViewBuilder),
    Json(StringViewBuilder),
    Uuid(StringViewBuilder),
    Array(ArrayBuilder),
}

/// An array column: the elements of all rows one after another, and where each row ends.
pub(crate) struct ArrayBuilder {
    element_type: ColumnType,
    elements: Box<ColumnBuilder>,
    count: i32,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl ArrayBuilder {
    fn new(element_type: &ColumnType, capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push(0);
        Self {
            element_type: element_type.clone(),
            elements: Box::new(ColumnBuilder::new(element_type, capacity)),
            count: 0,
            offsets,
            nulls: NullBufferBuilder::new(capacity),
        }
    }

    fn append_null(&mut self) {
        self.offsets.push(self.count);
        self.nulls.append_null();
    }

    /// Adds the elements of a JSON array. Elements before one that does not decode stay behind, part of no row.
    fn append(&mut self, text: &str) -> Result<(), Problem> {
        let array = JsonValue::parse(text.as_bytes())?;
        if !array.is_array() {
            return Err("is not a JSON array");
        }
        for element in array.elements() {
            self.elements.append_json(element)?;
            self.count = self.count.checked_add(1).ok_or(TOO_LONG)?;
        }
        self.offsets.push(self.count);
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.count = 0;
        let field = Field::new_list_field(self.element_type.data_type(), true);
        Arc::new(ListArray::new(
            Arc::new(field),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            self.elements.finish(),
            self.nulls.finish(),
        ))
    }
}

impl ColumnBuilder {
    pub(crate) fn new(column_type: &ColumnType, capacity: usize) -> Self {
        let data_type = column_type.data_type();
        match column_type {
            ColumnType::SmallInt => Self::SmallInt(Int16Builder::with_capacity(capacity)),
            ColumnType::Integer => Self::Integer(Int32Builder::with_capacity(capacity)),
            ColumnType::BigInt => Self::BigInt(Int64Builder::with_capacity(capacity)),
            ColumnType::Real => Self::Real(Float32Builder::with_capacity(capacity)),
            ColumnType::Double => Self::Double(Float64Builder::with_capacity(capacity)),
            ColumnType::Numeric { precision, scale } if *precision <= DECIMAL128_PRECISION_MAX => {
                let builder = Decimal128Builder::with_capacity(capacity);
                Self::Decimal128(builder.with_data_type(data_type), *precision, *scale)
            }
            ColumnType::Numeric { precision, scale } => {
                let builder = Decimal256Builder::with_capacity(capacity);
                Self::Decimal256(builder.with_data_type(data_type), *precision, *scale)
            }
            ColumnType::Text => Self::Text(StringViewBuilder::with_capacity(capacity)),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(capacity)),
            ColumnType::Date => Self::Date(Date32Builder::with_capacity(capacity)),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity)),
            ColumnType::TimestampTz => {
                let builder = TimestampMicrosecondBuilder::with_capacity(capacity);
                Self::TimestampTz(builder.with_data_type(data_type))
            }
            ColumnType::Time => Self::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            ColumnType::Bytea => Self::Bytea(BinaryViewBuilder::with_capacity(capacity)),
            ColumnType::Json => Self::Json(StringViewBuilder::with_capacity(capacity)),
            ColumnType::Uuid => Self::Uuid(StringViewBuilder::with_capacity(capacity)),
            ColumnType::Array(element) => Self::Array(ArrayBuilder::new(element, capacity)),
        }
    }

    /// Adds a value of a JSON document; `null` is NULL. After an error nothing was added.
    pub(crate) fn append_json(&mut self, value: JsonValue<'_>) -> Result<(), Problem> {
        if value.is_null() {
            return self.append(None);
        }
        if matches!(self, Self::Json(_) | Self::Array(_)) {
            return self.append(Some(value.raw().as_bytes()));
        }
        self.append(Some(value.text()?.as_bytes()))
    }

    /// Adds a stored value; a missing one is NULL. After an error nothing was added.
    pub(crate) fn append(&mut self, value: Option<&[u8]>) -> Result<(), Problem> {
        if let Self::Bytea(builder) = self {
            match value {
                None => builder.append_null(),
                Some(bytes) => builder.try_append_value(bytes).map_err(|_| TOO_LONG)?,
            }
            return Ok(());
        }
        let text = value
            .map(str::from_utf8)
            .transpose()
            .map_err(|_| "is not UTF-8")?;
        match self {
            Self::SmallInt(builder) => builder.append_option(text.map(parse_integer).transpose()?),
            Self::Integer(builder) => builder.append_option(text.map(parse_integer).transpose()?),
            Self::BigInt(builder) => builder.append_option(text.map(parse_integer).transpose()?),
            Self::Real(builder) => builder.append_option(text.map(parse_float).transpose()?),
            Self::Double(builder) => builder.append_option(text.map(parse_float).transpose()?),
            Self::Decimal128(builder, precision, scale) => {
                let number = text.map(|text| parse_decimal128(text, *precision, *scale));
                builder.append_option(number.transpose()?);
            }
            Self::Decimal256(builder, precision, scale) => {
                let number = text.map(|text| parse_decimal256(text, *precision, *scale));
                builder.append_option(number.transpose()?);
            }
            Self::Text(builder) => append_text(builder, text)?,
            Self::Boolean(builder) => builder.append_option(text.map(parse_boolean).transpose()?),
            Self::Date(builder) => builder.append_option(text.map(parse_date).transpose()?),
            Self::Timestamp(builder) => builder.append_option(text.map(parse_timestamp).transpose()?),
            Self::TimestampTz(builder) => builder.append_option(text.map(parse_timestamptz).transpose()?),
            Self::Time(builder) => builder.append_option(text.map(parse_time).transpose()?),
            Self::Json(builder) => {
                let json = text.map(|text| JsonValue::parse(text.as_bytes()));
                append_text(builder, json.transpose()?.map(JsonValue::raw))?;
            }
            Self::Uuid(builder) => {
                append_text(builder, text.map(parse_uuid).transpose()?.as_deref())?;
            }
            Self::Array(builder) => match text {
                None => builder.append_null(),
                Some(text) => builder.append(text)?,
            },
            Self::Bytea(_) => {}
        }
        Ok(())
    }

    /// Adds a part of a key.
    pub(crate) fn append_key(&mut self, value: &KeyValue) -> Result<()> {
        let appended = match (self, value) {
            (Self::SmallInt(builder), KeyValue::Int(number)) => i16::try_from(*number)
                .map(|number| builder.append_value(number))
                .is_ok(),
            (Self::Integer(builder), KeyValue::Int(number)) => i32::try_from(*number)
                .map(|number| builder.append_value(number))
                .is_ok(),
            (Self::BigInt(builder), KeyValue::Int(number)) => {
                builder.append_value(*number);
                true
            }
            (Self::Text(builder), KeyValue::Text(text)) => builder.try_append_value(text).is_ok(),
            (Self::Date(builder), KeyValue::Date(days)) => {
                builder.append_value(*days);
                true
            }
            _ => false,
        };
        if appended {
            Ok(())
        } else {
            Err(internal("a key value is not of its column's type"))
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::SmallInt(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::BigInt(builder) => Arc::new(builder.finish()),
            Self::Real(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Decimal128(builder, ..) => Arc::new(builder.finish()),
            Self::Decimal256(builder, ..) => Arc::new(builder.finish()),
            Self::Text(builder) | Self::Json(builder) | Self::Uuid(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) | Self::TimestampTz(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Bytea(builder) => Arc::new(builder.finish()),
            Self::Array(builder) => builder.finish(),
        }
    }
}

fn append_text(builder: &mut StringViewBuilder, text: Option<&str>) -> Result<(), Problem> {
    match text {
        None => builder.append_null(),
        Some(text) => builder.try_append_value(text).map_err(|_| TOO_LONG)?,
    }
    Ok(())
}
