//! `causeway demo`.

use std::path::PathBuf;
use std::time::Duration;

use causeway::config::{LogConfig, LogFormat, LogLevel};
use causeway::demo::{self, DemoOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::{runtime, start_log};

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder for the data, kept for the next time. Default: one in the user's cache.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The size of the data, from 0.01, where the largest table has 60,000 rows, to 10.
    #[arg(long, default_value_t = 0.01)]
    scale: f64,
    /// Runs these statements, prints their answers and ends.
    #[arg(long)]
    query: Option<String>,
}

/// Runs until SIGINT or SIGTERM, or until the statements have their answers.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    // The demo's terminal is for its answers.
    start_log(LogConfig {
        format: LogFormat::Text,
        level: LogLevel::Error,
    });
    let options = DemoOptions {
        folder: arguments.dir,
        scale: arguments.scale,
        query: arguments.query,
    };
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stopped = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        anyhow::Ok(demo::run(options, stopped).await)
    })?;
    // Threads that still plan do not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = outcome {
        // As psql shows errors: no chain, no backtrace.
        eprintln!("{error}");
        std::process::exit(1);
    }
    Ok(())
}
