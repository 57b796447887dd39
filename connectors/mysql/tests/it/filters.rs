//! Every verdict kept: what the server returns for a pushed filter against its evaluation here.

use std::sync::Arc;

use causeway_spi::Table;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit, not};

use crate::fixture::{check, filtered, load, read, scan, server, texts};

const TEXTS: [&str; 24] = [
    "Alice", "alice", "alice ", "ALICE", "álice", "alice\t", "al_ce", "al%ce", "al\\ce", "al!ce", "", " ",
    "a", "b", "ß", "ss", "SS", "é", "e\u{301}", "€", "😀", "日本", "İ", "a\nb",
];

/// Columns, and whether a character outside of them is stored as NULL.
const COLLATIONS: [(&str, &str); 14] = [
    (
        "general",
        "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    ),
    (
        "unicode",
        "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    ),
    (
        "nopad_ci",
        "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_nopad_ci",
    ),
    ("bin", "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
    (
        "nopad_bin",
        "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
    ),
    (
        "char_ci",
        "char(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    ),
    (
        "char_nopad",
        "char(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
    ),
    (
        "three",
        "varchar(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci",
    ),
    (
        "three_bin",
        "varchar(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_nopad_bin",
    ),
    (
        "swedish",
        "varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    ),
    (
        "german",
        "varchar(20) CHARACTER SET latin1 COLLATE latin1_german2_ci",
    ),
    ("sjis", "varchar(20) CHARACTER SET sjis"),
    ("wide", "varchar(20) CHARACTER SET utf16"),
    ("lengthy", "text CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
];

#[tokio::test]
async fn text_filters_return_the_rows_of_this_engine() {
    let Some(server) = server() else { return };
    let statements = text_table();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let catalog = server.database("causeway_text", &statements).await;
    let table = load(&catalog, "causeway_text", "words").await;
    let stored = read(table.as_ref(), &scan(table.as_ref())).await;
    assert_eq!(texts(&stored, "general")[..TEXTS.len()], TEXTS);
    for (column, _) in COLLATIONS {
        let filters = text_filters(column);
        let seen = check(table.as_ref(), &filters).await;
        assert_eq!(seen.exact, filters.len(), "{column}: {seen:?}");
    }
}

fn text_table() -> Vec<String> {
    let columns: Vec<String> = COLLATIONS
        .iter()
        .map(|(name, definition)| {
            let index = if *name == "lengthy" {
                String::new()
            } else {
                format!(", INDEX ({name})")
            };
            format!("{name} {definition}{index}")
        })
        .collect();
    let mut statements = vec![format!(
        "CREATE TABLE words (id int PRIMARY KEY, {})",
        columns.join(", ")
    )];
    let names = COLLATIONS.map(|(name, _)| name).join(", ");
    for (id, text) in TEXTS.iter().enumerate() {
        let text = text.replace('\\', "\\\\");
        let values: Vec<String> = COLLATIONS.iter().map(|_| format!("'{text}'")).collect();
        // Not strict: what a character set cannot hold is stored as question marks.
        statements.push(format!(
            "INSERT INTO words (id, {names}) VALUES ({id}, {})",
            values.join(", ")
        ));
    }
    statements.push("INSERT INTO words (id) VALUES (1000)".to_owned());
    statements
}

fn text_filters(column: &str) -> Vec<Expr> {
    let c = || ident(column);
    let null = || lit(ScalarValue::Utf8(None));
    let mut filters = vec![
        c().is_null(),
        c().is_not_null(),
        c().eq(null()),
        c().in_list(vec![lit("alice"), lit("ß"), null(), lit("😀")], false),
        c().in_list(vec![lit("alice"), lit("ß"), lit("😀")], true),
        c().in_list(vec![lit("alice"), null()], true),
        c().in_list(vec![lit("😀")], false),
        not(c().in_list(vec![lit("alice"), lit("?")], false)),
        c().between(lit("B"), lit("b")),
        c().not_between(lit("a"), lit("b")),
        c().eq(lit("alice")).or(c().gt(lit("é"))),
        not(c().eq(lit("alice")).and(ident("id").gt(lit(0_i32)))),
    ];
    for text in TEXTS.iter().copied().chain(["?", "zzz", "AL"]) {
        filters.extend([
            c().eq(lit(text)),
            lit(text).not_eq(c()),
            not(c().eq(lit(text))),
            c().lt(lit(text)),
            c().gt_eq(lit(text)),
        ]);
    }
    for pattern in [
        "al%", "%ce", "al_ce", r"al\_ce", r"al\%ce", r"al\\ce", "al!ce", "%!%", "_", "__", "%", "", r"a\",
        "ALICE", "%\n%", "😀", "a%b", "% ", "s_",
    ] {
        filters.extend([c().like(lit(pattern)), c().not_like(lit(pattern))]);
    }
    filters
}

/// All character sets of the server: what is stored is read, and no verdict is broken.
#[tokio::test]
async fn every_character_set_is_read_and_filtered() {
    use mysql_async::prelude::Queryable;
    let Some(server) = server() else { return };
    let mut admin = server.admin().await;
    let charsets: Vec<String> = admin
        .query("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS ORDER BY 1")
        .await
        .unwrap();
    let charsets: Vec<&str> = charsets
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "binary")
        .collect();
    assert!(charsets.len() >= 38, "{charsets:?}");
    let columns: Vec<String> = charsets
        .iter()
        .map(|name| format!("c_{name} varchar(20) CHARACTER SET {name}, INDEX (c_{name})"))
        .collect();
    let texts_here = [
        "Ann", "ann", "ann ", "", "a_b", "Zoë", "ß", "Жук", "λ", "日本", "ﾊﾝ", "€", "\u{a0}", "😀",
    ];
    let mut statements = vec![format!(
        "CREATE TABLE sets (id int PRIMARY KEY, {})",
        columns.join(", ")
    )];
    for (id, text) in texts_here.iter().enumerate() {
        let cells = vec![format!("'{text}'"); charsets.len()];
        statements.push(format!("INSERT INTO sets VALUES ({id}, {})", cells.join(", ")));
    }
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let catalog = server.database("causeway_sets", &statements).await;
    let table = load(&catalog, "causeway_sets", "sets").await;
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    let mut unknown = Vec::new();
    for name in charsets {
        let column = format!("c_{name}");
        let stored = texts(&rows, &column);
        assert_eq!(stored[..5], texts_here[..5], "{name}");
        let c = || ident(column.as_str());
        let mut filters = vec![
            c().in_list(vec![lit("ann"), lit("日本"), lit("ß")], false),
            c().in_list(vec![lit("ann"), lit("λ")], true),
            c().gt(lit("a")),
            c().lt_eq(lit("ß")),
            c().like(lit("_nn%")),
            c().like(lit("%本")),
            c().is_null(),
        ];
        filters.extend(
            stored
                .iter()
                .chain(&texts_here.map(str::to_owned))
                .flat_map(|text| [c().eq(lit(text.as_str())), c().not_eq(lit(text.as_str()))]),
        );
        let seen = check(table.as_ref(), &filters).await;
        match seen.declined {
            0 => assert_eq!(seen.exact, filters.len(), "{name}: {seen:?}"),
            // IS NULL needs to know nothing of the text.
            _ => {
                assert_eq!((seen.exact, seen.superset), (1, 0), "{name}: {seen:?}");
                unknown.push(name);
            }
        }
    }
    println!("not known: {unknown:?}");
    for known in [
        "utf8mb4", "utf8mb3", "latin1", "ucs2", "utf16", "utf32", "sjis", "cp932", "gbk", "big5", "ujis",
        "ascii",
    ] {
        assert!(!unknown.contains(&known), "{known}");
    }
}

/// Enough rows that the server reads ranges by the indexes: what it makes of a pattern there misses rows.
#[tokio::test]
async fn an_index_loses_no_character() {
    let Some(server) = server() else { return };
    const BEGINNINGS: [&str; 14] = [
        "a",
        "ab",
        "a\0",
        "a\t",
        "a  ",
        "a\u{FFFD}",
        "a\u{FFFF}",
        "a\u{10000}",
        "a🦀",
        "a🦀b",
        "a\u{10FFFD}",
        "🦀",
        "🦀a",
        "🦀🦀",
    ];
    let columns = ["nopad", "pad", "unicode", "general", "three"];
    let values: Vec<String> = BEGINNINGS
        .iter()
        .enumerate()
        .map(|(id, text)| {
            let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
            let three = text.chars().all(|c| c <= '\u{FFFF}');
            let value = format!("CONVERT(x'{hex}' USING utf8mb4)");
            let narrow = if three { value.as_str() } else { "NULL" };
            format!("({id}, {value}, {value}, {value}, {value}, {narrow})")
        })
        .collect();
    let catalog = server
        .database(
            "causeway_planes",
            &[
                "CREATE TABLE t (id int PRIMARY KEY, nopad varchar(20) COLLATE utf8mb4_nopad_bin,
                 pad varchar(20) COLLATE utf8mb4_bin, unicode varchar(20) COLLATE utf8mb4_unicode_ci,
                 general varchar(20) COLLATE utf8mb4_general_ci, three varchar(20) COLLATE utf8mb3_nopad_bin,
                 INDEX (nopad), INDEX (pad), INDEX (unicode), INDEX (general), INDEX (three)) CHARACTER SET utf8mb4",
                &format!("INSERT INTO t VALUES {}", values.join(", ")),
                "INSERT INTO t SELECT 100 + seq, CONCAT('q', seq), CONCAT('q', seq), CONCAT('q', seq), CONCAT('q', seq),
                 CONCAT('q', seq) FROM seq_1_to_2000",
                "ANALYZE TABLE t",
            ],
        )
        .await;
    let table: Arc<dyn Table> = load(&catalog, "causeway_planes", "t").await;
    let matching = read(
        table.as_ref(),
        &filtered(table.as_ref(), &[ident("nopad").like(lit("a%"))]),
    )
    .await;
    assert_eq!(matching.num_rows(), 11);
    let mut filters = Vec::new();
    for column in columns {
        let c = || ident(column);
        for pattern in [
            "a%",
            "a_",
            "a_%",
            "a__",
            "a%b",
            "🦀%",
            "🦀_",
            "🦀_%",
            "a\u{FFFF}%",
            "a\u{10FFFD}%",
        ] {
            filters.extend([c().like(lit(pattern)), c().not_like(lit(pattern))]);
        }
        for text in BEGINNINGS {
            filters.extend(comparisons(column, &lit(text)));
        }
    }
    let seen = check(table.as_ref(), &filters).await;
    assert_eq!((seen.exact, seen.superset), (filters.len(), 0), "{seen:?}");
}

/// Lists with values that a column cannot hold: enough rows that the server reads ranges by the indexes.
#[tokio::test]
async fn an_index_loses_no_number() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_extremes",
            &[
                "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, tiny tinyint, small smallint, mid mediumint, whole int,
                 utiny tinyint unsigned, INDEX (tiny), INDEX (small), INDEX (mid), INDEX (whole), INDEX (utiny))",
                "INSERT INTO t (tiny, small, mid, whole, utiny) VALUES (-128, -32768, -8388608, -2147483648, 0),
                 (127, 32767, 8388607, 2147483647, 255), (1, 1, 1, 1, 1), (0, 0, 0, 0, 0), (NULL, NULL, NULL, NULL, NULL)",
                "INSERT INTO t (tiny, small, mid, whole, utiny) SELECT 7, 7, 7, 7, 7 FROM seq_1_to_500",
                "ANALYZE TABLE t",
            ],
        )
        .await;
    let table: Arc<dyn Table> = load(&catalog, "causeway_extremes", "t").await;
    let lists: [&[i64]; 5] = [
        &[1, 3, 127, -129],
        &[7, -32_769, 32_768],
        &[7, -8_388_609, 256],
        &[-2_147_483_649, 2_147_483_648, i64::MIN],
        &[-1, 256, 7, 0],
    ];
    let mut filters = Vec::new();
    for column in ["tiny", "small", "mid", "whole", "utiny"] {
        for values in lists {
            let list = || values.iter().map(|value| lit(*value)).collect::<Vec<_>>();
            filters.extend([true, false].map(|negated| ident(column).in_list(list(), negated)));
            filters.extend(comparisons(column, &lit(values[0])));
        }
    }
    let seen = check(table.as_ref(), &filters).await;
    assert_eq!(seen.exact, filters.len(), "{seen:?}");
}

#[tokio::test]
async fn every_byte_of_latin1_is_found_by_its_character() {
    let Some(server) = server() else { return };
    let statements = [
        "CREATE TABLE bytes (id int PRIMARY KEY, l varchar(2) CHARACTER SET latin1, INDEX (l))",
        "ALTER TABLE bytes MODIFY l varbinary(2)",
        "INSERT INTO bytes SELECT seq, CHAR(seq) FROM seq_0_to_255",
        "ALTER TABLE bytes MODIFY l varchar(2) CHARACTER SET latin1",
    ];
    let catalog = server.database("causeway_latin1", &statements).await;
    let table = load(&catalog, "causeway_latin1", "bytes").await;
    let stored = texts(&read(table.as_ref(), &scan(table.as_ref())).await, "l");
    assert_eq!(stored.len(), 256);
    let filters: Vec<Expr> = stored
        .iter()
        .map(|text| ident("l").eq(lit(text.as_str())))
        .collect();
    let seen = check(table.as_ref(), &filters).await;
    assert_eq!(seen.exact, 256);
    let all: Vec<Expr> = stored.iter().map(|text| lit(text.as_str())).collect();
    assert_eq!(
        check(table.as_ref(), &[ident("l").in_list(all, false)])
            .await
            .exact,
        1
    );
    for text in &stored {
        let sent = table.remote_text(&filtered(table.as_ref(), &[ident("l").eq(lit(text.as_str()))]));
        assert!(!sent.contains("FALSE"), "{text:?} can be held");
    }
}

#[tokio::test]
async fn number_filters_return_the_rows_of_this_engine() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_numbers",
            &[
                "CREATE TABLE n (id int PRIMARY KEY AUTO_INCREMENT, ti tinyint, iu int unsigned, bi bigint,
                 bu bigint unsigned, d decimal(10,2), w decimal(50,20), f double, b varbinary(8), fb binary(3),
                 y year, INDEX (bu), INDEX (d))",
                "INSERT INTO n VALUES (1, -128, 0, -9223372036854775808, 0, -0.01, 1, -0.0, 'a', 'a', 70),
                 (2, 127, 4294967295, 9223372036854775807, 18446744073709551615, 99999999.99, -1, 0.1, 'A', 'A', 2005),
                 (3, 0, 5, 0, 9223372036854775808, 0.1, 123456789012345678901234567890.12345678901234567890, 1e300,
                  '', '', 0),
                 (4, 1, 6, 1, 9007199254740993, 0.3, 0.00000000000000000001, 3, 0xff00, 0xff00, 1901),
                 (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            ],
        )
        .await;
    let table = load(&catalog, "causeway_numbers", "n").await;
    let mut filters = Vec::new();
    for value in [
        i64::MIN,
        -128,
        -1,
        0,
        1,
        5,
        127,
        128,
        4_294_967_295,
        9_007_199_254_740_993,
        i64::MAX,
    ] {
        filters.extend(comparisons("bi", &lit(value)));
    }
    for value in [-1, 0, 1, 127] {
        filters.extend(comparisons("ti", &lit(ScalarValue::Int16(Some(value)))));
    }
    for value in [-1_i64, 0, 5, 4_294_967_295, 4_294_967_296] {
        filters.extend(comparisons("iu", &lit(value)));
    }
    for value in [
        -1,
        0,
        9_007_199_254_740_992,
        9_007_199_254_740_993,
        1 << 63,
        i128::from(u64::MAX),
        1 << 64,
    ] {
        filters.extend(comparisons(
            "bu",
            &lit(ScalarValue::Decimal128(Some(value), 20, 0)),
        ));
    }
    for value in [-1, 0, 1, 10, 30, 9_999_999_999] {
        filters.extend(comparisons(
            "d",
            &lit(ScalarValue::Decimal128(Some(value), 10, 2)),
        ));
    }
    for value in [
        "12345678901234567890123456789012345678901234567890",
        "12345678901234567890123456789012345678901234567891",
        "1",
        "-100000000000000000000",
    ] {
        let value = arrow::datatypes::i256::from_string(value);
        filters.extend(comparisons("w", &lit(ScalarValue::Decimal256(value, 50, 20))));
    }
    for bytes in [&b"a"[..], b"", b"A\0\0", b"\xff\0", b"\xff\0\0"] {
        let literal = lit(ScalarValue::Binary(Some(bytes.to_vec())));
        filters.extend(comparisons("b", &literal));
        filters.extend(comparisons("fb", &literal));
    }
    filters.extend([ident("f").is_null(), ident("b").is_not_null()]);
    let seen = check(table.as_ref(), &filters).await;
    assert_eq!(seen.exact, filters.len(), "{seen:?}");
    let kept_here = [
        ident("f").eq(lit(0.0_f64)),
        ident("y").eq(lit(70_i16)),
        cast(ident("ti"), arrow::datatypes::DataType::Int64).eq(lit(1_i64)),
    ];
    assert_eq!(check(table.as_ref(), &kept_here).await.declined, 3);
}

