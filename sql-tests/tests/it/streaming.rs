//! Answers stream: the server's memory does not grow with them, and what nobody reads any more ends at the source.

use std::process::Stdio;
use std::time::Duration;

use causeway_sql_tests::client::failure;
use causeway_sql_tests::config::Config;
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{S3, mysql_url, s3, unique_name};
use causeway_sql_tests::tpch::{batches, schema};
use futures::{StreamExt, pin_mut};
use tokio::process::Command;
use tokio_postgres::NoTls;

use crate::mysql::Mysql;

/// Rows of lineitem at scale 1.
const LINEITEM_ROWS: u64 = 6_001_215;
const LINEITEM_FILES: i32 = 8;
const ROW_GROUP_ROWS: usize = 128 * 1024;
const GROWTH_BYTES_MAX: u64 = 150 << 20;

/// A statement must be seen at the source within this time, on a busy machine.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// And must be gone within this time after the client is.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_million_rows_of_s3_do_not_stay_in_memory() {
    let Some(s3) = s3() else { return };
    let name = load_lineitem(&s3).await;
    // What is kept on purpose is bounded, too.
    let config = Config::new().s3_with_options("lake", &s3, &format!("{name}/"), "cache_memory = 16");
    let server = Server::start(&config).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    client
        .send_query("SELECT * FROM lake.public.lineitem LIMIT 1")
        .await
        .unwrap();
    client.drain(u64::MAX).await.unwrap();

    let before = server.memory_bytes().unwrap();
    let start = std::time::Instant::now();
    client
        .send_query("SELECT * FROM lake.public.lineitem")
        .await
        .unwrap();
    let drained = client.drain(u64::MAX).await.unwrap();
    let elapsed = start.elapsed();
    let growth = server.memory_bytes_peak().unwrap().saturating_sub(before);
    eprintln!(
        "{} MiB of rows in {elapsed:?}, grew by {} MiB",
        drained.bytes >> 20,
        growth >> 20
    );
    assert_eq!((drained.rows, drained.complete), (LINEITEM_ROWS, true));
    assert!(
        growth < GROWTH_BYTES_MAX,
        "the server grew by {} MiB",
        growth >> 20
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_does_not_fill_the_server() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    let before = server.memory_bytes().unwrap();
    client.send_query(&two_scans(&mysql)).await.unwrap();
    client.drain(1000).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let growth = server.memory_bytes_peak().unwrap().saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "the server grew by {} MiB",
        growth >> 20
    );

    drop(client);
    mysql
        .wait_for_statements(|running| running == 0, ENDED_WITHIN)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_psql_ends_the_statement_at_mysql() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let mut psql = Command::new("psql")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &server.port().to_string(),
            "-U",
            "test",
            "-d",
            "causeway",
        ])
        .args(["-X", "-A", "-t", "-c", &two_scans(&mysql)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    mysql
        .wait_for_statements(|running| running > 0, STARTED_WITHIN)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    psql.kill().await.unwrap();
    mysql
        .wait_for_statements(|running| running == 0, ENDED_WITHIN)
        .await;
    let client = server.connect().await.unwrap();
    assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_ends_the_statement_at_mysql() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let client = server.connect().await.unwrap();
    let sql = two_scans(&mysql);
    let stream = client.stream(&sql).await.unwrap();
    pin_mut!(stream);
    for _ in 0..100 {
        stream.next().await.unwrap().unwrap();
    }
    mysql
        .wait_for_statements(|running| running > 0, STARTED_WITHIN)
        .await;
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    let (ended, error) = tokio::join!(
        mysql.wait_for_statements(|running| running == 0, ENDED_WITHIN),
        async {
            loop {
                if let Err(error) = stream.next().await.expect("an error before the end") {
                    return failure(error).unwrap();
                }
            }
        }
    );
    eprintln!("ended after {ended:?}");
    assert_eq!(error.sqlstate, "57014", "{error}");
    assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
}

/// More rows than any test waits for, made of two scans that MySQL streams.
fn two_scans(mysql: &Mysql) -> String {
    format!(
        "SELECT a.id, a.name, a.amount FROM shop.{0}.big a UNION ALL SELECT b.id, b.name, b.amount FROM shop.{0}.big b",
        mysql.database
    )
}

async fn load_lineitem(s3: &S3) -> String {
    let name = unique_name("scale1");
    let store = s3.store().unwrap();
    for part in 1..=LINEITEM_FILES {
        // Generating is work for a processor, not for the runtime.
        let file = tokio::task::spawn_blocking(move || {
            let rows = batches("lineitem", 1.0, part, LINEITEM_FILES).unwrap();
            parquet_file(schema("lineitem").unwrap(), rows, ROW_GROUP_ROWS).unwrap()
        });
        put_object(
            &store,
            &format!("{name}/lineitem/part-{part}.parquet"),
            file.await.unwrap(),
        )
        .await
        .unwrap();
    }
    name
}
