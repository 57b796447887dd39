//! The law harness over the store: every range is a request, with its ETag checked.

use arrow::array::RecordBatch;
use causeway_spi::ConnectorOptions;
use causeway_spi::testing::{CanonicalTable, LawSubject, ROWS, Shares, run_laws, standard_columns};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{TestStore, put, table};

/// Files have no lookups, and no filter on their columns is exact.
const SHARES: Shares = Shares {
    pushed: 0.6,
    lookups: 0.0,
    limits: 0.0,
    operators: 0.0,
    mates: 0.0,
    unions: 0.0,
};
/// Rows of a row group. Pages and bloom filters are left to the files' own laws: here each read is a request.
const ROW_GROUP_ROWS: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn objects_with_many_row_groups() {
    let Some(store) = TestStore::from_env() else {
        return;
    };
    let rows = CanonicalTable::generate(standard_columns(), ROWS, 0)
        .rows()
        .clone();
    let prefix = format!("laws-{}", std::process::id());
    let writer = store.writer();
    put(&writer, &format!("{prefix}/t/part-0.parquet"), parquet(&rows)).await;
    let catalog = store.options(&format!("{prefix}/")).open("lake").unwrap();
    run_laws(&LawSubject::new("s3", table(&catalog, "t").await, rows).shares(SHARES)).await;
}

fn parquet(rows: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    bytes
}
