//! Writing the tables that the configuration describes: keys by their template, values as JSON documents or as text.
//!
//! The law: what is written is read again. A key that would be read as other columns is refused, and so is a value that
//! its format has no form for.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use causeway_base_kv::{
    ColumnDefinition, ColumnType, KeyTuple, KeyValue, Place, TableDefinition, ValueFormat, printable,
};
use causeway_spi::{ConnectorError, ErrorKind, ROW_LOCATOR, Result};
use redb::TableHandle;
use serde::de::IgnoredAny;

use crate::error::StoreResult;
use crate::format::KEYS;
use crate::moment::View;
use crate::undo::Writing;
use crate::write::{KEY_BYTES_MAX, duplicate_key, locators};

/// The table with its locators, which are its keys, behind its columns.
pub(crate) fn located(definition: &TableDefinition) -> Result<TableDefinition> {
    let mut columns = definition.columns().to_vec();
    columns.push(ColumnDefinition {
        name: ROW_LOCATOR.to_owned(),
        column_type: ColumnType::Bytea,
        place: Place::Key,
    });
    let located = TableDefinition::new(
        definition.name().clone(),
        definition.template().text(),
        definition.format(),
        columns,
    );
    let located = located.map_err(|_| {
        ConnectorError::new(
            ErrorKind::Internal,
            format!("table {} cannot show its keys", definition.name()),
        )
    })?;
    Ok(located.with_invalid(definition.invalid()))
}

/// Adds the rows of `batch`.
pub(crate) fn insert_batch(
    write: &Writing,
    definition: &TableDefinition,
    batch: &RecordBatch,
) -> StoreResult<()> {
    let key_types = definition.template().columns().map(|(_, key_type)| key_type);
    let parts = definition.key_columns().iter().zip(key_types);
    let parts = parts.map(|(&index, key_type)| key_type.values(batch.column(index)));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let options = formats();
    let values = ValueWriter::new(definition, batch, &options)?;
    let mut keys = write.entries(KEYS.name())?;
    for row in 0..batch.num_rows() {
        let key = key(definition, &parts, row)?;
        let value = values.write(row)?;
        if keys.insert(&key, &value)? {
            let shown = format!("\"{}\"", printable(&key));
            return Err(duplicate_key(definition.name(), &shown).into());
        }
    }
    Ok(())
}

/// Deletes the keys that are the only column of `batch`.
pub(crate) fn delete_batch(
    write: &Writing,
    definition: &TableDefinition,
    batch: &RecordBatch,
) -> StoreResult<()> {
    let mut keys = write.entries(KEYS.name())?;
    for locator in locators(definition.name(), batch)? {
        keys.remove(&locator)?;
    }
    Ok(())
}

/// Deletes all rows: the keys that are rows, not those that only begin alike.
pub(crate) fn truncate(write: &Writing, definition: &TableDefinition) -> StoreResult<()> {
    let template = definition.template();
    let range = causeway_base_kv::KeyRange::prefix(template.prefix());
    let found = {
        let view = View::Write(write.transaction());
        let mut found = Vec::new();
        if let Some(keys) = view.open(KEYS)? {
            for entry in keys.range(&range.low, range.high.as_deref())? {
                let key = entry?.0.value().to_vec();
                if template.parse_key(&key).is_some() {
                    found.push(key);
                }
            }
        }
        found
    };
    let mut keys = write.entries(KEYS.name())?;
    for key in found {
        keys.remove(&key)?;
    }
    Ok(())
}

fn key(definition: &TableDefinition, parts: &[Vec<Option<KeyValue>>], row: usize) -> Result<Vec<u8>> {
    let tuple = parts
        .iter()
        .map(|part| part[row].clone())
        .collect::<Option<KeyTuple>>();
    let key = tuple.and_then(|tuple| definition.template().render(&tuple));
    let key = key.ok_or_else(|| {
        refused(definition, "has a row whose key columns make no key").hint(
            "A key column is not NULL, holds what ends it in the template only where it is the last, and a date is of \
             the years 1 to 9999.",
        )
    })?;
    if key.len() > KEY_BYTES_MAX {
        return Err(ConnectorError::new(
            ErrorKind::LimitExceeded,
            format!("a key of table {} is too long", definition.name()),
        )
        .detail(format!(
            "It has {} bytes, at most {KEY_BYTES_MAX} are kept.",
            key.len()
        )));
    }
    Ok(key)
}

