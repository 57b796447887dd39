//! An in-memory source that behaves like a SQL database with a case-insensitive, blank-padding collation: four splits
//! of unequal size, lookups by number, by text and by two columns, and verdicts that follow the law book.
//!
//! The column `name` is sent in both forms (index and binary), so that equality is exact; other texts under the
//! collation alone, as a superset. A [`Mutation`] breaks one rule.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ColumnEstimate, Filter, Lookup, Operators, Pushdown, ReadContext, Result, Scan, Split,
    Table, TableName, TableStatistics, Verdict, scalar_text,
};
use datafusion::common::ScalarValue;
use futures::{StreamExt, stream};

use crate::collation::folded;
use crate::mutation::Mutation;
use crate::predicate::Predicates;

/// The table. Rows are kept as values, as a remote server would.
pub(crate) struct CollatedTable {
    name: TableName,
    batch: RecordBatch,
    values: Vec<Vec<ScalarValue>>,
    keys: Vec<Vec<usize>>,
    mutation: Option<Mutation>,
    computed: bool,
    distinct: Vec<Option<u64>>,
}

impl CollatedTable {
    /// Holds `batch`; `keys` are the names of the columns of each lookup.
    pub(crate) fn new(batch: RecordBatch, keys: &[&[&str]], mutation: Option<Mutation>) -> Self {
        let index = |name: &&str| batch.schema().index_of(name).expect("a column of the batch");
        let keys = keys.iter().map(|key| key.iter().map(index).collect()).collect();
        let cell = |row: usize, column: usize| {
            ScalarValue::try_from_array(batch.column(column), row).expect("a canonical value")
        };
        let values = (0..batch.num_rows())
            .map(|row| (0..batch.num_columns()).map(|column| cell(row, column)).collect())
            .collect();
        Self {
            name: TableName::new("test", "public", "collated"),
            distinct: vec![None; batch.num_columns()],
            batch,
            values,
            keys,
            mutation,
            computed: false,
        }
    }

    /// The same table, which says that `column` has `values` distinct values.
    pub(crate) fn counting(mut self, column: &str, values: u64) -> Self {
        let index = self.batch.schema().index_of(column);
        self.distinct[index.expect("a column of the batch")] = Some(values);
        self
    }

    /// The result of an operator over this table.
    pub(crate) fn computed(&self, batch: RecordBatch) -> Self {
        Self {
            computed: true,
            name: self.name.clone(),
            ..Self::new(batch, &[], self.mutation)
        }
    }

