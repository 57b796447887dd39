//! What the SQL tests stand on: the services, the data in them, the server under test and clients for it.
//!
//! The tests in `tests/it` start the real binary on a free port and speak to it over the wire, as a user would.

pub mod client;
pub mod config;
pub mod loaders;
pub mod raw_client;
pub mod s3_server;
mod s3_store;
pub mod server;
pub mod services;
pub mod tpch;
