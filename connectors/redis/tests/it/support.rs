//! The server under test, tables over it and the reading of them.

use std::env;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use arrow::util::display::array_value_to_string;
use causeway_redis::RedisOptions;
use causeway_spi::{
    Connector, ConnectorOptions, Filter, ReadContext, Result, Scan, ScanFilter, Split, Table, TableName,
    Verdict,
};
use datafusion::logical_expr::Expr;
use futures::TryStreamExt;
use redis::aio::MultiplexedConnection;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that look at the whole server take it alone.
static SERVER: RwLock<()> = RwLock::const_new(());

/// The server, and the right to use it beside other tests or alone.
pub(crate) struct Server<Guard = RwLockReadGuard<'static, ()>> {
    pub(crate) url: String,
    pub(crate) raw: MultiplexedConnection,
    _guard: Guard,
}

/// The server; `None`, said loudly, when there is none.
pub(crate) async fn server() -> Option<Server> {
    let url = url()?;
    let guard = SERVER.read().await;
    let raw = raw(&url).await;
    Some(Server {
        url,
        raw,
        _guard: guard,
    })
}

/// The server, with no other test on it.
pub(crate) async fn server_alone() -> Option<Server<RwLockWriteGuard<'static, ()>>> {
    let url = url()?;
    let guard = SERVER.write().await;
    let raw = raw(&url).await;
    Some(Server {
        url,
        raw,
        _guard: guard,
    })
}

fn url() -> Option<String> {
    let url = env::var("TEST_REDIS_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        // Past the test runner's capture: a skipped test must be seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED: TEST_REDIS_URL is not set");
    }
    url
}

pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("TEST_REDIS_URL is a Redis url");
    let raw = client.get_multiplexed_async_connection().await;
    let mut raw = raw.expect("the server at TEST_REDIS_URL answers");
    // The driver's own half second is too short for a busy machine.
    raw.set_response_timeout(Duration::from_secs(60));
    raw
}

impl<Guard> Server<Guard> {
    /// The url of another database of the server.
    pub(crate) fn url_of(&self, database: u32) -> String {
        let place = match self.url.rsplit_once('/') {
            Some((place, last)) if last.parse::<u32>().is_ok() => place,
            _ => self.url.trim_end_matches('/'),
        };
        format!("{place}/{database}")
    }

    /// Runs one command.
    pub(crate) async fn run(&self, arguments: &[&[u8]]) -> redis::Value {
        let mut command = redis::Cmd::new();
        for argument in arguments {
            command.arg(*argument);
        }
        let mut raw = self.raw.clone();
        command.query_async(&mut raw).await.unwrap()
    }

    /// Makes one hash.
    pub(crate) async fn hset(&self, key: &str, fields: &[(&str, &str)]) {
        let mut arguments: Vec<&[u8]> = vec![b"HSET", key.as_bytes()];
        for (name, value) in fields {
            arguments.extend([name.as_bytes(), value.as_bytes()]);
        }
        self.run(&arguments).await;
    }

    /// Makes `count` hashes `<prefix><n>` with the fields `name` and `size`.
    pub(crate) async fn fill(&self, prefix: &str, range: std::ops::Range<usize>) {
        let mut raw = self.raw.clone();
        for start in range.clone().step_by(1000) {
            let mut pipeline = redis::pipe();
            for id in start..(start + 1000).min(range.end) {
                let name = format!("name-{id}");
                pipeline
                    .cmd("HSET")
                    .arg(format!("{prefix}{id}"))
                    .arg("name")
                    .arg(name)
                    .arg("size")
                    .arg(id);
            }
            pipeline.exec_async(&mut raw).await.unwrap();
        }
    }

    /// Removes every key that begins with `prefix`.
    pub(crate) async fn clear(&self, prefix: &str) {
        let script = "local c='0' repeat local r=redis.call('SCAN',c,'COUNT',1000) c=r[1] \
                      for _,k in ipairs(r[2]) do if string.sub(k,1,#ARGV[1])==ARGV[1] then redis.call('DEL',k) end end \
                      until c=='0'";
        self.run(&[b"EVAL", script.as_bytes(), b"0", prefix.as_bytes()])
            .await;
    }

