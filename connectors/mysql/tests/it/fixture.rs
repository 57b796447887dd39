//! A database per test, its catalog, and the comparison of a pushed filter with its evaluation here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::util::display::array_value_to_string;
use causeway_mysql::MySqlOptions;
use causeway_spi::{
    BatchStream, Connector, ConnectorOptions, Filter, ReadContext, Result, Scan, ScanFilter, Secret, Split,
    Table, TableName, Verdict,
};
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};
use tokio::sync::{Mutex, MutexGuard};

/// The server under test.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    password: Option<String>,
}

/// The server, or `None` after saying loudly that the test is skipped.
pub(crate) fn server() -> Option<Server> {
    let Ok(url) = std::env::var("TEST_MYSQL_URL") else {
        eprintln!("SKIPPED: TEST_MYSQL_URL is not set");
        return None;
    };
    Some(Server {
        url,
        password: std::env::var("TEST_MYSQL_PASSWORD").ok(),
    })
}

/// Held by a test whose scans must be read in all of their parts, and by those that commit all the time: a commit between two
/// parts' snapshots leaves one of them out.
pub(crate) async fn commits() -> MutexGuard<'static, ()> {
    static COMMITS: Mutex<()> = Mutex::const_new(());
    COMMITS.lock().await
}

/// The options of a catalog at `url`, as a configuration file would give them.
pub(crate) fn options(url: &str) -> MySqlOptions {
    let fields = [("url", url)];
    MySqlOptions::deserialize(MapDeserializer::<_, Error>::new(fields.into_iter())).unwrap()
}

impl Server {
    /// An unpooled session with the server's own settings, for preparing data.
    pub(crate) async fn admin(&self) -> Conn {
        let url = self.url.strip_prefix("mysql://").unwrap();
        let (user, place) = url.split_once('@').unwrap();
        let (host, port) = place.trim_end_matches('/').split_once(':').unwrap();
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port.parse().unwrap())
            .user(Some(user))
            .pass(self.password.clone())
            .prefer_socket(false);
        Conn::new(options).await.unwrap()
    }

    pub(crate) fn options(&self) -> MySqlOptions {
        let mut options = options(&self.url);
        options.password = self.password.as_deref().map(Secret::new);
        options
    }

    /// Makes database `name` anew and runs `statements` in it, whatever dates and texts they hold.
    pub(crate) async fn database(&self, name: &str, statements: &[&str]) -> Arc<dyn Connector> {
        let mut admin = self.admin().await;
        for statement in [
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
            format!("USE {name}"),
            "SET NAMES utf8mb4, sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'".to_owned(),
        ] {
            admin.query_drop(statement).await.unwrap();
        }
        for statement in statements {
            admin
                .query_drop(*statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        admin.disconnect().await.unwrap();
        self.options().open("shop").unwrap()
    }

    /// Statements of query `query_id` that the server still runs.
    pub(crate) async fn running(&self, admin: &mut Conn, query_id: &str) -> u64 {
        let count = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '/* causeway {query_id} */%'"
        );
        admin.query_first(count).await.unwrap().unwrap()
    }
}

/// Makes account `name` anew, without a password, with the right to read `database`.
pub(crate) async fn account(admin: &mut Conn, name: &str, database: &str) {
    // An anonymous account of a fresh server would be preferred to one for any host.
    for host in ["localhost", "%"] {
        for statement in [
            format!("DROP USER IF EXISTS {name}@'{host}'"),
            format!("CREATE USER {name}@'{host}'"),
            format!("GRANT SELECT ON {database}.* TO {name}@'{host}'"),
        ] {
            admin.query_drop(statement).await.unwrap();
        }
    }
}

pub(crate) async fn load(catalog: &Arc<dyn Connector>, schema: &str, table: &str) -> Arc<dyn Table> {
    let name = TableName::new("shop", schema, table);
    catalog.table(&name).await.unwrap().unwrap()
}

/// A scan of all columns, without filters.
pub(crate) fn scan(table: &dyn Table) -> Scan {
    let schema = table.schema();
    Scan {
        projection: (0..schema.fields().len()).collect(),
        schema,
        filters: vec![],
        limit: None,
    }
}

