//! A table made by SQL as the file keeps it: columns, types, keys. Its rows stand under its number, so that renaming
//! the table moves none.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use causeway_base_kv::{KeyType, OrderedKey};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName, ViewDefinition};
use serde::{Deserialize, Serialize};

use crate::error::{StoreError, StoreResult};

/// The greatest depth of lists within lists.
const LISTS_MAX: usize = 6;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Relation {
    Table(StoredTable),
    View(StoredView),
}

impl Relation {
    pub(crate) fn to_json(&self) -> StoreResult<String> {
        serde_json::to_string(self).map_err(|error| StoreError::damaged(error.to_string()))
    }

    pub(crate) fn from_json(text: &str) -> StoreResult<Self> {
        serde_json::from_str(text)
            .map_err(|error| StoreError::damaged(format!("a definition cannot be read: {error}")))
    }
}

/// The definition in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredTable {
    /// The number under which the rows stand; never used again.
    pub(crate) id: u64,
    pub(crate) columns: Vec<StoredColumn>,
    /// The positions of the primary key's columns, in its order; none: rows have numbers of their own.
    pub(crate) primary_key: Vec<usize>,
}

/// One column in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredColumn {
    pub(crate) name: String,
    /// In PostgreSQL's words: `numeric(12,2)`, `text[]`.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) nullable: bool,
    /// What the engine knows of it besides, such as the greatest length of its texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A view in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredView {
    pub(crate) sql: String,
    pub(crate) columns: Vec<StoredColumn>,
    /// Schema and name of what it reads here, and before them the catalog.
    pub(crate) reads: Vec<(String, String, String)>,
}

impl StoredColumn {
    fn new(field: &Field) -> Result<Self> {
        Ok(Self {
            name: field.name().clone(),
            type_name: type_name(field.data_type()).ok_or_else(|| {
                unsupported(format!(
                    "column \"{}\" has the type {}, which the embedded store cannot keep",
                    field.name(),
                    field.data_type()
                ))
            })?,
            nullable: field.is_nullable(),
            metadata: field.metadata().clone().into_iter().collect(),
        })
    }
}

/// The columns as Arrow fields.
fn schema_of(columns: &[StoredColumn]) -> StoreResult<SchemaRef> {
    let fields = columns.iter().map(|column| {
        let data_type = data_type(&column.type_name, LISTS_MAX).ok_or_else(|| {
            StoreError::damaged(format!(
                "column \"{}\" has the unknown type \"{}\"",
                column.name, column.type_name
            ))
        })?;
        let field = Field::new(&column.name, data_type, column.nullable);
        Ok(field.with_metadata(column.metadata.clone().into_iter().collect()))
    });
    Ok(Arc::new(Schema::new(fields.collect::<StoreResult<Vec<_>>>()?)))
}

impl StoredView {
    /// Errors: `NotSupported` for columns of types that the file has no name for.
    pub(crate) fn new(view: &ViewDefinition) -> Result<Self> {
        let columns = view.columns.fields().iter().map(|field| StoredColumn::new(field));
        let reads = view.reads.iter().cloned();
        Ok(Self {
            sql: view.sql.clone(),
            columns: columns.collect::<Result<_>>()?,
            reads: reads
                .map(|name| (name.catalog, name.schema, name.table))
                .collect(),
        })
    }

    pub(crate) fn view(&self) -> StoreResult<ViewDefinition> {
        let reads = self.reads.iter();
        Ok(ViewDefinition {
            sql: self.sql.clone(),
            columns: schema_of(&self.columns)?,
            reads: reads
                .map(|(catalog, schema, table)| TableName::new(catalog, schema, table))
                .collect(),
        })
    }
}

impl StoredTable {
    /// The definition of a new table. Errors: `NotSupported` for types that cannot be kept or cannot be a key.
    pub(crate) fn new(id: u64, schema: &Schema, primary_key: &[usize]) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| StoredColumn::new(field));
        for &index in primary_key {
            let field = schema.field(index);
            if KeyType::of_data_type(field.data_type()).is_none() {
                return Err(unsupported(format!(
                    "column \"{}\" of type {} cannot be part of a primary key in the embedded store",
                    field.name(),
                    type_name(field.data_type()).unwrap_or_default()
                ))
                .hint(
                    "A key has columns of type smallint, integer, bigint, numeric of at most 38 digits, text, bytea, \
                     boolean, date, timestamp or timestamptz.",
                ));
            }
        }
        Ok(Self {
            id,
            columns: columns.collect::<Result<_>>()?,
            primary_key: primary_key.to_vec(),
        })
    }

    /// The columns as Arrow fields.
    pub(crate) fn schema(&self) -> StoreResult<SchemaRef> {
        schema_of(&self.columns)
    }

    /// The key over `schema`.
    pub(crate) fn key(&self, schema: &Schema) -> StoreResult<OrderedKey> {
        let types = self.primary_key.iter().map(|&index| {
            let field = schema.fields().get(index);
            field.and_then(|field| KeyType::of_data_type(field.data_type()))
        });
        let types = types.collect::<Option<Vec<_>>>();
        types
            .map(OrderedKey::new)
            .ok_or_else(|| StoreError::damaged("a table's primary key is not of its columns"))
    }
}

