//! The law book's verdicts and the exact SQL that follows from them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use causeway_spi::{TableName, Verdict};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, col, lit, not};
use datafusion::prelude::Column;

use crate::print::Dialect;
use crate::profile::{ColumnKind, ColumnProfile, TextEncoding, TextOrder, TextProfile};
use crate::remote::RemoteSelect;

use super::{judge, key_condition};

const SUPERSET: Verdict = Verdict::Superset;
const EXACT: Verdict = Verdict::Exact;

#[test]
fn integers_are_exact() {
    assert_pushed(c("i").eq(lit(5_i32)), EXACT, "`i` = 5");
    assert_pushed(lit(5_i32).lt(c("i")), EXACT, "`i` > 5");
    assert_pushed(not(c("i").gt_eq(lit(5_i64))), EXACT, "`i` < 5");
    assert_pushed(c("big").eq(decimal(5, 20, 0)), EXACT, "`big` = 5");
    let largest = i128::from(u64::MAX);
    assert_pushed(
        c("big").lt_eq(decimal(largest, 20, 0)),
        EXACT,
        "`big` <= 18446744073709551615",
    );
    assert_declined(c("i").eq(lit(5.5_f64)));
    assert_declined(c("i").eq(lit("5")));
    assert_declined(cast(c("i"), DataType::Int64).eq(lit(5_i64)));
}

#[test]
fn decimals_are_bound_as_decimals() {
    assert_pushed(
        c("d").lt(decimal(1250, 10, 2)),
        EXACT,
        "`d` < CAST('12.50' AS DECIMAL(10,2))",
    );
    assert_pushed(
        c("d").not_eq(decimal(-5, 10, 2)),
        EXACT,
        "`d` <> CAST('-0.05' AS DECIMAL(10,2))",
    );
    assert_declined(c("d").eq(lit(12.5_f64)));
}

#[test]
fn floats_and_opaque_columns_are_declined() {
    assert_declined(c("f").eq(lit(1.0_f64)));
    assert_pushed(c("f").is_null(), EXACT, "`f` IS NULL");
    assert_declined(c("e").eq(lit("red")));
    assert_declined(c("e").is_null());
    assert_declined(c("e").like(lit("r%")));
    assert_declined(c("missing").eq(lit(1_i32)));
    assert_declined(c("i").eq(c("e")));
}

#[test]
fn text_equality_has_two_halves() {
    assert_pushed(
        c("ci").eq(lit("al'ice")),
        EXACT,
        "(`ci` = 'al''ice' AND CAST(`ci` AS BINARY) = CAST('al''ice' AS BINARY))",
    );
    assert_pushed(
        c("ci").in_list(vec![lit("a"), lit("b"), null()], false),
        EXACT,
        "(`ci` IN ('a', 'b') AND CAST(`ci` AS BINARY) IN (CAST('a' AS BINARY), CAST('b' AS BINARY)))",
    );
    assert_pushed(
        c("latin").eq(lit("é")),
        EXACT,
        "(`latin` = 'é' AND CAST(CONVERT(`latin` USING utf8mb4) AS BINARY) = CAST('é' AS BINARY))",
    );
    assert_pushed(
        c("other").eq(lit("é")),
        EXACT,
        "CAST(CONVERT(`other` USING utf8mb4) AS BINARY) = CAST('é' AS BINARY)",
    );
    assert_pushed(c("bin").eq(lit("é")), EXACT, "`bin` = 'é'");
    assert_declined(c("strange").eq(lit("a")));
}

#[test]
fn text_that_cannot_be_held_equals_nothing() {
    assert_pushed(c("latin").eq(lit("λ")), EXACT, "FALSE");
    assert_pushed(
        c("latin").in_list(vec![lit("λ"), lit("a")], false),
        EXACT,
        "(`latin` = 'a' AND CAST(CONVERT(`latin` USING utf8mb4) AS BINARY) = CAST('a' AS BINARY))",
    );
    assert_pushed(
        c("latin").not_eq(lit("λ")),
        EXACT,
        "CAST(CONVERT(`latin` USING utf8mb4) AS BINARY) <> CAST('λ' AS BINARY)",
    );
}

