//! Arrow types to Postgres types.

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::encode::Format;

/// A type as RowDescription names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PgType {
    oid: u32,
    size: i16,
    modifier: i32,
}

const fn pg(oid: u32, size: i16) -> PgType {
    PgType {
        oid,
        size,
        modifier: -1,
    }
}

/// The description of a result's columns; those beyond the ones of `formats` are text.
pub(super) fn row_description(schema: &Schema, formats: &[Format]) -> RowDescription {
    let formats = formats.iter().copied().chain(std::iter::repeat(Format::Text));
    let fields = schema.fields().iter().zip(formats);
    RowDescription::new(fields.map(|(field, format)| describe(field, format)).collect())
}

/// The number of the type in which values of `data_type` are sent.
pub(super) fn oid(data_type: &DataType) -> u32 {
    pg_type(data_type).oid
}

fn describe(field: &Field, format: Format) -> FieldDescription {
    let pg_type = pg_type(field.data_type());
    let name = field.name().replace('\0', "");
    FieldDescription::new(
        name,
        0,
        0,
        pg_type.oid,
        pg_type.size,
        pg_type.modifier,
        format.code(),
    )
}

fn pg_type(data_type: &DataType) -> PgType {
    match data_type {
        DataType::Boolean => pg(16, 1),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => pg(21, 2),
        DataType::UInt16 | DataType::Int32 => pg(23, 4),
        DataType::UInt32 | DataType::Int64 => pg(20, 8),
        DataType::Float16 | DataType::Float32 => pg(700, 4),
        DataType::Float64 => pg(701, 8),
        DataType::UInt64 => pg(1700, -1),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => PgType {
            modifier: ((i32::from(*p) << 16) | i32::from((*s).max(0))) + 4,
            ..pg(1700, -1)
        },
        DataType::Date32 | DataType::Date64 => pg(1082, 4),
        DataType::Time32(_) | DataType::Time64(_) => pg(1083, 8),
        DataType::Timestamp(_, None) => pg(1114, 8),
        DataType::Timestamp(_, Some(_)) => pg(1184, 8),
        DataType::Interval(_) | DataType::Duration(_) => pg(1186, 16),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            pg(17, -1)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            pg(array_oid(pg_type(item.data_type()).oid), -1)
        }
        DataType::Struct(_) => pg(2249, -1),
        DataType::Dictionary(_, value) => pg_type(value),
        _ => pg(25, -1),
    }
}

fn array_oid(item: u32) -> u32 {
    match item {
        16 => 1000,
        17 => 1001,
        20 => 1016,
        21 => 1005,
        23 => 1007,
        700 => 1021,
        701 => 1022,
        1082 => 1182,
        1083 => 1183,
        1114 => 1115,
        1184 => 1185,
        1186 => 1187,
        1700 => 1231,
        _ => 1009,
    }
}
