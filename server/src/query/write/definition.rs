//! CREATE TABLE: the columns, their types and the primary key, of what is written or of a query.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_spi::{ROW_LOCATOR, TEXT_LENGTH, TableDefinition, TableName, canonical_type};
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, ColumnDef, ColumnOption, CreateTable, DataType as SqlType,
    ExactNumberInfo, Expr, Ident, IndexColumn, TableConstraint, TimezoneInfo, Value,
};

use super::super::catalog_syntax::last_part;
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Most columns of a table, as in PostgreSQL.
const COLUMNS_MAX: usize = 1_600;
/// Most digits of a numeric.
const DIGITS_MAX: u64 = 76;
/// The greatest length that `varchar(n)` may have, as in PostgreSQL.
const TEXT_LENGTH_MAX: u64 = 10_485_760;

/// The table that `create` defines. Errors: 0A000 for what would be ignored, 42701, 42703, 42704, 42P16.
pub(super) fn definition(create: &CreateTable, name: TableName) -> Result<TableDefinition> {
    check_form(create)?;
    let mut fields: Vec<Field> = Vec::with_capacity(create.columns.len());
    let mut key: Option<Vec<usize>> = None;
    for column in &create.columns {
        let (field, is_key) = field(column)?;
        if is_key && key.replace(vec![fields.len()]).is_some() {
            return Err(two_keys(&name));
        }
        fields.push(field);
    }
    check_columns(&fields)?;
    for constraint in &create.constraints {
        let TableConstraint::PrimaryKey(primary) = constraint else {
            return Err(QueryError::not_supported(format!(
                "the constraint {constraint} is not supported"
            )));
        };
        if key.replace(key_columns(&primary.columns, &fields)?).is_some() {
            return Err(two_keys(&name));
        }
    }
    let key = key.unwrap_or_default();
    for &index in &key {
        let field = fields.swap_remove(index);
        if field.data_type().is_nested() {
            return Err(QueryError::not_supported(
                "a primary key of arrays is not supported",
            ));
        }
        fields.push(field.with_nullable(false));
        let last = fields.len() - 1;
        fields.swap(index, last);
    }
    Ok(TableDefinition {
        name,
        columns: Arc::new(Schema::new(fields)),
        primary_key: key,
    })
}

/// The columns of a table that is made of a query whose columns are `schema`.
pub(super) fn columns_of_query(create: &CreateTable, schema: &Schema) -> Result<SchemaRef> {
    check_form(create)?;
    if !create.columns.is_empty() {
        return Err(
            QueryError::not_supported("columns beside a query are not supported")
                .hint("Name them in the query, with AS."),
        );
    }
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = field.name().clone();
        let data_type = match field.data_type() {
            // A NULL or a quoted text of no type is a text.
            DataType::Null => Some(DataType::Utf8View),
            other => canonical_type(other).map(without_oids),
        };
        let data_type = data_type.filter(|data_type| !matches!(data_type, DataType::Struct(_)));
        let Some(data_type) = data_type else {
            let message = format!("column \"{name}\" has a type that no table can hold");
            return Err(QueryError::not_supported(message).hint("Cast it, or leave it out."));
        };
        let length = field.metadata().get(TEXT_LENGTH);
        let metadata = length.map(|length| (TEXT_LENGTH.to_owned(), length.clone()));
        fields.push(Field::new(name, data_type, true).with_metadata(metadata.into_iter().collect()));
    }
    check_columns(&fields)?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The numbers of objects are bigints outside of the system's catalogs.
fn without_oids(data_type: DataType) -> DataType {
    match data_type {
        DataType::UInt32 => DataType::Int64,
        other => other,
    }
}

