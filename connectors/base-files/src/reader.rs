//! The seam between DataFusion's Parquet scan and the store: every byte it gets comes through here.
//!
//! Encryption would fit into [`GuardedReader`].

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use causeway_spi::{ConnectorError, ReadMetrics, Result, source_timeout, with_source_timeout};
use datafusion::common::Result as DataFusionResult;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::FileRange;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use crate::files::FileStore;
use crate::read_ahead::{ReadAhead, Wanted};
use crate::schema::check_fits;

/// Makes the readers of one scan.
#[derive(Debug, Clone)]
pub(crate) struct GuardedReaderFactory {
    files: Arc<FileStore>,
    /// The table's columns that are read from files.
    file_schema: SchemaRef,
    /// When the scan began: what is kept of a file is of use if the store has had that version since.
    since: Instant,
    /// The longest wait for one answer: of the query that the scan is planned for.
    source_timeout: Duration,
    /// What row groups the scan wants, if it wants all of them and their store is worth not waiting for.
    wanted: Option<Wanted>,
}

impl GuardedReaderFactory {
    /// Readers over `files`, of a scan that began at `since`, for a table with the file columns `file_schema`.
    pub(crate) fn new(files: Arc<FileStore>, file_schema: SchemaRef, since: Instant) -> Self {
        Self {
            files,
            file_schema,
            since,
            source_timeout: source_timeout(),
            wanted: None,
        }
    }

    /// The same with row groups fetched ahead, for a scan that is read to its end: of those that `wanted` says.
    pub(crate) fn ahead(&self, wanted: Wanted) -> Self {
        Self {
            wanted: Some(wanted).filter(|_| self.files.local_root().is_none()),
            ..self.clone()
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
            range: partitioned_file.range,
            file: partitioned_file.object_meta,
            since: self.since,
            partition: partition_index,
            metrics_set: metrics.clone(),
            metrics: None,
            source_timeout: self.source_timeout,
            wanted: self.wanted.clone(),
            ahead: None,
        }))
    }
}

/// Reads one file, which may be pruned before anything is asked of it.
struct GuardedReader {
    files: Arc<FileStore>,
    file_schema: SchemaRef,
    /// The part of the file that is read.
    range: Option<FileRange>,
    file: ObjectMeta,
    since: Instant,
    partition: usize,
    metrics_set: ExecutionPlanMetricsSet,
    /// Registered at the first request: a pruned file costs no counters.
    metrics: Option<ReadMetrics>,
    source_timeout: Duration,
    wanted: Option<Wanted>,
    /// Begins with the footer.
    ahead: Option<ReadAhead>,
}

impl GuardedReader {
    fn metrics(&mut self) -> ReadMetrics {
        let (set, partition) = (&self.metrics_set, self.partition);
        self.metrics
            .get_or_insert_with(|| ReadMetrics::new(set, partition).with_cache_hits(set, partition))
            .clone()
    }

    /// `ranges`, as soon as they are there.
    fn fetch(
        &self,
        ranges: Vec<Range<u64>>,
        metrics: ReadMetrics,
    ) -> impl Future<Output = Result<Vec<Bytes>>> + Send + use<> {
        let (files, file) = (Arc::clone(&self.files), self.file.clone());
        let (since, timeout) = (self.since, self.source_timeout);
        async move {
            let bytes = files.ranges(&file, &ranges, since, Some(&metrics));
            with_source_timeout(timeout, bytes).await
        }
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
            let begun = self.ahead.as_mut().and_then(|ahead| ahead.take(&ranges));
            let bytes = match begun {
                Some(task) => task
                    .join_unwind()
                    .await
                    .map_err(|error| ParquetError::External(Box::new(error)))?,
                None => self.fetch(ranges.clone(), metrics.clone()).await,
            };
            let bytes = bytes.map_err(external)?;
            if let Some(next) = self.ahead.as_ref().and_then(|ahead| ahead.next(&ranges)) {
                let task = SpawnedTask::spawn(self.fetch(next.clone(), metrics));
                if let Some(ahead) = &mut self.ahead {
                    ahead.begin(next, task);
                }
            }
            Ok(bytes)
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
            if let Some(wanted) = &self.wanted {
                self.ahead = ReadAhead::of(&footer, self.range.as_ref(), wanted);
            }
            Ok(Arc::clone(&footer.metadata))
        }
        .boxed()
    }
}

fn external(error: ConnectorError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
