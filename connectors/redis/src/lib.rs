//! Redis as a catalog: what is stored under keys that follow a template are the rows of a table.
//!
//! The access paths, key laws and decoding are `causeway-base-kv`'s; here are the options, the connections and the
//! commands: pipelined `HMGET` of the projected fields or `MGET` for points and lookups, whole sets, sorted sets and lists
//! or pages of them, `SCAN` for everything else.

mod backend;
mod collection;
mod connections;
mod connector;
mod error;
mod fetch;
mod grants;
mod options;
mod replies;
mod tls;
mod walk;

pub use options::RedisOptions;
pub use tls::Tls;
