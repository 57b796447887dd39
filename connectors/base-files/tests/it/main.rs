//! Folders of Parquet files queried with SQL, through DataFusion and the native provider of each table.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers panic")]

mod ahead;
mod broken;
mod changes;
mod deadlines;
mod declared;
mod fixture;
mod kept;
mod laws;
mod layout;
mod many;
mod partitions;
mod pruning;
mod reading;
mod store;
mod text;
