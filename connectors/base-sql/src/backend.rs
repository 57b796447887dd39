//! What a driver does: it runs printed statements, and may tell what it expects of one.

use std::fmt;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{BatchStream, ReadContext, Result, TableName};

use crate::print::{Dialect, Statement};
use crate::profile::ColumnProfile;
use crate::ranges::{PartReader, SqlPart};

/// The statements of one read, printed as they are needed.
pub type Statements = Box<dyn Iterator<Item = Result<Statement>> + Send + Sync>;

/// What a backend is asked to run.
pub struct SqlRead {
    /// The table, for errors.
    pub table: TableName,
    /// The statements, to run one after another on one connection. Equal texts follow each other.
    pub statements: Statements,
    /// The schema of the batches to return; empty when only the number of rows counts.
    pub schema: SchemaRef,
    /// The profiles of the schema's columns, in its order.
    pub columns: Vec<ColumnProfile>,
    /// Whether each row has one value more behind these: its id, for errors about its other values.
    pub row_ids: bool,
    /// Which range of the scan this is, if it is one of several; `statements` then is the one for this range.
    pub part: Option<SqlPart>,
    /// Whether the statement is a user's own ([`crate::NativeTable`]): the session it runs in serves nothing else.
    pub native: bool,
}

/// A source that runs printed statements.
pub trait SqlBackend: Send + Sync + fmt::Debug + 'static {
    /// How statements are printed for it.
    fn dialect(&self) -> Dialect;

    /// Runs the statements of `read` when the stream is first polled, and stops at the source when it is dropped.
    fn run(&self, read: SqlRead, cx: &ReadContext) -> BatchStream;

    /// The backend as one that reads scans in parts, if it can.
    fn parts(&self) -> Option<&dyn PartReader> {
        None
    }

    /// The backend as one that tells what it expects of a statement, if it can.
    fn estimator(&self) -> Option<&dyn Estimator> {
        None
    }
}

/// A source whose planner tells how many rows it expects.
#[async_trait]
pub trait Estimator: Send + Sync {
    /// What the source expects of `statement`, which reads `table` alone; `None` where it would look at every row.
    async fn expected(&self, statement: &Statement, table: &TableName) -> Option<Expected>;
}

/// What a source expects of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Rows that an index finds.
    pub rows: u64,
    /// The index's columns that it finds them by, as the source spells them.
    pub columns: Vec<String>,
}
