//! The embedded store over the wire: one server at a time has its file, and a killed one leaves it free.

use causeway_sql_tests::client::Client;
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;

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
