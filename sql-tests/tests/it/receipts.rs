//! `causeway.receipt`: what a statement has moved is told once, and it is what the sources themselves counted.

use std::time::Duration;

use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{mysql_url, redis_url, unique_name};
use mysql_async::prelude::Queryable;

use crate::federation::{collect, monitor, own_s3, write_days, write_dimension, write_few, write_hashes};
use crate::mysql::Mysql;

#[tokio::test]
async fn a_receipt_comes_once_before_the_tag_of_what_reads_sources() {
    let server = Server::start(&Config::new().memory("mem")).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    let receipt = "[00000 mem (memory): 0 requests, 2 rows, N bytes; 2 rows moved for 2 returned]";
    for (sql, expected) in [
        (
            "CREATE TABLE mem.t AS SELECT * FROM (VALUES (1), (2), (3)) v (a)",
            &[
                "[00000 tables of this catalog are kept in memory and lost when the server stops]",
                "SELECT 3",
            ][..],
        ),
        ("SELECT a FROM mem.t WHERE a > 1", &["SELECT 2"]),
        (
            "SHOW causeway.receipt; SET causeway.receipt = on; SELECT a FROM mem.t WHERE a > 1; SELECT 1",
            &["SHOW", "SET", receipt, "SELECT 2", "SELECT 1"],
        ),
        // Neither the system's relations nor a mere plan move anything.
        (
            "SELECT count(*) FROM pg_catalog.pg_type; EXPLAIN (FORMAT JSON) SELECT a FROM mem.t",
            &["SELECT 1", "EXPLAIN"],
        ),
        (
            "SELECT a FROM mem.t WHERE 1 / (a - 2) = 5",
            &["[22012 division by zero]"],
        ),
        (
            "INSERT INTO mem.t SELECT a + 10 FROM mem.t WHERE a > 1",
            &[
                "[00000 mem (memory): 0 requests, 2 rows, N bytes; 2 rows moved for 2 written]",
                "INSERT 0 2",
            ],
        ),
        ("INSERT INTO mem.t VALUES (7)", &["INSERT 0 1"]),
        (
            "SET client_min_messages = warning; SELECT a FROM mem.t WHERE a = 1",
            &["SET", "SELECT 1"],
        ),
        (
            "RESET client_min_messages; RESET causeway.receipt; SELECT a FROM mem.t WHERE a = 1",
            &["RESET", "RESET", "SELECT 1"],
        ),
        (
            "BEGIN; SET LOCAL causeway.receipt = on; SELECT a FROM mem.t WHERE a = 1; COMMIT; SELECT a FROM mem.t WHERE a = 1",
            &[
                "BEGIN",
                "SET",
                "[00000 mem (memory): 0 requests, 1 row, N bytes; 1 row moved for 1 returned]",
                "SELECT 1",
                "COMMIT",
                "SELECT 1",
            ],
        ),
        (
            "SET causeway.receipt = maybe",
            &["[22023 invalid value for parameter \"causeway.receipt\": \"maybe\"]"],
        ),
    ] {
        client.send_query(sql).await.unwrap();
        assert_eq!(without_bytes(client.outcomes().await.unwrap()), expected, "{sql}");
    }
    client.send_query("SET causeway.receipt = on").await.unwrap();
    client.outcomes().await.unwrap();
    client
        .send_extended("SELECT a FROM mem.t WHERE a IN (2, 3)")
        .await
        .unwrap();
    assert_eq!(
        without_bytes(client.outcomes().await.unwrap()),
        [receipt, "SELECT 2"]
    );
}

#[tokio::test]
async fn the_receipt_of_a_portal_comes_with_its_last_rows() {
    let server = Server::start(&Config::new().memory("mem")).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    client
        .send_query(
            "CREATE TABLE mem.t AS SELECT * FROM (VALUES (1), (2), (3)) v (a); SET causeway.receipt = on",
        )
        .await
        .unwrap();
    client.outcomes().await.unwrap();
    // Parse, Bind, two Executes of two rows each, Sync.
    let mut messages = message(b'P', b"\0SELECT a FROM mem.t\0\0\0");
    messages.extend(message(b'B', &[0; 8]));
    messages.extend(message(b'E', &[0, 0, 0, 0, 2]));
    messages.extend(message(b'E', &[0, 0, 0, 0, 2]));
    messages.extend(message(b'S', &[]));
    client.send_bytes(&messages).await.unwrap();
    assert_eq!(client.kinds(1).await.unwrap(), "12DDsDNCZ");
    client.send_bytes(&messages).await.unwrap();
    let told = without_bytes(client.outcomes().await.unwrap());
    assert_eq!(
        told,
        [
            "[00000 mem (memory): 0 requests, 3 rows, N bytes; 3 rows moved for 3 returned]",
            "SELECT 1"
        ]
    );
}

