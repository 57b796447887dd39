//! One table: its columns and statistics as they were when it was loaded, and its files as they are now.

use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Pushdown, ReadContext, Result, Scan, Split, Table,
    TableName, TableStatistics, Verdict, check_canonical,
};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use crate::files::FileStore;
use crate::footer::Footer;
use crate::layout::TableRoot;
use crate::listing::Listing;
use crate::provider::FilesProvider;
use crate::{partitions, pruning, schema};

/// Footers read to load a table or to plan a scan; of more files, a sample.
pub(crate) const FOOTERS_MAX: usize = 128;
/// Footers read at once.
const FOOTERS_AT_ONCE: usize = 16;

/// What is shared by a table and its provider.
#[derive(Debug)]
pub(crate) struct TableCore {
    pub(crate) name: TableName,
    pub(crate) files: Arc<FileStore>,
    pub(crate) root: TableRoot,
    /// The columns read from files.
    pub(crate) file_schema: SchemaRef,
    /// The columns read from folder names.
    pub(crate) partition_columns: Vec<FieldRef>,
    /// File columns, then partition columns.
    pub(crate) schema: SchemaRef,
    statistics: Arc<TableStatistics>,
    /// Rows and bytes of the files whose footers were read at loading: to guess the rows of others.
    sampled: Sampled,
    snapshot: Mutex<Arc<Snapshot>>,
}

/// The files of one listing with their partition values.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) listing: Arc<Listing>,
    /// Per file, in the order of the listing.
    pub(crate) values: Vec<Vec<ScalarValue>>,
}

impl TableCore {
    /// Loads a table: infers partition columns from `listing`, columns from the footers.
    pub(crate) async fn load(
        name: TableName,
        files: Arc<FileStore>,
        root: TableRoot,
        listing: Arc<Listing>,
    ) -> Result<Self> {
        let (partition_columns, values) = match &root {
            TableRoot::Folder(folder) => partitions::infer(&name, folder, &listing.files)?,
            TableRoot::File(_) => (Vec::new(), vec![Vec::new(); listing.files.len()]),
        };
        let sample = sample(&listing.files);
        let footers = read_footers(&files, &sample).await?;
        let schemas = sample
            .iter()
            .zip(&footers)
            .map(|(file, footer)| (&file.location, &footer.schema));
        let file_schema = schema::merge_schemas(&name, schemas, &partition_columns)?;
        let fields = file_schema.fields().iter().chain(&partition_columns).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        check_canonical(&name, &schema)?;
        let sampled = Sampled::of(&sample, &footers);
        let statistics = estimate(&listing.files, &sample, &footers, &sampled);
        Ok(Self {
            name,
            files,
            root,
            file_schema,
            partition_columns,
            schema,
            statistics: Arc::new(statistics),
            sampled,
            snapshot: Mutex::new(Arc::new(Snapshot { listing, values })),
        })
    }

