//! Every native type with its odd values.

use arrow::datatypes::{DataType, TimeUnit};
use causeway_spi::{ErrorKind, check_canonical};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::ident;

use crate::fixture::{check, load, read, scan, server, texts, try_read};

const ODD: &str = "CREATE TABLE odd (
    id int NOT NULL, ti tinyint(1), tu tinyint unsigned, su smallint unsigned, mi mediumint, iu int unsigned,
    bi bigint, bu bigint unsigned, y year, d decimal(10,2), wide decimal(65,30), f float, g double,
    day date NOT NULL, at datetime(6) NOT NULL, plain datetime, moment timestamp(3) NULL, t time(3),
    c char(5), v varchar(20), l varchar(20) CHARACTER SET latin1, j json, e enum('red','GREEN'), s set('a','b'),
    b binary(3), vb varbinary(10), bl blob, bit9 bit(9), p point, u uuid)";
const VALUES: [&str; 3] = [
    "INSERT INTO odd VALUES (1, 2, 255, 65535, -8388608, 4294967295, -9223372036854775808, 18446744073709551615, 1901,
     -12345678.90, -12345678901234567890123456789012345.123456789012345678901234567890, 0.1, 1.7976931348623157e308,
     '0000-00-00', '2024-00-00', '9999-12-31 23:59:59', '1970-01-01 00:00:01', '-838:59:59', 'a ', 'a ', '€é',
     '{\"k\": 1}', 'green', 'b,a', 'a', 0x00ff, 0xfffe, b'100000001', POINT(1, 2),
     '123e4567-e89b-12d3-a456-426655440000')",
    "INSERT INTO odd VALUES (2, -128, 0, 0, 8388607, 0, 9223372036854775807, 0, 0, 0.01, 0, 3.4028235e38, -0.5,
     '2024-02-31', '1000-01-01 00:00:00.000001', '0000-00-00 00:00:00', '2038-01-19 03:14:07.999', '00:00:00', '',
     '😀', '', '[]', 'red', '', '', '', '', b'0', NULL, NULL)",
    "INSERT INTO odd (id, day, at) VALUES (3, '0001-01-01', '9999-12-31 23:59:59.999999')",
];

#[tokio::test]
async fn odd_values_keep_their_meaning() {
    let Some(server) = server() else { return };
    let statements: Vec<&str> = [ODD].into_iter().chain(VALUES).collect();
    let catalog = server.database("causeway_types", &statements).await;
    let table = load(&catalog, "causeway_types", "odd").await;
    check_canonical(table.name(), &table.schema()).unwrap();
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    for (column, expected) in [
        ("ti", ["2", "-128", "NULL"]),
        ("tu", ["255", "0", "NULL"]),
        ("su", ["65535", "0", "NULL"]),
        ("mi", ["-8388608", "8388607", "NULL"]),
        ("iu", ["4294967295", "0", "NULL"]),
        ("bi", ["-9223372036854775808", "9223372036854775807", "NULL"]),
        ("bu", ["18446744073709551615", "0", "NULL"]),
        ("y", ["1901", "0", "NULL"]),
        ("d", ["-12345678.90", "0.01", "NULL"]),
        (
            "wide",
            [
                "-12345678901234567890123456789012345.123456789012345678901234567890",
                "0.000000000000000000000000000000",
                "NULL",
            ],
        ),
        ("f", ["0.1", "3.4028235e38", "NULL"]),
        ("g", ["1.7976931348623157e308", "-0.5", "NULL"]),
        ("day", ["NULL", "NULL", "0001-01-01"]),
        (
            "at",
            ["NULL", "1000-01-01T00:00:00.000001", "9999-12-31T23:59:59.999999"],
        ),
        ("plain", ["9999-12-31T23:59:59", "NULL", "NULL"]),
        (
            "moment",
            ["1970-01-01T00:00:01Z", "2038-01-19T03:14:07.999Z", "NULL"],
        ),
        ("t", ["-838:59:59.000", "00:00:00.000", "NULL"]),
        ("c", ["a", "", "NULL"]),
        ("v", ["a ", "😀", "NULL"]),
        ("l", ["€é", "", "NULL"]),
        ("j", ["{\"k\": 1}", "[]", "NULL"]),
        ("e", ["GREEN", "red", "NULL"]),
        ("s", ["a,b", "", "NULL"]),
        ("b", ["610000", "000000", "NULL"]),
        ("vb", ["00ff", "", "NULL"]),
        ("bl", ["fffe", "", "NULL"]),
        ("bit9", ["0101", "0000", "NULL"]),
        ("u", ["123e4567-e89b-12d3-a456-426655440000", "NULL", "NULL"]),
    ] {
        assert_eq!(texts(&rows, column), expected, "{column}");
    }
    let schema = table.schema();
    let field = |name| schema.field_with_name(name).unwrap();
    assert!(!field("id").is_nullable());
    assert!(
        field("day").is_nullable(),
        "a zero date is NULL in a NOT NULL column, too"
    );
    assert_eq!(field("wide").data_type(), &DataType::Decimal256(65, 30));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(field("moment").data_type(), &utc);
}

