//! The conformance suite over folders of Parquet, of CSV and of JSON.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use causeway_base_files::FileTableOptions;
use causeway_local::LocalOptions;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, RowCounts, run_conformance,
};
use causeway_spi::testing::{CanonicalTable, Column, ColumnKind, TextKind, scalar_kinds};
use causeway_spi::{Connector, ConnectorOptions, Result};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

const BIGINT: ColumnKind = ColumnKind::Integer { bits: 64 };
const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);
/// The text of NULL in CSV.
const NULL: &str = "\\N";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    Csv,
    Json,
}

struct Folder {
    format: Format,
    place: TempDir,
}

#[async_trait]
impl ConformanceSource for Folder {
    fn name(&self) -> &str {
        match self.format {
            Format::Parquet => "local, Parquet",
            Format::Csv => "local, CSV",
            Format::Json => "local, JSON",
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut kinds = scalar_kinds();
        let lists = [ColumnKind::List(&BIGINT), ColumnKind::List(&TEXT)];
        match self.format {
            Format::Parquet => {
                kinds.extend(lists);
                kinds.extend([ColumnKind::Bytes, ColumnKind::Composite]);
                Capabilities {
                    row_counts: RowCounts::Exact,
                    filters: Filters::Columns,
                    limits: true,
                    native_scans: true,
                    ..Capabilities::reading(kinds)
                }
            }
            Format::Csv => Capabilities {
                limits: true,
                ..Capabilities::reading(kinds)
            },
            Format::Json => {
                kinds.extend(lists);
                Capabilities {
                    limits: true,
                    ..Capabilities::reading(kinds)
                }
            }
        }
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        for table in tables {
            let folder = self.place.path().join(&table.name);
            fs::create_dir_all(&folder).unwrap();
            // Two files, so that no table is one stream.
            let (rows, first) = (table.rows(), table.rows().num_rows() / 3);
            for (number, part) in [rows.slice(0, first), rows.slice(first, rows.num_rows() - first)]
                .iter()
                .enumerate()
            {
                let (ending, bytes) = match self.format {
                    Format::Parquet => ("parquet", parquet(part)),
                    Format::Csv => ("csv", csv(&table.data, part)),
                    Format::Json => ("json", json(&table.data, part)),
                };
                fs::write(folder.join(format!("{number}.{ending}")), bytes).unwrap();
            }
        }
        let declared = match self.format {
            Format::Parquet => Vec::new(),
            Format::Csv => tables.iter().map(|table| declared(table, Some(NULL))).collect(),
            Format::Json => tables.iter().map(|table| declared(table, None)).collect(),
        };
        let options = LocalOptions {
            path: self.place.path().to_owned(),
            cache_ttl: Duration::from_secs(60),
            tables: declared,
        };
        options.open(CATALOG)
    }
}

fn declared(table: &ConformanceTable, null: Option<&str>) -> FileTableOptions {
    FileTableOptions {
        name: table.name.clone(),
        path: table.name.clone(),
        columns: table.data.columns().iter().map(Column::definition).collect(),
        null: null.map(str::to_owned),
        ..FileTableOptions::default()
    }
}

fn parquet(rows: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(40))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    bytes
}

fn cells(data: &CanonicalTable, rows: &RecordBatch) -> Vec<Vec<Option<String>>> {
    data.with_rows(rows.clone()).cells()
}

fn csv(data: &CanonicalTable, rows: &RecordBatch) -> Vec<u8> {
    let names: Vec<String> = data.columns().iter().map(Column::quoted_name).collect();
    let mut text = names.join(",");
    for row in cells(data, rows) {
        let fields = row.into_iter().map(|cell| match cell {
            Some(cell) => format!("\"{}\"", cell.replace('"', "\"\"")),
            None => NULL.to_owned(),
        });
        text += "\n";
        text += &fields.collect::<Vec<_>>().join(",");
    }
    text.into_bytes()
}

fn json(data: &CanonicalTable, rows: &RecordBatch) -> Vec<u8> {
    let mut text = String::new();
    for row in cells(data, rows) {
        let members = row.into_iter().zip(data.columns()).map(|(cell, column)| {
            let name = serde_json::Value::from(column.name.as_str());
            let value = match cell {
                None => "null".to_owned(),
                Some(cell) if is_bare(&cell, column.kind) => cell,
                Some(cell) => serde_json::Value::from(cell).to_string(),
            };
            format!("{name}:{value}")
        });
        text += &format!("{{{}}}\n", members.collect::<Vec<_>>().join(","));
    }
    text.into_bytes()
}

/// Whether a value stands for itself: numbers, but for those that JSON has no number for.
fn is_bare(cell: &str, kind: ColumnKind) -> bool {
    let is_number = matches!(
        kind,
        ColumnKind::Key
            | ColumnKind::Integer { .. }
            | ColumnKind::Unsigned
            | ColumnKind::Numeric { .. }
            | ColumnKind::Real { .. }
            | ColumnKind::Double { .. }
    );
    let is_finite = cell.parse::<f64>().is_ok_and(f64::is_finite);
    is_number && is_finite || matches!(kind, ColumnKind::Boolean | ColumnKind::List(_))
}

async fn check(format: Format) {
    let place = tempfile::tempdir().unwrap();
    run_conformance(&Folder { format, place }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_conforms() {
    check(Format::Parquet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_conforms() {
    check(Format::Csv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_conforms() {
    check(Format::Json).await;
}
