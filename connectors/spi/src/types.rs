//! The canonical types: the only Arrow types that cross the border between a source and the engine.
//!
//! One spelling for each kind of value means that a join of two sources never needs a cast, and a cast on a probe key
//! would end key lookups.

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};

use crate::connector::TableName;
use crate::error::{ConnectorError, ErrorKind, Result};

/// Whether `data_type` may cross the border.
fn is_canonical(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        // The numbers of objects, in the server's own catalogs: no source's type becomes it.
        | DataType::UInt32
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8View
        | DataType::BinaryView
        | DataType::Decimal128(_, 0..)
        | DataType::Decimal256(_, 0..)
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Interval(IntervalUnit::MonthDayNano) => true,
        DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.as_deref().is_none_or(|zone| zone == "UTC"),
        DataType::List(item) => is_canonical(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_canonical(field.data_type())),
        _ => false,
    }
}

/// Refuses a schema with a type that is not canonical: a fault of the connector.
pub fn check_canonical(table: &TableName, schema: &Schema) -> Result<()> {
    for field in schema.fields() {
        if !is_canonical(field.data_type()) {
            return Err(ConnectorError::new(
                ErrorKind::Internal,
                format!(
                    "column \"{}\" of table {table} has the type {}, which is not canonical",
                    field.name(),
                    field.data_type()
                ),
            ));
        }
    }
    Ok(())
}

/// The canonical type that holds every value of `data_type`, or `None` when there is none.
pub fn canonical_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) if *scale >= 0 => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Dictionary(_, value) => canonical_type(value)?,
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        // An array of composites (key, value).
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = canonical_type(entries.data_type())? else {
                return None;
            };
            let names = ["key", "value"].into_iter().zip(&entry);
            let fields = names.map(|(name, field)| Field::new(name, field.data_type().clone(), true));
            let entry = DataType::Struct(fields.collect());
            DataType::List(Field::new("item", entry, true).into())
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(
                Field::new(item.name(), canonical_type(item.data_type())?, item.is_nullable()).into(),
            )
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| {
                    Some(Field::new(
                        field.name(),
                        canonical_type(field.data_type())?,
                        field.is_nullable(),
                    ))
                })
                .collect::<Option<Vec<_>>>()?
                .into(),
        ),
        other if is_canonical(other) => other.clone(),
        _ => return None,
    })
}
