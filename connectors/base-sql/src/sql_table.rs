//! A table of any SQL source: verdicts from the law book, statements from the tree, rows from the backend.
//!
//! `read` sends one statement; `get` sends one per batch of keys, one after another on one connection, each with every
//! pushed filter of the scan beside the keys, so that a lookup gives the rows of the scan restricted to the keys.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Lookup, Pushdown, ReadContext, Result, Scan, Split,
    Table, TableName, TableStatistics, check_canonical,
};
use datafusion::common::ScalarValue;

use crate::law::{judge, key_condition};
use crate::print::{Dialect, Statement};
use crate::profile::ColumnProfile;
use crate::remote::{RemoteExpr, RemoteSelect};

/// Most keys of one statement: MariaDB turns lists of 1,000 into a subquery, MySQL's optimizer has a memory limit.
const KEYS_PER_STATEMENT_MAX: usize = 500;

/// The statements of one read, printed as they are needed.
pub type Statements = Box<dyn Iterator<Item = Result<Statement>> + Send + Sync>;

/// What a backend is asked to run.
pub struct SqlRead {
    /// The table, for errors.
    pub table: TableName,
    /// The statements, to run one after another on one connection. Equal texts follow each other.
    pub statements: Statements,
    /// The schema of the batches to return; empty when only the number of rows counts.
    pub schema: SchemaRef,
    /// The profiles of the schema's columns, in its order.
    pub columns: Vec<ColumnProfile>,
    /// Whether each row has one value more behind these: its id, for errors about its other values.
    pub row_ids: bool,
}

/// A source that runs printed statements.
pub trait SqlBackend: Send + Sync + fmt::Debug + 'static {
    /// How statements are printed for it.
    fn dialect(&self) -> Dialect;

    /// Runs the statements of `read` when the stream is first polled, and stops at the source when it is dropped.
    fn run(&self, read: SqlRead, cx: &ReadContext) -> BatchStream;
}

/// What a connector knows of a table when it has loaded it.
#[derive(Debug)]
pub struct SqlTableParts {
    /// The table's name, in the source's spelling.
    pub name: TableName,
    /// The columns, in canonical types.
    pub schema: SchemaRef,
    /// The columns' profiles, in the schema's order.
    pub profiles: Vec<ColumnProfile>,
    /// Rows, bytes, distinct counts.
    pub statistics: TableStatistics,
    /// Column sets that an index finds, the most selective first. Those whose equality is not exact are left out.
    pub indexes: Vec<Vec<usize>>,
}

/// One table of a SQL source.
#[derive(Debug)]
pub struct SqlTable<B> {
    backend: Arc<B>,
    name: TableName,
    schema: SchemaRef,
    profiles: Arc<[ColumnProfile]>,
    column_names: Arc<[String]>,
    statistics: Arc<TableStatistics>,
    keys: Vec<Vec<usize>>,
    /// Whether `column_names` has one name more: the row's id.
    row_ids: bool,
}

impl<B: SqlBackend> SqlTable<B> {
    /// Makes the table. Errors: a schema that is not canonical or does not fit its profiles.
    pub fn new(backend: Arc<B>, parts: SqlTableParts) -> Result<Self> {
        let SqlTableParts {
            name,
            schema,
            profiles,
            statistics,
            indexes,
        } = parts;
        check_canonical(&name, &schema)?;
        if profiles.len() != schema.fields().len() {
            return Err(internal(format!("table {name} has columns without a profile")));
        }
        let is_key = |index: &usize| profiles.get(*index).is_some_and(ColumnProfile::is_lookup_key);
        let mut keys: Vec<Vec<usize>> = Vec::new();
        for columns in indexes {
            if !columns.is_empty() && columns.iter().all(is_key) && !keys.contains(&columns) {
                keys.push(columns);
            }
        }
        Ok(Self {
            backend,
            name,
            column_names: profiles.iter().map(|profile| profile.name.clone()).collect(),
            schema,
            profiles: profiles.into(),
            statistics: Arc::new(statistics),
            keys,
            row_ids: false,
        })
    }

    /// Has every row come with its id, which the source calls `name`.
    #[must_use]
    pub fn with_row_id(mut self, name: &str) -> Self {
        let names = self.profiles.iter().map(|profile| profile.name.as_str());
        self.column_names = names.chain([name]).map(ToOwned::to_owned).collect();
        self.row_ids = true;
        self
    }

    /// The statement for `scan`: its columns, its pushed filters and, where all of them are exact, its limit.
    fn select(&self, scan: &Scan) -> Result<RemoteSelect> {
        let filters = scan
            .filters
            .iter()
            .map(|pushed| {
                judge(pushed.filter.expr(), &self.schema, &self.profiles)
                    .1
                    .ok_or_else(|| {
                        internal(format!(
                            "filter {} was given to table {}, which declines it",
                            pushed.filter, self.name
                        ))
                    })
            })
            .collect::<Result<Vec<RemoteExpr>>>()?;
        Ok(RemoteSelect {
            table: self.name.clone(),
            columns: Arc::clone(&self.column_names),
            outputs: self.outputs(scan),
            filters,
            limit: scan.limit.filter(|_| scan.all_exact()),
        })
    }

