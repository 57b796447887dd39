//! The verdicts on columns of a dynamically typed source, and the SQL that follows from them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use causeway_spi::{TableName, Verdict};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit, not};

use crate::dynamic::{DynamicProfile, Fit, IndexCollation, ValueClass};
use crate::law::{judge, key_condition};
use crate::print::Dialect;
use crate::profile::{ColumnKind, ColumnProfile};
use crate::remote::{RemoteExpr, RemoteSelect};

#[test]
fn what_is_guaranteed_is_sent_plainly() {
    let pushed = |expr, verdict, sql| assert_pushed(Fit::Guaranteed, expr, verdict, sql);
    pushed(ident("n").eq(lit(5_i64)), Verdict::Exact, "\"n\" = 5");
    pushed(
        not(ident("n").in_list(vec![lit(5_i64), lit(6_i64)], false)),
        Verdict::Exact,
        "\"n\" NOT IN (5, 6)",
    );
    pushed(ident("n").is_null(), Verdict::Exact, "\"n\" IS NULL");
    pushed(
        ident("v").eq(lit("a'b")),
        Verdict::Exact,
        "\"v\" COLLATE BINARY = 'a''b'",
    );
    pushed(
        ident("v").not_eq(lit("a")),
        Verdict::Superset,
        "\"v\" COLLATE BINARY <> 'a'",
    );
    pushed(
        ident("folded").eq(lit("a")),
        Verdict::Exact,
        "\"folded\" COLLATE NOCASE = 'a' AND \"folded\" COLLATE BINARY = 'a'",
    );
}

#[test]
fn what_may_be_an_error_is_looked_for() {
    let pushed = |expr, sql| assert_pushed(Fit::OrError, expr, Verdict::Superset, sql);
    pushed(ident("n").eq(lit(5_i64)), "(\"n\" = 5 OR \"n\" >= '')");
    pushed(
        ident("s").lt(lit(5_i16)),
        "(\"s\" < 5 OR \"s\" >= '' OR \"s\" < -32768 OR \"s\" > 32767)",
    );
    pushed(
        ident("v").lt(lit("m")),
        "(\"v\" COLLATE BINARY < 'm' OR \"v\" COLLATE BINARY >= x'')",
    );
    pushed(
        ident("plain").eq(lit("m")),
        "(\"plain\" = 'm' OR \"plain\" >= x'')",
    );
    pushed(
        not(ident("f")),
        "(\"f\" = 0 OR \"f\" >= '' OR \"f\" < 0 OR \"f\" > 1)",
    );
    pushed(
        ident("day").eq(lit(ScalarValue::Date32(Some(19_782)))),
        "((\"day\" COLLATE BINARY >= '2024-02-29' AND \"day\" COLLATE BINARY < '2024-03-01') \
         OR \"day\" COLLATE BINARY < '0-' OR \"day\" COLLATE BINARY >= ':')",
    );
    pushed(ident("n").is_null(), "(\"n\" IS NULL OR \"n\" >= '')");
    pushed(ident("n").is_not_null(), "\"n\" IS NOT NULL");
}

#[test]
fn what_is_read_as_null_is_kept_out() {
    let pushed = |expr, verdict, sql| assert_pushed(Fit::OrNull, expr, verdict, sql);
    pushed(
        ident("n").not_eq(lit(5_i64)),
        Verdict::Exact,
        "\"n\" <> 5 AND typeof(\"n\") = 'integer'",
    );
    pushed(
        ident("s").is_null(),
        Verdict::Exact,
        "(typeof(\"s\") <> 'integer' OR \"s\" < -32768 OR \"s\" > 32767)",
    );
    pushed(ident("v").is_not_null(), Verdict::Exact, "typeof(\"v\") = 'text'");
    pushed(ident("d").is_not_null(), Verdict::Superset, "\"d\" IS NOT NULL");
    assert_declined(Fit::OrNull, ident("d").is_null());
    assert_declined(Fit::OrNull, ident("at").is_null());
}

#[test]
fn bounds_are_wide_enough_for_every_stored_form() {
    let moment = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), None));
    assert_pushed(
        Fit::OrNull,
        ident("at").eq(moment(1_709_209_800_000_000)),
        Verdict::Superset,
        "\"at\" COLLATE BINARY >= '2024-02-28' AND \"at\" COLLATE BINARY < '2024-03-02'",
    );
    let (pushdown, condition) = judged(
        Fit::OrNull,
        &ident("d").gt(lit(ScalarValue::Decimal128(Some(30), 10, 2))),
    );
    assert_eq!(pushdown.verdict, Verdict::Superset);
    let Some(RemoteExpr::Compare { value, .. }) = condition else {
        panic!("{condition:?}");
    };
    let ScalarValue::Float64(Some(low)) = value.value else {
        panic!("{value:?}");
    };
    assert!((0.289..0.295).contains(&low), "{low}");
    for fit in [Fit::Guaranteed, Fit::OrError, Fit::OrNull] {
        assert_declined(fit, ident("r").gt(lit(0.5_f64)));
        assert_declined(fit, ident("at").not_eq(moment(0)));
        assert_declined(
            fit,
            ident("d").not_eq(lit(ScalarValue::Decimal128(Some(30), 10, 2))),
        );
        assert_declined(fit, ident("day").gt(lit(ScalarValue::Date32(Some(i32::MAX)))));
        assert_declined(fit, ident("v").not_like(lit("a%")));
        assert_declined(fit, ident("v").like(lit("%a")));
        assert_declined(fit, ident("n").eq(lit("5")));
    }
}

