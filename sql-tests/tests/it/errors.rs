//! Bad input and bad sources: a clear error with its SQLSTATE, and the same server goes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use causeway_sql_tests::client::{Client, QueryFailure};
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{S3, Services, mysql_url, s3, unique_name};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::mysql::Mysql;

/// An unreachable source must not make a user wait longer than this.
const UNREACHABLE_WITHIN: Duration = Duration::from_secs(40);

/// Asserts that the server answers on this connection and on a new one.
async fn assert_alive(server: &Server, client: &Client) {
    assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
    let new = server.connect().await.unwrap();
    assert_eq!(new.query("SELECT 1").await.unwrap().lines(), ["1"]);
}

fn assert_no_internals(failure: &QueryFailure) {
    let whole = format!("{failure:?}");
    for internal in ["XX000", "DataFusion", "Arrow", "panicked", "Some(", "secret"] {
        assert!(
            !failure.message.contains(internal) && !whole.contains("XX000"),
            "{internal}: {whole}"
        );
    }
    assert!(!failure.message.ends_with('.'), "{whole}");
}

/// A statement, its SQLSTATE and what its message must name.
///
/// The mark « stands before the character that the error must point at.
const WRONG_NAMES: &[(&str, &str, &str)] = &[
    ("SELECT * FROM «nowhere.{db}.t", "3D000", "nowhere"),
    ("SELECT * FROM shop.«nowhere.t", "3F000", "nowhere"),
    ("SELECT * FROM lake.«nowhere.t", "3F000", "nowhere"),
    ("SELECT * FROM cache.«nowhere.t", "3F000", "nowhere"),
    ("SELECT * FROM «shop.{db}.nowhere", "42P01", "nowhere"),
    ("SELECT * FROM «lake.public.nowhere", "42P01", "nowhere"),
    ("SELECT * FROM «cache.public.nowhere", "42P01", "nowhere"),
    ("SELECT * FROM «nowhere", "42P01", "nowhere"),
    ("SELECT «nowhere FROM shop.{db}.t", "42703", "nowhere"),
    (
        "SELECT id FROM shop.{db}.t WHERE\n  «nowhere = 1",
        "42703",
        "nowhere",
    ),
    ("SELECT 'é', «x.nowhere FROM shop.{db}.t x", "42703", "nowhere"),
    ("SELECT «nofunction(1)", "42883", "nofunction"),
    ("SELECT «id FROM shop.{db}.t a, shop.{db}.t b", "42702", "id"),
    ("SELECT 1 FRUM «x y", "42601", "x"),
];

