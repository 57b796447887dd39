//! Tables in memory over the wire: `cases/connectors/memory/*.slt`, and what a reload leaves of them.

use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;

use crate::operations::reload;
use crate::slt::run_own;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_with_pushdown() {
    run("on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_without_pushdown() {
    run("off").await;
}

async fn run(pushdown: &'static str) {
    let config = Config::new().server("target_partitions = 2").memory("mem");
    let server = Server::start(&config).unwrap();
    run_own(&server, "connectors/memory", pushdown).await;
}

#[tokio::test]
async fn a_reload_keeps_the_tables_of_a_catalog_whose_options_are_the_same() {
    let config = Config::new().memory("mem");
    let server = Server::start(&config).unwrap();
    let (client, writer) = (server.connect().await.unwrap(), server.connect().await.unwrap());
    client
        .query("CREATE TABLE mem.t (id integer PRIMARY KEY); INSERT INTO mem.t VALUES (1), (2); CREATE VIEW mem.v AS SELECT max(id) FROM mem.t")
        .await
        .unwrap();
    writer.query("BEGIN; INSERT INTO mem.t VALUES (3)").await.unwrap();

    let more = Config::new().memory("more").memory("mem").render(server.port());
    let told = reload(&server, &more).await;
    assert!(told.contains("added=more changed= removed="), "{told}");
    let count = "SELECT count(*) FROM mem.t";
    assert_eq!(client.query(count).await.unwrap().lines(), ["2"]);
    // A transaction goes on over it, and holds the others off.
    client.query("SET lock_timeout = '50ms'").await.unwrap();
    assert_eq!(
        client.failure("DELETE FROM mem.t").await.unwrap().sqlstate,
        "55P03"
    );
    writer
        .query("INSERT INTO mem.t VALUES (4); COMMIT")
        .await
        .unwrap();
    for client in [&client, &server.connect().await.unwrap()] {
        assert_eq!(client.query("SELECT * FROM mem.v").await.unwrap().lines(), ["4"]);
    }

    // A wrong file changes nothing of it.
    let told = reload(
        &server,
        "[catalogs.mem]\nconnector = \"memory\"\nmemory_limit_mib = 0\n",
    )
    .await;
    assert!(told.contains("memory_limit_mib must be between"), "{told}");
    assert_eq!(client.query(count).await.unwrap().lines(), ["4"]);

    // Other options make another catalog.
    let smaller = format!(
        "{}memory_limit_mib = 64\n",
        config.render(server.port()).trim_end().to_owned() + "\n"
    );
    let told = reload(&server, &smaller).await;
    assert!(told.contains("added= changed=mem removed=more"), "{told}");
    assert_eq!(client.failure(count).await.unwrap().sqlstate, "42P01");
}
