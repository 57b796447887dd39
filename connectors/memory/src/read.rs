//! Reading a table of one moment: by the engine's own evaluation, so that what is pushed is exact.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{filter_record_batch, prep_null_mask_filter, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Lookup, Pushdown, ReadContext, Result, Scan, Split,
    Table, TableName, TableStatistics, updated_schema,
};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use futures::{StreamExt, stream};

use crate::stored::{StoredTable, internal};

/// Whether rows have their locators behind their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locators {
    Shown,
    Hidden,
}

/// A table as one snapshot has it.
#[derive(Debug)]
pub(crate) struct MemoryTable {
    name: TableName,
    stored: Arc<StoredTable>,
    schema: SchemaRef,
    locators: Locators,
    /// The primary key, if rows are found by it.
    keys: Vec<Vec<usize>>,
}

impl MemoryTable {
    pub(crate) fn new(name: TableName, stored: Arc<StoredTable>, locators: Locators) -> Self {
        let schema = match locators {
            Locators::Shown => updated_schema(&stored.columns),
            Locators::Hidden => Arc::clone(&stored.columns),
        };
        let key = &stored.primary_key;
        let is_found = |&column: &usize| finds_rows(stored.columns.field(column).data_type());
        let keys = if !key.is_empty() && key.iter().all(is_found) {
            vec![key.clone()]
        } else {
            Vec::new()
        };
        Self {
            name,
            stored,
            schema,
            locators,
            keys,
        }
    }

    /// The rows of one chunk with the columns of the table, its locators too where they are shown.
    fn chunk_rows(&self, number: usize) -> Result<Option<RecordBatch>> {
        let Some(chunk) = self.stored.chunks.get(number) else {
            return Ok(None);
        };
        let mut columns: Vec<ArrayRef> = chunk.rows.columns().to_vec();
        if self.locators == Locators::Shown {
            columns.push(Arc::new(StoredTable::locators(number, chunk.rows.num_rows())));
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(internal)?;
        Ok(Some(rows))
    }

    fn reader(&self) -> Self {
        Self::new(self.name.clone(), Arc::clone(&self.stored), self.locators)
    }
}

/// Whether keys of this type that are equal have equal bytes, also in the engine's joins.
fn finds_rows(data_type: &DataType) -> bool {
    !data_type.is_floating() && !data_type.is_nested() && !matches!(data_type, DataType::Interval(_))
}

#[async_trait]
impl Table for MemoryTable {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        let rows = u64::try_from(self.stored.rows()).unwrap_or(u64::MAX);
        let bytes = u64::try_from(self.stored.bytes()).unwrap_or(u64::MAX);
        Arc::new(TableStatistics {
            rows: Some(rows),
            row_bytes: bytes.checked_div(rows),
            columns: Vec::new(),
        })
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        if cannot_fail(filter.expr()) {
            Pushdown::exact("the engine's own comparison, where the rows are")
        } else {
            Pushdown::declined("only comparisons of columns with constants are decided where the rows are")
        }
    }

    async fn read(&self, scan: &Scan, _: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let rows = Rows::new(self.reader(), scan, cx)?;
        let mut left = scan.limit.unwrap_or(usize::MAX);
        let batches = (0..self.stored.chunks.len())
            .map(move |number| rows.of_chunk(number))
            .map_while(move |batch| {
                if left == 0 {
                    return None;
                }
                Some(batch.map(|batch| {
                    let batch = batch.slice(0, batch.num_rows().min(left));
                    left -= batch.num_rows();
                    batch
                }))
            });
        Ok(bounded(batches, cx))
    }

    fn remote_text(&self, _: &Scan) -> String {
        "rows in memory".to_owned()
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.keys.is_empty()).then_some(self)
    }

    fn primary_key(&self) -> &[usize] {
        &self.stored.primary_key
    }
}

#[async_trait]
impl Lookup for MemoryTable {
    fn keys(&self) -> &[Vec<usize>] {
        &self.keys
    }

    async fn get(&self, scan: &Scan, _: usize, values: RecordBatch, cx: &ReadContext) -> Result<BatchStream> {
        let Some(encoder) = self.stored.key_encoder()? else {
            let message = format!("table {} has no key", self.name);
            return Err(ConnectorError::new(ErrorKind::Internal, message));
        };
        let wanted = encoder.of_columns(values.columns().iter()).map_err(internal)?;
        let rows = Rows::new(self.reader(), scan, cx)?;
        let batches = (0..self.stored.chunks.len()).map(move |number| {
            let chunk = rows.table.stored.chunks.get(number);
            let keys = chunk.and_then(|chunk| chunk.keys.as_ref());
            let found = keys.map(|keys| wanted.iter().filter_map(|key| keys.row(key.as_ref())));
            let found: Vec<u64> = found
                .into_iter()
                .flatten()
                .filter_map(|row| u64::try_from(row).ok())
                .collect();
            rows.of_rows(number, &UInt64Array::from(found))
        });
        Ok(bounded(batches, cx))
    }
}

