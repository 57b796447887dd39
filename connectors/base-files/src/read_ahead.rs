//! What of a file's row groups is fetched before it is asked for.
//!
//! A scan asks for a row group when it has decoded the one before, and waits for the store each time; where filters are
//! decided while it is decoded, it waits for the columns of each filter, and then for those of the rows that are left. The
//! row groups that it will come to are known: those of its part of the file that the bounds do not leave out. The
//! columns are those it has asked for at once before, and those it asked for later in both of the last two row groups: where
//! a filter leaves nothing of a row group the other columns are not wanted. So while one is decoded the next ones are on
//! their way: one at first, a few when the scan has come some way, nothing of one that bounds leave out, and nothing
//! where a limit ends the scan.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use causeway_spi::{ConnectorError, ErrorKind, Result};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccessPlanFilter};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::simplifier::PhysicalExprSimplifier;
use datafusion::physical_expr::utils::{
    collect_columns, conjunction_opt, reassign_expr_columns, split_conjunction,
};
use datafusion::physical_expr_adapter::replace_columns_with_literals;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::FileRange;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::footer::Footer;
use crate::snapshots::Snapshots;

/// Row groups that are under way beside the one that is decoded, when the scan has come that far.
const GROUPS_AHEAD_MAX: usize = 4;
/// What is not fetched ahead beyond: it takes long to decode and longer to come, whenever it is asked for.
const AHEAD_BYTES_MAX: usize = 32 << 20;
/// Nothing is fetched ahead while more than this part of the memory limit is in use.
const MEMORY_SHARE: usize = 2;

/// What a scan says about the row groups it wants, and has shown of the columns.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The scan's filter over `schema`, the table's.
    pub(crate) filter: Option<Arc<Snapshots>>,
    pub(crate) schema: SchemaRef,
    /// Where what is fetched ahead is accounted for.
    memory: Arc<dyn MemoryPool>,
    learned: Arc<Learned>,
}

/// The places of columns in a file.
type Columns = BTreeSet<usize>;

/// The columns that the readers of one execution have asked for.
#[derive(Debug, Default)]
pub(crate) struct Learned(Mutex<Asked>);

#[derive(Debug, Default, Clone)]
struct Asked {
    /// Those of the first request for a row group: no filter decides whether they are wanted.
    first: Columns,
    /// All of the last row group but one, and of the last.
    last: [Columns; 2],
    /// How many row groups were read.
    groups: usize,
}

/// The row groups of one file that a scan will read, and what is under way of them.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    metadata: Arc<ParquetMetaData>,
    columns: SchemaRef,
    range: Option<FileRange>,
    wanted: Wanted,
    /// Of the filter that `groups` were chosen by.
    generation: u64,
    /// In the order in which they are read.
    groups: Vec<usize>,
    /// The row group that is read.
    current: Option<usize>,
    /// Its columns of which something was asked for.
    touched: Columns,
    /// Those that were asked for, but for a few pages.
    asked: Columns,
    begun: VecDeque<Begun>,
    reservation: MemoryReservation,
}

/// Columns of one row group that nobody has asked for yet.
#[derive(Debug)]
pub(crate) struct Due {
    group: usize,
    columns: Columns,
    pub(crate) ranges: Vec<Range<u64>>,
    reservation: MemoryReservation,
}

#[derive(Debug)]
struct Begun {
    due: Due,
    bytes: Fetched,
}

#[derive(Debug)]
enum Fetched {
    Running(SpawnedTask<Result<Vec<Bytes>>>),
    Done(Vec<Bytes>),
}

impl Learned {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAhead {
    /// For the part `range` of the file of `footer`; `None` where none of its row groups is read.
    pub(crate) fn of(footer: &Footer, range: Option<&FileRange>, wanted: Wanted) -> Option<Self> {
        let mut ahead = Self {
            metadata: Arc::clone(&footer.metadata),
            columns: Arc::clone(&footer.schema),
            range: range.cloned(),
            generation: wanted.generation(),
            groups: Vec::new(),
            current: None,
            touched: Columns::new(),
            asked: Columns::new(),
            begun: VecDeque::new(),
            reservation: MemoryConsumer::new("ReadAhead").register(&wanted.memory),
            wanted,
        };
        ahead.groups = ahead.choose_groups();
        (!ahead.groups.is_empty()).then_some(ahead)
    }

    /// The row groups that are read, by their place and by what their bounds say of the filter as it is now.
    fn choose_groups(&self) -> Vec<usize> {
        let groups = self.metadata.row_groups();
        let mut plan = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &self.range {
            plan.prune_by_range(groups, range);
        }
        if plan.remaining_row_group_count() > 0
            && let Some(predicate) = self.wanted.predicate(&self.columns)
        {
            let metrics = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
            let columns = self.metadata.file_metadata().schema_descr();
            plan.prune_by_statistics(&self.columns, columns, groups, &predicate, &metrics);
        }
        plan.row_group_indexes().collect()
    }

