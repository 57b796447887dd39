//! What `causeway` does, one module a command. Each has the arguments and `run`; the work is the library's.

pub(crate) mod check;
pub(crate) mod config_docs;
pub(crate) mod demo;
pub(crate) mod hash_password;
pub(crate) mod serve;

use std::io::IsTerminal;

use anyhow::Context;
use causeway::config::{LogConfig, LogFormat};
use causeway::{BLOCKING_THREADS_MAX, THREAD_STACK_BYTES};
use tracing_subscriber::EnvFilter;

/// Logs to standard error as configured; `RUST_LOG` comes first.
fn start_log(config: LogConfig) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.level.name()));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_ansi(false).init(),
    }
}

/// A runtime in which statements can be planned.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("could not start the runtime")
}
