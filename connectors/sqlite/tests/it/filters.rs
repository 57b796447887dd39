//! Every verdict kept, and what a filter finds of values that do not fit.

use causeway_spi::{ConnectorOptions, ErrorKind, Verdict};
use causeway_sqlite::InvalidValues;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit, not};

use crate::fixture::{Database, check, filtered, ids, load, read, scan, try_read};

const STRICT: &[&str] = &[
    "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT COLLATE NOCASE, b BLOB) STRICT",
    "INSERT INTO t VALUES (1, 5, 'Ann', x'00'), (2, -1, 'ANN', x''), (3, NULL, 'ann ', NULL),
     (4, 9223372036854775807, NULL, x'ff'), (5, 0, 'a' || char(0) || 'b', x'0001'), (6, 7, 'a%b', x'61')",
    "CREATE INDEX iv ON t (v)",
];

#[tokio::test]
async fn strict_columns_are_exact() {
    let database = Database::new(STRICT);
    let table = database.table("t").await;
    let (n, v, b) = (|| ident("n"), || ident("v"), || ident("b"));
    let bytes = |bytes: &[u8]| lit(ScalarValue::Binary(Some(bytes.to_vec())));
    let exact = [
        n().eq(lit(5_i64)),
        n().not_eq(lit(5_i64)),
        n().lt_eq(lit(0_i64)),
        n().in_list(vec![lit(5_i64), lit(7_i64), lit(ScalarValue::Int64(None))], false),
        n().in_list(vec![lit(5_i64), lit(7_i64)], true),
        not(n().between(lit(0_i64), lit(6_i64))),
        n().is_null(),
        ident("id").gt(lit(3_i64)),
        v().eq(lit("Ann")),
        v().in_list(vec![lit("ann "), lit("a\0b")], false),
        v().eq(lit("ann")).or(n().eq(lit(7_i64))),
        v().is_not_null(),
        b().eq(bytes(b"")),
        b().gt(bytes(b"\0")),
    ];
    check(table.as_ref(), &exact, Verdict::Exact).await;
    let supersets = [
        v().not_eq(lit("Ann")),
        v().lt(lit("a")),
        v().in_list(vec![lit("Ann")], true),
        v().like(lit("a%")),
        v().like(lit("A_n")),
        v().like(lit(r"a\%%")),
        v().like(lit("ann")),
        n().eq(lit(5_i64)).and(v().not_like(lit("a%"))),
    ];
    check(table.as_ref(), &supersets, Verdict::Superset).await;
    for filter in [v().like(lit("%n")), v().not_like(lit("a%")), v().ilike(lit("a%"))] {
        assert!(
            filtered(table.as_ref(), std::slice::from_ref(&filter))
                .filters
                .is_empty(),
            "{filter}"
        );
    }
}

const LOOSE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, n BIGINT, s SMALLINT, v TEXT, b BLOB, f BOOLEAN,
    d NUMERIC(10,2), day DATE, at TIMESTAMP)";

