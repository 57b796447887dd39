//! The embedded store over the wire: `cases/connectors/embedded/*.slt`; one server at a time has its file, and one that is
//! killed leaves it free, with every transaction that it has acknowledged.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use causeway_sql_tests::client::Client;
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;

use crate::slt::run_own;

/// Tables with readable keys and values beside those made by SQL.
const DESCRIBED: &str = r#"
[[catalogs.kv.tables]]
name = "people"
key = "person:{tenant}:{id}"
value = "json"
columns = ["tenant text", "id int", "name text", "size double precision", { name = "city", type = "text", path = "$.address.city" }]

[[catalogs.kv.tables]]
name = "notes"
key = "note:{day}"
value = "string"
columns = ["day date", "note text"]

[[catalogs.kv.tables]]
name = "note_keys"
key = "note:{day}"
value = "string"
columns = ["day date", "note text"]
hidden = ["_key"]
"#;

const KILLS: usize = 6;
/// Sessions that write at the same time.
const WRITERS: usize = 3;
/// Rows of each of their transactions.
const ROWS: usize = 40;
/// The longest that they write before the server is killed.
const WRITING_MS_MAX: u64 = 1500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_with_pushdown() {
    run("on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_without_pushdown() {
    run("off").await;
}

async fn run(pushdown: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new()
        .server("target_partitions = 2")
        .embedded("kv", &folder.path().join("store.redb"))
        .catalog_lines(DESCRIBED);
    let server = Server::start(&config).unwrap();
    run_own(&server, "connectors/embedded", pushdown).await;
}

/// How many transactions of each writer were acknowledged.
type Acknowledged = [usize; WRITERS];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_every_transaction_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new().embedded("kv", &folder.path().join("store.redb"));
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    client
        .query("CREATE TABLE kv.t (writer integer, number integer, part integer, note text, PRIMARY KEY (writer, number, part))")
        .await
        .unwrap();
    client
        .query("CREATE TABLE kv.totals AS SELECT g AS writer, 0 AS transactions FROM generate_series(0, 2) AS t (g)")
        .await
        .unwrap();
    drop(server);
    let mut before = [0; WRITERS];
    for kill in 0..KILLS {
        let acknowledged = write_until_killed(&config, before).await;
        assert!(acknowledged > before, "kill {kill}: nothing was written");
        let server = Server::start(&config).unwrap();
        let found = whole_transactions(&server.connect().await.unwrap()).await;
        for writer in 0..WRITERS {
            let right = [acknowledged[writer], acknowledged[writer] + 1];
            assert!(
                right.contains(&found[writer]),
                "kill {kill}, writer {writer}: {} are there, {} were acknowledged",
                found[writer],
                acknowledged[writer]
            );
        }
        before = found;
    }
}

/// Starts a server, writes to it, and kills it at some moment. Returns what it has acknowledged.
async fn write_until_killed(config: &Config, before: Acknowledged) -> Acknowledged {
    let mut server = Server::start(config).unwrap();
    let acknowledged = Mutex::new(before);
    let writers = (0..WRITERS).map(|writer| {
        let (server, acknowledged) = (&server, &acknowledged);
        async move {
            let client = server.connect().await.unwrap();
            for number in before[writer].. {
                // It ends with the server.
                if commit(&client, writer, number).await.is_err() {
                    return;
                }
                acknowledged.lock().unwrap()[writer] = number + 1;
            }
        }
    });
    let writing_ms = 1 + RandomState::new().hash_one(0) % WRITING_MS_MAX;
    println!("killed after {writing_ms} ms");
    let killing = async {
        while *acknowledged.lock().unwrap() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(writing_ms)).await;
        server.signal("KILL").unwrap();
    };
    tokio::join!(futures::future::join_all(writers), killing);
    assert!(server.has_ended_within(Duration::from_secs(10)));
    acknowledged.into_inner().unwrap()
}

/// One transaction: by the first writer in a block, with a savepoint; by the others in one statement each, or message.
async fn commit(client: &Client, writer: usize, number: usize) -> Result<()> {
    let insert = |from: usize, to: usize| {
        format!(
            "INSERT INTO kv.t SELECT {writer}, {number}, g, repeat('x', g * 50) FROM generate_series({from}, {to}) AS p (g)"
        )
    };
    let count = format!("UPDATE kv.totals SET transactions = transactions + 1 WHERE writer = {writer}");
    if writer > 0 {
        client.query(&format!("{}; {count}", insert(1, ROWS))).await?;
        return Ok(());
    }
    for statement in [
        "BEGIN",
        &insert(1, ROWS / 2),
        "SAVEPOINT s",
        "DELETE FROM kv.t WHERE writer = 0",
        "ROLLBACK TO s",
        &count,
        &insert(ROWS / 2 + 1, ROWS),
        "COMMIT",
    ] {
        client.query(statement).await?;
    }
    Ok(())
}

/// The number of transactions of each writer; panics when one is there in part.
async fn whole_transactions(client: &Client) -> Acknowledged {
    let sql = "SELECT writer, number, count(*), sum(length(note)) FROM kv.t GROUP BY writer, number ORDER BY writer, number";
    let mut found: BTreeMap<usize, usize> = BTreeMap::new();
    for line in client.query(sql).await.unwrap().lines() {
        let values: Vec<usize> = line.split('\t').map(|value| value.parse().unwrap()).collect();
        let next = found.entry(values[0]).or_default();
        let whole = [values[0], *next, ROWS, 50 * ROWS * (ROWS + 1) / 2];
        assert_eq!(values, whole, "writer, transaction, rows, bytes");
        *next += 1;
    }
    let counted = client
        .query("SELECT transactions FROM kv.totals ORDER BY writer")
        .await
        .unwrap()
        .lines();
    let found: Vec<usize> = (0..WRITERS)
        .map(|writer| found.get(&writer).copied().unwrap_or_default())
        .collect();
    assert_eq!(counted, found.iter().map(usize::to_string).collect::<Vec<_>>());
    found.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_one_servers_until_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new().embedded("kv", &folder.path().join("store.redb"));
    let first = Server::start(&config).unwrap();
    let client = first.connect().await.unwrap();
    assert_eq!(status(&client).await, ["up\t\\N"]);
    let schemas = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'kv.%'";
    assert_eq!(client.query(schemas).await.unwrap().lines(), ["kv.public"]);
    assert_eq!(
        client.failure("SELECT * FROM kv.nope").await.unwrap().sqlstate,
        "42P01"
    );

    let second = Server::start(&config).unwrap();
    let waiting = second.connect().await.unwrap();
    assert_eq!(
        status(&waiting).await,
        ["down\tthe file of catalog kv is in use by another process"]
    );
    let failure = waiting.failure("SELECT * FROM kv.nope").await.unwrap();
    assert_eq!(failure.sqlstate, "HV00N", "{failure:?}");
    assert!(!format!("{failure:?}").contains("store.redb"), "{failure:?}");

    // Ends it by SIGKILL, so that nothing was closed.
    drop(first);
    assert_eq!(status(&waiting).await, ["up\t\\N"]);
    assert_eq!(
        waiting.failure("SELECT * FROM kv.nope").await.unwrap().sqlstate,
        "42P01"
    );
}

async fn status(client: &Client) -> Vec<String> {
    let status = "SELECT status, error FROM system.catalogs WHERE name = 'kv'";
    client.query(status).await.unwrap().lines()
}
