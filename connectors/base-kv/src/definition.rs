//! One table over a key-value source: its name, key template and columns, checked against each other.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};

use crate::columns::{ColumnDefinition, Place};
use crate::format::{InvalidValues, ValueFormat};
use crate::template::KeyTemplate;

/// A table as it is configured; pure data.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    name: TableName,
    template: KeyTemplate,
    format: ValueFormat,
    invalid: InvalidValues,
    columns: Vec<ColumnDefinition>,
    schema: SchemaRef,
    key_columns: Vec<usize>,
}

impl TableDefinition {
    /// Reads the key template and the columns (`"p_partkey bigint"`) of a table of hashes.
    ///
    /// Errors: one `Configuration` error per problem, all of them.
    pub fn parse(name: TableName, key: &str, columns: &[String]) -> Result<Self, Vec<ConnectorError>> {
        let mut problems = Vec::new();
        let mut definitions: Vec<ColumnDefinition> = Vec::new();
        for column in columns {
            match ColumnDefinition::parse(column) {
                Ok(column) => definitions.push(column),
                Err(problem) => problems.push(problem),
            }
        }
        // With a column missing, the template would only be blamed for it once more.
        if !problems.is_empty() {
            return Err(problems);
        }
        Self::new(name, key, ValueFormat::Hash, definitions)
    }

    /// A table of values of `format` whose keys follow the template `key`.
    ///
    /// Errors: one `Configuration` error per problem, all of them.
    pub fn new(
        name: TableName,
        key: &str,
        format: ValueFormat,
        columns: Vec<ColumnDefinition>,
    ) -> Result<Self, Vec<ConnectorError>> {
        let twice = columns.iter().enumerate().filter(|(index, column)| {
            let others = &columns[..*index];
            others.iter().any(|other| other.name == column.name)
        });
        let twice: Vec<ConnectorError> = twice
            .map(|(_, column)| {
                ConnectorError::new(
                    ErrorKind::Configuration,
                    format!("column \"{}\" is defined twice", column.name),
                )
            })
            .collect();
        if !twice.is_empty() {
            return Err(twice);
        }
        let template = KeyTemplate::parse(key, &columns).map_err(|problem| vec![problem])?;
        let key_columns: Vec<usize> = template
            .columns()
            .filter_map(|(name, _)| columns.iter().position(|column| column.name == name))
            .collect();
        debug_assert_eq!(key_columns.len(), template.columns().len());
        let fields = columns.iter().enumerate();
        let fields = fields
            .map(|(index, column)| column.field(!key_columns.contains(&index) && column.place != Place::Key));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self {
            name,
            template,
            format,
            invalid: InvalidValues::default(),
            columns,
            schema,
            key_columns,
        })
    }

    /// The same with another fate of values that do not decode.
    #[must_use]
    pub fn with_invalid(mut self, invalid: InvalidValues) -> Self {
        self.invalid = invalid;
        self
    }

    /// The table's full name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The key template.
    pub fn template(&self) -> &KeyTemplate {
        &self.template
    }

    /// How the values are stored.
    pub fn format(&self) -> ValueFormat {
        self.format
    }

    /// What becomes of a value that does not decode.
    pub fn invalid(&self) -> InvalidValues {
        self.invalid
    }

    /// All columns, in the order of the schema.
    pub fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    /// The columns as Arrow fields; key columns are not nullable, all others are.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The positions in the schema of the key columns, in the order of the template.
    pub fn key_columns(&self) -> &[usize] {
        &self.key_columns
    }

    /// A guess at the decoded bytes of one row.
    pub fn row_bytes_estimate(&self) -> u64 {
        self.columns
            .iter()
            .map(|column| column.column_type.width_estimate())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, columns: &[&str]) -> Result<TableDefinition, Vec<String>> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        TableDefinition::parse(TableName::new("c", "public", "t"), key, &columns).map_err(|problems| {
            problems
                .iter()
                .map(|problem| problem.message().to_owned())
                .collect()
        })
    }

    #[test]
    fn key_columns_follow_the_template() {
        let definition = parse("{b}:{a}", &["a int", "v text", "b text"]).unwrap();
        assert_eq!(definition.key_columns(), [2, 0]);
        let nullable: Vec<bool> = definition
            .schema()
            .fields()
            .iter()
            .map(|field| field.is_nullable())
            .collect();
        assert_eq!(nullable, [false, true, false]);
    }

    #[test]
    fn reports_every_problem() {
        let problems = parse("{a}", &["a int", "c", "b money"]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        let problems = parse("{a}", &["a int", "a text", "b text", "b int"]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(parse("{x}", &["a int"]).unwrap_err().len(), 1);
    }
}
