//! The S3 server of the tests itself: what the connector relies on, seen through the same client library.

use bytes::Bytes;
use causeway_sql_tests::s3_server::{Keys, Operation, S3Server};
use causeway_sql_tests::services::S3;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

const BUCKET: &str = "bucket";

struct Running {
    server: S3Server,
    s3: S3,
    _folder: TempDir,
}

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
    let keys = Keys {
        access: "access".to_owned(),
        secret: "secret".to_owned(),
    };
    let server = S3Server::start(0, folder.path().to_owned(), keys.clone())
        .await
        .unwrap();
    let s3 = S3 {
        endpoint: server.endpoint(),
        bucket: BUCKET.to_owned(),
        access_key: keys.access,
        secret_key: keys.secret,
    };
    Running {
        server,
        s3,
        _folder: folder,
    }
}

fn range(range: GetRange) -> GetOptions {
    GetOptions {
        range: Some(range),
        ..GetOptions::default()
    }
}

fn if_match(etag: &Option<String>) -> GetOptions {
    GetOptions {
        if_match: etag.clone(),
        ..GetOptions::default()
    }
}

#[tokio::test]
async fn ranges_give_their_bytes_the_size_and_the_etag() {
    let running = start().await;
    let store = running.s3.store().unwrap();
    let path = Path::from("folder/object");
    let put = store
        .put(&path, Bytes::from_static(b"0123456789").into())
        .await
        .unwrap();
    let head = store.head(&path).await.unwrap();
    assert_eq!((head.size, &head.e_tag), (10, &put.e_tag));
    for (wanted, bytes) in [
        (GetRange::Bounded(2..5), "234"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(4), "6789"),
        (GetRange::Suffix(40), "0123456789"),
        (GetRange::Bounded(8..100), "89"),
    ] {
        let answer = store.get_opts(&path, range(wanted.clone())).await.unwrap();
        assert_eq!(
            (answer.meta.size, &answer.meta.e_tag),
            (10, &put.e_tag),
            "{wanted}"
        );
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{wanted}");
    }
    let many = store.get_ranges(&path, &[0..1, 9..10]).await.unwrap();
    assert_eq!(many, ["0", "9"]);
    store
        .get_opts(&path, range(GetRange::Offset(10)))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_replaced_object_fails_the_condition_on_its_old_etag() {
    let running = start().await;
    let store = running.s3.store().unwrap();
    let path = Path::from("object");
    let old = store.put(&path, Bytes::from_static(b"old").into()).await.unwrap();
    store.get_opts(&path, if_match(&old.e_tag)).await.unwrap();
    let new = store.put(&path, Bytes::from_static(b"new").into()).await.unwrap();
    assert_ne!(old.e_tag, new.e_tag);
    let refused = store.get_opts(&path, if_match(&old.e_tag)).await.unwrap_err();
    assert!(matches!(refused, Error::Precondition { .. }), "{refused}");
    let mut head = if_match(&old.e_tag);
    head.head = true;
    let refused = store.get_opts(&path, head).await.unwrap_err();
    assert!(matches!(refused, Error::Precondition { .. }), "{refused}");
    let answer = store.get_opts(&path, if_match(&new.e_tag)).await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), "new");
}

#[tokio::test]
async fn listings_name_folders_sizes_and_etags_over_many_pages() {
    let running = start().await;
    let store = running.s3.store().unwrap();
    for number in 0..3 {
        let path = Path::from(format!("table/day={number}/part.parquet"));
        store
            .put(&path, Bytes::from("x".repeat(number)).into())
            .await
            .unwrap();
    }
    for number in 0..1005 {
        store
            .put(&Path::from(format!("many/{number:04}")), Bytes::new().into())
            .await
            .unwrap();
    }
    let table = Path::from("table");
    let listed = store.list_with_delimiter(Some(&table)).await.unwrap();
    let folders: Vec<String> = listed.common_prefixes.iter().map(Path::to_string).collect();
    assert_eq!(folders, ["table/day=0", "table/day=1", "table/day=2"]);

    let mut objects: Vec<_> = store.list(Some(&table)).try_collect().await.unwrap();
    objects.sort_by(|left, right| left.location.cmp(&right.location));
    assert_eq!(
        objects.iter().map(|object| object.size).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    for object in objects {
        assert_eq!(object.e_tag, store.head(&object.location).await.unwrap().e_tag);
    }
    // A page holds at most 1,000.
    let many: Vec<_> = store.list(Some(&Path::from("many"))).try_collect().await.unwrap();
    assert_eq!(many.len(), 1005);
}

#[tokio::test]
async fn large_objects_are_fast_and_counted() {
    let running = start().await;
    let store = running.s3.store().unwrap();
    let path = Path::from("large");
    let data = Bytes::from(vec![7; 64 << 20]);
    let start = std::time::Instant::now();
    store.put(&path, data.clone().into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), data);
    let elapsed = start.elapsed();
    assert!(elapsed.as_secs() < 20, "{elapsed:?}");
    store.get_range(&path, 1000..2000).await.unwrap();
    let log = running.server.log().take();
    let bytes: Vec<u64> = log
        .iter()
        .filter(|request| request.operation == Operation::Get && request.key == "large")
        .map(|request| request.bytes)
        .collect();
    assert_eq!(bytes, [64 << 20, 1000]);
    eprintln!("64 MiB there and back in {elapsed:?}");
}

#[tokio::test]
async fn wrong_keys_and_missing_objects_are_refused() {
    let running = start().await;
    let missing = running
        .s3
        .store()
        .unwrap()
        .head(&Path::from("nothing"))
        .await
        .unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let wrong = S3 {
        secret_key: "other".to_owned(),
        ..running.s3.clone()
    };
    wrong
        .store()
        .unwrap()
        .get(&Path::from("nothing"))
        .await
        .unwrap_err();
}
