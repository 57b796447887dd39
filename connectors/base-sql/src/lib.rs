//! What every SQL source shares: the law book, the remote statement as a tree, its printer and the table over both.
//!
//! A connector describes its columns ([`ColumnProfile`]) and runs printed statements ([`SqlBackend`]); verdicts,
//! statements and key lookups are made here. Nothing in this crate knows a driver.
//!
//! On a query's path: [`SqlTable`] answers `pushdown` with [`judge`], and `read` or `get` with a [`RemoteSelect`] that
//! is printed once and handed to the backend. Where the backend is a [`PartReader`], large scans are split by ranges of
//! the table's key. A [`NativeTable`] is a statement that its user wrote.

mod backend;
mod dynamic;
mod estimate;
mod key_statements;
mod law;
mod native;
mod print;
mod profile;
mod ranges;
mod reading;
mod remote;
mod sql_table;

pub use backend::{Estimator, Expected, SqlBackend, SqlRead, Statements};
pub use dynamic::{DynamicProfile, Fit, IndexCollation, ValueClass};
pub use law::{judge, key_condition};
pub use native::{NativeField, NativeTable, single_query};
pub use print::{Dialect, Statement, statement_tag};
pub use profile::{ColumnKind, ColumnProfile, TextEncoding, TextOrder, TextProfile};
pub use ranges::{OnePart, PartReader, SqlPart};
pub use reading::spawned;
pub use remote::{
    Arithmetic, ColumnForm, Comparison, RemoteColumn, RemoteExpr, RemoteScalar, RemoteSelect, RemoteSortKey,
    RemoteSource, RemoteValue, ValueForm,
};
pub use sql_table::{SqlTable, SqlTableParts};
