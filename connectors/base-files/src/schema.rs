//! The columns of a table, merged from the footers of its files.
//!
//! Files may have other column orders, miss columns (NULL) and hold narrower numbers. The merged type holds every value
//! of each file's type unchanged; where there is none, the table is refused, never converted with loss.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName, canonical_type};
use object_store::path::Path;

/// The most digits of a decimal.
const DECIMAL_DIGITS_MAX: u8 = 76;
/// The most digits of a decimal in 16 bytes.
pub(crate) const DECIMAL128_DIGITS_MAX: u8 = 38;

/// Merges the schemas of a table's files into canonical columns; `partition_columns` are not read from files.
pub(crate) fn merge_schemas<'a>(
    table: &TableName,
    files: impl IntoIterator<Item = (&'a Path, &'a SchemaRef)>,
    partition_columns: &[FieldRef],
) -> Result<SchemaRef> {
    let mut columns: Vec<(String, DataType, &Path)> = Vec::new();
    for (location, schema) in files {
        for field in schema.fields() {
            if partition_columns
                .iter()
                .any(|column| column.name() == field.name())
            {
                continue;
            }
            let found = canonical(field.data_type()).ok_or_else(|| unsupported(table, field, location))?;
            match columns.iter_mut().find(|(name, _, _)| name == field.name()) {
                None => columns.push((field.name().clone(), found, location)),
                Some((name, known, first)) => {
                    *known = merged(known, &found)
                        .ok_or_else(|| contradiction(table, name, (known, first), (&found, location)))?;
                }
            }
        }
    }
    let fields = columns.into_iter().map(|(name, data_type, _)| {
        let data_type = match data_type {
            DataType::Null => DataType::Utf8View,
            known => known,
        };
        Field::new(name, data_type, true)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Refuses a file whose columns do not fit the table any more: read all the same, values could change.
pub(crate) fn check_fits(table: &Schema, file: &Schema, location: &Path) -> Result<()> {
    for column in table.fields() {
        let Some((_, field)) = file.column_with_name(column.name()) else {
            continue;
        };
        let fits = canonical(field.data_type()).is_some_and(|found| fits(column.data_type(), &found));
        if !fits {
            let message = format!(
                "column \"{}\" of file {location} has the type {}, which does not fit the table's {}",
                column.name(),
                field.data_type(),
                column.data_type()
            );
            return Err(ConnectorError::new(ErrorKind::InvalidData, message));
        }
    }
    Ok(())
}

/// The canonical type; a column of nothing but NULLs keeps its own, which fits any.
fn canonical(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Null => Some(DataType::Null),
        other => canonical_type(other),
    }
}

fn unsupported(table: &TableName, field: &Field, location: &Path) -> ConnectorError {
    let message = format!(
        "column \"{}\" of table {table} has the type {}, which is not supported",
        field.name(),
        field.data_type()
    );
    ConnectorError::new(ErrorKind::NotSupported, message).detail(format!("It is so in file {location}."))
}

fn contradiction(
    table: &TableName,
    column: &str,
    first: (&DataType, &Path),
    other: (&DataType, &Path),
) -> ConnectorError {
    let message = format!("column \"{column}\" of table {table} has types that do not go together");
    ConnectorError::new(ErrorKind::InvalidData, message).detail(format!(
        "It is {} in file {} and {} in file {}.",
        first.0, first.1, other.0, other.1
    ))
}

/// The smallest type that holds every value of both, exactly.
fn merged(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::List(a), DataType::List(b)) => {
            let item = merged(a.data_type(), b.data_type())?;
            Some(DataType::List(Field::new(a.name(), item, true).into()))
        }
        (DataType::Struct(a), DataType::Struct(b)) => Some(DataType::Struct(merged_fields(a, b)?)),
        (a, b) if a == b => Some(a.clone()),
        (DataType::Float32 | DataType::Float64, DataType::Float32 | DataType::Float64) => {
            Some(DataType::Float64)
        }
        (a, b) => merged_numbers(a, b),
    }
}

fn merged_fields(a: &Fields, b: &Fields) -> Option<Fields> {
    let mut fields: Vec<Field> = Vec::with_capacity(a.len());
    for field in a {
        let data_type = match b.find(field.name()) {
            Some((_, other)) => merged(field.data_type(), other.data_type())?,
            None => field.data_type().clone(),
        };
        fields.push(Field::new(field.name(), data_type, true));
    }
    for field in b {
        if a.find(field.name()).is_none() {
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }
    }
    Some(fields.into())
}

