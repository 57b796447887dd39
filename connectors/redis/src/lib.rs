//! Redis as a catalog: hashes whose keys follow a template are the rows of a table.
//!
//! The access paths, key laws and decoding are `causeway-base-kv`'s; here are the options, the connections and the
//! commands: pipelined `HMGET` of the projected fields for points and lookups, `SCAN` for everything else.

mod backend;
mod connections;
mod connector;
mod error;
mod options;

pub use options::{RedisOptions, RedisTableOptions};
