//! A table of any SQL source: verdicts from the law book, statements from the tree, rows from the backend.
//!
//! `read` sends one statement; `get` sends one per batch of keys, one after another on one connection, each with every
//! pushed filter of the scan beside the keys, so that a lookup gives the rows of the scan restricted to the keys.

mod operators;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Lookup, Operators, Pushdown, ReadContext, Result, Scan,
    SourceEstimate, Split, Table, TableName, TableStatistics, check_canonical, scan_rows,
};
use tokio::sync::OnceCell;

use crate::backend::{SqlBackend, SqlRead, Statements};
use crate::key_statements::KeyStatements;
use crate::law::advice::of_groups;
use crate::law::judge;
use crate::print::print_bounds;
use crate::profile::{ColumnKind, ColumnProfile};
use crate::ranges::{KeyRanges, OnePart, PartReader, SqlPart, one_part, splits_text};
use crate::remote::{RemoteExpr, RemoteSelect, RemoteSource};

/// Most keys of one statement: MariaDB turns lists of 1,000 into a subquery, MySQL's optimizer has a memory limit.
const KEYS_PER_STATEMENT_MAX: usize = 500;

/// Rows from which a scan costs less for each row.
const LARGE_ROWS: u64 = 100_000;

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
    source: RemoteSource,
    statistics: Arc<TableStatistics>,
    keys: Vec<Vec<usize>>,
    /// Whether `source` has one column more: the row's id.
    row_ids: bool,
    /// The column by whose ranges scans are split, or why they are not.
    range_key: Result<usize, OnePart>,
    /// The least and the greatest value of that column when a large scan was first planned: enough to balance parts.
    key_bounds: OnceCell<Option<(i128, i128)>>,
    /// Where it is read below a further operator only: bytes of what would be read in its place.
    apart_bytes: Option<u64>,
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
        let source = RemoteSource::Table {
            name: name.clone(),
            columns: profiles.iter().map(|profile| profile.name.clone()).collect(),
        };
        Ok(Self {
            backend,
            name,
            source,
            schema,
            profiles: profiles.into(),
            statistics: Arc::new(statistics),
            keys,
            row_ids: false,
            range_key: Err("the source is read by one connection".into()),
            key_bounds: OnceCell::new(),
            apart_bytes: None,
        })
    }

    /// Has every row come with its id, which the source calls `name`.
    #[must_use]
    pub fn with_row_id(mut self, name: &str) -> Self {
        let names = self.profiles.iter().map(|profile| profile.name.as_str());
        self.source = RemoteSource::Table {
            name: self.name.clone(),
            columns: names.chain([name]).map(ToOwned::to_owned).collect(),
        };
        self.row_ids = true;
        self
    }

    /// Has large scans split by ranges of column `range_key`, which is the first one of an index and never NULL, or says
    /// why they are not. What is no integer here is no such column.
    #[must_use]
    pub fn with_range_key(mut self, range_key: Result<usize, OnePart>) -> Self {
        self.range_key =
            range_key.and_then(
                |column| match self.profiles.get(column).map(|profile| &profile.kind) {
                    Some(ColumnKind::Integer) => Ok(column),
                    _ => Err("the primary key does not begin with an integer".into()),
                },
            );
        self
    }

    /// The ranges for `scan`, or why it is read in one part.
    async fn ranges(&self, scan: &Scan, parts: &dyn PartReader) -> Result<KeyRanges, OnePart> {
        let column = self.range_key.clone()?;
        if scan.limit.is_some() {
            return Err("a limit".into());
        }
        let rows = scan_rows(&self.statistics, scan).ok_or("an unknown number of rows")?;
        let parts_max = parts.parts_max(rows)?;
        let name = &self.profiles[column].name;
        let statement = print_bounds(&self.name, name, self.backend.dialect());
        let bounds = self
            .key_bounds
            .get_or_try_init(|| parts.bounds(&statement))
            .await?;
        let ranges = KeyRanges::between(column, bounds.ok_or("an empty table")?, parts_max);
        match ranges.count() {
            1 => Err("all rows have one key".into()),
            _ => Ok(ranges),
        }
    }

    /// The column of [`SqlTable::with_range_key`] and its name.
    fn range_column(&self) -> Option<(usize, &str)> {
        let column = *self.range_key.as_ref().ok()?;
        Some((column, &self.profiles.get(column)?.name))
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
            filters: guards_last(filters),
            limit: scan.limit.filter(|_| scan.all_exact()),
            ..RemoteSelect::of(self.source.clone(), &self.outputs(scan))
        })
    }

    fn run(
        &self,
        scan: &Scan,
        statements: Statements,
        part: Option<SqlPart>,
        cx: &ReadContext,
    ) -> Result<BatchStream> {
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
            part,
            native: false,
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
        let pushdown = judge(filter.expr(), &self.schema, &self.profiles).0;
        match &self.source {
            RemoteSource::Query(select) if select.groups.is_some() => of_groups(pushdown),
            _ => pushdown,
        }
    }

    async fn estimate(&self, scan: &Scan) -> Option<SourceEstimate> {
        let estimator = self.backend.estimator().filter(|_| !self.is_computed())?;
        let select = self.select(scan).ok()?;
        let dialect = self.backend.dialect();
        if select.values_len() > dialect.values_max() {
            return None;
        }
        let statement = select.flattened().print(dialect, "estimate");
        let expected = estimator.expected(&statement, &self.name).await?;
        let place = |name: &String| self.profiles.iter().position(|profile| profile.name == *name);
        Some(SourceEstimate {
            rows: expected.rows,
            columns: expected.columns.iter().filter_map(place).collect(),
        })
    }

    async fn splits(&self, scan: &Scan) -> Result<Vec<Split>> {
        let Some(parts) = self.backend.parts() else {
            return Ok(vec![Split::whole()]);
        };
        Ok(match self.ranges(scan, parts).await {
            Ok(ranges) => ranges.splits(self.range_column().map_or("", |(_, name)| name)),
            Err(reason) => vec![one_part(&reason)],
        })
    }

    fn splits_text(&self, splits: &[Split]) -> Option<String> {
        splits_text(splits, self.backend.parts()?.moment())
    }

    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let select = self.select(scan)?;
        let dialect = self.backend.dialect();
        // A range has two bounds.
        if select.values_len() + 2 > dialect.values_max() {
            return Err(self.too_many_values());
        }
        let part = KeyRanges::of(split, &self.name, self.range_column())?.map(|ranges| {
            let query_id = Arc::clone(&cx.query_id);
            SqlPart::new(
                split.index,
                ranges,
                self.name.clone(),
                select.clone(),
                dialect,
                query_id,
            )
        });
        let statement = match &part {
            Some(part) => part.statement(split.index..split.index + 1),
            None => select.flattened().print(dialect, &cx.query_id),
        };
        self.run(scan, Box::new(std::iter::once(Ok(statement))), part, cx)
    }

    fn remote_text(&self, scan: &Scan) -> String {
        match self.select(scan) {
            Ok(select) => select.flattened().text(self.backend.dialect()),
            Err(error) => error.message().to_owned(),
        }
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.keys.is_empty()).then_some(self)
    }

    fn is_computed(&self) -> bool {
        !matches!(self.source, RemoteSource::Table { .. })
    }

    fn operators(&self) -> Option<&dyn Operators> {
        Some(self)
    }
}

