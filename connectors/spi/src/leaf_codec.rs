//! The leaf's form for other workers: names, filters and splits, so that any of them can read any split.
//!
//! Nothing of a source goes along: no pool, no secret. The reader opens the same table in its own catalogs, and asks it
//! for its verdicts again. Join filters and the state of executions stay behind: the reader's plan has none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    Serializeable, physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use crate::connector::{Connector, Table, TableName};
use crate::error::{ConnectorError, ErrorKind, Result};
use crate::filter::{Filter, Verdict};
use crate::scan::{Scan, ScanFilter, Split};
use crate::scan_exec::ScanExec;
use crate::settings::ScanSettings;

/// Writes `plan` for another worker. Errors: an operator that has no form, such as DataFusion's own scan of files.
pub fn plan_to_bytes(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Vec<u8>> {
    physical_plan_to_bytes_with_extension_codec(plan, &LeafCodec::default()).map(Vec::from)
}

/// Reads a plan of [`plan_to_bytes`], its leaves over tables of `catalogs`, its functions from `cx`.
///
/// Errors, all of them [`ConnectorError`]s inside: no such catalog, schema, table or column here; a table whose columns
/// or verdicts are others here (`Changed`). Must run on a large stack if the plan may be deep.
pub async fn plan_from_bytes(
    bytes: &[u8],
    catalogs: &BTreeMap<String, Arc<dyn Connector>>,
    cx: &TaskContext,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let codec = LeafCodec::default();
    // Decoding cannot wait for a source: each round that ends at a leaf of an unknown table loads that one.
    loop {
        let decoded = physical_plan_from_bytes_with_extension_codec(bytes, cx, &codec);
        let missing = codec.state().missing.take();
        match (decoded, missing) {
            (Err(_), Some(name)) => {
                let table = load(&name, catalogs).await?;
                codec.state().tables.insert(name, table);
            }
            (decoded, _) => return decoded,
        }
    }
}

async fn load(name: &TableName, catalogs: &BTreeMap<String, Arc<dyn Connector>>) -> Result<Arc<dyn Table>> {
    let Some(catalog) = catalogs.get(&name.catalog) else {
        let message = format!("catalog \"{}\" does not exist", name.catalog);
        return Err(ConnectorError::new(ErrorKind::UnknownCatalog, message));
    };
    let table = catalog.table(name).await?;
    table.ok_or_else(|| {
        let message = format!("table {name} does not exist");
        ConnectorError::new(ErrorKind::UnknownTable, message)
    })
}

/// Writes leaves, and reads those whose tables it holds.
#[derive(Debug, Default)]
struct LeafCodec(Mutex<CodecState>);

#[derive(Debug, Default)]
struct CodecState {
    tables: HashMap<TableName, Arc<dyn Table>>,
    /// The table of the leaf that could not be read for want of it.
    missing: Option<TableName>,
}

impl LeafCodec {
    fn state(&self) -> MutexGuard<'_, CodecState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PhysicalExtensionCodec for LeafCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<()> {
        let Some(leaf) = node.downcast_ref::<ScanExec>() else {
            let message = format!("the operator {} cannot be sent to another worker", node.name());
            return Err(ConnectorError::new(ErrorKind::NotSupported, message).into());
        };
        let form = LeafForm::of(leaf)?;
        serde_json::to_writer(buffer, &form).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    fn try_decode(
        &self,
        buffer: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        cx: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let form: LeafForm = serde_json::from_slice(buffer).map_err(|error| {
            ConnectorError::new(ErrorKind::Internal, "the form of a leaf cannot be read").source(error)
        })?;
        let mut state = self.state();
        let Some(table) = state.tables.get(&form.table) else {
            let message = format!("table {} is not loaded", form.table);
            state.missing = Some(form.table);
            return Err(ConnectorError::new(ErrorKind::Internal, message).into());
        };
        Ok(Arc::new(form.leaf(Arc::clone(table), cx)?))
    }
}

/// What is written of a leaf, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafForm {
    table: TableName,
    columns: Vec<ColumnForm>,
    filters: Vec<FilterForm>,
    limit: Option<usize>,
    splits: Vec<Split>,
    reference: usize,
    pushdown: bool,
    query_id: String,
    source_timeout_ms: u64,
    batch_bytes: usize,
}

