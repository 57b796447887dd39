//! One table: its columns and statistics as they were when it was loaded, and its files as they are now.

use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use causeway_base_kv::ColumnDefinition;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Pushdown, ReadContext, Result, Scan, Split, Table,
    TableName, TableStatistics, Verdict, check_canonical,
};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::logical_expr::Expr;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use crate::csv::CsvStyle;
use crate::files::FileStore;
use crate::footer::Footer;
use crate::format::FileFormat;
use crate::layout::TablePlace;
use crate::listing::Listing;
use crate::options::DeclaredTable;
use crate::provider::FilesProvider;
use crate::source::NamingSource;
use crate::typed::{Reading, sql_name};
use crate::{partitions, pruning, sample, schema, splits, text};

/// Footers read to load a table or to plan a scan; of more files, a sample.
pub(crate) const FOOTERS_MAX: usize = 128;
/// Footers read at once.
const FOOTERS_AT_ONCE: usize = 16;

/// What is shared by a table and its provider.
#[derive(Debug)]
pub(crate) struct TableCore {
    pub(crate) name: TableName,
    pub(crate) files: Arc<FileStore>,
    pub(crate) place: TablePlace,
    pub(crate) format: FileFormat,
    pub(crate) csv: CsvStyle,
    /// How the texts of CSV and JSON are read.
    pub(crate) reading: Reading,
    /// The names of the fields of a CSV record, if the files themselves do not say them.
    pub(crate) positions: Vec<String>,
    /// The columns read from files.
    pub(crate) file_schema: SchemaRef,
    /// The columns read from folder names.
    pub(crate) partition_columns: Vec<FieldRef>,
    /// Whether these were declared, not inferred.
    partitions_declared: bool,
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
    /// Loads a table: what is not declared is inferred, partition columns from `listing`, columns from the files.
    pub(crate) async fn load(
        name: TableName,
        files: Arc<FileStore>,
        place: TablePlace,
        declared: Option<&DeclaredTable>,
        listing: Arc<Listing>,
    ) -> Result<Self> {
        let partitions: Vec<FieldRef> = declared.map_or_else(Vec::new, |table| fields_of(&table.partitions));
        let partitions_declared = !partitions.is_empty();
        let (partition_columns, values) = if partitions_declared {
            let values = partitions::declared_values(&name, &place.root, &partitions, &listing.files)?;
            (partitions, values)
        } else {
            partitions::infer(&name, &place.root, &listing.files)?
        };
        let columns = Columns::load(&name, &files, declared, &listing, &partition_columns).await?;
        let fields = columns
            .file_schema
            .fields()
            .iter()
            .chain(&partition_columns)
            .cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        check_canonical(&name, &schema)?;
        Ok(Self {
            name,
            files,
            place,
            format: listing.format,
            csv: declared.map(|table| table.csv.clone()).unwrap_or_default(),
            reading: columns.reading,
            positions: columns.positions,
            file_schema: columns.file_schema,
            partition_columns,
            partitions_declared,
            schema,
            statistics: Arc::new(columns.statistics),
            sampled: columns.sampled,
            snapshot: Mutex::new(Arc::new(Snapshot { listing, values })),
        })
    }

