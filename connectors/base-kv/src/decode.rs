//! Keys and field values to Arrow: one builder per projected column, one batch per call.

use std::str;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};

use crate::columns::{ColumnDefinition, ColumnType, DECIMAL128_PRECISION_MAX};
use crate::definition::TableDefinition;
use crate::key::{KeyTuple, KeyValue, internal};
use crate::kv_table::FieldValues;
use crate::printable::printable;
use crate::value_text::{
    Problem, parse_boolean, parse_date, parse_decimal128, parse_decimal256, parse_float, parse_integer,
    parse_timestamp, parse_timestamptz,
};

/// Where a projected column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The key's part at this position of the template.
    Key(usize),
    /// The fetched field at this position.
    Field(usize),
}

/// Which fields a projection needs, and how its columns are put together from keys and fields.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    schema: SchemaRef,
    columns: Vec<(ColumnDefinition, Origin)>,
    fields: Vec<String>,
}

impl Projection {
    /// Plans the output of the columns `projection`, whose schema is `schema`.
    pub(crate) fn new(definition: &TableDefinition, projection: &[usize], schema: SchemaRef) -> Self {
        let mut fields: Vec<String> = Vec::new();
        let columns = projection
            .iter()
            .map(|&index| {
                let column = definition.columns()[index].clone();
                let key_position = definition.key_columns().iter().position(|&key| key == index);
                let origin = key_position.map_or_else(
                    || Origin::Field(field_position(&mut fields, &column.name)),
                    Origin::Key,
                );
                (column, origin)
            })
            .collect();
        Self {
            schema,
            columns,
            fields,
        }
    }

    /// The fields to fetch, each once; none when the key says everything.
    pub(crate) fn fields(&self) -> &[String] {
        &self.fields
    }
}

fn field_position(fields: &mut Vec<String>, name: &str) -> usize {
    if let Some(position) = fields.iter().position(|field| field == name) {
        return position;
    }
    fields.push(name.to_owned());
    fields.len() - 1
}

/// Builds batches of a projection row by row.
pub(crate) struct RowDecoder<'a> {
    table: &'a TableName,
    projection: &'a Projection,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
}

