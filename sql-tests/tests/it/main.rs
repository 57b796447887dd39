//! SQL over the wire against real sources, one module per subject.

mod s3_server;
mod tpch;