#[test]
fn patterns_become_ranges() {
    assert_pushed(
        Fit::Guaranteed,
        ident("v").like(lit(r"a\%b%c")),
        Verdict::Superset,
        "\"v\" COLLATE BINARY >= 'a%b' AND \"v\" COLLATE BINARY < 'a%c'",
    );
}

#[test]
fn keys_are_plain() {
    let profiles = profiles(Fit::OrError);
    let keys = [vec![ScalarValue::from(5_i64)], vec![ScalarValue::from(6_i64)]];
    let condition = key_condition(&[(0, &profiles[0])], &keys).unwrap();
    assert_eq!(printed(condition), "\"n\" IN (5, 6)");
    let keys = [vec![ScalarValue::from(5_i64), ScalarValue::from("a")]];
    let condition = key_condition(&[(0, &profiles[0]), (2, &profiles[2])], &keys).unwrap();
    assert_eq!(printed(condition), "((\"n\" = 5 AND \"v\" COLLATE BINARY = 'a'))");
}

#[test]
fn long_chains_are_no_deep_trees() {
    let chain = (0..1_000_i64).fold(lit(false), |all, n| all.or(ident("n").eq(lit(n))));
    let (_, condition) = judged(Fit::Guaranteed, &chain);
    let text = select(condition.unwrap()).print(Dialect::Sqlite, "q").sql;
    assert_eq!(text.matches(") OR (").count(), 5, "{text}");
}

fn assert_pushed(fit: Fit, expr: Expr, verdict: Verdict, condition: &str) {
    let (pushdown, remote) = judged(fit, &expr);
    let remote = remote.unwrap_or_else(|| panic!("{expr} was declined: {}", pushdown.reason));
    assert_eq!(printed(remote), condition, "{expr}");
    assert_eq!(pushdown.verdict, verdict, "{expr}: {}", pushdown.reason);
    assert!(!pushdown.reason.is_empty());
}

fn assert_declined(fit: Fit, expr: Expr) {
    let (pushdown, remote) = judged(fit, &expr);
    assert_eq!(pushdown.verdict, Verdict::Declined, "{expr}");
    assert_eq!(remote, None, "{expr}");
}

fn judged(fit: Fit, expr: &Expr) -> (causeway_spi::Pushdown, Option<RemoteExpr>) {
    judge(expr, &schema(), &profiles(fit))
}

fn printed(condition: RemoteExpr) -> String {
    let text = select(condition).text(Dialect::Sqlite);
    text.split_once(" WHERE ").unwrap().1.to_owned()
}

fn select(condition: RemoteExpr) -> RemoteSelect {
    let table = TableName::new("shop", "main", "t");
    let names: Vec<_> = profiles(Fit::OrError)
        .into_iter()
        .map(|profile| profile.name)
        .collect();
    RemoteSelect {
        filters: vec![condition],
        ..RemoteSelect::of_table(table, names.into(), &[])
    }
}

fn columns() -> [(&'static str, DataType, ValueClass, Option<IndexCollation>); 10] {
    let integer = |least, most| ValueClass::Integer { least, most };
    let binary = Some(IndexCollation::Binary);
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    [
        ("n", DataType::Int64, integer(i64::MIN, i64::MAX), None),
        (
            "s",
            DataType::Int16,
            integer(i16::MIN.into(), i16::MAX.into()),
            None,
        ),
        ("v", DataType::Utf8View, ValueClass::Text, binary),
        (
            "folded",
            DataType::Utf8View,
            ValueClass::Text,
            Some(IndexCollation::NoCase),
        ),
        ("plain", DataType::Utf8View, ValueClass::Text, binary),
        ("f", DataType::Boolean, ValueClass::Boolean, None),
        ("r", DataType::Float64, ValueClass::Float, None),
        (
            "d",
            DataType::Decimal128(10, 2),
            ValueClass::Decimal { scale: 2 },
            None,
        ),
        ("day", DataType::Date32, ValueClass::Date, None),
        ("at", at, ValueClass::Moment, None),
    ]
}

fn schema() -> Schema {
    let fields = columns().map(|(name, data_type, ..)| Arc::new(Field::new(name, data_type, true)));
    Schema::new(fields.to_vec())
}

fn profiles(fit: Fit) -> Vec<ColumnProfile> {
    columns()
        .map(|(name, _, class, index_collation)| ColumnProfile {
            name: name.to_owned(),
            native_type: "some type".to_owned(),
            kind: ColumnKind::Dynamic(DynamicProfile {
                class,
                fit,
                compares_bytes: name == "plain",
                index_collation,
            }),
            nullable: true,
            sorted_whole: true,
        })
        .to_vec()
}
