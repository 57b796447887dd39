//! The law harness over hashes: one key column, and two.

use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawOptions, LawSubject, ROWS, Shares, TextKind, check_laws, column,
    run_laws, standard_columns,
};

use crate::support::{Server, server};

/// Only filters on keys reach this source: conditions on one column of eleven.
const SHARES: Shares = Shares {
    pushed: 0.05,
    lookups: 0.25,
    limits: 0.03,
};

#[tokio::test(flavor = "multi_thread")]
async fn hashes_by_one_key() {
    let Some(server) = server().await else { return };
    let subject = subject(&server, "it:law1:", "it:law1:{id}", standard_columns()).await;
    run_laws(&subject.shares(SHARES)).await;
    server.clear("it:law1:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_by_two_keys() {
    let Some(server) = server().await else { return };
    let columns = vec![
        column("id", ColumnKind::Key),
        column("part", ColumnKind::Key),
        column("grp", ColumnKind::Group),
        column("name", ColumnKind::Text(TextKind::Unicode)),
    ];
    let subject = subject(&server, "it:law2:", "it:law2:{part}:{id}", columns).await;
    for options in LawOptions::from_env() {
        let fewer = LawOptions {
            checks: options.checks / 4,
            ..options
        };
        let outcome = check_laws(&subject, fewer).await;
        assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
    server.clear("it:law2:").await;
}

/// Keys that look like patterns, separators and escapes, and differ by case or blanks.
#[tokio::test(flavor = "multi_thread")]
async fn hashes_by_text() {
    let Some(server) = server().await else { return };
    let columns = vec![
        column("name", ColumnKind::TextKey),
        column("grp", ColumnKind::Group),
        column("big", ColumnKind::Unsigned),
        column("ratio", ColumnKind::Double { special: true }),
    ];
    let subject = subject(&server, "it:law3:", "it:law3:k:{name}", columns).await;
    run_laws(&subject.shares(SHARES).one_of(2)).await;
    server.clear("it:law3:").await;
}

/// Loads the canonical rows and gives the table over them.
async fn subject(server: &Server, prefix: &str, key: &str, columns: Vec<Column>) -> LawSubject {
    server.clear(prefix).await;
    let canonical = CanonicalTable::generate(columns, ROWS, 0);
    for row in canonical.cells() {
        let cells = canonical.columns().iter().zip(&row);
        let mut row_key = key.to_owned();
        // A hash cannot be empty, so that a row of NULLs has a field that is no column.
        let mut fields = vec![("_", "")];
        for (column, cell) in cells {
            let Some(cell) = cell else { continue };
            row_key = row_key.replace(&format!("{{{}}}", column.name), cell);
            fields.push((column.name.as_str(), cell.as_str()));
        }
        server.hset(&row_key, &fields).await;
    }
    // Keys that look like rows and are none: with pushdown on and off alike.
    server
        .hset(&format!("{prefix}007"), &[("name", "impostor")])
        .await;
    server
        .run(&[b"SET", format!("{prefix}1:x").as_bytes(), b"string"])
        .await;
    let definitions: Vec<String> = canonical.columns().iter().map(definition).collect();
    let definitions: Vec<&str> = definitions.iter().map(String::as_str).collect();
    let table = server.table(key, &definitions).await;
    LawSubject::new(format!("redis {key}"), table, canonical.rows().clone())
}

fn definition(column: &Column) -> String {
    let data_type = match column.kind {
        ColumnKind::Key => "bigint".to_owned(),
        ColumnKind::Group => "integer".to_owned(),
        ColumnKind::Integer { bits: 16 } => "smallint".to_owned(),
        ColumnKind::Integer { bits: 32 } => "integer".to_owned(),
        ColumnKind::Integer { .. } => "bigint".to_owned(),
        ColumnKind::Numeric { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnKind::Date => "date".to_owned(),
        ColumnKind::Timestamp => "timestamp".to_owned(),
        ColumnKind::Boolean => "boolean".to_owned(),
        ColumnKind::Unsigned => "numeric(20,0)".to_owned(),
        ColumnKind::Double { .. } => "double precision".to_owned(),
        ColumnKind::TextKey | ColumnKind::Text(_) => "text".to_owned(),
    };
    format!("{} {data_type}", column.name)
}
