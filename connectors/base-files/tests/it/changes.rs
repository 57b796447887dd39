//! Text files that change while they are read, links, and what a refresh forgets.

use std::sync::Arc;
use std::time::Duration;

use causeway_base_files::{FilesConnector, FilesSettings};
use causeway_spi::{Connector, ErrorKind, ReadContext, Scan, Table, TableName};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::fixture::{Lake, ours, rows};
use crate::store::Swapping;

const HOUR: Duration = Duration::from_secs(3600);

/// A CSV or JSON file of some ten megabytes: several ranges.
fn large(ending: &str, first: i64) -> String {
    let ids = first..first + 600_000;
    match ending {
        "csv" => ids.fold("id,name\n".to_owned(), |text, id| {
            text + &format!("{id},some name\n")
        }),
        _ => ids.fold(String::new(), |text, id| {
            text + &format!("{{\"id\":{id},\"name\":\"x\"}}\n")
        }),
    }
}

#[tokio::test]
async fn a_text_file_replaced_between_two_ranges_is_an_error() {
    for ending in ["csv", "json"] {
        for honours_if_match in [true, false] {
            let inner = Arc::new(InMemory::new());
            let replacement = Some(large(ending, 1_000_000).into_bytes());
            let swapping = Arc::new(Swapping::new(inner, replacement, honours_if_match));
            let lake = Lake::over(Arc::clone(&swapping) as _, HOUR);
            lake.put(&format!("t/0.{ending}"), large(ending, 1_000_000 - 1))
                .await;
            let session = lake.session(&["t"]).await;
            swapping.swap_after(1);
            let error = rows(&session, "SELECT count(id) FROM t").await.unwrap_err();
            assert_eq!(ours(&error).kind(), ErrorKind::Changed, "{error:?}");
            assert_eq!(
                ours(&error).message(),
                format!("file t/0.{ending} changed while it was read")
            );
        }
    }
}

fn local(folder: &std::path::Path) -> FilesConnector {
    let store = Arc::new(LocalFileSystem::new());
    let prefix = Path::from_absolute_path(folder).unwrap();
    let settings = FilesSettings {
        cache_ttl: HOUR,
        local_root: Some(folder.to_path_buf()),
        ..FilesSettings::default()
    };
    FilesConnector::new("lake", "local", store, prefix, settings)
}

async fn local_table(connector: &FilesConnector) -> Result<Arc<dyn Table>, causeway_spi::ConnectorError> {
    let name = TableName::new("lake", "public", "t");
    Ok(connector.table(&name).await?.expect("it is there"))
}

fn whole(table: &dyn Table) -> Scan {
    Scan {
        schema: table.schema(),
        projection: vec![0, 1],
        filters: Vec::new(),
        limit: None,
    }
}

// Of a local file inode, size and time of change are the version: even an overwrite of equal size is noticed.
#[tokio::test]
async fn a_local_file_overwritten_in_place_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("t")).unwrap();
    let file = folder.path().join("t/0.csv");
    let old = large("csv", 1_000_000) + &large("csv", 2_000_000)["id,name\n".len()..];
    std::fs::write(&file, &old).unwrap();
    let connector = local(folder.path());
    let table = local_table(&connector).await.unwrap();
    let scan = whole(table.as_ref());
    let splits = table.splits(&scan).await.unwrap();
    let mut batches = table
        .read(&scan, &splits[0], &ReadContext::detached())
        .await
        .unwrap();
    let first = batches.try_next().await.unwrap().expect("there are rows");
    assert_eq!(first.num_rows(), 8192);
    std::fs::write(&file, old.replace("some", "SOME")).unwrap();
    let error = batches.try_for_each(|_| async { Ok(()) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_inside_of_the_root_only() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.csv"), "id,name\n1,secret\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("t")).unwrap();
    std::fs::create_dir(root.join("_store")).unwrap();
    std::fs::write(root.join("_store/a.csv"), "id,name\n1,a\n").unwrap();
    symlink(root.join("_store/a.csv"), root.join("t/a.csv")).unwrap();
    let table = local_table(&local(root)).await.unwrap();
    assert_eq!(table.schema().fields().len(), 2);
    for (from, to) in [("secret.csv", "t/b.csv"), ("", "t/day=1")] {
        symlink(outside.path().join(from), root.join(to)).unwrap();
        let error = local_table(&local(root)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error:?}");
        assert!(error.message().contains("leads out of the catalog"), "{error}");
        std::fs::remove_file(root.join(to)).unwrap();
    }
}

#[tokio::test]
async fn a_refresh_shows_what_is_there_now() {
    let lake = Lake::over(Arc::new(InMemory::new()), HOUR);
    lake.put("t/0.csv", "id\n1\n").await;
    let count = "SELECT count(*), sum(id) FROM t";
    assert_eq!(lake.rows(&["t"], count).await, ["1|1"]);
    lake.put("t/1.csv", "id\n2\n").await;
    lake.put("u/0.csv", "id\n7\n").await;
    assert_eq!(lake.rows(&["t"], count).await, ["1|1"], "the listing is believed");
    let name = TableName::new("lake", "public", "t");
    lake.connector.refresh(Some(&name)).await.unwrap();
    assert_eq!(lake.rows(&["t"], count).await, ["2|3"]);
    assert_eq!(lake.connector.tables("public").await.unwrap(), ["t", "u"]);
    lake.put("u/0.csv", "id,name\n7,x\n").await;
    lake.connector.refresh(None).await.unwrap();
    assert_eq!(lake.rows(&["u"], "SELECT name FROM u").await, ["x"]);
}
