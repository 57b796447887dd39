use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::query::parse::parse;
use crate::sqlstate::SqlState;

/// `orders(id, customerId, Total, total)`, `"Customers"(customerId, customerid, "user")`.
fn rewritten(sql: &str) -> Result<String> {
    let schema = |columns: &[&str]| -> SchemaRef {
        let fields = columns
            .iter()
            .map(|name| Field::new(*name, DataType::Int32, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let tables = HashMap::from([
        (
            TableReference::bare("orders"),
            schema(&["id", "customerId", "Total", "total", "Über"]),
        ),
        (
            TableReference::bare("Customers"),
            schema(&["customerId", "customerid", "user"]),
        ),
        (TableReference::bare("twins"), schema(&["Ab", "aB", "customerId"])),
    ]);
    let mut statement = parse(sql)?.remove(0).statement;
    rewrite(&mut statement, &tables)?;
    Ok(statement.to_string())
}

#[test]
fn columns_get_the_spelling_that_is_there() {
    for (sql, expected) in [
        (
            "SELECT CustomerID FROM orders WHERE o.customerid = 1",
            "SELECT orders.\"customerId\" AS \"customerid\" FROM orders WHERE o.customerid = 1",
        ),
        (
            "SELECT o.CUSTOMERID, total, id FROM orders AS o ORDER BY customerid, o.customerid",
            "SELECT \"o\".\"customerId\" AS \"customerid\", \"o\".\"total\", \"o\".\"id\" FROM orders AS o ORDER BY 1, \"o\".\"customerId\"",
        ),
        (
            "SELECT \"customerid\", über FROM orders",
            "SELECT \"customerid\", orders.\"Über\" AS \"über\" FROM orders",
        ),
        (
            "SELECT customerid FROM \"Customers\"",
            "SELECT \"Customers\".\"customerid\" FROM \"Customers\"",
        ),
        (
            "SELECT customers.user FROM \"Customers\"",
            "SELECT \"Customers\".\"user\" FROM \"Customers\"",
        ),
        (
            "SELECT customers.* FROM \"Customers\"",
            "SELECT \"Customers\".* FROM \"Customers\"",
        ),
        (
            "SELECT count(*) AS n FROM orders GROUP BY customerid HAVING max(customerid) > 1",
            "SELECT count(*) AS \"n\" FROM orders GROUP BY orders.\"customerId\" HAVING max(orders.\"customerId\") > 1",
        ),
        (
            "SELECT id + 1 AS customerid FROM \"Customers\" AS c (id) GROUP BY customerid",
            "SELECT \"c\".\"id\" + 1 AS \"customerid\u{0}0\" FROM \"Customers\" AS c (id) GROUP BY \"c\".\"customerid\"",
        ),
        (
            "SELECT id + 1 AS next, count(*) FROM orders GROUP BY next ORDER BY next",
            "SELECT orders.\"id\" + 1 AS \"next\", count(*) AS \"count\" FROM orders GROUP BY orders.\"id\" + 1 ORDER BY 1",
        ),
    ] {
        assert_eq!(rewritten(sql).unwrap(), expected);
    }
}

#[test]
fn each_query_has_its_own_scope() {
    for (sql, expected) in [
        (
            "SELECT customerid FROM (SELECT customerid FROM orders) AS x WHERE x.customerid > 0",
            "SELECT \"x\".\"customerid\" FROM (SELECT orders.\"customerId\" AS \"customerid\" FROM orders) AS x WHERE \"x\".\"customerid\" > 0",
        ),
        (
            "WITH x AS (SELECT * FROM orders) SELECT max(customerid) FROM x",
            "WITH x AS (SELECT * FROM orders) SELECT max(x.\"customerId\") AS \"max\" FROM x",
        ),
        (
            "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM \"Customers\" AS c WHERE customerid = orders.customerid)",
            "SELECT orders.\"id\" FROM orders WHERE EXISTS (SELECT 1 AS \"?column?\" FROM \"Customers\" AS c WHERE \"c\".\"customerid\" = orders.\"customerId\")",
        ),
        // The inner relation comes before an exact name further out.
        (
            "SELECT 1 FROM \"Customers\" WHERE 1 IN (SELECT customerid FROM orders)",
            "SELECT 1 AS \"?column?\" FROM \"Customers\" WHERE 1 IN (SELECT orders.\"customerId\" AS \"customerid\" FROM orders)",
        ),
        (
            "SELECT x.count FROM (SELECT count(*) FROM orders) AS x",
            "SELECT \"x\".\"count\" FROM (SELECT count(*) AS \"count\" FROM orders) AS x",
        ),
        (
            "SELECT customerid FROM orders AS a JOIN twins AS b USING (customerid)",
            "SELECT \"a\".\"customerId\" AS \"customerid\" FROM orders AS a JOIN twins AS b ON \"a\".\"customerId\" = \"b\".\"customerId\"",
        ),
        (
            "SELECT customerid FROM orders UNION SELECT id FROM orders ORDER BY customerid",
            "SELECT orders.\"customerId\" AS \"customerid\" FROM orders UNION SELECT orders.\"id\" FROM orders ORDER BY 1",
        ),
    ] {
        assert_eq!(rewritten(sql).unwrap(), expected);
    }
}

#[test]
fn several_spellings_are_ambiguous() {
    let error = rewritten("SELECT id, ab FROM twins").unwrap_err();
    assert_eq!(error.state, SqlState::AMBIGUOUS_COLUMN);
    assert_eq!(error.message, "column reference \"ab\" is ambiguous");
    assert_eq!(error.hint.as_deref(), Some("Quote one of \"Ab\", \"aB\"."));
    assert!(rewritten("SELECT \"Ab\" FROM twins").is_ok());
}

#[test]
fn a_name_is_one_relations() {
    for wrong in ["SELECT 1 FROM orders a, twins a", "SELECT 1 FROM orders, orders"] {
        assert_eq!(
            rewritten(wrong).unwrap_err().state,
            SqlState::DUPLICATE_ALIAS,
            "{wrong}"
        );
    }
    for right in [
        "SELECT 1 FROM orders a, orders",
        "SELECT 1 FROM x.orders, y.orders",
    ] {
        assert!(rewritten(right).is_ok(), "{right}");
    }
}
