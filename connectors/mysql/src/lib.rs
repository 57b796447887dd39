//! MySQL and MariaDB as a catalog: each database is a schema, tables and views are streamed over the binary protocol.
//!
//! On a query's path: [`MySqlOptions`] opens the catalog without connecting; `catalog` reads the tables' columns,
//! indexes and sizes; base-sql judges filters and prints statements; `reader` runs them on a pooled, pinned session and
//! decodes rows straight into Arrow.

mod bind;
mod catalog;
mod connector;
mod decode;
mod error;
mod grants;
mod options;
mod pool;
mod reader;
mod session;
mod stop;
mod tls;
mod types;

pub use options::MySqlOptions;
pub use tls::Tls;
