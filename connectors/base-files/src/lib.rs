//! What every file source shares: folders of Parquet files as tables, over any object store.
//!
//! A source ([`FilesConnector`]) names a store; this crate finds the tables ([`layout`]), types the partition columns,
//! merges the schemas of the footers and reads with DataFusion's own Parquet scan ([`provider`]). Three things are
//! ours around that scan: every range is read from the listed version of the file or not at all ([`reader`]), bounds
//! that cannot be trusted are removed before anything prunes by them ([`footer`]), and an error names its file
//! ([`source`]).

mod adapter;
mod cache;
mod connector;
mod error;
mod files;
mod footer;
mod layout;
mod listing;
mod partitions;
mod provider;
mod pruning;
mod reader;
mod schema;
mod source;
mod statistics;
mod table;

pub use connector::FilesConnector;
