//! Savepoints: what is done after one is noted, and undone in the reverse order by a return to it.
//!
//! The file's own savepoints must come before the first write of a transaction, so that they cannot serve. Everything
//! that a transaction changes goes through [`Writing`], and nothing is noted before the first savepoint.

use std::cell::RefCell;

use causeway_spi::{ConnectorError, ErrorKind};
use redb::{ReadableTable, Table, WriteTransaction};

use crate::error::{StoreError, StoreResult};
use crate::format::{RELATIONS, Rows, SCHEMAS};

/// Most bytes of notes.
const NOTED_BYTES_MAX: usize = 256 << 20;
/// Assumed bytes of a note beside its keys and values.
const NOTE_BYTES: usize = 64;

/// Something that was done.
#[derive(Debug)]
enum Done {
    /// The value of a key was put, replaced or removed.
    Entry {
        table: String,
        key: Vec<u8>,
        before: Option<Vec<u8>>,
    },
    /// The definition of a table or view was put, replaced or removed.
    Relation {
        schema: String,
        name: String,
        before: Option<String>,
    },
    /// A schema was added or removed.
    Schema { name: String, before: Option<()> },
    /// A table of the file was made.
    Made(String),
    /// A table of the file is not used any more, and goes with the commit.
    Left(String),
}

impl Done {
    fn bytes(&self) -> usize {
        let parts = match self {
            Self::Entry { table, key, before } => {
                table.len() + key.len() + before.as_ref().map_or(0, Vec::len)
            }
            Self::Relation { schema, name, before } => {
                schema.len() + name.len() + before.as_ref().map_or(0, String::len)
            }
            Self::Schema { name, .. } | Self::Made(name) | Self::Left(name) => name.len(),
        };
        NOTE_BYTES + parts
    }
}

/// What was done since the first savepoint.
#[derive(Debug, Default)]
struct Notes {
    done: Vec<Done>,
    bytes: usize,
    /// For each savepoint, how much had been done.
    savepoints: Vec<usize>,
}

/// A transaction of the file that is being written.
pub(crate) struct Writing {
    transaction: WriteTransaction,
    notes: RefCell<Notes>,
    noted_bytes_max: usize,
}

impl Writing {
    pub(crate) fn new(transaction: WriteTransaction) -> Self {
        Self {
            transaction,
            notes: RefCell::default(),
            noted_bytes_max: NOTED_BYTES_MAX,
        }
    }

    /// The transaction, to be read, or for what is never undone alone.
    pub(crate) fn transaction(&self) -> &WriteTransaction {
        &self.transaction
    }

    /// Marks a point to return to.
    pub(crate) fn savepoint(&self) -> usize {
        let notes = &mut *self.notes.borrow_mut();
        notes.savepoints.push(notes.done.len());
        notes.savepoints.len()
    }

    /// Undoes what was done since a savepoint, and forgets those after it.
    pub(crate) fn rollback_to(&self, savepoint: usize) -> StoreResult<()> {
        let notes = &mut *self.notes.borrow_mut();
        let index = savepoint.checked_sub(1);
        let kept = index.and_then(|index| notes.savepoints.get(index)).copied();
        let kept = kept.ok_or_else(|| {
            StoreError::Told(ConnectorError::new(ErrorKind::Internal, "a savepoint is gone"))
        })?;
        while let Some(last) = notes.done.last().filter(|_| notes.done.len() > kept) {
            self.undo(last)?;
            notes.bytes -= last.bytes();
            notes.done.pop();
        }
        notes.savepoints.truncate(savepoint);
        Ok(())
    }

    fn undo(&self, done: &Done) -> StoreResult<()> {
        let write = &self.transaction;
        match done {
            Done::Entry { table, key, before } => {
                let mut entries = write.open_table(Rows::new(table))?;
                match before {
                    Some(value) => entries.insert(key.as_slice(), value.as_slice())?,
                    None => entries.remove(key.as_slice())?,
                };
            }
            Done::Relation { schema, name, before } => {
                let mut relations = write.open_table(RELATIONS)?;
                let key = (schema.as_str(), name.as_str());
                match before {
                    Some(definition) => relations.insert(key, definition.as_str())?,
                    None => relations.remove(key)?,
                };
            }
            Done::Schema { name, before } => {
                let mut schemas = write.open_table(SCHEMAS)?;
                match before {
                    Some(()) => schemas.insert(name.as_str(), ())?,
                    None => schemas.remove(name.as_str())?,
                };
            }
            Done::Made(table) => {
                write.delete_table(Rows::new(table))?;
            }
            // It has not gone yet.
            Done::Left(_) => {}
        }
        Ok(())
    }

    /// Whether there is a savepoint to return to.
    pub(crate) fn is_noting(&self) -> bool {
        !self.notes.borrow().savepoints.is_empty()
    }

