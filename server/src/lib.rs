//! The Causeway server: one Postgres endpoint over the catalogs of its configuration.
//!
//! - [`check`]: tries what a configuration names
//! - [`config`]: `causeway.toml`; [`config_docs`]: the reference of its options; `connectors`: the list of connector kinds
//! - [`frontend`]: the doors; messages in, rows out
//! - [`session`]: one client's state
//! - [`catalog`]: names to tables
//! - [`query`]: the stages of a statement
//! - [`history`]: what runs and what ran lately, and the log of it
//! - [`security`]: who may connect, and TLS
//! - `values`: how values are written and read, time zones
//! - [`demo`]: data in three kinds of source, and a server over it
//! - [`error`], [`sqlstate`]: what a client is told when something is wrong
//!
//! Dependencies point one way: `frontend -> query -> {session, catalog} -> causeway-spi <- connectors`.

pub mod catalog;
pub mod check;
pub mod config;
pub mod config_docs;
mod connectors;
pub mod demo;
pub mod error;
pub mod frontend;
pub mod history;
pub mod query;
mod reload;
pub mod security;
pub mod session;
pub mod sqlstate;
mod values;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use catalog::Catalogs;
use config::Config;
use frontend::pg::{SharedDoor, Stopping};
use query::Engine;
pub use reload::Reloaded;

/// Stack of every thread of the runtime, in bytes of address space: planning recurses, and an overflow cannot be caught.
pub const THREAD_STACK_BYTES: usize = 256 << 20;

/// Most statements that are parsed and planned at once, each on a thread of its own.
pub const PLANNERS_MAX: usize = 256;
/// Threads of the runtime's blocking pool. Planners wait there for files that are read there: were there not more threads
/// than planners, they would wait for ever.
pub const BLOCKING_THREADS_MAX: usize = 2 * PLANNERS_MAX;

/// Longest wait for connections whose statements were ended.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    engine: Arc<Engine>,
    door: Arc<SharedDoor>,
    /// The `[server]` section that it was started with.
    written: toml::Table,
    stopping: Stopping,
    endpoint: JoinHandle<()>,
}

impl Server {
    /// Starts the endpoint. Sources are not contacted: one that is down does not stop the server.
    ///
    /// Must run in a runtime whose threads have [`THREAD_STACK_BYTES`], with [`BLOCKING_THREADS_MAX`] of them in its
    /// blocking pool. Errors: the address is taken, or the spill
    /// folder cannot be used.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let catalogs = Catalogs::new(config.catalogs, config.server.metadata_ttl);
        let engine = Engine::new(catalogs, config.server, config.remote).map_err(std::io::Error::other)?;
        let listener = TcpListener::bind(engine.config.listen).await?;
        let address = listener.local_addr()?;
        let (engine, door) = (Arc::new(engine), Arc::new(SharedDoor::new(config.door)));
        let stopping = Stopping::default();
        let endpoint = tokio::spawn(frontend::pg::serve(
            listener,
            Arc::clone(&engine),
            Arc::clone(&door),
            stopping.clone(),
        ));
        Ok(Self {
            address,
            engine,
            door,
            written: config.written,
            stopping,
            endpoint,
        })
    }

    /// The address clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connections, ends idle ones, and waits until running statements have ended: those that run longer than
    /// `server.stop_timeout` end with 57P01.
    pub async fn stop(mut self) {
        self.stopping.idle.cancel();
        let limit = self.engine.config.stop_timeout;
        let ended = match tokio::time::timeout(limit, &mut self.endpoint).await {
            Ok(ended) => ended,
            Err(_) => {
                tracing::warn!(
                    elapsed_ms = limit.as_millis(),
                    "statements still ran and were ended"
                );
                self.stopping.running.cancel();
                match tokio::time::timeout(END_TIMEOUT, &mut self.endpoint).await {
                    Ok(ended) => ended,
                    Err(_) => return tracing::error!("connections did not end"),
                }
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the endpoint did not end cleanly");
        }
    }
}
