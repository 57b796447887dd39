//! The traits of a source that can be written: absent by default, like every capability.
//!
//! A statement that writes begins a [`WriteTransaction`], or continues its session's, and plans what it reads from the
//! transaction's own snapshot. Rows to insert, to update and to delete come as the stream of a query that the engine has
//! planned, so that their meaning is ours; the source stores them, checks keys, and makes all of it visible at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;

use crate::connector::{Connector, Table, TableName};
use crate::error::{ConnectorError, ErrorKind, Result};
use crate::scan::BatchStream;

/// The name of the column that tells the rows of a [`WriteTransaction::target`] apart.
pub const ROW_LOCATOR: &str = "?row?";

/// The metadata key of a text column's greatest length in characters, for `varchar(n)`. The server checks it.
pub const TEXT_LENGTH: &str = "causeway.text_length";

/// The limits and the identity of a statement that begins to write.
#[derive(Debug, Clone)]
pub struct WriteContext {
    /// The query's id: for the source's own logs.
    pub query_id: Arc<str>,
    /// The longest wait for the writer before it; `None`: until it has ended.
    pub lock_timeout: Option<Duration>,
}

/// A table to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    /// Its name; the schema is there, the table is not.
    pub name: TableName,
    /// The columns, in canonical types, with distinct names. Those that are not nullable are NOT NULL.
    pub columns: SchemaRef,
    /// Indexes into `columns` of the primary key, in its order; none of them is nullable. Empty: there is no key.
    pub primary_key: Vec<usize>,
}

/// A view: a query under a name. The source keeps it; the engine plans it in the view's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDefinition {
    /// The query. Every table in it is named in full, so that it means the same in every session.
    pub sql: String,
    /// The columns of its result.
    pub columns: SchemaRef,
    /// The tables and views that it reads.
    pub reads: Vec<TableName>,
}

/// A point in a transaction to return to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Savepoint(pub u64);

/// What a catalog that can be written offers besides reading.
#[async_trait]
pub trait Writer: Send + Sync {
    /// The catalog as it is now: what was committed, and nothing that is committed later. All reads of one statement go
    /// through one snapshot, which lives as long as the statement. Cheap, and made for statements that do not read it as
    /// well: what could fail or take long is done at its first use.
    fn snapshot(&self) -> Arc<dyn Connector>;

    /// Begins a transaction. There is one at a time: waits until the one before has ended.
    ///
    /// Errors: `LockTimeout` when that takes longer than `cx.lock_timeout`. Dropping the future stops the wait.
    async fn begin(&self, cx: &WriteContext) -> Result<Box<dyn WriteTransaction>>;

    /// What a user must know who creates a table here, as a NOTICE: a fragment, or `None`.
    fn notice(&self) -> Option<&str> {
        None
    }
}

/// One transaction on one catalog. Others see nothing of it before [`WriteTransaction::commit`], and then all of it.
///
/// Dropping it rolls back. When an operation has failed, or its future was dropped, what it has done so far is undefined:
/// only [`WriteTransaction::rollback_to`], [`WriteTransaction::rollback`] or a drop may follow, and undo it.
///
/// Names are in the source's spelling, and exist or are free as an operation wants it: the server has looked. The rows of
/// a write may come from queries over this transaction's own snapshot: they are those from before the write, so a source
/// that cannot keep them apart reads all rows before it changes the first.
#[async_trait]
pub trait WriteTransaction: Send + Sync + fmt::Debug {
    /// The catalog as this transaction sees it now, its own writes included. It stays as it is at least until the next
    /// write begins.
    fn snapshot(&self) -> Arc<dyn Connector>;

    /// The table whose rows are to be updated or deleted, as this transaction sees it now: its columns, and behind them
    /// [`ROW_LOCATOR`], a BinaryView that is never NULL and tells its rows apart. Errors: `UnknownTable`.
    async fn target(&self, table: &TableName) -> Result<Arc<dyn Table>>;

    /// Adds the rows of `rows`, batches of the table's schema, and returns how many. No NULL is in a NOT NULL column.
    ///
    /// Errors: `DuplicateKey` for a primary key that is there already, or twice in `rows`; `OutOfMemory`, `DiskFull`; the
    /// errors of `rows` as they are.
    async fn insert(&mut self, table: &TableName, rows: BatchStream) -> Result<u64>;

    /// Replaces rows and returns how many: each row of `rows` has the values of all columns and then the locator of the
    /// row that it replaces, as [`updated_schema`] says. No locator comes twice.
    ///
    /// Keys are checked when all rows are replaced, so that `key = key + 1` works. Errors: as for `insert`.
    async fn update(&mut self, table: &TableName, rows: BatchStream) -> Result<u64>;

    /// Deletes rows and returns how many: `rows` has one column of locators, none of which comes twice.
    async fn delete(&mut self, table: &TableName, rows: BatchStream) -> Result<u64>;

    /// Deletes all rows.
    async fn truncate(&mut self, table: &TableName) -> Result<()>;

    /// Creates an empty table. Errors: `NotSupported` when the source cannot keep such a table.
    async fn create_table(&mut self, table: &TableDefinition) -> Result<()>;

    /// Drops a table. No view reads it any more.
    async fn drop_table(&mut self, table: &TableName) -> Result<()>;

    /// Gives a table or a view another name in its schema.
    async fn rename_table(&mut self, table: &TableName, to: &str) -> Result<()>;

    /// Gives the column with the index `column` another name.
    async fn rename_column(&mut self, table: &TableName, column: usize, to: &str) -> Result<()>;

    /// Creates a schema.
    async fn create_schema(&mut self, schema: &str) -> Result<()> {
        let _ = schema;
        Err(not_supported("creating schemas"))
    }

    /// Drops a schema that is empty.
    async fn drop_schema(&mut self, schema: &str) -> Result<()> {
        let _ = schema;
        Err(not_supported("dropping schemas"))
    }

    /// Creates a view, or replaces the one of this name.
    async fn put_view(&mut self, name: &TableName, view: &ViewDefinition) -> Result<()> {
        let _ = (name, view);
        Err(not_supported("creating views"))
    }

    /// Drops a view.
    async fn drop_view(&mut self, name: &TableName) -> Result<()> {
        let _ = name;
        Err(not_supported("dropping views"))
    }

    /// Marks a point to which [`WriteTransaction::rollback_to`] can return, any number of times. Those that are older stay.
    async fn savepoint(&mut self) -> Result<Savepoint> {
        Err(not_supported("a savepoint after a write").hint("Set savepoints before the first write."))
    }

    /// Undoes everything since `savepoint`, and forgets the savepoints after it.
    async fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let _ = savepoint;
        Err(not_supported("a savepoint after a write"))
    }

    /// Makes everything visible at once; durable, where the source is. On an error nothing is.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Undoes everything. Returns when the next writer can begin.
    async fn rollback(self: Box<Self>) -> Result<()>;
}

fn not_supported(what: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::NotSupported,
        format!("{what} is not supported in this catalog"),
    )
}

/// The columns of the rows that update a table with these `columns`, which are those of its target too.
pub fn updated_schema(columns: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = columns.fields().iter().map(Arc::clone).collect();
    fields.push(Arc::new(Field::new(ROW_LOCATOR, DataType::BinaryView, false)));
    Arc::new(Schema::new(fields))
}
