//! SQLite files as catalogs: tables and views of `main` are read as streams, never written.
//!
//! On a query's path: [`SqliteOptions`] opens the catalog without touching the file; `catalog` reads columns, indexes and
//! sizes; base-sql judges filters and prints statements; `reader` runs them on a blocking thread, in one read transaction
//! each, and decodes rows straight into Arrow; `native` describes what users write in SQLite's own SQL.

mod bind;
mod catalog;
mod connector;
mod decode;
mod error;
mod grants;
mod moment;
mod native;
mod options;
mod reader;
mod sessions;
mod types;

pub use options::{DateNumbers, InvalidValues, SqliteOptions};
