//! What of a file's next row group is fetched while the one before is decoded.
//!
//! A scan asks for a row group when it has decoded the one before, and waits for the store each time. The row groups that it will
//! come to are known: those of its part of the file that the bounds do not leave out. So while one is decoded the same
//! columns of the next one are on their way; never more than one row group, nothing of one that bounds leave out, and nothing
//! where a limit ends the scan.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use causeway_spi::Result;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccessPlanFilter};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{
    collect_columns, conjunction_opt, reassign_expr_columns, split_conjunction,
};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::FileRange;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use crate::footer::Footer;

/// Larger parts of a row group are not fetched ahead: they take long to decode and longer to come, whenever they are asked for.
const AHEAD_BYTES_MAX: u64 = 32 << 20;

/// What a scan says about the row groups it wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The scan's filter over `schema`, the table's.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) schema: SchemaRef,
}

/// The row groups of one file that a scan will read, and what is under way of the next one.
pub(crate) struct ReadAhead {
    metadata: Arc<ParquetMetaData>,
    /// In the order in which they are read.
    groups: Vec<usize>,
    pending: Option<Pending>,
}

struct Pending {
    ranges: Vec<Range<u64>>,
    task: SpawnedTask<Result<Vec<Bytes>>>,
}

impl ReadAhead {
    /// For the part `range` of the file of `footer`; `None` where there is no second row group.
    pub(crate) fn of(footer: &Footer, range: Option<&FileRange>, wanted: &Wanted) -> Option<Self> {
        let groups = footer.metadata.row_groups();
        if groups.len() < 2 {
            return None;
        }
        let mut plan = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = range {
            plan.prune_by_range(groups, range);
        }
        if plan.remaining_row_group_count() < 2 {
            return None;
        }
        if let Some(predicate) = wanted.predicate(&footer.schema) {
            let metrics = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
            let columns = footer.metadata.file_metadata().schema_descr();
            plan.prune_by_statistics(&footer.schema, columns, groups, &predicate, &metrics);
        }
        let groups: Vec<usize> = plan.row_group_indexes().collect();
        (groups.len() > 1).then(|| Self {
            metadata: Arc::clone(&footer.metadata),
            groups,
            pending: None,
        })
    }

    /// What is under way, if it is `ranges`. If the scan has gone past it, nothing is fetched ahead any more.
    pub(crate) fn take(&mut self, ranges: &[Range<u64>]) -> Option<SpawnedTask<Result<Vec<Bytes>>>> {
        let pending = self.pending.take()?;
        if pending.ranges == ranges {
            return Some(pending.task);
        }
        // Other columns of the row group before it.
        if ranges
            .iter()
            .all(|range| pending.ranges.iter().all(|ahead| range.end <= ahead.start))
        {
            self.pending = Some(pending);
        } else {
            self.groups.clear();
        }
        None
    }

    /// The ranges of the next row group for the columns that `ranges` are of one, unless some are under way.
    pub(crate) fn next(&self, ranges: &[Range<u64>]) -> Option<Vec<Range<u64>>> {
        if self.pending.is_some() {
            return None;
        }
        let groups = self.metadata.row_groups();
        let first = ranges.first()?;
        let place = self.groups.iter().position(|&index| {
            let chunks = groups[index].columns().iter();
            chunks.map(chunk).any(|chunk| chunk == *first)
        })?;
        let (now, next) = (&groups[self.groups[place]], &groups[*self.groups.get(place + 1)?]);
        let ahead: Vec<Range<u64>> = ranges
            .iter()
            .map(|range| same_column(now, next, range))
            .collect::<Option<_>>()?;
        let bytes: u64 = ahead.iter().map(|range| range.end - range.start).sum();
        (bytes <= AHEAD_BYTES_MAX).then_some(ahead)
    }

    /// Remembers that `task` fetches `ranges`.
    pub(crate) fn begin(&mut self, ranges: Vec<Range<u64>>, task: SpawnedTask<Result<Vec<Bytes>>>) {
        self.pending = Some(Pending { ranges, task });
    }
}

impl Wanted {
    /// The part of the filter over `columns`, a file's, that have the table's types there.
    fn predicate(&self, columns: &SchemaRef) -> Option<Arc<PruningPredicate>> {
        let filter = snapshot_physical_expr(Arc::clone(self.filter.as_ref()?)).ok()?;
        let is_there = |part: &&Arc<dyn PhysicalExpr>| {
            collect_columns(part).iter().all(|column| {
                let (here, there) = (
                    self.schema.field_with_name(column.name()),
                    columns.field_with_name(column.name()),
                );
                matches!((here, there), (Ok(here), Ok(there)) if here.data_type() == there.data_type())
            })
        };
        let parts = split_conjunction(&filter).into_iter().filter(is_there);
        let parts = parts.filter_map(|part| reassign_expr_columns(Arc::clone(part), columns).ok());
        PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(columns))
            .build(conjunction_opt(parts)?)
    }
}

fn chunk(column: &ColumnChunkMetaData) -> Range<u64> {
    let (start, length) = column.byte_range();
    start..start.saturating_add(length)
}

/// The chunk of `next` for the column that `range` is the chunk of in `now`.
fn same_column(now: &RowGroupMetaData, next: &RowGroupMetaData, range: &Range<u64>) -> Option<Range<u64>> {
    let place = now
        .columns()
        .iter()
        .map(chunk)
        .position(|chunk| chunk == *range)?;
    next.columns().get(place).map(chunk)
}
