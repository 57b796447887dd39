//! Folders of Parquet files queried with SQL, through DataFusion and the native provider of each table.

mod broken;
mod fixture;
mod layout;
mod partitions;
mod pruning;
mod reading;
