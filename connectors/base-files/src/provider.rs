//! DataFusion's view of a table: plans one Parquet scan over the files that the partition filters leave.
//!
//! Filters over other columns are not applied here: DataFusion's optimizer moves the filter above into the Parquet
//! source, as it does with a join's dynamic filters.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{Filter, Verdict};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;

use crate::adapter::FileAdapterFactory;
use crate::reader::{GuardedReaderFactory, ScanReads};
use crate::source::NamingSource;
use crate::statistics;
use crate::table::{FOOTERS_MAX, Snapshot, TableCore, read_footers};

/// The native provider of one table.
pub(crate) struct FilesProvider {
    core: Arc<TableCore>,
}

impl FilesProvider {
    /// Scans `core`.
    pub(crate) fn new(core: Arc<TableCore>) -> Self {
        Self { core }
    }

    /// The surviving files that may have rows, with their partition values and statistics, in the order of their paths.
    async fn plan_files(&self, snapshot: &Snapshot, kept: &[usize]) -> Result<Vec<PartitionedFile>> {
        let metas = kept.iter().filter_map(|&index| snapshot.listing.files.get(index));
        let metas: Vec<ObjectMeta> = metas.cloned().collect();
        if metas.len() <= FOOTERS_MAX {
            // They are opened anyway, unless a join prunes them: then their bounds are what prunes.
            read_footers(&self.core.files, &metas).await?;
        }
        let file_schema = &self.core.file_schema;
        // Files of one folder share what is known of them.
        let mut unread: Option<(&[ScalarValue], Arc<Statistics>)> = None;
        let mut planned = Vec::with_capacity(metas.len());
        for (meta, &index) in metas.into_iter().zip(kept) {
            let values = snapshot.values.get(index).map_or(&[][..], Vec::as_slice);
            let statistics = match self.core.files.cached_footer(&meta) {
                // Its folder's values are nobody's.
                Some(footer) if footer.rows() == 0 => continue,
                Some(footer) => statistics::of_file(&footer, file_schema, values),
                None => match &unread {
                    Some((of, known)) if *of == values => Arc::clone(known),
                    _ => {
                        let fresh = Arc::new(statistics::of_unread(file_schema, values));
                        unread = Some((values, Arc::clone(&fresh)));
                        fresh
                    }
                },
            };
            let mut file = PartitionedFile::new_from_meta(meta).with_partition_values(values.to_vec());
            // Set directly: `with_statistics` would count no nulls in a NULL partition.
            file.statistics = Some(statistics);
            planned.push(file);
        }
        Ok(planned)
    }

    /// DataFusion's Parquet source with our reader, adapter and error names.
    fn source(&self, state: &dyn Session, schema: TableSchema, since: Instant) -> Arc<dyn FileSource> {
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        // Decided for each file when it is opened.
        options.global.pushdown_filters = false;
        // The merged schema says so: nanoseconds would end in 2262.
        options.global.coerce_int96 = Some("us".to_owned());
        options.global.coerce_int96_tz = None;
        let scan = ScanReads::new(Arc::clone(&self.core.files), since);
        let readers = GuardedReaderFactory::new(scan.clone(), Arc::clone(&self.core.file_schema));
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers.clone()));
        let memory = Arc::clone(&state.runtime_env().memory_pool);
        NamingSource::wrap(Arc::new(source), scan, readers, memory)
    }

    fn empty(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(projection) => Arc::new(self.core.schema.project(projection)?),
            None => Arc::clone(&self.core.schema),
        };
        Ok(Arc::new(EmptyExec::new(schema)))
    }
}

/// The URL under which a catalog's store is registered: names need not be valid in a URL, so they are written in hex.
fn store_url(catalog: &str) -> Result<ObjectStoreUrl> {
    let host: String = catalog.bytes().map(|byte| format!("{byte:02x}")).collect();
    ObjectStoreUrl::parse(format!("causeway-files://{host}"))
}

/// A file that is less than this part of what a partition reads is not worth cutting.
const SMALL_PART: u64 = 8;

/// Whether `files` come out evenly enough where each is read by one of `partitions`.
pub(crate) fn are_small<'a>(files: impl Iterator<Item = &'a PartitionedFile>, partitions: usize) -> bool {
    let (mut total, mut largest) = (0_u64, 0);
    for file in files {
        total = total.saturating_add(file.object_meta.size);
        largest = largest.max(file.object_meta.size);
    }
    let share = total / u64::try_from(partitions.max(1)).unwrap_or(u64::MAX);
    largest > 0 && largest.saturating_mul(SMALL_PART) <= share
}