    /// The files as they are now, at most as old as a listing may be.
    pub(crate) async fn current(&self) -> Result<Arc<Snapshot>> {
        let listing = self.files.listing(&self.root).await?;
        let known = self.known();
        if Arc::ptr_eq(&known.listing, &listing) {
            return Ok(known);
        }
        let values = match &self.root {
            TableRoot::Folder(folder) => {
                partitions::values(&self.name, folder, &self.partition_columns, &listing.files)?
            }
            TableRoot::File(_) => vec![Vec::new(); listing.files.len()],
        };
        let fresh = Arc::new(Snapshot { listing, values });
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// The files of the last listing that was looked at.
    fn known(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The verdict on a filter.
    pub(crate) fn verdict(&self, filter: &Filter) -> Pushdown {
        pruning::verdict(&self.schema, &self.partition_columns, filter)
    }

    /// The rows that a file of `bytes` bytes probably has.
    pub(crate) fn guess_rows(&self, bytes: u64) -> Option<u64> {
        self.sampled.guess_rows(bytes)
    }
}

/// The files whose footers are read: all, or the newest ones and some from all over the table.
fn sample(files: &[ObjectMeta]) -> Vec<ObjectMeta> {
    if files.len() <= FOOTERS_MAX {
        return files.to_vec();
    }
    let step = files.len().div_ceil(FOOTERS_MAX / 2);
    let mut sample: Vec<ObjectMeta> = files.iter().step_by(step).cloned().collect();
    let mut newest: Vec<&ObjectMeta> = files.iter().collect();
    newest.sort_by_key(|file| Reverse(file.last_modified));
    for file in newest {
        if sample.len() >= FOOTERS_MAX {
            break;
        }
        if !sample.contains(file) {
            sample.push(file.clone());
        }
    }
    sample
}

/// The footers of `wanted`, a few at a time.
pub(crate) async fn read_footers(files: &FileStore, wanted: &[ObjectMeta]) -> Result<Vec<Arc<Footer>>> {
    stream::iter(wanted.to_vec())
        .map(|file| async move { files.footer(&file, None).await })
        .buffered(FOOTERS_AT_ONCE)
        .try_collect()
        .await
}

/// What the footers read at loading say about the rows in a file of a given size.
#[derive(Debug)]
struct Sampled {
    rows: u64,
    bytes: u64,
}

impl Sampled {
    fn of(sample: &[ObjectMeta], footers: &[Arc<Footer>]) -> Self {
        Self {
            rows: footers.iter().map(|footer| footer.rows()).sum(),
            bytes: sample.iter().map(|file| file.size).sum(),
        }
    }

    fn guess_rows(&self, bytes: u64) -> Option<u64> {
        let scaled = u128::from(self.rows) * u128::from(bytes);
        u64::try_from(scaled.checked_div(u128::from(self.bytes))?).ok()
    }
}

fn estimate(
    all: &[ObjectMeta],
    sample: &[ObjectMeta],
    footers: &[Arc<Footer>],
    sampled: &Sampled,
) -> TableStatistics {
    let rows = if all.len() == sample.len() {
        Some(sampled.rows)
    } else {
        sampled.guess_rows(all.iter().map(|file| file.size).sum())
    };
    let decoded_bytes: u64 = footers.iter().map(|footer| footer.decoded_bytes()).sum();
    let row_bytes = decoded_bytes.checked_div(sampled.rows).map(|bytes| bytes.max(1));
    TableStatistics {
        rows,
        row_bytes,
        columns: Vec::new(),
    }
}

/// A folder of Parquet files as a table.
#[derive(Debug, Clone)]
pub(crate) struct FilesTable {
    pub(crate) core: Arc<TableCore>,
}

#[async_trait]
impl Table for FilesTable {
    fn name(&self) -> &TableName {
        &self.core.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.core.schema)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::clone(&self.core.statistics)
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        self.core.verdict(filter)
    }

    async fn read(&self, _scan: &Scan, _split: &Split, _cx: &ReadContext) -> Result<BatchStream> {
        let message = format!("table {} is read by its own scan", self.core.name);
        Err(ConnectorError::new(ErrorKind::Internal, message))
    }

    fn remote_text(&self, scan: &Scan) -> String {
        let snapshot = self.core.known();
        let exact = scan
            .filters
            .iter()
            .filter(|filter| filter.pushdown.verdict == Verdict::Exact);
        let exact: Vec<&Filter> = exact.map(|filter| &filter.filter).collect();
        let exprs: Vec<&Expr> = exact.iter().map(|filter| filter.expr()).collect();
        let all = snapshot.listing.files.len();
        let kept = pruning::survivors(&self.core.partition_columns, &snapshot.values, &exprs)
            .unwrap_or_else(|_| (0..all).collect());
        let bytes = kept
            .iter()
            .filter_map(|&file| snapshot.listing.files.get(file))
            .map(|file| file.size)
            .sum();
        let mut text = format!(
            "{}: {} of {all} files, {}",
            self.core.root,
            kept.len(),
            size_text(bytes)
        );
        if !exact.is_empty() {
            let filters: Vec<String> = exact.iter().map(ToString::to_string).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, ", partitions {}", filters.join(" AND "));
        } else if !self.core.partition_columns.is_empty() {
            let names: Vec<&str> = self
                .core
                .partition_columns
                .iter()
                .map(|column| column.name().as_str())
                .collect();
            let _ = write!(text, ", partitioned by {}", names.join(", "));
        }
        text
    }

    fn native(&self) -> Option<Arc<dyn TableProvider>> {
        Some(Arc::new(FilesProvider::new(Arc::clone(&self.core))))
    }
}

/// A size in the largest unit that leaves it above one, with one decimal.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10 * 1024 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_readable_units() {
        let cases = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (3_250_586, "3.1 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn rows_of_other_files_are_guessed_by_size() {
        let sampled = |rows, bytes| Sampled { rows, bytes };
        assert_eq!(sampled(10, 1000).guess_rows(2000), Some(20));
        assert_eq!(sampled(u64::MAX, u64::MAX).guess_rows(7), Some(7));
        assert_eq!(sampled(10, 0).guess_rows(7), None);
    }
}
