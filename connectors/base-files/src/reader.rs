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
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::FileRange;
use futures::future::{BoxFuture, try_join};
use futures::{FutureExt, TryFutureExt};
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use crate::files::FileStore;
use crate::footer::Footer;
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
    /// Where what is fetched ahead is accounted for.
    memory: Arc<dyn MemoryPool>,
    /// What row groups the scan wants, if it wants all of them and their store is worth not waiting for.
    wanted: Option<Wanted>,
}

impl GuardedReaderFactory {
    /// Readers over `files`, of a scan that began at `since`, for a table with the file columns `file_schema`; what they
    /// fetch ahead is accounted for in `memory`.
    pub(crate) fn new(
        files: Arc<FileStore>,
        file_schema: SchemaRef,
        since: Instant,
        memory: Arc<dyn MemoryPool>,
    ) -> Self {
        Self {
            files,
            file_schema,
            since,
            source_timeout: source_timeout(),
            memory,
            wanted: None,
        }
    }

    /// The same with row groups fetched ahead, for one partition of a scan that is read to its end: of those that `filter`
    /// over `schema`, the table's, leaves.
    pub(crate) fn ahead(&self, filter: Option<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Self {
        let wanted = Wanted {
            filter,
            schema,
            memory: Arc::clone(&self.memory),
            learned: Arc::default(),
        };
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
            file_schema: Arc::clone(&self.file_schema),
            range: partitioned_file.range,
            file: FileToRead {
                files: Arc::clone(&self.files),
                file: partitioned_file.object_meta,
                since: self.since,
                source_timeout: self.source_timeout,
            },
            partition: partition_index,
            metrics_set: metrics.clone(),
            metrics: None,
            wanted: self.wanted.clone(),
            ahead: None,
        }))
    }
}

/// Reads one file, which may be pruned before anything is asked of it.
struct GuardedReader {
    file_schema: SchemaRef,
    file: FileToRead,
    /// The part of the file that is read.
    range: Option<FileRange>,
    partition: usize,
    metrics_set: ExecutionPlanMetricsSet,
    /// Registered at the first request: a pruned file costs no counters.
    metrics: Option<ReadMetrics>,
    /// What is fetched ahead, until that has begun.
    wanted: Option<Wanted>,
    ahead: Option<ReadAhead>,
}

/// One version of one file, as a scan reads it.
#[derive(Clone)]
struct FileToRead {
    files: Arc<FileStore>,
    file: ObjectMeta,
    since: Instant,
    source_timeout: Duration,
}

impl FileToRead {
    async fn range(self, range: Range<u64>, metrics: ReadMetrics) -> Result<Bytes> {
        let bytes = self.files.range(&self.file, range, self.since, Some(&metrics));
        with_source_timeout(self.source_timeout, bytes).await
    }

    async fn ranges(self, ranges: Vec<Range<u64>>, metrics: ReadMetrics) -> Result<Vec<Bytes>> {
        let bytes = self.files.ranges(&self.file, &ranges, self.since, Some(&metrics));
        with_source_timeout(self.source_timeout, bytes).await
    }

    async fn footer(self, metrics: ReadMetrics) -> Result<Arc<Footer>> {
        if let Some(hits) = &metrics.cache_hits {
            hits.add(usize::from(self.files.cached_footer(&self.file).is_some()));
        }
        let footer = self.files.footer(&self.file, Some(&metrics));
        with_source_timeout(self.source_timeout, footer).await
    }
}

impl GuardedReader {
    fn metrics(&mut self) -> ReadMetrics {
        let (set, partition) = (&self.metrics_set, self.partition);
        self.metrics
            .get_or_insert_with(|| ReadMetrics::new(set, partition).with_cache_hits(set, partition))
            .clone()
    }

    /// `ranges`, of which some may have been fetched ahead; and what comes after them is on its way from now on.
    async fn ranges(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let metrics = self.metrics();
        // Not with the footer: whoever reads that need not be who reads the row groups.
        if let Some(wanted) = self.wanted.take()
            && let Some(footer) = self.file.files.cached_footer(&self.file.file)
        {
            self.ahead = ReadAhead::of(&footer, self.range.as_ref(), wanted);
        }
        let Some(ahead) = &mut self.ahead else {
            return self.file.clone().ranges(ranges, metrics).await;
        };
        ahead.asks(&ranges);
        let missing = ranges.iter().filter(|range| !ahead.has(range)).cloned();
        let missing = self.file.clone().ranges(missing.collect(), metrics.clone());
        for due in ahead.due() {
            let fetch = self.file.clone().ranges(due.ranges.clone(), metrics.clone());
            ahead.begin(due, SpawnedTask::spawn(fetch));
        }
        let (mut found, missing) = try_join(ahead.take(&ranges), missing).await?;
        let places = found.iter_mut().filter(|found| found.is_none());
        for (place, bytes) in places.zip(missing) {
            *place = Some(bytes);
        }
        Ok(found.into_iter().flatten().collect())
    }
}

impl AsyncFileReader for GuardedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let metrics = self.metrics();
        let bytes = self.file.clone().range(range, metrics);
        bytes.map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.ranges(ranges).map_err(external).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let metrics = self.metrics();
        async move {
            let footer = self.file.clone().footer(metrics).await.map_err(external)?;
            check_fits(&self.file_schema, &footer.schema, &self.file.file.location).map_err(external)?;
            Ok(Arc::clone(&footer.metadata))
        }
        .boxed()
    }
}

fn external(error: ConnectorError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
