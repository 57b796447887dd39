//! TPC-H at scale 0.01 in three placements, against the answers of DuckDB over the same rows.

use causeway_sql_tests::client::Client;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use causeway_sql_tests::tpch::{Placement, Tpch, answer, query, query_names};
use serde_json::Value;

const SCALE: f64 = 0.01;

/// The columns that each query sorts by.
fn order_by(name: &str) -> &'static [usize] {
    match &name[..3] {
        "q01" | "q09" => &[0, 1],
        "q02" => &[0, 2, 1, 3],
        "q03" => &[1, 2],
        "q07" => &[0, 1, 2],
        "q04" | "q08" | "q12" | "q15" | "q20" | "q22" => &[0],
        "q05" | "q11" => &[1],
        "q10" => &[2],
        "q13" | "q21" => &[1, 0],
        "q16" => &[3, 0, 1, 2],
        "q18" => &[4, 3],
        _ => &[],
    }
}

#[tokio::test]
async fn mixed_over_three_sources() {
    check_all(Placement::Mixed, "on").await;
}

#[tokio::test]
async fn mixed_without_pushdown() {
    check_all(Placement::Mixed, "off").await;
}

#[tokio::test]
async fn all_on_s3() {
    check_all(Placement::AllOnS3, "on").await;
}

#[tokio::test]
async fn all_in_mysql() {
    check_all(Placement::AllInMySql, "on").await;
}

/// Runs every query and then reports all that went wrong: one failure often explains another.
async fn check_all(placement: Placement, pushdown: &str) {
    let Some(services) = Services::from_env() else {
        return;
    };
    let tpch = Tpch::load(&services, placement, SCALE).await.unwrap();
    let server = Server::start(&tpch.config()).unwrap();
    let mut client = connect(&server, pushdown).await;
    let names = query_names().unwrap();
    assert!(names.len() >= 22, "{names:?}");
    let mut wrong = Vec::new();
    for name in &names {
        if let Err(error) = check(&client, &tpch, name).await {
            wrong.push(format!("{name}: {error:#}"));
            client = connect(&server, pushdown).await;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} queries:\n{}",
        wrong.len(),
        names.len(),
        wrong.join("\n")
    );
}

async fn connect(server: &Server, pushdown: &str) -> Client {
    let client = server.connect().await.unwrap();
    client.query(&format!("SET pushdown = {pushdown}")).await.unwrap();
    client
}

async fn check(client: &Client, tpch: &Tpch, name: &str) -> anyhow::Result<()> {
    let rows = client.query(&tpch.sql(&query(name)?)).await?;
    answer(name)?.check(&rows.rows, order_by(name))
}

/// The least share of conditions that MySQL decides.
const PUSHED_SHARE_MIN: f64 = 0.9;

/// Conditions on one table each, of all queries together.
#[derive(Debug, Default)]
struct Conditions {
    /// Those that MySQL decides, alone or before the engine does.
    pushed: Vec<String>,
    /// The others.
    kept: Vec<String>,
}

impl Conditions {
    fn add(&mut self, node: &Value) {
        for filter in node["Filters"].as_array().into_iter().flatten() {
            let text = format!("{} -- {}", filter["Filter"], filter["Reason"]);
            match filter["Verdict"].as_str().unwrap() {
                "declined" => self.kept.push(text),
                _ => self.pushed.push(text),
            }
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.add(child);
        }
    }
}

#[tokio::test]
async fn mysql_decides_nearly_every_condition() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let tpch = Tpch::load(&services, Placement::AllInMySql, SCALE).await.unwrap();
    let server = Server::start(&tpch.config()).unwrap();
    let client = connect(&server, "on").await;
    let mut conditions = Conditions::default();
    for name in query_names().unwrap() {
        let sql = format!("EXPLAIN (FORMAT JSON) {}", tpch.sql(&query(&name).unwrap()));
        let text = client.query(&sql).await.unwrap().text();
        let document: Value = serde_json::from_str(&text).unwrap();
        conditions.add(&document[0]["Plan"]);
    }
    let (pushed, kept) = (conditions.pushed.len(), conditions.kept.len());
    let share = pushed as f64 / (pushed + kept) as f64;
    println!("{pushed} of {} conditions are pushed", pushed + kept);
    assert!(pushed > 60, "{conditions:#?}");
    assert!(share >= PUSHED_SHARE_MIN, "{share:.2}: {:#?}", conditions.kept);
}
