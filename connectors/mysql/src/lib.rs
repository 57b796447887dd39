//! MySQL and MariaDB as a catalog: each database is a schema, tables and views are streamed over the binary protocol.
//!
//! On a query's path: [`MySqlOptions`] opens the catalog without connecting; `catalog` reads the tables' columns,
//! indexes and sizes; base-sql judges filters and prints statements; `reader` runs them on a pooled, pinned session and
//! decodes rows straight into Arrow; `moment` finds the connections that read one large table at one moment;
//! `native` describes what users write in the server's own SQL.

mod bind;
mod catalog;
mod connector;
mod decode;
mod error;
mod estimate;
mod grants;
mod moment;
mod native;
mod options;
mod pool;
mod reader;
mod session;
mod stop;
mod tls;
mod types;

pub use options::{MySqlOptions, Splits};
pub use tls::Tls;
