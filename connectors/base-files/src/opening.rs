//! The files that one execution of a scan opens, one after the other, and what is under way of those that come next.
//!
//! A partition opens a file when it has read the one before, and waits for the store again. Which files are opened is known,
//! if not by which partition: all partitions take them from one list. So whoever comes to the end of a file begins the next
//! ones that nobody has begun: with the footer if that is not known, else with the first row group that the bounds do
//! not leave out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_spi::{ReadMetrics, Result};
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileScanConfig;

use crate::footer::Footer;
use crate::late;
use crate::read_ahead::{ReadAhead, Wanted};
use crate::reader::ScanReads;

/// Files whose bounds leave them out that are passed over by one call.
const PASSED_OVER_MAX: usize = 16;

/// The files of one execution of a scan that is read to its end.
#[derive(Debug)]
pub(crate) struct Opening {
    reads: ScanReads,
    /// As the partitions open them; empty if each has files of its own.
    order: Vec<PartitionedFile>,
    partitions: usize,
    /// What is wanted of files that are decoded first and filtered then.
    pub(crate) whole: Wanted,
    /// What is wanted of files that are filtered while they are decoded; `None` if none is.
    pub(crate) late: Option<Wanted>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files of the order that were opened.
    opened: usize,
    /// Files of the order that were opened or begun.
    begun: usize,
    /// What is under way, with its file's place in the order.
    footers: Vec<(usize, SpawnedTask<Result<Arc<Footer>>>)>,
    row_groups: Vec<(usize, ReadAhead)>,
    /// Whether the store still has the versions of which something is kept: who reads it asks again, and finds the answer.
    versions: Vec<SpawnedTask<Result<()>>>,
}

impl Opening {
    /// Of the files of `config`, in the order in which its source has them.
    pub(crate) fn new(
        reads: ScanReads,
        config: &FileScanConfig,
        whole: Wanted,
        late: Option<Wanted>,
    ) -> Self {
        let share_files = !config.preserve_order && config.output_partitioning.is_none();
        let groups = config.file_groups.iter().filter(|_| share_files);
        let files = groups.flat_map(|group| group.iter().cloned()).collect();
        Self {
            reads,
            order: config.file_source.reorder_files(files),
            partitions: config.file_groups.len(),
            whole,
            late,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition opens the next file.
    pub(crate) fn opens(&self) {
        let mut state = self.lock();
        state.opened += 1;
        state.begun = state.begun.max(state.opened);
        // Those that were left out when they were opened.
        let passed = state.opened.saturating_sub(4 * self.partitions);
        state.footers.retain(|(place, _)| *place >= passed);
        state.row_groups.retain(|(place, _)| *place >= passed);
    }

    /// Begins what the first files wait for before anything of them is read: their footers, and whether the store still has
    /// what is kept of them. Not their rows: a join may leave them out. `metrics` makes the counters of what is asked.
    pub(crate) fn begin(&self, metrics: impl Fn() -> ReadMetrics) {
        let first = self.order.iter().enumerate().take(PASSED_OVER_MAX);
        let first = first.filter(|(_, file)| !self.whole.leaves_out(file));
        for (place, file) in first.take(self.partitions) {
            let reads = self.reads.file(file.object_meta.clone());
            if reads.cached_footer().is_none() {
                let task = SpawnedTask::spawn(reads.footer(metrics()));
                self.lock().footers.push((place, task));
            } else if reads.is_kept() {
                let task = SpawnedTask::spawn(reads.version(metrics()));
                self.lock().versions.push(task);
            }
        }
    }

    /// Begins the next files that nobody has begun, up to `count` for each partition, for one that counts into `metrics`.
    pub(crate) fn begin_next(&self, count: usize, metrics: &ReadMetrics) {
        for _ in 0..PASSED_OVER_MAX {
            let place = {
                let mut state = self.lock();
                if state.begun - state.opened >= count * self.partitions {
                    return;
                }
                state.begun += 1;
                state.begun - 1
            };
            let Some(file) = self.order.get(place) else {
                return;
            };
            if self.whole.leaves_out(file) {
                continue;
            }
            let reads = self.reads.file(file.object_meta.clone());
            let Some(footer) = reads.cached_footer() else {
                let task = SpawnedTask::spawn(reads.footer(metrics.clone()));
                self.lock().footers.push((place, task));
                continue;
            };
            let wanted = self.wanted(file).clone();
            let Some(mut ahead) = ReadAhead::of(&footer, file.range.as_ref(), wanted) else {
                continue;
            };
            for due in ahead.due_first() {
                let fetch = reads.clone().ranges(due.ranges.clone(), metrics.clone());
                ahead.begin(due, SpawnedTask::spawn(fetch));
            }
            self.lock().row_groups.push((place, ahead));
        }
    }

    fn wanted(&self, file: &PartitionedFile) -> &Wanted {
        let is_late = |late: &&Wanted| {
            let filter = late.filter.as_ref();
            filter.is_some_and(|filter| late::is_selective(filter, &late.schema, file.statistics.as_deref()))
        };
        self.late.as_ref().filter(is_late).unwrap_or(&self.whole)
    }

    /// What is under way of the footer of `file`.
    pub(crate) fn take_footer(&self, file: &PartitionedFile) -> Option<SpawnedTask<Result<Arc<Footer>>>> {
        self.take(file, |state| &mut state.footers)
    }

    /// What is under way of the row groups of `file`.
    pub(crate) fn take_row_groups(&self, file: &PartitionedFile) -> Option<ReadAhead> {
        self.take(file, |state| &mut state.row_groups)
    }

    fn take<T>(&self, file: &PartitionedFile, of: fn(&mut State) -> &mut Vec<(usize, T)>) -> Option<T> {
        let mut state = self.lock();
        let under_way = of(&mut state);
        let index = under_way.iter().position(|(place, _)| {
            let known = self.order.get(*place);
            known.is_some_and(|known| {
                known.object_meta.location == file.object_meta.location && known.range == file.range
            })
        })?;
        Some(under_way.swap_remove(index).1)
    }
}
