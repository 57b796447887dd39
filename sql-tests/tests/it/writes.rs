//! Writing over the wire, to every kind of catalog that can be written: the cases of `cases/writes`, command tags,
//! parameters, several sessions, and what is left when one of them vanishes.

use std::time::Duration;

use causeway_sql_tests::client::{Client, failure};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use tokio_postgres::NoTls;

use crate::slt::run_own;
use crate::writable::{self, Kind};

/// Longest wait for a transaction of a client that has gone to be undone.
const UNDONE_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases() {
    for pushdown in ["on", "off"] {
        for server in writable::each(&["mem", "other"]) {
            run_own(&server, "writes", pushdown).await;
        }
    }
}

async fn driver(server: &Server) -> tokio_postgres::Client {
    let url = format!("host=127.0.0.1 port={} user=test dbname=mem", server.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn lines(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql).await.unwrap().lines()
}

/// What a table in memory says when it is made.
const LOST: &str = "[00000 tables of this catalog are kept in memory and lost when the server stops]";

/// A message, and what the server answers to it.
const TAGS: &[(&str, &[&str])] = &[
    ("CREATE SCHEMA mem.s", &["CREATE SCHEMA"]),
    ("CREATE TABLE mem.s.t (a integer)", &[LOST, "CREATE TABLE"]),
    (
        "CREATE TABLE IF NOT EXISTS mem.s.t (a integer)",
        &["[42P07 relation \"t\" already exists, skipping]", "CREATE TABLE"],
    ),
    ("INSERT INTO mem.s.t VALUES (1), (2), (3)", &["INSERT 0 3"]),
    ("UPDATE mem.s.t SET a = a + 1 WHERE a > 1", &["UPDATE 2"]),
    ("DELETE FROM mem.s.t WHERE a = 9", &["DELETE 0"]),
    (
        "CREATE TABLE mem.s.u AS SELECT * FROM mem.s.t",
        &[LOST, "SELECT 3"],
    ),
    ("CREATE VIEW mem.s.v AS SELECT a FROM mem.s.t", &["CREATE VIEW"]),
    ("ALTER TABLE mem.s.u RENAME TO w", &["ALTER TABLE"]),
    ("TRUNCATE mem.s.w", &["TRUNCATE TABLE"]),
    (
        "DROP TABLE IF EXISTS mem.s.u, mem.s.t CASCADE",
        &[
            "[00000 table \"mem.s.u\" does not exist, skipping]",
            "[00000 drop cascades to view v]",
            "DROP TABLE",
        ],
    ),
    (
        "DROP SCHEMA mem.s CASCADE; SELECT 1",
        &["[00000 drop cascades to table w]", "DROP SCHEMA", "SELECT 1"],
    ),
    (
        "DROP VIEW IF EXISTS mem.v",
        &["[00000 view \"mem.v\" does not exist, skipping]", "DROP VIEW"],
    ),
    (
        "SET client_min_messages = warning; DROP VIEW IF EXISTS mem.v",
        &["SET", "DROP VIEW"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_notices_are_those_of_postgresql() {
    for server in writable::each(&["mem"]) {
        let mut client = RawClient::connect(server.port()).await.unwrap();
        for (sql, expected) in TAGS {
            let mut expected = expected.to_vec();
            expected.retain(|told| server.kind == Kind::Memory || *told != LOST);
            client.send_query(sql).await.unwrap();
            assert_eq!(client.outcomes().await.unwrap(), expected, "{sql}");
        }
        client.send_extended("CREATE TABLE t (a integer)").await.unwrap();
        assert_eq!(
            client.outcomes().await.unwrap(),
            ["CREATE TABLE"],
            "one catalog needs no name, and nobody wants notices"
        );
        client.send_extended("INSERT INTO t SELECT 7").await.unwrap();
        assert_eq!(client.outcomes().await.unwrap(), ["INSERT 0 1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_types_of_their_columns() {
    for server in writable::each(&["mem"]) {
        let client = driver(&server).await;
        client
            .batch_execute(
                "CREATE TABLE p (id bigint PRIMARY KEY, small smallint, name text, ratio double precision, at timestamp, \
                 raw bytea, flag boolean, list integer[])",
            )
            .await
            .unwrap();
        let insert = client
            .prepare("INSERT INTO p VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .await
            .unwrap();
        let types: Vec<&str> = insert
            .params()
            .iter()
            .map(tokio_postgres::types::Type::name)
            .collect();
        assert_eq!(
            types,
            [
                "int8",
                "int2",
                "text",
                "float8",
                "timestamp",
                "bytea",
                "bool",
                "_int4"
            ]
        );
        assert!(insert.columns().is_empty());
        for id in 1..=3_i64 {
            let written = client
                .execute(
                    &insert,
                    &[
                        &id,
                        &7_i16,
                        &"it's",
                        &Some(0.5_f64),
                        &Some(std::time::SystemTime::UNIX_EPOCH),
                        &Some(b"\x00\xff".as_slice()),
                        &true,
                        &vec![Some(1), None],
                    ],
                )
                .await
                .unwrap();
            assert_eq!(written, 1);
        }
        let update = "UPDATE p SET small = small + $1, name = $2 WHERE id IN ($3, $4)";
        let written = client
            .execute(update, &[&1_i16, &None::<String>, &1_i64, &2_i64])
            .await
            .unwrap();
        assert_eq!(written, 2);
        let written = client
            .execute("DELETE FROM p WHERE small = $1", &[&7_i16])
            .await
            .unwrap();
        assert_eq!(written, 1);
        let rows = client
            .simple_query("SELECT id, small, name, ratio, at, raw, flag, list FROM p WHERE id = 1")
            .await
            .unwrap();
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.unwrap();
        let values: Vec<Option<&str>> = (0..row.len()).map(|column| row.get(column)).collect();
        assert_eq!(
            values,
            [
                Some("1"),
                Some("8"),
                None,
                Some("0.5"),
                Some("1970-01-01 00:00:00"),
                Some("\\x00ff"),
                Some("t"),
                Some("{1,NULL}")
            ]
        );
        let error = client
            .execute(
                &insert,
                &[
                    &1_i64,
                    &0_i16,
                    &"",
                    &0.0_f64,
                    &None::<std::time::SystemTime>,
                    &None::<Vec<u8>>,
                    &None::<bool>,
                    &None::<Vec<i32>>,
                ],
            )
            .await;
        let error = failure(error.unwrap_err()).unwrap();
        assert_eq!(error.sqlstate, "23505");
        assert_eq!(
            error
                .detail
                .as_deref()
                .map(|detail| detail.starts_with("Key (id)=(1) already exists.")),
            Some(true)
        );
    }
}

/// A plan that Parse has made would not see what others have written since.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_queries_see_what_was_written_since() {
    for server in writable::each(&["mem"]) {
        let (client, other) = (driver(&server).await, driver(&server).await);
        client.batch_execute("CREATE TABLE t (a integer)").await.unwrap();
        let count = client.prepare("SELECT count(*) FROM t").await.unwrap();
        let insert = client
            .prepare("INSERT INTO t SELECT count(*) FROM t")
            .await
            .unwrap();
        for expected in 1..=3_i64 {
            other.batch_execute("INSERT INTO t VALUES (0)").await.unwrap();
            let row = client.query_one(&count, &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), 2 * expected - 1);
            assert_eq!(client.execute(&insert, &[]).await.unwrap(), 1);
        }
        client
            .batch_execute("PREPARE put AS INSERT INTO t VALUES ($1); EXECUTE put('41'); EXECUTE put(42)")
            .await
            .unwrap();
        let row = client
            .query_one("SELECT count(*) FROM t WHERE a > 40", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_between_sessions() {
    for server in writable::each(&["mem"]) {
        let client = server.connect().await.unwrap();
        client
            .query("CREATE TABLE mem.n AS SELECT 0 AS a, 0 AS b")
            .await
            .unwrap();
        let sessions = (0..4).map(|_| async {
            let client = server.connect().await.unwrap();
            for _ in 0..10 {
                client.query("UPDATE mem.n SET a = a + 1").await.unwrap();
                client.query("BEGIN").await.unwrap();
                client.query("UPDATE mem.n SET b = b + 1").await.unwrap();
                // Nobody sees half of a transaction.
                let seen = client.query("SELECT a - b FROM mem.n").await.unwrap().lines();
                assert_eq!(seen.len(), 1);
                client.query("COMMIT").await.unwrap();
            }
        });
        futures::future::join_all(sessions).await;
        assert_eq!(lines(&client, "SELECT a, b FROM mem.n").await, ["40\t40"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_nothing_and_locks_nothing() {
    for server in writable::each(&["mem"]) {
        let client = server.connect().await.unwrap();
        client.query("CREATE TABLE mem.t AS SELECT 1 AS a").await.unwrap();
        let mut vanishing = RawClient::connect(server.port()).await.unwrap();
        for sql in ["BEGIN", "DELETE FROM mem.t", "INSERT INTO mem.t VALUES (2)"] {
            vanishing.send_query(sql).await.unwrap();
            vanishing.outcomes().await.unwrap();
        }
        drop(vanishing);
        let waiting = client.query("UPDATE mem.t SET a = a + 10");
        tokio::time::timeout(UNDONE_WITHIN, waiting)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(lines(&client, "SELECT a FROM mem.t").await, ["11"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_write_is_undone() {
    for server in writable::each(&["mem"]) {
        let client = server.connect().await.unwrap();
        client.query("CREATE TABLE mem.t (a bigint)").await.unwrap();
        // Cancelled while it reads, and while it waits for the writer before it.
        let endless = "INSERT INTO mem.t SELECT a.g FROM generate_series(1, 100000) AS a (g), generate_series(1, 100000) AS b (g) WHERE a.g + b.g = 0";
        let token = client.cancel_token();
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let (failed, ()) = tokio::join!(client.failure(endless), cancelling);
        assert_eq!(failed.unwrap().sqlstate, "57014");
        let writer = server.connect().await.unwrap();
        writer.query("BEGIN; INSERT INTO mem.t VALUES (1)").await.unwrap();
        client.query("SET statement_timeout = '300ms'").await.unwrap();
        let failed = client.failure("DELETE FROM mem.t").await.unwrap();
        assert_eq!(failed.sqlstate, "57014");
        writer.query("COMMIT").await.unwrap();
        assert_eq!(lines(&client, "SELECT a FROM mem.t").await, ["1"]);
        client.query("DELETE FROM mem.t").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_that_are_only_read_say_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("t")).unwrap();
    let rows = causeway_sql_tests::tpch::batches("region", 0.01, 1, 1).unwrap();
    let schema = causeway_sql_tests::tpch::schema("region").unwrap();
    let file = causeway_sql_tests::loaders::parquet_file(schema, rows, 100).unwrap();
    std::fs::write(folder.path().join("t/part-1.parquet"), file).unwrap();
    let config = Config::new().memory("mem").local("files", folder.path());
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    for sql in [
        "INSERT INTO files.t VALUES (9, 'x', 'y')",
        "UPDATE files.t SET r_name = 'x'",
        "DELETE FROM files.t",
        "TRUNCATE files.t",
        "DROP TABLE files.t",
        "CREATE TABLE files.u (a integer)",
        "CREATE SCHEMA files.s",
        "CREATE VIEW files.v AS SELECT 1 AS a",
    ] {
        let failed = client.failure(sql).await.unwrap();
        assert_eq!(failed.sqlstate, "25006", "{sql}: {}", failed.message);
        assert!(
            failed.message.ends_with("catalog \"files\" is read-only"),
            "{}",
            failed.message
        );
    }
    let failed = client.failure("DELETE FROM pg_catalog.pg_class").await.unwrap();
    assert_eq!(failed.sqlstate, "42501");
    // Reading it for a table that can be written is another thing.
    client
        .query("CREATE TABLE mem.r AS SELECT * FROM files.t")
        .await
        .unwrap();
    client
        .query("CREATE VIEW mem.v AS SELECT r_name FROM files.t WHERE r_regionkey < 2")
        .await
        .unwrap();
    assert_eq!(lines(&client, "SELECT count(*) FROM mem.r").await, ["5"]);
    assert_eq!(
        lines(&client, "SELECT * FROM mem.v ORDER BY 1").await,
        ["AFRICA", "AMERICA"]
    );
}

/// The words of the errors that a user of these statements meets.
#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_is_wrong_and_where() {
    for server in writable::each(&["mem"]) {
        let client = server.connect().await.unwrap();
        client
            .query("CREATE TABLE mem.t (id integer PRIMARY KEY, name text NOT NULL)")
            .await
            .unwrap();
        client.query("INSERT INTO mem.t VALUES (1, 'a')").await.unwrap();
        client
            .query("CREATE VIEW mem.v AS SELECT id FROM mem.t")
            .await
            .unwrap();
        for (sql, message, position) in [
            (
                "INSERT INTO mem.t VALUES (2, NULL)",
                "null value in column \"name\" of relation \"t\" violates not-null constraint",
                None,
            ),
            (
                "INSERT INTO mem.t (id, nam) VALUES (2, 'b')",
                "column \"nam\" of relation \"t\" does not exist",
                Some(24),
            ),
            (
                "INSERT INTO mem.t VALUES (true, 'b')",
                "column \"id\" is of type integer but expression is of type boolean",
                Some(27),
            ),
            (
                "UPDATE mem.t SET id = 'x'::text",
                "column \"id\" is of type integer but expression is of type text",
                Some(23),
            ),
            (
                "DROP TABLE mem.t",
                "cannot drop table t because other objects depend on it",
                None,
            ),
            ("UPDATE mem.v SET id = 1", "cannot update view \"v\"", Some(12)),
        ] {
            let failed = client.failure(sql).await.unwrap();
            assert_eq!(
                (failed.message.as_str(), failed.position),
                (message, position),
                "{sql}"
            );
        }
        let failed = client.failure("EXPLAIN DELETE FROM mem.t").await.unwrap();
        assert_eq!(failed.message, "EXPLAIN of DELETE FROM is not supported");
    }
}
