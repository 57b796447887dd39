//! One table over a key-value source: its name, key template and columns, checked against each other.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};

use crate::columns::ColumnDefinition;
use crate::template::KeyTemplate;

/// A table as it is configured; pure data.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    name: TableName,
    template: KeyTemplate,
    columns: Vec<ColumnDefinition>,
    schema: SchemaRef,
    key_columns: Vec<usize>,
}

impl TableDefinition {
    /// Reads the key template and the columns (`"p_partkey bigint"`).
    ///
    /// Errors: one `Configuration` error per problem, all of them.
    pub fn parse(name: TableName, key: &str, columns: &[String]) -> Result<Self, Vec<ConnectorError>> {
        let mut problems = Vec::new();
        let mut definitions: Vec<ColumnDefinition> = Vec::new();
        for column in columns {
            match ColumnDefinition::parse(column) {
                Ok(column) if definitions.iter().any(|other| other.name == column.name) => {
                    problems.push(ConnectorError::new(
                        ErrorKind::Configuration,
                        format!("column \"{}\" is defined twice", column.name),
                    ));
                }
                Ok(column) => definitions.push(column),
                Err(problem) => problems.push(problem),
            }
        }
        // With a column missing, the template would only be blamed for it once more.
        if !problems.is_empty() {
            return Err(problems);
        }
        let template = KeyTemplate::parse(key, &definitions).map_err(|problem| vec![problem])?;
        Ok(Self::new(name, template, definitions))
    }

    fn new(name: TableName, template: KeyTemplate, columns: Vec<ColumnDefinition>) -> Self {
        let key_columns: Vec<usize> = template
            .columns()
            .filter_map(|(name, _)| columns.iter().position(|column| column.name == name))
            .collect();
        debug_assert_eq!(key_columns.len(), template.columns().len());
        let fields = columns.iter().enumerate();
        let fields = fields.map(|(index, column)| column.field(!key_columns.contains(&index)));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self {
            name,
            template,
            columns,
            schema,
            key_columns,
        }
    }

    /// The table's full name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The key template.
    pub fn template(&self) -> &KeyTemplate {
        &self.template
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
        let problems = parse("{a}", &["a int", "a text", "b money"]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(parse("{x}", &["a int"]).unwrap_err().len(), 1);
    }
}
