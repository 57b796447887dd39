//! The conformance suite over hashes and over JSON documents, each in a database of its own.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_redis::RedisOptions;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, OtherKinds, RowCounts,
    run_conformance, skipped,
};
use causeway_spi::testing::{Column, ColumnKind, TextKind, scalar_kinds};
use causeway_spi::{Connector, ConnectorOptions, ErrorKind, Result};
use redis::aio::MultiplexedConnection;

use crate::support::{raw, server};

const BIGINT: ColumnKind = ColumnKind::Integer { bits: 64 };
const TEXT: ColumnKind = ColumnKind::Text(TextKind::Unicode);

/// How rows are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Hash,
    Json,
}

struct Rows {
    format: Format,
    url: String,
    raw: MultiplexedConnection,
}

#[async_trait]
impl ConformanceSource for Rows {
    fn name(&self) -> &str {
        match self.format {
            Format::Hash => "redis, hashes",
            Format::Json => "redis, JSON documents",
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut kinds = scalar_kinds();
        kinds.extend([ColumnKind::List(&BIGINT), ColumnKind::List(&TEXT)]);
        let mut other_kinds = OtherKinds::Refused(&[ErrorKind::Configuration]);
        match self.format {
            Format::Hash => kinds.push(ColumnKind::Bytes),
            // A string of JSON holds the bytes of texts only, so that these are taken and others cannot be stored.
            Format::Json => other_kinds = OtherKinds::CannotBeAsked,
        }
        Capabilities {
            other_kinds,
            keyless_tables: false,
            not_null: true,
            row_counts: RowCounts::Exact,
            filters: Filters::Keys,
            limits: true,
            lookups: true,
            login: true,
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let value = match self.format {
            Format::Hash => "hash",
            Format::Json => "json",
        };
        let mut lines = format!("url = {:?}\n", self.url);
        for table in tables {
            let columns: Vec<String> = table.data.columns().iter().map(Column::definition).collect();
            lines += &format!(
                "[[tables]]\nname = {:?}\nkey = \"{}:{{id}}\"\nvalue = {value:?}\ncolumns = {columns:?}\n",
                table.name, table.name
            );
        }
        let catalog = toml::from_str::<RedisOptions>(&lines).unwrap().open(CATALOG)?;
        for table in tables {
            self.fill(table).await;
        }
        Ok(catalog)
    }
}

impl Rows {
    async fn fill(&self, table: &ConformanceTable) {
        let mut commands = redis::pipe();
        for row in table.data.cells() {
            let mut cells = row.into_iter().zip(table.data.columns());
            let (id, _) = cells.next().unwrap();
            let key = format!("{}:{}", table.name, id.unwrap());
            match self.format {
                Format::Hash => {
                    // A hash cannot be empty, so that a row of NULLs has a field that is no column.
                    let command = commands.cmd("HSET").arg(key).arg("_").arg("");
                    for (cell, column) in cells {
                        let Some(cell) = cell else { continue };
                        command.arg(&column.name).arg(stored(cell, column.kind));
                    }
                }
                Format::Json => {
                    let document = cells.map(|(cell, column)| (column.name.clone(), json(cell, column.kind)));
                    let document = serde_json::Value::Object(document.collect());
                    commands.cmd("SET").arg(key).arg(document.to_string());
                }
            }
        }
        // A pipeline of no commands is an error of the driver's.
        if !table.data.cells().is_empty() {
            let () = commands.query_async(&mut self.raw.clone()).await.unwrap();
        }
    }
}

fn stored(cell: String, kind: ColumnKind) -> Vec<u8> {
    if kind != ColumnKind::Bytes {
        return cell.into_bytes();
    }
    let pairs = cell.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

/// Numbers that the writer keeps as they are stand for themselves, all others in quotes.
fn json(cell: Option<String>, kind: ColumnKind) -> serde_json::Value {
    let Some(cell) = cell else {
        return serde_json::Value::Null;
    };
    match kind {
        ColumnKind::Integer { .. } | ColumnKind::Boolean | ColumnKind::List(_) => {
            serde_json::from_str(&cell).unwrap()
        }
        _ => serde_json::Value::String(cell),
    }
}

async fn check(format: Format, database: u32) {
    let Some(server) = server().await else {
        return skipped("redis", "TEST_REDIS_URL is not set");
    };
    let url = server.url_of(database);
    let raw = raw(&url).await;
    let () = redis::cmd("FLUSHDB").query_async(&mut raw.clone()).await.unwrap();
    let rows = Rows { format, url, raw };
    run_conformance(&rows).await;
    let () = redis::cmd("FLUSHDB")
        .query_async(&mut rows.raw.clone())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_conform() {
    check(Format::Hash, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_documents_conform() {
    check(Format::Json, 10).await;
}