#[tokio::test]
async fn date_filters_never_lose_or_invent_rows() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_dates",
            &[
                "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, d date NOT NULL, dt datetime NOT NULL,
                 dt6 datetime(6), ts timestamp(3) NULL, INDEX (d), INDEX (dt), INDEX (dt6), INDEX (ts))",
                "INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00'),
                 (2, '2024-00-00', '2024-00-00 10:00:00', '2024-05-00', NULL),
                 (3, '2024-02-31', '2024-02-31 00:00:00', '2023-02-29', '2000-01-01'),
                 (4, '2024-02-29', '2024-02-29 12:00:00', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00.001'),
                 (5, '2024-03-01', '2024-02-29 12:00:01', '2024-02-29 12:00:00.500000', '1970-01-01 00:00:01'),
                 (6, '0001-01-01', '9999-12-31 23:59:59', '0000-01-01', '2038-01-19 03:14:07.999'),
                 (7, '9999-12-31', '1969-12-31 23:59:59', '1969-12-31 23:59:59.999999', '2024-02-29 12:00:01')",
            ],
        )
        .await;
    let table = load(&catalog, "causeway_dates", "t").await;
    let mut filters = Vec::new();
    // 2024-02-28 to 2024-03-02, the first, the last, and days outside the server's years.
    for day in [
        19_781, 19_782, 19_783, 19_784, -719_162, 2_932_896, -719_163, 2_932_897,
    ] {
        filters.extend(comparisons("d", &lit(ScalarValue::Date32(Some(day)))));
    }
    let noon = 1_709_208_000_000_000_i64;
    for micros in [
        noon - 1,
        noon,
        noon + 1,
        noon + 1_000,
        noon + 500_000,
        noon + 1_000_000,
        -1,
        -1_000_000,
        0,
    ] {
        let zoned = |zone| lit(ScalarValue::TimestampMicrosecond(Some(micros), zone));
        filters.extend(comparisons("dt", &zoned(None)));
        filters.extend(comparisons("dt6", &zoned(None)));
        filters.extend(comparisons("ts", &zoned(Some("UTC".into()))));
    }
    for column in ["d", "dt", "dt6", "ts"] {
        filters.extend([
            ident(column).is_null(),
            ident(column).is_not_null(),
            not(ident(column).is_null()),
        ]);
    }
    let seen = check(table.as_ref(), &filters).await;
    assert!(
        seen.exact > 300 && seen.superset == 0 && seen.declined < 60,
        "{seen:?}"
    );
}