#[tokio::test]
async fn mysql_has_counted_the_same_statements_and_rows() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let (database, user) = (mysql.database.clone(), unique_name("u"));
    for sql in [
        format!("CREATE TABLE {database}.t (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE = InnoDB"),
        format!("INSERT INTO {database}.t SELECT seq, CONCAT('value ', seq) FROM {database}.seq_1_to_1000"),
        format!("CREATE USER {user}@'%'"),
        format!("GRANT SELECT ON {database}.* TO {user}@'%'"),
        format!("ANALYZE TABLE {database}.t"),
    ] {
        mysql.run(&sql).await;
    }
    let folder = tempfile::tempdir().unwrap();
    write_few(&folder.path().join("few"), |number| Some(number * 10));
    let config = Config::new()
        .local("files", folder.path())
        .mysql("shop", &url.replace("root@", &format!("{user}@")));
    let server = Server::start(&config).unwrap();
    let scan = format!("SELECT id FROM shop.{database}.t WHERE id > 975");
    let few = format!("SELECT id FROM shop.{database}.t LIMIT 3");
    let all = format!("SELECT id, v FROM shop.{database}.t");
    let join = format!("SELECT f.id, t.v FROM files.public.few f JOIN shop.{database}.t t ON t.id = f.id");
    let mut client = RawClient::connect(server.port()).await.unwrap();
    client.send_query("SET causeway.receipt = on").await.unwrap();
    client.outcomes().await.unwrap();
    let mut told = Vec::new();
    // Beside the rows, columns and parameters are described, and ends are told.
    const DESCRIBED_BYTES_MAX: u64 = 500;
    const PARAMETER_BYTES_MAX: u64 = 40;
    for (sql, parameters) in [(&scan, 1), (&few, 0), (&join, 50), (&all, 0)] {
        // Columns, statistics and footers are asked once and kept.
        client.send_query(sql).await.unwrap();
        client.outcomes().await.unwrap();
        let before = counted(&mysql, &user).await;
        client.send_query(sql).await.unwrap();
        told.push(client.outcomes().await.unwrap().swap_remove(0));
        let after = counted(&mysql, &user).await;
        let shop = told.last().unwrap().split("shop (mysql): ").nth(1).unwrap();
        let figure = |place: usize| {
            shop.split(", ")
                .nth(place)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            (figure(0), figure(1)),
            ((after.0 - before.0).to_string(), (after.1 - before.1).to_string()),
            "{sql}: {told:?}"
        );
        let (bytes, sent) = (received_bytes(shop), after.2 - before.2);
        let described = sent.checked_sub(bytes);
        assert!(
            described.is_some_and(|bytes| bytes < DESCRIBED_BYTES_MAX + parameters * PARAMETER_BYTES_MAX),
            "{sql}: {sent} were sent, {told:?}"
        );
    }
    assert!(
        told[0].starts_with("[00000 shop (mysql): 1 request, 25 rows, "),
        "{told:?}"
    );
    assert!(told[0].ends_with("; 25 rows moved for 25 returned]"), "{told:?}");
    assert!(told[1].ends_with("; 3 rows moved for 3 returned]"), "{told:?}");
    assert!(
        told[2].contains("; shop (mysql): 1 request, 50 rows, "),
        "{told:?}"
    );
    assert!(told[2].ends_with("; 100 rows moved for 50 returned]"), "{told:?}");
    mysql.run(&format!("DROP USER {user}@'%'")).await;
}

#[tokio::test]
async fn a_statement_that_is_cancelled_has_no_receipt() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let table = format!("{}.t", mysql.database);
    mysql
        .run(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)"))
        .await;
    mysql.run(&format!("INSERT INTO {table} VALUES (1)")).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    let sql = format!("SELECT id FROM shop.{table}");
    client
        .send_query(&format!(
            "{sql}; SET causeway.receipt = on; SET statement_timeout = '500ms'"
        ))
        .await
        .unwrap();
    client.outcomes().await.unwrap();
    let lock = mysql.lock(&table).await;
    client.send_query(&sql).await.unwrap();
    assert_eq!(
        client.outcomes().await.unwrap(),
        ["[57014 canceling statement due to statement timeout]"]
    );
    drop(lock);
    let deadline = Duration::from_secs(20);
    mysql.wait_for_statements(|running| running == 0, deadline).await;
    client
        .send_query(&format!("SET statement_timeout = 0; {sql}"))
        .await
        .unwrap();
    let told = client.outcomes().await.unwrap();
    assert!(
        told[1].starts_with("[00000 shop (mysql): 1 request, 1 row, "),
        "{told:?}"
    );
}

