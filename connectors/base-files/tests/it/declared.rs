//! Declared tables: what inference would not say, and what it would say otherwise.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use causeway_base_files::FileTableOptions;
use causeway_spi::{Connector, ErrorKind, TableName};

use crate::fixture::{Lake, counted, ours, rows};

fn table(name: &str, path: &str) -> FileTableOptions {
    FileTableOptions {
        name: name.to_owned(),
        path: path.to_owned(),
        ..FileTableOptions::default()
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn ints(values: &[i32]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

#[tokio::test]
async fn a_declared_csv_table_is_read_as_it_says() {
    let lake = Lake::declaring(&[FileTableOptions {
        columns: texts(&[
            "zip bigint",
            "price numeric(6,2)",
            "\"the name\" text",
            "at timestamp",
        ]),
        partitions: texts(&["day date"]),
        header: Some(false),
        delimiter: Some(";".into()),
        quote: Some("'".into()),
        null: Some("\\N".into()),
        ..table("sales.prices", "prices")
    }]);
    lake.put(
        "prices/day=2024-01-01/a.csv",
        "007;1e2;'a;''b';2024-01-01\n\\N;\\N;;\\N\n",
    )
    .await;
    lake.put("prices/day=2024-01-02/a.csv", "8; 1.5 ;\\N;2024-01-01 10:00")
        .await;
    assert_eq!(lake.connector.schemas().await.unwrap(), ["public", "sales"]);
    assert_eq!(lake.connector.tables("sales").await.unwrap(), ["prices"]);
    // What is found is there as well.
    assert_eq!(lake.connector.tables("public").await.unwrap(), ["prices"]);
    let all = "SELECT zip, price, \"the name\", at, day FROM \"sales.prices\"";
    assert_eq!(
        lake.rows(&["sales.prices"], all).await,
        [
            "7|100.00|a;'b|2024-01-01T00:00:00|2024-01-01",
            "8|1.50|NULL|2024-01-01T10:00:00|2024-01-02",
            "NULL|NULL||NULL|2024-01-01",
        ]
    );
    let one_day = "SELECT zip FROM \"sales.prices\" WHERE day > DATE '2024-01-01'";
    assert_eq!(lake.rows(&["sales.prices"], one_day).await, ["8"]);
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_declaration_is_an_error() {
    let lake = Lake::declaring(&[FileTableOptions {
        columns: texts(&["id bigint", "price numeric(4,2)"]),
        ..table("t", "t")
    }]);
    lake.put("t/a.csv", "price,id\n1.25,1\n1.255,2\n").await;
    let session = lake.session(&["t"]).await;
    let error = rows(&session, "SELECT price FROM t").await.unwrap_err();
    assert_eq!(
        ours(&error).message(),
        "column \"price\" in line 3 of file t/a.csv is not of type numeric(4,2)"
    );
    assert_eq!(ours(&error).detail_text(), Some("The value is \"1.255\"."));
    assert_eq!(rows(&session, "SELECT id FROM t").await.unwrap(), ["1", "2"]);
}

#[tokio::test]
async fn a_declared_table_wins_and_picks_its_files() {
    let lake = Lake::declaring(&[
        FileTableOptions {
            format: Some("csv".into()),
            ..table("mixed", "mixed")
        },
        table("one", "mixed/a.csv"),
        table("january", "logs/2024-01-*/*.csv"),
        FileTableOptions {
            format: Some("csv".into()),
            columns: texts(&["id text"]),
            ..table("nameless", "raw/part-*")
        },
        FileTableOptions {
            columns: texts(&["id bigint"]),
            ..table("coming", "not/yet/here")
        },
        table("missing", "nowhere"),
    ]);
    lake.put("mixed/a.csv", "id\n1\n").await;
    lake.put("mixed/b.json", "{\"id\":9}\n").await;
    lake.put("mixed/_c.csv", "id\n8\n").await;
    lake.put("logs/2024-01-05/x.csv", "id\n5\n").await;
    lake.put("logs/2024-01-06/city=Ulm/x.csv", "id\n6\n").await;
    lake.put("logs/2024-02-05/x.csv", "id\n7\n").await;
    lake.put("raw/part-0", "id\n007\n").await;
    lake.put("raw/other", "id\n008\n").await;
    for (name, id) in [
        ("mixed", "1"),
        ("one", "1"),
        ("january", "5"),
        ("nameless", "007"),
    ] {
        assert_eq!(
            lake.rows(&[name], &format!("SELECT id FROM {name}")).await,
            [id],
            "{name}"
        );
    }
    assert!(lake.rows(&["coming"], "SELECT id FROM coming").await.is_empty());
    let name = TableName::new("lake", "public", "missing");
    let error = lake.connector.table(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTable);
    assert_eq!(error.message(), "table lake.public.missing has no files");
}

#[tokio::test]
async fn declared_parquet_columns_hold_what_is_there() {
    let wide = |columns: &[&str]| FileTableOptions {
        columns: texts(columns),
        ..table("t", "t")
    };
    let lake = Lake::declaring(&[wide(&["id bigint", "later text"])]);
    lake.put_batch("t/a.parquet", &ints(&[1, 2])).await;
    assert_eq!(
        lake.rows(&["t"], "SELECT id, later FROM t WHERE id > 1").await,
        ["2|NULL"]
    );
    let lake = Lake::declaring(&[wide(&["id smallint"])]);
    lake.put_batch("t/a.parquet", &ints(&[1])).await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error.message().starts_with("column \"id\" of file t/a.parquet"),
        "{error}"
    );
}

#[tokio::test]
async fn declared_partitions_are_typed_and_prune() {
    let lake = Lake::declaring(&[FileTableOptions {
        partitions: texts(&["year smallint", "code text"]),
        ..table("t", "t")
    }]);
    lake.put_batch("t/year=2023/code=1/a.parquet", &ints(&[1])).await;
    lake.put_batch(
        "t/year=2024/code=__HIVE_DEFAULT_PARTITION__/a.parquet",
        &ints(&[2]),
    )
    .await;
    assert_eq!(
        lake.rows(&["t"], "SELECT id, year, code FROM t").await,
        ["1|2023|1", "2|2024|NULL"]
    );
    let session = lake.session(&["t"]).await;
    let (found, scan) = counted(&session, "SELECT id FROM t WHERE year = 2024", "id").await;
    assert_eq!((found, scan.files_opened), (texts(&["2"]), 1));
    lake.put_batch("t/year=x/code=1/a.parquet", &ints(&[3])).await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(
        error.message(),
        "column \"year\" in the folders of file t/year=x/code=1/a.parquet is not of type smallint"
    );
    let lake = Lake::declaring(&[FileTableOptions {
        partitions: texts(&["year smallint"]),
        ..table("t", "t")
    }]);
    lake.put_batch("t/month=1/a.parquet", &ints(&[1])).await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(
        error.message(),
        "file t/month=1/a.parquet does not lie in folders of the partition columns of table lake.public.t"
    );
}

// Its own log says which files count: a part of such a table is refused like the whole.
#[tokio::test]
async fn no_place_inside_a_table_of_another_format_is_read() {
    let places = [
        "a/t",
        "a/t/day=1",
        "a/t/day=1/a.parquet",
        "a/t/day=1/*.parquet",
        "a/*/day=1/*.parquet",
        ".",
    ];
    let markers = [
        (
            "a/t/_delta_log/0.json",
            "folder a/t of catalog lake is a Delta Lake table",
        ),
        (
            "a/t/metadata/v1.metadata.json",
            "folder a/t of catalog lake is an Apache Iceberg table",
        ),
        (
            "a/t/.hoodie/hoodie.properties",
            "folder a/t of catalog lake is an Apache Hudi table",
        ),
    ];
    for (marker, message) in markers {
        for place in places {
            let lake = Lake::declaring(&[table("declared", place)]);
            lake.put_batch("a/t/day=1/a.parquet", &ints(&[1])).await;
            lake.put(marker, "{}").await;
            let error = lake.table("declared").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSupported, "{marker} {place}");
            if place.starts_with("a/t") {
                assert_eq!(error.message(), message, "{place}");
            }
        }
    }
    let lake = Lake::new();
    lake.put_batch("day=1/a.parquet", &ints(&[1])).await;
    lake.put("_delta_log/0.json", "{}").await;
    let error = lake.connector.tables("public").await.unwrap_err();
    assert_eq!(error.message(), "the root of catalog lake is a Delta Lake table");
}
