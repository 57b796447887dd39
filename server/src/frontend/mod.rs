//! The doors: each front end turns messages into calls of `query` and batches into messages, and decides nothing else.

pub mod pg;
