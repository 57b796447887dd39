//! The source under test with its tables, and the ways in which they are read.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;

use super::capabilities::{CATALOG, Capabilities, ConformanceSource};
use super::report::{Broken, ConformanceReport, Outcome, ensure, shown};
use super::tables::{ConformanceTable, tables};
use crate::connector::{Connector, Table, TableName};
use crate::scan::{ReadContext, Scan};
use crate::settings::engine_settings;
use crate::testing::compare::Rows;

/// A source, its catalog and the tables in it.
pub(super) struct Suite<'a> {
    pub(super) source: &'a dyn ConformanceSource,
    pub(super) declared: Capabilities,
    pub(super) catalog: Arc<dyn Connector>,
    pub(super) tables: Vec<ConformanceTable>,
    pub(super) context: SessionContext,
}

impl<'a> Suite<'a> {
    /// Loads the tables; without them nothing else can be checked.
    pub(super) async fn load(
        source: &'a dyn ConformanceSource,
        report: &mut ConformanceReport,
    ) -> Option<Self> {
        let declared = source.capabilities();
        report.declare(&declared);
        let tables = tables(&declared);
        let mut catalog = None;
        let load = async {
            catalog = Some(source.load(&tables).await?);
            Ok(())
        };
        report
            .check("tables of the declared kinds can be loaded", load)
            .await;
        Some(Self {
            source,
            declared,
            catalog: catalog?,
            tables,
            context: session(),
        })
    }

    /// The full name of `table`.
    pub(super) fn name_of(&self, table: &str) -> TableName {
        TableName::new(CATALOG, self.source.schema(), table)
    }

    /// The table `name` of the catalog.
    pub(super) async fn table(&self, name: &str) -> Result<Arc<dyn Table>, Broken> {
        table_in(&self.catalog, &self.name_of(name)).await
    }

    /// The canonical table `name`.
    pub(super) fn canonical(&self, name: &str) -> Result<&ConformanceTable, Broken> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.ok_or_else(|| Broken(format!("no canonical table {name}")))
    }

    /// Reads `scan` in all its splits, by the leaf or by DataFusion's own scan.
    pub(super) async fn read(
        &self,
        table: &Arc<dyn Table>,
        scan: &Scan,
        cx: &ReadContext,
    ) -> Result<Vec<RecordBatch>, Broken> {
        if let Some(native) = table.native() {
            return Ok(self.read_native(&native, scan).await?);
        }
        let mut batches = Vec::new();
        for split in table.splits(scan).await? {
            let stream = table.read(scan, &split, cx).await?;
            batches.extend(stream.try_collect::<Vec<_>>().await?);
        }
        Ok(batches)
    }

    async fn read_native(
        &self,
        native: &Arc<dyn TableProvider>,
        scan: &Scan,
    ) -> EngineResult<Vec<RecordBatch>> {
        let filters: Vec<Expr> = scan
            .filters
            .iter()
            .map(|filter| filter.filter.expr().clone())
            .collect();
        let state = self.context.state();
        let plan = native
            .scan(&state, Some(&scan.projection), &filters, scan.limit)
            .await?;
        collect(plan, self.context.task_ctx()).await
    }

    /// Checks that a scan of `table` without filters gives exactly the columns of `rows`.
    pub(super) async fn reads(&self, table: &Arc<dyn Table>, scan: &Scan, rows: &RecordBatch) -> Outcome {
        let found = self.read(table, scan, &ReadContext::detached()).await?;
        same_rows(scan, &found, &rows.project(&scan.projection)?)
    }
}

/// A session like the server's.
fn session() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2);
    SessionContext::new_with_config(engine_settings(config))
}

/// The table `name` of `catalog`, which is there.
pub(super) async fn table_in(
    catalog: &Arc<dyn Connector>,
    name: &TableName,
) -> Result<Arc<dyn Table>, Broken> {
    match catalog.table(name).await {
        Ok(Some(table)) => Ok(table),
        Ok(None) => Err(Broken(format!("table {name} is not there"))),
        Err(error) => Err(Broken(format!("table {name}: {}", shown(&error)))),
    }
}

/// A scan of the columns `projection`.
pub(super) fn scan_of(table: &dyn Table, projection: Vec<usize>) -> Scan {
    Scan {
        schema: table.schema(),
        projection,
        filters: Vec::new(),
        limit: None,
    }
}

/// A scan of all columns.
pub(super) fn whole(table: &dyn Table) -> Scan {
    scan_of(table, (0..table.schema().fields().len()).collect())
}

/// Checks that `batches` hold the rows of `expected`, with the names and types that `scan` promises.
pub(super) fn same_rows(scan: &Scan, batches: &[RecordBatch], expected: &RecordBatch) -> Outcome {
    let promised = scan.projected_schema();
    for batch in batches {
        let schema = batch.schema();
        let found = schema
            .fields()
            .iter()
            .map(|field| (field.name(), field.data_type()));
        let wanted = promised
            .fields()
            .iter()
            .map(|field| (field.name(), field.data_type()));
        ensure(found.clone().eq(wanted.clone()), || {
            let (found, wanted): (Vec<_>, Vec<_>) = (found.collect(), wanted.collect());
            format!("a batch has the columns {found:?} instead of {wanted:?}")
        })?;
    }
    let found = Rows::new(&promised, batches)?;
    let expected = Rows::new(&expected.schema(), std::slice::from_ref(expected))?;
    match found.difference(&expected) {
        None => Ok(()),
        Some(difference) => Err(Broken(shortened(&difference))),
    }
}

/// The beginning of a long text.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 2_000;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}
