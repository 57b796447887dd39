//! The pushed forms still use an index: EXPLAIN of the prepared statement in a session pinned as the connector's are.

use causeway_base_sql::{
    ColumnKind, ColumnProfile, Dialect, RemoteSelect, TextEncoding, TextOrder, TextProfile, judge,
    key_condition,
};
use causeway_spi::TableName;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use crate::fixture::{filtered, load, server};

const PINNED: &str =
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = '+00:00', sql_mode = 'NO_BACKSLASH_ESCAPES'";

#[tokio::test]
async fn pushed_forms_use_the_index() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_index",
            &[
                "CREATE TABLE t (id int PRIMARY KEY, v varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
                 l varchar(50) CHARACTER SET latin1, n varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
                 dec2 decimal(10,2), day date NOT NULL, bu bigint unsigned, b varbinary(20), at datetime(3),
                 x int NOT NULL, y smallint unsigned NOT NULL, INDEX whole (x, y),
                 INDEX (v), INDEX (l), INDEX (n), INDEX (dec2), INDEX (day), INDEX pair (bu, v), INDEX (b), INDEX (at))",
                "INSERT INTO t SELECT seq, CONCAT('x', seq % 2000), CONCAT('x', seq), CONCAT('x', seq), seq / 7,
                 DATE_ADD('2000-01-01', INTERVAL seq DAY), seq, CONCAT('x', seq),
                 DATE_ADD('2000-01-01', INTERVAL seq HOUR), seq % 100, seq FROM seq_1_to_20000",
                "ANALYZE TABLE t",
            ],
        )
        .await;
    let table = load(&catalog, "causeway_index", "t").await;
    let mut admin = server.admin().await;
    admin.query_drop(PINNED).await.unwrap();
    let day = || lit(ScalarValue::Date32(Some(12_000)));
    let decimal = lit(ScalarValue::Decimal128(Some(1234), 10, 2));
    let at = lit(ScalarValue::TimestampMicrosecond(Some(978_307_200_000_000), None));
    for (filter, index) in [
        (ident("v").eq(lit("X5")), "v"),
        (ident("v").in_list(vec![lit("x5"), lit("x6")], false), "v"),
        (ident("l").eq(lit("é")), "l"),
        (
            ident("l").in_list(vec![lit("x5"), lit("x6"), lit("λ")], false),
            "l",
        ),
        (ident("n").eq(lit("x5")), "n"),
        (ident("n").between(lit("x55"), lit("x56")), "n"),
        (ident("n").like(lit("x555%")), "n"),
        (ident("dec2").eq(decimal), "dec2"),
        (ident("day").eq(day()), "day"),
        (
            ident("day").in_list(vec![day(), lit(ScalarValue::Date32(Some(11_000)))], false),
            "day",
        ),
        (ident("at").eq(at), "at"),
        (
            ident("bu").eq(lit(ScalarValue::Decimal128(Some(5), 20, 0))),
            "pair",
        ),
        (ident("b").eq(lit(ScalarValue::Binary(Some(b"x5".to_vec())))), "b"),
        (ident("id").gt(lit(19_990_i32)), "PRIMARY"),
    ] {
        let (_, condition) = judge(&filter, &table.schema(), &profiles());
        assert_indexed(
            &mut admin,
            &select(condition.unwrap()),
            index,
            &filter.to_string(),
        )
        .await;
    }
    let profiles = profiles();
    let decimal = |value| ScalarValue::Decimal128(Some(value), 20, 0);
    let keys: Vec<Vec<ScalarValue>> = (1..=500)
        .map(|n| vec![decimal(n), format!("x{n}").into()])
        .collect();
    let composite = key_condition(&[(6, &profiles[6]), (1, &profiles[1])], &keys).unwrap();
    assert_indexed(&mut admin, &select(composite), "pair", "composite keys").await;
    let keys: Vec<Vec<ScalarValue>> = (1..=500).map(|n: i32| vec![(n % 100).into(), n.into()]).collect();
    for keys in [&keys[..2], &keys[..]] {
        let whole = key_condition(&[(9, &profiles[9]), (10, &profiles[10])], keys).unwrap();
        assert_indexed(&mut admin, &select(whole), "whole", "keys of whole numbers").await;
    }
    let keys: Vec<Vec<ScalarValue>> = (1..=500).map(|n| vec![format!("x{n}").into()]).collect();
    let text = key_condition(&[(2, &profiles[2])], &keys).unwrap();
    assert_indexed(&mut admin, &select(text), "l", "text keys").await;
}

/// What the server expects of filters on an index, with those on other columns left out.
#[tokio::test]
async fn the_server_tells_how_many_rows_an_index_finds() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_estimates",
            &[
                "CREATE TABLE t (id int PRIMARY KEY, v varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
                 other int, INDEX (v))",
                "INSERT INTO t SELECT seq, CONCAT('x', seq % 2000), seq FROM seq_1_to_20000",
                "ANALYZE TABLE t",
            ],
        )
        .await;
    let table = load(&catalog, "causeway_estimates", "t").await;
    let expected = async |filters: &[Expr]| {
        let estimate = table.estimate(&filtered(table.as_ref(), filters)).await;
        estimate.map(|estimate| (estimate.rows, estimate.columns))
    };
    let (last, named) = (ident("id").gt(lit(19_990_i32)), ident("v").eq(lit("x5")));
    let other = ident("other").eq(lit(5_i32));
    assert_eq!(
        expected(&[last.clone(), other.clone()]).await,
        Some((10, vec![0]))
    );
    assert_eq!(expected(&[named]).await, Some((10, vec![1])));
    assert_eq!(expected(&[ident("id").eq(lit(7_i32))]).await, Some((1, vec![0])));
    assert_eq!(expected(&[other]).await, None);
    assert_eq!(expected(&[]).await, None);
}