fn merged_numbers(a: &DataType, b: &DataType) -> Option<DataType> {
    let (a_digits, a_scale) = digits(a)?;
    let (b_digits, b_scale) = digits(b)?;
    if let (Some(a), Some(b)) = (integer_width(a), integer_width(b)) {
        return Some(match a.max(b) {
            16 => DataType::Int16,
            32 => DataType::Int32,
            _ => DataType::Int64,
        });
    }
    let scale = a_scale.max(b_scale);
    let precision = a_digits.max(b_digits).checked_add(scale)?;
    let signed_scale = i8::try_from(scale).ok()?;
    if precision <= DECIMAL128_DIGITS_MAX {
        return Some(DataType::Decimal128(precision, signed_scale));
    }
    (precision <= DECIMAL_DIGITS_MAX).then_some(DataType::Decimal256(precision, signed_scale))
}

fn integer_width(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int16 => Some(16),
        DataType::Int32 => Some(32),
        DataType::Int64 => Some(64),
        _ => None,
    }
}

/// The digits before and after the point that a number of this type may have.
fn digits(data_type: &DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            Some((precision.checked_sub(scale)?, scale))
        }
        _ => None,
    }
}

/// Whether every value of `file` is one of `table`, unchanged. Fields of a struct that the table lacks do not matter.
fn fits(table: &DataType, file: &DataType) -> bool {
    match (table, file) {
        (DataType::List(table), DataType::List(file)) => fits(table.data_type(), file.data_type()),
        (DataType::Struct(table), DataType::Struct(file)) => table.iter().all(|field| {
            file.find(field.name())
                .is_none_or(|(_, found)| fits(field.data_type(), found.data_type()))
        }),
        (table, file) => merged(table, file).is_some_and(|merged| merged == *table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        let fields = columns
            .iter()
            .map(|(name, kind)| Field::new(*name, kind.clone(), false));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn merge(files: &[SchemaRef]) -> Result<SchemaRef> {
        let table = TableName::new("lake", "public", "t");
        let paths: Vec<Path> = (0..files.len()).map(|i| Path::from(format!("t/{i}"))).collect();
        merge_schemas(&table, paths.iter().zip(files), &[])
    }

    #[test]
    fn columns_are_merged_by_exact_name_in_the_order_of_appearance() {
        let files = [
            schema(&[("id", DataType::Int32), ("Name", DataType::Utf8)]),
            schema(&[
                ("name", DataType::LargeUtf8),
                ("id", DataType::Int64),
                ("x", DataType::Null),
            ]),
        ];
        let merged = merge(&files).unwrap();
        let columns: Vec<_> = merged
            .fields()
            .iter()
            .map(|f| (f.name().as_str(), f.data_type()))
            .collect();
        assert_eq!(
            columns,
            [
                ("id", &DataType::Int64),
                ("Name", &DataType::Utf8View),
                ("name", &DataType::Utf8View),
                ("x", &DataType::Utf8View),
            ]
        );
    }

    #[test]
    fn numbers_widen_without_loss_or_not_at_all() {
        let cases = [
            (DataType::Int16, DataType::Int32, Some(DataType::Int32)),
            (DataType::Float32, DataType::Float64, Some(DataType::Float64)),
            (
                DataType::Int32,
                DataType::Decimal128(5, 2),
                Some(DataType::Decimal128(12, 2)),
            ),
            (
                DataType::Decimal128(38, 0),
                DataType::Decimal128(10, 4),
                Some(DataType::Decimal256(42, 4)),
            ),
            (DataType::Int32, DataType::Float64, None),
            (DataType::Int64, DataType::Utf8View, None),
            (DataType::BinaryView, DataType::Utf8View, None),
            (DataType::Date32, DataType::Int32, None),
        ];
        for (a, b, expected) in cases {
            assert_eq!(merged(&a, &b), expected, "{a} with {b}");
            assert_eq!(merged(&b, &a), expected, "{b} with {a}");
        }
    }

    #[test]
    fn a_contradiction_names_both_files() {
        let files = [
            schema(&[("id", DataType::Int32)]),
            schema(&[("id", DataType::Utf8)]),
        ];
        let error = merge(&files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.detail_text(),
            Some("It is Int32 in file t/0 and Utf8View in file t/1.")
        );
    }

    #[test]
    fn a_file_may_be_narrower_than_the_table_but_not_wider() {
        let table = schema(&[("id", DataType::Int32), ("price", DataType::Decimal128(12, 2))]);
        let location = Path::from("t/late.parquet");
        let narrow = schema(&[("id", DataType::UInt8), ("price", DataType::Decimal32(9, 2))]);
        check_fits(&table, &narrow, &location).unwrap();
        let wide = schema(&[("id", DataType::Int64)]);
        let error = check_fits(&table, &wide, &location).unwrap_err();
        assert_eq!(
            error.message(),
            "column \"id\" of file t/late.parquet has the type Int64, which does not fit the table's Int32"
        );
    }
}