#[test]
fn other_text_comparisons_are_binary() {
    assert_pushed(
        c("ci").gt(lit("m")),
        EXACT,
        "CAST(`ci` AS BINARY) > CAST('m' AS BINARY)",
    );
    assert_pushed(
        not(c("ci").eq(lit("m"))),
        EXACT,
        "CAST(`ci` AS BINARY) <> CAST('m' AS BINARY)",
    );
    assert_pushed(
        c("ci").in_list(vec![lit("m")], true),
        EXACT,
        "(CAST(`ci` AS BINARY) IN (CAST('m' AS BINARY))) IS FALSE",
    );
    assert_pushed(
        c("bin").between(lit("a"), lit("b")),
        EXACT,
        "(`bin` >= 'a' AND `bin` <= 'b')",
    );
}

#[test]
fn patterns_are_sent_without_language_rules() {
    assert_pushed(
        c("ci").like(lit(r"5\%!%")),
        EXACT,
        "`ci` COLLATE utf8mb4_bin LIKE '5!%!!%' ESCAPE '!'",
    );
    assert_pushed(
        c("latin").not_like(lit("a_")),
        EXACT,
        "CONVERT(`latin` USING utf8mb4) COLLATE utf8mb4_bin NOT LIKE 'a_' ESCAPE '!'",
    );
    assert_pushed(
        not(c("bin").like(lit("a%"))),
        EXACT,
        "`bin` COLLATE utf8mb4_bin NOT LIKE 'a%' ESCAPE '!'",
    );
    assert_pushed(
        c("bin").like(lit("a%z")),
        EXACT,
        "(`bin` >= 'a' AND `bin` < 'b' AND `bin` COLLATE utf8mb4_bin LIKE 'a%z' ESCAPE '!')",
    );
    assert_declined(c("ci").ilike(lit("a%")));
    assert_declined(c("i").like(lit("a%")));
}

#[test]
fn nulls_follow_three_valued_logic() {
    assert_pushed(c("i").eq(lit(ScalarValue::Int32(None))), EXACT, "FALSE");
    assert_pushed(not(c("i").eq(lit(ScalarValue::Int32(None)))), EXACT, "FALSE");
    assert_pushed(
        c("i").in_list(vec![lit(1_i32), lit(ScalarValue::Int32(None))], true),
        EXACT,
        "FALSE",
    );
    assert_pushed(
        not(c("i").in_list(vec![lit(1_i32), lit(ScalarValue::Int32(None))], true)),
        EXACT,
        "`i` IN (1)",
    );
    assert_pushed(not(c("i").is_null()), EXACT, "`i` IS NOT NULL");
    assert_pushed(
        c("i").not_between(lit(1_i32), lit(ScalarValue::Int32(None))),
        EXACT,
        "(`i` < 1 OR FALSE)",
    );
    assert_pushed(lit(true), EXACT, "TRUE");
    assert_pushed(lit(ScalarValue::Boolean(None)), EXACT, "FALSE");
}

#[test]
fn dates_are_guarded_where_zero_dates_could_pass() {
    let day = lit(ScalarValue::Date32(Some(19_000)));
    assert_pushed(c("day").eq(day.clone()), EXACT, "`day` = '2022-01-08'");
    assert_pushed(
        c("day").lt(day.clone()),
        EXACT,
        &guarded("`day` < '2022-01-08'", "day"),
    );
    assert_pushed(
        c("day").not_eq(day.clone()),
        EXACT,
        &guarded("`day` <> '2022-01-08'", "day"),
    );
    assert_pushed(
        not(c("day").eq(day.clone())),
        EXACT,
        &guarded("`day` <> '2022-01-08'", "day"),
    );
    assert_pushed(c("day").is_not_null(), EXACT, &real("day"));
    assert_pushed(c("day").is_null(), EXACT, &format!("{} IS NOT TRUE", real("day")));
    assert_pushed(
        not(c("day").is_not_null()),
        EXACT,
        &format!("{} IS NOT TRUE", real("day")),
    );
    assert_declined(c("day").gt(lit(ScalarValue::Date32(Some(i32::MAX)))));
    assert_pushed(
        c("day").eq(lit(ScalarValue::Date32(Some(i32::MAX)))),
        EXACT,
        "FALSE",
    );
}