    /// The same table under another name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name.table);
        self
    }

    /// Four splits: an empty one, a tiny one and two large ones.
    fn ranges(&self) -> [Range<usize>; 4] {
        let rows = self.values.len();
        let tiny = 2.min(rows);
        let middle = (rows * 2 / 3).max(tiny);
        let overlap = usize::from(self.mutation == Some(Mutation::SplitsOverlap));
        [0..0, 0..tiny, tiny..middle, middle.saturating_sub(overlap)..rows]
    }

    fn predicates(&self) -> Predicates<'_> {
        Predicates {
            schema: self.batch.schema_ref(),
            mutation: self.mutation,
        }
    }

    /// The rows among `rows` that pass the scan's filters, as the source evaluates them.
    fn passing(&self, scan: &Scan, rows: impl Iterator<Item = usize>) -> Vec<usize> {
        let predicates = self.predicates();
        let passes = |row: &usize| {
            let mut filters = scan.filters.iter();
            filters.all(|filter| predicates.holds(filter.filter.expr(), &self.values[*row]))
        };
        rows.filter(passes).collect()
    }

    /// The fault that is planted.
    pub(crate) fn mutation(&self) -> Option<Mutation> {
        self.mutation
    }

    /// The rows that pass the filters of `scan`, with all their columns.
    pub(crate) fn rows_of(&self, scan: &Scan) -> Vec<Vec<ScalarValue>> {
        let rows = self.passing(scan, 0..self.values.len());
        rows.into_iter().map(|row| self.values[row].clone()).collect()
    }

    fn stream(&self, scan: &Scan, rows: &[usize], cx: &ReadContext) -> BatchStream {
        let mut batches = Vec::new();
        for chunk in rows.chunks(cx.batch_rows.max(1)) {
            let positions: UInt64Array = chunk.iter().map(|&row| u64::try_from(row).ok()).collect();
            let batch =
                take_record_batch(&self.batch, &positions).and_then(|batch| batch.project(&scan.projection));
            batches.push(batch.expect("positions and columns of the table"));
        }
        cx.metrics.requests.add(1);
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size);
        cx.metrics.bytes.add(bytes.sum());
        let steps = stream::iter(batches).then(|batch| async move {
            tokio::task::yield_now().await;
            Ok(batch)
        });
        steps.boxed()
    }

    /// Whether `row` has the key of row `position` of `keys`, byte for byte.
    fn has_key(&self, row: usize, columns: &[usize], keys: &RecordBatch, position: usize) -> bool {
        columns.iter().enumerate().all(|(index, &column)| {
            let key = ScalarValue::try_from_array(keys.column(index), position).expect("a canonical value");
            self.values[row][column] == key
        })
    }

    fn text_of(&self, row: usize, column: usize) -> Option<String> {
        scalar_text(&self.values[row][column]).map(folded)
    }

    /// The rows of `keys`, with the faults of lookups.
    fn found(&self, columns: &[usize], keys: &RecordBatch) -> Vec<usize> {
        let texts: Vec<String> = match columns {
            [column] if self.text_type(*column) => text_column(keys),
            _ => Vec::new(),
        };
        let all = 0..self.values.len();
        match self.mutation {
            Some(Mutation::MinMaxOnTextKeys) if !texts.is_empty() => {
                let least = texts.iter().min().map(|text| folded(text));
                let greatest = texts.iter().max().map(|text| folded(text));
                let text = |row: &usize| self.text_of(*row, columns[0]);
                all.filter(|row| text(row).is_some() && text(row) >= least && text(row) <= greatest)
                    .collect()
            }
            Some(Mutation::DuplicateRowsPerKey) if !texts.is_empty() => {
                let mut found = Vec::new();
                for text in &texts {
                    let alike = |row: &usize| self.text_of(*row, columns[0]) == Some(folded(text));
                    let listed = |row: &usize| {
                        texts
                            .iter()
                            .any(|text| scalar_text(&self.values[*row][columns[0]]) == Some(text))
                    };
                    found.extend(all.clone().filter(alike).filter(listed));
                }
                found
            }
            _ => all
                .filter(|&row| (0..keys.num_rows()).any(|key| self.has_key(row, columns, keys, key)))
                .collect(),
        }
    }

    fn text_type(&self, column: usize) -> bool {
        *self.batch.schema().field(column).data_type() == arrow::datatypes::DataType::Utf8View
    }
}

fn text_column(keys: &RecordBatch) -> Vec<String> {
    (0..keys.num_rows())
        .filter_map(|row| {
            let value = ScalarValue::try_from_array(keys.column(0), row).ok()?;
            scalar_text(&value).map(ToOwned::to_owned)
        })
        .collect()
}

impl fmt::Debug for CollatedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollatedTable({})", self.name)
    }
}

#[async_trait]
impl Table for CollatedTable {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::new(TableStatistics {
            rows: u64::try_from(self.values.len()).ok(),
            row_bytes: Some(100),
            columns: self
                .distinct
                .iter()
                .map(|&distinct| ColumnEstimate { distinct })
                .collect(),
        })
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        match self.predicates().verdict(filter.expr()) {
            Verdict::Exact => Pushdown::exact("compares alike there and here"),
            Verdict::Superset => Pushdown::superset("the collation finds more"),
            Verdict::Declined => Pushdown::declined("not known to be alike"),
        }
    }

    async fn splits(&self, _: &Scan) -> Result<Vec<Split>> {
        let split = |(index, range): (usize, Range<usize>)| Split {
            index,
            part: format!("{}..{}", range.start, range.end),
        };
        Ok(self.ranges().into_iter().enumerate().map(split).collect())
    }

    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let mut rows = self.passing(scan, self.ranges()[split.index].clone());
        if let Some(limit) = scan.limit {
            let per_split = self.mutation == Some(Mutation::LimitPerSplit);
            rows.truncate(if per_split { limit.div_ceil(4) } else { limit });
        }
        Ok(self.stream(scan, &rows, cx))
    }

    fn remote_text(&self, scan: &Scan) -> String {
        let filters: Vec<String> = scan
            .filters
            .iter()
            .map(|filter| filter.filter.to_string())
            .collect();
        format!(
            "collated where [{}] limit {:?}",
            filters.join(" and "),
            scan.limit
        )
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.keys.is_empty()).then_some(self)
    }

    fn is_computed(&self) -> bool {
        self.computed
    }

    fn operators(&self) -> Option<&dyn Operators> {
        Some(self)
    }
}

#[async_trait]
impl Lookup for CollatedTable {
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
        let found = self.found(&self.keys[key], &values);
        let rows = match self.mutation {
            Some(Mutation::LookupForgetsFilters) => found,
            _ => self.passing(scan, found.into_iter()),
        };
        Ok(self.stream(scan, &rows, cx))
    }
}