    /// Notes what was done, if there is a savepoint. Errors: `OutOfMemory`, when that is noted too.
    fn note(&self, done: impl FnOnce() -> Done) -> StoreResult<()> {
        if !self.is_noting() {
            return Ok(());
        }
        let notes = &mut *self.notes.borrow_mut();
        let done = done();
        notes.bytes += done.bytes();
        notes.done.push(done);
        if notes.bytes <= self.noted_bytes_max {
            return Ok(());
        }
        let message = "the transaction has changed too much since its savepoints";
        Err(StoreError::Told(
            ConnectorError::new(ErrorKind::OutOfMemory, message)
                .detail(format!(
                    "What can be undone alone is held in memory, at most {} MiB.",
                    self.noted_bytes_max >> 20
                ))
                .hint("Change less after a savepoint, or use none."),
        ))
    }

    /// The keys and values of `table`, which is made if there is none.
    pub(crate) fn entries(&self, table: &str) -> StoreResult<Entries<'_>> {
        Ok(Entries {
            writing: self,
            name: table.to_owned(),
            table: self.transaction.open_table(Rows::new(table))?,
        })
    }

    /// Makes a table of keys and values.
    pub(crate) fn make(&self, table: &str) -> StoreResult<()> {
        self.transaction.open_table(Rows::new(table))?;
        self.note(|| Done::Made(table.to_owned()))
    }

    /// Gives up a table of keys and values: at once, or with the commit where a savepoint may want it again.
    pub(crate) fn leave(&self, table: &str) -> StoreResult<()> {
        if self.is_noting() {
            return self.note(|| Done::Left(table.to_owned()));
        }
        self.transaction.delete_table(Rows::new(table))?;
        Ok(())
    }

    /// Notes that the definition of `schema`.`name` was another.
    pub(crate) fn note_relation(&self, schema: &str, name: &str, before: Option<String>) -> StoreResult<()> {
        self.note(|| Done::Relation {
            schema: schema.to_owned(),
            name: name.to_owned(),
            before,
        })
    }

    /// Notes that `schema` was there, or not.
    pub(crate) fn note_schema(&self, schema: &str, before: Option<()>) -> StoreResult<()> {
        self.note(|| Done::Schema {
            name: schema.to_owned(),
            before,
        })
    }

    /// Puts everything on the disk.
    pub(crate) fn commit(self) -> StoreResult<()> {
        for done in &self.notes.borrow().done {
            if let Done::Left(table) = done {
                self.transaction.delete_table(Rows::new(table))?;
            }
        }
        Ok(self.transaction.commit()?)
    }

    pub(crate) fn abort(self) -> StoreResult<()> {
        Ok(self.transaction.abort()?)
    }
}

/// A table of keys and values, to be written.
pub(crate) struct Entries<'a> {
    writing: &'a Writing,
    name: String,
    table: Table<'a, &'static [u8], &'static [u8]>,
}

impl Entries<'_> {
    /// The greatest key.
    pub(crate) fn last_key(&self) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.table.last()?.map(|(key, _)| key.value().to_vec()))
    }

    /// Puts a value; whether there was another.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> StoreResult<bool> {
        let before = self.table.insert(key, value)?;
        let replaces = before.is_some();
        self.writing.note(|| Done::Entry {
            table: self.name.clone(),
            key: key.to_vec(),
            before: before.map(|value| value.value().to_vec()),
        })?;
        Ok(replaces)
    }

    /// Removes a value; whether there was one.
    pub(crate) fn remove(&mut self, key: &[u8]) -> StoreResult<bool> {
        let before = self.table.remove(key)?;
        let removes = before.is_some();
        self.writing.note(|| Done::Entry {
            table: self.name.clone(),
            key: key.to_vec(),
            before: before.map(|value| value.value().to_vec()),
        })?;
        Ok(removes)
    }
}

#[cfg(test)]
mod tests {
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn is_full(error: &StoreError) -> bool {
        matches!(error, StoreError::Told(error) if error.kind() == ErrorKind::OutOfMemory)
    }

    #[test]
    fn more_than_can_be_noted_is_refused_and_undone() {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .unwrap();
        let mut writing = Writing::new(database.begin_write().unwrap());
        writing.noted_bytes_max = 10 << 10;
        let long = vec![b'x'; 3 << 10];
        let insert = |key: &str| writing.entries("t").unwrap().insert(key.as_bytes(), &long);
        // Before a savepoint nothing is noted.
        for key in 0..9 {
            assert!(!insert(&key.to_string()).unwrap());
        }
        let savepoint = writing.savepoint();
        for key in 0..3 {
            assert!(insert(&key.to_string()).unwrap());
        }
        assert!(is_full(&insert("3").unwrap_err()));
        writing.entries("t").unwrap().remove(b"8").unwrap_err();
        writing.rollback_to(savepoint).unwrap();
        assert_eq!(writing.entries("t").unwrap().last_key().unwrap().unwrap(), b"8");
        // There is room for notes again.
        assert!(insert("0").unwrap());
        assert!(writing.entries("t").unwrap().remove(b"8").unwrap());
        writing.rollback_to(savepoint).unwrap();
        writing.commit().unwrap();
    }
}
