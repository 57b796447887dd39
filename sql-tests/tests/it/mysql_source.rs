//! MySQL as a source that changes, is misnamed, or outlives the server.

use std::time::Duration;

use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::mysql_url;

use crate::mysql::{BIG_ROWS, Mysql};

const STATEMENT_TIME_MAX: Duration = Duration::from_secs(3);

/// Killed without a chance to say goodbye: what sends rows ends with its connection, what computes by its own limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_nothing_running() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let db = mysql.database.clone();
    for view in [
        "big AS SELECT seq AS id, REPEAT('x', 500) AS v FROM {db}.seq_1_to_100000000",
        "heavy AS SELECT COUNT(*) AS n FROM {db}.seq_1_to_10000000 a, {db}.seq_1_to_10000000 b
            WHERE a.seq * 7 % 11 = b.seq % 13",
    ] {
        mysql
            .run(&format!("CREATE VIEW {db}.{}", view.replace("{db}", &db)))
            .await;
    }
    let options = format!("statement_time_max = \"{}s\"", STATEMENT_TIME_MAX.as_secs());
    let server = Server::start(&Config::new().mysql_with_options("shop", &url, &options)).unwrap();
    let mut clients = Vec::new();
    for sql in [
        "SELECT max(v) FROM shop.{db}.big",
        "SELECT n FROM shop.{db}.heavy",
    ] {
        let client = server.connect().await.unwrap();
        let sql = sql.replace("{db}", &db);
        clients.push(tokio::spawn(async move { client.query(&sql).await.map(|_| ()) }));
    }
    mysql
        .wait_for_statements(|running| running == 2, Duration::from_secs(10))
        .await;
    drop(server);
    mysql
        .wait_for_statements(
            |running| running == 0,
            STATEMENT_TIME_MAX + Duration::from_secs(2),
        )
        .await;
    for client in clients {
        assert!(client.await.unwrap().is_err(), "the server was killed");
    }
}

/// A large table comes over several connections at one moment; its rows are the same, and a limit or a key needs one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_is_read_in_parts() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let client = server.connect().await.unwrap();
    let table = format!("shop.{}.big", mysql.database);
    let sql = format!("SELECT count(*), min(id), max(id), sum(id), count(DISTINCT upper(name)) FROM {table}");
    let rows = i64::from(BIG_ROWS);
    let sum = rows * (rows + 1) / 2;
    assert_eq!(
        client.query(&sql).await.unwrap().lines(),
        [format!("{rows}\t1\t{rows}\t{sum}\t{rows}")]
    );
    let explain = async |sql: &str| client.query(&format!("EXPLAIN {sql}")).await.unwrap().text();
    let plan = explain(&sql).await;
    for part in [
        "columns=[id, name], splits=4",
        "    splits   4 by id, if all connections see one snapshot, else one\n",
    ] {
        assert!(plan.contains(part), "{part} is not in\n{plan}");
    }
    let analyzed = explain(&format!("ANALYZE {sql}")).await;
    assert!(analyzed.contains("requests=4"), "{analyzed}");
    for (condition, splits) in [("WHERE id = 7", "one: too few rows"), ("LIMIT 3", "one: a limit")] {
        let plan = explain(&format!("SELECT * FROM {table} {condition}")).await;
        assert!(plan.contains(&format!("    splits   {splits}\n")), "{plan}");
    }
}

#[tokio::test]
async fn a_table_altered_between_two_queries_is_read_anew() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let table = format!("{}.t", mysql.database);
    mysql
        .run(&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, v INT NOT NULL, w INT)"
        ))
        .await;
    mysql.run(&format!("INSERT INTO {table} VALUES (1, 2, 3)")).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let client = server.connect().await.unwrap();
    let sql = format!("SELECT * FROM shop.{table}");
    assert_eq!(client.query(&sql).await.unwrap().lines(), ["1\t2\t3"]);
    for (alter, sqlstates, after) in [
        ("MODIFY v VARCHAR(9) NOT NULL", ["HV000", "40001"], "1\t2\t3"),
        ("MODIFY v INT", ["HV000", "40001"], "1\t2\t3"),
        ("DROP COLUMN w", ["42703", "42703"], "1\t2"),
        (
            "ADD COLUMN x DECIMAL(30,10) DEFAULT 1.5 FIRST",
            ["", ""],
            "1.5000000000\t1\t2",
        ),
        ("MODIFY v DATETIME", ["HV000", "40001"], "1.5000000000\t1\t\\N"),
    ] {
        mysql
            .run(&format!(
                "SET STATEMENT sql_mode = '' FOR ALTER TABLE {table} {alter}"
            ))
            .await;
        match client.try_query(&sql).await.unwrap() {
            // Columns that came since the table was loaded are not seen yet; a number may still be read as text.
            Ok(rows) => assert!(
                sqlstates == ["", ""] || rows.lines() == [after],
                "{alter}: {:?}",
                rows.lines()
            ),
            Err(failure) => assert!(
                sqlstates.contains(&failure.sqlstate.as_str()),
                "{alter}: {failure:?}"
            ),
        }
        if sqlstates != ["", ""] {
            assert_eq!(client.query(&sql).await.unwrap().lines(), [after], "{alter}");
        }
    }
}

/// Names that Postgres must quote, and such that differ only by case.
#[tokio::test]
async fn names_of_every_kind_are_found_by_sql() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::new(&url).await;
    let db = format!("{}-my db", mysql.database);
    let long = "n".repeat(64);
    mysql.run(&format!("CREATE DATABASE `{db}`")).await;
    for (number, table) in ["Orders", "orders", "select", "a.b", long.as_str(), "say \"hi\""]
        .iter()
        .enumerate()
    {
        let columns = format!("id INT PRIMARY KEY, `user` INT, `customerId` INT, `{long}` INT");
        mysql
            .run(&format!("CREATE TABLE `{db}`.`{table}` ({columns})"))
            .await;
        mysql
            .run(&format!(
                "INSERT INTO `{db}`.`{table}` VALUES ({number}, 1, 2, 3)"
            ))
            .await;
    }
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let client = server.connect().await.unwrap();
    for (table, number) in [
        ("\"Orders\"", "0"),
        ("orders", "1"),
        ("\"select\"", "2"),
        ("\"a.b\"", "3"),
        (long.as_str(), "4"),
        ("\"say \"\"hi\"\"\"", "5"),
    ] {
        let sql = format!(
            "SELECT id, \"user\", \"customerId\", {long} FROM shop.\"{db}\".{table} WHERE {long} = 3 AND \"customerId\" > 1"
        );
        assert_eq!(
            client.query(&sql).await.unwrap().lines(),
            [format!("{number}\t1\t2\t3")],
            "{table}"
        );
    }
    mysql.run(&format!("DROP DATABASE `{db}`")).await;
}
