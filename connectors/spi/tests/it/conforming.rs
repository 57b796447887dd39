//! A source in memory that conforms, and the faults that are planted in it: each breaks one promise.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, RowCounts,
};
use causeway_spi::testing::{ColumnKind, TextKind};
use causeway_spi::{
    BatchStream, Connector, ConnectorError, ErrorKind, Filter, Lookup, Pushdown, ReadContext, Result, Scan,
    Split, Table, TableName, TableStatistics,
};
use datafusion::common::ScalarValue;
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

const SCHEMA: &str = "public";
/// Streams that may be open at once.
const STREAMS_MAX: usize = 100;

/// One planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A schema that is not there is said in other words.
    OtherWords,
    /// A schema that is not there is said to be a table.
    OtherKind,
    /// A schema that is not there is empty.
    EmptySchema,
    /// A table that is not there is an error.
    MissingTable,
    /// Names are found in any case.
    FoldedNames,
    /// A table is listed twice.
    ListedTwice,
    /// A table is listed that is not there.
    ListedOnly,
    /// There is a login that is not declared.
    Login,
    /// Text is of a type that is not canonical.
    OtherType,
    /// Columns that hold NULL say that they do not.
    NotNull,
    /// Empty texts are NULL.
    EmptyIsNull,
    /// The last row is lost.
    LostRow,
    /// The first row comes twice.
    RepeatedRow,
    /// Columns come in the table's order.
    TableOrder,
    /// Without columns there are no rows.
    NoColumnsNoRows,
    /// Batches have any number of rows.
    LargeBatches,
    /// Batches have any number of bytes.
    LongBatches,
    /// A limit does nothing.
    LimitIgnored,
    /// A limit gives a row less.
    LimitShort,
    /// One row more is known than is there.
    RowCount,
    /// Every filter is taken, and none applied.
    Greedy,
    /// A lookup gives all rows.
    LookupScans,
    /// A lookup does not find the last key.
    LookupShort,
    /// A lookup of a key that is not there is an error.
    LookupFails,
    /// Streams that are dropped stay open.
    Leak,
    /// Work begins before a stream is polled.
    Eager,
    /// The splits have other numbers than their places.
    SplitNumbers,
    /// Two splits share a row.
    SplitsOverlap,
}

impl Fault {
    pub(crate) const ALL: &[Fault] = &[
        Self::OtherWords,
        Self::OtherKind,
        Self::EmptySchema,
        Self::MissingTable,
        Self::FoldedNames,
        Self::ListedTwice,
        Self::ListedOnly,
        Self::Login,
        Self::OtherType,
        Self::NotNull,
        Self::EmptyIsNull,
        Self::LostRow,
        Self::RepeatedRow,
        Self::TableOrder,
        Self::NoColumnsNoRows,
        Self::LargeBatches,
        Self::LongBatches,
        Self::LimitIgnored,
        Self::LimitShort,
        Self::RowCount,
        Self::Greedy,
        Self::LookupScans,
        Self::LookupShort,
        Self::LookupFails,
        Self::Leak,
        Self::Eager,
        Self::SplitNumbers,
        Self::SplitsOverlap,
    ];
}

/// The source.
pub(crate) struct Conforming(pub(crate) Option<Fault>);

#[async_trait]
impl ConformanceSource for Conforming {
    fn name(&self) -> &str {
        "in memory"
    }

    fn capabilities(&self) -> Capabilities {
        let kinds = vec![
            ColumnKind::Integer { bits: 64 },
            ColumnKind::Double { special: true },
            ColumnKind::Text(TextKind::Unicode),
            ColumnKind::Bytes,
            ColumnKind::List(&ColumnKind::Date),
        ];
        Capabilities {
            not_null: true,
            row_counts: RowCounts::Exact,
            limits: true,
            lookups: true,
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        SCHEMA
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let open = Arc::new(Semaphore::new(STREAMS_MAX));
        let loaded = tables.iter().map(|table| {
            let keys = match table.primary_key.as_slice() {
                [] => Vec::new(),
                key => vec![key.to_vec()],
            };
            let held = HeldTable {
                name: TableName::new(CATALOG, SCHEMA, &table.name),
                rows: kept(table.rows(), self.0),
                keys,
                fault: self.0,
                open: Arc::clone(&open),
            };
            (table.name.clone(), Arc::new(held))
        });
        Ok(Arc::new(Catalog {
            tables: loaded.collect(),
            fault: self.0,
        }))
    }
}

/// The rows as the source keeps them.
fn kept(rows: &RecordBatch, fault: Option<Fault>) -> RecordBatch {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, array)| {
        let text = *array.data_type() == DataType::Utf8View;
        let (array, data_type): (ArrayRef, DataType) = match fault {
            Some(Fault::EmptyIsNull) if text => {
                let values = array.as_string_view().iter();
                let values: StringViewArray = values
                    .map(|value| value.filter(|value| !value.is_empty()))
                    .collect();
                (Arc::new(values), DataType::Utf8View)
            }
            Some(Fault::OtherType) if text => {
                let array = arrow::compute::cast(array, &DataType::Utf8).expect("texts are texts");
                (array, DataType::Utf8)
            }
            _ => (Arc::clone(array), field.data_type().clone()),
        };
        (Field::new(field.name(), data_type, field.is_nullable()), array)
    });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the same columns")
}

