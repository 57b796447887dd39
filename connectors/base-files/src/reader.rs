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
use futures::future::{BoxFuture, try_join};
use futures::{FutureExt, TryFutureExt};
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use crate::files::FileStore;
use crate::footer::Footer;
use crate::opening::Opening;
use crate::read_ahead::{ReadAhead, Wanted};
use crate::schema::check_fits;

/// Files for each partition that are under way beside the one that is read, when the scan has come that far.
const FILES_AHEAD_MAX: usize = 2;

/// What the readers of one scan have in common.
#[derive(Debug, Clone)]
pub(crate) struct ScanReads {
    files: Arc<FileStore>,
    /// When the scan began: what is kept of a file is of use if the store has had that version since.
    since: Instant,
    /// The longest wait for one answer: of the query that the scan is planned for.
    source_timeout: Duration,
}

impl ScanReads {
    /// Of a scan of `files` that began at `since`.
    pub(crate) fn new(files: Arc<FileStore>, since: Instant) -> Self {
        let source_timeout = source_timeout();
        Self {
            files,
            since,
            source_timeout,
        }
    }

    /// Whether what is fetched ahead is waited for any shorter.
    pub(crate) fn are_remote(&self) -> bool {
        self.files.local_root().is_none()
    }

    pub(crate) fn file(&self, file: ObjectMeta) -> FileReads {
        let scan = self.clone();
        FileReads { scan, file }
    }
}

/// Makes the readers of one scan, or of one of its executions.
#[derive(Debug, Clone)]
pub(crate) struct GuardedReaderFactory {
    reads: ScanReads,
    /// The table's columns that are read from files.
    file_schema: SchemaRef,
    ahead: Option<Ahead>,
}

/// What is fetched ahead.
#[derive(Debug, Clone)]
struct Ahead {
    wanted: Wanted,
    opening: Arc<Opening>,
}

impl GuardedReaderFactory {
    /// Readers for a table with the file columns `file_schema`.
    pub(crate) fn new(reads: ScanReads, file_schema: SchemaRef) -> Self {
        Self {
            reads,
            file_schema,
            ahead: None,
        }
    }

    /// Readers of an execution that opens files as `opening` says, of which `wanted` is wanted.
    pub(crate) fn ahead(&self, wanted: &Wanted, opening: &Arc<Opening>) -> Self {
        let ahead = Ahead {
            wanted: wanted.clone(),
            opening: Arc::clone(opening),
        };
        Self {
            ahead: Some(ahead),
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
            reads: self.reads.file(partitioned_file.object_meta.clone()),
            file: partitioned_file,
            partition: partition_index,
            metrics_set: metrics.clone(),
            metrics: None,
            ahead: self.ahead.clone(),
            row_groups: None,
        }))
    }
}

/// Reads one file, which may be pruned before anything is asked of it.
struct GuardedReader {
    file_schema: SchemaRef,
    file: PartitionedFile,
    reads: FileReads,
    partition: usize,
    metrics_set: ExecutionPlanMetricsSet,
    /// Registered at the first request: a pruned file costs no counters.
    metrics: Option<ReadMetrics>,
    ahead: Option<Ahead>,
    row_groups: Option<ReadAhead>,
}

/// Reads one version of one file.
#[derive(Debug, Clone)]
pub(crate) struct FileReads {
    scan: ScanReads,
    file: ObjectMeta,
}

impl FileReads {
    pub(crate) fn cached_footer(&self) -> Option<Arc<Footer>> {
        self.scan.files.cached_footer(&self.file)
    }

