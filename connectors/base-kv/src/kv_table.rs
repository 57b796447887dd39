//! The table of a key-value source, as the contract wants it: point reads, lookups and full walks over one backend.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ColumnEstimate, Filter, Lookup, Pushdown, ReadContext, Result, Scan, Split, Table,
    TableName, TableStatistics,
};
use futures::stream::{self, BoxStream, StreamExt};

use crate::access::AccessPath;
use crate::decode::Projection;
use crate::definition::TableDefinition;
use crate::format::Field;
use crate::key::{KeyTuple, KeyValue, internal};
use crate::key_filter::{KeyColumns, KeyPredicate};
use crate::key_order::{KeyOrder, KeyRange};
use crate::read::Reader;

/// The values of the fields asked for, in their order; `None` where the row has no such field.
pub type FieldValues = Vec<Option<Vec<u8>>>;

/// Pages of keys. A page may be empty, and a key may come again on any page.
pub type KeyScan = BoxStream<'static, Result<Vec<Vec<u8>>>>;

/// Pages of the rows of collections: the position of each row's key among those asked for, and the row's fields.
pub type ElementScan = BoxStream<'static, Result<Vec<(usize, FieldValues)>>>;

/// How much there is, as far as the source says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvSize {
    /// Keys of the table, at most.
    pub keys: Option<u64>,
    /// Rows of the table, at most: as many as keys, but for collections.
    pub rows: Option<u64>,
    /// Keys that a walk looks at, whosever they are.
    pub walked: Option<u64>,
}

/// What a driver of a key-value source provides.
#[async_trait]
pub trait KvBackend: Send + Sync + fmt::Debug + 'static {
    /// Reads `fields` of the rows at `keys`, in their order; `None` where no row is at that moment.
    ///
    /// A key that holds another kind of value than `definition.format()` is no row. Without fields only existence
    /// counts. Called with at most about a thousand keys, not for collections. Counts into `cx.metrics`.
    async fn fetch(
        &self,
        definition: &TableDefinition,
        keys: &[Vec<u8>],
        fields: &[Field],
        cx: &ReadContext,
    ) -> Result<Vec<Option<FieldValues>>>;

    /// Reads `fields` of each element of the collections at `keys`, each element once, in pages of bounded size.
    ///
    /// Only for sources with collections. The work starts with the first poll. Counts into `cx.metrics`.
    fn elements(
        self: Arc<Self>,
        definition: &Arc<TableDefinition>,
        keys: Arc<Vec<Vec<u8>>>,
        fields: &[Field],
        cx: &ReadContext,
    ) -> ElementScan {
        let _ = (keys, fields, cx);
        let error = internal(format!(
            "the source of table {} has no collections",
            definition.name()
        ));
        stream::once(async { Err(error) }).boxed()
    }

    /// Walks the keys that begin with `prefix` and hold a row; the work starts with the first poll.
    ///
    /// A key that is there from the first to the last poll comes at least once. Counts into `cx.metrics`.
    fn scan(self: Arc<Self>, definition: &TableDefinition, prefix: &[u8], cx: &ReadContext) -> KeyScan;

    /// How large the table is, about.
    async fn size(&self, definition: &TableDefinition) -> Result<KvSize>;

    /// A walk that finds more keys than this is refused.
    fn scan_keys_max(&self) -> usize;

    /// Why a filter on a value is not sent, for EXPLAIN.
    fn value_filter_reason(&self) -> &'static str;

    /// The command that reads one key, for EXPLAIN: `HMGET part:{p_partkey} p_name, p_size`.
    fn fetch_text(&self, definition: &TableDefinition, fields: &[Field]) -> String;

    /// The command that walks the keys, for EXPLAIN: `SCAN part:* over 5000 keys`.
    fn scan_text(&self, prefix: &[u8], size: KvSize) -> String;

    /// A backend whose calls all see one moment of the source, for one read; itself where there is no such thing.
    fn snapshot(self: Arc<Self>) -> Arc<Self> {
        self
    }

    /// Walks in the order of keys, where the source keeps them in it.
    fn ordered(self: Arc<Self>) -> Option<Arc<dyn OrderedBackend>> {
        None
    }
}

/// What a driver adds whose source keeps its keys in the order of their bytes.
///
/// Neither its ranges nor [`KvBackend::scan`] give a key twice.
pub trait OrderedBackend: Send + Sync {
    /// Walks the keys of `range` that hold a row; the work starts with the first poll. Counts into `cx.metrics`.
    fn scan_range(
        self: Arc<Self>,
        definition: &TableDefinition,
        range: &KeyRange,
        cx: &ReadContext,
    ) -> KeyScan;

    /// What walks some ranges, for EXPLAIN: `range part:2024 to part:2025`.
    fn ranges_text(&self, ranges: &[KeyRange]) -> String;
}

/// A table over a key-value source.
#[derive(Debug)]
pub struct KvTable<B> {
    definition: Arc<TableDefinition>,
    backend: Arc<B>,
    keys: KeyColumns,
    lookup_keys: Vec<Vec<usize>>,
    size: KvSize,
    statistics: Arc<TableStatistics>,
}