#[derive(Debug)]
struct Catalog {
    tables: BTreeMap<String, Arc<HeldTable>>,
    fault: Option<Fault>,
}

impl Catalog {
    fn check(&self, schema: &str) -> Result<()> {
        match self.fault {
            _ if schema == SCHEMA => Ok(()),
            Some(Fault::OtherWords) => Err(ConnectorError::new(
                ErrorKind::UnknownSchema,
                format!("no schema {schema}"),
            )),
            Some(Fault::OtherKind) => {
                let error = ConnectorError::unknown_schema(CATALOG, schema);
                Err(ConnectorError::new(ErrorKind::UnknownTable, error.message()))
            }
            _ => Err(ConnectorError::unknown_schema(CATALOG, schema)),
        }
    }
}

#[async_trait]
impl Connector for Catalog {
    fn kind(&self) -> &'static str {
        "test"
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        if self.fault == Some(Fault::EmptySchema) && schema != SCHEMA {
            return Ok(Vec::new());
        }
        self.check(schema)?;
        let mut names: Vec<String> = self.tables.keys().cloned().collect();
        match self.fault {
            Some(Fault::ListedTwice) => names.extend(names.first().cloned()),
            Some(Fault::ListedOnly) => names.push("phantom".to_owned()),
            _ => {}
        }
        Ok(names)
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        self.check(&name.schema)?;
        let found = match self.fault {
            Some(Fault::FoldedNames) => self.tables.get(&name.table.to_lowercase()),
            _ => self.tables.get(&name.table),
        };
        match found.or_else(|| self.tables.get(&name.table)) {
            Some(table) => Ok(Some(Arc::<HeldTable>::clone(table))),
            None if self.fault == Some(Fault::MissingTable) => Err(ConnectorError::new(
                ErrorKind::UnknownTable,
                format!("table {name} does not exist"),
            )),
            None => Ok(None),
        }
    }

    async fn needs(&self) -> Result<Option<String>> {
        Ok((self.fault == Some(Fault::Login)).then(|| "everything".to_owned()))
    }
}

struct HeldTable {
    name: TableName,
    rows: RecordBatch,
    keys: Vec<Vec<usize>>,
    fault: Option<Fault>,
    open: Arc<Semaphore>,
}

impl fmt::Debug for HeldTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldTable({})", self.name)
    }
}

impl HeldTable {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The batches of `rows` for `scan`. A stream takes one of few places when it is polled.
    fn stream(&self, rows: RecordBatch, scan: &Scan, cx: &ReadContext) -> BatchStream {
        let mut projection = scan.projection.clone();
        if self.has(Fault::TableOrder) {
            projection.sort_unstable();
        }
        let rows = if projection.is_empty() && self.has(Fault::NoColumnsNoRows) {
            rows.slice(0, 0)
        } else {
            rows
        };
        if self.has(Fault::Eager) {
            cx.metrics.requests.add(1);
        }
        let (open, requests) = (Arc::clone(&self.open), cx.metrics.requests.clone());
        let leak = self.has(Fault::Leak);
        let batches = self.cut(&rows, cx);
        let batches = batches.into_iter().map(move |batch| {
            batch
                .project(&projection)
                .map_err(|error| failed(&error.to_string()))
        });
        let opened = async move {
            requests.add(1);
            let place = open.try_acquire_owned().map_err(|_| failed("too many streams"))?;
            let place = if leak {
                place.forget();
                None
            } else {
                Some(place)
            };
            Ok(stream::iter(batches).map(move |batch| {
                let _open = &place;
                batch
            }))
        };
        use futures::TryStreamExt;
        stream::once(opened).try_flatten().boxed()
    }

