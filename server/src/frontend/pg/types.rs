//! Arrow types to Postgres types.

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::encode::Format;
use crate::catalog::pg_type::PgType;

/// The description of a result's columns; those beyond the ones of `formats` are text.
pub(super) fn row_description(schema: &Schema, formats: &[Format]) -> RowDescription {
    let formats = formats.iter().copied().chain(std::iter::repeat(Format::Text));
    let fields = schema.fields().iter().zip(formats);
    RowDescription::new(fields.map(|(field, format)| describe(field, format)).collect())
}

/// The number of the type in which values of `data_type` are sent.
pub(super) fn oid(data_type: &DataType) -> u32 {
    PgType::of(data_type).oid
}

fn describe(field: &Field, format: Format) -> FieldDescription {
    let pg_type = PgType::of_field(field);
    let name = field.name().replace('\0', "");
    FieldDescription::new(
        name,
        0,
        0,
        pg_type.oid,
        pg_type.length,
        pg_type.modifier,
        format.code(),
    )
}
