//! The MySQL connector against a real server, given by `TEST_MYSQL_URL` (`mysql://root@127.0.0.1:3306`) and, if it has
//! one, `TEST_MYSQL_PASSWORD`. Without it every test says that it is skipped.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests panic as tests do"
)]

mod fixture;
mod own_server;
mod parts;
mod proxy;

mod cancel;
mod conformance;
mod drops;
mod encryption;
mod failures;
mod filters;
mod indexes;
mod laws;
mod lookups;
mod moments;
mod network;
mod pool;
mod splits;
mod streaming;
mod types;