fn refused(definition: &TableDefinition, what: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!("table {} {what}", definition.name()),
    )
}

fn formats() -> FormatOptions<'static> {
    FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6fZ"))
        .with_date_format(Some("%Y-%m-%d"))
        .with_time_format(Some("%H:%M:%S%.6f"))
}

/// Makes the values of a batch's rows.
struct ValueWriter<'a> {
    definition: &'a TableDefinition,
    columns: Vec<ValueColumn<'a>>,
}

struct ValueColumn<'a> {
    definition: &'a ColumnDefinition,
    /// The member of the document; none: the whole value.
    member: Option<&'a str>,
    array: &'a ArrayRef,
    text: ArrayFormatter<'a>,
}

impl<'a> ValueWriter<'a> {
    /// Errors: `NotSupported` for columns that have values and cannot be written.
    fn new(
        definition: &'a TableDefinition,
        batch: &'a RecordBatch,
        options: &'a FormatOptions<'a>,
    ) -> Result<Self> {
        let mut columns = Vec::new();
        for (index, column) in definition.columns().iter().enumerate() {
            let array = batch.column(index);
            if definition.key_columns().contains(&index) {
                continue;
            }
            let member = match (definition.format(), &column.place) {
                (ValueFormat::Json, Place::Path(path)) => path.as_member(),
                _ => None,
            };
            let is_written = member.is_some()
                || definition.format() == ValueFormat::String && column.place == Place::Value;
            if !is_written {
                if array.null_count() < array.len() {
                    return Err(ConnectorError::new(
                        ErrorKind::NotSupported,
                        format!(
                            "column \"{}\" of table {} can only be read",
                            column.name,
                            definition.name()
                        ),
                    ));
                }
                continue;
            }
            let text = ArrayFormatter::try_new(array, options).map_err(|error| {
                ConnectorError::new(ErrorKind::Internal, "a column cannot be written as text").source(error)
            })?;
            columns.push(ValueColumn {
                definition: column,
                member,
                array,
                text,
            });
        }
        Ok(Self { definition, columns })
    }

    fn write(&self, row: usize) -> Result<Vec<u8>> {
        if self.definition.format() == ValueFormat::String {
            let column = self.columns.iter().find(|column| column.array.is_valid(row));
            let column = column.ok_or_else(|| refused(self.definition, "has a row without a value"))?;
            return Ok(match column.array.as_binary_view_opt() {
                Some(bytes) => bytes.value(row).to_vec(),
                None => column.text.value(row).to_string().into_bytes(),
            });
        }
        let mut document = String::from("{");
        for column in self.columns.iter().filter(|column| column.array.is_valid(row)) {
            if document.len() > 1 {
                document.push(',');
            }
            document.push_str(&quoted(column.member.unwrap_or_default()));
            document.push(':');
            document.push_str(&self.json(column, row)?);
        }
        document.push('}');
        Ok(document.into_bytes())
    }

    /// One value as JSON.
    fn json(&self, column: &ValueColumn<'_>, row: usize) -> Result<String> {
        let no_form = || {
            refused(self.definition, "has a value that cannot be written as JSON")
                .detail(format!("It is in column \"{}\".", column.definition.name))
        };
        let array = column.array;
        Ok(match array.data_type() {
            DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => column.text.value(row).to_string(),
            DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into(), column, row),
            DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), column, row),
            DataType::BinaryView => {
                let bytes = array.as_binary_view().value(row);
                quoted(std::str::from_utf8(bytes).map_err(|_| no_form())?)
            }
            DataType::Utf8View if column.definition.column_type == ColumnType::Json => {
                let text = array.as_string_view().value(row);
                serde_json::from_str::<IgnoredAny>(text).map_err(|_| no_form())?;
                text.to_owned()
            }
            DataType::List(_) => {
                return Err(ConnectorError::new(
                    ErrorKind::NotSupported,
                    format!(
                        "writing arrays to table {} is not supported",
                        self.definition.name()
                    ),
                ));
            }
            _ => quoted(&column.text.value(row).to_string()),
        })
    }
}

/// JSON has no form for NaN and the infinities: they are written as text, which is read as well.
fn float(number: f64, column: &ValueColumn<'_>, row: usize) -> String {
    let text = column.text.value(row).to_string();
    if number.is_finite() { text } else { quoted(&text) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
