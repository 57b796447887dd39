//! One read: keys, from a list or a walk, in groups; each group fetched in one go and decoded into batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ReadContext, Result};
use datafusion::common::runtime::SpawnedTask;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::access::AccessPath;
use crate::decode::{Projection, RowDecoder};
use crate::definition::TableDefinition;
use crate::key::{KeyTuple, internal};
use crate::key_filter::KeyPredicate;
use crate::kv_table::{FieldValues, KeyScan, KvBackend, OrderedBackend};
use crate::seen::Seen;

/// Most keys fetched in one go.
const GROUP_KEYS_MAX: usize = 1000;
/// Keys of the first fetch, while the size of a row is unknown.
const FIRST_GROUP_KEYS: usize = 128;
/// Fetches under way at a time: one is decoded while the next is on the wire.
const FETCHES_MAX: usize = 2;
/// A walk that finds no rows on this many pages gives an empty batch, so that the reader sees it is alive.
const QUIET_PAGES_MAX: usize = 64;

/// Keys that passed the filters, with their decoded columns.
#[derive(Debug, Default)]
struct KeyGroup {
    keys: Vec<Vec<u8>>,
    tuples: Vec<KeyTuple>,
}

/// Everything one read needs, shared by its fetches.
#[derive(Debug)]
pub(crate) struct Reader<B> {
    definition: Arc<TableDefinition>,
    backend: Arc<B>,
    projection: Projection,
    predicate: KeyPredicate,
    cx: ReadContext,
    /// Bytes per row of the last fetch; 0 before the first.
    row_bytes: AtomicUsize,
}

impl<B: KvBackend> Reader<B> {
    pub(crate) fn new(
        definition: Arc<TableDefinition>,
        backend: Arc<B>,
        projection: Projection,
        predicate: KeyPredicate,
        cx: ReadContext,
    ) -> Self {
        Self {
            definition,
            backend,
            projection,
            predicate,
            cx,
            row_bytes: AtomicUsize::new(0),
        }
    }

    /// The rows that pass the filters, `limit` of them at most.
    pub(crate) fn read(self, limit: Option<usize>) -> BatchStream {
        let reader = Arc::new(self);
        let batches = match reader.predicate.access() {
            AccessPath::Points(points) => {
                let groups = Arc::clone(&reader).groups_of_points(points.clone(), limit);
                reader.fetched(groups, limit)
            }
            AccessPath::Ranges(_) | AccessPath::Full => {
                let groups = Arc::clone(&reader).groups_of_walk(limit);
                // The walk itself proves that a row is there; with nothing to fetch it is the whole read.
                if reader.is_decided_by_keys() {
                    groups.map(move |group| reader.decode(&group?, None)).boxed()
                } else {
                    reader.fetched(groups, limit)
                }
            }
        };
        let batches = batches
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten()
            .boxed();
        match limit {
            Some(limit) => limited(batches, limit),
            None => batches,
        }
    }

    /// The rows at `tuples` that pass the filters.
    pub(crate) fn lookup(self, tuples: Vec<KeyTuple>) -> BatchStream {
        let reader = Arc::new(self);
        let groups = Arc::clone(&reader).groups_of_points(tuples, None);
        let batches = reader.fetched(groups, None);
        batches
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    /// Whether a key that is there is one row, of which nothing else is asked.
    fn is_decided_by_keys(&self) -> bool {
        self.projection.fields().is_empty() && !self.definition.format().is_collection()
    }

    /// How many keys the next group takes: as many as give about one batch of bytes.
    fn group_keys(&self, limit: Option<usize>) -> usize {
        let keys = match self.row_bytes.load(Ordering::Relaxed) {
            0 => FIRST_GROUP_KEYS,
            bytes => (self.cx.batch_bytes / bytes).min(GROUP_KEYS_MAX),
        };
        keys.min(self.cx.batch_rows)
            .min(limit.unwrap_or(usize::MAX))
            .max(1)
    }

    /// Groups of listed keys, each key once. A tuple that cannot be a key is no row.
    fn groups_of_points(
        self: Arc<Self>,
        tuples: Vec<KeyTuple>,
        limit: Option<usize>,
    ) -> BoxStream<'static, Result<KeyGroup>> {
        let state = (self, tuples.into_iter(), Seen::default());
        stream::try_unfold(state, move |(reader, mut tuples, mut seen)| async move {
            loop {
                let size = reader.group_keys(limit);
                let chunk: Vec<KeyTuple> = tuples.by_ref().take(size).collect();
                if chunk.is_empty() {
                    return Ok(None);
                }
                let template = reader.definition.template();
                let rows = chunk
                    .into_iter()
                    .filter_map(|tuple| Some((template.render(&tuple)?, tuple)));
                let group = reader.passing(rows.collect(), Some(&mut seen))?;
                if !group.keys.is_empty() {
                    return Ok(Some((group, (reader, tuples, seen))));
                }
            }
        })
        .boxed()
    }

