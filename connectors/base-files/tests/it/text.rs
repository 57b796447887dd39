//! CSV and JSON: inferred types, NULL, compression, nesting, and values that are not what they should be.

use arrow::datatypes::{DataType, TimeUnit};
use async_compression::tokio::bufread::{BzEncoder, GzipEncoder, XzEncoder, ZstdEncoder};
use causeway_spi::ErrorKind;
use tokio::io::AsyncReadExt;

use crate::fixture::{Lake, ours, rows};

/// The columns of a table as `name type`.
async fn columns(lake: &Lake, table: &str) -> Vec<(String, DataType)> {
    let schema = lake.table(table).await.unwrap().schema();
    let fields = schema.fields().iter();
    fields
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect()
}

/// The message of the error that reading all of `t` ends in, and its hint.
async fn refused(lake: &Lake, sql: &str) -> (String, Option<String>) {
    let session = lake.session(&["t"]).await;
    let error = rows(&session, sql).await.unwrap_err();
    let ours = ours(&error);
    assert_eq!(ours.kind(), ErrorKind::InvalidData);
    (ours.message().to_owned(), ours.hint_text().map(str::to_owned))
}

#[tokio::test]
async fn csv_columns_have_the_types_that_say_the_same() {
    let lake = Lake::new();
    lake.put(
        "t/a.csv",
        "id,zip,price,flag,day,at,moment,name,ratio\r\n\
         1,007,12.50,true,2024-02-29,2024-02-29 10:11:12.5,2024-02-29T10:00:00+02:00,\"a, \"\"b\"\"\nc\",1.5e3\r\n\
         -2,10115,7,FALSE,1999-12-31,0001-01-01T00:00:00,2024-02-29 10:00:00Z,,-2\r\n\
         ,,,,,,,,\r\n",
    )
    .await;
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let expected = [
        ("id", DataType::Int64),
        ("zip", DataType::Utf8View),
        ("price", DataType::Decimal128(38, 2)),
        ("flag", DataType::Boolean),
        ("day", DataType::Date32),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("moment", utc),
        ("name", DataType::Utf8View),
        ("ratio", DataType::Float64),
    ];
    assert_eq!(
        columns(&lake, "t").await,
        expected.map(|(name, kind)| (name.to_owned(), kind))
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT * FROM t").await,
        [
            "-2|10115|7.00|false|1999-12-31|0001-01-01T00:00:00|2024-02-29T10:00:00Z|NULL|-2.0",
            "1|007|12.50|true|2024-02-29|2024-02-29T10:11:12.500|2024-02-29T08:00:00Z|a, \"b\"\nc|1500.0",
            "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
        ]
    );
    let filtered = "SELECT name, id FROM t WHERE price > 10 AND zip = '007'";
    assert_eq!(lake.rows(&["t"], filtered).await, ["a, \"b\"\nc|1"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT count(*), count(id) FROM t").await,
        ["3|2"]
    );
}

#[tokio::test]
async fn csv_files_may_have_other_column_orders_and_miss_columns() {
    let lake = Lake::new();
    lake.put("t/day=1/a.csv", "id,name\n1,a\n").await;
    lake.put("t/day=2/b.csv", "name,extra,id\nb,x,2").await;
    lake.put("t/day=2/empty.csv", "").await;
    lake.put("t/day=3/header.csv", "id,name,extra\n").await;
    assert_eq!(
        lake.rows(&["t"], "SELECT extra, day, id, name FROM t").await,
        ["NULL|1|1|a", "x|2|2|b"]
    );
    assert_eq!(lake.rows(&["t"], "SELECT name FROM t WHERE day = 2").await, ["b"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT count(*) FROM t WHERE day <> 2").await,
        ["1"]
    );
    let limited = "SELECT count(*) FROM (SELECT id FROM t LIMIT 1)";
    assert_eq!(lake.rows(&["t"], limited).await, ["1"]);
}

#[tokio::test]
async fn compressed_files_are_read_to_their_end() {
    let (first, second) = ("id,name\n1,a\n", "2,b\n3,c\n");
    for ending in ["csv.gz", "csv.zst", "csv.bz2", "csv.xz"] {
        let lake = Lake::new();
        // Two members, as appending and parallel writers make them.
        let bytes = [compressed(ending, first).await, compressed(ending, second).await].concat();
        lake.put(&format!("t/a.{ending}"), bytes.clone()).await;
        let found = lake.rows(&["t"], "SELECT id, name FROM t").await;
        assert_eq!(found, ["1|a", "2|b", "3|c"], "{ending}");

        let lake = Lake::new();
        lake.put("t/0.csv", "id,name\n").await;
        lake.put(&format!("t/a.{ending}"), &bytes[..bytes.len() - 5])
            .await;
        let error = lake.table("t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{ending}: {error:?}");
        assert_eq!(
            error.message(),
            format!("file t/a.{ending} cannot be decompressed")
        );
        lake.put(&format!("t/a.{ending}"), "no archive at all, only text")
            .await;
        let error = lake.table("t").await.unwrap_err();
        assert_eq!(
            error.message(),
            format!("file t/a.{ending} cannot be decompressed")
        );
    }
}

async fn compressed(ending: &str, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let mut bytes = Vec::new();
    let done = match ending {
        "csv.gz" => GzipEncoder::new(text).read_to_end(&mut bytes).await,
        "csv.zst" => ZstdEncoder::new(text).read_to_end(&mut bytes).await,
        "csv.bz2" => BzEncoder::new(text).read_to_end(&mut bytes).await,
        _ => XzEncoder::new(text).read_to_end(&mut bytes).await,
    };
    done.unwrap();
    bytes
}

#[tokio::test]
async fn a_value_beyond_the_sample_that_does_not_fit_is_an_error() {
    let lake = Lake::new();
    let sampled: String = (0..25_000).map(|id| format!("{id},x\n")).collect();
    lake.put("t/a.csv", format!("id,name\n{sampled}007,late\n")).await;
    let hint = "The type was inferred from the beginning of the files. Declare the table with its columns to give \
                another.";
    let (message, said) = refused(&lake, "SELECT sum(id) FROM t").await;
    assert_eq!(
        message,
        "column \"id\" in line 25002 of file t/a.csv is not of type bigint"
    );
    assert_eq!(said.as_deref(), Some(hint));
    // The other column is as good as ever.
    assert_eq!(lake.rows(&["t"], "SELECT max(name) FROM t").await, ["x"]);
    let sampled: String = (0..25_000)
        .map(|id| format!("{{\"s\":{{\"n\":[{id}]}}}}\n"))
        .collect();
    lake.put("t/a.json", format!("{sampled}{{\"s\":{{\"n\":[1,\"x\"]}}}}\n"))
        .await;
    let lake_of_json = Lake::new();
    lake_of_json
        .put("t/a.json", format!("{sampled}{{\"s\":{{\"n\":[1,\"x\"]}}}}\n"))
        .await;
    let (message, _) = refused(&lake_of_json, "SELECT max(s['n'][1]) FROM t").await;
    assert_eq!(
        message,
        "column \"s.n[]\" in line 25001 of file t/a.json is not of type bigint"
    );
}

#[tokio::test]
async fn broken_csv_names_file_line_and_column() {
    let cases: [(&[u8], &str); 6] = [
        (
            b"id,name\n1,a\n2\n",
            "line 3 of file t/a.csv has 1 fields instead of 2",
        ),
        (
            b"id,name\n1,a,b\n",
            "line 2 of file t/a.csv has 3 fields instead of 2",
        ),
        (
            b"id,name\n1,a\n2,\xff\xfe\n",
            "column \"name\" in line 3 of file t/a.csv is not UTF-8 text",
        ),
        (
            b"id,name\n1,\"a\n2,b\n",
            "a quoted field in line 2 of file t/a.csv has no end",
        ),
        (
            b"id,id\n1,2\n",
            "the header of file t/a.csv has the name \"id\" twice",
        ),
        (
            b"id,\n1,2\n",
            "the header of file t/a.csv has no name for column 2",
        ),
    ];
    for (bytes, expected) in cases {
        let lake = Lake::new();
        lake.put("t/a.csv", bytes).await;
        let error = lake.table("t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.message(), expected);
    }
    let lake = Lake::new();
    lake.put("t/a.csv", "").await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(
        error.message(),
        "the files of table lake.public.t show no columns"
    );
}

#[tokio::test]
async fn json_nests_and_what_is_missing_is_null() {
    let lake = Lake::new();
    lake.put(
        "t/a.jsonl",
        "{\"z\":1,\"user\":{\"name\":\"Ann\",\"tags\":[\"a\",null]},\"mixed\":1,\"big\":18446744073709551615}\n\
         \n\
         {\"user\":{\"age\":7,\"tags\":[]},\"mixed\":\"x\",\"flag\":true,\"ratio\":0.1}\n\
         {\"user\":null,\"mixed\":1.50,\"z\":9007199254740993,\"when\":\"2024-01-01\"}",
    )
    .await;
    let found = columns(&lake, "t").await;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "user", "mixed", "big", "flag", "ratio", "when"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT z, mixed, big, flag, ratio, \"when\" FROM t")
            .await,
        [
            "1|1|18446744073709551615|NULL|NULL|NULL",
            "9007199254740993|1.50|NULL|NULL|NULL|2024-01-01",
            "NULL|x|NULL|true|0.1|NULL",
        ]
    );
    assert_eq!(
        lake.rows(
            &["t"],
            "SELECT \"user\"['name'], \"user\"['age'], \"user\"['tags'], \"user\" IS NULL FROM t"
        )
        .await,
        [
            "Ann|NULL|[a, NULL]|false",
            "NULL|7|[]|false",
            "NULL|NULL|NULL|true"
        ]
    );
    assert_eq!(lake.rows(&["t"], "SELECT count(*) FROM t").await, ["3"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT mixed FROM t WHERE \"user\"['age'] = 7")
            .await,
        ["x"]
    );
}

#[tokio::test]
async fn broken_json_names_file_and_line() {
    let cases = [
        (
            "{\"a\":1}\n[1,2]\n",
            "line 2 of file t/a.json cannot be read as JSON",
        ),
        (
            "{\"a\":1}\n{\"a\":\n2}\n",
            "line 2 of file t/a.json cannot be read as JSON",
        ),
        (
            "{\"a\":1}\n{\"a\":1} x\n",
            "line 2 of file t/a.json cannot be read as JSON",
        ),
        (
            "{\"a\":{\"b\":1}}\n{\"a\":{\"b\":{}}}\n",
            "column \"a.b\" is a single value in one row and an object in another, in line 2 of file t/a.json",
        ),
    ];
    for (text, expected) in cases {
        let lake = Lake::new();
        lake.put("t/a.json", text).await;
        let error = lake.table("t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.message(), expected);
    }
}

#[tokio::test]
async fn a_folder_of_several_formats_is_an_error() {
    let lake = Lake::new();
    lake.put("t/a.csv", "id\n1\n").await;
    lake.put("t/b.json", "{\"id\":1}").await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "folder t of catalog lake holds files of several formats"
    );
    assert_eq!(error.detail_text(), Some("Among them are t/a.csv and t/b.json."));
}

#[tokio::test]
async fn files_below_the_root_are_tables() {
    let lake = Lake::new();
    lake.put("codes.csv.gz", compressed("csv.gz", "id\n1\n").await)
        .await;
    lake.put("events.ndjson", "{\"id\":2}\n").await;
    lake.put("sales/orders/a.csv", "id\n3\n").await;
    use causeway_spi::Connector;
    assert_eq!(
        lake.connector.tables("public").await.unwrap(),
        ["codes", "events"]
    );
    for (table, id) in [("codes", "1"), ("events", "2"), ("sales.orders", "3")] {
        assert_eq!(
            lake.rows(&[table], &format!("SELECT id FROM \"{table}\"")).await,
            [id]
        );
    }
}