/// Bits, displays, bytes of every kind, and what a shape is.
#[tokio::test]
async fn rare_types_keep_every_bit() {
    let Some(server) = server() else { return };
    let create = "CREATE TABLE rare (id int PRIMARY KEY, one bit, all_bits bit(64), shown float(7,2), wide double(20,3) unsigned,
        filled decimal(8,3) zerofill, tb tinyblob, mb mediumblob, lb longblob, fixed binary(4), raw varchar(4) CHARACTER SET binary,
        packed text COMPRESSED, ip4 inet4, ip6 inet6, shape geometry, line linestring, fine timestamp(6) NULL,
        coarse timestamp NULL, f6 datetime(6), f1 datetime(1), lasts time(6))";
    let insert = "INSERT INTO rare VALUES (1, b'1', 0x8000000000000001, 12345.678, 0.1255, 1.5, 0x00, 0xff00, 0x0aff, 0x01, 0xfe,
        REPEAT('ab', 3), '10.1.2.3', '::FFFF', POINT(1, 2), LineString(Point(0, 0), Point(1, 1)), '2024-03-31 02:30:00.000001',
        '2024-10-27 02:30:00', '2024-02-29 23:59:59.999999', '1999-12-31 23:59:59.9', '-00:00:00.000001')";
    let catalog = server.database("causeway_rare", &[create, insert]).await;
    let table = load(&catalog, "causeway_rare", "rare").await;
    check_canonical(table.name(), &table.schema()).unwrap();
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    for (column, expected) in [
        ("one", "01"),
        ("all_bits", "8000000000000001"),
        ("shown", "12345.68"),
        ("wide", "0.126"),
        ("filled", "1.500"),
        ("tb", "00"),
        ("mb", "ff00"),
        ("lb", "0aff"),
        ("fixed", "01000000"),
        ("raw", "fe"),
        ("packed", "ababab"),
        ("ip4", "10.1.2.3"),
        ("ip6", "::ffff"),
        // Four bytes of SRID, then the well-known binary form.
        ("shape", "000000000101000000000000000000f03f0000000000000040"),
        ("fine", "2024-03-31T02:30:00.000001Z"),
        ("coarse", "2024-10-27T02:30:00Z"),
        ("f6", "2024-02-29T23:59:59.999999"),
        ("f1", "1999-12-31T23:59:59.900"),
        ("lasts", "-00:00:00.000001"),
    ] {
        assert_eq!(texts(&rows, column), [expected], "{column}");
    }
    // Bits and shapes are compared by other rules there: nothing is sent. Bytes are compared as bytes.
    let bytes = |bytes: &[u8]| datafusion::logical_expr::lit(ScalarValue::BinaryView(Some(bytes.to_vec())));
    let is = |column: &str, value: &[u8]| ident(column).eq(bytes(value));
    let kept = [
        is("one", &[1]),
        is("all_bits", b"a"),
        is("shape", b"a"),
        ident("line").is_null(),
    ];
    assert_eq!(check(table.as_ref(), &kept).await.declined, kept.len());
    let sent = [
        is("fixed", &[1, 0, 0, 0]),
        is("fixed", &[1]),
        is("raw", &[0xfe]),
        ident("mb").gt(bytes(&[0xff])),
        ident("lb").is_null(),
    ];
    assert_eq!(check(table.as_ref(), &sent).await.exact, sent.len());
    let shape = texts(&rows, "line").remove(0);
    assert!(shape.starts_with("00000000010200000002000000"), "{shape}");
}

