//! One catalog's store with everything that is cached about it, for all sessions: listings, footers, ranges.
//!
//! Every range is read from the version of the file that was listed, or the read fails: the ETag is sent with the
//! request *and* compared with the answer's, since not every store honours `If-Match`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_spi::{ConnectorError, ErrorKind, ReadMetrics, Result, counting_tries};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};

use crate::cache::BoundedCache;
use crate::error::{changed, invalid_file, store_error};
use crate::footer::{self, Footer};
use crate::layout::TablePlace;
use crate::links::refuse_links_out;
use crate::listing::{self, Listing};
use crate::ranges::RangeCache;

/// Bytes of decoded footers kept per catalog.
const FOOTER_CACHE_BYTES_MAX: usize = 128 << 20;
/// Bytes of listings kept per catalog.
const LISTING_CACHE_BYTES_MAX: usize = 64 << 20;
/// Ranges of a text file under way at once.
const RANGES_AHEAD: usize = 2;
/// Two ranges of a file with at most this many bytes between them are read by one request.
const COALESCE_BYTES: u64 = 512 << 10;
/// Two ranges that are larger together are read by two: a store sends several beside each other faster than one.
const REQUEST_BYTES_MAX: u64 = 8 << 20;
/// Requests for the ranges of one call that are under way at once.
const REQUESTS_AT_ONCE: usize = 10;

/// The store of one catalog, rooted at the catalog's prefix, and its caches.
#[derive(Debug)]
pub(crate) struct FileStore {
    catalog: String,
    store: Arc<dyn ObjectStore>,
    listing_ttl: Duration,
    /// The local folder that the store is, if it is one.
    local_root: Option<PathBuf>,
    listings: BoundedCache<TablePlace, (Instant, Arc<Listing>)>,
    footers: BoundedCache<FileVersion, Arc<Footer>>,
    ranges: RangeCache,
    asking: Asking,
}

/// The versions of files that the store is being asked for.
#[derive(Debug, Default)]
struct Asking(Mutex<HashMap<FileVersion, Weak<tokio::sync::Mutex<()>>>>);

impl Asking {
    /// What is held by whoever asks for `version`.
    fn of(&self, version: &FileVersion) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asking.get(version).and_then(Weak::upgrade) {
            return known;
        }
        asking.retain(|_, asking| asking.strong_count() > 0);
        let new = Arc::default();
        asking.insert(version.clone(), Arc::downgrade(&new));
        new
    }
}

/// The identity of one version of one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileVersion {
    location: Path,
    etag: Option<String>,
    size: u64,
    modified_ms: i64,
}

impl FileVersion {
    fn of(file: &ObjectMeta) -> Self {
        Self {
            location: file.location.clone(),
            etag: file.e_tag.clone(),
            size: file.size,
            modified_ms: file.last_modified.timestamp_millis(),
        }
    }

    /// Whether every other version of the file has another identity.
    pub(crate) fn is_told_apart(&self) -> bool {
        self.etag.is_some()
    }

    #[cfg(test)]
    pub(crate) fn for_test(location: &str, etag: Option<&str>) -> Self {
        Self {
            location: Path::from(location),
            etag: etag.map(str::to_owned),
            size: 1 << 20,
            modified_ms: 0,
        }
    }
}

impl FileStore {
    /// Wraps `store`, whose root is the catalog's root; at most `ranges_bytes` of what is read are kept.
    pub(crate) fn new(
        catalog: &str,
        store: Arc<dyn ObjectStore>,
        listing_ttl: Duration,
        local_root: Option<PathBuf>,
        ranges_bytes: usize,
    ) -> Self {
        Self {
            catalog: catalog.to_owned(),
            store,
            listing_ttl,
            local_root,
            listings: BoundedCache::new(LISTING_CACHE_BYTES_MAX),
            footers: BoundedCache::new(FOOTER_CACHE_BYTES_MAX),
            ranges: RangeCache::new(ranges_bytes),
            asking: Asking::default(),
        }
    }

    /// The catalog's name.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// The store itself, for listings and for DataFusion's registry.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// How long a listing is believed.
    pub(crate) fn listing_ttl(&self) -> Duration {
        self.listing_ttl
    }

    /// The local folder that the store is, if it is one.
    pub(crate) fn local_root(&self) -> Option<&PathBuf> {
        self.local_root.as_ref()
    }

