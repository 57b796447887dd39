//! Ranges of files that have been read before, bounded in bytes.
//!
//! A range is kept as it was read, by the version of its file, and answers every range that it holds: nothing is read that
//! nobody has asked for, as it would be with blocks of one size. What was used longest ago goes first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::files::FileVersion;

/// What a kept range costs beside its bytes.
const ENTRY_BYTES: usize = 256;
/// A range larger than this share of the whole is not kept: one scan would drive out everything else.
const SHARE_MAX: usize = 8;

/// The ranges of the files of one catalog.
#[derive(Debug)]
pub(crate) struct RangeCache {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// By version of a file and place of the first byte. None of a file's ranges holds another of them, so that their ends are
    /// in the order of their beginnings.
    files: HashMap<FileVersion, Ranges>,
    /// Where they are, by the moment of their last use.
    by_use: BTreeMap<u64, (FileVersion, u64)>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Ranges {
    by_start: BTreeMap<u64, Entry>,
    /// When the store was last asked and had this version.
    seen: Instant,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    used: u64,
}

impl RangeCache {
    /// An empty cache of at most `bytes_max` bytes; 0 keeps nothing.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            kept: Mutex::default(),
            bytes_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of `range` of `file`, if they are kept.
    pub(crate) fn get(&self, file: &FileVersion, range: &Range<u64>) -> Option<Bytes> {
        if self.bytes_max == 0 {
            return None;
        }
        let mut guard = self.lock();
        let kept = &mut *guard;
        let (start, entry) = kept
            .files
            .get_mut(file)?
            .by_start
            .range_mut(..=range.start)
            .next_back()?;
        let from = usize::try_from(range.start - start).ok()?;
        let to = usize::try_from(range.end - start).ok()?;
        if to > entry.bytes.len() {
            return None;
        }
        kept.clock += 1;
        if let Some(place) = kept.by_use.remove(&entry.used) {
            kept.by_use.insert(kept.clock, place);
        }
        entry.used = kept.clock;
        Some(entry.bytes.slice(from..to))
    }

    /// Keeps `bytes`, which begin at `start` of `file` and were asked for at `asked`, and drops what was used longest ago
    /// beyond the limit.
    pub(crate) fn insert(&self, file: &FileVersion, start: u64, bytes: &Bytes, asked: Instant) {
        self.saw(file, asked);
        let size = bytes.len() + ENTRY_BYTES;
        let end = start + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > self.bytes_max / SHARE_MAX
            || !file.is_told_apart()
            || self.get(file, &(start..end)).is_some()
        {
            return;
        }
        let mut guard = self.lock();
        let kept = &mut *guard;
        kept.drop_within(file, &(start..end));
        kept.clock += 1;
        let used = kept.clock;
        let entry = Entry {
            bytes: bytes.clone(),
            used,
        };
        let ranges = kept.files.entry(file.clone()).or_insert_with(|| Ranges {
            by_start: BTreeMap::new(),
            seen: asked,
        });
        ranges.by_start.insert(start, entry);
        kept.by_use.insert(used, (file.clone(), start));
        kept.bytes += size;
        while kept.bytes > self.bytes_max {
            let Some((_, (file, start))) = kept.by_use.pop_first() else {
                break;
            };
            kept.remove(&file, start);
        }
    }

    /// The store, asked at `asked`, has this version of the file.
    pub(crate) fn saw(&self, file: &FileVersion, asked: Instant) {
        if let Some(ranges) = self.lock().files.get_mut(file) {
            ranges.seen = ranges.seen.max(asked);
        }
    }

    /// Whether anything of `file` is kept.
    pub(crate) fn keeps(&self, file: &FileVersion) -> bool {
        self.lock().files.contains_key(file)
    }

    /// Whether the store was seen to have this version at `since` or later.
    pub(crate) fn is_seen(&self, file: &FileVersion, since: Instant) -> bool {
        self.lock()
            .files
            .get(file)
            .is_some_and(|ranges| ranges.seen >= since)
    }

    /// Forgets the ranges of every file for which `keep` is false.
    pub(crate) fn retain(&self, keep: impl Fn(&FileVersion) -> bool) {
        let mut kept = self.lock();
        let gone: Vec<FileVersion> = kept.files.keys().filter(|file| !keep(file)).cloned().collect();
        for file in gone {
            kept.drop_within(&file, &(0..u64::MAX));
        }
    }
}

impl Kept {
    /// Forgets the ranges of `file` that `range` holds.
    fn drop_within(&mut self, file: &FileVersion, range: &Range<u64>) {
        let Some(ranges) = self.files.get(file) else {
            return;
        };
        let held = ranges
            .by_start
            .range(range.start..range.end)
            .take_while(|(start, entry)| {
                let end = u64::try_from(entry.bytes.len()).map_or(u64::MAX, |length| *start + length);
                end <= range.end
            });
        let held: Vec<u64> = held.map(|(start, _)| *start).collect();
        for start in held {
            self.remove(file, start);
        }
    }

