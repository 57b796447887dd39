//! Files that change while they are read, that were cut, that are no Parquet: an error that names them, never rows.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use causeway_spi::ErrorKind;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::fixture::{Lake, ours, parquet, row_filters, rows};

fn numbered(first: i64) -> RecordBatch {
    let ids: Vec<i64> = (first..first + 1000).collect();
    let names: Vec<String> = ids.iter().map(|id| format!("name {id} of many")).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    let names: ArrayRef = Arc::new(StringArray::from(names));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

fn file(first: i64) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(250))
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    parquet(&numbered(first), properties)
}

#[tokio::test]
async fn a_file_replaced_between_two_ranges_is_an_error() {
    for honours_if_match in [true, false] {
        let inner = Arc::new(InMemory::new());
        let swapping = Arc::new(Swapping::new(inner, Some(file(5000)), honours_if_match));
        let lake = Lake::over(Arc::clone(&swapping) as _, Duration::from_secs(60));
        lake.put("t/0.parquet", file(0)).await;
        let session = lake.session(&["t"]).await;
        swapping.swap_after(1);
        let error = rows(&session, "SELECT id, name FROM t").await.unwrap_err();
        assert_eq!(ours(&error).kind(), ErrorKind::Changed);
        assert_eq!(
            ours(&error).message(),
            "file t/0.parquet changed while it was read"
        );
        let again = lake.session(&["t"]).await;
        let found = rows(&again, "SELECT min(id), max(id), count(name) FROM t")
            .await
            .unwrap();
        assert_eq!(found, ["5000|5999|1000"], "the next query reads the new file");
    }
}

#[tokio::test]
async fn a_file_deleted_after_it_was_listed_is_an_error() {
    let inner = Arc::new(InMemory::new());
    let swapping = Arc::new(Swapping::new(inner, None, true));
    let lake = Lake::over(Arc::clone(&swapping) as _, Duration::from_secs(60));
    lake.put("t/0.parquet", file(0)).await;
    let session = lake.session(&["t"]).await;
    swapping.swap_after(0);
    let error = rows(&session, "SELECT id FROM t").await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn cut_files_and_garbage_name_the_file() {
    let whole = file(0);
    let mut no_magic = whole.clone();
    let end = no_magic.len();
    no_magic[end - 4..].copy_from_slice(b"XXXX");
    let mut huge_footer = whole.clone();
    huge_footer[end - 8..end - 4].copy_from_slice(&[255, 255, 255, 127]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("short", b"PAR1PAR1".to_vec()),
        ("cut at the end", whole[..end - 100].to_vec()),
        ("cut in half", whole[..end / 2].to_vec()),
        ("no magic", no_magic),
        ("huge footer", huge_footer),
        ("text", b"id,name\n1,a\n".repeat(100)),
        ("middle missing", [&whole[..1000], &whole[end / 2..]].concat()),
    ];
    for (what, bytes) in cases {
        let lake = Lake::new();
        lake.put("t/0.parquet", file(0)).await;
        lake.put("t/broken.parquet", bytes).await;
        let error = lake.table("t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{what}: {error:?}");
        assert_eq!(
            error.message(),
            "file t/broken.parquet is not a readable Parquet file",
            "{what}"
        );
        assert!(
            error.detail_text().is_some_and(|text| text.ends_with('.')),
            "{what}"
        );
    }
}

// Valid footers over damaged pages: whatever the damage does, it is an error that names the file or the right rows.
#[tokio::test]
async fn damaged_pages_are_errors_never_panics() {
    let whole = file(0);
    let mut failed = 0;
    for place in (4..whole.len() * 3 / 4).step_by(997) {
        for damage in [0x00, 0xFF, 0x5A] {
            let mut bytes = whole.clone();
            for byte in &mut bytes[place..place + 24] {
                *byte ^= damage;
            }
            let lake = Lake::new();
            lake.put("t/0.parquet", bytes).await;
            for config in [row_filters(), Default::default()] {
                let session = lake.session_with(&["t"], config).await;
                let sql = "SELECT id, name FROM t WHERE name > 'name 2' AND id % 2 = 0";
                if let Err(error) = rows(&session, sql).await {
                    failed += 1;
                    assert_eq!(ours(&error).kind(), ErrorKind::InvalidData, "{error:?}");
                    assert_eq!(
                        ours(&error).message(),
                        "file t/0.parquet is not a readable Parquet file"
                    );
                }
            }
        }
    }
    assert!(failed > 0, "no damage was noticed");
}

// An error of the query's own expression is not blamed on the file.
#[tokio::test]
async fn an_expression_that_fails_in_the_decoder_keeps_its_own_error() {
    let lake = Lake::new();
    lake.put("t/0.parquet", file(0)).await;
    for config in [row_filters(), Default::default()] {
        let session = lake.session_with(&["t"], config).await;
        let error = rows(&session, "SELECT id FROM t WHERE 10 / (id - id) > 1")
            .await
            .unwrap_err();
        assert!(
            error.to_string().to_lowercase().contains("divide by zero"),
            "{error}"
        );
        assert!(
            !error.to_string().contains("not a readable Parquet file"),
            "{error}"
        );
    }
}

/// A store that replaces (or deletes) an object after a number of reads, and may ignore `If-Match`.
#[derive(Debug)]
struct Swapping {
    inner: Arc<InMemory>,
    replacement: Option<Vec<u8>>,
    honours_if_match: bool,
    reads_left: AtomicUsize,
}

impl Swapping {
    fn new(inner: Arc<InMemory>, replacement: Option<Vec<u8>>, honours_if_match: bool) -> Self {
        Self {
            inner,
            replacement,
            honours_if_match,
            reads_left: AtomicUsize::new(usize::MAX),
        }
    }

    fn swap_after(&self, reads: usize) {
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
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