    /// Groups of the keys a walk finds, each key once.
    fn groups_of_walk(self: Arc<Self>, limit: Option<usize>) -> BoxStream<'static, Result<KeyGroup>> {
        let ordered = Arc::clone(&self.backend).ordered();
        let walk = Walk {
            // What is in order has no reason to come again.
            seen: ordered.is_none().then(Seen::default),
            pages: self.pages(ordered),
            reader: self,
            limit,
            found: KeyGroup::default(),
            found_rows: 0,
            ended: false,
        };
        stream::try_unfold(walk, |mut walk| async move {
            let group = walk.next_group().await?;
            Ok(group.map(|group| (group, walk)))
        })
        .boxed()
    }

    /// The pages of the keys among which the filters' are.
    fn pages(&self, ordered: Option<Arc<dyn OrderedBackend>>) -> KeyScan {
        match (self.predicate.access(), ordered) {
            (AccessPath::Ranges(ranges), Some(ordered)) => {
                let (ranges, definition, cx) =
                    (ranges.clone(), Arc::clone(&self.definition), self.cx.clone());
                stream::iter(ranges)
                    .flat_map(move |range| Arc::clone(&ordered).scan_range(&definition, &range, &cx))
                    .boxed()
            }
            _ => {
                let prefix = self.definition.template().prefix();
                Arc::clone(&self.backend).scan(&self.definition, prefix, &self.cx)
            }
        }
    }

    /// The rows that pass the filters and were not seen before, where that is noted.
    fn passing(&self, rows: Vec<(Vec<u8>, KeyTuple)>, mut seen: Option<&mut Seen>) -> Result<KeyGroup> {
        let (keys, tuples): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let passed = self.predicate.passes(&tuples)?;
        let mut group = KeyGroup::default();
        for ((key, tuple), passed) in keys.into_iter().zip(tuples).zip(passed) {
            if passed && seen.as_mut().is_none_or(|seen| seen.insert(&key)) {
                group.keys.push(key);
                group.tuples.push(tuple);
            }
        }
        Ok(group)
    }

    /// Fetches and decodes the groups, in order.
    fn fetched(
        self: Arc<Self>,
        groups: BoxStream<'static, Result<KeyGroup>>,
        limit: Option<usize>,
    ) -> BoxStream<'static, Result<Vec<RecordBatch>>> {
        if self.definition.format().is_collection() {
            let batches = groups.map_ok(move |group| Arc::clone(&self).elements(group));
            return batches.try_flatten().boxed();
        }
        let ahead = if limit.is_some() { 1 } else { FETCHES_MAX };
        groups
            .map(move |group| {
                let reader = Arc::clone(&self);
                // By a task of its own: some rows are decoded while others are read off the wire.
                let fetch = SpawnedTask::spawn(async move { reader.fetch(group?).await });
                async move {
                    let ended = |_| internal("a read was ended before it was done".to_owned());
                    fetch.join_unwind().await.map_err(ended)?
                }
            })
            .buffered(ahead)
            .boxed()
    }

    async fn fetch(&self, group: KeyGroup) -> Result<Vec<RecordBatch>> {
        if group.keys.is_empty() {
            return self.decode(&group, None);
        }
        let table = self.definition.name();
        let values = self
            .backend
            .fetch(&self.definition, &group.keys, self.projection.fields(), &self.cx)
            .await?;
        if values.len() != group.keys.len() {
            return Err(internal(format!(
                "{} rows of table {table} were answered for {} keys",
                values.len(),
                group.keys.len()
            )));
        }
        self.decode(&group, Some(&values))
    }

    /// Reads and decodes the elements of a group of collections, page by page.
    fn elements(self: Arc<Self>, group: KeyGroup) -> BoxStream<'static, Result<Vec<RecordBatch>>> {
        if group.keys.is_empty() {
            return stream::iter([self.decode(&group, None)]).boxed();
        }
        let KeyGroup { keys, tuples } = group;
        let keys = Arc::new(keys);
        let backend = Arc::clone(&self.backend);
        let fields = self.projection.fields();
        let pages = backend.elements(&self.definition, Arc::clone(&keys), fields, &self.cx);
        pages
            .map(move |page| {
                let page = page?;
                let rows = page.iter().filter_map(|(position, fields)| {
                    Some((keys.get(*position)?.as_slice(), tuples.get(*position)?, fields))
                });
                self.decode_rows(page.len(), rows).map(|(batches, _)| batches)
            })
            .boxed()
    }

    /// Decodes a group into batches of bounded rows and bytes. Without `values`, each key is a row without fields.
    fn decode(&self, group: &KeyGroup, values: Option<&[Option<FieldValues>]>) -> Result<Vec<RecordBatch>> {
        let no_fields = FieldValues::new();
        let rows = group.keys.iter().zip(&group.tuples).enumerate();
        let rows = rows.filter_map(|(row, (key, tuple))| {
            let fields = match values {
                None => &no_fields,
                Some(values) => values[row].as_ref()?,
            };
            Some((key.as_slice(), tuple, fields))
        });
        let (batches, row_bytes) = self.decode_rows(group.keys.len(), rows)?;
        if let Some(row_bytes) = row_bytes {
            self.row_bytes.store(row_bytes.max(1), Ordering::Relaxed);
        }
        Ok(batches)
    }

    /// At least one batch of `rows`, and the bytes of a row.
    fn decode_rows<'a>(
        &self,
        rows_max: usize,
        rows: impl Iterator<Item = (&'a [u8], &'a KeyTuple, &'a FieldValues)>,
    ) -> Result<(Vec<RecordBatch>, Option<usize>)> {
        let capacity = rows_max.min(self.cx.batch_rows);
        let mut decoder = RowDecoder::new(self.definition.name(), &self.projection, capacity);
        let mut batches = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for (key, tuple, fields) in rows {
            decoder.push(key, tuple, fields)?;
            count += 1;
            if decoder.rows() >= self.cx.batch_rows || decoder.bytes() >= self.cx.batch_bytes {
                bytes += decoder.bytes();
                batches.push(decoder.finish()?);
            }
        }
        bytes += decoder.bytes();
        if decoder.rows() > 0 || batches.is_empty() {
            batches.push(decoder.finish()?);
        }
        Ok((batches, bytes.checked_div(count)))
    }
}

