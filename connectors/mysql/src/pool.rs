//! The bounded pool of sessions.
//!
//! A [`Lease`] owns its session. Given back when nothing can hit it any more ([`crate::stop`]), the session is used
//! again. Dropped before that, it is closed at once and ended by a control connection; until then it still counts as
//! one of the pool's connections.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_spi::{ConnectorError, ErrorKind, Result};
use futures::future::join_all;
use mysql_async::{Opts, Row, Value};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{Doing, is_connection_lost, timed_out, translate};
use crate::native::Described;
use crate::session::{Session, SessionId};
use crate::stop::{Control, Kill};

/// A session that was idle for longer is not used again.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Most sessions at the same time.
    pub(crate) connections: usize,
    /// Most sessions beyond these that read parts of a scan.
    pub(crate) split_connections: usize,
    /// Longest wait for a new session.
    pub(crate) connect_timeout: Duration,
    /// Longest wait for a free session.
    pub(crate) connection_wait: Duration,
    /// Longest wait for one metadata request.
    pub(crate) request_timeout: Duration,
    /// Longest life of a statement at the server.
    pub(crate) statement_time: Duration,
}

/// The sessions of one catalog.
pub(crate) struct Pool {
    catalog: String,
    address: String,
    options: Opts,
    limits: PoolLimits,
    permits: Arc<Semaphore>,
    split_permits: Arc<Semaphore>,
    idle: SyncMutex<Vec<Idle>>,
    control: Mutex<Control>,
}

struct Idle {
    session: Session,
    since: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver's options hold the password.
        f.debug_struct("Pool")
            .field("catalog", &self.catalog)
            .field("address", &self.address)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes the pool of a catalog; connects to nothing.
    pub(crate) fn new(catalog: &str, address: String, options: Opts, limits: PoolLimits) -> Self {
        Self {
            catalog: catalog.to_owned(),
            address,
            options,
            limits,
            permits: Arc::new(Semaphore::new(limits.connections)),
            split_permits: Arc::new(Semaphore::new(limits.split_connections)),
            idle: SyncMutex::new(Vec::new()),
            control: Mutex::new(Control::default()),
        }
    }

    /// Waits for a free place and gives an idle session or a new one.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let wait = self.limits.connection_wait;
        let permit = match timeout(wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(self.too_many(wait)),
        };
        self.open(permit).await
    }

    /// As [`Pool::lease`], if a place is free now.
    pub(crate) async fn lease_now(self: &Arc<Self>) -> Option<Result<Lease>> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.open(permit).await)
    }

    /// At most `count` sessions beside that of [`Pool::lease`], for parts of the same scan.
    ///
    /// They have places of their own and are not waited for, so that no scan ever holds what another one needs: what
    /// is not free, and what the server refuses, is left out.
    pub(crate) async fn more(self: &Arc<Self>, count: usize) -> Vec<Lease> {
        let free = (0..count).map_while(|_| Arc::clone(&self.split_permits).try_acquire_owned().ok());
        let opened = join_all(free.map(|permit| self.open(permit))).await;
        opened
            .into_iter()
            .filter_map(|opened| match opened {
                Ok(lease) => Some(lease),
                Err(error) => {
                    tracing::debug!(catalog = self.catalog, %error, "no connection for a part of a scan");
                    None
                }
            })
            .collect()
    }

    async fn open(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lease> {
        let idle = self.take_idle();
        let reused = idle.is_some();
        let session = match idle {
            Some(session) => session,
            None => self.connect().await?,
        };
        Ok(Lease {
            pool: Arc::clone(self),
            held: Some((session, permit)),
            reused,
            running: false,
        })
    }

    fn too_many(&self, wait: Duration) -> ConnectorError {
        ConnectorError::new(
            ErrorKind::TooManyConnections,
            format!("no connection to catalog {} became free", self.catalog),
        )
        .detail(format!(
            "All {} connections were in use for {} s.",
            self.limits.connections,
            wait.as_secs_f64()
        ))
        .hint("Try again later, or raise the option connections of the catalog.")
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_MAX);
        idle.pop().map(|idle| idle.session)
    }

    fn put_idle(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle {
            session,
            since: Instant::now(),
        });
    }

    /// The one connection that stops statements of the others.
    pub(crate) fn control(&self) -> &Mutex<Control> {
        &self.control
    }

    /// Most sessions that read parts of a scan beside its first one.
    pub(crate) fn split_connections(&self) -> usize {
        self.limits.split_connections
    }

    /// The catalog's name.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// Opens a session within the limits.
    pub(crate) async fn connect(&self) -> Result<Session> {
        let doing = Doing::Connecting(&self.catalog);
        let opening = Session::open(self.options.clone(), self.limits.statement_time);
        match timeout(self.limits.connect_timeout, opening).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(translate(error, doing)),
            Err(_) => Err(timed_out(doing, self.limits.connect_timeout)),
        }
    }
}

