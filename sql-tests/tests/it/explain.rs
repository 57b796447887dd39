//! EXPLAIN as programs read it: the document of PostgreSQL, with every key that its tools look for. Its lines stand in
//! `cases/plans`.

use causeway_sql_tests::config::Config;
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use serde_json::Value;
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

#[tokio::test]
async fn a_document_has_what_tools_for_postgresql_read() {
    let server = Server::start(&Config::new().server("target_partitions = 2").memory("mem")).unwrap();
    let url = format!("host=127.0.0.1 port={} user=test dbname=causeway", server.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE mem.t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, 'b')) v (a, b)")
        .await
        .unwrap();
    let query = "SELECT t.b, count(*) FROM mem.t JOIN mem.t u ON u.a = t.a GROUP BY t.b ORDER BY 1";
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {query}");
    let prepared = client.prepare(&explain).await.unwrap();
    assert_eq!(prepared.columns()[0].name(), "QUERY PLAN");
    assert_eq!(prepared.columns()[0].type_(), &Type::JSON);
    let rows = client.simple_query(&explain).await.unwrap();
    let texts: Vec<&str> = rows
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let [text] = texts.as_slice() else {
        panic!("{texts:?} is not one row");
    };
    let document: Value = serde_json::from_str(text).unwrap();
    let [statement] = document.as_array().unwrap().as_slice() else {
        panic!("{text}");
    };
    assert!(statement["Planning Time"].as_f64().unwrap() > 0.0);
    assert!(statement["Execution Time"].as_f64().unwrap() > 0.0);
    assert_eq!(statement["Rows Returned"], 2);
    let mut nodes = Vec::new();
    collect(&statement["Plan"], &mut nodes);
    for node in &nodes {
        assert!(node["Node Type"].is_string(), "{node}");
        for number in [
            "Startup Cost",
            "Total Cost",
            "Plan Width",
            "Actual Startup Time",
            "Actual Total Time",
            "Actual Loops",
        ] {
            assert!(node[number].is_number(), "{number} of {node}");
        }
        assert!(
            node.get("Plan Rows").is_some() && node.get("Actual Rows").is_some(),
            "{node}"
        );
    }
    let of_type = |kind: &str| {
        nodes
            .iter()
            .filter(|node| node["Node Type"] == kind)
            .collect::<Vec<_>>()
    };
    let scans = of_type("Foreign Scan");
    assert_eq!(scans.len(), 2, "{text}");
    for scan in scans {
        let facts = ["Relation Name", "Schema", "Catalog", "Connector"].map(|key| scan[key].as_str());
        assert_eq!(facts, [Some("t"), Some("public"), Some("mem"), Some("memory")]);
        assert_eq!(
            (&scan["Plan Rows"], &scan["Actual Rows"], &scan["Received Rows"]),
            (&3.into(), &3.into(), &3.into())
        );
    }
    assert_eq!(of_type("Hash Join")[0]["Join Type"], "Inner", "{text}");
}

/// `node` and all below it.
fn collect<'a>(node: &'a Value, nodes: &mut Vec<&'a Value>) {
    nodes.push(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        collect(child, nodes);
    }
}

#[tokio::test]
async fn the_tag_of_an_explain_counts_no_rows() {
    let server = Server::start(&Config::new()).unwrap();
    let mut client = RawClient::connect(server.port()).await.unwrap();
    for sql in ["EXPLAIN SELECT 1", "EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1"] {
        client.send_query(sql).await.unwrap();
        assert_eq!(client.outcomes().await.unwrap(), ["EXPLAIN"], "{sql}");
    }
}
