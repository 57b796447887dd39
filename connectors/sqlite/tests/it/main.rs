//! The SQLite connector against files that each test makes for itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests panic as tests do"
)]

mod fixture;

mod conformance;
mod failures;
mod filters;
mod laws;
mod lookups;
mod streaming;
mod types;