/// Refuses every clause that would be ignored.
fn check_form(create: &CreateTable) -> Result<()> {
    if create.temporary {
        return Err(QueryError::not_supported("temporary tables are not supported")
            .hint("A table of a memory catalog is lost when the server stops."));
    }
    let mut plain = CreateTableBuilder::new(create.name.clone())
        .columns(create.columns.clone())
        .constraints(create.constraints.clone())
        .if_not_exists(create.if_not_exists)
        .build();
    plain.query.clone_from(&create.query);
    if &plain == create {
        return Ok(());
    }
    Err(
        QueryError::not_supported("this form of CREATE TABLE is not supported")
            .hint("Write columns with types, NOT NULL and PRIMARY KEY, or AS and a query."),
    )
}

fn field(column: &ColumnDef) -> Result<(Field, bool)> {
    let name = folded(&column.name);
    let span = Span::try_from_sqlparser_span(column.name.span);
    let (data_type, length) = column_type(&column.data_type).map_err(|error| error.at(span))?;
    let (mut nullable, mut is_key) = (true, false);
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => nullable = false,
            ColumnOption::PrimaryKey(_) => is_key = true,
            ColumnOption::Default(Expr::Value(value)) if value.value == Value::Null => {}
            ColumnOption::Default(_) => {
                return Err(QueryError::not_supported("default values are not supported")
                    .at(span)
                    .hint("Give the column its value in each INSERT."));
            }
            other => {
                let message = format!("column \"{name}\": {other} is not supported");
                return Err(QueryError::not_supported(message).at(span));
            }
        }
    }
    let length = length.map(|length| (TEXT_LENGTH.to_owned(), length.to_string()));
    let metadata: HashMap<String, String> = length.into_iter().collect();
    Ok((
        Field::new(name, data_type, nullable).with_metadata(metadata),
        is_key,
    ))
}

fn check_columns(fields: &[Field]) -> Result<()> {
    if fields.is_empty() {
        return Err(QueryError::not_supported(
            "a table without columns is not supported",
        ));
    }
    if fields.len() > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(QueryError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    let mut names = std::collections::HashSet::new();
    for field in fields {
        if field.name() == ROW_LOCATOR {
            let message = format!("the column name \"{ROW_LOCATOR}\" is reserved");
            return Err(QueryError::new(SqlState::INVALID_NAME, message));
        }
        if !names.insert(field.name()) {
            let message = format!("column \"{}\" specified more than once", field.name());
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message));
        }
    }
    Ok(())
}

fn key_columns(columns: &[IndexColumn], fields: &[Field]) -> Result<Vec<usize>> {
    let mut key = Vec::with_capacity(columns.len());
    for column in columns {
        let Expr::Identifier(ident) = &column.column.expr else {
            return Err(QueryError::not_supported(
                "a primary key of expressions is not supported",
            ));
        };
        let name = folded(ident);
        let span = Span::try_from_sqlparser_span(ident.span);
        let index = fields
            .iter()
            .position(|field| *field.name() == name)
            .ok_or_else(|| {
                let message = format!("column \"{name}\" named in key does not exist");
                QueryError::new(SqlState::UNDEFINED_COLUMN, message).at(span)
            })?;
        if key.contains(&index) {
            let message = format!("column \"{name}\" appears twice in primary key constraint");
            return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, message).at(span));
        }
        key.push(index);
    }
    Ok(key)
}

fn two_keys(table: &TableName) -> QueryError {
    let message = format!(
        "multiple primary keys for table \"{}\" are not allowed",
        table.table
    );
    QueryError::new(SqlState::INVALID_TABLE_DEFINITION, message)
}

/// A name as PostgreSQL folds it.
pub(super) fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