    /// Whether anything of the file's rows is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.scan.files.keeps(&self.file)
    }

    /// Asks whether the store still has this version.
    pub(crate) async fn version(self, metrics: ReadMetrics) -> Result<()> {
        let ScanReads { files, since, .. } = &self.scan;
        let seen = files.make_sure(&self.file, *since, Some(&metrics));
        with_source_timeout(self.scan.source_timeout, seen).await
    }

    async fn range(self, range: Range<u64>, metrics: ReadMetrics) -> Result<Bytes> {
        let ScanReads { files, since, .. } = &self.scan;
        let bytes = files.range(&self.file, range, *since, Some(&metrics));
        with_source_timeout(self.scan.source_timeout, bytes).await
    }

    pub(crate) async fn ranges(self, ranges: Vec<Range<u64>>, metrics: ReadMetrics) -> Result<Vec<Bytes>> {
        let ScanReads { files, since, .. } = &self.scan;
        let bytes = files.ranges(&self.file, &ranges, *since, Some(&metrics));
        with_source_timeout(self.scan.source_timeout, bytes).await
    }

    pub(crate) async fn footer(self, metrics: ReadMetrics) -> Result<Arc<Footer>> {
        let footer = self.scan.files.footer(&self.file, Some(&metrics));
        with_source_timeout(self.scan.source_timeout, footer).await
    }
}

impl GuardedReader {
    fn metrics(&mut self) -> ReadMetrics {
        let (set, partition) = (&self.metrics_set, self.partition);
        self.metrics
            .get_or_insert_with(|| ReadMetrics::new(set, partition).with_cache_hits(set, partition))
            .clone()
    }

    /// What has begun of the row groups, if anything of them is fetched ahead. Not with the footer: whoever reads that need not
    /// be who reads the row groups.
    fn begin_row_groups(&mut self) {
        if let (None, Some(ahead)) = (&self.row_groups, &self.ahead) {
            let begun = ahead.opening.take_row_groups(&self.file);
            self.row_groups = begun.or_else(|| {
                let (footer, wanted) = (self.reads.cached_footer()?, ahead.wanted.clone());
                ReadAhead::of(&footer, self.file.range.as_ref(), wanted)
            });
        }
    }

    /// `ranges`, of which some may have been fetched ahead; and what comes after them is on its way from now on.
    async fn ranges(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let metrics = self.metrics();
        self.begin_row_groups();
        let Some(row_groups) = &mut self.row_groups else {
            return self.reads.clone().ranges(ranges, metrics).await;
        };
        row_groups.asks(&ranges);
        let missing = ranges.iter().filter(|range| !row_groups.has(range)).cloned();
        let missing = self.reads.clone().ranges(missing.collect(), metrics.clone());
        for due in row_groups.due() {
            let fetch = self.reads.clone().ranges(due.ranges.clone(), metrics.clone());
            row_groups.begin(due, SpawnedTask::spawn(fetch));
        }
        if let (true, Some(ahead)) = (row_groups.ends_soon(), &self.ahead) {
            let files = row_groups.groups_ahead().min(FILES_AHEAD_MAX);
            ahead.opening.begin_next(files, &metrics);
        }
        let (mut found, missing) = try_join(row_groups.take(&ranges), missing).await?;
        let places = found.iter_mut().filter(|found| found.is_none());
        for (place, bytes) in places.zip(missing) {
            *place = Some(bytes);
        }
        Ok(found.into_iter().flatten().collect())
    }

    async fn footer(&mut self) -> Result<Arc<Footer>> {
        let metrics = self.metrics();
        if let Some(hits) = &metrics.cache_hits {
            hits.add(usize::from(self.reads.cached_footer().is_some()));
        }
        let begun = self
            .ahead
            .as_ref()
            .and_then(|ahead| ahead.opening.take_footer(&self.file));
        if let Some(begun) = begun {
            // It is known then; if it cannot be read, the same is found out again.
            let _ = begun.join_unwind().await;
        }
        let footer = self.reads.clone().footer(metrics).await?;
        check_fits(&self.file_schema, &footer.schema, &self.file.object_meta.location)?;
        Ok(footer)
    }
}

impl AsyncFileReader for GuardedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let metrics = self.metrics();
        let bytes = self.reads.clone().range(range, metrics);
        bytes.map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.ranges(ranges).map_err(external).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let footer = self.footer().map_err(external);
        footer.map_ok(|footer| Arc::clone(&footer.metadata)).boxed()
    }
}

fn external(error: ConnectorError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