/// Columns and tables that `SELECT *` or a listing of the server would not show alike.
#[tokio::test]
async fn generated_hidden_and_versioned_columns_are_read() {
    let Some(server) = server() else { return };
    let statements = [
        "CREATE TABLE made (id int PRIMARY KEY, twice int AS (id * 2) VIRTUAL, kept int AS (id * 3) STORED,
            hidden int INVISIBLE DEFAULT 7, INDEX (twice))",
        "INSERT INTO made (id) VALUES (1), (2)",
        "CREATE TABLE history (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
        "INSERT INTO history VALUES (1), (2)",
        "DELETE FROM history WHERE id = 1",
        "CREATE SEQUENCE numbers",
        "CREATE TABLE base (id int)",
        "CREATE VIEW broken AS SELECT id FROM base",
        "DROP TABLE base",
    ];
    let catalog = server.database("causeway_made", &statements).await;
    assert_eq!(
        catalog.tables("causeway_made").await.unwrap(),
        ["broken", "history", "made"]
    );
    let table = load(&catalog, "causeway_made", "made").await;
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    for (column, expected) in [
        ("twice", ["2", "4"]),
        ("kept", ["3", "6"]),
        ("hidden", ["7", "7"]),
    ] {
        assert_eq!(texts(&rows, column), expected, "{column}");
    }
    let twice = table.schema().index_of("twice").unwrap();
    assert!(
        table.lookup().unwrap().keys().contains(&vec![twice]),
        "an index on a generated column"
    );
    let table = load(&catalog, "causeway_made", "history").await;
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    assert_eq!(texts(&rows, "id"), ["2"], "what is true now");
    let sequence = causeway_spi::TableName::new("shop", "causeway_made", "numbers");
    assert!(
        catalog.table(&sequence).await.unwrap().is_none(),
        "a sequence is no table"
    );
    let broken = causeway_spi::TableName::new("shop", "causeway_made", "broken");
    let error = catalog.table(&broken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(
        error.message(),
        "table shop.causeway_made.broken has no columns that can be read"
    );
    assert!(
        error.detail_text().unwrap().contains("invalid table"),
        "{error:?}"
    );
}