    /// The data files of a table, at most as old as the time to live.
    ///
    /// The same `Arc` comes back as long as nothing changed, so that what was derived from it can be kept.
    pub(crate) async fn listing(&self, place: &TablePlace) -> Result<Arc<Listing>> {
        let known = self.listings.get(place);
        if let Some((listed, listing)) = &known
            && listed.elapsed() < self.listing_ttl
        {
            return Ok(Arc::clone(listing));
        }
        let fresh = Arc::new(listing::list(self, place).await?);
        if let Some(root) = &self.local_root {
            refuse_links_out(&self.catalog, root, &fresh).await?;
        }
        let listing = match known {
            Some((_, old)) if *old == *fresh => old,
            _ => fresh,
        };
        let entry = (Instant::now(), Arc::clone(&listing));
        self.listings.insert(place.clone(), entry, listing.memory_bytes());
        Ok(listing)
    }

    /// Remembers that `place`, a folder without folders, had `objects` at `listed`; nothing that the table's own listing would
    /// not take.
    pub(crate) fn remember(&self, place: TablePlace, objects: Vec<ObjectMeta>, listed: Instant) {
        // Links are looked at with the table.
        if self.local_root.is_some() {
            return;
        }
        if let Ok(fresh) = Listing::of_objects(self, &place, objects) {
            let listing = match self.listings.get(&place) {
                Some((_, old)) if *old == fresh => old,
                _ => Arc::new(fresh),
            };
            let bytes = listing.memory_bytes();
            self.listings.insert(place, (listed, listing), bytes);
        }
    }

    /// The footer of `file`, from the cache or read now.
    pub(crate) async fn footer(
        &self,
        file: &ObjectMeta,
        metrics: Option<&ReadMetrics>,
    ) -> Result<Arc<Footer>> {
        if let Some(footer) = self.cached_footer(file) {
            return Ok(footer);
        }
        let footer = Arc::new(footer::load(self, file, metrics).await?);
        self.footers
            .insert(FileVersion::of(file), Arc::clone(&footer), footer.memory_bytes());
        Ok(footer)
    }

    /// The footer of `file` if it is cached.
    pub(crate) fn cached_footer(&self, file: &ObjectMeta) -> Option<Arc<Footer>> {
        self.footers.get(&FileVersion::of(file))
    }

    /// One range of the listed version of `file`, which the store has had at `since` or later: kept from before, or read now.
    ///
    /// Errors: `Changed` when the file is another one now, `InvalidData` when it ends before the range does.
    pub(crate) async fn range(
        &self,
        file: &ObjectMeta,
        range: Range<u64>,
        since: Instant,
        metrics: Option<&ReadMetrics>,
    ) -> Result<Bytes> {
        match self.kept(file, &range, metrics) {
            Some(bytes) => {
                if !bytes.is_empty() {
                    self.make_sure(file, since, metrics).await?;
                }
                Ok(bytes)
            }
            None => self.fetch(file, range, metrics).await,
        }
    }