/// Filters that look at one column, the column, and values that do not fit it.
fn filters() -> Vec<(Expr, &'static str, &'static [&'static str])> {
    let day = || lit(ScalarValue::Date32(Some(19_782)));
    let at = || {
        lit(ScalarValue::TimestampMicrosecond(
            Some(1_709_209_800_000_000),
            None,
        ))
    };
    let price = || lit(ScalarValue::Decimal128(Some(1250), 10, 2));
    let others: &[&str] = &["'seven'", "''", "x''", "x'37'"];
    let small: &[&str] = &["'seven'", "x'37'", "40000", "-40000"];
    let not_texts: &[&str] = &["x''", "x'41'"];
    let not_bytes: &[&str] = &["'a'", "''", "7", "1.5"];
    let moments: &[&str] = &["'soon'", "''", "x'32'", "17", "-1.5", "'-'"];
    let null = |column: &str| ident(column).is_null();
    vec![
        (ident("n").eq(lit(5_i64)), "n", others),
        (ident("n").lt(lit(5_i64)), "n", others),
        (
            ident("n").in_list(vec![lit(5_i64), lit(6_i64)], true),
            "n",
            others,
        ),
        (null("n"), "n", others),
        (ident("s").eq(lit(5_i16)), "s", small),
        (null("s"), "s", small),
        (ident("v").eq(lit("m")), "v", not_texts),
        (ident("v").lt(lit("m")), "v", not_texts),
        (ident("v").like(lit("m%")), "v", not_texts),
        (null("v"), "v", not_texts),
        (
            ident("b").eq(lit(ScalarValue::Binary(Some(vec![0])))),
            "b",
            not_bytes,
        ),
        (null("b"), "b", not_bytes),
        (ident("f"), "f", small),
        (not(ident("f")), "f", small),
        (null("f"), "f", small),
        (ident("d").eq(price()), "d", others),
        (ident("d").gt(price()), "d", others),
        (null("d"), "d", others),
        (ident("day").eq(day()), "day", moments),
        (ident("day").lt(day()), "day", moments),
        (null("day"), "day", moments),
        (ident("at").gt_eq(at()), "at", moments),
        (ident("at").lt_eq(at()), "at", moments),
    ]
}

#[tokio::test]
async fn a_filter_never_passes_over_a_value_of_another_type() {
    for (filter, column, values) in filters() {
        for value in values {
            let insert = format!("INSERT INTO t (id, {column}) VALUES (1, NULL), (41, {value})");
            let database = Database::new(&[LOOSE, &insert]);
            let table = database.table("t").await;
            let wanted = filtered(table.as_ref(), std::slice::from_ref(&filter));
            assert_eq!(wanted.filters.len(), 1, "{filter} was declined");
            let sent = table.remote_text(&wanted);
            let error = try_read(table.as_ref(), &wanted).await.err();
            let error = error.unwrap_or_else(|| panic!("no error for {value}: {filter}\n{sent}"));
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.message().contains("rowid 41"), "{}", error.message());
            // The same without pushdown.
            let all = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
            assert_eq!(all.message(), error.message());
        }
    }
}

#[tokio::test]
async fn what_is_read_as_null_passes_as_null() {
    for (filter, column, values) in filters() {
        for value in values {
            let insert = format!(
                "INSERT INTO t (id, n, s, v, b, f, d, day, at) VALUES
                 (2, 5, 5, 'm', x'00', 1, 12.5, '2024-02-29', '2024-02-29 12:30'),
                 (3, 4, 4, 'a', x'01', 0, 12.499999999, '2024-02-28', '2024-02-29 12:30:00.1');
                 INSERT INTO t (id, {column}) VALUES (1, NULL), (41, {value})"
            );
            let database = Database::new(&[LOOSE, &insert]);
            let mut options = database.options();
            options.invalid = InvalidValues::Null;
            let table = load(&options.open("shop").unwrap(), "t").await;
            let wanted = filtered(table.as_ref(), std::slice::from_ref(&filter));
            let Some(pushed) = wanted.filters.first() else {
                continue;
            };
            check(
                table.as_ref(),
                std::slice::from_ref(&filter),
                pushed.pushdown.verdict,
            )
            .await;
        }
    }
}

#[tokio::test]
async fn stored_doubles_are_found_by_their_decimals() {
    let database = Database::new(&[
        LOOSE,
        "INSERT INTO t (id, d) VALUES (1, 0.1 + 0.2), (2, 0.3), (3, 0.304), (4, 0.305), (5, 0), (6, 99999999.99),
         (7, -99999999.99), (8, 99999999), (9, 0.295)",
    ]);
    let table = database.table("t").await;
    let decimal = |digits| lit(ScalarValue::Decimal128(Some(digits), 10, 2));
    let d = || ident("d");
    let mut filters = Vec::new();
    for digits in [30, 31, 29, 0, 9_999_999_999, -9_999_999_999, 9_999_999_900] {
        filters.extend([
            d().eq(decimal(digits)),
            d().lt(decimal(digits)),
            d().lt_eq(decimal(digits)),
            d().gt(decimal(digits)),
            d().gt_eq(decimal(digits)),
            d().in_list(vec![decimal(digits), decimal(1)], false),
        ]);
    }
    check(table.as_ref(), &filters, Verdict::Superset).await;
}

