//! A store in memory that changes what it holds at the worst moment.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use causeway_spi::source_timeout;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

/// A store that counts, replaces (or deletes) an object after a number of reads, and may ignore `If-Match`.
#[derive(Debug)]
pub(crate) struct Swapping {
    inner: Arc<InMemory>,
    replacement: Option<Vec<u8>>,
    honours_if_match: bool,
    reads_left: AtomicUsize,
    reads: AtomicUsize,
    listed: AtomicUsize,
    waits: Mutex<Vec<Duration>>,
    /// Every read takes so long.
    delay: Duration,
    under_way: Arc<AtomicUsize>,
}

/// A read that has begun and is neither answered nor given up.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Swapping {
    pub(crate) fn new(inner: Arc<InMemory>, replacement: Option<Vec<u8>>, honours_if_match: bool) -> Self {
        Self {
            inner,
            replacement,
            honours_if_match,
            reads_left: AtomicUsize::new(usize::MAX),
            reads: AtomicUsize::new(0),
            listed: AtomicUsize::new(0),
            waits: Mutex::default(),
            delay: Duration::ZERO,
            under_way: Arc::default(),
        }
    }

    /// The same, and every read takes `delay`.
    pub(crate) fn slow(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Reads that are neither answered nor given up.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// A store that only counts.
    pub(crate) fn counting(inner: Arc<InMemory>) -> Self {
        Self::new(inner, None, true)
    }

    /// The ranges read and the listings made so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (
            self.reads.load(Ordering::SeqCst),
            self.listed.load(Ordering::SeqCst),
        )
    }

    /// How long each read since the last call might have taken.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.waits.lock().unwrap())
    }

    pub(crate) fn swap_after(&self, reads: usize) {
        self.reads_left.store(reads, Ordering::SeqCst);
    }
}

impl fmt::Display for Swapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("swapping")
    }
}

#[async_trait]
impl ObjectStore for Swapping {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, mut options: GetOptions) -> object_store::Result<GetResult> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.waits.lock().unwrap().push(source_timeout());
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay(Arc::clone(&self.under_way));
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let left = self.reads_left.load(Ordering::SeqCst);
        if left == 0 {
            self.swap_after(usize::MAX);
            match &self.replacement {
                Some(bytes) => drop(self.inner.put(from, bytes.clone().into()).await?),
                None => self.inner.delete(from).await?,
            }
        } else if left < usize::MAX {
            self.swap_after(left - 1);
        }
        if !self.honours_if_match {
            options.if_match = None;
        }
        self.inner.get_opts(from, options).await
    }

    async fn get_ranges(
        &self,
        from: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.listed.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