/// `files`, in their order, in as many groups as there are partitions: of about as many bytes each, or, where some are to be
/// cut, of as many files.
fn dealt_out(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    if !are_small(files.iter(), partitions) {
        return FileGroup::new(files).split_files(partitions);
    }
    let bytes = |file: &PartitionedFile| u128::from(file.object_meta.size);
    let total: u128 = files.iter().map(bytes).sum();
    let mut groups = Vec::with_capacity(partitions);
    let mut dealt = 0;
    let mut group = Vec::new();
    for file in files {
        dealt += bytes(&file);
        group.push(file);
        if dealt * widened(partitions) >= total * widened(groups.len() + 1) && groups.len() + 1 < partitions {
            groups.push(FileGroup::new(std::mem::take(&mut group)));
        }
    }
    groups.push(FileGroup::new(group));
    groups
}

fn widened(count: usize) -> u128 {
    u128::try_from(count).unwrap_or(u128::MAX)
}

/// `files` in as many groups as there are partitions, with the statistics of all; `guess` tells the rows of a file by its bytes.
fn grouped(
    files: Vec<PartitionedFile>,
    partitions: usize,
    schema: &SchemaRef,
    guess: impl Fn(u64) -> Option<u64>,
) -> Result<(Vec<FileGroup>, Statistics)> {
    let groups = dealt_out(files, partitions.max(1)).into_iter().map(|group| {
        let of_group = statistics::of_group(&group, schema, &guess)?;
        Ok(group.with_statistics(Arc::new(of_group)))
    });
    let mut groups = groups.collect::<Result<Vec<_>>>()?;
    let mut statistics = statistics::of_groups(&groups, schema)?;
    // Those of the files stay: they prune.
    statistics::forget_bounds_that_casts_widen(&mut statistics, schema);
    for group in &mut groups {
        if let Some(of_group) = group.statistics_mut() {
            statistics::forget_bounds_that_casts_widen(of_group, schema);
        }
    }
    Ok((groups, statistics))
}

impl fmt::Debug for FilesProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesProvider({})", self.core.name)
    }
}

#[async_trait]
impl TableProvider for FilesProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.core.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |expr: &&Expr| match self.core.verdict(&Filter::new(expr)).verdict {
            Verdict::Exact => TableProviderFilterPushDown::Exact,
            Verdict::Superset => TableProviderFilterPushDown::Inexact,
            Verdict::Declined => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (core, since) = (&self.core, Instant::now());
        let filters: Vec<Filter> = filters.iter().map(Filter::new).collect();
        let exact = |filter: &&Filter| core.verdict(filter).verdict == Verdict::Exact;
        let decided: Vec<&Filter> = filters.iter().filter(exact).collect();
        let snapshot = core.current().await?;
        let kept = core.survivors(&snapshot, &decided)?;
        if kept.is_empty() {
            return self.empty(projection);
        }
        // A limit counts rows that pass: it may stop the scan only when nothing above drops any.
        let limit = limit.filter(|_| decided.len() == filters.len());
        let files = self.plan_files(&snapshot, &kept).await?;
        if files.is_empty() {
            return self.empty(projection);
        }
        let partitions = state.config().target_partitions();
        let guess = |bytes| core.guess_rows(bytes);
        let (groups, statistics) = grouped(files, partitions, &core.schema, guess)?;
        let schema = TableSchema::builder(Arc::clone(&core.file_schema))
            .with_table_partition_cols(core.partition_columns.clone())
            .build();
        let url = store_url(core.files.catalog())?;
        state
            .runtime_env()
            .register_object_store(url.as_ref(), Arc::clone(core.files.store()));
        let config = FileScanConfigBuilder::new(url, self.source(state, schema, since))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(FileAdapterFactory)))
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(sizes: &[u64], partitions: usize) -> Vec<Vec<u64>> {
        let files = sizes.iter().enumerate();
        let files = files.map(|(index, &size)| PartitionedFile::new(format!("f{index}"), size));
        let groups = dealt_out(files.collect(), partitions).into_iter();
        let sizes = |group: FileGroup| group.iter().map(|file| file.object_meta.size).collect();
        groups.map(sizes).collect()
    }

    #[test]
    fn small_files_are_dealt_out_by_their_bytes() {
        let mut sizes = vec![1; 60];
        sizes.extend([3; 20]);
        let groups = dealt(&sizes, 2);
        assert_eq!(groups, [sizes[..60].to_vec(), sizes[60..].to_vec()]);
        assert_eq!(dealt(&sizes, 1), [sizes.clone()]);
        let groups = dealt(&[1; 99], 4);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [25, 25, 25, 24]);
    }

    #[test]
    fn files_that_are_to_be_cut_and_empty_ones_are_dealt_out_by_their_number() {
        assert_eq!(dealt(&[8, 1, 1, 1], 2), [vec![8, 1], vec![1, 1]]);
        assert_eq!(dealt(&[0, 0, 0], 2), [vec![0, 0], vec![0]]);
        assert_eq!(dealt(&[5], 4), [vec![5]]);
        assert!(dealt(&[], 2).iter().all(Vec::is_empty));
    }
}
