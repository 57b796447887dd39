//! The seam between DataFusion's Parquet scan and the store: every byte it gets comes through here.
//!
//! Encryption would fit into [`GuardedReader`].

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use causeway_spi::{ConnectorError, ReadMetrics, source_timeout, with_source_timeout};
use datafusion::common::Result as DataFusionResult;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use crate::files::FileStore;
use crate::schema::check_fits;

/// Makes the readers of one scan.
#[derive(Debug)]
pub(crate) struct GuardedReaderFactory {
    files: Arc<FileStore>,
    /// The table's columns that are read from files.
    file_schema: SchemaRef,
    /// When the scan began: what is kept of a file is of use if the store has had that version since.
    since: Instant,
    /// The longest wait for one answer: of the query that the scan is planned for.
    source_timeout: Duration,
}

impl GuardedReaderFactory {
    /// Readers over `files`, of a scan that began at `since`, for a table with the file columns `file_schema`.
    pub(crate) fn new(files: Arc<FileStore>, file_schema: SchemaRef, since: Instant) -> Self {
        Self {
            files,
            file_schema,
            since,
            source_timeout: source_timeout(),
        }
    }
}

impl ParquetFileReaderFactory for GuardedReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> DataFusionResult<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(GuardedReader {
            files: Arc::clone(&self.files),
            file_schema: Arc::clone(&self.file_schema),
            file: partitioned_file.object_meta,
            since: self.since,
            partition: partition_index,
            metrics_set: metrics.clone(),
            metrics: None,
            source_timeout: self.source_timeout,
        }))
    }
}

/// Reads one file, which may be pruned before anything is asked of it.
struct GuardedReader {
    files: Arc<FileStore>,
    file_schema: SchemaRef,
    file: ObjectMeta,
    since: Instant,
    partition: usize,
    metrics_set: ExecutionPlanMetricsSet,
    /// Registered at the first request: a pruned file costs no counters.
    metrics: Option<ReadMetrics>,
    source_timeout: Duration,
}

impl GuardedReader {
    fn metrics(&mut self) -> ReadMetrics {
        let (set, partition) = (&self.metrics_set, self.partition);
        self.metrics
            .get_or_insert_with(|| ReadMetrics::new(set, partition).with_cache_hits(set, partition))
            .clone()
    }
}

impl AsyncFileReader for GuardedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let metrics = self.metrics();
        async move {
            let bytes = self.files.range(&self.file, range, self.since, Some(&metrics));
            let bytes = with_source_timeout(self.source_timeout, bytes).await;
            bytes.map_err(external)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let metrics = self.metrics();
        async move {
            let bytes = self.files.ranges(&self.file, &ranges, self.since, Some(&metrics));
            let bytes = with_source_timeout(self.source_timeout, bytes).await;
            bytes.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let metrics = self.metrics();
        async move {
            if let Some(hits) = &metrics.cache_hits {
                hits.add(usize::from(self.files.cached_footer(&self.file).is_some()));
            }
            let footer = self.files.footer(&self.file, Some(&metrics));
            let footer = with_source_timeout(self.source_timeout, footer)
                .await
                .map_err(external)?;
            check_fits(&self.file_schema, &footer.schema, &self.file.location).map_err(external)?;
            Ok(Arc::clone(&footer.metadata))
        }
        .boxed()
    }
}

fn external(error: ConnectorError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
