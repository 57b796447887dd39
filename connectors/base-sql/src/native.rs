//! A statement in the source's own language, as a table: sent as its author wrote it, read like any other.
//!
//! Nothing is put around the text, so that it means what it means at the source, its order included, and nothing goes
//! down: filters, limits and operators above it are the engine's. Nor can a filter be known to be exact over values that
//! the source computes: MySQL keeps digits of `1 / 3` that it does not show, and computes `RAND()` twice.

mod text;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Pushdown, ReadContext, Result, Scan, Split, Table,
    TableName, TableStatistics, check_canonical,
};
use futures::StreamExt;

use crate::backend::{SqlBackend, SqlRead};
use crate::print::{Statement, statement_tag};
use crate::profile::ColumnProfile;

pub use text::single_query;

/// Schema and table that stand for a native statement in errors, EXPLAIN and the history.
const SCHEMA: &str = "native";
const TABLE: &str = "statement";
/// The name of a column that has none, as in PostgreSQL.
const UNNAMED: &str = "?column?";

/// A column of a native statement, as its source describes it.
#[derive(Debug, Clone)]
pub struct NativeField {
    /// The canonical type.
    pub data_type: DataType,
    /// Its name and native type, for the connector's reader. Every column may be NULL.
    pub profile: ColumnProfile,
}

/// A native statement of a SQL source.
#[derive(Debug)]
pub struct NativeTable<B> {
    backend: Arc<B>,
    name: TableName,
    text: String,
    schema: SchemaRef,
    profiles: Vec<ColumnProfile>,
    rows_max: usize,
}

impl<B: SqlBackend> NativeTable<B> {
    /// The table of `text`, which is a single query ([`single_query`]) for the source of `catalog`, with these columns.
    pub fn new(
        backend: Arc<B>,
        catalog: &str,
        text: &str,
        columns: Vec<NativeField>,
        rows_max: usize,
    ) -> Result<Self> {
        let name = TableName::new(catalog, SCHEMA, TABLE);
        let names = distinct_names(columns.iter().map(|column| column.profile.name.as_str()));
        let fields = columns.iter().zip(names);
        let fields = fields.map(|(column, name)| Field::new(name, column.data_type.clone(), true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        check_canonical(&name, &schema)?;
        Ok(Self {
            backend,
            name,
            text: text.to_owned(),
            schema,
            profiles: columns.into_iter().map(|column| column.profile).collect(),
            rows_max,
        })
    }

    /// Ends `batches` with an error when they hold more rows than the statement may give.
    fn limited(&self, batches: BatchStream) -> BatchStream {
        let (rows_max, catalog) = (self.rows_max, self.name.catalog.clone());
        let mut rows = 0_usize;
        let limited = batches.map(move |batch| {
            let batch = batch?;
            rows = rows.saturating_add(batch.num_rows());
            match rows > rows_max {
                true => Err(too_many_rows(&catalog, rows_max)),
                false => Ok(batch),
            }
        });
        limited.boxed()
    }
}

#[async_trait]
impl<B: SqlBackend> Table for NativeTable<B> {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::default()
    }

    fn pushdown(&self, _: &Filter) -> Pushdown {
        Pushdown::declined("a native statement is sent as it is written")
            .hint("Put the condition into the statement.")
    }

    async fn read(&self, scan: &Scan, _: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let tag = statement_tag(&cx.query_id);
        let statement = Statement {
            sql: format!("/* causeway {tag} */ {}", self.text),
            params: Vec::new(),
        };
        let read = SqlRead {
            table: self.name.clone(),
            statements: Box::new(std::iter::once(Ok(statement))),
            schema: self.schema(),
            columns: self.profiles.clone(),
            row_ids: false,
            part: None,
            native: true,
        };
        let mut cx = cx.clone();
        // Whoever wants a few rows does not wait for a whole batch.
        cx.batch_rows = cx.batch_rows.min(scan.limit.unwrap_or(usize::MAX)).max(1);
        let batches = self.limited(self.backend.run(read, &cx));
        let (projection, name) = (scan.projection.clone(), self.name.clone());
        let projected = batches.map(move |batch| project(&batch?, &projection, &name));
        Ok(projected.boxed())
    }

    fn remote_text(&self, _: &Scan) -> String {
        self.text.clone()
    }

    fn is_computed(&self) -> bool {
        true
    }
}

fn project(batch: &RecordBatch, projection: &[usize], name: &TableName) -> Result<RecordBatch> {
    batch.project(projection).map_err(|error| {
        let message = format!("a scan of {name} names an unknown column");
        ConnectorError::new(ErrorKind::Internal, message).source(error)
    })
}

fn too_many_rows(catalog: &str, rows_max: usize) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::LimitExceeded,
        format!("the native statement for catalog {catalog} gives more than {rows_max} rows"),
    )
    .hint("Have the statement give fewer, or raise the option server.remote_rows_max.")
}

/// `names`, each of them once: what repeats gets a number, what is empty the name of an unnamed column.
fn distinct_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names
        .map(|name| if name.is_empty() { UNNAMED } else { name })
        .collect();
    // A name that is given is never taken by a number.
    let given: HashSet<&str> = names.iter().copied().collect();
    let mut taken: HashSet<String> = HashSet::new();
    let mut distinct = Vec::with_capacity(names.len());
    for name in names {
        let mut free = name.to_owned();
        let mut number = 2_usize;
        while taken.contains(&free) || (free != name && given.contains(free.as_str())) {
            free = format!("{name}_{number}");
            number += 1;
        }
        taken.insert(free.clone());
        distinct.push(free);
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_repeat_get_numbers() {
        let distinct = |names: &[&str]| distinct_names(names.iter().copied());
        assert_eq!(distinct(&["id", "name"]), ["id", "name"]);
        assert_eq!(
            distinct(&["id", "id", "id_2", "id"]),
            ["id", "id_3", "id_2", "id_4"]
        );
        assert_eq!(distinct(&["", "a", ""]), ["?column?", "a", "?column?_2"]);
        assert_eq!(distinct(&["Id", "id"]), ["Id", "id"]);
    }
}
