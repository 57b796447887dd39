//! Keys and stored values to rows: one builder per projected column, one batch per call.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};

use crate::column_builder::ColumnBuilder;
use crate::columns::{ColumnDefinition, Place};
use crate::definition::TableDefinition;
use crate::format::{Field, InvalidValues};
use crate::json::JsonValue;
use crate::json_path::{JsonPath, JsonStep};
use crate::key::{KeyTuple, internal};
use crate::kv_table::FieldValues;
use crate::printable::printable;
use crate::value_text::Problem;

/// Where a projected column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The key's part at this position of the template.
    Part(usize),
    /// The key itself.
    Key,
    /// The fetched field at this position.
    Field(usize),
    /// A place in the value, which is JSON: where these steps lead from the whole document, or from the member of it
    /// at this position among those looked for.
    Path(Option<usize>, Vec<JsonStep>),
}

/// Which fields a projection needs, and how its columns are put together from keys and fields.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    schema: SchemaRef,
    columns: Vec<(ColumnDefinition, Origin)>,
    fields: Vec<Field>,
    /// The position among the fields of the value that holds the paths, if there are any.
    document: Option<usize>,
    /// The members of the document that paths begin with, each once.
    members: Vec<String>,
    invalid: InvalidValues,
}

impl Projection {
    /// Plans the output of the columns `projection`, whose schema is `schema`.
    pub(crate) fn new(definition: &TableDefinition, projection: &[usize], schema: SchemaRef) -> Self {
        let mut plan = Self {
            schema,
            columns: Vec::with_capacity(projection.len()),
            fields: Vec::new(),
            document: None,
            members: Vec::new(),
            invalid: definition.invalid(),
        };
        for &index in projection {
            let column = &definition.columns()[index];
            let part = definition.key_columns().iter().position(|&key| key == index);
            let origin = match (part, &column.place) {
                (Some(part), _) => Origin::Part(part),
                (None, Place::Key) => Origin::Key,
                (None, Place::Field(name)) => Origin::Field(plan.position(Field::Named(name.clone()))),
                (None, Place::Value) => Origin::Field(plan.position(Field::Value)),
                (None, Place::Ttl) => Origin::Field(plan.position(Field::Ttl)),
                (None, Place::Path(path)) => {
                    plan.document = Some(plan.position(Field::Value));
                    plan.path(path)
                }
            };
            plan.columns.push((column.clone(), origin));
        }
        plan
    }

    /// The fields to fetch, each once; none when the key says everything.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn path(&mut self, path: &JsonPath) -> Origin {
        let Some((JsonStep::Member(first), rest)) = path.steps().split_first() else {
            return Origin::Path(None, path.steps().to_vec());
        };
        let known = self.members.iter().position(|member| member == first);
        let position = known.unwrap_or_else(|| {
            self.members.push(first.clone());
            self.members.len() - 1
        });
        Origin::Path(Some(position), rest.to_vec())
    }

    fn position(&mut self, field: Field) -> usize {
        if let Some(position) = self.fields.iter().position(|other| *other == field) {
            return position;
        }
        self.fields.push(field);
        self.fields.len() - 1
    }
}

/// A JSON document, and the members of it that paths begin with.
struct Document<'a> {
    whole: JsonValue<'a>,
    members: Vec<Option<JsonValue<'a>>>,
}

impl<'a> Document<'a> {
    fn read(stored: &'a [u8], members: &[String]) -> Result<Self, Problem> {
        let whole = JsonValue::parse(stored)?;
        Ok(Self {
            whole,
            members: whole.members(members)?,
        })
    }

    fn at(&self, start: Option<usize>, steps: &[JsonStep]) -> Result<Option<JsonValue<'a>>, Problem> {
        let start = match start {
            None => Some(self.whole),
            Some(member) => self.members.get(member).copied().flatten(),
        };
        start.map_or(Ok(None), |start| start.at(steps))
    }
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
        let builders = builders.map(|(column, _)| ColumnBuilder::new(&column.column_type, capacity));
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

    /// Adds one row. Errors: `InvalidData`, naming table, key and column, where the table does not make it NULL.
    pub(crate) fn push(&mut self, key: &[u8], tuple: &KeyTuple, values: &FieldValues) -> Result<()> {
        let value_at = |position: usize| values.get(position).and_then(Option::as_deref);
        let stored = self.projection.document.and_then(value_at);
        let document = stored
            .map(|stored| Document::read(stored, &self.projection.members))
            .transpose();
        for ((column, origin), builder) in self.projection.columns.iter().zip(&mut self.builders) {
            let (shown, appended) = match origin {
                Origin::Part(position) => {
                    self.bytes += 16;
                    builder.append_key(&tuple[*position])?;
                    continue;
                }
                Origin::Key => (Some(key), builder.append(Some(key))),
                Origin::Field(position) => {
                    let value = value_at(*position);
                    (value, builder.append(value))
                }
                Origin::Path(start, steps) => match &document {
                    Ok(None) => (None, builder.append(None)),
                    Ok(Some(document)) => match document.at(*start, steps) {
                        Ok(Some(value)) => (Some(value.raw().as_bytes()), builder.append_json(value)),
                        Ok(None) => (None, builder.append(None)),
                        Err(problem) => (stored, Err(problem)),
                    },
                    Err(problem) => (stored, Err(*problem)),
                },
            };
            self.bytes += 16 + shown.map_or(0, <[u8]>::len);
            if let Err(problem) = appended {
                match self.projection.invalid {
                    InvalidValues::Error => {
                        return Err(undecodable(self.table, key, column, shown, problem));
                    }
                    InvalidValues::Null => builder
                        .append(None)
                        .map_err(|problem| undecodable(self.table, key, column, shown, problem))?,
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
    .hint("Correct the value, declare the column as text, or let the table have invalid = \"null\".")
}

#[cfg(test)]
mod tests;
