//! Parquet on any S3-compatible store as a catalog.
//!
//! The options and the client; tables, partitions and reading live in `causeway-base-files`.

mod grants;
mod options;

pub use options::S3Options;
