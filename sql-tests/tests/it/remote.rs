//! `system.remote`: statements in the source's own SQL, as tables; who may send them, and what they may not do.

use std::path::Path;
use std::time::Duration;

use causeway_sql_tests::client::{Client, QueryFailure, failure};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::mysql_url;
use futures::{StreamExt, pin_mut};
use mysql_async::prelude::Queryable;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::login::hashed;
use crate::mysql::Mysql;
use crate::operations::reload;

/// A statement must be seen at the source within this time, on a busy machine.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// And must be gone within this time after its client does not want it any more.
const ENDED_WITHIN: Duration = Duration::from_secs(3);

/// A call with `statement` as its literal.
fn remote(catalog: &str, statement: &str) -> String {
    format!("system.remote('{catalog}', '{}')", statement.replace('\'', "''"))
}

async fn lines(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql).await.unwrap().lines()
}

async fn refusal(client: &Client, catalog: &str, statement: &str) -> QueryFailure {
    let sql = format!("SELECT * FROM {}", remote(catalog, statement));
    client.failure(&sql).await.unwrap()
}

/// A database with a table of people and one of many types.
async fn people(url: &str) -> Mysql {
    let mysql = Mysql::new(url).await;
    let db = mysql.database.clone();
    for statement in [
        "CREATE TABLE {db}.people (id INT PRIMARY KEY, name VARCHAR(20), born DATE, balance DECIMAL(10,2)) \
         CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "INSERT INTO {db}.people VALUES (1, 'Ann', '1990-01-31', 10.50), (2, 'ann', NULL, -3.25), (3, 'Zoë', \
         '1969-12-31', NULL), (4, NULL, '2000-02-29', 0)",
        "CREATE TABLE {db}.kinds (tiny TINYINT, big BIGINT UNSIGNED, wide DECIMAL(65,30), half FLOAT, ratio DOUBLE, \
         y YEAR, bits BIT(9), color ENUM('red','GREEN'), tags SET('a','b'), doc JSON, lasts TIME(3), at DATETIME(6), \
         moment TIMESTAMP(3) NULL, latin VARCHAR(9) CHARACTER SET latin1, raw VARBINARY(4), u UUID)",
        "INSERT INTO {db}.kinds VALUES (-7, 18446744073709551615, 0.5, 0.25, 1e300, 1901, b'100000001', 'green', 'b,a', \
         '{\"k\": 1}', '-838:59:59', '2024-02-29 10:00:00.5', '2024-03-31 02:30:00.5', 'é', 0x00ff, \
         '123e4567-e89b-12d3-a456-426655440000')",
    ] {
        let sql = statement.replace("{db}", &db);
        mysql
            .run(&format!("SET STATEMENT time_zone = '+00:00' FOR {sql}"))
            .await;
    }
    mysql
}