async fn assert_indexed(admin: &mut Conn, select: &RemoteSelect, index: &str, what: &str) {
    let statement = select.print(Dialect::MySql, "test");
    let sql = format!("EXPLAIN {}", statement.sql.split_once("*/ ").unwrap().1);
    let params: Vec<Value> = statement.params.iter().map(bound).collect();
    let params = mysql_async::Params::Positional(params);
    let plan: Vec<Row> = admin.exec(sql.as_str(), params).await.unwrap();
    let is_of_table = |row: &&Row| row.get::<Option<String>, _>("table").unwrap().as_deref() == Some("t");
    let plan = plan.iter().find(is_of_table).unwrap();
    let (access, key): (String, Option<String>) = (plan.get("type").unwrap(), plan.get("key").unwrap());
    assert!(
        matches!(access.as_str(), "ref" | "range" | "const") && key.as_deref() == Some(index),
        "{what}: {access} on {key:?}\n{}",
        sql.chars().take(500).collect::<String>()
    );
}

/// As the connector binds them.
fn bound(value: &ScalarValue) -> Value {
    match value {
        ScalarValue::Int64(Some(value)) => Value::Int(*value),
        ScalarValue::Utf8(Some(text)) => text.as_str().into(),
        ScalarValue::Binary(Some(bytes)) => bytes.as_slice().into(),
        ScalarValue::Date32(Some(12_000)) => Value::Date(2002, 11, 9, 0, 0, 0, 0),
        ScalarValue::Date32(Some(11_000)) => Value::Date(2000, 2, 13, 0, 0, 0, 0),
        ScalarValue::TimestampMicrosecond(Some(978_307_200_000_000), None) => {
            Value::Date(2001, 1, 1, 0, 0, 0, 0)
        }
        other => panic!("{other:?}"),
    }
}

fn select(condition: causeway_base_sql::RemoteExpr) -> RemoteSelect {
    let table = TableName::new("shop", "causeway_index", "t");
    let names: Vec<_> = profiles().into_iter().map(|profile| profile.name).collect();
    RemoteSelect {
        filters: vec![condition],
        ..RemoteSelect::of_table(table, names.into(), &(0..profiles().len()).collect::<Vec<_>>())
    }
}

fn profiles() -> Vec<ColumnProfile> {
    let text = |order, encoding| {
        ColumnKind::Text(TextProfile {
            collation: "any".to_owned(),
            order,
            encoding,
        })
    };
    let zero_dates = true;
    [
        ("id", ColumnKind::Integer),
        ("v", text(TextOrder::Language, TextEncoding::Utf8)),
        ("l", text(TextOrder::Language, TextEncoding::Latin1)),
        ("n", text(TextOrder::Bytes, TextEncoding::Utf8)),
        ("dec2", ColumnKind::Decimal),
        ("day", ColumnKind::Date { zero_dates }),
        ("bu", ColumnKind::Integer),
        ("b", ColumnKind::Binary),
        (
            "at",
            ColumnKind::DateTime {
                fraction_digits: 3,
                zero_dates,
            },
        ),
        ("x", ColumnKind::Integer),
        ("y", ColumnKind::Integer),
    ]
    .map(|(name, kind)| ColumnProfile {
        name: name.to_owned(),
        native_type: "any".to_owned(),
        kind,
        nullable: true,
        sorted_whole: true,
    })
    .to_vec()
}

#[tokio::test]
async fn statistics_come_from_the_indexes() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_stats",
            &[
                "CREATE TABLE t (a int, b varchar(9) NOT NULL, c text, f float, d int NOT NULL, PRIMARY KEY (d, b),
                 INDEX (a), INDEX (c(3)), INDEX (f), INDEX (b, c(5), a), FULLTEXT (c), UNIQUE (a, d))",
                "INSERT INTO t SELECT seq % 10, seq, 'x', 1, seq FROM seq_1_to_1000",
                "ANALYZE TABLE t PERSISTENT FOR ALL",
            ],
        )
        .await;
    let table = load(&catalog, "causeway_stats", "t").await;
    let statistics = table.statistics();
    assert!((900..1100).contains(&statistics.rows.unwrap()), "{statistics:?}");
    assert!(statistics.row_bytes.unwrap() > 10);
    assert!(
        (900..1100).contains(&statistics.columns[4].distinct.unwrap()),
        "{statistics:?}"
    );
    assert!(statistics.columns[0].distinct.unwrap() <= 20, "{statistics:?}");
    let mut keys = table.lookup().unwrap().keys().to_vec();
    assert_eq!(keys[0].len(), 2, "a unique key comes first: {keys:?}");
    keys.sort();
    // Column a, its unique pair with d, b before a part of c, and the primary key (d, b); never the float.
    assert_eq!(keys, [vec![0], vec![0, 4], vec![1], vec![4], vec![4, 1]]);
}
