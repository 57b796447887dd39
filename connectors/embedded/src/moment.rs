//! What a read sees: the last commit, one commit for a whole statement, or a transaction that is under way.

use std::collections::HashSet;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_spi::{ConnectorError, ErrorKind, Result};
use redb::{
    AccessGuard, Key, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, Table, TableDefinition, TableError, Value, WriteTransaction,
};

use crate::error::{StoreError, StoreResult};
use crate::store::{Catalog, Store};
use crate::undo::Writing;

/// The moment of the file that is read.
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    /// The last commit, at each use.
    Now,
    /// The last commit at the first use.
    At(Arc<Pinned>),
    /// The transaction, with what it has written.
    Within(Arc<OpenTransaction>),
}

/// A moment that is chosen once.
#[derive(Default)]
pub(crate) struct Pinned(Mutex<Option<Arc<ReadTransaction>>>);

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

/// What of a transaction only one thread works with at a time.
struct Open {
    /// `None`: it has ended.
    writing: Option<Writing>,
    /// How often it was to return to a savepoint.
    returns: u64,
}

/// A transaction that writes, until it ends.
pub(crate) struct OpenTransaction {
    open: Mutex<Open>,
    /// The tables of the file that a query within it reads, or has read.
    scanned: Mutex<HashSet<String>>,
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenTransaction")
    }
}

impl OpenTransaction {
    pub(crate) fn new(transaction: WriteTransaction) -> Self {
        Self {
            open: Mutex::new(Open {
                writing: Some(Writing::new(transaction)),
                returns: 0,
            }),
            scanned: Mutex::default(),
        }
    }

    /// Whether a query within the transaction may be reading `rows`.
    pub(crate) fn is_scanned(&self, rows: &str) -> bool {
        self.scanned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(rows)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` with the transaction, alone.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Writing) -> StoreResult<T>) -> StoreResult<T> {
        work(self.open().writing.as_ref().ok_or_else(ended)?)
    }

    /// The same for work that changes something, and was asked for after so many `returns` to savepoints. When a statement
    /// is cancelled its work may still wait for a thread: it must not come after what undoes it.
    pub(crate) fn write<T>(
        &self,
        returns: u64,
        work: impl FnOnce(&Writing) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let open = self.open();
        if open.returns != returns {
            return Err(ended());
        }
        work(open.writing.as_ref().ok_or_else(ended)?)
    }

    /// Returns to a savepoint, for the time `returns`.
    pub(crate) fn rollback_to(&self, savepoint: usize, returns: u64) -> StoreResult<()> {
        let mut open = self.open();
        if open.returns >= returns {
            return Err(ended());
        }
        open.returns = returns;
        open.writing.as_ref().ok_or_else(ended)?.rollback_to(savepoint)
    }

    /// Takes the transaction out, to end it.
    pub(crate) fn take(&self) -> Option<Writing> {
        self.open().writing.take()
    }
}

pub(crate) fn ended() -> StoreError {
    StoreError::Told(ConnectorError::new(
        ErrorKind::Changed,
        "the transaction that was read has ended",
    ))
}

impl Moment {
    /// One moment, to be chosen at the first use.
    pub(crate) fn pinned() -> Self {
        Self::At(Arc::default())
    }

    /// This moment for several reads.
    pub(crate) fn held(&self) -> Self {
        match self {
            Self::Now => Self::pinned(),
            held => held.clone(),
        }
    }

    /// Notes that the table `rows` of the file is about to be read, before it is written next.
    pub(crate) fn note_scan(&self, rows: &str) {
        if let Self::Within(open) = self {
            let mut scanned = open.scanned.lock().unwrap_or_else(PoisonError::into_inner);
            scanned.insert(rows.to_owned());
        }
    }

    /// Does `work` on what the moment shows.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        catalog: &Catalog,
        work: impl FnOnce(&View<'_>) -> StoreResult<T> + Send + 'static,
    ) -> Result<T> {
        let moment = self.clone();
        catalog.run(move |store| moment.with(store, work)).await
    }

    fn with<T>(&self, store: &Store, work: impl FnOnce(&View<'_>) -> StoreResult<T>) -> StoreResult<T> {
        match self {
            Self::Now => work(&View::Read(&store.database()?.begin_read()?)),
            Self::At(pinned) => {
                let transaction = pinned.transaction(store)?;
                work(&View::Read(&transaction))
            }
            Self::Within(open) => open.with(|writing| work(&View::Write(writing.transaction()))),
        }
    }
}

impl Pinned {
    fn transaction(&self, store: &Store) -> StoreResult<Arc<ReadTransaction>> {
        let mut pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transaction) = pinned.as_ref() {
            return Ok(Arc::clone(transaction));
        }
        let transaction = Arc::new(store.database()?.begin_read()?);
        Ok(Arc::clone(pinned.insert(transaction)))
    }
}

/// What is there to be read at a moment.
pub(crate) enum View<'a> {
    Read(&'a ReadTransaction),
    Write(&'a WriteTransaction),
}

impl<'a> View<'a> {
    /// Opens a table of the file; `None` when there is none. Within a transaction an absent one is empty.
    pub(crate) fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> StoreResult<Option<OpenTable<'a, K, V>>> {
        match self {
            Self::Read(transaction) => match transaction.open_table(table) {
                Ok(table) => Ok(Some(OpenTable::Read(table))),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Write(transaction) => Ok(Some(OpenTable::Write(transaction.open_table(table)?))),
        }
    }
}

/// A table of the file, to be read.
pub(crate) enum OpenTable<'a, K: Key + 'static, V: Value + 'static> {
    Read(ReadOnlyTable<K, V>),
    Write(Table<'a, K, V>),
}

impl<K: Key + 'static, V: Value + 'static> OpenTable<'_, K, V> {
    pub(crate) fn get<'k>(&self, key: K::SelfType<'k>) -> StoreResult<Option<AccessGuard<'_, V>>> {
        Ok(match self {
            Self::Read(table) => ReadableTable::get(table, key)?,
            Self::Write(table) => table.get(key)?,
        })
    }

    /// The entries from `low` on and before `high`.
    pub(crate) fn range<'k>(
        &self,
        low: K::SelfType<'k>,
        high: Option<K::SelfType<'k>>,
    ) -> StoreResult<Range<'_, K, V>> {
        let bounds = (
            Bound::Included(low),
            high.map_or(Bound::Unbounded, Bound::Excluded),
        );
        Ok(match self {
            Self::Read(table) => ReadableTable::range(table, bounds)?,
            Self::Write(table) => table.range(bounds)?,
        })
    }

    pub(crate) fn len(&self) -> StoreResult<u64> {
        Ok(match self {
            Self::Read(table) => table.len()?,
            Self::Write(table) => table.len()?,
        })
    }
}