/// A walk over the keyspace under way.
struct Walk<B> {
    reader: Arc<Reader<B>>,
    pages: KeyScan,
    limit: Option<usize>,
    /// Found, but not yet given out.
    found: KeyGroup,
    found_rows: usize,
    /// A walk without order may come by a key again: a row must not.
    seen: Option<Seen>,
    ended: bool,
}

impl<B: KvBackend> Walk<B> {
    async fn next_group(&mut self) -> Result<Option<KeyGroup>> {
        let mut quiet_pages = 0;
        let size = self.group_keys();
        while self.found.keys.len() < size && !self.ended && quiet_pages < QUIET_PAGES_MAX {
            match self.pages.try_next().await? {
                Some(page) => self.take_page(page)?,
                None => self.ended = true,
            }
            quiet_pages += 1;
        }
        if self.ended && self.found.keys.is_empty() {
            return Ok(None);
        }
        let taken = size.min(self.found.keys.len());
        let keys = self.found.keys.split_off(self.found.keys.len() - taken);
        let tuples = self.found.tuples.split_off(self.found.tuples.len() - taken);
        Ok(Some(KeyGroup { keys, tuples }))
    }

    fn group_keys(&self) -> usize {
        if self.reader.is_decided_by_keys() {
            return self
                .reader
                .cx
                .batch_rows
                .min(self.limit.unwrap_or(usize::MAX))
                .max(1);
        }
        self.reader.group_keys(self.limit)
    }

    fn take_page(&mut self, page: Vec<Vec<u8>>) -> Result<()> {
        let reader = &self.reader;
        let template = reader.definition.template();
        let rows = page.into_iter().filter_map(|key| {
            let tuple = template.parse_key(&key)?;
            Some((key, tuple))
        });
        let mut group = reader.passing(rows.collect(), self.seen.as_mut())?;
        self.found_rows += group.keys.len();
        self.found.keys.append(&mut group.keys);
        self.found.tuples.append(&mut group.tuples);
        let rows_max = reader.backend.scan_keys_max();
        if self.found_rows > rows_max {
            return Err(ConnectorError::new(
                ErrorKind::LimitExceeded,
                format!(
                    "table {} has more than {rows_max} keys to walk",
                    reader.definition.name()
                ),
            )
            .hint("Give the key columns by = or IN, or raise scan_keys_max."));
        }
        Ok(())
    }
}

/// Ends `batches` after `limit` rows, dropping what they come from at once.
fn limited(batches: BatchStream, limit: usize) -> BatchStream {
    stream::try_unfold((Some(batches), limit), |(batches, left)| async move {
        let Some(mut batches) = batches.filter(|_| left > 0) else {
            return Ok(None);
        };
        let Some(batch) = batches.try_next().await? else {
            return Ok(None);
        };
        let taken = batch.num_rows().min(left);
        let rest = (taken < left).then_some(batches);
        Ok(Some((batch.slice(0, taken), (rest, left - taken))))
    })
    .boxed()
}