    /// Several ranges: of those that are not kept close ones are read by one request, a few requests at a time.
    pub(crate) async fn ranges(
        &self,
        file: &ObjectMeta,
        ranges: &[Range<u64>],
        since: Instant,
        metrics: Option<&ReadMetrics>,
    ) -> Result<Vec<Bytes>> {
        let mut found: Vec<Option<Bytes>> = ranges
            .iter()
            .map(|range| self.kept(file, range, metrics))
            .collect();
        let missing = ranges.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<Range<u64>> = missing.map(|(range, _)| range.clone()).collect();
        let fetched = self.fetch_all(file, &missing, metrics).await?;
        let places = found.iter_mut().filter(|found| found.is_none());
        for (place, bytes) in places.zip(fetched) {
            *place = Some(bytes);
        }
        if missing.is_empty() && ranges.iter().any(|range| !range.is_empty()) {
            self.make_sure(file, since, metrics).await?;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Ranges that are not kept, in their order.
    async fn fetch_all(
        &self,
        file: &ObjectMeta,
        ranges: &[Range<u64>],
        metrics: Option<&ReadMetrics>,
    ) -> Result<Vec<Bytes>> {
        let requests = coalesced(ranges);
        let fetched: Vec<Bytes> = stream::iter(requests.clone())
            .map(|request| self.fetch(file, request, metrics))
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        let part = |range: &Range<u64>| {
            let holds = |request: &Range<u64>| request.start <= range.start && range.end <= request.end;
            let index = requests.iter().position(holds)?;
            let from = usize::try_from(range.start - requests[index].start).ok()?;
            let length = usize::try_from(range.end - range.start).ok()?;
            Some(fetched[index].slice(from..from + length))
        };
        Ok(ranges.iter().filter_map(part).collect())
    }

    /// A range that is kept; an empty one always is.
    fn kept(&self, file: &ObjectMeta, range: &Range<u64>, metrics: Option<&ReadMetrics>) -> Option<Bytes> {
        if range.is_empty() {
            return Some(Bytes::new());
        }
        let bytes = self.ranges.get(&FileVersion::of(file), range)?;
        if let Some(hits) = metrics.and_then(|metrics| metrics.cache_hits.as_ref()) {
            hits.add(1);
        }
        Some(bytes)
    }

    /// Whether ranges of `file` are kept.
    pub(crate) fn keeps(&self, file: &ObjectMeta) -> bool {
        self.ranges.keeps(&FileVersion::of(file))
    }

    /// Asks the store whether it still has the version of `file` that ranges are kept of, unless it was seen to since.
    pub(crate) async fn make_sure(
        &self,
        file: &ObjectMeta,
        since: Instant,
        metrics: Option<&ReadMetrics>,
    ) -> Result<()> {
        let version = FileVersion::of(file);
        if self.ranges.is_seen(&version, since) {
            return Ok(());
        }
        // Who asks meanwhile wants the same answer.
        let asking = self.asking.of(&version);
        let _asking = asking.lock().await;
        if self.ranges.is_seen(&version, since) {
            return Ok(());
        }
        if let Some(metrics) = metrics {
            metrics.requests.add(1);
        }
        let asked = Instant::now();
        let options = GetOptions {
            head: true,
            if_match: file.e_tag.clone().filter(|etag| is_strong(etag)),
            ..GetOptions::default()
        };
        let request = async {
            let answer = self
                .store
                .get_opts(&file.location, options)
                .await
                .map_err(|error| self.read_error(&file.location, error))?;
            match is_listed_version(file, &answer) {
                true => Ok(()),
                false => Err(changed(&file.location)),
            }
        };
        let seen = match metrics {
            Some(metrics) => counting_tries(metrics, request).await,
            None => request.await,
        };
        match &seen {
            Ok(()) => self.ranges.saw(&version, asked),
            Err(error) if error.kind() == ErrorKind::Changed => self.forget(&file.location),
            Err(_) => {}
        }
        seen
    }

    async fn fetch(
        &self,
        file: &ObjectMeta,
        range: Range<u64>,
        metrics: Option<&ReadMetrics>,
    ) -> Result<Bytes> {
        if range.end > file.size {
            let detail = format!(
                "It points to byte {}, but has only {} bytes.",
                range.end, file.size
            );
            return Err(invalid_file(&file.location, detail));
        }
        if let Some(metrics) = metrics {
            // Before it is sent: one that is dropped in the middle has reached the store.
            metrics.requests.add(1);
        }
        let (start, asked) = (range.start, Instant::now());
        let request = self.request(file, range);
        let bytes = match metrics {
            Some(metrics) => counting_tries(metrics, request).await,
            None => request.await,
        };
        if let Some(metrics) = metrics {
            metrics.bytes.add(bytes.as_ref().map_or(0, Bytes::len));
        }
        match &bytes {
            Ok(bytes) => self.ranges.insert(&FileVersion::of(file), start, bytes, asked),
            Err(error) if error.kind() == ErrorKind::Changed => self.forget(&file.location),
            Err(_) => {}
        }
        bytes
    }

    async fn request(&self, file: &ObjectMeta, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: file.e_tag.clone().filter(|etag| is_strong(etag)),
            ..GetOptions::default()
        };
        let answer = self
            .store
            .get_opts(&file.location, options)
            .await
            .map_err(|error| self.read_error(&file.location, error))?;
        if !is_listed_version(file, &answer) {
            return Err(changed(&file.location));
        }
        let length = range.end - range.start;
        let answered = answer.range.clone();
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| self.read_error(&file.location, error))?;
        if answered != range || u64::try_from(bytes.len()).ok() != Some(length) {
            let detail = format!("The store sent {} of {length} bytes asked for.", bytes.len());
            return Err(invalid_file(&file.location, detail));
        }
        Ok(bytes)
    }