fn open_to_all(url: &str) -> Config {
    Config::new().mysql("shop", url).server("remote = [\"shop\"]")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_answers_in_its_own_sql() {
    let Some(url) = mysql_url() else { return };
    let mysql = people(&url).await;
    let server = Server::start(&open_to_all(&url).memory("mem")).unwrap();
    let client = server.connect().await.unwrap();
    let db = &mysql.database;
    let answers = async |sql: &str| {
        let sql = sql.replace("{db}", db);
        lines(&client, &sql).await
    };
    // Its functions, its comparisons and its order.
    assert_eq!(
        answers("SELECT * FROM system.remote('shop', 'SELECT GROUP_CONCAT(name ORDER BY id SEPARATOR \"|\") AS names FROM {db}.people')").await,
        ["Ann|ann|Zoë"]
    );
    assert_eq!(
        answers("SELECT * FROM system.remote('shop', $$SELECT id FROM {db}.people WHERE name = 'ANN' ORDER BY id DESC;$$)").await,
        ["2", "1"]
    );
    assert_eq!(
        answers("SELECT * FROM system.remote('shop', 'SELECT ''a\\'' AS x, 1/3 AS third -- done')").await,
        ["a\\\t0.3333"]
    );
    // What stands above it is done here: `1/3` is what was shown.
    assert_eq!(
        answers("SELECT third * 3 FROM system.remote('shop', 'SELECT 1/3 AS third') WHERE third = 0.3333")
            .await,
        ["0.9999"]
    );
    assert_eq!(
        answers(
            "WITH r AS (SELECT * FROM system.remote('shop', 'SELECT id, name FROM {db}.people') AS t (k, n)) \
             SELECT p.id, r.n, remote.m FROM shop.{db}.people p JOIN r ON r.k = p.id, \
             system.remote('shop', 'SELECT MAX(id) AS m FROM {db}.people') WHERE p.name = 'Ann' \
             AND p.id IN (SELECT id FROM system.remote('shop', 'SELECT id FROM {db}.people WHERE id < 3'))"
        )
        .await,
        ["1\tAnn\t4"]
    );
    assert_eq!(
        answers("SELECT count(*), sum(id) FROM system.remote('shop', 'SELECT * FROM {db}.people') WHERE name <> 'x'").await,
        ["3\t6"]
    );
    assert_eq!(
        answers("SELECT count(*) FROM system.remote('shop', 'SELECT * FROM {db}.people')").await,
        ["4"]
    );
    assert_eq!(
        answers("SELECT 1 FROM system.remote('shop', 'SELECT id FROM {db}.people ORDER BY id') LIMIT 2")
            .await,
        ["1", "1"]
    );
    assert!(
        answers("SELECT * FROM system.remote('shop', 'SELECT * FROM {db}.people WHERE id > 9')")
            .await
            .is_empty()
    );
    // A word of the server's that reads tables, but is no column of any.
    assert_eq!(
        answers("SELECT * FROM system.remote('shop', 'VALUES (1, ''x''), (2, NULL)')").await,
        ["1\tx", "2\t\\N"]
    );
    assert_eq!(
        answers(
            "SELECT * FROM system.remote('shop', '(SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY a DESC')"
        )
        .await,
        ["2", "1"]
    );

    answers("CREATE TABLE mem.copy AS SELECT * FROM system.remote('shop', 'SELECT id, born, balance FROM {db}.people')").await;
    answers("INSERT INTO mem.copy SELECT id + 10, NULL, x FROM system.remote('shop', 'SELECT 7 AS id, 1.25 AS x')").await;
    assert_eq!(
        answers("SELECT * FROM mem.copy WHERE balance > 0 ORDER BY id").await,
        ["1\t1990-01-31\t10.50", "17\t\\N\t1.25"]
    );
    answers("UPDATE mem.copy c SET balance = r.x FROM system.remote('shop', 'SELECT 17 AS id, 2.5 AS x') r WHERE r.id = c.id").await;
    assert_eq!(
        answers("SELECT balance FROM mem.copy WHERE id = 17").await,
        ["2.50"]
    );
    let missing = client
        .failure("SELECT remote.nope FROM system.remote('shop', 'SELECT 1 AS a')")
        .await
        .unwrap();
    assert_eq!(missing.sqlstate, "42703", "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_have_the_types_that_mysql_says() {
    let Some(url) = mysql_url() else { return };
    let mysql = people(&url).await;
    let server = Server::start(&open_to_all(&url)).unwrap();
    let client = server.connect().await.unwrap();
    let db = &mysql.database;
    let through_table = lines(&client, &format!("SELECT * FROM shop.{db}.kinds")).await;
    let native = format!(
        "SELECT * FROM {}",
        remote("shop", &format!("SELECT * FROM {db}.kinds"))
    );
    assert_eq!(lines(&client, &native).await, through_table);
    let postgres = driver(&server, "test").await;
    let types = async |sql: &str| {
        let statement = postgres.prepare(sql).await.unwrap();
        let columns = statement.columns().iter();
        columns
            .map(|column| format!("{} {}", column.name(), column.type_().name()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        types(&native).await,
        types(&format!("SELECT * FROM shop.{db}.kinds")).await
    );
    let computed = remote(
        "shop",
        "SELECT COUNT(*), SUM(7) AS total, NOW(6) AS at, CURDATE() AS day, NULL AS nothing, 1.5 AS n, 1e0 AS d, 'x' AS t, \
         UNHEX('00ff') AS b, 1 = 1 AS truth, CURTIME() AS c, CAST(1 AS UNSIGNED) AS u, 'y' AS t, 'z' AS t_2, '' AS ``",
    );
    assert_eq!(
        types(&format!("SELECT * FROM {computed}")).await,
        [
            "COUNT(*) int8",
            "total numeric",
            "at timestamp",
            "day date",
            "nothing text",
            "n numeric",
            "d float8",
            "t text",
            "b bytea",
            "truth int4",
            "c text",
            "u int8",
            "t_3 text",
            "t_2 text",
            "?column? text"
        ]
    );
    let chosen = format!("SELECT \"COUNT(*)\", total, t, t_2, t_3, \"?column?\", b FROM {computed}");
    assert_eq!(lines(&client, &chosen).await, ["1\t7\tx\tz\ty\t\t\\x00ff"]);
    // Prepared, with a parameter above the statement.
    let sql = format!(
        "SELECT name FROM {} WHERE id = $1",
        remote("shop", &format!("SELECT id, name FROM {db}.people"))
    );
    let statement = postgres.prepare(&sql).await.unwrap();
    for (id, name) in [(1, "Ann"), (3, "Zoë")] {
        let rows = postgres.query(&statement, &[&id]).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(),
            [name]
        );
    }
    let error = postgres
        .prepare("SELECT * FROM system.remote('shop', $1)")
        .await
        .unwrap_err();
    assert_eq!(failure(error).unwrap().sqlstate, "0A000");
}

#[tokio::test]
async fn explain_shows_the_statement() {
    let Some(url) = mysql_url() else { return };
    let mysql = people(&url).await;
    let server = Server::start(&open_to_all(&url)).unwrap();
    let client = server.connect().await.unwrap();
    let statement = format!("SELECT id, name FROM {}.people", mysql.database);
    let plan = client
        .query(&format!(
            "EXPLAIN SELECT name FROM {} WHERE id = 1 LIMIT 1",
            remote("shop", &statement)
        ))
        .await
        .unwrap()
        .text();
    for part in [
        "shop.native.statement",
        &format!("    remote   {statement}\n"),
        "a native statement is sent as it is written",
        "Put the condition into the statement.",
    ] {
        assert!(format!("{plan}\n").contains(part), "{part} is not in\n{plan}");
    }
    let analyzed = client
        .query(&format!(
            "EXPLAIN ANALYZE SELECT name FROM {}",
            remote("shop", &statement)
        ))
        .await
        .unwrap()
        .text();
    assert!(
        analyzed.contains("requests=1") && analyzed.contains("rows=4"),
        "{analyzed}"
    );
    let mut raw = RawClient::connect(server.port()).await.unwrap();
    let sql = format!(
        "SET causeway.receipt = on; SELECT count(*) FROM {}",
        remote("shop", &statement)
    );
    raw.send_query(&sql).await.unwrap();
    let told = raw.outcomes().await.unwrap();
    assert!(
        told[1].starts_with("[00000 shop (mysql): 1 request, 4 rows, "),
        "{told:?}"
    );
}

/// A statement that must be refused, and with what. `{db}` is the database.
const REFUSED_BY_MYSQL: &[(&str, &str)] = &[
    ("", "42601"),
    ("-- nothing", "42601"),
    ("SELEC 1", "42601"),
    ("SELECT FROM WHERE", "42601"),
    ("SELECT 'open", "42601"),
    ("SELECT 1 /* open", "42601"),
    ("SELECT 1; DELETE FROM {db}.people", "42601"),
    ("SELECT 1) AS t; DROP TABLE {db}.people; -- ", "42601"),
    ("SELECT 1) x UNION SELECT (2", "42601"),
    ("SELECT 'a\\'; DELETE FROM {db}.people; -- '", "42601"),
    ("DELETE FROM {db}.people", "25006"),
    ("INSERT INTO {db}.people (id) VALUES (9)", "25006"),
    ("REPLACE INTO {db}.people (id) VALUES (1)", "25006"),
    ("UPDATE {db}.people SET name = 'x'", "25006"),
    ("WITH a AS (SELECT 1) DELETE FROM {db}.people", "25006"),
    ("/* SELECT */ DROP TABLE {db}.people", "25006"),
    ("TRUNCATE {db}.people", "25006"),
    ("SET GLOBAL read_only = 1", "25006"),
    (
        "SET STATEMENT tx_read_only = 0 FOR DELETE FROM {db}.people",
        "25006",
    ),
    ("CALL {db}.p()", "25006"),
    (
        "SELECT * FROM {db}.people INTO OUTFILE '/tmp/causeway-out'",
        "25006",
    ),
    ("SELECT * INTO @x FROM {db}.people LIMIT 1", "25006"),
    ("SELECT * FROM {db}.people FOR UPDATE", "25006"),
    ("SELECT * FROM {db}.people LOCK IN SHARE MODE", "25006"),
    ("SELECT @x := 1", "25006"),
    ("SELECT {db}.writes(9)", "25006"),
    ("SELECT * FROM {db}.written", "25006"),
    ("SELECT NEXT VALUE FOR {db}.s", "25006"),
    ("/*! DELETE FROM {db}.people */", "0A000"),
    ("SELECT 1 /*!; DELETE FROM {db}.people */", "0A000"),
    ("SELECT 1 /*M!100100 INTO OUTFILE '/tmp/causeway-out' */", "0A000"),
    ("SHOW TABLES FROM {db}", "0A000"),
    ("EXPLAIN SELECT 1", "0A000"),
    ("SELECT ?", "0A000"),
    ("SELECT :x", "0A000"),
    ("SELECT nope FROM {db}.people", "42703"),
    ("SELECT * FROM {db}.nope", "42P01"),
    ("SELECT * FROM people", "3F000"),
    ("SELECT nope(1)", "HV000"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_is_only_read() {
    let Some(url) = mysql_url() else { return };
    let mysql = people(&url).await;
    let db = &mysql.database;
    for statement in [
        "CREATE TABLE {db}.log (id INT) ENGINE = MyISAM",
        "CREATE FUNCTION {db}.writes(id INT) RETURNS INT DETERMINISTIC BEGIN INSERT INTO {db}.log VALUES (id); RETURN id; END",
        "CREATE VIEW {db}.written AS SELECT {db}.writes(7) AS id",
        "CREATE PROCEDURE {db}.p() DELETE FROM {db}.people",
        "CREATE SEQUENCE {db}.s",
    ] {
        mysql.run(&statement.replace("{db}", db)).await;
    }
    let server = Server::start(&open_to_all(&url)).unwrap();
    let client = server.connect().await.unwrap();
    for (statement, sqlstate) in REFUSED_BY_MYSQL {
        let refused = refusal(&client, "shop", &statement.replace("{db}", db)).await;
        assert_eq!(refused.sqlstate, *sqlstate, "{statement}: {refused:?}");
    }
    let syntax = refusal(&client, "shop", "SELECT FROM WHERE").await;
    assert_eq!(
        syntax.message,
        "syntax error in the native statement for catalog shop"
    );
    assert!(syntax.detail.unwrap().contains("near 'FROM WHERE'"));

    let mut connection = mysql.connect().await;
    let state = format!(
        "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM {db}.people), (SELECT GROUP_CONCAT(name ORDER BY id) FROM {db}.people), \
         (SELECT COUNT(*) FROM {db}.log), (SELECT next_not_cached_value FROM {db}.s))"
    );
    let state: Option<String> = connection.query_first(state).await.unwrap();
    assert_eq!(state.as_deref(), Some("4 Ann,ann,Zoë 0 1"));
    assert!(!Path::new("/tmp/causeway-out").exists());

    // What a session holds ends with the statement, and is not there for the next one.
    let lock = format!("{db} lock");
    let taken = lines(
        &client,
        &format!(
            "SELECT * FROM {}",
            remote("shop", &format!("SELECT GET_LOCK('{lock}', 5)"))
        ),
    )
    .await;
    assert_eq!(taken, ["1"]);
    let free: Option<u8> = connection
        .query_first(format!("SELECT GET_LOCK('{lock}', 20)"))
        .await
        .unwrap();
    assert_eq!(free, Some(1));
    connection.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_the_statement_at_mysql() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let db = &mysql.database;
    let server = Server::start(&open_to_all(&url)).unwrap();
    // One that sends rows, and one that computes before its first.
    for statement in [
        format!("SELECT a.id, b.name FROM {db}.big a, {db}.big b"),
        format!("SELECT COUNT(*) FROM {db}.big a, {db}.big b WHERE a.id * 7 % 11 = b.id % 13"),
    ] {
        let client = server.connect().await.unwrap();
        let sql = format!("SELECT * FROM {}", remote("shop", &statement));
        let token = client.cancel_token();
        let running = async {
            let stream = client.stream(&sql).await.unwrap();
            pin_mut!(stream);
            loop {
                if let Err(error) = stream.next().await.expect("an error before the end") {
                    return failure(error).unwrap();
                }
            }
        };
        let cancelling = async {
            mysql
                .wait_for_statements(|running| running > 0, STARTED_WITHIN)
                .await;
            token.cancel_query(NoTls).await.unwrap();
            mysql
                .wait_for_statements(|running| running == 0, ENDED_WITHIN)
                .await;
        };
        let (failed, ()) = tokio::join!(running, cancelling);
        assert_eq!(failed.sqlstate, "57014", "{failed:?}");
        assert_eq!(lines(&client, "SELECT 1").await, ["1"]);
    }
    // And so does a client that wants no more rows.
    let client = server.connect().await.unwrap();
    let sql = format!(
        "SELECT id FROM {} LIMIT 3",
        remote("shop", &format!("SELECT a.id FROM {db}.big a, {db}.big b"))
    );
    assert_eq!(lines(&client, &sql).await.len(), 3);
    mysql
        .wait_for_statements(|running| running == 0, ENDED_WITHIN)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_allowed_are_an_error() {
    let Some(url) = mysql_url() else { return };
    let mysql = people(&url).await;
    let db = &mysql.database;
    let config = open_to_all(&url).server("remote_rows_max = 4");
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let four = remote("shop", &format!("SELECT id FROM {db}.people"));
    let five = remote("shop", &format!("SELECT id FROM {db}.people UNION ALL SELECT 5"));
    assert_eq!(
        lines(&client, &format!("SELECT count(*) FROM {four}")).await,
        ["4"]
    );
    for select in ["*", "count(*)", "max(id)"] {
        let failed = client
            .failure(&format!("SELECT {select} FROM {five}"))
            .await
            .unwrap();
        assert_eq!(failed.sqlstate, "54000", "{failed:?}");
        assert_eq!(
            failed.message,
            "the native statement for catalog shop gives more than 4 rows"
        );
    }
    let many = remote("shop", &format!("SELECT seq FROM {db}.seq_1_to_100000000"));
    let failed = client.failure(&format!("SELECT * FROM {many}")).await.unwrap();
    assert_eq!(failed.sqlstate, "54000", "{failed:?}");
    mysql
        .wait_for_statements(|running| running == 0, ENDED_WITHIN)
        .await;
    // Who asks for fewer gets them.
    assert_eq!(
        lines(&client, &format!("SELECT * FROM {many} LIMIT 3"))
            .await
            .len(),
        3
    );
}

async fn driver(server: &Server, user: &str) -> tokio_postgres::Client {
    let url = format!(
        "host=127.0.0.1 port={} user={user} password=s3cret dbname=causeway",
        server.port()
    );
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

const SQLITE: &str = "
    CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, born DATE, balance NUMERIC(10,2), photo BLOB);
    INSERT INTO people VALUES (1, 'Ann', '1990-01-31', 10.5, x'00ff'), (2, 'ann', NULL, -3.25, NULL), (3, 'Zoë',
        '1969-12-31', NULL, NULL);
    CREATE VIRTUAL TABLE notes USING fts5(body);
    INSERT INTO notes VALUES ('one fine day'), ('two nights');";

/// A folder with the file of catalog `file`.
fn sqlite() -> (TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.db");
    Connection::open(&path).unwrap().execute_batch(SQLITE).unwrap();
    let config = Config::new().sqlite("file", &path, "");
    (folder, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_answers_in_its_own_sql() {
    let (_folder, config) = sqlite();
    let server = Server::start(&config.memory("mem").server("remote = [\"file\"]")).unwrap();
    let client = server.connect().await.unwrap();
    for (sql, expected) in [
        (
            "SELECT * FROM system.remote('file', 'SELECT id, id, name, born, balance, photo FROM people WHERE name = ''ANN'' ORDER BY id DESC')",
            &[
                "2\t2\tann\t\\N\t-3.25\t\\N",
                "1\t1\tAnn\t1990-01-31\t10.50\t\\x00ff",
            ] as &[&str],
        ),
        (
            "SELECT sum(n::int) FROM system.remote('file', $$WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 4) SELECT n FROM c -- up$$)",
            &["10"],
        ),
        (
            "SELECT kind, n FROM system.remote('file', 'SELECT typeof(1.5) AS kind, count(*) AS n FROM people;')",
            &["real\t3"],
        ),
        (
            "SELECT body FROM system.remote('file', 'SELECT body FROM notes WHERE notes MATCH ''fine''')",
            &["one fine day"],
        ),
        (
            "SELECT born > '1980-01-01', id_2 FROM system.remote('file', 'SELECT born, id, id FROM people') WHERE id = 1",
            &["t\t1"],
        ),
        (
            "SELECT count(*) FROM system.remote('file', 'VALUES (1), (2)')",
            &["2"],
        ),
    ] {
        assert_eq!(lines(&client, sql).await, expected, "{sql}");
    }
    let postgres = driver(&server, "test").await;
    let statement = postgres
        .prepare("SELECT * FROM system.remote('file', 'SELECT id, name, born, balance, photo, id + 1 FROM people')")
        .await
        .unwrap();
    let types: Vec<&str> = statement
        .columns()
        .iter()
        .map(|column| column.type_().name())
        .collect();
    assert_eq!(types, ["int8", "text", "date", "numeric", "bytea", "text"]);

    // A view keeps the text to the letter.
    client
        .query("CREATE VIEW mem.v AS SELECT * FROM system.remote('file', 'SELECT name FROM people WHERE name <> '''' AND ''\\'' <> '''' ORDER BY id')")
        .await
        .unwrap();
    assert_eq!(lines(&client, "SELECT * FROM mem.v").await, ["Ann", "ann", "Zoë"]);
}

const REFUSED_BY_SQLITE: &[(&str, &str)] = &[
    ("", "42601"),
    ("SELECT 1; DELETE FROM people", "42601"),
    ("SELECT 1) AS t; DROP TABLE people; --", "42601"),
    ("SELECT (1", "42601"),
    ("SELECT FROM", "42601"),
    ("SELECT 1 WHERE", "42601"),
    ("DELETE FROM people", "25006"),
    ("DELETE FROM people RETURNING *", "25006"),
    ("WITH a AS (SELECT 1) INSERT INTO people (id) SELECT 9", "25006"),
    ("CREATE TEMP TABLE t (a)", "25006"),
    ("PRAGMA query_only = OFF", "25006"),
    ("ATTACH ':memory:' AS other", "25006"),
    ("BEGIN IMMEDIATE", "25006"),
    ("VACUUM INTO '/tmp/causeway-out'", "25006"),
    ("SELECT load_extension('x')", "25006"),
    ("SELECT file FROM pragma_database_list", "25006"),
    ("EXPLAIN SELECT 1", "0A000"),
    ("SELECT ?1", "0A000"),
    ("SELECT :x", "0A000"),
    ("SELECT nope FROM people", "42703"),
    ("SELECT * FROM nope", "42P01"),
    ("SELECT nope(1)", "HV000"),
    ("SELECT json('{')", "HV000"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_only_read() {
    let (folder, config) = sqlite();
    let server = Server::start(&config.server("remote = [\"file\"]\nremote_rows_max = 3")).unwrap();
    let client = server.connect().await.unwrap();
    for (statement, sqlstate) in REFUSED_BY_SQLITE {
        let refused = refusal(&client, "file", statement).await;
        assert_eq!(refused.sqlstate, *sqlstate, "{statement}: {refused:?}");
        assert!(
            !format!("{refused:?}").contains(folder.path().to_str().unwrap()),
            "{refused:?}"
        );
    }
    assert_eq!(lines(&client, "SELECT count(*) FROM file.people").await, ["3"]);
    assert!(!Path::new("/tmp/causeway-out").exists());
    let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";
    let failed = refusal(&client, "file", endless).await;
    assert_eq!(failed.sqlstate, "54000", "{failed:?}");

    client.query("SET statement_timeout = '300ms'").await.unwrap();
    let failed = refusal(
        &client,
        "file",
        &endless.replace("SELECT n FROM c", "SELECT count(*) FROM c"),
    )
    .await;
    assert_eq!(failed.sqlstate, "57014", "{failed:?}");
    // All the places for reads are free again: none still counts.
    client.query("SET statement_timeout = 0").await.unwrap();
    for _ in 0..8 {
        assert_eq!(lines(&client, "SELECT count(*) FROM file.people").await, ["3"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_is_named_may_send_statements() {
    let (folder, config) = sqlite();
    let config = config.memory("mem").local("lake", folder.path());
    let verifier = hashed("s3cret");
    let configured = |ann: &str| {
        config
            .clone()
            .user_with_options("ann", &verifier, ann)
            .user("bob", &verifier)
    };
    let server = Server::start(&configured("remote = [\"file\"]")).unwrap();
    let (ann, bob) = (driver(&server, "ann").await, driver(&server, "bob").await);
    let call = "SELECT * FROM system.remote('file', 'SELECT id FROM people WHERE id = 1')";
    let view = "CREATE VIEW mem.v AS SELECT * FROM system.remote('file', 'SELECT id FROM people')";
    ann.batch_execute(view).await.unwrap();
    let prepared = ann.prepare(call).await.unwrap();
    assert_eq!(ann.query_one(&prepared, &[]).await.unwrap().get::<_, i64>(0), 1);

    let denied = "permission denied for native statements of catalog \"file\"";
    // A view is read by who reads it, not by who made it.
    for sql in [call, "SELECT * FROM mem.v", &format!("EXPLAIN {call}")] {
        let failed = failure(bob.simple_query(sql).await.err().unwrap()).unwrap();
        assert_eq!(
            (failed.sqlstate.as_str(), failed.message.as_str()),
            ("42501", denied),
            "{sql}"
        );
        let hint = failed.hint.unwrap();
        assert!(hint.contains("users.bob.remote"), "{hint}");
    }
    let written = bob
        .simple_query("INSERT INTO mem.x SELECT * FROM system.remote('file', 'DELETE FROM people')")
        .await;
    assert!(written.is_err());
    for (sql, sqlstate) in [
        ("SELECT * FROM system.remote('nope', 'SELECT 1')", "3D000"),
        ("SELECT * FROM system.remote('lake', 'SELECT 1')", "0A000"),
        ("SELECT * FROM system.remote('mem', 'SELECT 1')", "0A000"),
    ] {
        let failed = failure(ann.simple_query(sql).await.err().unwrap()).unwrap();
        assert_eq!(failed.sqlstate, sqlstate, "{failed:?}");
    }

    // A reload takes it away, from sessions that are open too.
    let told = reload(&server, &configured("").render(server.port())).await;
    assert!(told.contains(" reloaded "), "{told}");
    let failed = failure(ann.query(&prepared, &[]).await.err().unwrap()).unwrap();
    assert_eq!(failed.sqlstate, "42501", "{failed:?}");
    let failed = failure(ann.simple_query(call).await.err().unwrap()).unwrap();
    assert_eq!(failed.sqlstate, "42501", "{failed:?}");
}

/// Without users nobody has proven a name: only what is open to everybody counts.
#[tokio::test]
async fn trust_gives_no_rights_to_names() {
    let (_folder, config) = sqlite();
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let failed = refusal(&client, "file", "SELECT 1").await;
    assert_eq!(failed.sqlstate, "42501", "{failed:?}");
    assert!(failed.hint.unwrap().contains("server.remote"));
}
