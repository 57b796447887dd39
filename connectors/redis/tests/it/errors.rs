//! What goes wrong: each with its kind, the object's name, and no secret.

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway_spi::{ConnectorError, ErrorKind, TableName};
use datafusion::logical_expr::lit;
use datafusion::prelude::col;

use crate::support::{catalog, described, load, read, scan, server, server_alone, try_read};

const COLUMNS: [&str; 3] = ["id bigint", "name text", "size int"];

fn check(error: &ConnectorError, kind: ErrorKind, part: &str) {
    let texts = format!(
        "{} {:?} {:?}",
        error.message(),
        error.detail_text(),
        error.hint_text()
    );
    assert_eq!(error.kind(), kind, "{texts}");
    assert!(error.message().contains(part), "{texts}");
    assert!(!texts.contains("s3cret"), "{texts}");
}

#[tokio::test]
async fn an_unreachable_server() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let catalog = catalog(&format!("redis://127.0.0.1:{port}"), "", "p:{id}", &COLUMNS);
    check(
        &load(&catalog).await.unwrap_err(),
        ErrorKind::Unavailable,
        "table cache.public.t",
    );
    check(
        &catalog.ping().await.unwrap_err(),
        ErrorKind::Unavailable,
        "catalog cache",
    );
    assert_eq!(catalog.tables("public").await.unwrap(), ["t"]);
    let missing = TableName::new("cache", "public", "missing");
    assert!(catalog.table(&missing).await.unwrap().is_none());
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let _ = stream.unwrap().read_to_end(&mut Vec::new());
        }
    });
    let catalog = catalog(&url, "connect_timeout = \"200ms\"", "p:{id}", &COLUMNS);
    let start = Instant::now();
    check(&load(&catalog).await.unwrap_err(), ErrorKind::Timeout, "cache");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_login_that_is_refused_or_may_not_read() {
    let Some(server) = server().await else { return };
    let user: [&[u8]; 10] = [
        b"ACL",
        b"SETUSER",
        b"it-user",
        b"reset",
        b"on",
        b">s3cret",
        b"~it:mine:*",
        b"+@read",
        b"+@transaction",
        b"+@connection",
    ];
    server.run(&user).await;
    server.hset("it:mine:1", &[("name", "a")]).await;
    server.hset("it:theirs:1", &[("name", "b")]).await;
    let wrong = file_with("s3cret2");
    let options = |path: &str| format!("username = \"it-user\"\npassword = {{ file = {path:?} }}");
    let refused = catalog(&server.url, &options(&wrong), "it:mine:{id}", &COLUMNS);
    check(
        &load(&refused).await.unwrap_err(),
        ErrorKind::LoginRefused,
        "catalog cache",
    );
    check(
        &refused.ping().await.unwrap_err(),
        ErrorKind::LoginRefused,
        "catalog cache",
    );
    let right = file_with("s3cret");
    let mine = catalog(&server.url, &options(&right), "it:mine:{id}", &COLUMNS);
    mine.ping().await.unwrap();
    let mine = load(&mine).await.unwrap();
    assert_eq!(read(&mine, &["name"], &[]).await, ["a"]);
    assert_eq!(
        read(&mine, &["size"], &[col("id").eq(lit(1_i64))]).await,
        ["NULL"]
    );
    let theirs = load(&catalog(
        &server.url,
        &options(&right),
        "it:theirs:{id}",
        &COLUMNS,
    ))
    .await
    .unwrap();
    let one = scan(&theirs, &["name"], &[col("id").eq(lit(1_i64))]);
    check(
        &try_read(&theirs, &one).await.unwrap_err(),
        ErrorKind::NotPermitted,
        "table cache.public.t",
    );
    for prefix in ["it:mine:", "it:theirs:"] {
        server.clear(prefix).await;
    }
    server.run(&[b"ACL", b"DELUSER", b"it-user"]).await;
}