/// A column of the projection: its type says whether both sides mean the same column.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnForm {
    name: String,
    data_type: String,
}

/// A pushed filter: DataFusion's bytes of the expression in base64, and its verdict.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterForm {
    expr: String,
    exact: bool,
}

impl LeafForm {
    fn of(leaf: &ScanExec) -> DataFusionResult<Self> {
        let (scan, settings) = (leaf.scan(), leaf.settings());
        if leaf.table().is_computed() {
            let message = format!(
                "an operator that the source of table {} computes cannot be sent to another worker",
                leaf.table().name()
            );
            return Err(ConnectorError::new(ErrorKind::NotSupported, message).into());
        }
        let columns = scan.projected_schema();
        let columns = columns.fields().iter().map(|field| ColumnForm {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        });
        let filters = scan.filters.iter().map(|filter| {
            Ok(FilterForm {
                expr: STANDARD.encode(filter.filter.expr().to_bytes()?),
                exact: filter.pushdown.verdict == Verdict::Exact,
            })
        });
        Ok(Self {
            table: leaf.table().name().clone(),
            columns: columns.collect(),
            filters: filters.collect::<DataFusionResult<_>>()?,
            limit: scan.limit,
            splits: leaf.splits().to_vec(),
            reference: leaf.reference(),
            pushdown: settings.pushdown,
            query_id: settings.query_id.to_string(),
            source_timeout_ms: u64::try_from(settings.source_timeout.as_millis()).unwrap_or(u64::MAX),
            batch_bytes: settings.batch_bytes,
        })
    }

    /// The same leaf over `table`, which this worker has opened.
    fn leaf(self, table: Arc<dyn Table>, cx: &TaskContext) -> DataFusionResult<ScanExec> {
        let scan = Scan {
            projection: self.projection(table.as_ref())?,
            filters: self.scan_filters(table.as_ref(), cx)?,
            schema: table.schema(),
            limit: self.limit,
        };
        let settings = ScanSettings {
            pushdown: self.pushdown,
            query_id: self.query_id.into(),
            source_timeout: Duration::from_millis(self.source_timeout_ms),
            batch_bytes: self.batch_bytes,
            ..ScanSettings::default()
        };
        Ok(ScanExec::new(table, scan, self.splits, settings, self.reference)?)
    }

    fn projection(&self, table: &dyn Table) -> Result<Vec<usize>> {
        let schema = table.schema();
        let index = |column: &ColumnForm| {
            let Ok(index) = schema.index_of(&column.name) else {
                let message = format!(
                    "column \"{}\" of table {} does not exist",
                    column.name, self.table
                );
                return Err(ConnectorError::new(ErrorKind::UnknownColumn, message));
            };
            if schema.field(index).data_type().to_string() != column.data_type {
                let message = format!(
                    "column \"{}\" of table {} has another type now",
                    column.name, self.table
                );
                return Err(ConnectorError::new(ErrorKind::Changed, message).hint("Run the query again."));
            }
            Ok(index)
        };
        self.columns.iter().map(index).collect()
    }

    /// The filters with this worker's own verdicts, which must be the sender's: what was Exact there is checked nowhere.
    fn scan_filters(&self, table: &dyn Table, cx: &TaskContext) -> DataFusionResult<Vec<ScanFilter>> {
        let filter = |form: &FilterForm| {
            let bytes = STANDARD.decode(&form.expr).map_err(|error| {
                ConnectorError::new(ErrorKind::Internal, "a filter of a leaf cannot be read").source(error)
            })?;
            let filter = Filter::new(&Expr::from_bytes_with_ctx(&bytes, cx)?);
            let pushdown = table.pushdown(&filter);
            let verdict = if form.exact {
                Verdict::Exact
            } else {
                Verdict::Superset
            };
            if pushdown.verdict != verdict {
                let message = format!(
                    "table {} does not treat the filter {filter} as before",
                    self.table
                );
                return Err(ConnectorError::new(ErrorKind::Changed, message)
                    .hint("Run the query again.")
                    .into());
            }
            Ok(ScanFilter { filter, pushdown })
        };
        self.filters.iter().map(filter).collect()
    }
}