#[test]
fn columns_of_one_kind_are_compared() {
    assert_pushed(c("i").lt(c("i")), EXACT, "`i` < `i`");
    assert_pushed(
        cast(c("i"), DataType::Decimal128(20, 0)).gt_eq(c("big")),
        EXACT,
        "`i` >= `big`",
    );
    assert_pushed(not(c("d").eq(c("d"))), EXACT, "`d` <> `d`");
    assert_pushed(
        c("ci").eq(c("latin")),
        EXACT,
        "CAST(`ci` AS BINARY) = CAST(CONVERT(`latin` USING utf8mb4) AS BINARY)",
    );
    let guards = format!("(`day` <= `day` AND {0} AND {0})", real("day"));
    assert_pushed(c("day").lt_eq(c("day")), EXACT, &guards);
    for declined in [
        c("f").lt(c("f")),
        c("i").lt(c("d")),
        c("i").lt(cast(c("d"), DataType::Int32)),
        c("ci").eq(c("strange")),
        c("e").eq(c("e")),
        c("day").lt(cast(c("at"), DataType::Date32)),
        c("at").lt(c("moment")),
    ] {
        assert_declined(declined);
    }
}

#[test]
fn times_move_to_the_columns_grid() {
    let fine = || lit(ScalarValue::TimestampMicrosecond(Some(1_500_000), None));
    assert_pushed(c("at").eq(fine()), EXACT, "FALSE");
    assert_pushed(c("at").not_eq(fine()), EXACT, &guarded("`at` IS NOT NULL", "at"));
    assert_pushed(
        c("at").lt(fine()),
        EXACT,
        &guarded("`at` <= '1970-01-01T00:00:01'", "at"),
    );
    assert_pushed(
        c("at").gt_eq(fine()),
        EXACT,
        &guarded("`at` > '1970-01-01T00:00:01'", "at"),
    );
    let moment = |micros| {
        lit(ScalarValue::TimestampMicrosecond(
            Some(micros),
            Some("UTC".into()),
        ))
    };
    assert_pushed(
        c("moment").eq(moment(2_500_000)),
        EXACT,
        "`moment` = '1970-01-01T00:00:02.500'",
    );
    assert_declined(c("moment").eq(moment(-1)));
    assert_declined(c("moment").gt(moment(i64::MAX / 2)));
}

#[test]
fn and_sends_what_it_can_and_or_needs_all() {
    let declined = || c("f").gt(lit(1.0_f64));
    assert_pushed(c("i").eq(lit(1_i32)).and(declined()), SUPERSET, "`i` = 1");
    assert_declined(c("i").eq(lit(1_i32)).or(declined()));
    assert_declined(not(c("i").eq(lit(1_i32)).and(declined())));
    assert_pushed(not(c("i").eq(lit(1_i32)).or(declined())), SUPERSET, "`i` <> 1");
    assert_pushed(
        c("i")
            .eq(lit(1_i32))
            .or(c("i").gt(lit(5_i32)).and(c("d").is_null())),
        EXACT,
        "(`i` = 1 OR (`i` > 5 AND `d` IS NULL))",
    );
}

#[test]
fn long_chains_and_deep_trees_are_survived() {
    let chain = (0..3_000_i32).fold(lit(false), |all, n| all.or(c("i").eq(lit(n))));
    let (pushdown, _) = judged(&chain);
    assert_eq!(pushdown.verdict, EXACT);
    let deep = (0..100).fold(c("i").eq(lit(1_i32)), |inner, _| not(inner));
    assert_eq!(judged(&deep).0.verdict, Verdict::Declined);
    let list = (0..5_000_i32).map(lit).collect();
    assert_eq!(judged(&c("i").in_list(list, false)).0.verdict, Verdict::Declined);
}