impl<'a> RowDecoder<'a> {
    pub(crate) fn new(table: &'a TableName, projection: &'a Projection, capacity: usize) -> Self {
        let builders = projection.columns.iter();
        let builders = builders.map(|(column, _)| ColumnBuilder::new(column.column_type, capacity));
        Self {
            table,
            projection,
            builders: builders.collect(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes of the values since the last batch.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one row. Errors: `InvalidData`, naming table, key and column.
    pub(crate) fn push(&mut self, key: &[u8], tuple: &KeyTuple, values: &FieldValues) -> Result<()> {
        for ((column, origin), builder) in self.projection.columns.iter().zip(&mut self.builders) {
            match origin {
                Origin::Key(position) => {
                    self.bytes += 16;
                    builder.append_key(&tuple[*position])?;
                }
                Origin::Field(position) => {
                    let value = values.get(*position).and_then(Option::as_deref);
                    self.bytes += 16 + value.map_or(0, <[u8]>::len);
                    builder
                        .append(value)
                        .map_err(|problem| undecodable(self.table, key, column, value, problem))?;
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows since the last batch.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.projection.schema), arrays, &options).map_err(
            |error| internal(format!("the rows of table {} do not fit its schema", self.table)).source(error),
        )
    }
}

fn undecodable(
    table: &TableName,
    key: &[u8],
    column: &ColumnDefinition,
    value: Option<&[u8]>,
    problem: Problem,
) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!(
            "value of column \"{}\" of table {table} at key \"{}\" cannot be read as {}",
            column.name,
            printable(key),
            column.column_type
        ),
    )
    .detail(format!(
        "The value \"{}\" {problem}.",
        printable(value.unwrap_or_default())
    ))
    .hint("Correct the value, or declare the column as text.")
}

const TOO_LONG: Problem = "is longer than a batch can hold";

/// One column under construction.
enum ColumnBuilder {
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
    Bytea(BinaryViewBuilder),
}

impl ColumnBuilder {
    fn new(column_type: ColumnType, capacity: usize) -> Self {
        let data_type = column_type.data_type();
        match column_type {
            ColumnType::SmallInt => Self::SmallInt(Int16Builder::with_capacity(capacity)),
            ColumnType::Integer => Self::Integer(Int32Builder::with_capacity(capacity)),
            ColumnType::BigInt => Self::BigInt(Int64Builder::with_capacity(capacity)),
            ColumnType::Real => Self::Real(Float32Builder::with_capacity(capacity)),
            ColumnType::Double => Self::Double(Float64Builder::with_capacity(capacity)),
            ColumnType::Numeric { precision, scale } if precision <= DECIMAL128_PRECISION_MAX => {
                let builder = Decimal128Builder::with_capacity(capacity);
                Self::Decimal128(builder.with_data_type(data_type), precision, scale)
            }
            ColumnType::Numeric { precision, scale } => {
                let builder = Decimal256Builder::with_capacity(capacity);
                Self::Decimal256(builder.with_data_type(data_type), precision, scale)
            }
            ColumnType::Text => Self::Text(StringViewBuilder::with_capacity(capacity)),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(capacity)),
            ColumnType::Date => Self::Date(Date32Builder::with_capacity(capacity)),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity)),
            ColumnType::TimestampTz => {
                let builder = TimestampMicrosecondBuilder::with_capacity(capacity);
                Self::TimestampTz(builder.with_data_type(data_type))
            }
            ColumnType::Bytea => Self::Bytea(BinaryViewBuilder::with_capacity(capacity)),
        }
    }

    /// Adds a fetched value; a missing one is NULL.
    fn append(&mut self, value: Option<&[u8]>) -> Result<(), Problem> {
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
            Self::Text(builder) => match text {
                None => builder.append_null(),
                Some(text) => builder.try_append_value(text).map_err(|_| TOO_LONG)?,
            },
            Self::Boolean(builder) => builder.append_option(text.map(parse_boolean).transpose()?),
            Self::Date(builder) => builder.append_option(text.map(parse_date).transpose()?),
            Self::Timestamp(builder) => builder.append_option(text.map(parse_timestamp).transpose()?),
            Self::TimestampTz(builder) => builder.append_option(text.map(parse_timestamptz).transpose()?),
            Self::Bytea(_) => {}
        }
        Ok(())
    }

    /// Adds a part of a key.
    fn append_key(&mut self, value: &KeyValue) -> Result<()> {
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

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::SmallInt(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::BigInt(builder) => Arc::new(builder.finish()),
            Self::Real(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Decimal128(builder, ..) => Arc::new(builder.finish()),
            Self::Decimal256(builder, ..) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) | Self::TimestampTz(builder) => Arc::new(builder.finish()),
            Self::Bytea(builder) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int64Type, Schema};
    use arrow::util::display::array_value_to_string;

    use super::*;

    const COLUMNS: [&str; 14] = [
        "id bigint",
        "a smallint",
        "b int",
        "c bigint",
        "d real",
        "e double precision",
        "f numeric(12,2)",
        "g numeric(60,3)",
        "h text",
        "i boolean",
        "j date",
        "k timestamp",
        "l timestamptz",
        "m bytea",
    ];

    fn definition() -> TableDefinition {
        let columns: Vec<String> = COLUMNS.iter().map(ToString::to_string).collect();
        TableDefinition::parse(TableName::new("cache", "public", "t"), "t:{id}", &columns).unwrap()
    }

    fn projection(definition: &TableDefinition, columns: &[usize]) -> Projection {
        let fields: Vec<_> = columns
            .iter()
            .map(|&index| definition.schema().field(index).clone())
            .collect();
        Projection::new(definition, columns, Arc::new(Schema::new(fields)))
    }

    fn field(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn decodes_every_type_and_missing_fields() {
        let definition = definition();
        let all: Vec<usize> = (0..COLUMNS.len()).collect();
        let projection = projection(&definition, &all);
        let mut decoder = RowDecoder::new(definition.name(), &projection, 2);
        let texts = [
            "-1",
            "2",
            "3",
            "1.5",
            "2.5",
            "901.00",
            "-0.125",
            "x",
            "t",
            "2024-02-29",
            "2024-02-29 12:00:00.5",
            "2024-02-29 12:00:00+01",
            "raw",
        ];
        let tuple = vec![KeyValue::Int(7)];
        decoder
            .push(b"t:7", &tuple, &texts.iter().map(|text| field(text)).collect())
            .unwrap();
        decoder.push(b"t:7", &tuple, &vec![None; 13]).unwrap();
        assert_eq!(decoder.rows(), 2);
        let batch = decoder.finish().unwrap();
        let shown: Vec<String> = batch
            .columns()
            .iter()
            .map(|column| array_value_to_string(column, 0).unwrap())
            .collect();
        assert_eq!(
            shown,
            [
                "7",
                "-1",
                "2",
                "3",
                "1.5",
                "2.5",
                "901.00",
                "-0.125",
                "x",
                "true",
                "2024-02-29",
                "2024-02-29T12:00:00.500",
                "2024-02-29T11:00:00Z",
                "726177"
            ]
        );
        assert!(batch.columns()[1..].iter().all(|column| column.is_null(1)));
        assert_eq!(decoder.finish().unwrap().num_rows(), 0);
    }

    #[test]
    fn asks_for_projected_fields_only() {
        let definition = definition();
        assert!(projection(&definition, &[]).fields().is_empty());
        assert!(projection(&definition, &[0, 0]).fields().is_empty());
        let projection = projection(&definition, &[8, 0, 2, 8]);
        assert_eq!(projection.fields(), ["h", "b"]);
        let mut decoder = RowDecoder::new(definition.name(), &projection, 1);
        decoder
            .push(b"t:1", &vec![KeyValue::Int(1)], &vec![field("x"), field("5")])
            .unwrap();
        let batch = decoder.finish().unwrap();
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 1);
        assert_eq!(batch.column(3).as_string_view().value(0), "x");
    }

    #[test]
    fn an_undecodable_value_names_table_key_and_column() {
        let definition = definition();
        let projection = projection(&definition, &[2]);
        let mut decoder = RowDecoder::new(definition.name(), &projection, 1);
        let error = decoder
            .push(b"t:\x07", &vec![KeyValue::Int(1)], &vec![field("abc")])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.message(),
            "value of column \"b\" of table cache.public.t at key \"t:\\u{7}\" cannot be read as integer"
        );
        assert_eq!(error.detail_text(), Some("The value \"abc\" is not an integer."));
    }
}