#[tokio::test]
async fn wrong_names_say_what_is_wrong_and_where() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let mysql = Mysql::new(&services.mysql_url).await;
    let db = &mysql.database;
    mysql
        .run(&format!(
            "CREATE TABLE {db}.t (id INT PRIMARY KEY, name VARCHAR(20))"
        ))
        .await;
    let prefix = unique_name("names");
    put_small_table(&services.s3, &format!("{prefix}/small/part-1.parquet")).await;
    let items = RedisTable {
        name: "items".to_owned(),
        key: format!("{prefix}:{{id}}"),
        columns: ["id integer", "name text"].map(str::to_owned).to_vec(),
    };
    let config = Config::new()
        .mysql("shop", &services.mysql_url)
        .s3("lake", &services.s3, &format!("{prefix}/"))
        .redis("cache", &services.redis_url, &[items]);
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let mut wrong = Vec::new();
    for (sql, sqlstate, name) in WRONG_NAMES {
        let sql = sql.replace("{db}", db);
        let position = sql.chars().position(|c| c == '«').unwrap() + 1;
        let sql = sql.replace('«', "");
        let failure = client.failure(&sql).await.unwrap();
        let names_it = *sqlstate == "42601" || failure.message.contains(name);
        let points_at_it = failure.position == Some(u32::try_from(position).unwrap());
        if failure.sqlstate != *sqlstate || !names_it || !points_at_it {
            wrong.push(format!("{sql}: {sqlstate} at {position} expected: {failure:?}"));
        }
        assert_no_internals(&failure);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn a_source_that_is_down_does_not_stop_the_server() {
    let nobody = free_address().await;
    let server = Server::start(&all_sources_at(nobody)).unwrap();
    let client = server.connect().await.unwrap();
    for table in ["shop.db.t", "lake.public.t", "cache.public.items"] {
        let start = Instant::now();
        let failure = client.failure(&format!("SELECT * FROM {table}")).await.unwrap();
        assert_eq!(failure.sqlstate, "HV00N", "{table}: {failure:?}");
        let catalog = table.split('.').next().unwrap();
        assert!(failure.message.contains(catalog), "{failure:?}");
        assert!(
            start.elapsed() < UNREACHABLE_WITHIN,
            "{table}: {:?}",
            start.elapsed()
        );
        assert_no_internals(&failure);
    }
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn a_source_that_never_answers_meets_a_deadline() {
    let (address, _listener) = listen_and_never_answer().await;
    let config = all_sources_at(address).server("source_timeout = \"3s\"");
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    for table in ["shop.db.t", "lake.public.t", "cache.public.items"] {
        let start = Instant::now();
        let failure = client.failure(&format!("SELECT * FROM {table}")).await.unwrap();
        assert_eq!(failure.sqlstate, "HV00N", "{table}: {failure:?}");
        assert!(
            start.elapsed() < UNREACHABLE_WITHIN,
            "{table}: {:?}",
            start.elapsed()
        );
        assert_no_internals(&failure);
    }
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn a_locked_table_meets_a_deadline_and_its_statement_ends() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let table = format!("{}.t", mysql.database);
    mysql
        .run(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)"))
        .await;
    mysql.run(&format!("INSERT INTO {table} VALUES (1)")).await;
    let config = Config::new()
        .mysql("shop", &url)
        .server("source_timeout = \"3s\"");
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let sql = format!("SELECT id FROM shop.{table}");
    assert_eq!(client.query(&sql).await.unwrap().lines(), ["1"]);

    let lock = mysql.lock(&table).await;
    for (setting, sqlstate) in [("0", "HV00N"), ("1000", "57014")] {
        client
            .query(&format!("SET statement_timeout = {setting}"))
            .await
            .unwrap();
        let start = Instant::now();
        let failure = client.failure(&sql).await.unwrap();
        assert_eq!(failure.sqlstate, sqlstate, "{failure:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert_no_internals(&failure);
        mysql
            .wait_for_statements(|running| running == 0, Duration::from_secs(2))
            .await;
    }
    lock.disconnect().await.unwrap();
    assert_eq!(client.query(&sql).await.unwrap().lines(), ["1"]);
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn a_wrong_password_at_a_source_is_said_without_showing_it() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let mysql = Mysql::new(&services.mysql_url).await;
    let user = format!("u{}", std::process::id());
    mysql
        .run(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'right'"))
        .await;
    let url = services.mysql_url.replace("root@", &format!("{user}@"));
    let wrong_s3 = S3 {
        secret_key: "not-the-password".to_owned(),
        ..services.s3.clone()
    };
    let config = Config::new()
        .mysql_with_password("shop", &url, "not-the-password")
        .s3("lake", &wrong_s3, "nothing/");
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    for sql in ["SELECT * FROM shop.db.t", "SELECT * FROM lake.public.t"] {
        let failure = client.failure(sql).await.unwrap();
        assert_eq!(failure.sqlstate, "HV00N", "{failure:?}");
        assert!(
            !format!("{failure:?}").contains("not-the-password"),
            "{failure:?}"
        );
        assert_no_internals(&failure);
    }
    assert!(!server.log().contains("not-the-password"), "{}", server.log());
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn a_table_dropped_between_two_queries_is_undefined() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let table = format!("{}.t", mysql.database);
    mysql
        .run(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)"))
        .await;
    mysql.run(&format!("INSERT INTO {table} VALUES (1)")).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let client = server.connect().await.unwrap();
    let sql = format!("SELECT id FROM shop.{table}");
    assert_eq!(client.query(&sql).await.unwrap().lines(), ["1"]);
    mysql.run(&format!("DROP TABLE {table}")).await;
    let failure = client.failure(&sql).await.unwrap();
    assert_eq!(failure.sqlstate, "42P01", "{failure:?}");
    assert!(failure.message.contains(&table), "{failure:?}");
    assert_alive(&server, &client).await;

    mysql
        .run(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, other INT)"))
        .await;
    mysql.run(&format!("INSERT INTO {table} VALUES (2, 3)")).await;
    assert_eq!(client.query(&sql).await.unwrap().lines(), ["2"]);
}

#[tokio::test]
async fn a_damaged_parquet_object_is_named() {
    let Some(s3) = s3() else { return };
    let prefix = unique_name("damaged");
    let whole = small_table();
    let store = s3.store().unwrap();
    for (table, data) in [
        ("cut", whole.slice(..whole.len() - 40)),
        ("short", whole.slice(..6)),
        ("empty", Bytes::new()),
        ("text", Bytes::from_static(b"id,name\n1,not Parquet at all\n")),
        ("body", damaged_body(&whole)),
    ] {
        put_object(&store, &format!("{prefix}/{table}/part-1.parquet"), data)
            .await
            .unwrap();
    }
    let server = Server::start(&Config::new().s3("lake", &s3, &format!("{prefix}/"))).unwrap();
    let client = server.connect().await.unwrap();
    for table in ["cut", "short", "empty", "text", "body"] {
        let failure = client
            .failure(&format!("SELECT * FROM lake.public.{table}"))
            .await
            .unwrap();
        assert_eq!(failure.sqlstate, "HV000", "{table}: {failure:?}");
        let all = format!("{failure:?}");
        assert!(all.contains(&format!("{table}/part-1.parquet")), "{all}");
        assert_no_internals(&failure);
    }
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn deep_and_long_statements_are_refused() {
    let server = Server::start(&Config::new()).unwrap();
    let client = server.connect().await.unwrap();
    let n = 100_000;
    let mut wrong = Vec::new();
    for (what, sql) in [
        (
            "parentheses",
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        ),
        ("open parentheses", format!("SELECT {}", "(".repeat(n))),
        ("plus", format!("SELECT 1{}", " + 1".repeat(n))),
        ("or", format!("SELECT true{}", " OR true".repeat(n))),
        ("and", format!("SELECT true{}", " AND 1 = 1".repeat(n))),
        ("not", format!("SELECT {}true", "NOT ".repeat(n))),
        ("unary minus", format!("SELECT {}1", "- ".repeat(n))),
        ("casts", format!("SELECT 1{}", "::int".repeat(n))),
        ("concatenations", format!("SELECT 'a'{}", " || 'b'".repeat(n))),
        (
            "case",
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
        ),
        (
            "subqueries",
            format!(
                "SELECT * FROM {}(SELECT 1) t{}",
                "(SELECT * FROM ".repeat(n),
                ") t".repeat(n)
            ),
        ),
        ("unions", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n))),
        (
            "joins",
            format!(
                "SELECT 1 FROM (SELECT 1) t0{}",
                " CROSS JOIN (SELECT 1) t".repeat(n)
            ),
        ),
        (
            "arrays",
            format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
        ),
        (
            "functions",
            format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n)),
        ),
        (
            "ctes",
            format!("{}SELECT 1{}", "WITH a AS (".repeat(n), ") SELECT 1".repeat(n)),
        ),
    ] {
        let failure = client
            .failure(&sql)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:#}"));
        if failure.sqlstate != "54001" {
            wrong.push(format!("{what}: {failure:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_alive(&server, &client).await;
}

#[tokio::test]
async fn megabytes_of_sql_are_answered_or_refused() {
    let server = Server::start(&Config::new()).unwrap();
    let client = server.connect().await.unwrap();
    let text = "x".repeat(4 << 20);
    let mut answers = Vec::new();
    for sql in [
        format!("SELECT length('{text}')"),
        format!("SELECT 1 /* {text} */"),
        format!("SELECT 1 IN ({}1)", "2,".repeat(500_000)),
        format!("SELECT {}1", "1,".repeat(200_000)),
        format!("SELECT \"{text}\""),
        format!("SELECT (ARRAY[1]){}", "[1]".repeat(100_000)),
        "\u{1F980}".repeat(1 << 20),
        " ".repeat(8 << 20),
    ] {
        let answer = client.try_query(&sql).await.unwrap();
        answers.push(
            answer
                .map(|rows| rows.rows.len())
                .map_err(|failure| failure.sqlstate),
        );
    }
    for answer in &answers {
        assert!(!matches!(answer, Err(state) if state == "XX000"), "{answers:?}");
    }
    assert_alive(&server, &client).await;
}

/// One catalog of each kind, all at one address.
fn all_sources_at(address: SocketAddr) -> Config {
    let s3 = S3 {
        endpoint: format!("http://{address}"),
        bucket: "bucket".to_owned(),
        access_key: "access".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let items = RedisTable {
        name: "items".to_owned(),
        key: "items:{id}".to_owned(),
        columns: ["id integer", "name text"].map(str::to_owned).to_vec(),
    };
    Config::new()
        .mysql("shop", &format!("mysql://root@{address}"))
        .s3("lake", &s3, "tables/")
        .redis("cache", &format!("redis://{address}/0"), &[items])
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

async fn listen_and_never_answer() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let mut sockets = Vec::new();
        loop {
            sockets.push(listener.accept().await.unwrap());
        }
    });
    (address, accepting)
}

fn small_table() -> Bytes {
    let ids = Int64Array::from_iter_values(0..1000);
    let names = StringArray::from_iter_values((0..1000).map(|id| format!("name {id}")));
    let columns = [("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 1000).unwrap()
}

/// A file whose footer is whole and whose pages are not.
fn damaged_body(file: &Bytes) -> Bytes {
    let mut data = file.to_vec();
    let middle = data.len() / 2;
    data[4..middle].fill(0xFF);
    data.into()
}

async fn put_small_table(s3: &S3, key: &str) {
    put_object(&s3.store().unwrap(), key, small_table())
        .await
        .unwrap();
}
