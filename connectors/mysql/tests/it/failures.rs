//! What goes wrong at the server, by kind, in words without secrets.

use std::time::{Duration, Instant};

use causeway_spi::{ConnectorOptions, ErrorKind, ReadContext, Secret};
use futures::StreamExt;
use mysql_async::prelude::Queryable;
use tokio::net::TcpListener;

use crate::fixture::{account, load, open, options, scan, server, try_read};

#[tokio::test]
async fn an_unreachable_server_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let catalog = options(&format!("mysql://app@127.0.0.1:{port}"))
        .open("shop")
        .unwrap();
    let error = catalog.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "could not reach the server of catalog shop");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut options = options(&format!("mysql://app@127.0.0.1:{port}"));
    options.connect_timeout = Duration::from_millis(300);
    let catalog = options.open("shop").unwrap();
    let started = Instant::now();
    let error = catalog.schemas().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(listener);
}

#[tokio::test]
async fn a_refused_login_shows_no_secret() {
    let Some(server) = server() else { return };
    let mut options = server.options();
    options.password = Some(Secret::new("wr0ng-s3cret"));
    let shown = format!("{options:?}");
    let catalog = options.open("shop").unwrap();
    let error = catalog.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRefused);
    assert_eq!(error.message(), "could not log in to catalog shop");
    let everything = format!("{shown} {error:?} {catalog:?}");
    assert!(!everything.contains("wr0ng-s3cret"));
}

#[tokio::test]
async fn vanished_objects_and_rights_have_their_kinds() {
    let Some(server) = server() else { return };
    let database = "causeway_vanish";
    let create = ["CREATE TABLE t (id int, v int)", "CREATE TABLE u (id int)"];
    server.database(database, &create).await;
    let mut admin = server.admin().await;
    account(&mut admin, "causeway_vanish", database).await;
    let place = server.url.split_once('@').unwrap().1;
    let catalog = options(&format!("mysql://causeway_vanish@{place}"))
        .open("shop")
        .unwrap();
    let table = load(&catalog, database, "t").await;
    let other = load(&catalog, database, "u").await;
    let wanted = scan(table.as_ref());
    admin
        .query_drop("ALTER TABLE causeway_vanish.t DROP COLUMN v")
        .await
        .unwrap();
    let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownColumn);
    assert!(
        error.message().contains("shop.causeway_vanish.t"),
        "{}",
        error.message()
    );
    admin.query_drop("DROP TABLE causeway_vanish.t").await.unwrap();
    let error = try_read(table.as_ref(), &wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTable);
    assert_eq!(error.message(), "table shop.causeway_vanish.t does not exist");
    for host in ["localhost", "%"] {
        let revoke = format!("REVOKE ALL ON causeway_vanish.* FROM causeway_vanish@'{host}'");
        admin.query_drop(revoke).await.unwrap();
    }
    let catalog_again = options(&format!("mysql://causeway_vanish@{place}"))
        .open("shop")
        .unwrap();
    catalog_again.ping().await.unwrap();
    let error = try_read(other.as_ref(), &scan(other.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert_eq!(
        error.message(),
        "permission denied for table shop.causeway_vanish.u"
    );
}

#[tokio::test]
async fn a_failing_statement_is_an_error_not_a_short_answer() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW breaks AS SELECT seq AS id,
        CASE WHEN seq < 20000 THEN 'x' ELSE (SELECT seq FROM seq_1_to_2) END AS v FROM seq_1_to_30000";
    let catalog = server.database("causeway_breaks", &[create]).await;
    let table = load(&catalog, "causeway_breaks", "breaks").await;
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &ReadContext::detached())
        .await
        .unwrap();
    let mut rows = 0;
    let error = loop {
        match stream.next().await {
            Some(Ok(batch)) => rows += batch.num_rows(),
            Some(Err(error)) => break error,
            None => panic!("{rows} rows and no error"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(
        error.message(),
        "could not read table shop.causeway_breaks.breaks"
    );
    assert!(
        error.detail_text().unwrap().contains("error 1242"),
        "{:?}",
        error.detail_text()
    );
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_is_an_error() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW big AS SELECT seq AS id FROM seq_1_to_100000000";
    let catalog = server.database("causeway_dies", &[create]).await;
    let table = load(&catalog, "causeway_dies", "big").await;
    let mut admin = server.admin().await;
    let cx = ReadContext {
        query_id: "dies".into(),
        ..ReadContext::detached()
    };
    let mut stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let find = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '/* causeway dies */%'";
    let id: u64 = admin.query_first(find).await.unwrap().unwrap();
    admin.query_drop(format!("KILL {id}")).await.unwrap();
    let error = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a killed statement is no end of data"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.message().contains("shop.causeway_dies.big"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn the_server_stops_what_is_older_than_its_limit() {
    let Some(server) = server() else { return };
    let create = "CREATE VIEW heavy AS SELECT COUNT(*) AS n FROM seq_1_to_10000000 a, seq_1_to_10000000 b
        WHERE a.seq * 7 % 11 = b.seq % 13";
    server.database("causeway_old", &[create]).await;
    let mut options = server.options();
    options.statement_time_max = Duration::from_secs(1);
    let catalog = options.open("shop").unwrap();
    let table = load(&catalog, "causeway_old", "heavy").await;
    let started = Instant::now();
    let error = try_read(table.as_ref(), &scan(table.as_ref())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.message(),
        "the server stopped reading table shop.causeway_old.heavy because it took too long"
    );
    assert!(error.hint_text().unwrap().contains("statement_time_max"));
    assert!(
        (1..10).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
}