/// Each format needs its own commands: the one that is missing is named.
#[tokio::test]
async fn a_login_that_may_not_read_a_format() {
    let Some(server) = server().await else { return };
    let user: [&[u8]; 13] = [
        b"ACL",
        b"SETUSER",
        b"it-formats",
        b"reset",
        b"on",
        b">s3cret",
        b"~it:formats:*",
        b"+scan",
        b"+dbsize",
        b"+randomkey",
        b"+ping",
        b"+type",
        b"+scard",
    ];
    server.run(&user).await;
    server.run(&[b"SET", b"it:formats:s:1", b"1"]).await;
    server.run(&[b"SADD", b"it:formats:c:1", b"1"]).await;
    let password = file_with("s3cret");
    let options = format!("username = \"it-formats\"\npassword = {{ file = {password:?} }}");
    let one = [col("id").eq(lit(1_i64))];
    for (key, format, field, command) in [
        ("it:formats:s:{id}", "string", "", "'mget'"),
        ("it:formats:s:{id}", "json", "", "'mget'"),
        ("it:formats:c:{id}", "set", ", field = \"element\"", "'smembers'"),
        ("it:formats:c:{id}", "zset", ", field = \"element\"", "'zcard'"),
        ("it:formats:c:{id}", "list", ", field = \"element\"", "'llen'"),
    ] {
        let columns = format!("columns = [\"id bigint\", {{ name = \"v\", type = \"text\"{field} }}]");
        let catalog = described(
            &server.url,
            &options,
            &format!("key = {key:?}\nvalue = {format:?}\n{columns}"),
        );
        let table = load(&catalog).await.unwrap();
        let error = try_read(&table, &scan(&table, &["v"], &one)).await.unwrap_err();
        check(&error, ErrorKind::NotPermitted, "table cache.public.t");
        let detail = error.detail_text().unwrap();
        assert!(detail.contains(command), "{format}: {detail}");
    }
    server.clear("it:formats:").await;
    server.run(&[b"ACL", b"DELUSER", b"it-formats"]).await;
}

#[tokio::test]
async fn the_database_of_the_url() {
    let Some(server) = server_alone().await else {
        return;
    };
    server.run(&[b"SELECT", b"5"]).await;
    server.hset("it:db:1", &[("name", "in 5")]).await;
    let columns = ["id bigint", "name text"];
    let five = load(&catalog(&server.url_of(5), "", "it:db:{id}", &columns))
        .await
        .unwrap();
    assert_eq!(read(&five, &["id", "name"], &[]).await, ["1|in 5"]);
    let zero = load(&catalog(&server.url_of(0), "", "it:db:{id}", &columns))
        .await
        .unwrap();
    assert!(read(&zero, &["id", "name"], &[]).await.is_empty());
    let none = catalog(&server.url_of(999_999), "", "it:db:{id}", &columns);
    let error = none.ping().await.unwrap_err();
    check(&error, ErrorKind::Source, "catalog cache");
    assert!(error.detail_text().unwrap().contains("out of range"), "{error:?}");
    server.run(&[b"DEL", b"it:db:1"]).await;
    server.run(&[b"SELECT", b"0"]).await;
}

#[tokio::test]
async fn a_walk_beyond_the_limit_is_refused_before_it_starts() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:many:";
    server.clear(prefix).await;
    server.fill(prefix, 0..20).await;
    let catalog = catalog(&server.url, "scan_keys_max = 5", "it:many:{id}", &COLUMNS);
    let table = load(&catalog).await.unwrap();
    let walks = server.calls("scan").await;
    let error = try_read(&table, &scan(&table, &["name"], &[])).await.unwrap_err();
    check(&error, ErrorKind::LimitExceeded, "table cache.public.t");
    assert!(error.hint_text().unwrap().contains("scan_keys_max"));
    assert_eq!(server.calls("scan").await, walks);
    assert_eq!(
        read(&table, &["name"], &[col("id").eq(lit(3_i64))]).await,
        ["name-3"]
    );
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_value_that_does_not_decode() {
    let Some(server) = server().await else { return };
    let prefix = "it:value:";
    server.clear(prefix).await;
    server.fill(prefix, 0..3).await;
    server.hset("it:value:1", &[("size", "many")]).await;
    let table = server.people(prefix).await;
    let error = try_read(&table, &scan(&table, &["size"], &[])).await.unwrap_err();
    check(
        &error,
        ErrorKind::InvalidData,
        "column \"size\" of table cache.public.t at key \"it:value:1\"",
    );
    assert_eq!(error.detail_text(), Some("The value \"many\" is not an integer."));
    assert_eq!(read(&table, &["name"], &[]).await.len(), 3);
    server.clear(prefix).await;
}

#[tokio::test]
async fn a_broken_connection_is_made_again() {
    let Some(server) = server_alone().await else {
        return;
    };
    let prefix = "it:broken:";
    server.clear(prefix).await;
    server.fill(prefix, 0..3).await;
    let table = server.people(prefix).await;
    for _ in 0..3 {
        server
            .run(&[b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes"])
            .await;
        assert_eq!(
            read(&table, &["name"], &[col("id").eq(lit(1_i64))]).await,
            ["name-1"]
        );
        server
            .run(&[b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes"])
            .await;
        assert_eq!(read(&table, &["name"], &[]).await.len(), 3);
    }
    server.clear(prefix).await;
}

/// A file of its own that holds a password: tests that run side by side do not write into one that another reads.
fn file_with(password: &str) -> String {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("causeway-redis-it-{}-{number}", std::process::id()));
    std::fs::write(&path, password).unwrap();
    path.to_str().unwrap().to_owned()
}