impl<B: KvBackend> KvTable<B> {
    /// Makes the table and asks the source how large it is.
    pub async fn load(definition: Arc<TableDefinition>, backend: Arc<B>) -> Result<Self> {
        let size = backend.size(&definition).await?;
        let mut columns = vec![ColumnEstimate::default(); definition.columns().len()];
        if let [only] = definition.key_columns() {
            columns[*only].distinct = size.keys;
        }
        Ok(Self {
            keys: KeyColumns::new(&definition),
            lookup_keys: vec![definition.key_columns().to_vec()],
            size,
            statistics: Arc::new(TableStatistics {
                rows: size.rows,
                row_bytes: Some(definition.row_bytes_estimate()),
                columns,
            }),
            definition,
            backend,
        })
    }

    fn predicate(&self, scan: &Scan) -> Result<KeyPredicate> {
        let order: Option<&dyn KeyOrder> = match Arc::clone(&self.backend).ordered() {
            Some(_) => Some(self.definition.template()),
            None => None,
        };
        self.keys
            .compile(scan.filters.iter().map(|filter| &filter.filter), order)
    }

    fn reader(&self, scan: &Scan, cx: &ReadContext) -> Result<Reader<B>> {
        Ok(Reader::new(
            Arc::clone(&self.definition),
            Arc::clone(&self.backend).snapshot(),
            self.projection(scan),
            self.predicate(scan)?,
            cx.clone(),
        ))
    }

    fn projection(&self, scan: &Scan) -> Projection {
        Projection::new(&self.definition, &scan.projection, scan.projected_schema())
    }

    /// What walks the keys of `scan`, for EXPLAIN.
    fn walk_text(&self, predicate: &KeyPredicate) -> String {
        if let (AccessPath::Ranges(ranges), Some(ordered)) =
            (predicate.access(), Arc::clone(&self.backend).ordered())
        {
            return ordered.ranges_text(ranges);
        }
        self.backend
            .scan_text(self.definition.template().prefix(), self.size)
    }

    /// The number of point reads; `None` for a walk.
    fn point_count(&self, predicate: &KeyPredicate) -> Result<Option<usize>> {
        let AccessPath::Points(points) = predicate.access() else {
            return Ok(None);
        };
        let keys: Vec<KeyTuple> = points
            .iter()
            .filter(|point| self.definition.template().render(point).is_some())
            .cloned()
            .collect();
        Ok(Some(
            predicate
                .passes(&keys)?
                .into_iter()
                .filter(|&passed| passed)
                .count(),
        ))
    }
}

#[async_trait]
impl<B: KvBackend> Table for KvTable<B> {
    fn name(&self) -> &TableName {
        self.definition.name()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(self.definition.schema())
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::clone(&self.statistics)
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        self.keys.verdict(filter, self.backend.value_filter_reason())
    }

    async fn read(&self, scan: &Scan, _split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        Ok(self.reader(scan, cx)?.read(scan.limit))
    }

    fn remote_text(&self, scan: &Scan) -> String {
        let projection = self.projection(scan);
        let fetch = self.backend.fetch_text(&self.definition, projection.fields());
        let is_whole = projection.fields().is_empty() && !self.definition.format().is_collection();
        let Ok(predicate) = self.predicate(scan) else {
            return fetch;
        };
        match self.point_count(&predicate) {
            Ok(Some(1)) => format!("{fetch} for 1 key"),
            Ok(Some(keys)) => format!("{fetch} for {keys} keys"),
            _ if is_whole => self.walk_text(&predicate),
            _ => format!("{} then {fetch}", self.walk_text(&predicate)),
        }
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        Some(self)
    }
}

#[async_trait]
impl<B: KvBackend> Lookup for KvTable<B> {
    fn keys(&self) -> &[Vec<usize>] {
        &self.lookup_keys
    }

    /// A walk reads each row by its key as well, after it has found the key among all others.
    fn key_cost_rows(&self) -> f64 {
        1.0
    }

    async fn get(
        &self,
        scan: &Scan,
        key: usize,
        values: RecordBatch,
        cx: &ReadContext,
    ) -> Result<BatchStream> {
        let types = self.definition.template().columns().map(|(_, key_type)| key_type);
        if key != 0 || values.num_columns() != types.len() {
            return Err(internal(format!(
                "table {} was asked for an unknown key",
                self.name()
            )));
        }
        let columns = types
            .zip(values.columns())
            .map(|(key_type, column)| key_type.values(column));
        let tuples = tuples(columns.collect::<Result<_>>()?, values.num_rows());
        Ok(self.reader(scan, cx)?.lookup(tuples))
    }
}

/// Columns to rows; a row with a NULL is no key.
fn tuples(columns: Vec<Vec<Option<KeyValue>>>, rows: usize) -> Vec<KeyTuple> {
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    let mut tuples = Vec::with_capacity(rows);
    for _ in 0..rows {
        let row: Vec<Option<KeyValue>> = columns.iter_mut().filter_map(Iterator::next).collect();
        tuples.extend(row.into_iter().collect::<Option<KeyTuple>>());
    }
    tuples
}

#[cfg(test)]
mod tests;