    fn remove(&mut self, file: &FileVersion, start: u64) {
        let Some(ranges) = self.files.get_mut(file) else {
            return;
        };
        if let Some(entry) = ranges.by_start.remove(&start) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes.len() + ENTRY_BYTES;
        }
        if ranges.by_start.is_empty() {
            self.files.remove(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(etag: Option<&str>) -> FileVersion {
        FileVersion::for_test("t/a.parquet", etag)
    }

    fn text(length: usize) -> Bytes {
        (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn a_kept_range_answers_what_it_holds() {
        let now = Instant::now();
        let cache = RangeCache::new(1 << 20);
        let (a, b) = (file(Some("a")), file(Some("b")));
        let all = text(1000);
        cache.insert(&a, 100, &all.slice(100..300), now);
        cache.insert(&a, 500, &all.slice(500..600), now);
        assert_eq!(cache.get(&a, &(100..300)), Some(all.slice(100..300)));
        assert_eq!(cache.get(&a, &(150..151)), Some(all.slice(150..151)));
        assert_eq!(cache.get(&a, &(599..600)), Some(all.slice(599..600)));
        for missing in [99..101, 299..301, 300..301, 400..450, 0..1000, 600..601] {
            assert_eq!(cache.get(&a, &missing), None, "{missing:?}");
        }
        assert_eq!(cache.get(&b, &(100..300)), None, "another version of the file");
        // One that holds others takes their place.
        cache.insert(&a, 50, &all.slice(50..700), now);
        assert_eq!(cache.get(&a, &(299..501)), Some(all.slice(299..501)));
        assert_eq!(cache.lock().bytes, 650 + ENTRY_BYTES);
        assert_eq!(cache.lock().by_use.len(), 1);
        // One that is held is not kept twice; one that only overlaps is.
        cache.insert(&a, 60, &all.slice(60..70), now);
        cache.insert(&a, 600, &all.slice(600..800), now);
        assert_eq!(cache.lock().by_use.len(), 2);
        assert_eq!(cache.get(&a, &(650..750)), Some(all.slice(650..750)));
        let later = now + std::time::Duration::from_secs(1);
        assert!(cache.is_seen(&a, now) && !cache.is_seen(&a, later) && !cache.is_seen(&b, now));
        cache.saw(&a, later);
        assert!(cache.is_seen(&a, later));
        cache.retain(|version| *version != a);
        assert_eq!(cache.get(&a, &(100..101)), None);
        assert_eq!(cache.lock().bytes, 0);
        assert!(cache.lock().by_use.is_empty());
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_bound_holds() {
        let now = Instant::now();
        let bytes_max = 16 * (1000 + ENTRY_BYTES);
        let cache = RangeCache::new(bytes_max);
        let (file, piece) = (file(Some("a")), text(1000));
        for number in 0..16 {
            cache.insert(&file, number * 2000, &piece, now);
        }
        assert!(cache.get(&file, &(0..10)).is_some());
        cache.insert(&file, 16 * 2000, &piece, now);
        assert!(cache.get(&file, &(0..10)).is_some(), "used a moment ago");
        assert!(cache.get(&file, &(2000..2010)).is_none(), "used longest ago");
        for number in 0..10_000 {
            cache.insert(&file, number * 700, &piece, now);
            assert!(cache.lock().bytes <= bytes_max);
        }
        let kept = cache.lock();
        let entries: usize = kept.files.values().map(|ranges| ranges.by_start.len()).sum();
        assert_eq!(entries, kept.by_use.len());
        assert_eq!(kept.bytes, entries * (1000 + ENTRY_BYTES));
    }

    #[test]
    fn too_large_ranges_and_files_without_etags_are_not_kept() {
        let now = Instant::now();
        let cache = RangeCache::new(80_000);
        cache.insert(&file(Some("a")), 0, &text(10_000), now);
        assert!(cache.get(&file(Some("a")), &(0..1)).is_none());
        cache.insert(&file(None), 0, &text(100), now);
        assert!(cache.get(&file(None), &(0..1)).is_none());
        let nothing = RangeCache::new(0);
        nothing.insert(&file(Some("a")), 0, &text(1), now);
        assert!(nothing.get(&file(Some("a")), &(0..1)).is_none());
    }
}