    /// Notes that the scan asks for `ranges`, columns or pages of one row group, and lets go of what it has passed.
    pub(crate) fn asks(&mut self, ranges: &[Range<u64>]) {
        let Some(group) = ranges.first().and_then(|range| self.group_of(range)) else {
            return;
        };
        let (mut touched, mut asked) = (Columns::new(), Columns::new());
        for (column, chunk) in self
            .metadata
            .row_group(group)
            .columns()
            .iter()
            .map(chunk)
            .enumerate()
        {
            let parts = ranges.iter().filter(|range| holds(&chunk, range));
            let bytes: u64 = parts.map(|range| range.end - range.start).sum();
            if bytes > 0 {
                touched.insert(column);
            }
            // Pages that filters leave: where they are few, so may they be in the next row group.
            if bytes > 0 && bytes >= (chunk.end - chunk.start) / 2 {
                asked.insert(column);
            }
        }
        if self.current != Some(group) {
            self.enter(group, &asked);
        }
        self.touched.extend(touched);
        self.asked.extend(asked);
    }

    /// The row group that `range` is of: the one that is read, or a later one.
    fn group_of(&self, range: &Range<u64>) -> Option<usize> {
        let is_in = |group: &usize| {
            let mut chunks = self.metadata.row_group(*group).columns().iter().map(chunk);
            chunks.any(|chunk| holds(&chunk, range))
        };
        let from = self.place(self.current).unwrap_or(0);
        self.groups.iter().copied().skip(from).find(is_in)
    }

    fn place(&self, group: Option<usize>) -> Option<usize> {
        self.groups.iter().position(|&known| Some(known) == group)
    }

    fn enter(&mut self, group: usize, first: &Columns) {
        let mut learned = self.wanted.learned.lock();
        if self.current.is_some() {
            learned.last.swap(0, 1);
            learned.last[1] = mem::take(&mut self.asked);
        }
        self.touched.clear();
        learned.first.clone_from(first);
        learned.groups += 1;
        drop(learned);
        self.current = Some(group);
        let generation = self.wanted.generation();
        if generation != self.generation {
            // Joins and the best rows so far leave out more than they did.
            self.generation = generation;
            let place = self.place(self.current).map_or(0, |place| place + 1);
            let left = self.choose_groups();
            let later: Vec<usize> = self.groups.drain(..).skip(place).collect();
            self.groups = vec![group];
            self.groups
                .extend(later.into_iter().filter(|group| left.contains(group)));
        }
        let place = self.place(self.current).unwrap_or(0);
        let coming = &self.groups[place..];
        self.begun.retain(|begun| coming.contains(&begun.due.group));
    }

    /// Whether `range` is under way or there.
    pub(crate) fn has(&self, range: &Range<u64>) -> bool {
        self.begun.iter().any(|begun| begun.place(range).is_some())
    }

    /// What should be under way by now and is not, one row group after the other.
    pub(crate) fn due(&self) -> Vec<Due> {
        let ahead = self.groups_ahead();
        let place = self.place(self.current);
        place.map_or_else(Vec::new, |place| self.due_of(&self.groups[place..], 1 + ahead))
    }

    /// What should be under way before anything is asked for: the first row group.
    pub(crate) fn due_first(&self) -> Vec<Due> {
        self.due_of(&self.groups, 1)
    }

    /// Whether what should be under way goes beyond the file.
    pub(crate) fn ends_soon(&self) -> bool {
        let left = self
            .place(self.current)
            .map(|place| self.groups.len() - place - 1);
        left.is_some_and(|left| left < self.groups_ahead())
    }

    /// How many row groups should be under way beside the one that is read.
    pub(crate) fn groups_ahead(&self) -> usize {
        self.wanted.learned.lock().groups.min(GROUPS_AHEAD_MAX)
    }

    fn due_of(&self, groups: &[usize], count: usize) -> Vec<Due> {
        let learned = self.wanted.learned.lock().clone();
        let [before, last] = &learned.last;
        let mut wanted = learned.first;
        wanted.extend(last.intersection(before));
        let mut due: Vec<Due> = Vec::new();
        let ahead_of_it = self
            .begun
            .iter()
            .filter(|begun| Some(begun.due.group) != self.current);
        let held = ahead_of_it.map(|begun| begun.due.reservation.size());
        let mut room = AHEAD_BYTES_MAX.saturating_sub(held.sum());
        for &group in groups.iter().take(count) {
            let mut columns = wanted.clone();
            if Some(group) == self.current {
                columns.retain(|column| !self.touched.contains(column));
            }
            for begun in self.begun.iter().filter(|begun| begun.due.group == group) {
                columns.retain(|column| !begun.due.columns.contains(column));
            }
            if columns.is_empty() {
                continue;
            }
            let Some(one) = self.reserve(group, columns, room) else {
                break;
            };
            room -= one.reservation.size();
            due.push(one);
        }
        due
    }