#[test]
fn keys_are_conditions_with_both_halves() {
    let profiles = profiles();
    let int = |value| ScalarValue::Int32(Some(value));
    let one = key_condition(&[(0, &profiles[0])], &[vec![int(1)], vec![int(2)]]);
    assert_eq!(printed(one.unwrap()), "`i` IN (1, 2)");
    let latin = profiles
        .iter()
        .position(|profile| profile.name == "latin")
        .unwrap();
    let columns = [(0, &profiles[0]), (latin, &profiles[latin])];
    let keys = [vec![int(1), "a".into()], vec![int(2), "λ".into()]];
    assert_eq!(
        printed(key_condition(&columns, &keys).unwrap()),
        "((`i` = 1 AND `latin` = 'a' AND CAST(CONVERT(`latin` USING utf8mb4) AS BINARY) = CAST('a' AS BINARY)))"
    );
    assert_eq!(key_condition(&columns, &keys[1..]), None);
}

#[test]
fn composite_keys_of_whole_numbers_are_one_list() {
    let profiles = profiles();
    let int = |value| ScalarValue::Int32(Some(value));
    let long = |value| ScalarValue::Int64(Some(value));
    let columns = [(1, &profiles[1]), (0, &profiles[0])];
    let keys = [
        vec![long(1), int(2)],
        vec![long(-3), int(4)],
        vec![long(-3), int(4)],
    ];
    let several = key_condition(&columns, &keys).unwrap();
    assert_eq!(several.values_len(), 6);
    assert_eq!(
        select(several.clone())
            .text(Dialect::Sqlite)
            .split_once(" WHERE ")
            .unwrap()
            .1,
        r#"(("big" = 1 AND "i" = 2) OR ("big" = -3 AND "i" = 4) OR ("big" = -3 AND "i" = 4))"#
    );
    assert_eq!(
        printed(several),
        "(`big`, `i`) IN (SELECT * FROM (SELECT CAST(1 AS SIGNED) AS k0, CAST(2 AS SIGNED) AS k1 \
         UNION ALL SELECT CAST(-3 AS SIGNED), CAST(4 AS SIGNED) UNION ALL SELECT CAST(-3 AS SIGNED), CAST(4 AS SIGNED)) AS k)"
    );
    let one = key_condition(&columns, &keys[..1]).unwrap();
    assert_eq!(printed(one), "((`big` = 1 AND `i` = 2))");
}

#[test]
fn names_are_quoted_and_literals_bound() {
    let (_, condition) = judged(&c("ci").eq(lit("x` OR 1")));
    let names: Vec<_> = profiles().into_iter().map(|profile| profile.name).collect();
    let table = TableName::new("shop", "d`b", "t`");
    let mut select = RemoteSelect {
        filters: vec![condition.unwrap()],
        limit: Some(7),
        ..RemoteSelect::of_table(table, names.into(), &[0, 1])
    };
    let statement = select.print(Dialect::MySql, "q-1 */ DROP");
    assert_eq!(
        statement.sql,
        "/* causeway q-1DROP */ SELECT `i` AS c0, `big` AS c1 FROM `d``b`.`t``` \
         WHERE (`ci` = ? AND CAST(`ci` AS BINARY) = CAST(? AS BINARY)) LIMIT 7"
            .replace("WHERE (", "WHERE ")
            .replace(")) LIMIT", ") LIMIT")
    );
    assert_eq!(statement.params, vec![ScalarValue::from("x` OR 1"); 2]);
    select.outputs.clear();
    select.filters.clear();
    select.limit = None;
    assert_eq!(select.text(Dialect::MySql), "SELECT 1 AS c0 FROM `d``b`.`t```");
}

fn c(name: &str) -> Expr {
    col(Column::new_unqualified(name))
}

fn null() -> Expr {
    lit(ScalarValue::Utf8(None))
}

fn decimal(digits: i128, precision: u8, scale: i8) -> Expr {
    lit(ScalarValue::Decimal128(Some(digits), precision, scale))
}

