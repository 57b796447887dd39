//! `causeway check`: what a configuration would serve. Every source is tried, with a deadline, all at the same time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_spi::{Connector, ConnectorError, Table, TableName};
use futures::{StreamExt, future, stream};

use crate::catalog::pg_type::{PgType, format_type};
use crate::config::OpenCatalog;

/// Longest wait for a source to answer at all.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for everything that is asked of one source.
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);
/// Tables of one source that are asked for at the same time.
const CONCURRENCY: usize = 4;
/// Columns that are shown of the one table that stands for the others.
const EXAMPLE_COLUMNS_MAX: usize = 6;

/// How much is asked and told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detail {
    /// All tables with all their columns, not one as an example.
    pub verbose: bool,
    /// What each catalog's login needs, and what it may do beyond that.
    pub grants: bool,
}

/// What was found at the sources.
#[derive(Debug)]
pub struct Findings {
    /// For people, a block a catalog.
    pub text: String,
    /// The catalogs that did not answer as they should.
    pub wrong: Vec<String>,
}

/// Tries every catalog.
pub async fn check(catalogs: &BTreeMap<String, OpenCatalog>, detail: Detail) -> Findings {
    let found = catalogs.iter().map(|(name, catalog)| async move {
        let found = check_catalog(name, &catalog.connector, detail).await;
        (name, found)
    });
    let mut findings = Findings {
        text: String::new(),
        wrong: Vec::new(),
    };
    for (name, (text, is_right)) in future::join_all(found).await {
        findings.text.push_str(&text);
        if !is_right {
            findings.wrong.push(name.clone());
        }
    }
    findings
}

/// The block of one catalog, and whether all is well.
async fn check_catalog(name: &str, connector: &Arc<dyn Connector>, detail: Detail) -> (String, bool) {
    let started = Instant::now();
    let kind = connector.kind();
    let pinged = tokio::time::timeout(PING_TIMEOUT, connector.ping()).await;
    let mut text = match pinged {
        Ok(Ok(())) => format!(
            "{name} ({kind}): answers after {} ms\n",
            started.elapsed().as_millis()
        ),
        Ok(Err(error)) => return (format!("{name} ({kind}): {}", told(&error)), false),
        Err(_) => {
            let waited = PING_TIMEOUT.as_secs();
            return (format!("{name} ({kind}): no answer within {waited} s\n"), false);
        }
    };
    let asked = async {
        let mut is_right = list(name, connector, detail, &mut text).await;
        if detail.grants {
            is_right &= grants(connector, &mut text).await;
        }
        is_right
    };
    match tokio::time::timeout(LISTING_TIMEOUT, asked).await {
        Ok(is_right) => (text, is_right),
        Err(_) => {
            line(
                &mut text,
                &format!("not listed within {} s", LISTING_TIMEOUT.as_secs()),
            );
            (text, false)
        }
    }
}

/// An error in words, each part in a line of its own.
fn told(error: &ConnectorError) -> String {
    let mut text = format!("{}\n", error.message());
    for more in [error.detail_text(), error.hint_text()].into_iter().flatten() {
        line(&mut text, more);
    }
    text
}

fn line(text: &mut String, more: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}", more.replace('\n', "\n  "));
}

/// The schemas and their tables. Returns whether all of them could be read.
async fn list(catalog: &str, connector: &Arc<dyn Connector>, detail: Detail, text: &mut String) -> bool {
    let schemas = match connector.schemas().await {
        Ok(schemas) => schemas,
        Err(error) => {
            line(text, told(&error).trim_end());
            return false;
        }
    };
    if schemas.is_empty() {
        line(text, "has no schemas");
    }
    let mut is_right = true;
    for schema in schemas {
        let tables = match connector.tables(&schema).await {
            Ok(tables) => tables,
            Err(error) => {
                line(text, told(&error).trim_end());
                is_right = false;
                continue;
            }
        };
        let plural = if tables.len() == 1 { "table" } else { "tables" };
        line(text, &format!("{schema}: {} {plural}", tables.len()));
        let shown = if detail.verbose { tables.len() } else { 1 };
        let described = stream::iter(tables.into_iter().take(shown)).map(|table| {
            let name = TableName::new(catalog, &schema, table);
            async move { (connector.table(&name).await, name) }
        });
        let described: Vec<_> = described.buffered(CONCURRENCY).collect().await;
        for (table, name) in described {
            let (told, could_be_read) = describe(table, &name, detail);
            line(text, &told);
            is_right &= could_be_read;
        }
    }
    is_right
}

fn describe(
    table: causeway_spi::Result<Option<Arc<dyn Table>>>,
    name: &TableName,
    detail: Detail,
) -> (String, bool) {
    match table {
        Ok(Some(table)) => {
            let schema = table.schema();
            let columns = schema.fields().iter().map(|field| {
                let pg_type = PgType::of_field(field);
                format!(
                    "{} {}",
                    field.name(),
                    format_type(pg_type.oid, Some(pg_type.modifier))
                )
            });
            let mut columns: Vec<String> = columns.collect();
            if !detail.verbose && columns.len() > EXAMPLE_COLUMNS_MAX {
                columns.truncate(EXAMPLE_COLUMNS_MAX);
                columns.push("...".to_owned());
            }
            (format!("  {} ({})", name.table, columns.join(", ")), true)
        }
        Ok(None) => (format!("  {}: has gone meanwhile", name.table), true),
        Err(error) => (format!("  {}: {}", name.table, told(&error).trim_end()), false),
    }
}

/// What the login needs and what it may do beyond that. Returns whether that could be told.
async fn grants(connector: &Arc<dyn Connector>, text: &mut String) -> bool {
    let mut is_right = true;
    match connector.needs().await {
        Ok(Some(needs)) => line(text, &format!("needs:\n  {}", needs.replace('\n', "\n  "))),
        Ok(None) => {}
        Err(error) => {
            line(text, &format!("needs: {}", told(&error).trim_end()));
            is_right = false;
        }
    }
    match connector.excess().await {
        Ok(excess) => {
            for more in excess {
                line(text, &format!("beyond: {more}"));
            }
        }
        Err(error) => {
            line(text, &format!("beyond: {}", told(&error).trim_end()));
            is_right = false;
        }
    }
    is_right
}
