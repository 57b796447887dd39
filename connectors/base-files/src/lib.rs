//! What every file source shares: folders of Parquet, CSV and JSON files as tables, over any object store.
//!
//! A source ([`FilesConnector`]) names a store; this crate finds the tables ([`layout`]) or takes them as declared
//! ([`options`]), types the partition columns and reads every range from the listed version of the file or not at all
//! ([`files`]).
//!
//! - Parquet: the schemas of the footers are merged, and DataFusion's own scan reads ([`provider`]) through our reader
//!   ([`reader`]). Bounds that cannot be trusted are removed before anything prunes by them ([`footer`]), and an error
//!   names its file ([`source`]).
//! - CSV and JSON: columns are inferred from a sample ([`sample`], [`infer`]); texts are read as their types, strictly
//!   ([`text`], [`typed`]), and an error names file, line and column.

mod adapter;
mod cache;
mod connector;
mod csv;
mod error;
mod files;
mod footer;
mod format;
mod infer;
mod json;
mod json_value;
mod late;
mod layout;
mod links;
mod listing;
mod maps;
mod opening;
mod options;
mod partitions;
mod provider;
mod pruning;
mod ranges;
mod read_ahead;
mod reader;
mod sample;
mod schema;
mod snapshots;
mod source;
mod splits;
mod statistics;
mod table;
mod text;
mod typed;

pub use connector::{CACHE_TTL_DEFAULT, FilesConnector, FilesSettings};
pub use options::{DeclaredTables, FileTableOptions, check_cache_ttl, wrong_options};
