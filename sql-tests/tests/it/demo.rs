//! `causeway demo`: one query and an end, and a server that is connected to, stopped and started again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use causeway_sql_tests::client::Client;
use causeway_sql_tests::server::binary;

/// A slow build beside other tests; a release build alone needs a tenth of it.
const START_DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_query_is_answered_and_the_demo_ends() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let sql = "SELECT n.n_nationkey AS key, n.n_name AS nation, count(*) AS suppliers, sum(s.s_suppkey) - sum(s.s_suppkey) AS zero \
               FROM shop.nation n JOIN kv.supplier s ON s.s_suppkey > 0 WHERE n.n_name IN ('FRANCE', 'GERMANY') \
               GROUP BY n.n_nationkey, n.n_name ORDER BY nation; \
               SELECT count(*) FROM lake.lineitem";
    let output = demo(&kept, sql);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}{err}");
    assert!(err.contains("Making TPC-H at scale 0.01"), "{err}");
    assert_eq!(
        out,
        " key | nation  | suppliers | zero\n\
         -----+---------+-----------+------\n   \
         6 | FRANCE  |       100 |    0\n   \
         7 | GERMANY |       100 |    0\n\
         (2 rows)\n\n \
         count\n-------\n 60175\n(1 row)\n\n"
    );
    // The data is complete: the second time it is not made again.
    let output = demo(
        &kept,
        "SELECT count(*) AS n FROM shop.customer WHERE c_custkey <= 100",
    );
    let (out, err) = texts(&output);
    assert_eq!(out, " n\n-----\n 100\n(1 row)\n\n", "{err}");
    assert_eq!(err, "");
}

#[test]
fn errors_are_shown_as_psql_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(&folder.path().join("kept"), "SELECT * FROM shop.custmer");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert_eq!(out, "");
    assert!(
        err.contains("ERROR:  42P01: relation \"shop.custmer\" does not exist") && err.contains("HINT:"),
        "{err}"
    );
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.tex"), "years of work").unwrap();
    let output = demo(&foreign, "SELECT 1");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("is not empty and was not made by the demo"), "{err}");
    let output = command(&["--scale", "1000", "--query", "SELECT 1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(texts(&output).1, "the scale 1000 is not between 0.01 and 10\n");
}

#[tokio::test]
async fn a_server_runs_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut child = command(&["--scale", "0.01", "--dir"])
        .arg(folder.path().join("kept"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once(" -p ")?.1.split(' ').next()?.parse::<u16>().ok())
        .unwrap();
    assert!(begun.elapsed() < START_DEADLINE, "{:?}", begun.elapsed());
    let client = Client::connect(port, "causeway").await.unwrap();
    let sql = "SELECT count(*), count(DISTINCT p.p_partkey) FROM lake.lineitem l \
               JOIN lake.orders o ON o.o_orderkey = l.l_orderkey JOIN shop.customer c ON c.c_custkey = o.o_custkey \
               JOIN kv.part p ON p.p_partkey = l.l_partkey";
    for pushdown in ["on", "off"] {
        client.query(&format!("SET pushdown = {pushdown}")).await.unwrap();
        assert_eq!(client.query(sql).await.unwrap().lines(), ["60175\t2000"]);
    }
    client.query("SET pushdown = on").await.unwrap();
    let plan = client
        .query(
            "EXPLAIN ANALYZE SELECT p.p_name FROM kv.supplier s JOIN shop.partsupp ps ON ps.ps_suppkey = s.s_suppkey \
             JOIN kv.part p ON p.p_partkey = ps.ps_partkey WHERE s.s_name = 'Supplier#000000007'",
        )
        .await
        .unwrap()
        .text();
    assert!(
        plan.contains("lookup_keys=1,") && plan.contains("lookup_keys=80,"),
        "{plan}"
    );
    let stopped = Command::new("kill")
        .arg("-INT")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(stopped.success());
    drop(client);
    assert!(child.wait().unwrap().success());
}

fn demo(folder: &Path, sql: &str) -> Output {
    command(&["--scale", "0.01", "--query", sql, "--dir"])
        .arg(folder)
        .output()
        .unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    command
        .arg("demo")
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG");
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