fn unsupported(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::NotSupported, message)
}

/// The type in PostgreSQL's words; `None` when the store cannot keep it.
fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        // The width is told apart by more than 38 digits.
        DataType::Decimal128(precision, scale) if *scale >= 0 => format!("numeric({precision},{scale})"),
        DataType::Decimal256(precision, scale) if *scale >= 0 => format!("numeric256({precision},{scale})"),
        DataType::Utf8View => "text".to_owned(),
        DataType::BinaryView => "bytea".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(TimeUnit::Microsecond) => "time".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamptz".to_owned(),
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval".to_owned(),
        DataType::UInt32 => "oid".to_owned(),
        DataType::List(item) => {
            let name = type_name(item.data_type())?;
            (name.matches("[]").count() < LISTS_MAX).then(|| format!("{name}[]"))?
        }
        _ => return None,
    })
}

/// The type of a name that [`type_name`] gives.
fn data_type(name: &str, lists: usize) -> Option<DataType> {
    if let Some(item) = name.strip_suffix("[]") {
        let item = data_type(item, lists.checked_sub(1)?)?;
        return Some(DataType::List(Arc::new(Field::new_list_field(item, true))));
    }
    Some(match name {
        "boolean" => DataType::Boolean,
        "smallint" => DataType::Int16,
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "text" => DataType::Utf8View,
        "bytea" => DataType::BinaryView,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "oid" => DataType::UInt32,
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => {
            let (kind, digits) = name.strip_suffix(')')?.split_once('(')?;
            let (precision, scale) = digits.split_once(',')?;
            let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
            match kind {
                "numeric" if (1..=38).contains(&precision) => DataType::Decimal128(precision, scale),
                "numeric256" if (1..=76).contains(&precision) => DataType::Decimal256(precision, scale),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_that_is_read_again() {
        let item = |data_type| DataType::List(Arc::new(Field::new_list_field(data_type, true)));
        let types = [
            DataType::Boolean,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 38),
            DataType::Decimal128(12, 2),
            DataType::Decimal256(76, 0),
            DataType::Decimal256(12, 2),
            DataType::Utf8View,
            DataType::BinaryView,
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Interval(IntervalUnit::MonthDayNano),
            item(DataType::Utf8View),
            item(item(DataType::Decimal128(12, 2))),
        ];
        let fields: Vec<Field> = types
            .iter()
            .enumerate()
            .map(|(index, data_type)| Field::new(format!("c{index}"), data_type.clone(), true))
            .collect();
        let schema = Schema::new(fields);
        let table = StoredTable::new(3, &schema, &[1, 6]).unwrap();
        let Relation::Table(read) =
            Relation::from_json(&Relation::Table(table.clone()).to_json().unwrap()).unwrap()
        else {
            panic!("no table");
        };
        assert_eq!(read, table);
        let read_types: Vec<DataType> = read
            .schema()
            .unwrap()
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        assert_eq!(read_types, types);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let refused = |data_type: DataType, key: &[usize]| {
            let schema = Schema::new(vec![Field::new("a", data_type, true)]);
            let error = StoredTable::new(1, &schema, key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSupported);
            error.message().to_owned()
        };
        let fields = vec![Field::new("x", DataType::Int32, true)];
        assert!(refused(DataType::Struct(fields.into()), &[]).contains("column \"a\" has the type Struct"));
        assert_eq!(
            refused(DataType::Float64, &[0]),
            "column \"a\" of type double precision cannot be part of a primary key in the embedded store"
        );
        let mut deep = DataType::Int32;
        for _ in 0..=LISTS_MAX {
            deep = DataType::List(Arc::new(Field::new_list_field(deep, true)));
        }
        assert!(refused(deep, &[]).contains("cannot keep"));
    }

    #[test]
    fn a_damaged_definition_is_an_error() {
        assert!(Relation::from_json("{").is_err());
        let text = "{\"id\":1,\"columns\":[{\"name\":\"a\",\"type\":\"money\",\"nullable\":true}],\"primary_key\":[7]}";
        let table: StoredTable = serde_json::from_str(text).unwrap();
        assert!(table.schema().is_err());
        assert!(table.key(&Schema::empty()).is_err());
    }
}
