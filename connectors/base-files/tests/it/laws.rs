//! The law harness over Parquet: files of many small row groups and pages with bounds and bloom filters, and folders
//! whose names hold two columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use causeway_base_files::FileTableOptions;
use causeway_spi::testing::{
    CanonicalTable, ColumnKind, LawSubject, ROWS, Shares, column, rare_columns, run_laws, standard_columns,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::fixture::{Lake, parquet};

/// Files have no lookups, and only filters on folder names are exact.
const SHARES: Shares = Shares {
    pushed: 0.6,
    lookups: 0.0,
    limits: 0.02,
    operators: 0.0,
    mates: 0.0,
    unions: 0.0,
};

/// Texts that a folder name can hold in more than one spelling.
const FOLDERS: [&str; 12] = [
    "Alice", "alice", "alice ", "álice", " ", "%", "a/b", "a=b", "a%2Fb", "🦀", "null", "'",
];

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(40))
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(10)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_bloom_filter_enabled(true)
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_pages_and_bloom_filters() {
    let mut columns = standard_columns();
    columns.push(column("ratio", ColumnKind::Double { special: true }));
    columns.push(column("big", ColumnKind::Unsigned));
    let rows = CanonicalTable::generate(columns, ROWS, 0).rows().clone();
    let lake = Lake::new();
    for (file, (offset, length)) in [(0, 0), (0, 1), (1, 150), (151, ROWS - 151)]
        .into_iter()
        .enumerate()
    {
        let part = parquet(&rows.slice(offset, length), properties());
        lake.put(&format!("t/part-{file}.parquet"), part).await;
    }
    check("base-files row groups", &lake, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_of_rare_kinds() {
    let mut columns = rare_columns();
    // Parquet's writer has no intervals of this kind.
    columns.retain(|column| column.kind != ColumnKind::Interval);
    let rows = CanonicalTable::generate(columns, ROWS, 0).rows().clone();
    let lake = Lake::new();
    for (file, (offset, length)) in [(0, 100), (100, ROWS - 100)].into_iter().enumerate() {
        let part = parquet(&rows.slice(offset, length), properties());
        lake.put(&format!("t/part-{file}.parquet"), part).await;
    }
    let table = lake.table("t").await.unwrap();
    let subject = LawSubject::new("base-files rare kinds", table, rows);
    run_laws(&subject.shares(SHARES).one_of(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_with_two_columns() {
    let columns = vec![
        column("id", ColumnKind::Key),
        column("num", ColumnKind::Integer { bits: 64 }),
        column("day", ColumnKind::Date),
        column("name", ColumnKind::Text(causeway_spi::testing::TextKind::Unicode)),
    ];
    let canonical = CanonicalTable::generate(columns, ROWS, 0).rows().clone();
    let lake = Lake::new();
    let mut parts = Vec::new();
    for (index, folder) in FOLDERS.iter().enumerate() {
        let number = i64::try_from(index).unwrap() % 5 - 1;
        let (year, folder) = ((number != 3).then_some(number), (index != 4).then_some(*folder));
        let positions = (index..ROWS)
            .step_by(FOLDERS.len())
            .map(|row| row.try_into().unwrap());
        let rows = take_record_batch(&canonical, &UInt64Array::from_iter_values(positions)).unwrap();
        let location = format!(
            "t/y={}/f={}/part-0.parquet",
            spelled(year),
            spelled(folder.map(encoded))
        );
        lake.put(&location, parquet(&rows, properties())).await;
        parts.push(with_folders(&rows, year, folder));
    }
    // Folders that no row is in.
    for year in ["-7", "9"] {
        let location = format!("t/y={year}/f=none/part-0.parquet");
        lake.put(&location, parquet(&canonical.slice(0, 0), properties()))
            .await;
    }
    let rows = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
    assert!(
        rows.column_by_name("f")
            .is_some_and(|column| column.as_string_view().is_valid(0))
    );
    check("base-files folders", &lake, rows).await;
}

/// Only filters on folder names are pushed to text files, and limits above nothing else.
const TEXT_SHARES: Shares = Shares {
    pushed: 0.02,
    lookups: 0.0,
    limits: 0.02,
    operators: 0.0,
    mates: 0.0,
    unions: 0.0,
};

/// Canonical rows in three files of two folders, as `write` writes them; `y` is the folder.
async fn check_text(name: &str, ending: &str, options: FileTableOptions, write: fn(&RecordBatch) -> String) {
    let mut columns = standard_columns();
    columns.push(column("big", ColumnKind::Unsigned));
    let rows = CanonicalTable::generate(columns, ROWS, 0).rows().clone();
    let lake = Lake::declaring(&[options]);
    let mut parts = Vec::new();
    for (year, file, offset, length) in [(1, 0, 0, 1), (1, 1, 1, 120), (2, 0, 121, ROWS - 121)] {
        let part = rows.slice(offset, length);
        lake.put(&format!("t/y={year}/f=x/{file}.{ending}"), write(&part))
            .await;
        parts.push(with_folders(&part, Some(year), Some("x")));
    }
    let rows = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
    let table = lake.table("t").await.unwrap();
    run_laws(&LawSubject::new(name, table, rows).shares(TEXT_SHARES).one_of(8)).await;
}

/// The declaration of the canonical columns.
fn declared(null: Option<&str>) -> FileTableOptions {
    let columns = [
        "id bigint",
        "grp integer",
        "name text",
        "small smallint",
        "num bigint",
        "price numeric(12,2)",
        "amount numeric(30,6)",
        "day date",
        "at timestamp",
        "flag boolean",
        "note text",
        "big numeric(20,0)",
    ];
    FileTableOptions {
        name: "t".into(),
        path: "t".into(),
        columns: columns.map(str::to_owned).into(),
        null: null.map(str::to_owned),
        ..FileTableOptions::default()
    }
}

/// The values of a column as text; NULL is `None`.
fn texts(rows: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let options = FormatOptions::new();
    let formatters: Vec<ArrayFormatter<'_>> = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let text = |row: usize, column: usize| {
        let is_valid = rows.column(column).is_valid(row);
        is_valid.then(|| formatters[column].value(row).to_string())
    };
    let of_row = |row| (0..rows.num_columns()).map(|column| text(row, column)).collect();
    (0..rows.num_rows()).map(of_row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_files() {
    let write = |rows: &RecordBatch| {
        let schema = rows.schema();
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let mut text = names.join(",");
        for row in texts(rows) {
            let quoted = row.into_iter().map(|value| match value {
                Some(value) => format!("\"{}\"", value.replace('"', "\"\"")),
                None => "\\N".to_owned(),
            });
            text += "\r\n";
            text += &quoted.collect::<Vec<_>>().join(",");
        }
        text
    };
    check_text("base-files csv", "csv", declared(Some("\\N")), write).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_files() {
    let write = |rows: &RecordBatch| {
        let schema = rows.schema();
        let mut text = String::new();
        for row in texts(rows) {
            let fields = schema.fields().iter().zip(row).filter_map(|(field, value)| {
                let value = value?;
                let bare = field.data_type().is_numeric() || *field.data_type() == DataType::Boolean;
                let written = if bare {
                    value
                } else {
                    serde_json::to_string(&value).unwrap()
                };
                Some(format!("\"{}\":{written}", field.name()))
            });
            text += &format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","));
        }
        text
    };
    check_text("base-files json", "json", declared(None), write).await;
}

async fn check(name: &str, lake: &Lake, rows: RecordBatch) {
    let table = lake.table("t").await.unwrap();
    run_laws(&LawSubject::new(name, table, rows).shares(SHARES).one_of(2)).await;
}

fn spelled(value: Option<impl ToString>) -> String {
    value.map_or("__HIVE_DEFAULT_PARTITION__".to_owned(), |value| value.to_string())
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// `rows` with the columns that stand in their folder's name.
fn with_folders(rows: &RecordBatch, year: Option<i64>, folder: Option<&str>) -> RecordBatch {
    let years: ArrayRef = Arc::new(Int64Array::from(vec![year; rows.num_rows()]));
    let folders: ArrayRef = Arc::new(StringViewArray::from(vec![folder; rows.num_rows()]));
    let mut fields: Vec<Field> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields.push(Field::new("y", years.data_type().clone(), true));
    fields.push(Field::new("f", folders.data_type().clone(), true));
    let mut columns = rows.columns().to_vec();
    columns.extend([years, folders]);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}
