//! A table as it is configured: the options, and the definition they make when they fit together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use causeway_spi::{ConnectorError, Result, TableName};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::columns::{ColumnDefinition, ColumnType, Place, configuration};
use crate::definition::TableDefinition;
use crate::format::{ELEMENT, HiddenColumn, InvalidValues, POSITION, SCORE, ValueFormat};
use crate::json_path::JsonPath;

/// One table: the keys that follow a template, with the columns of their values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// The table's name.
    pub name: String,
    /// The key template: `part:{p_partkey}`; `{{` and `}}` are braces. A column of it is smallint, integer, bigint, text or date.
    pub key: String,
    /// How the values are stored; sets and lists where the source has them.
    #[serde(default)]
    pub value: ValueFormat,
    /// All columns, those of the key too: `"p_partkey bigint"`, or `{ name = "city", type = "text", path = "$.address.city" }`.
    pub columns: Vec<ColumnOptions>,
    /// Columns at the end that are not part of the value.
    #[serde(default)]
    pub hidden: Vec<HiddenColumn>,
    /// What a value that does not decode becomes.
    #[serde(default)]
    pub invalid: InvalidValues,
}

/// A column as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum ColumnOptions {
    /// `"p_name text"`.
    Short(String),
    /// With the place of the value.
    Long(PlacedColumn),
}

/// A column whose value is not found under the column's own name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacedColumn {
    /// The column's name.
    pub name: String,
    /// The column's type: `"numeric(12,2)"`.
    #[serde(rename = "type")]
    pub column_type: String,
    /// The name of the field that holds the value. Default: the column's name.
    #[serde(default)]
    pub field: Option<String>,
    /// The place of the value in a JSON document: `"$.address.city"`. Default: the member of the column's name.
    #[serde(default)]
    pub path: Option<String>,
}

impl<'de> Deserialize<'de> for ColumnOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnVisitor;
        impl<'de> Visitor<'de> for ColumnVisitor {
            type Value = ColumnOptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column such as \"p_name text\" or { name = \"p_name\", type = \"text\", field = \"n\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ColumnOptions, E> {
                Ok(ColumnOptions::Short(text.to_owned()))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<ColumnOptions, M::Error> {
                PlacedColumn::deserialize(MapAccessDeserializer::new(map)).map(ColumnOptions::Long)
            }
        }
        deserializer.deserialize_any(ColumnVisitor)
    }
}

impl TableOptions {
    /// The table of `catalog` that these options describe; one `Configuration` error per problem, all of them.
    pub fn define(&self, name: TableName) -> Result<TableDefinition, Vec<ConnectorError>> {
        let mut problems = Vec::new();
        let mut columns: Vec<ColumnDefinition> = Vec::new();
        for options in &self.columns {
            match self.column(options) {
                Ok(column) => columns.push(column),
                Err(problem) => problems.push(problem),
            }
        }
        for &hidden in &self.hidden {
            if hidden == HiddenColumn::Value && !matches!(self.value, ValueFormat::Json | ValueFormat::String)
            {
                problems.push(configuration(format!(
                    "hidden column \"_value\" needs a value that is one text, not a {}",
                    self.value
                )));
                continue;
            }
            columns.push(ColumnDefinition {
                name: hidden.name().to_owned(),
                column_type: hidden.column_type(),
                place: match hidden {
                    HiddenColumn::Key => Place::Key,
                    HiddenColumn::Value => Place::Value,
                    HiddenColumn::Ttl => Place::Ttl,
                },
            });
        }
        // With a column missing, the template would only be blamed for it once more.
        if !problems.is_empty() {
            return Err(problems);
        }
        let definition = TableDefinition::new(name, &self.key, self.value, columns)?;
        let places = self.misplaced(&definition);
        if places.is_empty() {
            Ok(definition.with_invalid(self.invalid))
        } else {
            Err(places)
        }
    }

    /// The tables of `catalog` by name, as far as they are right; what is wrong with the others comes to `problems`.
    ///
    /// `refused`: what the source does not have of a table's options.
    pub fn define_all(
        tables: &[Self],
        catalog: &str,
        schema: &str,
        refused: impl Fn(&Self) -> Option<String>,
        problems: &mut Vec<String>,
    ) -> BTreeMap<String, Arc<TableDefinition>> {
        let mut defined = BTreeMap::new();
        for (position, options) in tables.iter().enumerate() {
            let mut wrong = |problem: &str| {
                problems.push(format!("tables[{position}] \"{}\": {problem}", options.name));
            };
            if options.name.is_empty() {
                wrong("option name is empty");
            }
            if let Some(problem) = refused(options) {
                wrong(&problem);
            }
            match options.define(TableName::new(catalog, schema, &options.name)) {
                Err(errors) => errors.iter().for_each(|error| wrong(&with_hint(error))),
                Ok(definition) => {
                    let same = defined.insert(options.name.clone(), Arc::new(definition));
                    if same.is_some() {
                        wrong("another table has the same name");
                    }
                }
            }
        }
        defined
    }

