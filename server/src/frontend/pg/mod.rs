//! The Postgres endpoint: accepts connections and runs each in a task of its own.
//!
//! pgwire's messages and codec with our own loop: the read half stays polled while a statement runs, so that a client
//! that vanishes is noticed, and results are streamed with back-pressure.

mod cancel;
mod connection;
mod encode;
mod error;
mod extended;
mod login;
mod message;
mod params;
mod prepared;
mod reader;
mod run;
mod simple;
mod socket;
mod startup;
mod statement;
mod types;
mod write;

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::PLANNERS_MAX;
use crate::query::Engine;
use crate::security::{Tls, Users};
use cancel::CancelRegistry;

/// What all connections of the endpoint share.
#[derive(Debug)]
struct Endpoint {
    engine: Arc<Engine>,
    cancels: CancelRegistry,
    door: Arc<SharedDoor>,
    permits: Arc<Semaphore>,
    planners: Arc<Semaphore>,
    next_session: AtomicI32,
    stopping: Stopping,
}

/// How the server is stopped: what rests ends at once, what runs when its time is over.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    /// No new connections and no new statements.
    pub idle: CancellationToken,
    /// Running statements end.
    pub running: CancellationToken,
}

/// The door, which a reload may change while connections come in.
#[derive(Debug)]
pub struct SharedDoor(RwLock<Arc<Door>>);

impl SharedDoor {
    /// Makes it.
    pub fn new(door: Door) -> Self {
        Self(RwLock::new(Arc::new(door)))
    }

    /// The door as it is now.
    fn now(&self) -> Arc<Door> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether clients can encrypt.
    pub(crate) fn has_tls(&self) -> bool {
        self.now().tls.is_some()
    }

    /// Another door for those who come from now on.
    pub(crate) fn replace(&self, door: Door) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(door);
    }
}

/// Who may come in, and how the wire is protected.
#[derive(Debug)]
pub struct Door {
    /// Who may log in; `None` where every name is believed.
    pub users: Option<Users>,
    /// TLS, if it is configured.
    pub tls: Option<Tls>,
}

/// Accepts connections until `stopping` says so, then waits until the running ones have ended.
pub async fn serve(listener: TcpListener, engine: Arc<Engine>, door: Arc<SharedDoor>, stopping: Stopping) {
    let permits = Arc::new(Semaphore::new(
        engine.config.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let endpoint = Arc::new(Endpoint {
        engine,
        cancels: CancelRegistry::default(),
        door,
        permits,
        planners: Arc::new(Semaphore::new(PLANNERS_MAX)),
        next_session: AtomicI32::new(1),
        stopping: stopping.clone(),
    });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopping.idle.cancelled() => break,
            // Ended connections are taken out of the set as they end.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                connections.spawn(handle(socket, Arc::clone(&endpoint)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for connections to end rather than spin.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn handle(socket: TcpStream, endpoint: Arc<Endpoint>) {
    let session_id = endpoint.next_session.fetch_add(1, Ordering::Relaxed);
    // Results are written in large pieces: waiting to fill packets would only delay the small ones.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, session_id, "could not set TCP_NODELAY");
    }
    if let Err(error) = connection::run(socket, session_id, endpoint).await {
        tracing::debug!(%error, session_id, "connection ended");
    }
}