    /// `None` if they are larger than `room`, if memory is short, or if the file has no such columns.
    fn reserve(&self, group: usize, columns: Columns, room: usize) -> Option<Due> {
        let chunks = self.metadata.row_group(group).columns();
        let ranges: Vec<Range<u64>> = columns
            .iter()
            .map(|&column| chunks.get(column).map(chunk))
            .collect::<Option<_>>()?;
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let bytes = usize::try_from(bytes).ok()?;
        if bytes > room {
            return None;
        }
        let memory = &self.wanted.memory;
        if let MemoryLimit::Finite(limit) = memory.memory_limit()
            && memory.reserved() + bytes > limit / MEMORY_SHARE
        {
            return None;
        }
        self.reservation.try_grow(bytes).ok()?;
        Some(Due {
            group,
            columns,
            ranges,
            reservation: self.reservation.split(bytes),
        })
    }

    /// Remembers that `task` fetches what is `due`.
    pub(crate) fn begin(&mut self, due: Due, task: SpawnedTask<Result<Vec<Bytes>>>) {
        let bytes = Fetched::Running(task);
        self.begun.push_back(Begun { due, bytes });
    }

    /// Those of `ranges` that are under way or there, as soon as they are there.
    pub(crate) async fn take(&mut self, ranges: &[Range<u64>]) -> Result<Vec<Option<Bytes>>> {
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let begun = self.begun.iter_mut().find(|begun| begun.place(range).is_some());
            found.push(match begun {
                Some(begun) => begun.take(range).await?,
                None => None,
            });
        }
        Ok(found)
    }
}

impl Begun {
    /// The column that has `range`, among those of this.
    fn place(&self, range: &Range<u64>) -> Option<usize> {
        self.due.ranges.iter().position(|column| holds(column, range))
    }

    async fn take(&mut self, range: &Range<u64>) -> Result<Option<Bytes>> {
        if let Fetched::Running(task) = &mut self.bytes {
            let done = task.join_unwind_mut().await.map_err(|error| {
                ConnectorError::new(ErrorKind::Internal, "a read was ended before it was done").source(error)
            });
            match done.flatten() {
                Ok(bytes) => self.bytes = Fetched::Done(bytes),
                Err(error) => {
                    // It is not asked again.
                    self.due.ranges.clear();
                    return Err(error);
                }
            }
        }
        let (Fetched::Done(bytes), Some(place)) = (&self.bytes, self.place(range)) else {
            return Ok(None);
        };
        let begin = self.due.ranges[place].start;
        let from = usize::try_from(range.start - begin).ok();
        let to = usize::try_from(range.end - begin).ok();
        Ok(from.zip(to).map(|(from, to)| bytes[place].slice(from..to)))
    }
}

impl Wanted {
    /// The row groups that `filter` over `schema`, the table's, leaves; what is fetched ahead is accounted for in `memory`.
    pub(crate) fn new(
        filter: Option<Arc<Snapshots>>,
        schema: SchemaRef,
        memory: Arc<dyn MemoryPool>,
    ) -> Self {
        Self {
            filter,
            schema,
            memory,
            learned: Arc::default(),
        }
    }

    /// The same row groups, of which other columns may be asked for.
    pub(crate) fn of_others(&self) -> Self {
        Self {
            learned: Arc::default(),
            ..self.clone()
        }
    }

    /// Grows when the filter changes.
    fn generation(&self) -> u64 {
        self.filter.as_ref().map_or(0, |filter| filter.generation())
    }

    /// Whether the values of its folders, or its bounds, leave `file` out: then it is not opened either.
    pub(crate) fn leaves_out(&self, file: &PartitionedFile) -> bool {
        let fields = self.schema.fields();
        let folders = fields.iter().skip(fields.len() - file.partition_values.len());
        let folders = folders.map(|field| field.name().as_str());
        let values: HashMap<&str, &ScalarValue> = folders.zip(&file.partition_values).collect();
        let Some(filter) = self.filter.as_ref().and_then(|filter| filter.now()) else {
            return false;
        };
        let known = replace_columns_with_literals(filter, &values);
        let Ok(filter) = known.and_then(|known| PhysicalExprSimplifier::new(&self.schema).simplify(known))
        else {
            return false;
        };
        if let Some(literal) = filter.downcast_ref::<Literal>() {
            return *literal.value() != ScalarValue::Boolean(Some(true));
        }
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema));
        let Some(predicate) = builder.build(filter) else {
            return false;
        };
        let unknown = || Arc::new(Statistics::new_unknown(&self.schema));
        let statistics = file.statistics.clone().unwrap_or_else(unknown);
        let statistics = PrunableStatistics::new(vec![statistics], Arc::clone(&self.schema));
        let kept = predicate.prune(&statistics);
        kept.is_ok_and(|kept| kept.iter().all(|kept| !kept))
    }

    /// The part of the filter over `columns`, a file's, that have the table's types there.
    fn predicate(&self, columns: &SchemaRef) -> Option<Arc<PruningPredicate>> {
        let filter = self.filter.as_ref()?.now()?;
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

fn holds(whole: &Range<u64>, part: &Range<u64>) -> bool {
    whole.start <= part.start && part.end <= whole.end
}
