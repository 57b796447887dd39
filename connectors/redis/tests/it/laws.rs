//! The law harness over every format of values, and over keys of one and of two columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema};
use causeway_spi::Table;
use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawOptions, LawSubject, ROWS, Shares, TextKind, check_laws, column,
    rare_columns, run_laws, standard_columns,
};

use crate::support::{Server, server};

/// Only filters on keys reach this source: conditions on one column of eleven.
const SHARES: Shares = Shares {
    pushed: 0.05,
    lookups: 0.25,
    limits: 0.03,
    operators: 0.0,
    mates: 0.0,
    unions: 0.0,
};

#[tokio::test(flavor = "multi_thread")]
async fn hashes_by_one_key() {
    let Some(server) = server().await else { return };
    let subject = subject(&server, "it:law1:", "it:law1:{id}", standard_columns()).await;
    run_laws(&subject.shares(SHARES)).await;
    server.clear("it:law1:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_of_rare_kinds() {
    let Some(server) = server().await else { return };
    let mut columns = rare_columns();
    // Bytes are not text, as which the other cells are written; they have tests of their own.
    let held = |kind| {
        !matches!(
            kind,
            ColumnKind::Interval | ColumnKind::Composite | ColumnKind::Bytes
        )
    };
    columns.retain(|column| held(column.kind));
    let subject = subject(&server, "it:law9:", "it:law9:{id}", columns).await;
    run_laws(&subject.shares(SHARES).one_of(2)).await;
    server.clear("it:law9:").await;
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

/// Places in documents, numbers and texts by turns.
#[tokio::test(flavor = "multi_thread")]
async fn json_documents() {
    let Some(server) = server().await else { return };
    let prefix = "it:law4:";
    server.clear(prefix).await;
    let canonical = CanonicalTable::generate(standard_columns(), ROWS, 0);
    for (row, cells) in canonical.cells().into_iter().enumerate() {
        let mut document = serde_json::Map::new();
        let mut id = String::new();
        for (column, cell) in canonical.columns().iter().zip(cells) {
            if column.name == "id" {
                id = cell.unwrap_or_default();
                continue;
            }
            // A number too long for the writer stands in quotes, which is read alike.
            let value = match cell {
                None if row % 2 == 0 => continue,
                None => serde_json::Value::Null,
                Some(cell) => match column.kind {
                    ColumnKind::Integer { .. } | ColumnKind::Group | ColumnKind::Boolean if row % 2 == 0 => {
                        serde_json::from_str(&cell).unwrap()
                    }
                    _ => serde_json::Value::String(cell),
                },
            };
            document.insert(column.name.clone(), value);
        }
        let text = serde_json::Value::Object(document).to_string();
        server
            .run(&[b"SET", format!("{prefix}{id}").as_bytes(), text.as_bytes()])
            .await;
    }
    server
        .hset(&format!("{prefix}5000000"), &[("name", "a hash")])
        .await;
    let table = described(&server, &format!("{prefix}{{id}}"), "json", canonical.columns()).await;
    let subject = LawSubject::new("redis json", table, canonical.rows().clone());
    run_laws(&subject.shares(SHARES).one_of(4)).await;
    server.clear(prefix).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strings() {
    let Some(server) = server().await else { return };
    let prefix = "it:law5:";
    server.clear(prefix).await;
    let columns = vec![column("id", ColumnKind::Key), column("name", ColumnKind::TextKey)];
    let canonical = CanonicalTable::generate(columns, ROWS, 0);
    for cells in canonical.cells() {
        let [Some(id), Some(name)] = &cells[..] else {
            panic!("no NULLs")
        };
        server
            .run(&[b"SET", format!("{prefix}{id}").as_bytes(), name.as_bytes()])
            .await;
    }
    server
        .hset(&format!("{prefix}5000000"), &[("name", "a hash")])
        .await;
    let table = described(&server, &format!("{prefix}{{id}}"), "string", canonical.columns()).await;
    let subject = LawSubject::new("redis string", table, canonical.rows().clone());
    run_laws(&subject.shares(SHARES).one_of(4)).await;
    server.clear(prefix).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets() {
    let columns = vec![
        column("owner", ColumnKind::Group),
        column("element", ColumnKind::TextKey),
    ];
    collections("set", "it:law6:", columns, |server_key, cells| {
        vec!["SADD".to_owned(), server_key, cells[1].clone()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sorted_sets() {
    let columns = vec![
        column("owner", ColumnKind::Group),
        column("element", ColumnKind::TextKey),
        column("score", ColumnKind::Double { special: false }),
    ];
    collections("zset", "it:law7:", columns, |server_key, cells| {
        vec!["ZADD".to_owned(), server_key, cells[2].clone(), cells[1].clone()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    let columns = vec![
        column("owner", ColumnKind::Group),
        column("element", ColumnKind::TextKey),
    ];
    collections("list", "it:law8:", columns, |server_key, cells| {
        vec!["RPUSH".to_owned(), server_key, cells[1].clone()]
    })
    .await;
}

/// Loads the rows without NULLs as elements of the collections of their owners, by the command that `add` makes.
async fn collections(
    format: &str,
    prefix: &str,
    columns: Vec<Column>,
    add: impl Fn(String, &[String]) -> Vec<String>,
) {
    let Some(server) = server().await else { return };
    server.clear(prefix).await;
    let canonical = CanonicalTable::generate(columns, ROWS, 0);
    let mut positions: HashMap<String, i64> = HashMap::new();
    let (mut kept, mut at) = (Vec::new(), Vec::new());
    for cells in canonical.cells() {
        let Some(cells) = cells.into_iter().collect::<Option<Vec<String>>>() else {
            kept.push(false);
            continue;
        };
        kept.push(true);
        let command = add(format!("{prefix}{}", cells[0]), &cells);
        let command: Vec<&[u8]> = command.iter().map(String::as_bytes).collect();
        server.run(&command).await;
        let next = positions.entry(cells[0].clone()).or_default();
        at.push(*next);
        *next += 1;
    }
    server
        .run(&[b"SET", format!("{prefix}5000000").as_bytes(), b"a string"])
        .await;
    let mut definitions = canonical.columns().to_vec();
    let mut rows = filter_record_batch(canonical.rows(), &BooleanArray::from(kept)).unwrap();
    if format == "list" {
        definitions.push(column("position", ColumnKind::Integer { bits: 64 }));
        rows = with_column(&rows, "position", Arc::new(Int64Array::from(at)));
    }
    assert!(
        rows.num_rows() > positions.len() * 3,
        "collections have several elements"
    );
    let table = described(&server, &format!("{prefix}{{owner}}"), format, &definitions).await;
    let subject = LawSubject::new(format!("redis {format}"), table, rows);
    run_laws(&subject.shares(SHARES).one_of(4)).await;
    server.clear(prefix).await;
}

fn with_column(rows: &RecordBatch, name: &str, array: ArrayRef) -> RecordBatch {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(name, array.data_type().clone(), false)));
    let mut arrays = rows.columns().to_vec();
    arrays.push(array);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

async fn described(server: &Server, key: &str, format: &str, columns: &[Column]) -> Arc<dyn Table> {
    let columns: Vec<String> = columns.iter().map(definition).collect();
    server
        .described(&format!(
            "key = {key:?}\nvalue = {format:?}\ncolumns = {columns:?}"
        ))
        .await
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
    format!("{} {}", column.name, column.kind.sql_name())
}