#[tokio::test]
async fn redis_has_seen_the_same_commands() {
    let Some(url) = redis_url() else { return };
    let name = unique_name("receipts");
    write_hashes(&url, &name, 200).await;
    let items = RedisTable {
        name: "items".to_owned(),
        key: format!("{name}:{{id}}"),
        columns: ["id integer", "name text"].map(str::to_owned).to_vec(),
    };
    let server = Server::start(&Config::new().redis("cache", &url, &[items])).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    client.send_query("SET causeway.receipt = on").await.unwrap();
    client.outcomes().await.unwrap();
    let sql = "SELECT name FROM cache.public.items WHERE id IN (3, 5, 7, 500)";
    client.send_query(sql).await.unwrap();
    client.outcomes().await.unwrap();
    let mut commands = monitor(&url, &name).await;
    client.send_query(sql).await.unwrap();
    let told = client.outcomes().await.unwrap();
    let seen = collect(&mut commands).await;
    // A hash without the field is asked for once more, between MULTI and EXEC, which name no key.
    assert_eq!(seen.len(), 6, "{seen:#?}");
    assert_eq!(
        told,
        [
            "[00000 cache (redis): 8 requests, 3 rows, 97 bytes; 3 rows moved for 3 returned]",
            "SELECT 3"
        ]
    );
}

#[tokio::test]
async fn a_store_has_answered_the_same_requests_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, s3) = own_s3(folder.path()).await;
    write_days(&s3).await;
    write_dimension(&folder.path().join("files/dimension"));
    let config = Config::new()
        .s3_with_options("lake", &s3, "warehouse/", "cache_memory = 0")
        .local("files", &folder.path().join("files"));
    let server = Server::start(&config).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    let sql = "SELECT count(*), sum(e.value) FROM files.public.dimension d \
               JOIN lake.public.events e ON e.day = d.day WHERE d.id % 25 = 0";
    client
        .send_query(&format!("{sql}; SET causeway.receipt = on"))
        .await
        .unwrap();
    client.outcomes().await.unwrap();
    store.log().take();
    client.send_query(sql).await.unwrap();
    let told = client.outcomes().await.unwrap().swap_remove(0);
    let requests = store.log().take();
    let bytes: u64 = requests.iter().map(|request| request.bytes).sum();
    let megabytes = format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    let expected = format!(
        "lake (s3): {} requests, 200000 rows, {megabytes}, 2 cache hits; ",
        requests.len()
    );
    assert!(told.contains(&expected), "{expected} is not in {told}");
}

#[tokio::test]
async fn what_is_kept_of_a_store_is_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, s3) = own_s3(folder.path()).await;
    write_days(&s3).await;
    let server = Server::start(&Config::new().s3("lake", &s3, "warehouse/")).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    let sql = "SELECT count(*), sum(value) FROM lake.public.events WHERE day < '2024-01-11'";
    client
        .send_query(&format!("{sql}; SET causeway.receipt = on"))
        .await
        .unwrap();
    client.outcomes().await.unwrap();
    assert!(!store.log().take().is_empty());
    client.send_query(sql).await.unwrap();
    let told = client.outcomes().await.unwrap().swap_remove(0);
    // Whether it still has these objects, and nothing else.
    let asked = store.log().take();
    assert_eq!(
        asked.iter().map(|request| request.bytes).sum::<u64>(),
        0,
        "{asked:?}"
    );
    let requests = format!("lake (s3): {} requests, ", asked.len());
    assert!(told.contains(&requests), "{told} for {asked:?}");
    assert!(
        told.contains(" 0 bytes, ") && told.contains(" cache hits; "),
        "{told}"
    );
}

/// The outcomes with `N` for the bytes of tables in memory, which have room for more than they hold.
fn without_bytes(outcomes: Vec<String>) -> Vec<String> {
    let hidden = outcomes.into_iter().map(|outcome| {
        let words = outcome.split(' ').collect::<Vec<_>>();
        let hide = |(place, word): (usize, &&str)| match words.get(place + 1) {
            Some(next) if next.starts_with("bytes") => "N".to_owned(),
            _ => (*word).to_owned(),
        };
        words.iter().enumerate().map(hide).collect::<Vec<_>>().join(" ")
    });
    hidden.collect()
}

/// Statements that read, rows that they gave and bytes of these and all around them, by a user's own counters. The server counts a statement after it has sent
/// the last row: a moment later the client that has it might still find it missing.
async fn counted(mysql: &Mysql, user: &str) -> (u64, u64, u64) {
    const SETTLED_AFTER: Duration = Duration::from_millis(300);
    tokio::time::sleep(SETTLED_AFTER).await;
    let mut connection = mysql.connect().await;
    let counters: Option<(u64, u64, u64)> = connection
        .query_first(format!(
            "SELECT SELECT_COMMANDS, ROWS_SENT, BYTES_SENT FROM information_schema.USER_STATISTICS \
             WHERE USER = '{user}'"
        ))
        .await
        .unwrap();
    connection.disconnect().await.unwrap();
    counters.unwrap()
}

/// The third figure of a source.
fn received_bytes(figures: &str) -> u64 {
    let mut words = figures.split(", ").nth(2).unwrap().split([' ', ';']);
    let number: f64 = words.next().unwrap().parse().unwrap();
    let unit = match words.next().unwrap() {
        "kB" => 1_000.0,
        _ => 1.0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of bytes"
    )]
    let bytes = (number * unit) as u64;
    bytes
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}