    fn read_error(&self, location: &Path, error: object_store::Error) -> ConnectorError {
        match error {
            object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. } => {
                changed(location).source(error)
            }
            other => store_error(
                format!("could not read file {location} of catalog {}", self.catalog),
                other,
            ),
        }
    }

    /// The bytes of the listed version of `file`, as they are stored, in chunks of at most `chunk_bytes`.
    ///
    /// Errors: as of [`FileStore::range`], for each chunk.
    pub(crate) fn stored(
        self: &Arc<Self>,
        file: ObjectMeta,
        chunk_bytes: usize,
        metrics: Option<ReadMetrics>,
    ) -> BoxStream<'static, Result<Bytes>> {
        let (files, since) = (Arc::clone(self), Instant::now());
        let starts = (0..file.size).step_by(chunk_bytes.max(1));
        let chunk_bytes = u64::try_from(chunk_bytes.max(1)).unwrap_or(u64::MAX);
        stream::iter(starts)
            .map(move |start| {
                let (files, file, metrics) = (Arc::clone(&files), file.clone(), metrics.clone());
                let range = start..file.size.min(start.saturating_add(chunk_bytes));
                async move { files.range(&file, range, since, metrics.as_ref()).await }
            })
            .buffered(RANGES_AHEAD)
            .boxed()
    }

    /// Forgets the listings that hold `location`, so that the next query sees what is there now.
    fn forget(&self, location: &Path) {
        self.listings
            .retain(|place| !location.prefix_matches(place.root.path()));
        self.ranges.retain(|file| file.location != *location);
    }

    /// Forgets what is remembered of the files of `place`, or of all files.
    pub(crate) fn refresh(&self, place: Option<&TablePlace>) {
        let Some(place) = place else {
            self.listings.retain(|_| false);
            self.footers.retain(|_| false);
            self.ranges.retain(|_| false);
            return;
        };
        self.listings.retain(|known| known != place);
        let is_elsewhere = |file: &FileVersion| !file.location.prefix_matches(place.root.path());
        self.footers.retain(is_elsewhere);
        self.ranges.retain(is_elsewhere);
    }
}

/// The ranges that hold all of `ranges`, in the order of their beginnings: close ones are one, unless that grows too large.
fn coalesced(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut requests: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match requests.last_mut() {
            Some(last) if range.end <= last.end => {}
            Some(last)
                if range.start <= last.end.saturating_add(COALESCE_BYTES)
                    && range.end - last.start <= REQUEST_BYTES_MAX =>
            {
                last.end = range.end;
            }
            _ => requests.push(range),
        }
    }
    requests
}

/// Whether an ETag may stand in `If-Match`: a weak one never matches there.
fn is_strong(etag: &str) -> bool {
    !etag.starts_with("W/")
}

/// Whether the answer comes from the version that was listed. Without ETags, from the same size and second.
fn is_listed_version(listed: &ObjectMeta, answer: &GetResult) -> bool {
    if listed.size != answer.meta.size {
        return false;
    }
    match (&listed.e_tag, &answer.meta.e_tag) {
        (Some(listed), Some(answered)) => listed == answered,
        // Listings tell the time in milliseconds, HTTP headers in seconds.
        _ => listed.last_modified.timestamp() == answer.meta.last_modified.timestamp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_ranges_are_one_request_and_large_ones_are_not() {
        const MIB: u64 = 1 << 20;
        type Places<'a> = &'a [(u64, u64)];
        let cases: [(Places<'_>, Places<'_>); 7] = [
            (&[], &[]),
            (&[(5, 9), (0, 4)], &[(0, 9)]),
            (&[(0, 4), (0, 4), (2, 3)], &[(0, 4)]),
            (&[(0, 4), (4 + MIB / 2, 9 + MIB / 2)], &[(0, 9 + MIB / 2)]),
            (
                &[(0, 4), (5 + MIB / 2, 9 + MIB / 2)],
                &[(0, 4), (5 + MIB / 2, 9 + MIB / 2)],
            ),
            (
                &[
                    (0, 5 * MIB),
                    (5 * MIB, 7 * MIB),
                    (7 * MIB, 9 * MIB),
                    (9 * MIB, 30 * MIB),
                ],
                &[(0, 7 * MIB), (7 * MIB, 9 * MIB), (9 * MIB, 30 * MIB)],
            ),
            // One in the other, and one beyond it.
            (
                &[(0, 20 * MIB), (1, 2), (3, 21 * MIB)],
                &[(0, 20 * MIB), (3, 21 * MIB)],
            ),
        ];
        let all =
            |pairs: &[(u64, u64)]| -> Vec<Range<u64>> { pairs.iter().map(|&(from, to)| from..to).collect() };
        for (ranges, requests) in cases {
            let (ranges, requests) = (all(ranges), all(requests));
            assert_eq!(coalesced(&ranges), requests, "{ranges:?}");
            for range in &ranges {
                assert!(
                    requests
                        .iter()
                        .any(|held| held.start <= range.start && range.end <= held.end)
                );
            }
        }
    }
}
