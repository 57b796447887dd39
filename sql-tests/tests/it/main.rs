//! SQL over the wire against real sources, one module per subject.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends with a panic; clippy sees only the functions marked as tests"
)]

mod catalogs;
mod changes;
mod demo;
mod docker;
mod embedded;
mod errors;
mod every_source;
mod explain;
mod extended;
mod federation;
mod files;
mod fixtures;
mod jdbc;
mod login;
mod memory;
mod mysql;
mod mysql_source;
mod names;
mod operations;
mod oracle;
mod protocol;
mod receipts;
mod redis_values;
mod remote;
mod s3_server;
mod slt;
mod spellings;
mod sqlite;
mod streaming;
mod tpch;
mod writable;
mod writes;
