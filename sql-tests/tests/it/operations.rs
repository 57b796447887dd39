//! The server in its operator's hands: checks, reloads, stops, the environment, logs and the history.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use causeway_sql_tests::client::Client;
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::parquet_file;
use causeway_sql_tests::server::{Server, binary};
use causeway_sql_tests::services::{Services, mysql_url};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::mysql::Mysql;

/// A signal has had its effect within this time, on a machine that is busy with other tests.
const EFFECT_WITHIN: Duration = Duration::from_secs(20);

/// A folder with a table `t (id)` of `rows` rows.
fn folder(rows: i32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_table(folder.path(), rows);
    folder
}

fn write_table(folder: &Path, rows: i32) {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(1..=rows));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let file = parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 100).unwrap();
    std::fs::create_dir_all(folder.join("t")).unwrap();
    std::fs::write(folder.join("t/part-0.parquet"), file).unwrap();
}

async fn one(client: &Client, sql: &str) -> String {
    client.query(sql).await.unwrap().lines().join("\n")
}

/// Waits until `sql` answers `expected`.
async fn until(client: &Client, sql: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let answer = one(client, sql).await;
        if answer == expected {
            return;
        }
        assert!(
            start.elapsed() < EFFECT_WITHIN,
            "{sql}: {answer} instead of {expected}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes the server read `text` as its configuration, and waits until it has said what it did.
pub(crate) async fn reload(server: &Server, text: &str) -> String {
    let before = server.log().len();
    server.rewrite_text(text).unwrap();
    server.signal("HUP").unwrap();
    let start = Instant::now();
    loop {
        let told = server.log().split_off(before);
        if told.contains(" reloaded ") || told.contains("nothing has changed") {
            return told;
        }
        assert!(start.elapsed() < EFFECT_WITHIN, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const CATALOGS: &str = "SELECT name FROM system.catalogs ORDER BY name";

#[tokio::test]
async fn a_reload_changes_catalogs_and_a_wrong_file_changes_nothing() {
    let (first, second, third) = (folder(1), folder(2), folder(3));
    let config = Config::new()
        .local("kept", first.path())
        .local("changed", second.path())
        .local("removed", second.path());
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let in_removed = Client::connect(server.port(), "removed").await.unwrap();
    assert_eq!(one(&in_removed, "SELECT count(*) FROM t").await, "2");
    assert_eq!(one(&client, "SELECT count(*) FROM changed.t").await, "2");
    let prepared = prepared_count(&server, "changed.t").await;

    let config = Config::new()
        .local("kept", first.path())
        .local("changed", third.path())
        .local("added", second.path());
    server.rewrite(&config).unwrap();
    server.signal("HUP").unwrap();
    until(&client, CATALOGS, "added\nchanged\nkept").await;
    assert_eq!(one(&client, "SELECT count(*) FROM changed.t").await, "3");
    assert_eq!(one(&client, "SELECT count(*) FROM added.t").await, "2");
    assert_eq!(one(&client, "SELECT count(*) FROM kept.t").await, "1");
    let gone = in_removed.failure("SELECT count(*) FROM t").await.unwrap();
    assert_eq!(gone.sqlstate, "3D000", "{gone:?}");
    // A plan that was made before is made again.
    let (again, statement) = &prepared;
    assert_eq!(again.query_one(statement, &[]).await.unwrap().get::<_, i64>(0), 3);

    server
        .rewrite_text("[server]\nlisen = 1\n[catalogs.kept]\nconnector = \"nosuch\"\n")
        .unwrap();
    server.signal("HUP").unwrap();
    let start = Instant::now();
    while !server.log().contains("nothing has changed") {
        assert!(start.elapsed() < EFFECT_WITHIN, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for problem in [
        "server.lisen: is no option; did you mean listen?",
        "catalogs.kept.connector",
    ] {
        assert!(server.log().contains(problem), "{}", server.log());
    }
    assert_eq!(one(&client, CATALOGS).await, "added\nchanged\nkept");
    assert_eq!(one(&client, "SELECT count(*) FROM changed.t").await, "3");
}

async fn prepared_count(server: &Server, table: &str) -> (tokio_postgres::Client, tokio_postgres::Statement) {
    let url = format!("host=127.0.0.1 port={} user=ann dbname=causeway", server.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let statement = client
        .prepare(&format!("SELECT count(*) FROM {table}"))
        .await
        .unwrap();
    (client, statement)
}

#[tokio::test]
async fn a_stop_waits_for_statements_up_to_a_limit() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let table = format!("{}.t", mysql.database);
    mysql
        .run(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)"))
        .await;
    let config = Config::new().mysql("shop", &url).server("stop_timeout = \"1s\"");
    let mut server = Server::start(&config).unwrap();
    let (busy, idle) = (server.connect().await.unwrap(), server.connect().await.unwrap());
    assert_eq!(
        one(&busy, &format!("SELECT count(*) FROM shop.{table}")).await,
        "0"
    );
    let lock = mysql.lock(&table).await;
    let sql = format!("SELECT id FROM shop.{table}");
    let running = tokio::spawn(async move { busy.failure(&sql).await.unwrap() });
    until(
        &idle,
        "SELECT count(*) FROM system.queries WHERE state = 'running' AND tables LIKE 'shop%'",
        "1",
    )
    .await;
    let start = Instant::now();
    server.signal("TERM").unwrap();
    let failure = running.await.unwrap();
    assert_eq!(failure.sqlstate, "57P01", "{failure:?}");
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert!(server.has_ended_within(EFFECT_WITHIN), "{}", server.log());
    lock.disconnect().await.unwrap();
}

#[tokio::test]
async fn the_environment_comes_over_the_file() {
    let (one_row, two_rows) = (folder(1), folder(2));
    let config = Config::new()
        .local("My-Files", one_row.path())
        .variable(
            "CAUSEWAY_CATALOGS__MY_FILES__PATH",
            &two_rows.path().to_string_lossy(),
        )
        .variable("CAUSEWAY_SERVER__CONNECTIONS_MAX", "1");
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM \"My-Files\".t").await, "2");
    let refused = format!("{:#}", server.connect().await.unwrap_err());
    assert!(refused.contains("too many clients"), "{refused}");

    let output = run_check(&Config::new().variable("CAUSEWAY_SERVER__LISEN", "1"), &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("CAUSEWAY_SERVER__LISEN: is no option; did you mean listen?"),
        "{told}"
    );
}

/// Runs `causeway check` over `config`.
fn run_check(config: &Config, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("causeway.toml");
    std::fs::write(&file, config.render(5433)).unwrap();
    Command::new(binary().unwrap())
        .args(["check".as_ref(), "--config".as_ref(), file.as_os_str()])
        .args(arguments)
        .envs(config.environment().iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}

#[test]
fn check_says_what_files_need() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("shut")).unwrap();
    for (file, mode) in [("shut/plain.db", "delete"), ("wal.db", "wal")] {
        let connection = rusqlite::Connection::open(at(file)).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = {mode}; CREATE TABLE t (a INTEGER)"
            ))
            .unwrap();
    }
    let only_read = |name: &str, mode| {
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    only_read("shut/plain.db", 0o444);
    only_read("shut", 0o555);
    // To root everything is open.
    let is_root = std::fs::File::create(at("shut/more")).is_ok();
    let config = Config::new()
        .sqlite("plain", &at("shut/plain.db"), "")
        .sqlite("wal", &at("wal.db"), "")
        .embedded("kv", &at("kv.redb"));
    let output = run_check(&config, &["--grants"]);
    only_read("shut", 0o755);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(!told.contains(folder.path().to_str().unwrap()), "{told}");
    let untimed = told.lines().map(|line| line.split(" after ").next().unwrap());
    let mut expected = vec![
        "kv (embedded): answers",
        "  public: 0 tables",
        "  needs:",
        "    read and write kv.redb, search its folder; write the folder until the file is made",
        "  beyond: It may write the folder of kv.redb, which it needs only until the file is made.",
        "plain (sqlite): answers",
        "  main: 1 table",
        "    t (a bigint)",
        "  needs:",
        "    read plain.db, search its folder",
        "  beyond: It may write plain.db, and needs to read only.",
        "  beyond: It may write the folder of plain.db, and so put another file in its place.",
        "wal (sqlite): answers",
        "  main: 1 table",
        "    t (a bigint)",
        "  needs:",
        "    read wal.db, search its folder, and write the folder unless another program has the file open (WAL mode)",
        "  beyond: It may write wal.db, and needs to read only.",
    ];
    expected.retain(|line| is_root || !line.starts_with("  beyond: ") || !line.contains("plain.db"));
    assert_eq!(untimed.skip(1).collect::<Vec<_>>(), expected, "{told}");
}

#[tokio::test]
async fn check_lists_what_it_finds_and_says_what_logins_need() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let mysql = Mysql::new(&services.mysql_url).await;
    let database = &mysql.database;
    mysql
        .run(&format!("CREATE TABLE {database}.t (id INT, name TEXT)"))
        .await;
    let [reader, writer] = ["r", "w"].map(|kind| format!("{kind}{}", std::process::id()));
    for (user, right) in [(&reader, "SELECT"), (&writer, "ALL")] {
        mysql.run(&format!("CREATE USER {user}@'%'")).await;
        mysql
            .run(&format!("GRANT {right} ON {database}.* TO {user}@'%'"))
            .await;
    }
    let url_of = |user: &str| services.mysql_url.replace("root@", &format!("{user}@"));
    let items = RedisTable {
        name: "items".to_owned(),
        key: "items:{id}".to_owned(),
        columns: vec!["id integer".to_owned(), "name text".to_owned()],
    };
    let files = folder(1);
    let config = Config::new()
        .mysql("more", &url_of(&writer))
        .mysql("shop", &url_of(&reader))
        .redis("cache", &services.redis_url, std::slice::from_ref(&items))
        .s3("lake", &services.s3, "nothing/here/")
        .local("files", files.path());
    let output = run_check(&config, &["--verbose", "--grants"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let grant = database.replace('_', "\\_");
    for line in [
        "files (local): answers after ".to_owned(),
        "  public: 1 table\n    t (id integer)\n".to_owned(),
        format!("  {database}: 1 table\n    t (id integer, name text)\n"),
        format!("  needs:\n    GRANT SELECT ON `{grant}`.* TO '{reader}'@'%';\n"),
        format!("  beyond: It may ALL PRIVILEGES on `{database}`.*, and needs to read only.\n"),
        "    items (id integer, name text)\n  needs:\n    ACL SETUSER causeway reset on >PASSWORD ~items:* +@read ".to_owned(),
        "  beyond: It may run every command, those that write too.\n".to_owned(),
        format!("\"arn:aws:s3:::{}/nothing/here/*\"", services.s3.bucket),
        "  beyond: The store cannot be asked what its login may do.\n".to_owned(),
    ] {
        assert!(told.contains(&line), "{line} is missing in:\n{told}");
    }
    let shop = told.split_once("shop (mysql)").unwrap().1;
    assert!(!shop.contains("beyond:"), "{shop}");

    let config = config.mysql("down", "mysql://root@127.0.0.1:1");
    let output = run_check(&config, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && told.contains("not as they should be: down"),
        "{told}"
    );
}

#[tokio::test]
async fn queries_are_remembered_and_logged_without_their_literals() {
    let config = Config::new().server("log = { format = \"json\" }");
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    assert_eq!(
        one(
            &client,
            "SELECT 'hidden-4711', 2 UNION ALL SELECT 'x', 3 ORDER BY 2"
        )
        .await,
        "hidden-4711\t2\nx\t3"
    );
    client.failure("SELECT 1 / 0").await.unwrap();
    client.failure("SELECT nope").await.unwrap();
    let own =
        "SELECT state, rows, sqlstate, query FROM system.queries WHERE state <> 'running' ORDER BY started";
    assert_eq!(
        one(&client, own).await,
        "finished\t2\t00000\tSELECT ?, ? UNION ALL SELECT ?, ? ORDER BY ?\n\
         failed\t0\t22012\tSELECT ? / ?\n\
         failed\t0\t42703\tSELECT nope"
    );
    let running = "SELECT state, username, database, elapsed_ms < 60000, tables FROM system.queries WHERE state = 'running'";
    assert_eq!(
        one(&client, running).await,
        "running\ttest\tcauseway\tt\tcauseway.system.queries"
    );
    let activity = "SELECT usename, datname, state, query FROM pg_stat_activity";
    assert_eq!(
        one(&client, activity).await,
        format!("test\tcauseway\tactive\t{activity}")
    );
    let other = client_of(&server, "other").await;
    let rows = other
        .query(
            "SELECT count(*), count(query), count(tables) FROM system.queries WHERE username = 'test'",
            &[],
        )
        .await
        .unwrap();
    let row = rows.first().unwrap();
    assert!(row.get::<_, i64>(0) >= 6);
    assert_eq!((row.get::<_, i64>(1), row.get::<_, i64>(2)), (0, 0));

    let log = server.log();
    assert!(!log.contains("4711"), "{log}");
    for (sqlstate, rows) in [("00000", 2), ("22012", 0), ("42703", 0)] {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"sqlstate\":\"{sqlstate}\"")));
        let line = line.unwrap_or_else(|| panic!("{sqlstate} is missing in {log}"));
        assert!(
            line.starts_with('{') && line.contains(&format!("\"rows\":{rows}")),
            "{line}"
        );
        assert!(
            line.contains("\"user\":\"test\"") && line.contains("\"database\":\"causeway\""),
            "{line}"
        );
    }
}

async fn client_of(server: &Server, user: &str) -> tokio_postgres::Client {
    let url = format!(
        "host=127.0.0.1 port={} user={user} dbname=causeway",
        server.port()
    );
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
