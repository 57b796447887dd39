//! A relation of the system as a table: made when it is read, of what the filters leave.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Lookup, Pushdown, ReadContext, Result, Scan, Split,
    Table, TableName, TableStatistics, scalar_text,
};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringViewArray, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::{StreamExt, stream};

use super::{CatalogView, Relation, rows};
use crate::error::QueryError;

/// The rows of a table that is made by asking every source are many: joins look its keys up.
const MANY_ROWS: u64 = 1_000_000;

/// A relation, for one statement.
#[derive(Debug)]
pub(super) struct SystemTable {
    view: CatalogView,
    relation: &'static Relation,
    name: TableName,
    statistics: Arc<TableStatistics>,
    /// The columns whose values restrict what is asked of the sources, each a key by itself.
    keys: Vec<Vec<usize>>,
}

impl SystemTable {
    pub(super) fn new(view: CatalogView, relation: &'static Relation) -> Self {
        let keys = rows::restricting_columns(relation)
            .iter()
            .filter_map(|column| Some(vec![relation.columns.index_of(column).ok()?]));
        let keys: Vec<Vec<usize>> = keys.collect();
        let statistics = TableStatistics {
            rows: if relation.is_always_empty() {
                Some(0)
            } else {
                (!keys.is_empty()).then_some(MANY_ROWS)
            },
            ..TableStatistics::default()
        };
        Self {
            name: TableName::new(&view.database, relation.schema, relation.name),
            view,
            relation,
            statistics: Arc::new(statistics),
            keys,
        }
    }

    async fn rows(&self, scan: &Scan, wanted: Wanted, batch_rows: usize) -> Result<BatchStream> {
        let mut sink = RowSink::new(scan.projected_schema(), batch_rows);
        rows::write(&self.view, self.relation, &wanted, &mut sink)
            .await
            .map_err(into_source_error)?;
        let batches = sink.finish().map_err(|error| {
            ConnectorError::new(
                ErrorKind::Internal,
                format!("the rows of {} are not of its types: {error}", self.name),
            )
        })?;
        Ok(stream::iter(batches.into_iter().map(Ok)).boxed())
    }
}

/// A source's refusal keeps its words; it was turned into the server's error on the way.
fn into_source_error(error: QueryError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Unavailable, error.message)
}

#[async_trait]
impl Table for SystemTable {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.columns)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::clone(&self.statistics)
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        let column = restriction(filter.expr()).map(|(column, _)| column);
        let restricts =
            column.is_some_and(|column| rows::restricting_columns(self.relation).contains(&column.as_str()));
        if restricts {
            Pushdown::superset("only the tables it names are asked for")
        } else {
            Pushdown::declined("catalogs are filtered here")
        }
    }

    async fn read(&self, scan: &Scan, _: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let wanted = Wanted::of(scan);
        self.rows(scan, wanted, cx.batch_rows).await
    }

    fn remote_text(&self, _: &Scan) -> String {
        "what the catalogs remember".to_owned()
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.keys.is_empty()).then_some(self)
    }
}

#[async_trait]
impl Lookup for SystemTable {
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
        let mut wanted = Wanted::of(scan);
        let internal = |text: String| ConnectorError::new(ErrorKind::Internal, text);
        let column = self.keys.get(key).and_then(|key| key.first());
        let column = column.ok_or_else(|| internal(format!("{} has no such key", self.name)))?;
        let name = self.relation.columns.field(*column).name().clone();
        let keys = values.column(0);
        let texts = (0..keys.len()).map(|row| array_value_to_string(keys, row));
        let texts: std::result::Result<HashSet<String>, _> = texts.collect();
        let texts = texts.map_err(|error| internal(error.to_string()))?;
        wanted.restrict(name.clone(), texts.clone());
        let batches = self.rows(scan, wanted, cx.batch_rows).await?;
        // A restriction leaves out tables, not every row: only the rows of the keys are asked for here.
        let projected = scan.projection.iter().position(|index| index == column);
        let Some(projected) = projected else {
            return Err(internal(format!("the key \"{name}\" is not read")));
        };
        Ok(batches
            .map(move |batch| {
                let batch = batch?;
                let keys = batch.column(projected);
                let kept = (0..keys.len()).map(|row| {
                    let text = array_value_to_string(keys, row).unwrap_or_default();
                    Some(keys.is_valid(row) && texts.contains(&text))
                });
                let kept: BooleanArray = kept.collect();
                datafusion::arrow::compute::filter_record_batch(&batch, &kept)
                    .map_err(|error| ConnectorError::new(ErrorKind::Internal, error.to_string()))
            })
            .boxed())
    }
}

/// Which values of the restricting columns a read asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted(HashMap<String, HashSet<String>>);

impl Wanted {
    fn of(scan: &Scan) -> Self {
        let mut wanted = Self::default();
        for filter in &scan.filters {
            if let Some((column, values)) = restriction(filter.filter.expr()) {
                wanted.restrict(column, values);
            }
        }
        wanted
    }