#[tokio::test]
async fn moments_are_found_in_every_spelling() {
    let database = Database::new(&[
        LOOSE,
        "INSERT INTO t (id, at, day) VALUES (1, '2024-02-29 12:30', '2024-02-29'),
         (2, '2024-02-29T12:30:00Z', '2024-02-29T00:00:00'), (3, '2024-03-01 01:30:00 +13:00', '2024-02-28'),
         (4, '2024-02-28 23:30-13:00', '2024-03-01'), (5, '2024-02-29 12:30:00.000001', NULL),
         (6, '2024-02-29', '0001-01-01'), (7, '9999-12-31 23:59:59.999999', '9999-12-31')",
    ]);
    let table = database.table("t").await;
    let at = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), None));
    let day = |days| lit(ScalarValue::Date32(Some(days)));
    let mut filters = Vec::new();
    for micros in [1_709_209_800_000_000, 1_709_164_800_000_000] {
        for filter in [Expr::eq, Expr::lt, Expr::lt_eq, Expr::gt, Expr::gt_eq] {
            filters.push(filter(ident("at"), at(micros)));
        }
    }
    for filter in [Expr::eq, Expr::lt, Expr::lt_eq, Expr::gt, Expr::gt_eq] {
        filters.push(filter(ident("day"), day(19_782)));
    }
    filters.push(ident("day").gt_eq(day(2_932_896)));
    filters.push(ident("day").in_list(vec![day(19_782), day(19_783)], false));
    check(table.as_ref(), &filters, Verdict::Superset).await;
    let beyond = ident("day").lt(day(2_932_896));
    assert!(filtered(table.as_ref(), &[beyond]).filters.is_empty());
}

#[tokio::test]
async fn utf16_and_unknown_collations_are_not_trusted() {
    let database = Database::new(&[
        "PRAGMA encoding = 'UTF-16le'",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES (1, 'ä😀')",
    ]);
    let table = database.table("t").await;
    let wanted = filtered(
        table.as_ref(),
        &[ident("v").gt(lit("a")), ident("id").eq(lit(1_i64))],
    );
    assert_eq!(wanted.filters.len(), 1);
    assert_eq!(ids(&read(table.as_ref(), &wanted).await), [1]);
    let database = Database::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        // What an application with a collation of its own leaves behind.
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'klingon')",
    ]);
    let table = database.table("t").await;
    check(
        table.as_ref(),
        &[ident("v").eq(lit("a")), ident("v").gt(lit("a"))],
        Verdict::Superset,
    )
    .await;
}

#[tokio::test]
async fn long_conditions_stay_within_the_limits() {
    let database = Database::new(STRICT);
    let table = database.table("t").await;
    let chain = (0..450_i64).fold(lit(false), |all, n| all.or(ident("n").eq(lit(n))));
    let list = ident("n").in_list((0..4_000_i64).map(lit).collect(), false);
    let deep = (0..20_i64).fold(ident("n").eq(lit(7_i64)), |inner, n| {
        inner
            .or(ident("n").eq(lit(n)).and(ident("id").gt(lit(100_i64))))
            .and(ident("id").gt(lit(-n)))
    });
    let wanted = filtered(table.as_ref(), &[chain]);
    assert_eq!(ids(&read(table.as_ref(), &wanted).await), [1, 5, 6]);
    check(table.as_ref(), &[list, deep], Verdict::Exact).await;
    let many: Vec<Expr> = (0..10)
        .map(|n| ident("n").in_list((n..4_000 + n).map(|n: i64| lit(n)).collect(), false))
        .collect();
    let error = try_read(table.as_ref(), &filtered(table.as_ref(), &many))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}