    /// How often the server has run `command`.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let stats = match self.run(&[b"INFO", b"commandstats"]).await {
            redis::Value::BulkString(text) => String::from_utf8(text).unwrap(),
            redis::Value::VerbatimString { text, .. } => text,
            other => panic!("{other:?}"),
        };
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        line.map_or(0, |line| {
            let calls = line.split("calls=").nth(1).unwrap().split(',').next().unwrap();
            calls.parse().unwrap()
        })
    }

    /// A catalog with one table `t`.
    pub(crate) fn catalog(&self, key: &str, columns: &[&str]) -> Arc<dyn Connector> {
        catalog(&self.url, "", key, columns)
    }

    /// The table `t` of [`Server::catalog`].
    pub(crate) async fn table(&self, key: &str, columns: &[&str]) -> Arc<dyn Table> {
        load(&self.catalog(key, columns)).await.unwrap()
    }

    /// The table `t` as the lines of its configuration say.
    pub(crate) async fn described(&self, lines: &str) -> Arc<dyn Table> {
        load(&described(&self.url, "", lines)).await.unwrap()
    }

    /// A table over keys `<prefix>{id}` with a name and a size.
    pub(crate) async fn people(&self, prefix: &str) -> Arc<dyn Table> {
        self.table(
            &format!("{prefix}{{id}}"),
            &["id bigint", "name text", "size int"],
        )
        .await
    }
}

/// A catalog `cache` with one table `t` as the lines of its configuration say.
pub(crate) fn described(url: &str, options: &str, table: &str) -> Arc<dyn Connector> {
    let text = format!("url = {url:?}\n{options}\n[[tables]]\nname = \"t\"\n{table}");
    toml::from_str::<RedisOptions>(&text)
        .unwrap()
        .open("cache")
        .unwrap()
}

/// A catalog `cache` with one table `t`; `options` are further lines of its configuration.
pub(crate) fn catalog(url: &str, options: &str, key: &str, columns: &[&str]) -> Arc<dyn Connector> {
    described(url, options, &format!("key = {key:?}\ncolumns = {columns:?}"))
}

/// The table `t`.
pub(crate) async fn load(catalog: &Arc<dyn Connector>) -> Result<Arc<dyn Table>> {
    let table = catalog.table(&TableName::new("cache", "public", "t")).await?;
    Ok(table.expect("the table is configured"))
}

/// A scan with pushed filters.
pub(crate) fn scan(table: &Arc<dyn Table>, columns: &[&str], filters: &[Expr]) -> Scan {
    let schema = table.schema();
    let filters = filters.iter().map(|expr| {
        let filter = Filter::new(expr);
        let pushdown = table.pushdown(&filter);
        assert_eq!(pushdown.verdict, Verdict::Exact, "{filter}");
        ScanFilter { filter, pushdown }
    });
    Scan {
        projection: columns
            .iter()
            .map(|name| schema.index_of(name).unwrap())
            .collect(),
        filters: filters.collect(),
        schema,
        limit: None,
    }
}

pub(crate) async fn try_read(table: &Arc<dyn Table>, scan: &Scan) -> Result<RecordBatch> {
    let cx = ReadContext::detached();
    let batches: Vec<RecordBatch> = table
        .read(scan, &Split::whole(), &cx)
        .await?
        .try_collect()
        .await?;
    Ok(concat_batches(&scan.projected_schema(), &batches).unwrap())
}

/// The rows of a read as sorted lines, columns separated by `|`.
pub(crate) async fn read(table: &Arc<dyn Table>, columns: &[&str], filters: &[Expr]) -> Vec<String> {
    lines(&try_read(table, &scan(table, columns, filters)).await.unwrap())
}

/// The rows of a lookup of a table with one bigint key.
pub(crate) async fn lookup(table: &Arc<dyn Table>, scan: &Scan, ids: Vec<i64>) -> RecordBatch {
    let values = Int64Array::from(ids);
    let schema = Schema::new(vec![Field::new("id", arrow::datatypes::DataType::Int64, false)]);
    let values = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values) as ArrayRef]).unwrap();
    let cx = ReadContext::detached();
    let stream = table.lookup().unwrap().get(scan, 0, values, &cx).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    concat_batches(&scan.projected_schema(), &batches).unwrap()
}

pub(crate) fn lines(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: &ArrayRef, row| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let rows = (0..batch.num_rows()).map(|row| {
        batch
            .columns()
            .iter()
            .map(|column| cell(column, row))
            .collect::<Vec<_>>()
            .join("|")
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    rows
}