/// Names that must be quoted, that differ only by case, and that are as long as names can be.
#[tokio::test]
async fn names_of_every_kind_are_found_and_read() {
    use mysql_async::prelude::Queryable;
    let Some(server) = server() else { return };
    let long = "n".repeat(64);
    let schemas = [long.as_str(), "causeway.dot `tick` \"q\" 'a' %"];
    let tables = [
        "select",
        "Orders",
        "orders",
        "a.b",
        "it's \"x\" `y` \\ %_",
        long.as_str(),
        "größe",
    ];
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let mut admin = server.admin().await;
    admin.query_drop("SET NAMES utf8mb4").await.unwrap();
    for schema in schemas {
        admin
            .query_drop(format!("DROP DATABASE IF EXISTS {}", quoted(schema)))
            .await
            .unwrap();
        admin
            .query_drop(format!("CREATE DATABASE {}", quoted(schema)))
            .await
            .unwrap();
        for (number, table) in tables.iter().enumerate() {
            let place = format!("{}.{}", quoted(schema), quoted(table));
            let columns = format!(
                "{} int PRIMARY KEY, `from` int, `a.b` int, `Größe` int",
                quoted(&long)
            );
            admin
                .query_drop(format!("CREATE TABLE {place} ({columns})"))
                .await
                .unwrap();
            admin
                .query_drop(format!("INSERT INTO {place} VALUES ({number}, 1, 2, 3)"))
                .await
                .unwrap();
        }
    }
    let catalog = causeway_spi::ConnectorOptions::open(server.options(), "shop").unwrap();
    let listed = catalog.schemas().await.unwrap();
    for schema in schemas {
        assert!(listed.iter().any(|name| name == schema), "{schema}");
        let mut expected = tables.to_vec();
        expected.sort_unstable();
        assert_eq!(catalog.tables(schema).await.unwrap(), expected);
        for (number, name) in tables.iter().enumerate() {
            let table = load(&catalog, schema, name).await;
            assert_eq!(table.schema().fields().len(), 4);
            let filter =
                datafusion::logical_expr::ident(long.as_str()).gt_eq(datafusion::logical_expr::lit(0_i32));
            let wanted = crate::fixture::filtered(table.as_ref(), &[filter]);
            let rows = read(table.as_ref(), &wanted).await;
            assert_eq!(texts(&rows, &long), [number.to_string()], "{schema}.{name}");
            assert_eq!(texts(&rows, "a.b"), ["2"]);
            assert_eq!(texts(&rows, "Größe"), ["3"]);
            assert!(table.lookup().is_some());
        }
        let other = causeway_spi::TableName::new("shop", schema, "ORDERS");
        assert!(catalog.table(&other).await.unwrap().is_none());
        admin
            .query_drop(format!("DROP DATABASE {}", quoted(schema)))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn names_are_quoted_and_projections_ordered() {
    let Some(server) = server() else { return };
    let create = "CREATE TABLE `o``d:d ? tab` (`a b` int, `?` int, `:x` int, `SELECT` int)";
    let insert = "INSERT INTO `o``d:d ? tab` VALUES (1, 2, 3, 4)";
    let view = "CREATE VIEW seen AS SELECT `a b` + 1 AS next, 'x' AS word FROM `o``d:d ? tab`";
    let catalog = server.database("causeway_names", &[create, insert, view]).await;
    assert_eq!(
        catalog.tables("causeway_names").await.unwrap(),
        ["o`d:d ? tab", "seen"]
    );
    let table = load(&catalog, "causeway_names", "o`d:d ? tab").await;
    let mut wanted = scan(table.as_ref());
    wanted.projection = vec![3, 1, 2];
    let rows = read(table.as_ref(), &wanted).await;
    assert_eq!(texts(&rows, "SELECT"), ["4"]);
    assert_eq!(texts(&rows, "?"), ["2"]);
    wanted.projection.clear();
    assert_eq!(read(table.as_ref(), &wanted).await.num_rows(), 1);
    let view = load(&catalog, "causeway_names", "seen").await;
    let rows = read(view.as_ref(), &scan(view.as_ref())).await;
    assert_eq!(
        (texts(&rows, "next"), texts(&rows, "word")),
        (vec!["2".to_owned()], vec!["x".to_owned()])
    );
    assert!(view.statistics().rows.is_none());
    assert!(view.lookup().is_none());
}

#[tokio::test]
async fn the_catalog_lists_what_is_the_users() {
    let Some(server) = server() else { return };
    let catalog = server
        .database("causeway_lists", &["CREATE TABLE t (id int)"])
        .await;
    catalog.ping().await.unwrap();
    let schemas = catalog.schemas().await.unwrap();
    assert!(schemas.iter().any(|schema| schema == "causeway_lists"));
    assert!(!schemas.iter().any(|schema| schema == "mysql" || schema == "sys"));
    assert_eq!(catalog.tables("causeway_lists").await.unwrap(), ["t"]);
    for schema in ["nope", "mysql", "CAUSEWAY_LISTS"] {
        let error = catalog.tables(schema).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownSchema, "{schema}");
        let name = causeway_spi::TableName::new("shop", schema, "t");
        assert_eq!(
            catalog.table(&name).await.unwrap_err().kind(),
            ErrorKind::UnknownSchema
        );
    }
    let missing = causeway_spi::TableName::new("shop", "causeway_lists", "T");
    assert!(catalog.table(&missing).await.unwrap().is_none());
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_error_with_a_name() {
    let Some(server) = server() else { return };
    let statements = [
        "CREATE TABLE g (j int, v varchar(9))",
        "INSERT INTO g VALUES (1, 'fine')",
    ];
    let catalog = server.database("causeway_gone", &statements).await;
    let table = load(&catalog, "causeway_gone", "g").await;
    let mut admin = server.admin().await;
    use mysql_async::prelude::Queryable;
    admin
        .query_drop("ALTER TABLE causeway_gone.g MODIFY v varbinary(9), MODIFY j bigint")
        .await
        .unwrap();
    admin
        .query_drop("INSERT INTO causeway_gone.g VALUES (9223372036854775807, 0xff)")
        .await
        .unwrap();
    let error = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error.message().contains("\"j\" of table shop.causeway_gone.g"),
        "{}",
        error.message()
    );
    let mut wanted = scan(table.as_ref());
    wanted.projection = vec![1];
    let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
    assert!(error.message().contains("\"v\" of table"), "{}", error.message());
}