/// One session of a pool, for one read.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    held: Option<(Session, OwnedSemaphorePermit)>,
    reused: bool,
    running: bool,
}

impl Lease {
    /// The session, to run statements on; from now on a drop ends it.
    pub(crate) fn session(&mut self) -> Result<&mut Session> {
        self.running = true;
        match &mut self.held {
            Some((session, _)) => Ok(session),
            None => Err(ConnectorError::new(
                ErrorKind::Internal,
                format!(
                    "a connection to catalog {} was used after its end",
                    self.pool.catalog
                ),
            )),
        }
    }

    /// Which session it is; `None` after its end.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.held.as_ref().map(|(session, _)| session.id().clone())
    }

    /// Replaces a session that the server had closed while it was idle. `false` when this one was new, or is of a moment
    /// that no other one can see.
    pub(crate) async fn renew(&mut self) -> Result<bool> {
        let snapshot = self
            .held
            .as_ref()
            .is_some_and(|(session, _)| session.is_in_snapshot());
        if !self.reused || snapshot {
            return Ok(false);
        }
        self.reused = false;
        self.running = false;
        let fresh = self.pool.connect().await?;
        if let Some((session, _)) = &mut self.held {
            std::mem::replace(session, fresh).close();
        }
        Ok(true)
    }

    /// Returns the session after its last result was read to the end.
    pub(crate) fn give_back(mut self) {
        self.running = false;
        if let Some((session, permit)) = self.held.take() {
            self.pool.put_idle(session);
            drop(permit);
        }
    }

    /// Has a statement of a user's own described within the pool's deadline, and returns the session.
    pub(crate) async fn describe(mut self, sql: &str) -> Result<(Described, Self)> {
        let (catalog, deadline) = (self.pool.catalog.clone(), self.pool.limits.request_timeout);
        let doing = Doing::Native(&catalog);
        let request = async {
            loop {
                let result = self.session()?.describe(sql).await;
                match result {
                    Ok(described) => return Ok((described, self)),
                    Err(error) if is_connection_lost(&error) && self.renew().await? => {}
                    Err(error) => {
                        // The statement is refused, and nothing else has happened.
                        if matches!(error, mysql_async::Error::Server(_)) && self.session()?.is_usable() {
                            self.give_back();
                        }
                        return Err(translate(error, doing));
                    }
                }
            }
        };
        within(deadline, doing, request).await
    }

    /// Closes the session after its last result was read to the end: nothing of it is used again.
    pub(crate) fn end(mut self) {
        if let Some((session, permit)) = self.held.take() {
            session.close();
            drop(permit);
        }
    }

    /// Runs a metadata request to its end within the pool's deadline, and returns the session.
    pub(crate) async fn rows(mut self, sql: &str, params: Vec<Value>) -> Result<(Vec<Row>, Self)> {
        let (catalog, deadline) = (self.pool.catalog.clone(), self.pool.limits.request_timeout);
        let doing = Doing::Listing(&catalog);
        let request = async {
            loop {
                let result = self.session()?.rows(sql, params.clone()).await;
                match result {
                    Ok(rows) => return Ok((rows, self)),
                    Err(error) if is_connection_lost(&error) && self.renew().await? => {}
                    Err(error) => return Err(translate(error, doing)),
                }
            }
        };
        within(deadline, doing, request).await
    }
}

impl Pool {
    /// Bounds the requests that a scan makes before its first statement.
    pub(crate) async fn within_request<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        within(
            self.limits.request_timeout,
            Doing::Listing(&self.catalog),
            request,
        )
        .await
    }
}

async fn within<T>(
    deadline: Duration,
    doing: Doing<'_>,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(deadline, request)
        .await
        .unwrap_or_else(|_| Err(timed_out(doing, deadline)))
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((session, permit)) = self.held.take() else {
            return;
        };
        let id = session.id().clone();
        session.close();
        if !self.running {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let pool = Arc::clone(&self.pool);
            runtime.spawn(async move {
                pool.kill(&id, Kill::Session).await;
                drop(permit);
            });
        }
    }
}