    fn run(&self, scan: &Scan, statements: Statements, cx: &ReadContext) -> Result<BatchStream> {
        let columns = scan
            .projection
            .iter()
            .map(|&index| self.profiles.get(index).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| internal(format!("a scan of table {} names an unknown column", self.name)))?;
        let read = SqlRead {
            table: self.name.clone(),
            statements,
            schema: scan.projected_schema(),
            columns,
            row_ids: self.row_ids && !scan.projection.is_empty(),
        };
        Ok(self.backend.run(read, cx))
    }

    /// The columns of `scan`, and the row's id unless no value is read.
    fn outputs(&self, scan: &Scan) -> Vec<usize> {
        let mut outputs = scan.projection.clone();
        if self.row_ids && !outputs.is_empty() {
            outputs.push(self.profiles.len());
        }
        outputs
    }

    fn too_many_values(&self) -> ConnectorError {
        ConnectorError::new(
            ErrorKind::LimitExceeded,
            format!("the filters on table {} hold too many literals", self.name),
        )
        .hint(format!(
            "A statement for the source binds at most {} values; put long lists into a table and join it.",
            self.backend.dialect().values_max()
        ))
    }
}

#[async_trait]
impl<B: SqlBackend> Table for SqlTable<B> {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::clone(&self.statistics)
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        judge(filter.expr(), &self.schema, &self.profiles).0
    }

    async fn read(&self, scan: &Scan, _split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let select = self.select(scan)?;
        if values_len(&select) > self.backend.dialect().values_max() {
            return Err(self.too_many_values());
        }
        let statement = select.print(self.backend.dialect(), &cx.query_id);
        self.run(scan, Box::new(std::iter::once(Ok(statement))), cx)
    }

    fn remote_text(&self, scan: &Scan) -> String {
        match self.select(scan) {
            Ok(select) => select.text(self.backend.dialect()),
            Err(error) => error.message().to_owned(),
        }
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.keys.is_empty()).then_some(self)
    }
}

#[async_trait]
impl<B: SqlBackend> Lookup for SqlTable<B> {
    fn keys(&self) -> &[Vec<usize>] {
        &self.keys
    }

    async fn get(
        &self,
        scan: &Scan,
        key: usize,
        values: RecordBatch,
        cx: &ReadContext,
    ) -> Result<BatchStream> {
        let columns = self
            .keys
            .get(key)
            .filter(|columns| columns.len() == values.num_columns())
            .ok_or_else(|| internal(format!("table {} has no such lookup key", self.name)))?;
        let select = RemoteSelect {
            limit: None,
            ..self.select(scan)?
        };
        // A text key is bound twice, once for each of its two forms.
        let values_max = self.backend.dialect().values_max();
        let room = values_max.saturating_sub(values_len(&select)) / (2 * columns.len());
        if room == 0 {
            return Err(self.too_many_values());
        }
        let statements = KeyStatements {
            select,
            dialect: self.backend.dialect(),
            query_id: Arc::clone(&cx.query_id),
            columns: columns.clone(),
            profiles: Arc::clone(&self.profiles),
            values,
            next_row: 0,
            keys_max: room.min(KEYS_PER_STATEMENT_MAX),
        };
        self.run(scan, Box::new(statements), cx)
    }
}

fn values_len(select: &RemoteSelect) -> usize {
    select.filters.iter().map(RemoteExpr::values_len).sum()
}

fn internal(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, message)
}

/// Prints one statement per batch of keys.
struct KeyStatements {
    select: RemoteSelect,
    dialect: Dialect,
    query_id: Arc<str>,
    columns: Vec<usize>,
    profiles: Arc<[ColumnProfile]>,
    values: RecordBatch,
    next_row: usize,
    keys_max: usize,
}

impl KeyStatements {
    /// The next batch of keys, padded with its last key to a power of two so that the same text is prepared again.
    fn next_keys(&mut self) -> Result<Vec<Vec<ScalarValue>>> {
        let end = self.values.num_rows().min(self.next_row + self.keys_max);
        let mut keys = (self.next_row..end)
            .map(|row| {
                self.values
                    .columns()
                    .iter()
                    .map(|column| ScalarValue::try_from_array(column, row))
                    .collect()
            })
            .collect::<datafusion::common::Result<Vec<Vec<_>>>>()
            .map_err(|error| internal("a lookup key cannot be read".to_owned()).source(error))?;
        self.next_row = end;
        if let Some(last) = keys.last().cloned() {
            let padded = keys.len().next_power_of_two().min(self.keys_max);
            keys.resize(padded, last);
        }
        Ok(keys)
    }
}

impl Iterator for KeyStatements {
    type Item = Result<Statement>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next_row < self.values.num_rows() {
            let keys = match self.next_keys() {
                Ok(keys) => keys,
                Err(error) => {
                    self.next_row = self.values.num_rows();
                    return Some(Err(error));
                }
            };
            let columns: Vec<_> = self
                .columns
                .iter()
                .filter_map(|&index| Some((index, self.profiles.get(index)?)))
                .collect();
            // No row of the source can equal any of these keys: the next ones.
            let Some(condition) = key_condition(&columns, &keys) else {
                continue;
            };
            let mut select = self.select.clone();
            select.filters.insert(0, condition);
            return Some(Ok(select.print(self.dialect, &self.query_id)));
        }
        None
    }
}
