//! The file itself: absent, locked, damaged, of another kind or version.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use causeway_spi::{Connector, ErrorKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{Database, TableDefinition};

use crate::support::{Store, open, read_all, scan, table_name, try_read};

async fn ping_error(catalog: &Arc<dyn Connector>) -> (ErrorKind, String) {
    let error = catalog.ping().await.unwrap_err();
    let message = error.message().to_owned();
    assert!(!format!("{message}{:?}{:?}", error.detail_text(), error.hint_text()).contains("/tmp"));
    (error.kind(), message)
}

#[tokio::test]
async fn opening_the_catalog_touches_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/store.redb");
    let catalog = open(&path);
    let missing = "the file of catalog kv could not be made: its folder does not exist";
    assert_eq!(
        ping_error(&catalog).await,
        (ErrorKind::Unavailable, missing.to_owned())
    );
    fs::create_dir(folder.path().join("a")).unwrap();
    assert!(!path.exists());
    catalog.ping().await.unwrap();
    assert!(path.exists());
    assert_eq!(catalog.schemas().await.unwrap(), ["public"]);
    assert!(catalog.tables("public").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_in_use_is_an_error_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let other = Database::create(&path).unwrap();
    let catalog = open(&path);
    let used = "the file of catalog kv is in use by another process";
    assert_eq!(
        ping_error(&catalog).await,
        (ErrorKind::Unavailable, used.to_owned())
    );
    drop(other);
    catalog.ping().await.unwrap();
}

#[tokio::test]
async fn catalogs_of_one_process_share_a_file() {
    let store = Store::new();
    let second = open(&store.path());
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    store.fill("t", &schema, &[], vec![]).await;
    assert_eq!(second.tables("public").await.unwrap(), ["t"]);
}

#[tokio::test]
async fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder_error = ping_error(&open(folder.path())).await;
    assert_eq!(folder_error.0, ErrorKind::Unavailable);
    let text = folder.path().join("text");
    fs::write(&text, "hello, this is a text and not a store\n".repeat(300)).unwrap();
    let other = "the file of catalog kv is not one of the embedded store, or damaged";
    assert_eq!(
        ping_error(&open(&text)).await,
        (ErrorKind::InvalidData, other.to_owned())
    );
    let below = ping_error(&open(&text.join("x"))).await;
    assert_eq!(below.0, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let store = Store::new();
    store.catalog.ping().await.unwrap();
    let path = store.path();
    let Store { catalog, .. } = &store;
    assert_eq!(Arc::strong_count(catalog), 1);
    let store = store.reopened().await;
    {
        let database = Database::create(&path).unwrap();
        let write = database.begin_write().unwrap();
        let meta = TableDefinition::<&str, u64>::new("causeway_meta");
        write.open_table(meta).unwrap().insert("version", 2).unwrap();
        write.commit().unwrap();
    }
    let newer = "the file was written in version 2 of the format, and this server knows 1";
    assert_eq!(
        ping_error(&store.catalog).await,
        (ErrorKind::NotSupported, newer.to_owned())
    );
}

/// Damage of any kind is an error or the old rows, never a panic, and the next use of another file goes well.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_errors() {
    let store = Store::new();
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, true),
    ]));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2000));
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(
        (0..2000).map(|id| format!("name-{id}")),
    ));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![ids, names]).unwrap();
    store.fill("t", &schema, &[0], vec![rows]).await;
    let whole = read_all(&store.table("t").await).await;
    let store = store.reopened().await;
    let bytes = fs::read(store.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(9);
    let (mut errors, mut answers) = (0, 0);
    for round in 0..150 {
        let path = folder.path().join(format!("{round}.redb"));
        fs::write(&path, damaged(&bytes, round, &mut random)).unwrap();
        match read_damaged(&path).await {
            Ok(rows) => answers += usize::from(rows == whole),
            Err(kind) => {
                let expected = [
                    ErrorKind::InvalidData,
                    ErrorKind::Unavailable,
                    ErrorKind::UnknownTable,
                    ErrorKind::NotSupported,
                    ErrorKind::UnknownSchema,
                ];
                assert!(expected.contains(&kind), "{kind:?}");
                errors += 1;
            }
        }
        fs::remove_file(&path).unwrap();
    }
    assert!(errors > 30, "{errors} errors, {answers} whole answers");
    assert_eq!(read_all(&store.table("t").await).await, whole);
}

fn damaged(bytes: &[u8], round: usize, random: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match round % 4 {
        0 => bytes.truncate(random.random_range(1..bytes.len())),
        1 => {
            let at = random.random_range(0..bytes.len());
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill(0);
        }
        2 => {
            for _ in 0..200 {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
        }
        _ => {
            let at = random.random_range(0..512);
            bytes[at] ^= 1 << random.random_range(0..8);
        }
    }
    bytes
}

async fn read_damaged(path: &Path) -> Result<Vec<String>, ErrorKind> {
    let catalog = open(path);
    let table = catalog
        .table(&table_name("t"))
        .await
        .map_err(|error| error.kind())?;
    let Some(table) = table else {
        return Err(ErrorKind::UnknownTable);
    };
    let schema = table.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let rows = try_read(&table, &scan(&table, &names, &[])).await;
    rows.map(|rows| crate::support::lines(&rows))
        .map_err(|error| error.kind())
}
