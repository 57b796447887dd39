//! A table made by SQL, as the contract wants it: reads by key, by ranges of keys and whole, lookups for joins.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_base_kv::{AccessPath, KeyPredicate, KeyRange, KeyTuple, OrderedKey};
use causeway_spi::{
    BatchStream, ColumnEstimate, ConnectorError, ErrorKind, Filter, Lookup, Pushdown, ReadContext, Result,
    Scan, Split, Table, TableName, TableStatistics, updated_schema,
};

use crate::error::StoreResult;
use crate::format::Rows;
use crate::layout::TableLayout;
use crate::moment::{Moment, View};
use crate::scan::{Places, Request};
use crate::store::Catalog;

pub(crate) const NO_INDEX: &str = "the embedded store finds rows by their keys only";

/// Whether rows have their locators behind their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locators {
    Shown,
    Hidden,
}

/// The table at one moment.
#[derive(Debug)]
pub(crate) struct EmbeddedTable {
    catalog: Catalog,
    moment: Moment,
    layout: Arc<TableLayout>,
    schema: SchemaRef,
    /// The key, and each of its beginnings, the longest first.
    lookup_keys: Vec<Vec<usize>>,
    statistics: Arc<TableStatistics>,
}

impl EmbeddedTable {
    pub(crate) fn new(
        catalog: Catalog,
        moment: Moment,
        layout: TableLayout,
        rows: u64,
        locators: Locators,
    ) -> Self {
        let mut columns = vec![ColumnEstimate::default(); layout.schema.fields().len()];
        if let [only] = layout.primary_key.as_slice() {
            columns[*only].distinct = Some(rows);
        }
        let key = &layout.primary_key;
        Self {
            catalog,
            moment,
            schema: match locators {
                Locators::Shown => updated_schema(&layout.schema),
                Locators::Hidden => Arc::clone(&layout.schema),
            },
            lookup_keys: (1..=key.len())
                .rev()
                .map(|length| key[..length].to_vec())
                .collect(),
            statistics: Arc::new(TableStatistics {
                rows: Some(rows),
                row_bytes: Some(layout.row_bytes_estimate()),
                columns,
            }),
            layout: Arc::new(layout),
        }
    }

    fn predicate(&self, scan: &Scan) -> Result<KeyPredicate> {
        let filters = scan.filters.iter().map(|filter| &filter.filter);
        self.layout.key_columns.compile_ordered(filters, &self.layout.key)
    }

    fn request(&self, predicate: KeyPredicate, places: Places, scan: &Scan, cx: &ReadContext) -> BatchStream {
        let request = Request::new(&self.layout, predicate, places, scan, cx);
        request.read(self.catalog.clone(), &self.moment)
    }
}

/// The number of rows of a table.
pub(crate) fn count(view: &View<'_>, layout: &TableLayout) -> StoreResult<u64> {
    view.open(Rows::new(&layout.rows))?
        .map_or(Ok(0), |rows| rows.len())
}

/// The keys of `points`, in order: neighbours share pages.
fn keys(points: impl Iterator<Item = KeyTuple>) -> Vec<Vec<u8>> {
    let mut keys: Vec<_> = points.map(|point| OrderedKey::encode(&point)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn whole() -> KeyRange {
    KeyRange::prefix(&[])
}

#[async_trait]
impl Table for EmbeddedTable {
    fn name(&self) -> &TableName {
        &self.layout.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::clone(&self.statistics)
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        if self.layout.primary_key.is_empty() {
            return Pushdown::declined("the table has no primary key")
                .hint("A table made with a PRIMARY KEY finds rows by conditions on it.");
        }
        self.layout.key_columns.verdict(filter, NO_INDEX)
    }

    async fn splits(&self, _scan: &Scan) -> Result<Vec<Split>> {
        self.moment.note_scan(&self.layout.rows);
        Ok(vec![Split::whole()])
    }

    async fn read(&self, scan: &Scan, _split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let predicate = self.predicate(scan)?;
        let places = match predicate.access() {
            AccessPath::Points(points) => Places::Keys(keys(points.iter().cloned())),
            AccessPath::Ranges(ranges) => Places::Ranges(ranges.clone()),
            AccessPath::Full => Places::Ranges(vec![whole()]),
        };
        Ok(self.request(predicate, places, scan, cx))
    }

    fn remote_text(&self, scan: &Scan) -> String {
        match self.predicate(scan).as_ref().map(KeyPredicate::access) {
            Ok(AccessPath::Points(points)) => format!("rows of {}", counted(points.len(), "key", "keys")),
            Ok(AccessPath::Ranges(ranges)) => {
                format!(
                    "rows of {}",
                    counted(ranges.len(), "range of keys", "ranges of keys")
                )
            }
            _ => "all rows".to_owned(),
        }
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.lookup_keys.is_empty()).then_some(self)
    }

    fn primary_key(&self) -> &[usize] {
        &self.layout.primary_key
    }
}

#[async_trait]
impl Lookup for EmbeddedTable {
    fn keys(&self) -> &[Vec<usize>] {
        &self.lookup_keys
    }

    async fn get(
        &self,
        scan: &Scan,
        key: usize,
        values: RecordBatch,
        cx: &ReadContext,
    ) -> Result<BatchStream> {
        let types = self.layout.key.types();
        let columns = self.lookup_keys.get(key).map_or(0, Vec::len);
        if columns == 0 || values.num_columns() != columns {
            return Err(ConnectorError::new(
                ErrorKind::Internal,
                format!("table {} was asked for an unknown key", self.name()),
            ));
        }
        let parts = types.iter().zip(values.columns());
        let parts = parts.map(|(key_type, column)| key_type.values(column));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let tuples = (0..values.num_rows()).filter_map(|row| {
            let tuple = parts.iter().map(|part| part[row].clone());
            tuple.collect::<Option<KeyTuple>>()
        });
        let keys = keys(tuples);
        let places = if columns == types.len() {
            Places::Keys(keys)
        } else {
            Places::Ranges(keys.iter().map(|key| KeyRange::prefix(key)).collect())
        };
        Ok(self.request(self.predicate(scan)?, places, scan, cx))
    }
}
