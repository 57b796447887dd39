//! How many rows the server itself expects of a statement, by its EXPLAIN: where an index finds them it has looked.

use async_trait::async_trait;
use causeway_base_sql::{Estimator, Expected, Statement};
use causeway_spi::TableName;
use mysql_async::{Value, from_value_opt};
use serde_json::Value as Json;

use crate::bind::bound;
use crate::reader::MySqlBackend;

/// The ways to find rows for which the server goes through all of them.
const WHOLE: [&str; 2] = ["ALL", "index"];

#[async_trait]
impl Estimator for MySqlBackend {
    async fn expected(&self, statement: &Statement, table: &TableName) -> Option<Expected> {
        let params = statement.params.iter().map(|param| bound(param, table));
        let params: Vec<Value> = params.collect::<Result<_, _>>().ok()?;
        // Whoever plans does not wait for a connection: without one there is no estimate.
        let lease = self.pool().lease_now().await?.ok()?;
        let explain = format!("EXPLAIN FORMAT=JSON {}", statement.sql);
        match lease.rows(&explain, params).await {
            Ok((rows, lease)) => {
                lease.give_back();
                let told = rows.into_iter().next()?.unwrap().into_iter().next()?;
                parsed(&serde_json::from_str(&from_value_opt::<String>(told).ok()?).ok()?)
            }
            Err(error) => {
                tracing::debug!(%table, %error, "the server does not tell what it expects");
                None
            }
        }
    }
}

/// What a plan over one table says, in the words of MySQL or MariaDB.
fn parsed(plan: &Json) -> Option<Expected> {
    let block = plan.get("query_block")?;
    let table = match block.get("nested_loop").and_then(Json::as_array) {
        Some(tables) if tables.len() > 1 => return None,
        Some(tables) => tables.first()?.get("table")?,
        None => block.get("table")?,
    };
    let access = table.get("access_type")?.as_str()?;
    if WHOLE.contains(&access) {
        return None;
    }
    // MariaDB's name and MySQL's: both count what the index finds, before other conditions.
    let rows = ["rows", "rows_examined_per_scan"]
        .iter()
        .find_map(|name| table.get(*name))?;
    let columns = table.get("used_key_parts")?.as_array()?;
    let columns = columns
        .iter()
        .map(|column| column.as_str().map(ToOwned::to_owned));
    Some(Expected {
        rows: rows.as_u64()?,
        columns: columns.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_index_finds_is_told() {
        let range = json!({"table_name": "t", "access_type": "range", "used_key_parts": ["id"], "rows": 50, "filtered": 100});
        let expected = Some(Expected {
            rows: 50,
            columns: vec!["id".to_owned()],
        });
        let maria = json!({"query_block": {"select_id": 1, "nested_loop": [{"table": range}]}});
        assert_eq!(parsed(&maria), expected);
        let older = json!({"query_block": {"select_id": 1, "table": range}});
        assert_eq!(parsed(&older), expected);
        let mysql = json!({"query_block": {"table": {"access_type": "range", "used_key_parts": ["id"],
            "rows_examined_per_scan": 50, "rows_produced_per_join": 5, "filtered": "10.00"}}});
        assert_eq!(parsed(&mysql), expected);
    }

    #[test]
    fn walks_and_what_is_not_understood_say_nothing() {
        for plan in [
            json!({"query_block": {"table": {"access_type": "ALL", "rows": 10}}}),
            json!({"query_block": {"table": {"access_type": "index", "used_key_parts": ["id"], "rows": 10}}}),
            json!({"query_block": {"table": {"message": "Impossible WHERE noticed after reading const tables"}}}),
            json!({"query_block": {"nested_loop": [{"table": {}}, {"table": {}}]}}),
            json!({"query_block": {"union_result": {}}}),
            json!([]),
        ] {
            assert_eq!(parsed(&plan), None, "{plan}");
        }
    }
}
