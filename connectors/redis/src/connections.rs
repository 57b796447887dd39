//! The few connections all queries of a catalog share, made on use and made again when they break.
//!
//! Each is multiplexed: commands of several queries are on the wire at the same time. Every command here is a read, so
//! one whose connection turns out to be dead is sent once more over a new one.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, Pipeline, RedisError, RedisResult, Value,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many connections there are and how long is waited for them.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    pub(crate) connections: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    /// What the connections are called in the server's `CLIENT LIST`.
    pub(crate) client_name: String,
}

/// What an error says when no encrypted connection was ever made.
pub(crate) const NO_HANDSHAKE: &str = "no TLS handshake";

/// The connections of one catalog.
pub(crate) struct Connections {
    client: Client,
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    client_name: String,
    encrypted: bool,
    slots: Vec<Slot>,
    turn: AtomicUsize,
    made: AtomicU64,
}

/// A place for one connection.
struct Slot {
    current: Mutex<Option<Session>>,
    /// One at a time connects, the others wait and find the new connection.
    connecting: Semaphore,
}

/// A handle on one connection. Commands that belong together, such as the steps of a SCAN, go over the same one.
#[derive(Clone)]
pub(crate) struct Session {
    connection: MultiplexedConnection,
    slot: usize,
    number: u64,
}

impl Connections {
    pub(crate) fn new(info: ConnectionInfo, limits: &ConnectionLimits) -> RedisResult<Self> {
        let slots = (0..limits.connections).map(|_| Slot {
            current: Mutex::new(None),
            connecting: Semaphore::new(1),
        });
        Ok(Self {
            encrypted: matches!(info.addr(), ConnectionAddr::TcpTls { .. }),
            client: Client::open(info)?,
            config: AsyncConnectionConfig::new()
                // Waiting for another query's connection counts too: the limit is kept here.
                .set_connection_timeout(None)
                .set_response_timeout(Some(limits.response_timeout)),
            connect_timeout: limits.connect_timeout,
            client_name: limits.client_name.clone(),
            slots: slots.collect(),
            turn: AtomicUsize::new(0),
            made: AtomicU64::new(0),
        })
    }

    /// Sends `pipeline` over any connection; an error of a single command stands among the values.
    pub(crate) async fn send(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        self.begin(pipeline).await.map(|(values, _)| values)
    }

    /// Sends `pipeline` as [`Connections::send`] does and gives the connection that answered, for what belongs to it.
    pub(crate) async fn begin(&self, pipeline: &Pipeline) -> RedisResult<(Vec<Value>, Session)> {
        let slot = self.turn.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        if let Some(session) = self.current(slot) {
            match self.send_over(&session, pipeline).await {
                Err(error) if error.is_connection_dropped() => {
                    tracing::debug!(error = %error, "connection lost, connecting again");
                }
                answer => return answer.map(|values| (values, session)),
            }
        }
        let session = timeout(self.connect_timeout, self.connect(slot))
            .await
            .map_err(|_| self.timed_out())??;
        let values = self.send_over(&session, pipeline).await?;
        Ok((values, session))
    }

    /// The error of a connection that was not there in time.
    pub(crate) fn timed_out(&self) -> RedisError {
        let kind = std::io::ErrorKind::TimedOut;
        // A server without TLS waits for the rest of what it takes for a command.
        let error = if self.encrypted && self.made.load(Ordering::Relaxed) == 0 {
            std::io::Error::new(kind, NO_HANDSHAKE)
        } else {
            kind.into()
        };
        error.into()
    }

    /// Sends `pipeline` over the connection of `session`, or not at all.
    pub(crate) async fn send_over(&self, session: &Session, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut connection = session.connection.clone();
        let answer = if pipeline.is_transaction() {
            // MULTI and the QUEUED answers come before the one that counts.
            let values = connection
                .send_packed_commands(pipeline, pipeline.len() + 1, 1)
                .await;
            values.map(|values| match values.into_iter().next() {
                Some(Value::Array(values)) => values,
                other => other.into_iter().collect(),
            })
        } else {
            connection.send_packed_commands(pipeline, 0, pipeline.len()).await
        };
        // After a timeout the connection may be half open: the next query gets a new one.
        if answer
            .as_ref()
            .is_err_and(|error| error.is_io_error() || error.is_unrecoverable_error())
        {
            self.forget(session);
        }
        answer
    }

    fn current(&self, slot: usize) -> Option<Session> {
        let slot = self.slots.get(slot)?;
        slot.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn forget(&self, session: &Session) {
        if let Some(slot) = self.slots.get(session.slot) {
            let mut current = slot.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current
                .as_ref()
                .is_some_and(|current| current.number == session.number)
            {
                *current = None;
            }
        }
    }

    /// Names the connection. A login that may not do it reads as well without a name.
    async fn set_name(&self, connection: &MultiplexedConnection) {
        let mut connection = connection.clone();
        let command = redis::cmd("CLIENT")
            .arg("SETNAME")
            .arg(&self.client_name)
            .to_owned();
        if let Err(error) = connection.send_packed_command(&command).await {
            tracing::debug!(error = %error, "connection has no name");
        }
    }

    async fn connect(&self, slot: usize) -> RedisResult<Session> {
        let place = &self.slots[slot];
        let _permit = place.connecting.acquire().await;
        if let Some(session) = self.current(slot) {
            return Ok(session);
        }
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config)
            .await?;
        self.set_name(&connection).await;
        let session = Session {
            connection,
            slot,
            number: self.made.fetch_add(1, Ordering::Relaxed),
        };
        *place.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }
}

/// The name of a catalog's connections: printable ASCII without blanks, as `CLIENT SETNAME` wants it.
pub(crate) fn client_name(catalog: &str) -> String {
    let fitting = |character: char| {
        if character.is_ascii_graphic() {
            character
        } else {
            '_'
        }
    };
    format!("causeway:{}", catalog.chars().map(fitting).collect::<String>())
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the login.
        f.debug_struct("Connections")
            .field("address", &self.client.get_connection_info().addr().to_string())
            .field("connections", &self.slots.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_blanks() {
        assert_eq!(client_name("cache"), "causeway:cache");
        assert_eq!(client_name("my cache é"), "causeway:my_cache__");
    }
}
