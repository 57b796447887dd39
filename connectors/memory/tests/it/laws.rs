//! The law harness over tables in memory: with a key, of several chunks, after updates, and of odd kinds.

use arrow::array::RecordBatch;
use causeway_spi::testing::{
    CanonicalTable, ColumnKind, LawSubject, ROWS, Shares, TextKind, column, rare_columns, run_laws,
    standard_columns,
};
use causeway_spi::{Connector, TableDefinition};
use std::sync::Arc;

use crate::support::{begin, catalog, name, one};

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_a_key() {
    let canonical = CanonicalTable::generate(standard_columns(), ROWS, 0);
    let subject = subject(&canonical, vec![0]).await;
    run_laws(&subject.one_of(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_odd_kinds() {
    let columns = vec![
        column("name", ColumnKind::TextKey),
        column("id", ColumnKind::Key),
        column("grp", ColumnKind::Group),
        column("big", ColumnKind::Unsigned),
        column("ratio", ColumnKind::Double { special: true }),
        column("note", ColumnKind::Text(TextKind::Unicode)),
    ];
    let canonical = CanonicalTable::generate(columns, ROWS, 1);
    let subject = subject(&canonical, vec![0, 1]).await;
    // A key of two columns is seldom joined by both.
    let shares = Shares {
        lookups: 0.0,
        ..Shares::default()
    };
    run_laws(&subject.shares(shares).one_of(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_rare_kinds() {
    let canonical = CanonicalTable::generate(rare_columns(), ROWS, 2);
    let subject = subject(&canonical, vec![0]).await;
    run_laws(&subject.one_of(2)).await;
}

/// Fills a table in pieces, so that it has chunks of several sizes.
async fn subject(canonical: &CanonicalTable, primary_key: Vec<usize>) -> LawSubject {
    let catalog = catalog();
    let mut transaction = begin(&catalog).await;
    let definition = TableDefinition {
        name: name("law"),
        columns: canonical.schema(),
        primary_key,
    };
    transaction.create_table(&definition).await.unwrap();
    let rows: &RecordBatch = canonical.rows();
    let mut start = 0;
    for length in [200, 60, 1, 1, usize::MAX] {
        let length = length.min(rows.num_rows() - start);
        let inserted = transaction
            .insert(&definition.name, one(rows.slice(start, length)))
            .await;
        assert_eq!(inserted.unwrap(), u64::try_from(length).unwrap());
        start += length;
    }
    transaction.commit().await.unwrap();
    let table = Connector::table(catalog.as_ref(), &definition.name)
        .await
        .unwrap();
    LawSubject::new("memory", table.unwrap(), Arc::new(rows.clone()).as_ref().clone())
}
