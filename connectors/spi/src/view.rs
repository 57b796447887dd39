//! A view as a table: it has a name and columns, but its rows come from the query that the engine plans in its place.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::connector::{Table, TableName};
use crate::error::{ConnectorError, ErrorKind, Result};
use crate::filter::{Filter, Pushdown};
use crate::scan::{BatchStream, ReadContext, Scan, Split};
use crate::statistics::TableStatistics;
use crate::write::ViewDefinition;

/// A view of a source that keeps views.
#[derive(Debug)]
pub struct View {
    name: TableName,
    definition: ViewDefinition,
}

impl View {
    /// The view `name`.
    pub fn new(name: TableName, definition: ViewDefinition) -> Self {
        Self { name, definition }
    }
}

#[async_trait]
impl Table for View {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.definition.columns)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::default()
    }

    fn pushdown(&self, _: &Filter) -> Pushdown {
        Pushdown::declined("a view has no rows of its own")
    }

    async fn read(&self, _: &Scan, _: &Split, _: &ReadContext) -> Result<BatchStream> {
        let message = format!("view {} was read as if it were a table", self.name);
        Err(ConnectorError::new(ErrorKind::Internal, message))
    }

    fn remote_text(&self, _: &Scan) -> String {
        "its query".to_owned()
    }

    fn view(&self) -> Option<&ViewDefinition> {
        Some(&self.definition)
    }
}