#[tokio::test]
async fn combined_filters_and_limits_hold() {
    let Some(server) = server() else { return };
    let catalog = server
        .database(
            "causeway_mixed",
            &[
                "CREATE TABLE m (id int PRIMARY KEY AUTO_INCREMENT, v varchar(9), f double, d date NOT NULL)",
                "INSERT INTO m (v, f, d) VALUES ('a', 1, '2024-01-01'), ('A', 2, '0000-00-00'), (NULL, NULL, '2024-01-02'),
                 ('b', -0.0, '2024-01-03'), ('B', 3, '2024-01-00')",
            ],
        )
        .await;
    let table: Arc<dyn Table> = load(&catalog, "causeway_mixed", "m").await;
    let day = || lit(ScalarValue::Date32(Some(19_723)));
    let (v, f, d, id) = (|| ident("v"), || ident("f"), || ident("d"), || ident("id"));
    let filters = [
        v().eq(lit("a")).and(f().gt(lit(0.5_f64))),
        v().eq(lit("a")).or(f().gt(lit(0.5_f64))),
        not(v().eq(lit("a")).or(f().gt(lit(0.5_f64)))),
        not(v().eq(lit("a")).and(d().eq(day()))),
        not(d().lt(day())).or(v().eq(lit("B"))),
        v().is_null().or(not(v().is_null().and(id().gt(lit(3_i32))))),
        v().not_eq(lit("a"))
            .and(v().not_eq(lit("A")))
            .and(v().not_eq(lit("b"))),
        lit(true),
        lit(false).or(id().eq(lit(2_i32))),
    ];
    let seen = check(table.as_ref(), &filters).await;
    assert_eq!((seen.exact, seen.superset, seen.declined), (6, 2, 1), "{seen:?}");
    let mut limited = filtered(table.as_ref(), &[id().gt(lit(0_i32))]);
    limited.limit = Some(2);
    assert_eq!(read(table.as_ref(), &limited).await.num_rows(), 2);
}

/// All comparisons of a column with a literal, from both sides, negated and in lists.
fn comparisons(column: &str, value: &Expr) -> Vec<Expr> {
    let (c, v) = (|| ident(column), || value.clone());
    vec![
        c().eq(v()),
        c().not_eq(v()),
        c().lt(v()),
        v().lt(c()),
        c().lt_eq(v()),
        not(c().lt_eq(v())),
        c().gt_eq(v()),
        c().in_list(vec![v(), v()], false),
        c().in_list(vec![v()], true),
        c().between(v(), v()),
        c().not_between(v(), v()),
    ]
}
