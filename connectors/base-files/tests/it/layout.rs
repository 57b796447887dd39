//! What a catalog shows: tables, schemas, what is left out and what is refused.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use causeway_base_files::{FilesConnector, FilesSettings};
use causeway_spi::{Connector, ErrorKind, TableName};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::fixture::{Lake, rows};

fn one(id: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![id]));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

#[tokio::test]
async fn folders_and_files_are_tables_and_folders_of_folders_schemas() {
    let lake = Lake::new();
    lake.put_batch("orders/part-0.parquet", &one(1)).await;
    lake.put_batch("events/day=1/part-0.parquet", &one(2)).await;
    lake.put_batch("nation.parquet", &one(3)).await;
    lake.put_batch("sales/orders/part-0.parquet", &one(4)).await;
    lake.put_batch("sales/visits/day=1/part-0.parquet", &one(5)).await;
    lake.put("_scratch/part-0.parquet", "x").await;
    lake.put(".hidden/part-0.parquet", "x").await;
    lake.put("readme.txt", "x").await;
    let connector = &lake.connector;
    assert_eq!(connector.schemas().await.unwrap(), ["public", "sales"]);
    assert_eq!(
        connector.tables("public").await.unwrap(),
        ["events", "nation", "orders"]
    );
    assert_eq!(connector.tables("sales").await.unwrap(), ["orders", "visits"]);
    for (table, id) in [
        ("orders", "1"),
        ("nation", "3"),
        ("sales.orders", "4"),
        ("sales.visits", "5"),
    ] {
        let found = lake.rows(&[table], &format!("SELECT id FROM \"{table}\"")).await;
        assert_eq!(found, [id], "{table}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let lake = Lake::new();
    assert_eq!(lake.connector.schemas().await.unwrap(), ["public"]);
    assert!(lake.connector.tables("public").await.unwrap().is_empty());
    let unknown = lake.connector.tables("nope").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownSchema);
    let table = |schema: &str| TableName::new("lake", schema, "t");
    assert!(lake.connector.table(&table("public")).await.unwrap().is_none());
    let unknown = lake.connector.table(&table("nope")).await.unwrap_err();
    assert_eq!(
        unknown.message(),
        "schema \"nope\" does not exist in catalog \"lake\""
    );
}

#[tokio::test]
async fn markers_and_other_files_are_left_out() {
    let lake = Lake::new();
    lake.put_batch("t/part-0.parquet", &one(1)).await;
    for name in [
        "t/_SUCCESS",
        "t/.part-0.parquet.crc",
        "t/_temporary/0/part-1.parquet",
        "t/x_$folder$",
        "t_$folder$",
    ] {
        lake.put(name, "").await;
    }
    lake.put("t/notes.txt", "x").await;
    assert_eq!(lake.connector.tables("public").await.unwrap(), ["t"]);
    assert_eq!(lake.rows(&["t"], "SELECT id FROM t").await, ["1"]);
}

#[tokio::test]
async fn tables_of_other_formats_are_refused_by_name() {
    for (file, format) in [
        ("t/_delta_log/00000000000000000000.json", "a Delta Lake"),
        ("t/metadata/v1.metadata.json", "an Apache Iceberg"),
        ("t/.hoodie/hoodie.properties", "an Apache Hudi"),
    ] {
        for data in [
            "t/part-0.parquet",
            "t/data/part-0.parquet",
            "t/day=1/part-0.parquet",
        ] {
            let lake = Lake::new();
            lake.put_batch(data, &one(1)).await;
            lake.put(file, "{}").await;
            assert_eq!(
                lake.connector.tables("public").await.unwrap(),
                ["t"],
                "{file} beside {data}"
            );
            let error = lake.table("t").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSupported, "{file} beside {data}");
            assert_eq!(
                error.message(),
                format!("folder t of catalog lake is {format} table")
            );
        }
    }
}

#[tokio::test]
async fn a_folder_and_a_file_of_one_name_are_ambiguous() {
    let lake = Lake::new();
    lake.put_batch("t/part-0.parquet", &one(1)).await;
    lake.put_batch("t.parquet", &one(2)).await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.detail_text(), Some("It is file t.parquet and folder t."));
}

#[tokio::test]
async fn a_table_without_files_says_so() {
    let lake = Lake::new();
    lake.put("sales/orders/part-0.orc", "1,2").await;
    let error = lake.table("sales.orders").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTable);
    assert_eq!(error.message(), "table lake.sales.orders has no files");
}

#[tokio::test]
async fn the_prefix_is_the_root() {
    let lake = Lake::new();
    lake.put_batch("a/b/t/part-0.parquet", &one(1)).await;
    lake.put_batch("a/other/part-0.parquet", &one(2)).await;
    let connector = FilesConnector::new(
        "lake",
        "memory",
        Arc::clone(&lake.store),
        Path::from("a/b"),
        FilesSettings::default(),
    );
    assert_eq!(connector.tables("public").await.unwrap(), ["t"]);
    lake.put_batch("a/b/single.parquet", &one(3)).await;
    lake.put("a/b/text.csv", "id\n4\n").await;
    let below = FilesSettings {
        cache_ttl: Duration::ZERO,
        ..FilesSettings::default()
    };
    let connector = FilesConnector::new(
        "lake",
        "memory",
        Arc::clone(&lake.store),
        Path::from("a/b"),
        below,
    );
    let lake = Lake { connector, ..lake };
    for (table, id) in [("t", "1"), ("single", "3"), ("text", "4")] {
        assert_eq!(
            lake.rows(&[table], &format!("SELECT id FROM {table}")).await,
            [id]
        );
    }
}

#[tokio::test]
async fn listings_are_believed_until_they_are_too_old() {
    let store = Arc::new(InMemory::new());
    let lake = Lake::over(store, Duration::from_secs(3600));
    lake.put_batch("t/0.parquet", &one(1)).await;
    let session = lake.session(&["t"]).await;
    lake.put_batch("t/1.parquet", &one(2)).await;
    assert_eq!(rows(&session, "SELECT id FROM t").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn the_local_file_system_is_a_store_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let lake = Lake::over(store, Duration::ZERO);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    lake.put_batch("cities/city=S%C3%A3o Paulo/0.parquet", &one(1))
        .await;
    lake.put_batch("cities/city=a%2Fb/0.parquet", &one(2)).await;
    assert_eq!(lake.connector.tables("public").await.unwrap(), ["cities"]);
    assert_eq!(
        lake.rows(&["cities"], "SELECT id, city FROM cities").await,
        ["1|São Paulo", "2|a/b"]
    );
    assert_eq!(
        lake.rows(&["cities"], "SELECT id FROM cities WHERE city = 'a/b'")
            .await,
        ["2"]
    );
}