    /// Pieces as large as they may be.
    fn cut(&self, rows: &RecordBatch, cx: &ReadContext) -> Vec<RecordBatch> {
        let most = match self.fault {
            Some(Fault::LargeBatches) => usize::MAX,
            _ => cx.batch_rows.max(1),
        };
        let width = rows.get_array_memory_size() / rows.num_rows().max(1);
        let of_bytes = match self.fault {
            Some(Fault::LongBatches) => usize::MAX,
            _ => (cx.batch_bytes / width.max(1)).max(1),
        };
        let length = most.min(of_bytes);
        let starts = (0..rows.num_rows()).step_by(length);
        starts
            .map(|start| rows.slice(start, length.min(rows.num_rows() - start)))
            .collect()
    }
}

fn failed(what: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Source, what)
}

#[async_trait]
impl Table for HeldTable {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        if !self.has(Fault::NotNull) {
            return self.rows.schema();
        }
        let schema = self.rows.schema();
        let fields = schema.fields().iter();
        let fields = fields.map(|field| Field::clone(field).with_nullable(false));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        let rows = self.rows.num_rows() + usize::from(self.has(Fault::RowCount));
        Arc::new(TableStatistics {
            rows: u64::try_from(rows).ok(),
            ..TableStatistics::default()
        })
    }

    fn pushdown(&self, _: &Filter) -> Pushdown {
        if self.has(Fault::Greedy) {
            return Pushdown::exact("why not");
        }
        Pushdown::declined("filters are not sent")
    }

    async fn splits(&self, _: &Scan) -> Result<Vec<Split>> {
        let first = usize::from(self.has(Fault::SplitNumbers));
        let split = |index: usize| Split {
            index: index + first,
            part: index.to_string(),
        };
        Ok((0..2).map(split).collect())
    }

    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        let (all, half) = (self.rows.num_rows(), self.rows.num_rows() / 2);
        let mut rows = if split.part == "0" {
            let more = usize::from(self.has(Fault::SplitsOverlap) && all > 1);
            self.rows.slice(0, half + more)
        } else {
            self.rows.slice(half, all - half)
        };
        match self.fault {
            Some(Fault::LostRow) => rows = rows.slice(0, rows.num_rows().saturating_sub(1)),
            Some(Fault::RepeatedRow) if rows.num_rows() > 0 => {
                rows = concat_batches(&rows.schema(), &[rows.slice(0, 1), rows.clone()])
                    .expect("batches of one schema");
            }
            _ => {}
        }
        if let Some(limit) = scan.limit.filter(|_| !self.has(Fault::LimitIgnored)) {
            let limit = limit - usize::from(self.has(Fault::LimitShort));
            rows = rows.slice(0, limit.min(rows.num_rows()));
        }
        Ok(self.stream(rows, scan, cx))
    }

    fn remote_text(&self, _: &Scan) -> String {
        "rows".to_owned()
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.keys.is_empty()).then_some(self)
    }
}

#[async_trait]
impl Lookup for HeldTable {
    fn keys(&self) -> &[Vec<usize>] {
        &self.keys
    }

    async fn get(&self, scan: &Scan, _: usize, values: RecordBatch, cx: &ReadContext) -> Result<BatchStream> {
        let cell =
            |array: &ArrayRef, row| ScalarValue::try_from_array(array, row).expect("a canonical value");
        let known = self.rows.column(0);
        let asked = values.num_rows() - usize::from(self.has(Fault::LookupShort));
        let mut found = Vec::new();
        for key in 0..asked {
            let wanted = cell(values.column(0), key);
            let rows = (0..known.len()).filter(|&row| cell(known, row) == wanted);
            let rows: Vec<u64> = rows.filter_map(|row| u64::try_from(row).ok()).collect();
            if rows.is_empty() && self.has(Fault::LookupFails) {
                return Err(failed("there is no such key"));
            }
            found.extend(rows);
        }
        let rows = match self.fault {
            Some(Fault::LookupScans) => self.rows.clone(),
            _ => take_record_batch(&self.rows, &UInt64Array::from(found)).expect("rows of the table"),
        };
        Ok(self.stream(rows, scan, cx))
    }
}
