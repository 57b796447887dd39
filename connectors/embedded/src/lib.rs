//! Tables in one file of the server's machine: a store of keys in order, without a server of its own.
//!
//! Tables are made by SQL (`layout`: a key of the primary key's columns, a value of the others) or described by a key
//! template. Access paths and the order of keys are `causeway-base-kv`'s; here are the file, the bytes of a row, and
//! transactions that are on the disk when they have committed.

mod backend;
mod connector;
mod definition;
mod described;
mod error;
mod format;
mod grants;
mod layout;
mod moment;
mod options;
mod row;
mod scan;
mod store;
mod table;
mod transaction;
mod undo;
mod write;

pub use options::EmbeddedOptions;
