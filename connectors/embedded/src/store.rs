//! The file: opened at the first use, shared by all catalogs of this process that name it, and worked on by threads
//! that may block.
//!
//! Each call sees the file through one transaction. A panic within is caught: the store trusts its file, and a damaged
//! one must not end more than the statement that met it.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use causeway_spi::{ConnectorError, ErrorKind, Result};
use redb::{Builder, Database, WriteTransaction};
use tokio::sync::OwnedMutexGuard;
use tokio::task::spawn_blocking;

use crate::error::{StoreResult, panicked};
use crate::format;

/// The stores of this process by their paths: a file can be opened once only.
static STORES: LazyLock<Mutex<HashMap<PathBuf, Weak<Store>>>> = LazyLock::new(Mutex::default);

/// One file.
pub(crate) struct Store {
    path: PathBuf,
    cache_bytes: usize,
    check_on_open: bool,
    database: Mutex<Option<Arc<Database>>>,
    /// The right to write: held by one transaction at a time. Waiting for it can be cancelled.
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The store of the file at `path`, which is absolute. Does not touch the file. Who comes first decides the rest.
    pub(crate) fn at(path: &Path, cache_bytes: usize, check_on_open: bool) -> Arc<Self> {
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        if let Some(store) = stores.get(path).and_then(Weak::upgrade) {
            return store;
        }
        let store = Arc::new(Self {
            path: path.to_owned(),
            cache_bytes,
            check_on_open,
            database: Mutex::default(),
            writer: Arc::default(),
        });
        stores.insert(path.to_owned(), Arc::downgrade(&store));
        store
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file. Blocks.
    pub(crate) fn database(&self) -> StoreResult<Arc<Database>> {
        let mut open = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = open.as_ref() {
            return Ok(Arc::clone(database));
        }
        let database = Builder::new()
            .set_cache_size(self.cache_bytes)
            .set_check_integrity_on_open(self.check_on_open)
            .create(&self.path)?;
        format::check(&database)?;
        Ok(Arc::clone(open.insert(Arc::new(database))))
    }

    /// Forgets the open file, so that the next use opens it again.
    fn close(&self) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Does `work` on a thread that may block. A panic of `work` is an error.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        catalog: &str,
        work: impl FnOnce(&Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(self);
        let done = spawn_blocking(move || {
            // What the work leaves behind is dropped: the transaction is rolled back and the file opened anew.
            let done = catch_unwind(AssertUnwindSafe(|| work(&store)));
            let useless = match &done {
                Ok(Ok(_)) => false,
                Ok(Err(error)) => error.ends_the_database(),
                Err(_) => true,
            };
            // Closing a damaged file can panic too.
            if useless && catch_unwind(AssertUnwindSafe(|| store.close())).is_err() {
                tracing::error!("closing the file of an embedded store panicked");
            }
            done
        });
        match done.await {
            Ok(Ok(done)) => done.map_err(|error| error.translate(catalog)),
            Ok(Err(_)) => {
                tracing::error!(catalog, "work on the embedded store panicked");
                Err(panicked(catalog))
            }
            Err(error) => Err(ConnectorError::new(
                ErrorKind::Unavailable,
                format!("catalog {catalog} is being closed"),
            )
            .source(error)),
        }
    }

    /// Begins to write. Blocks while another transaction writes.
    pub(crate) fn begin_write(&self) -> StoreResult<WriteTransaction> {
        let mut transaction = self.database()?.begin_write()?;
        // Each commit says which pages are free: after a crash the file opens at once, however large it is.
        transaction.set_quick_repair(true);
        Ok(transaction)
    }
}

impl Drop for Store {
    /// Closing a damaged file can panic too.
    fn drop(&mut self) {
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!("closing the file of an embedded store panicked");
        }
    }
}

/// A file under a catalog's name.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pub(crate) name: Arc<str>,
    store: Arc<Store>,
}

impl Catalog {
    pub(crate) fn new(name: &str, store: Arc<Store>) -> Self {
        Self {
            name: Arc::from(name),
            store,
        }
    }

    /// Does `work` on a thread that may block. A panic of `work` is an error.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        self.store.run(&self.name, work).await
    }

    /// Waits for the right to write.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.store.writer).lock_owned().await
    }
}