    /// The files as they are now, at most as old as a listing may be.
    pub(crate) async fn current(&self) -> Result<Arc<Snapshot>> {
        let listing = self.files.listing(&self.place).await?;
        let known = self.known();
        if Arc::ptr_eq(&known.listing, &listing) {
            return Ok(known);
        }
        if listing.format != self.format && !listing.files.is_empty() {
            let message = format!(
                "the files of table {} are {} now and were {}",
                self.name, listing.format, self.format
            );
            return Err(ConnectorError::new(ErrorKind::Changed, message).hint("Run the query again."));
        }
        let values = self.partition_values(&listing.files)?;
        let fresh = Arc::new(Snapshot { listing, values });
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    fn partition_values(&self, files: &[ObjectMeta]) -> Result<Vec<Vec<ScalarValue>>> {
        let (name, root, columns) = (&self.name, &self.place.root, &self.partition_columns);
        if self.partitions_declared {
            partitions::declared_values(name, root, columns, files)
        } else {
            partitions::values(name, root, columns, files)
        }
    }

    /// The values of the partition columns in the folders of `file`.
    pub(crate) fn folder_values(&self, file: &ObjectMeta) -> Result<Vec<ScalarValue>> {
        let values = self.partition_values(std::slice::from_ref(file))?;
        Ok(values.into_iter().next().unwrap_or_default())
    }

    /// The files that the partition filters among `filters` leave, by their indexes in the listing.
    pub(crate) fn survivors(&self, snapshot: &Snapshot, filters: &[&Filter]) -> Result<Vec<usize>> {
        let exprs: Vec<&Expr> = filters.iter().map(|filter| filter.expr()).collect();
        pruning::survivors(&self.partition_columns, &snapshot.values, &exprs).map_err(|error| {
            let message = format!("the partition filters of table {} cannot be applied", self.name);
            ConnectorError::new(ErrorKind::Internal, message).source(error)
        })
    }

    /// The files of the last listing that was looked at.
    fn known(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The verdict on a filter.
    pub(crate) fn verdict(&self, filter: &Filter) -> Pushdown {
        pruning::verdict(&self.schema, &self.partition_columns, self.format, filter)
    }

    /// The rows that a file of `bytes` bytes probably has.
    pub(crate) fn guess_rows(&self, bytes: u64) -> Option<u64> {
        self.sampled.guess_rows(bytes)
    }
}

/// The columns of a table and what was learned on the way to them.
struct Columns {
    file_schema: SchemaRef,
    reading: Reading,
    positions: Vec<String>,
    statistics: TableStatistics,
    sampled: Sampled,
}

impl Columns {
    async fn load(
        name: &TableName,
        files: &Arc<FileStore>,
        declared: Option<&DeclaredTable>,
        listing: &Listing,
        partition_columns: &[FieldRef],
    ) -> Result<Self> {
        let columns: Vec<FieldRef> = declared.map_or_else(Vec::new, |table| fields_of(&table.columns));
        match listing.format {
            FileFormat::Parquet => Self::of_parquet(name, files, columns, listing, partition_columns).await,
            _ if !columns.is_empty() => Self::declared(name, columns, listing),
            format => {
                let style = declared.map(|table| table.csv.clone()).unwrap_or_default();
                let wanted = sample(&listing.files, sample::SAMPLED_FILES_MAX);
                let found = sample::look_into(files, &wanted, format, &style).await?;
                Self::of_sample(name, &found, listing, partition_columns)
            }
        }
    }

    async fn of_parquet(
        name: &TableName,
        files: &Arc<FileStore>,
        declared: Vec<FieldRef>,
        listing: &Listing,
        partition_columns: &[FieldRef],
    ) -> Result<Self> {
        let sample = sample(&listing.files, FOOTERS_MAX);
        let footers = read_footers(files, &sample).await?;
        let schemas = sample
            .iter()
            .zip(&footers)
            .map(|(file, footer)| (&file.location, &footer.schema));
        let file_schema = if declared.is_empty() {
            schema::merge_schemas(name, schemas, partition_columns)?
        } else {
            let declared = Arc::new(Schema::new(declared));
            for (location, found) in schemas {
                schema::check_fits(&declared, found, location)?;
            }
            declared
        };
        let sampled = Sampled::of(&sample, &footers);
        Ok(Self {
            file_schema,
            reading: Reading::Declared,
            positions: Vec::new(),
            statistics: estimate(&listing.files, &sample, &footers, &sampled),
            sampled,
        })
    }

    fn of_sample(
        name: &TableName,
        found: &sample::Sample,
        listing: &Listing,
        partition_columns: &[FieldRef],
    ) -> Result<Self> {
        let file_schema = found.schema(name, partition_columns)?;
        let sampled = Sampled {
            rows: found.rows,
            bytes: found.stored_bytes,
        };
        Ok(Self {
            statistics: TableStatistics {
                rows: sampled.guess_rows(total_bytes(&listing.files)),
                row_bytes: Some(row_width(&file_schema)),
                columns: Vec::new(),
            },
            reading: Reading::Inferred,
            positions: found.columns.iter().map(|(name, _)| name.clone()).collect(),
            file_schema,
            sampled,
        })
    }

    /// Nothing is read: the rows are guessed as if each took its decoded width.
    ///
    /// Errors: a column of CSV is no single value.
    fn declared(name: &TableName, columns: Vec<FieldRef>, listing: &Listing) -> Result<Self> {
        let nested = columns.iter().find(|column| column.data_type().is_nested());
        if let Some(column) = nested.filter(|_| listing.format == FileFormat::Csv) {
            let message = format!("column \"{}\" of table {name} cannot be in CSV", column.name());
            return Err(ConnectorError::new(ErrorKind::NotSupported, message)
                .detail(format!("It is declared as {}.", sql_name(column.data_type()))));
        }
        let positions = columns.iter().map(|column| column.name().clone()).collect();
        let file_schema = Arc::new(Schema::new(columns));
        let row_bytes = row_width(&file_schema);
        Ok(Self {
            statistics: TableStatistics {
                rows: total_bytes(&listing.files).checked_div(row_bytes),
                row_bytes: Some(row_bytes),
                columns: Vec::new(),
            },
            file_schema,
            reading: Reading::Declared,
            positions,
            sampled: Sampled { rows: 0, bytes: 0 },
        })
    }
}

fn fields_of(columns: &[ColumnDefinition]) -> Vec<FieldRef> {
    columns
        .iter()
        .map(|column| Arc::new(column.field(true)))
        .collect()
}

fn total_bytes(files: &[ObjectMeta]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

/// About the decoded bytes of a row.
fn row_width(schema: &Schema) -> u64 {
    const VARIABLE_BYTES: usize = 32;
    let widths = schema
        .fields()
        .iter()
        .map(|field| field.data_type().primitive_width().unwrap_or(VARIABLE_BYTES));
    u64::try_from(widths.sum::<usize>()).unwrap_or(u64::MAX).max(1)
}

/// The files that are looked into: all, or at most `files_max`, the newest ones and some from all over the table.
fn sample(files: &[ObjectMeta], files_max: usize) -> Vec<ObjectMeta> {
    if files.len() <= files_max {
        return files.to_vec();
    }
    let step = files.len().div_ceil(files_max / 2);
    let mut sample: Vec<ObjectMeta> = files.iter().step_by(step).cloned().collect();
    let mut newest: Vec<&ObjectMeta> = files.iter().collect();
    newest.sort_by_key(|file| Reverse(file.last_modified));
    for file in newest {
        if sample.len() >= files_max {
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
        sampled.guess_rows(total_bytes(all))
    };
    let decoded_bytes: u64 = footers.iter().map(|footer| footer.decoded_bytes()).sum();
    let row_bytes = decoded_bytes.checked_div(sampled.rows).map(|bytes| bytes.max(1));
    TableStatistics {
        rows,
        row_bytes,
        columns: Vec::new(),
    }
}

/// Files as a table.
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

    async fn splits(&self, scan: &Scan) -> Result<Vec<Split>> {
        let snapshot = self.core.current().await?;
        let kept = self.core.survivors(&snapshot, &exact(scan))?;
        let files = kept.iter().filter_map(|&index| snapshot.listing.files.get(index));
        Ok(splits::split(files.cloned().collect()))
    }

    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        if self.core.format == FileFormat::Parquet {
            let message = format!("table {} is read by its own scan", self.core.name);
            return Err(ConnectorError::new(ErrorKind::Internal, message));
        }
        let files = splits::files_of(split)?;
        Ok(text::read(Arc::clone(&self.core), scan, files, cx))
    }

    fn remote_text(&self, scan: &Scan) -> String {
        let snapshot = self.core.known();
        let exact = exact(scan);
        let all = snapshot.listing.files.len();
        let kept = self
            .core
            .survivors(&snapshot, &exact)
            .unwrap_or_else(|_| (0..all).collect());
        let bytes = kept
            .iter()
            .filter_map(|&file| snapshot.listing.files.get(file))
            .map(|file| file.size)
            .sum();
        let mut text = format!(
            "{}: {} of {all} files, {}",
            self.core.place.root,
            kept.len(),
            size_text(bytes)
        );
        if self.core.format != FileFormat::Parquet {
            let _ = write!(text, " of {}", self.core.format);
        }
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
        // CSV and JSON are read by the leaf.
        (self.core.format == FileFormat::Parquet)
            .then(|| Arc::new(FilesProvider::new(Arc::clone(&self.core))) as Arc<dyn TableProvider>)
    }

    fn begin(&self, scan: &FileScanConfig) {
        if let Some(source) = scan.file_source().downcast_ref::<NamingSource>() {
            source.begin(scan);
        }
    }
}

/// The filters of `scan` that the folder names decide.
fn exact(scan: &Scan) -> Vec<&Filter> {
    let exact = scan
        .filters
        .iter()
        .filter(|filter| filter.pushdown.verdict == Verdict::Exact);
    exact.map(|filter| &filter.filter).collect()
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