    fn column(&self, options: &ColumnOptions) -> Result<ColumnDefinition> {
        let (mut column, field, path) = match options {
            ColumnOptions::Short(text) => (ColumnDefinition::parse(text)?, None, None),
            ColumnOptions::Long(column) => {
                if column.name.is_empty() {
                    return Err(configuration("a column has an empty name".to_owned()));
                }
                let column_type = ColumnDefinition::parse_type(&column.name, &column.column_type)?;
                let field = column.field.as_deref();
                let path = column.path.as_deref();
                (ColumnDefinition::new(&column.name, column_type), field, path)
            }
        };
        let name = column.name.clone();
        let surplus = |option: &str| {
            configuration(format!(
                "column \"{name}\" has the option {option}, which means nothing with value = \"{}\"",
                self.value
            ))
        };
        match (self.value, field, path) {
            (ValueFormat::Json, Some(_), _) | (ValueFormat::String, Some(_), _) => {
                return Err(surplus("field"));
            }
            (ValueFormat::Json, None, path) => {
                let path = path.map(JsonPath::parse).transpose();
                let path = path.map_err(|problem| {
                    let error = configuration(format!("column \"{name}\": {}", problem.message()));
                    error.hint(problem.hint_text().unwrap_or_default())
                })?;
                column.place = Place::Path(path.unwrap_or_else(|| JsonPath::member(&name)));
            }
            (_, _, Some(_)) => return Err(surplus("path")),
            (ValueFormat::String, None, None) => column.place = Place::Value,
            (_, Some(field), None) => column.place = Place::Field(field.to_owned()),
            (_, None, None) => {}
        }
        Ok(column)
    }

    /// What is wrong with the places of the columns, once it is known which of them the key holds.
    fn misplaced(&self, definition: &TableDefinition) -> Vec<ConnectorError> {
        let mut problems = Vec::new();
        let is_key = |index: &usize| definition.key_columns().contains(index);
        let placed = self.columns.iter().enumerate().filter(|(index, _)| is_key(index));
        for (_, options) in placed {
            if let ColumnOptions::Long(column) = options
                && (column.field.is_some() || column.path.is_some())
            {
                problems.push(configuration(format!(
                    "column \"{}\" is part of the key, and has the option field or path",
                    column.name
                )));
            }
        }
        for &index in definition
            .key_columns()
            .iter()
            .filter(|&&index| index >= self.columns.len())
        {
            let name = &definition.columns()[index].name;
            problems.push(configuration(format!(
                "the key template names the hidden column \"{name}\""
            )));
        }
        let own = definition.columns().iter().enumerate().take(self.columns.len());
        let values: Vec<&ColumnDefinition> = own
            .filter(|(index, _)| !is_key(index))
            .map(|(_, column)| column)
            .collect();
        if self.value == ValueFormat::String && values.len() > 1 {
            problems.push(configuration(format!(
                "value = \"string\" has one column beside those of the key, not {}",
                values.len()
            )));
        }
        if self.value.is_collection() {
            problems.extend(
                values
                    .into_iter()
                    .filter_map(|column| self.misplaced_element(column)),
            );
        }
        problems
    }

    fn misplaced_element(&self, column: &ColumnDefinition) -> Option<ConnectorError> {
        let Place::Field(field) = &column.place else {
            return None;
        };
        let name = &column.name;
        let fields = self.value.element_fields();
        if !fields.contains(&field.as_str()) {
            let hint = format!(
                "Give the column the option field: {{ name = \"{name}\", type = \"{}\", field = \"{ELEMENT}\" }}.",
                column.column_type
            );
            let problem = format!(
                "column \"{name}\" is the field \"{field}\", but a {} has {}",
                self.value,
                fields.join(" and ")
            );
            return Some(configuration(problem).hint(hint));
        }
        let fits = match field.as_str() {
            SCORE => column.column_type == ColumnType::Double,
            POSITION => column.column_type == ColumnType::BigInt,
            _ => true,
        };
        let wanted = if field == SCORE {
            "double precision"
        } else {
            "bigint"
        };
        (!fits).then(|| {
            configuration(format!(
                "column \"{name}\" is the {field} of an element and has the type {}; it is {wanted}",
                column.column_type
            ))
        })
    }
}

/// A problem with what to do about it, in one fragment.
fn with_hint(error: &ConnectorError) -> String {
    match error.hint_text() {
        Some(hint) => format!("{} ({})", error.message(), hint.trim_end_matches('.')),
        None => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests;
