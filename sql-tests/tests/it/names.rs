//! The names of result columns, as Postgres gives them: a client reads rows by them.

use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;

use crate::fixtures::Fixtures;

/// A query and the names of its columns.
const NAMES: &[(&str, &[&str])] = &[
    ("SELECT 1, 'a', 1 + 1, NULL", &["?column?"; 4]),
    ("SELECT 1 AS one, 2 two, 3 AS \"Three\"", &["one", "two", "Three"]),
    (
        "SELECT count(*), sum(id), max(name) FROM {shop}.customers",
        &["count", "sum", "max"],
    ),
    (
        "SELECT id, c.name, C.CITY FROM {shop}.customers c",
        &["id", "name", "city"],
    ),
    ("SELECT * FROM {cache}.stock", &["sku", "quantity", "price"]),
    (
        "SELECT a.id, b.id FROM {shop}.customers a JOIN {lake}.orders b ON a.id = b.id",
        &["id", "id"],
    ),
    (
        "SELECT *, id FROM {shop}.customers LIMIT 1",
        &["id", "name", "city", "balance", "born", "seen", "id"],
    ),
    (
        "SELECT CASE WHEN id > 1 THEN 1 END, id::text, CAST(id AS bigint) FROM {shop}.customers",
        &["case", "id", "id"],
    ),
    (
        "SELECT upper(name), coalesce(city, ''), extract(year FROM born) FROM {shop}.customers",
        &["upper", "coalesce", "extract"],
    ),
    (
        "SELECT * FROM {lake}.orders a JOIN {lake}.orders b ON a.id = b.id AND a.id = 0",
        &[
            "id",
            "customer_id",
            "sku",
            "quantity",
            "price",
            "ordered",
            "id",
            "customer_id",
            "sku",
            "quantity",
            "price",
            "ordered",
        ],
    ),
    (
        "SELECT b.*, a.id FROM {cache}.stock b, {lake}.orders a LIMIT 1",
        &["sku", "quantity", "price", "id"],
    ),
    (
        "SELECT id FROM {lake}.orders UNION SELECT customer_id FROM {lake}.orders",
        &["id"],
    ),
    (
        "SELECT sum(id) + 1, -id FROM {lake}.orders GROUP BY id",
        &["?column?", "?column?"],
    ),
    (
        "SELECT now() IS NULL, current_date, length('a'), substring('abc' FROM 2), trim(' a ')",
        &["?column?", "current_date", "length", "substring", "btrim"],
    ),
    ("VALUES (1, 'a')", &["column1", "column2"]),
    ("SELECT x FROM (SELECT id AS x FROM {lake}.orders) t", &["x"]),
    ("SELECT (SELECT max(id) FROM {lake}.orders)", &["max"]),
];

#[tokio::test]
async fn result_columns_have_the_names_that_postgres_gives() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let fixtures = Fixtures::load(&services).await;
    let server = Server::start(&fixtures.config()).unwrap();
    let client = server.connect().await.unwrap();
    let mut wrong = Vec::new();
    for (sql, names) in NAMES {
        match client.query(&fixtures.sql(sql)).await {
            Ok(rows) if rows.columns == *names => {}
            Ok(rows) => wrong.push(format!("{sql}: {:?} instead of {names:?}", rows.columns)),
            Err(error) => wrong.push(format!("{sql}: {error:#}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
