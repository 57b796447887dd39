//! Measures Causeway's figures: each beside a limit that is measured in the same run, so that the ratio holds on any machine.
//!
//! Reads the services from the `TEST_*` variables; `bench/run` sets them. One module a subject; [`clock`] takes the times.

mod clock;
mod files;
mod mysql;
mod plain;
mod planning;
mod redis;
mod server;

use anyhow::{Context, Result};
use causeway_sql_tests::services::Services;
use clap::{Parser, ValueEnum};

/// Measures Causeway's figures.
#[derive(Debug, Parser)]
struct Arguments {
    /// TPC-H scale of the data.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Measurements of each figure; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What to measure; everything when absent.
    #[arg(value_enum)]
    figures: Vec<Figure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Memory of an idle server, and the time to the demo's first answer.
    Server,
    /// The 22 queries over S3, beside plain DataFusion.
    Tpch,
    /// EXPLAIN of the 22 queries and others, beside plain DataFusion's plans.
    Planning,
    /// All rows of lineitem: memory, first row, rows a second.
    Rows,
    /// A scan of orders in MySQL beside the server's own client; a lookup.
    Mysql,
    /// Point reads, joined keys and a full scan of Redis beside a bare client.
    Redis,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let services = Services::from_env().context("the services are not running: use bench/run")?;
    let wanted = |figure| arguments.figures.is_empty() || arguments.figures.contains(&figure);
    let measure = clock::Measure {
        scale: arguments.scale,
        rounds: arguments.rounds.max(1),
    };
    if wanted(Figure::Server) {
        server::measure(&measure).await?;
    }
    if wanted(Figure::Tpch) {
        files::tpch(&services, &measure).await?;
    }
    if wanted(Figure::Planning) {
        planning::measure(&services, &measure).await?;
    }
    if wanted(Figure::Rows) {
        files::rows(&services, &measure).await?;
    }
    if wanted(Figure::Mysql) {
        mysql::measure(&services, &measure).await?;
    }
    if wanted(Figure::Redis) {
        redis::measure(&services, &measure).await?;
    }
    Ok(())
}
