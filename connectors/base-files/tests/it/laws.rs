//! The law harness over Parquet: files of many small row groups and pages with bounds and bloom filters, and folders
//! whose names hold two columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema};
use causeway_spi::testing::{
    CanonicalTable, ColumnKind, LawSubject, ROWS, Shares, column, run_laws, standard_columns,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::fixture::{Lake, parquet};

/// Files have no lookups, and only filters on folder names are exact.
const SHARES: Shares = Shares {
    pushed: 0.6,
    lookups: 0.0,
    limits: 0.02,
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
    let rows = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
    assert!(
        rows.column_by_name("f")
            .is_some_and(|column| column.as_string_view().is_valid(0))
    );
    check("base-files folders", &lake, rows).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn debug_minmax() {
    use datafusion::prelude::*;
    let mut columns = standard_columns();
    columns.push(column("ratio", ColumnKind::Double { special: true }));
    columns.push(column("big", ColumnKind::Unsigned));
    let rows = CanonicalTable::generate(columns, ROWS, 0).rows().clone();
    let lake = Lake::new();
    let dir = tempfile::tempdir().unwrap();
    for (file, (offset, length)) in [(0, 0), (0, 1), (1, 150), (151, ROWS - 151)].into_iter().enumerate() {
        let part = parquet(&rows.slice(offset, length), properties());
        std::fs::write(dir.path().join(format!("part-{file}.parquet")), &part).unwrap();
        lake.put(&format!("t/part-{file}.parquet"), part).await;
    }
    let provider = lake.table("t").await.unwrap().native().unwrap();
    for (own, dynamic, row_filter) in [(true, true, true), (false, true, true), (false, true, false), (false, false, true)] {
        for partitions in [1, 2, 3, 4] {
            let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(std::env::var("BATCH").map_or(100, |b| b.parse().unwrap()));
            config.options_mut().execution.parquet.pushdown_filters = row_filter;
            config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = dynamic;
            if partitions == 3 {
                config.options_mut().optimizer.hash_join_single_partition_threshold = 0;
                config.options_mut().optimizer.hash_join_single_partition_threshold_rows = 0;
            }
            let context = SessionContext::new_with_config(config);
            if own {
                context.register_table("t", Arc::clone(&provider)).unwrap();
            } else {
                context.register_parquet("t", dir.path().to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
            }
            context.sql("CREATE TABLE keys AS SELECT CAST(column1 AS NUMERIC(20,0)) k0 FROM (VALUES (NULL), ('9007199254740993'), ('9007199254740992'), ('4294967295'), ('774495685155'), (NULL), ('2147483648'), ('322957651863'), ('9223372036854775809'))").await.unwrap().collect().await.unwrap();
            let sql = std::env::var("SQL").unwrap_or("SELECT min(t.grp) AS c0, max(t.grp) AS c1 FROM t WHERE t.big IN (SELECT k.k0 FROM keys AS k)".to_owned());
            let mut seen = std::collections::BTreeMap::new();
            for _ in 0..60 {
                let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
                let text = arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap();
                *seen.entry(text).or_insert(0) += 1;
            }
            println!("own={own} dynamic={dynamic} row_filter={row_filter} partitions={partitions}: {seen:?}");
            if own && partitions == 3 {
                let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
                println!("{}", datafusion::physical_plan::displayable(plan.as_ref()).indent(true));
            }
        }
    }
}