#[async_trait]
impl<B: SqlBackend> Lookup for SqlTable<B> {
    fn keys(&self) -> &[Vec<usize>] {
        &self.keys
    }

    /// Rows of a large table come faster, over several connections: measured with MariaDB, 120,000 to 180,000 keys of 1,500,000
    /// rows took as long as their scan.
    fn key_cost_rows(&self) -> f64 {
        match self.statistics.rows {
            Some(rows) if rows >= LARGE_ROWS => 10.0,
            _ => 4.0,
        }
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
        let room = values_max.saturating_sub(select.values_len()) / (2 * columns.len());
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
        self.run(scan, Box::new(statements), None, cx)
    }
}

/// The members of `filters`, in which each guard against days of no calendar stands once, behind all that is cheaper.
fn guards_last(filters: Vec<RemoteExpr>) -> Vec<RemoteExpr> {
    let mut guards = Vec::new();
    let mut others = Vec::new();
    let members = filters.into_iter().flat_map(|filter| match filter {
        RemoteExpr::And(members) => members,
        other => vec![other],
    });
    for member in members {
        match member {
            guard @ RemoteExpr::IsReal { .. } if guards.contains(&guard) => {}
            guard @ RemoteExpr::IsReal { .. } => guards.push(guard),
            other => others.push(other),
        }
    }
    others.extend(guards);
    others
}

fn internal(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_stand_last_and_once() {
        let real = |negated| RemoteExpr::IsReal { index: 0, negated };
        let filters = vec![
            RemoteExpr::And(vec![RemoteExpr::IsNotNull(0), real(false)]),
            RemoteExpr::And(vec![RemoteExpr::IsNotNull(1), real(false)]),
            real(true),
            RemoteExpr::Constant(true),
        ];
        let expected = vec![
            RemoteExpr::IsNotNull(0),
            RemoteExpr::IsNotNull(1),
            RemoteExpr::Constant(true),
            real(false),
            real(true),
        ];
        assert_eq!(guards_last(filters), expected);
    }
}