    fn restrict(&mut self, column: String, values: HashSet<String>) {
        match self.0.get_mut(&column) {
            Some(known) => known.retain(|value| values.contains(value)),
            None => {
                self.0.insert(column, values);
            }
        }
    }

    /// Whether rows with `value` in `column` are asked for.
    pub(super) fn accepts(&self, column: &str, value: &str) -> bool {
        self.0.get(column).is_none_or(|values| values.contains(value))
    }
}

/// `column = literal` or `column IN (literals)` as the values' texts.
fn restriction(expr: &Expr) -> Option<(String, HashSet<String>)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(column)) => {
                Some((column.name.clone(), HashSet::from([text_of(value)?])))
            }
            _ => None,
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = list.expr.as_ref() else {
                return None;
            };
            let values = list.list.iter().map(|item| match item {
                Expr::Literal(value, _) => text_of(value),
                _ => None,
            });
            Some((column.name.clone(), values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::UInt32(Some(number)) => Some(number.to_string()),
        other => scalar_text(other).map(str::to_owned),
    }
}

/// One value of a row.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// What PostgreSQL has in a column that means nothing here: 0, false, an empty name; NULL for texts and lists.
    Default,
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Moment(DateTime<Utc>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<DateTime<Utc>> for Cell {
    fn from(moment: DateTime<Utc>) -> Self {
        Self::Moment(moment)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Rows, of which only the columns asked for are kept, to batches.
pub(super) struct RowSink {
    schema: SchemaRef,
    batch_rows: usize,
    indexes: HashMap<String, usize>,
    columns: Vec<Vec<Cell>>,
    rows: usize,
    batches: Vec<RecordBatch>,
    failed: Option<datafusion::arrow::error::ArrowError>,
}

impl RowSink {
    fn new(schema: SchemaRef, batch_rows: usize) -> Self {
        let names = schema.fields().iter().enumerate();
        Self {
            indexes: names
                .map(|(index, field)| (field.name().clone(), index))
                .collect(),
            columns: vec![Vec::new(); schema.fields().len()],
            batch_rows,
            rows: 0,
            batches: Vec::new(),
            failed: None,
            schema,
        }
    }

    /// Adds a row; the columns that it does not name have their defaults.
    pub(super) fn push<const N: usize>(&mut self, row: [(&'static str, Cell); N]) {
        for (name, cell) in row {
            if let Some(column) = self
                .indexes
                .get(name)
                .and_then(|&index| self.columns.get_mut(index))
            {
                column.push(cell);
            }
        }
        self.rows += 1;
        for column in &mut self.columns {
            column.resize(self.rows, Cell::Default);
        }
        if self.rows >= self.batch_rows {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let arrays: Vec<ArrayRef> = self
            .schema
            .fields()
            .iter()
            .zip(&mut self.columns)
            .map(|(field, cells)| array_of(field, &std::mem::take(cells)))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        match RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options) {
            Ok(batch) => self.batches.push(batch),
            Err(error) => self.failed = Some(error),
        }
    }

    fn finish(mut self) -> std::result::Result<Vec<RecordBatch>, datafusion::arrow::error::ArrowError> {
        self.flush();
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.batches),
        }
    }
}

fn array_of(field: &Field, cells: &[Cell]) -> ArrayRef {
    let number = |cell: &Cell| match cell {
        Cell::Int(number) => Some(*number),
        Cell::Default => Some(0),
        _ => None,
    };
    match field.data_type() {
        DataType::Boolean => {
            let values = cells.iter().map(|cell| match cell {
                Cell::Bool(value) => Some(*value),
                Cell::Default => Some(false),
                _ => None,
            });
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::Int16 => {
            let values = cells.iter().map(|cell| number(cell)?.try_into().ok());
            Arc::new(values.collect::<Int16Array>())
        }
        DataType::Int32 => {
            let values = cells.iter().map(|cell| number(cell)?.try_into().ok());
            Arc::new(values.collect::<Int32Array>())
        }
        DataType::Int64 => Arc::new(Int64Array::from_iter(cells.iter().map(number))),
        DataType::UInt32 => {
            let values = cells.iter().map(|cell| number(cell)?.try_into().ok());
            Arc::new(values.collect::<UInt32Array>())
        }
        DataType::Float32 => {
            #[expect(clippy::cast_precision_loss, reason = "row counts are estimates")]
            let values = cells.iter().map(|cell| number(cell).map(|number| number as f32));
            Arc::new(values.collect::<Float32Array>())
        }
        DataType::Utf8View => {
            let is_name = crate::catalog::pg_type::is_name(field);
            let values = cells.iter().map(|cell| match cell {
                Cell::Text(text) => Some(text.as_str()),
                Cell::Default if is_name => Some(""),
                _ => None,
            });
            Arc::new(values.collect::<StringViewArray>())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = cells.iter().map(|cell| match cell {
                Cell::Moment(moment) => Some(moment.timestamp_micros()),
                _ => None,
            });
            let values: TimestampMicrosecondArray = values.collect();
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        other => new_null_array(other, cells.len()),
    }
}
