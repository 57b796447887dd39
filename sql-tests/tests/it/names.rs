//! The names of result columns, as Postgres gives them: a client reads rows by them.

use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;

use crate::fixtures::Fixtures;

#[tokio::test]
async fn result_columns_have_the_names_that_postgres_gives() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let fixtures = Fixtures::load(&services).await;
    let server = Server::start(&fixtures.config()).unwrap();
    let client = server.connect().await.unwrap();
    for (sql, names) in [
        ("SELECT 1, 'a', 1 + 1, NULL", vec!["?column?"; 4]),
        (
            "SELECT 1 AS one, 2 two, 3 AS \"Three\"",
            vec!["one", "two", "Three"],
        ),
        (
            "SELECT count(*), sum(id), max(name) FROM {shop}.customers",
            vec!["count", "sum", "max"],
        ),
        (
            "SELECT id, c.name, C.CITY FROM {shop}.customers c",
            vec!["id", "name", "city"],
        ),
        ("SELECT * FROM {cache}.stock", vec!["sku", "quantity", "price"]),
        (
            "SELECT a.id, b.id FROM {shop}.customers a JOIN {lake}.orders b ON a.id = b.id",
            vec!["id", "id"],
        ),
        (
            "SELECT *, id FROM {shop}.customers LIMIT 1",
            vec!["id", "name", "city", "balance", "born", "seen", "id"],
        ),
        (
            "SELECT CASE WHEN id > 1 THEN 1 END, id::text, CAST(id AS bigint) FROM {shop}.customers",
            vec!["case", "id", "id"],
        ),
        (
            "SELECT upper(name), coalesce(city, ''), extract(year FROM born) FROM {shop}.customers",
            vec!["upper", "coalesce", "extract"],
        ),
        ("SELECT x FROM (SELECT id AS x FROM {lake}.orders) t", vec!["x"]),
        (
            "SELECT (SELECT max(id) FROM {lake}.orders), EXISTS (SELECT 1)",
            vec!["max", "exists"],
        ),
    ] {
        let rows = client.query(&fixtures.sql(sql)).await.unwrap();
        assert_eq!(rows.columns, names, "{sql}");
    }
}
