//! Tables that the configuration describes: JSON documents and texts by key template, with ranges of keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringViewArray};
use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawSubject, ROWS, Shares, TextKind, column, run_laws,
};
use causeway_spi::{ErrorKind, Table};
use datafusion::logical_expr::lit;
use datafusion::prelude::col;

use crate::support::{Store, read, read_all, rows, scan, table_name, try_open, try_read};

const PEOPLE: &str = r#"
[[tables]]
name = "people"
key = "person:{tenant}:{id}"
value = "json"
columns = ["tenant text", "id int", "name text", "size double precision"]

[[tables]]
name = "notes"
key = "note:{day}"
value = "string"
columns = ["day date", "note text"]
"#;

fn people(values: &[(&str, i32, Option<&str>, Option<f64>)]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "tenant",
            Arc::new(StringViewArray::from_iter_values(
                values.iter().map(|value| value.0),
            )),
        ),
        (
            "id",
            Arc::new(Int32Array::from_iter_values(values.iter().map(|value| value.1))),
        ),
        (
            "name",
            Arc::new(StringViewArray::from_iter(values.iter().map(|value| value.2))),
        ),
        (
            "size",
            Arc::new(Float64Array::from_iter(values.iter().map(|value| value.3))),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

async fn filled() -> Store {
    let store = Store::with(PEOPLE);
    let some = [
        ("a", 10, Some("Ann \"x\" é\n"), Some(1.5)),
        ("a", 9, None, Some(f64::NAN)),
        ("b", -1, Some(""), None),
        ("ba", 7, Some("null"), Some(f64::NEG_INFINITY)),
    ];
    let mut transaction = store.begin().await;
    assert_eq!(
        transaction
            .insert(&table_name("people"), rows(vec![people(&some)]))
            .await
            .unwrap(),
        4
    );
    transaction.commit().await.unwrap();
    store
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let store = filled().await;
    let table = store.table("people").await;
    let all = [
        "a|10|Ann \"x\" é\n|1.5",
        "a|9|NULL|NaN",
        "ba|7|null|-inf",
        "b|-1||NULL",
    ];
    assert_eq!(read_all(&table).await, all);
    assert_eq!(table.statistics().rows, Some(4));
    assert_eq!(store.catalog.tables("public").await.unwrap(), ["notes", "people"]);
}

#[tokio::test]
async fn ranges_of_keys() {
    let store = filled().await;
    let table = store.table("people").await;
    let some = [col("tenant").eq(lit("a"))];
    assert_eq!(read(&table, &["id"], &some).await, ["10", "9"]);
    let text = |filters: &[_], columns: &[&str]| table.remote_text(&scan(&table, columns, filters));
    assert_eq!(text(&some, &["id"]), "1 range of keys");
    assert_eq!(
        text(&some, &["name"]),
        "1 range of keys then values at person:{tenant}:{id}"
    );
    assert_eq!(text(&[], &["id"]), "all keys person:*");
    let one = [col("tenant").eq(lit("a")), col("id").eq(lit(9))];
    assert_eq!(text(&one, &["name"]), "values at person:{tenant}:{id} for 1 key");
    assert_eq!(read(&table, &["size"], &one).await, ["NaN"]);
}

#[tokio::test]
async fn rows_are_deleted_but_not_updated() {
    let store = filled().await;
    let mut transaction = store.begin().await;
    let same = transaction
        .insert(&table_name("people"), rows(vec![people(&[("a", 9, None, None)])]))
        .await;
    let error = same.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateKey);
    assert_eq!(error.detail_text(), Some("Key \"person:a:9\" already exists."));
    drop(transaction);
    let mut transaction = store.begin().await;
    let target = transaction.target(&table_name("people")).await.unwrap();
    let locators = try_read(&target, &scan(&target, &["?row?"], &[col("tenant").eq(lit("a"))]))
        .await
        .unwrap();
    assert_eq!(
        transaction
            .delete(&table_name("people"), rows(vec![locators]))
            .await
            .unwrap(),
        2
    );
    transaction.commit().await.unwrap();
    assert_eq!(
        read(&store.table("people").await, &["id"], &[]).await,
        ["-1", "7"]
    );
    let mut transaction = store.begin().await;
    let error = transaction
        .update(&table_name("people"), rows(vec![]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let error = transaction.drop_table(&table_name("people")).await.unwrap_err();
    assert_eq!(
        error.message(),
        "dropping table kv.public.people is not supported: the configuration describes it"
    );
    transaction.truncate(&table_name("people")).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(read_all(&store.table("people").await).await.is_empty());
}

#[tokio::test]
async fn what_makes_no_key_or_value_is_refused() {
    let store = Store::with(PEOPLE);
    let mut transaction = store.begin().await;
    let odd = people(&[("a:b", 1, None, None)]);
    let error = transaction
        .insert(&table_name("people"), rows(vec![odd]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "table kv.public.people has a row whose key columns make no key"
    );
}

#[test]
fn hashes_are_refused() {
    let lines = "[[tables]]\nname = \"t\"\nkey = \"t:{a}\"\ncolumns = [\"a int\"]\n";
    let error = try_open(std::path::Path::new("x.redb"), lines).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let message = "cannot open catalog kv: tables[0] \"t\": option value is \"hash\", the embedded store has \"json\" \
                   and \"string\" only";
    assert_eq!(error.message(), message);
}

/// The laws over JSON documents, by a text that nothing follows and by numbers, which are not in order as text.
#[tokio::test(flavor = "multi_thread")]
async fn laws_over_documents() {
    let columns = vec![
        column("id", ColumnKind::Key),
        column("name", ColumnKind::TextKey),
        column("grp", ColumnKind::Group),
        column("num", ColumnKind::Integer { bits: 64 }),
        column(
            "price",
            ColumnKind::Numeric {
                precision: 30,
                scale: 6,
            },
        ),
        column("ratio", ColumnKind::Double { special: true }),
        column("day", ColumnKind::Date),
        column("at", ColumnKind::Timestamp),
        column("flag", ColumnKind::Boolean),
        column("note", ColumnKind::Text(TextKind::Unicode)),
    ];
    for key in ["d:{id}/{name}", "d:{name}"] {
        check_law(key, columns.clone()).await;
    }
}

async fn check_law(key: &str, columns: Vec<Column>) {
    let canonical = CanonicalTable::generate(columns, ROWS, 0);
    let definitions: Vec<String> = canonical
        .columns()
        .iter()
        .map(|column| {
            let data_type = match column.kind {
                ColumnKind::Key | ColumnKind::Integer { .. } => "bigint",
                ColumnKind::Group => "integer",
                ColumnKind::Numeric { .. } => "numeric(30,6)",
                ColumnKind::Double { .. } => "double precision",
                ColumnKind::Date => "date",
                ColumnKind::Timestamp => "timestamp",
                ColumnKind::Boolean => "boolean",
                _ => "text",
            };
            format!("{} {data_type}", column.name)
        })
        .collect();
    let lines =
        format!("[[tables]]\nname = \"t\"\nkey = {key:?}\nvalue = \"json\"\ncolumns = {definitions:?}\n");
    let store = Store::with(&lines);
    let mut transaction = store.begin().await;
    transaction
        .insert(&table_name("t"), rows(vec![canonical.rows().clone()]))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let table: Arc<dyn Table> = store.table("t").await;
    let shares = Shares {
        pushed: 0.05,
        lookups: 0.2,
        limits: 0.02,
        operators: 0.0,
        mates: 0.0,
        unions: 0.0,
    };
    let subject = LawSubject::new(format!("embedded {key}"), table, canonical.rows().clone());
    run_laws(&subject.shares(shares).one_of(4)).await;
}