/// Filters and columns of one scan, over the chunks of its table.
struct Rows {
    table: MemoryTable,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    projection: Vec<usize>,
    schema: SchemaRef,
    bytes: datafusion::physical_plan::metrics::Count,
}

impl Rows {
    fn new(table: MemoryTable, scan: &Scan, cx: &ReadContext) -> Result<Self> {
        let engine = |error: datafusion::common::DataFusionError| {
            let message = format!("a filter over table {} cannot be evaluated", table.name);
            ConnectorError::new(ErrorKind::Internal, message).source(error)
        };
        let schema = DFSchema::try_from(Arc::clone(&table.schema)).map_err(engine)?;
        let properties = ExecutionProps::new();
        let filters = scan.filters.iter().map(|filter| {
            create_physical_expr(filter.filter.expr(), &schema, &properties, &Default::default())
                .map_err(engine)
        });
        let filters = filters.collect::<Result<_>>()?;
        Ok(Self {
            filters,
            projection: scan.projection.clone(),
            schema: scan.projected_schema(),
            bytes: cx.metrics.bytes.clone(),
            table,
        })
    }

    fn of_chunk(&self, number: usize) -> Result<RecordBatch> {
        match self.table.chunk_rows(number)? {
            Some(rows) => self.passing(rows),
            None => Ok(RecordBatch::new_empty(Arc::clone(&self.schema))),
        }
    }

    fn of_rows(&self, number: usize, rows: &UInt64Array) -> Result<RecordBatch> {
        match self.table.chunk_rows(number)?.filter(|_| !rows.is_empty()) {
            Some(all) => self.passing(take_record_batch(&all, rows).map_err(internal)?),
            None => Ok(RecordBatch::new_empty(Arc::clone(&self.schema))),
        }
    }

    /// The columns wanted of those rows for which every filter is true.
    fn passing(&self, mut rows: RecordBatch) -> Result<RecordBatch> {
        for filter in &self.filters {
            let evaluated = filter
                .evaluate(&rows)
                .and_then(|value| value.into_array(rows.num_rows()));
            let mask = evaluated.map_err(|error| {
                let message = format!("a filter over table {} failed", self.table.name);
                ConnectorError::new(ErrorKind::Internal, message).source(error)
            })?;
            let Some(mask) = mask.as_any().downcast_ref::<BooleanArray>() else {
                let message = format!("a filter over table {} is not boolean", self.table.name);
                return Err(ConnectorError::new(ErrorKind::Internal, message));
            };
            let mask = match mask.null_count() {
                0 => mask.clone(),
                _ => prep_null_mask_filter(mask),
            };
            rows = filter_record_batch(&rows, &mask).map_err(internal)?;
        }
        let columns = self
            .projection
            .iter()
            .map(|&column| Arc::clone(rows.column(column)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect(), &options);
        let rows = rows.map_err(internal)?;
        self.bytes.add(rows.get_array_memory_size());
        Ok(rows)
    }
}

/// The batches cut to the rows and bytes of `cx`, without the empty ones. Others of the runtime's tasks get their turns
/// between them.
fn bounded(
    batches: impl Iterator<Item = Result<RecordBatch>> + Send + 'static,
    cx: &ReadContext,
) -> BatchStream {
    let (rows_max, bytes_max) = (cx.batch_rows.max(1), cx.batch_bytes);
    let pieces = batches.flat_map(move |batch| match batch {
        Ok(batch) => {
            // Rows that share their values' memory with others are taken for wider than they are, never for narrower.
            let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
            let rows_max = rows_max.min((bytes_max / row_bytes.max(1)).max(1));
            let starts = (0..batch.num_rows()).step_by(rows_max);
            starts
                .map(|start| Ok(batch.slice(start, rows_max.min(batch.num_rows() - start))))
                .collect::<Vec<_>>()
        }
        Err(error) => vec![Err(error)],
    });
    let turns = |piece| async move {
        tokio::task::coop::consume_budget().await;
        piece
    };
    stream::iter(pieces).then(turns).boxed()
}

/// Whether `expr` compares columns with constants, and so cannot fail for any row.
fn cannot_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::BinaryExpr(binary) => {
            let joins = matches!(binary.op, Operator::And | Operator::Or);
            (joins || compares(binary.op)) && cannot_fail(&binary.left) && cannot_fail(&binary.right)
        }
        Expr::Not(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsNotUnknown(inner) => cannot_fail(inner),
        Expr::Between(between) => {
            cannot_fail(&between.expr) && cannot_fail(&between.low) && cannot_fail(&between.high)
        }
        Expr::InList(list) => cannot_fail(&list.expr) && list.list.iter().all(cannot_fail),
        _ => false,
    }
}

/// Comparisons; not patterns, which may be wrong.
fn compares(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
