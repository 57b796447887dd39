//! Opens the file, bounds how many reads there are at the same time, and keeps idle sessions for the next ones.
//!
//! Everything of a session runs on a blocking thread. An idle session is used again only while the path still leads to
//! the same file: one that was replaced is opened anew.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use causeway_spi::{ConnectorError, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{Doing, translate};
use crate::native::allowed;
use crate::options::SqliteOptions;

/// The sessions of one catalog.
#[derive(Debug)]
pub(crate) struct Sessions {
    catalog: String,
    path: PathBuf,
    connections: usize,
    connection_wait: Duration,
    busy_timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    file: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl Sessions {
    /// The sessions of `catalog`; opens nothing.
    pub(crate) fn new(catalog: &str, options: &SqliteOptions) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.to_owned(),
            path: options.path.clone(),
            connections: options.connections,
            connection_wait: options.connection_wait,
            busy_timeout: options.busy_timeout,
            permits: Arc::new(Semaphore::new(options.connections)),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Waits for one of the reads at the same time.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        match timeout(self.connection_wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ConnectorError::new(
                ErrorKind::TooManyConnections,
                format!("no connection to catalog {} became free", self.catalog),
            )
            .detail(format!(
                "All {} connections were in use for {} s.",
                self.connections,
                self.connection_wait.as_secs_f64()
            ))
            .hint("Try again later, or raise the option connections of the catalog.")),
        }
    }

    /// An idle session or a new one. Blocks.
    pub(crate) fn session(&self) -> Result<Session> {
        let file = self.file();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| file.is_some() && session.file == file);
        let reused = idle.pop();
        drop(idle);
        match reused {
            Some(session) => Ok(session),
            None => Ok(Session {
                connection: self
                    .open()
                    .map_err(|error| translate(error, Doing::Listing(&self.catalog)))?,
                file,
            }),
        }
    }

    /// A session for one statement of a user's own, on which only reading is allowed; it is not given back. Blocks.
    pub(crate) fn native(&self) -> Result<Session> {
        let opened = self.open().and_then(|mut connection| {
            connection.authorizer(Some(allowed))?;
            Ok(connection)
        });
        Ok(Session {
            connection: opened.map_err(|error| translate(error, Doing::Listing(&self.catalog)))?,
            file: None,
        })
    }

    /// Takes a session back whose transaction has ended.
    pub(crate) fn give_back(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(session);
    }

    /// Runs a short request in a transaction of its own, on a blocking thread.
    pub(crate) async fn request<T: Send + 'static>(
        self: &Arc<Self>,
        request: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit().await?;
        let sessions = Arc::clone(self);
        self.blocking(move || {
            let _permit = permit;
            let session = sessions.session()?;
            let listing = |error| translate(error, Doing::Listing(&sessions.catalog));
            session.connection.execute_batch("BEGIN").map_err(listing)?;
            let answer = request(&session.connection)?;
            session.connection.execute_batch("COMMIT").map_err(listing)?;
            sessions.give_back(session);
            Ok(answer)
        })
        .await
    }

    /// Runs a short request on a session for a statement of a user's own, on a blocking thread.
    pub(crate) async fn native_request<T: Send + 'static>(
        self: &Arc<Self>,
        request: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit().await?;
        let sessions = Arc::clone(self);
        self.blocking(move || {
            let _permit = permit;
            request(&sessions.native()?.connection)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let task = tokio::task::spawn_blocking(work);
        task.await.unwrap_or_else(|error| {
            let message = format!("a request to catalog {} ended unexpectedly", self.catalog);
            Err(ConnectorError::new(ErrorKind::Internal, message).source(error))
        })
    }

    fn file(&self) -> Option<FileId> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// A session in which nothing is written, a quoted name is never a text, and what the file's schema calls is harmless.
    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY")?;
        Ok(connection)
    }
}
