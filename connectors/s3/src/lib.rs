//! Parquet on any S3-compatible store as a catalog.
//!
//! - [`options`]: what a catalog is configured with
//! - `client`, `store`: the client of the store, made when it is first used; `redirects`: what S3 says about regions
//! - `credentials`, `chain_client`: whose keys sign the requests
//!
//! Tables, partitions and reading live in `causeway-base-files`.

mod chain_client;
mod client;
mod credentials;
mod grants;
mod options;
mod redirects;
mod store;

pub use options::S3Options;