/// A scan of all columns with the part of `filters` that the table takes.
pub(crate) fn filtered(table: &dyn Table, filters: &[Expr]) -> Scan {
    let filters = filters
        .iter()
        .map(Filter::new)
        .map(|filter| ScanFilter {
            pushdown: table.pushdown(&filter),
            filter,
        })
        .filter(|pushed| pushed.pushdown.verdict != Verdict::Declined)
        .collect();
    Scan {
        filters,
        ..scan(table)
    }
}

pub(crate) async fn open(table: &dyn Table, scan: &Scan, cx: &ReadContext) -> Result<BatchStream> {
    table.read(scan, &Split::whole(), cx).await
}

pub(crate) async fn try_read(table: &dyn Table, scan: &Scan) -> Result<RecordBatch> {
    let stream = open(table, scan, &ReadContext::detached()).await?;
    Ok(collect(scan, stream.try_collect().await?))
}

pub(crate) async fn read(table: &dyn Table, scan: &Scan) -> RecordBatch {
    try_read(table, scan).await.unwrap()
}

pub(crate) async fn get(table: &dyn Table, scan: &Scan, key: usize, values: RecordBatch) -> RecordBatch {
    let lookup = table.lookup().unwrap();
    let stream = lookup
        .get(scan, key, values, &ReadContext::detached())
        .await
        .unwrap();
    collect(scan, stream.try_collect().await.unwrap())
}

fn collect(scan: &Scan, batches: Vec<RecordBatch>) -> RecordBatch {
    concat_batches(&scan.projected_schema(), &batches).unwrap()
}

/// The values of a column as text; NULL as `NULL`.
pub(crate) fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array: &ArrayRef = batch.column_by_name(column).unwrap();
    (0..array.len())
        .map(|row| match array.is_null(row) {
            true => "NULL".to_owned(),
            false => array_value_to_string(array, row).unwrap(),
        })
        .collect()
}

/// The sorted values of the integer column `id`.
pub(crate) fn ids(batch: &RecordBatch) -> Vec<i32> {
    let array = batch.column_by_name("id").unwrap();
    let mut ids: Vec<i32> = array
        .as_any()
        .downcast_ref::<Int32Array>()
        .unwrap()
        .values()
        .to_vec();
    ids.sort_unstable();
    ids
}

/// The rows of `batch` for which `filter` is true, evaluated by DataFusion.
pub(crate) async fn evaluate(batch: RecordBatch, filter: &Expr) -> RecordBatch {
    let schema = batch.schema();
    let frame = SessionContext::new().read_batch(batch).unwrap();
    let rows = frame.filter(filter.clone()).unwrap().collect().await.unwrap();
    concat_batches(&schema, &rows).unwrap()
}

/// What `check` saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) exact: usize,
    pub(crate) superset: usize,
    pub(crate) declined: usize,
}

/// Holds every verdict to its promise: exact means the same rows, superset means none is missing.
pub(crate) async fn check(table: &dyn Table, filters: &[Expr]) -> Seen {
    let all = read(table, &scan(table)).await;
    let mut seen = Seen::default();
    for filter in filters {
        let expected = ids(&evaluate(all.clone(), filter).await);
        let scan = filtered(table, std::slice::from_ref(filter));
        let Some(pushed) = scan.filters.first() else {
            seen.declined += 1;
            continue;
        };
        let sent = table.remote_text(&scan);
        let remote = try_read(table, &scan).await;
        let remote = remote.unwrap_or_else(|error| panic!("{error:?}: {filter}\n{sent}"));
        match pushed.pushdown.verdict {
            Verdict::Exact => {
                assert_eq!(ids(&remote), expected, "exact: {filter}\n{sent}");
                seen.exact += 1;
            }
            _ => {
                let again = evaluate(remote, filter).await;
                assert_eq!(ids(&again), expected, "superset: {filter}\n{sent}");
                seen.superset += 1;
            }
        }
    }
    seen
}
