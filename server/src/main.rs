//! The commands: `causeway demo`, `causeway serve --config causeway.toml`, `causeway hash-password`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use causeway::config::Config;
use causeway::demo::{self, DemoOptions};
use causeway::security::Verifier;
use causeway::{BLOCKING_THREADS_MAX, Server, THREAD_STACK_BYTES};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Longest wait for running statements when the server is asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// One Postgres endpoint over everything you have.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Joins Parquet, SQLite and an embedded store, made on the spot: nothing to install or to configure.
    Demo {
        /// A folder for the data, kept for the next time. Default: one in the user's cache.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// The size of the data, from 0.01, where the largest table has 60,000 rows, to 10.
        #[arg(long, default_value_t = 0.01)]
        scale: f64,
        /// Runs these statements, prints their answers and ends.
        #[arg(long)]
        query: Option<String>,
    },
    /// Serves the catalogs of a configuration until SIGINT or SIGTERM.
    Serve {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Reads a password and prints the verifier that `[users]` stores.
    HashPassword,
}

fn main() -> anyhow::Result<()> {
    let command = Arguments::parse().command;
    // The demo's terminal is for its answers.
    let level = match &command {
        Command::Demo { .. } => "error",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match command {
        Command::Demo { dir, scale, query } => run_demo(DemoOptions {
            folder: dir,
            scale,
            query,
        }),
        Command::Serve { config } => run_server(Config::read(&config)?),
        Command::HashPassword => hash_password(),
    }
}

/// From a terminal the password is asked for and not shown; else it is the first line of the input.
fn hash_password() -> anyhow::Result<()> {
    let password = if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ")?
    } else {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    println!("{}", Verifier::of_password(&password).to_stored());
    Ok(())
}

fn run_server(config: Config) -> anyhow::Result<()> {
    in_runtime(serve(config))
}

fn run_demo(options: DemoOptions) -> anyhow::Result<()> {
    let outcome = in_runtime(async {
        let (mut interrupt, mut terminate) = stop_signals()?;
        let stopped = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        Ok(demo::run(options, stopped).await)
    })?;
    if let Err(error) = outcome {
        // As psql shows errors: no chain, no backtrace.
        eprintln!("{error}");
        std::process::exit(1);
    }
    Ok(())
}

fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("could not start the runtime")?;
    let outcome = runtime.block_on(work)?;
    // Threads that still plan do not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(outcome)
}

fn stop_signals() -> anyhow::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listen = config.server.listen;
    let catalogs = config.catalogs.keys().cloned().collect::<Vec<_>>().join(", ");
    let server = Server::start(config)
        .await
        .with_context(|| format!("could not listen on {listen}"))?;
    let address = server.address();
    tracing::info!(%address, %catalogs, "serving");
    println!(
        "causeway serves on {address}; connect with: psql -h {} -p {} causeway",
        address.ip(),
        address.port()
    );
    let (mut interrupt, mut terminate) = stop_signals()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    if tokio::time::timeout(STOP_TIMEOUT, server.stop()).await.is_err() {
        tracing::warn!(
            "statements still ran after {} s and were ended",
            STOP_TIMEOUT.as_secs()
        );
    }
    Ok(())
}