/// The guard against days of `column` that are not in the calendar.
fn real(column: &str) -> String {
    format!(
        "(DAYOFMONTH(`{column}`) BETWEEN 1 AND DAYOFMONTH(LAST_DAY(`{column}`)) AND YEAR(`{column}`) > 0)"
    )
}

fn guarded(condition: &str, column: &str) -> String {
    format!("({condition} AND {})", real(column))
}

fn assert_pushed(expr: Expr, verdict: Verdict, condition: &str) {
    let (pushdown, remote) = judged(&expr);
    let remote = remote.unwrap_or_else(|| panic!("{expr} was declined: {}", pushdown.reason));
    assert_eq!(printed(remote), condition.trim(), "{expr}");
    assert_eq!(pushdown.verdict, verdict, "{expr}: {}", pushdown.reason);
    assert!(!pushdown.reason.is_empty());
}

fn assert_declined(expr: Expr) {
    let (pushdown, remote) = judged(&expr);
    assert_eq!(pushdown.verdict, Verdict::Declined, "{expr}");
    assert_eq!(remote, None, "{expr}");
    assert!(!pushdown.reason.is_empty());
}

fn judged(expr: &Expr) -> (causeway_spi::Pushdown, Option<crate::remote::RemoteExpr>) {
    judge(expr, &schema(), &profiles())
}

/// The condition as EXPLAIN shows it, within parentheses if it is a group of its own.
fn printed(condition: crate::remote::RemoteExpr) -> String {
    let grouped = matches!(
        &condition,
        crate::remote::RemoteExpr::And(members) if members.len() > 1
    );
    let text = select(condition).text(Dialect::MySql);
    let (_, condition) = text.split_once(" WHERE ").unwrap();
    match grouped {
        true => format!("({condition})"),
        false => condition.to_owned(),
    }
}

fn select(condition: crate::remote::RemoteExpr) -> RemoteSelect {
    let table = TableName::new("shop", "db", "t");
    let names: Vec<_> = profiles().into_iter().map(|profile| profile.name).collect();
    RemoteSelect {
        filters: vec![condition],
        ..RemoteSelect::of_table(table, names.into(), &[])
    }
}

fn schema() -> Schema {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Schema::new(
        [
            ("i", DataType::Int32),
            ("big", DataType::Decimal128(20, 0)),
            ("d", DataType::Decimal128(10, 2)),
            ("f", DataType::Float64),
            ("ci", DataType::Utf8View),
            ("latin", DataType::Utf8View),
            ("other", DataType::Utf8View),
            ("bin", DataType::Utf8View),
            ("strange", DataType::Utf8View),
            ("e", DataType::Utf8View),
            ("day", DataType::Date32),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("moment", utc),
        ]
        .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
        .to_vec(),
    )
}

fn profiles() -> Vec<ColumnProfile> {
    let zero_dates = true;
    [
        ("i", ColumnKind::Integer),
        ("big", ColumnKind::Integer),
        ("d", ColumnKind::Decimal),
        ("f", ColumnKind::Float),
        ("ci", text(TextOrder::Language, TextEncoding::Utf8)),
        ("latin", text(TextOrder::Language, TextEncoding::Latin1)),
        ("other", text(TextOrder::Language, TextEncoding::Converted)),
        ("bin", text(TextOrder::Bytes, TextEncoding::Utf8)),
        ("strange", text(TextOrder::Language, TextEncoding::Unknown)),
        ("e", ColumnKind::Opaque),
        ("day", ColumnKind::Date { zero_dates }),
        (
            "at",
            ColumnKind::DateTime {
                fraction_digits: 0,
                zero_dates,
            },
        ),
        (
            "moment",
            ColumnKind::Timestamp {
                fraction_digits: 6,
                zero_dates,
            },
        ),
    ]
    .map(|(name, kind)| ColumnProfile {
        name: name.to_owned(),
        native_type: "some type".to_owned(),
        kind,
        nullable: true,
        sorted_whole: true,
    })
    .to_vec()
}

fn text(order: TextOrder, encoding: TextEncoding) -> ColumnKind {
    ColumnKind::Text(TextProfile {
        collation: "some_collation".to_owned(),
        order,
        encoding,
    })
}
