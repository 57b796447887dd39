//! A lake in memory, a session over its tables, and what a query's scans counted.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use causeway_base_files::{DeclaredTables, FileTableOptions, FilesConnector, FilesSettings};
use causeway_spi::{
    Connector, ConnectorError, Result, ScanNotes, ScanSettings, SourceTable, Table, TableName,
};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// A catalog `lake` over a store in memory, or over one wrapped around it.
pub(crate) struct Lake {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) connector: FilesConnector,
}

impl Lake {
    /// Nothing is cached longer than a query lasts.
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(InMemory::new()), Duration::ZERO)
    }

    pub(crate) fn over(store: Arc<dyn ObjectStore>, ttl: Duration) -> Self {
        Self::with_tables(store, ttl, &[])
    }

    /// The same with declared tables.
    pub(crate) fn with_tables(
        store: Arc<dyn ObjectStore>,
        ttl: Duration,
        tables: &[FileTableOptions],
    ) -> Self {
        let settings = FilesSettings {
            cache_ttl: ttl,
            tables: DeclaredTables::check(tables).unwrap(),
            ..FilesSettings::default()
        };
        Self::with_settings(store, settings)
    }

    /// A listing is believed for an hour, and so much of what is read is kept.
    pub(crate) fn keeping(store: Arc<dyn ObjectStore>, kept_bytes: usize) -> Self {
        let settings = FilesSettings {
            cache_ttl: Duration::from_secs(3600),
            kept_bytes,
            ..FilesSettings::default()
        };
        Self::with_settings(store, settings)
    }

    fn with_settings(store: Arc<dyn ObjectStore>, settings: FilesSettings) -> Self {
        let connector = FilesConnector::new("lake", "memory", Arc::clone(&store), Path::default(), settings);
        Self { store, connector }
    }

    /// A session over a table `t` of this file, of which nothing is kept.
    pub(crate) async fn over_file(file: Vec<u8>) -> SessionContext {
        let lake = Self::new();
        lake.put("t/0.parquet", file).await;
        lake.session(&["t"]).await
    }

    /// Nothing is cached, and these tables are declared.
    pub(crate) fn declaring(tables: &[FileTableOptions]) -> Self {
        Self::with_tables(Arc::new(InMemory::new()), Duration::ZERO, tables)
    }

    pub(crate) async fn put(&self, location: &str, bytes: impl Into<Vec<u8>>) {
        let location = Path::parse(location).unwrap();
        self.store.put(&location, bytes.into().into()).await.unwrap();
    }

    /// Writes one file of one row group.
    pub(crate) async fn put_batch(&self, location: &str, batch: &RecordBatch) {
        self.put(location, parquet(batch, WriterProperties::builder().build()))
            .await;
    }

    pub(crate) async fn table(&self, name: &str) -> Result<Arc<dyn Table>> {
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        let name = TableName::new("lake", schema, table);
        Ok(self.connector.table(&name).await?.expect("the table exists"))
    }

    /// A session with the named tables, two partitions and the filters in the scan or above it.
    pub(crate) async fn session_with(&self, tables: &[&str], config: SessionConfig) -> SessionContext {
        let context = SessionContext::new_with_config(config.with_target_partitions(2));
        for name in tables {
            let table = self.table(name).await.unwrap();
            let provider: Arc<dyn TableProvider> = table.native().unwrap_or_else(|| {
                let notes = Arc::new(ScanNotes::default());
                Arc::new(SourceTable::new(table, ScanSettings::default(), notes))
            });
            context.register_table(format!("\"{name}\""), provider).unwrap();
        }
        context
    }

    /// A session with the named tables as a statement has them, whose scans are noted in `notes`.
    pub(crate) async fn noted_session(&self, tables: &[&str], notes: &Arc<ScanNotes>) -> SessionContext {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        for name in tables {
            let table = self.table(name).await.unwrap();
            let provider = SourceTable::new(table, ScanSettings::default(), Arc::clone(notes));
            context.register_table(*name, Arc::new(provider)).unwrap();
        }
        context
    }

    pub(crate) async fn session(&self, tables: &[&str]) -> SessionContext {
        self.session_with(tables, SessionConfig::new()).await
    }

    /// The rows of `sql`, which are the same with row filters in the decoder and above the scan.
    pub(crate) async fn rows(&self, tables: &[&str], sql: &str) -> Vec<String> {
        let above = rows(&self.session(tables).await, sql).await.unwrap();
        let inside = rows(&self.session_with(tables, row_filters()).await, sql)
            .await
            .unwrap();
        assert_eq!(above, inside, "row filters change the answer of {sql}");
        above
    }
}

/// Filters evaluated by the decoder.
pub(crate) fn row_filters() -> SessionConfig {
    let mut config = SessionConfig::new();
    config.options_mut().execution.parquet.pushdown_filters = true;
    config
}

/// A Parquet file with `batch`.
pub(crate) fn parquet(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// The rows of `sql`, sorted, columns joined by `|`.
pub(crate) async fn rows(context: &SessionContext, sql: &str) -> Result<Vec<String>, DataFusionError> {
    let batches = context.sql(sql).await?.collect().await?;
    Ok(lines(&batches))
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            lines.push(values.join("|"));
        }
    }
    lines.sort();
    lines
}

/// The connector's error below `error`.
pub(crate) fn ours(error: &DataFusionError) -> &ConnectorError {
    let mut current: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<ConnectorError>() {
            return found;
        }
        current = error.source();
    }
    panic!("no connector error in {error:?}");
}

/// What the scan of one table counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) files_opened: usize,
    pub(crate) files_pruned: usize,
    pub(crate) row_groups_pruned: usize,
    pub(crate) pages_pruned: usize,
    pub(crate) bloom_pruned: usize,
    pub(crate) requests: usize,
    pub(crate) cache_hits: usize,
    pub(crate) bytes: usize,
    pub(crate) rows: usize,
}

/// Runs `sql` and returns its rows and the counters of the scan with the column `column`.
pub(crate) async fn counted(context: &SessionContext, sql: &str, column: &str) -> (Vec<String>, Counted) {
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    let mut counted = Counted::default();
    count(&plan, column, &mut counted);
    (lines(&batches), counted)
}

fn count(plan: &Arc<dyn ExecutionPlan>, column: &str, counted: &mut Counted) {
    for child in plan.children() {
        count(child, column, counted);
    }
    let is_wanted =
        plan.downcast_ref::<DataSourceExec>().is_some() && plan.schema().column_with_name(column).is_some();
    if !is_wanted {
        return;
    }
    for metric in plan.metrics().unwrap().aggregate_by_name().iter() {
        use datafusion::physical_plan::metrics::MetricValue;
        let value = metric.value();
        let (pruned, matched) = match value {
            MetricValue::PruningMetrics { pruning_metrics, .. } => {
                (pruning_metrics.pruned(), pruning_metrics.matched())
            }
            other => (0, other.as_usize()),
        };
        match value.name() {
            "files_ranges_pruned_statistics" => {
                counted.files_opened += matched;
                counted.files_pruned += pruned;
            }
            "row_groups_pruned_statistics" => counted.row_groups_pruned += pruned,
            "page_index_pages_pruned" => counted.pages_pruned += pruned,
            "row_groups_pruned_bloom_filter" => counted.bloom_pruned += pruned,
            "requests" => counted.requests += matched,
            "cache_hits" => counted.cache_hits += matched,
            "source_bytes" => counted.bytes += matched,
            "output_rows" => counted.rows += matched,
            _ => {}
        }
    }
}