/// The type of a column, and its greatest length if it has one. Errors: 42704 for a type that is not known, 0A000 for one
/// whose values would not be what they are in PostgreSQL, 22023 for impossible digits.
fn column_type(written: &SqlType) -> Result<(DataType, Option<u64>)> {
    let data_type = match written {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::SmallInt(None) | SqlType::Int2(None) => DataType::Int16,
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) => DataType::Int32,
        SqlType::BigInt(None) | SqlType::Int8(None) => DataType::Int64,
        SqlType::Real | SqlType::Float4 | SqlType::Float(ExactNumberInfo::Precision(1..=24)) => {
            DataType::Float32
        }
        SqlType::Double(ExactNumberInfo::None)
        | SqlType::DoublePrecision
        | SqlType::Float8
        | SqlType::Float(ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53)) => DataType::Float64,
        SqlType::Numeric(digits) | SqlType::Decimal(digits) | SqlType::Dec(digits) => numeric(digits)?,
        SqlType::Text => DataType::Utf8View,
        SqlType::Varchar(length) | SqlType::CharacterVarying(length) => {
            return Ok((DataType::Utf8View, text_length(length.as_ref())?));
        }
        SqlType::Bytea => DataType::BinaryView,
        SqlType::Date => DataType::Date32,
        SqlType::Time(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time64(TimeUnit::Microsecond)
        }
        SqlType::Timestamp(None | Some(6), zone) => {
            let zoned = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
            DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| Arc::from("UTC")))
        }
        SqlType::Interval {
            fields: None,
            precision: None,
        } => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => {
            let (item, length) = column_type(item)?;
            if length.is_some() || item.is_nested() {
                return Err(unsupported(written, "Write an array of text, or of numbers."));
            }
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        SqlType::Char(_) | SqlType::Character(_) => {
            return Err(unsupported(
                written,
                "Use varchar(n) or text, which have no padding.",
            ));
        }
        SqlType::Uuid | SqlType::JSON | SqlType::JSONB => return Err(unsupported(written, "Use text.")),
        SqlType::Custom(name, arguments) if arguments.is_empty() => {
            match last_part(name).unwrap_or_default().as_str() {
                "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
                "name" => DataType::Utf8View,
                "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" => {
                    return Err(unsupported(
                        written,
                        "Use integer or bigint: there are no sequences.",
                    ));
                }
                "bpchar" | "citext" | "xml" | "inet" | "money" | "oid" => {
                    return Err(unsupported(written, "Use text or a number."));
                }
                _ => {
                    let message = format!("type \"{}\" does not exist", written.to_string().to_lowercase());
                    return Err(QueryError::new(SqlState::UNDEFINED_OBJECT, message));
                }
            }
        }
        _ => {
            return Err(unsupported(
                written,
                "The connector's page lists the types that are.",
            ));
        }
    };
    Ok((data_type, None))
}

fn unsupported(written: &SqlType, hint: &str) -> QueryError {
    let written = written.to_string().to_lowercase();
    QueryError::not_supported(format!("a column of type {written} is not supported")).hint(hint)
}

fn numeric(digits: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match digits {
        ExactNumberInfo::None => {
            let message = "a column of type numeric needs a precision and a scale";
            return Err(QueryError::not_supported(message).hint("Write numeric(38, 10), for example."));
        }
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let wrong = |message: String| QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let precision = u8::try_from(precision)
        .ok()
        .filter(|digits| (1..=DIGITS_MAX).contains(&u64::from(*digits)));
    let precision =
        precision.ok_or_else(|| wrong(format!("NUMERIC precision must be between 1 and {DIGITS_MAX}")))?;
    let scale = i8::try_from(scale)
        .ok()
        .filter(|scale| (0..=precision.cast_signed()).contains(scale));
    let scale = scale.ok_or_else(|| {
        wrong(format!(
            "NUMERIC scale must be between 0 and precision {precision}"
        ))
    })?;
    Ok(match precision {
        ..=38 => DataType::Decimal128(precision, scale),
        _ => DataType::Decimal256(precision, scale),
    })
}

fn text_length(length: Option<&CharacterLength>) -> Result<Option<u64>> {
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length, .. }) if (1..=TEXT_LENGTH_MAX).contains(length) => {
            Ok(Some(*length))
        }
        Some(_) => {
            let message = format!("length for type varchar must be between 1 and {TEXT_LENGTH_MAX}");
            Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
    }
}
