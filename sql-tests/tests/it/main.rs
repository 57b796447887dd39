//! SQL over the wire against real sources, one module per subject.

mod changes;
mod errors;
mod federation;
mod fixtures;
mod mysql;
mod names;
mod s3_server;
mod slt;
mod streaming;
mod tpch;
