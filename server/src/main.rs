//! The commands: `causeway serve --config causeway.toml`, `causeway hash-password`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use causeway::config::Config;
use causeway::security::Verifier;
use causeway::{BLOCKING_THREADS_MAX, Server, THREAD_STACK_BYTES};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
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
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match Arguments::parse().command {
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(serve(config))?;
    // Threads that still plan do not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
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
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
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
