//! What every key-value source shares: keys that are made of columns, access paths and the decoding of values.
//!
//! A source brings a driver ([`KvBackend`]: fetch these keys, walk the keys with this prefix); this crate makes it a
//! [`causeway_spi::Table`] with point reads, lookups and full scans ([`KvTable`]). On a query's path it stands between
//! the leaf operator and the driver. The laws of keys live in [`KeyTemplate`]: a key is a row only if rendering its
//! decoded columns gives the same bytes.

mod access;
mod column_builder;
mod columns;
mod decode;
mod definition;
mod format;
mod json;
mod json_path;
mod key;
mod key_filter;
mod key_order;
mod kv_table;
mod ordered_key;
mod printable;
mod read;
mod seen;
mod table_options;
mod template;
mod value_text;

pub use access::{AccessPath, POINTS_MAX};
pub use columns::{ColumnDefinition, ColumnType, Place};
pub use definition::TableDefinition;
pub use format::{ELEMENT, Field, HiddenColumn, InvalidValues, POSITION, SCORE, ValueFormat};
pub use json_path::JsonPath;
pub use key::{KeyTuple, KeyType, KeyValue};
pub use key_filter::{KeyColumns, KeyPredicate};
pub use key_order::KeyRange;
pub use kv_table::{ElementScan, FieldValues, KeyScan, KvBackend, KvSize, KvTable, OrderedBackend};
pub use ordered_key::OrderedKey;
pub use printable::printable;
pub use seen::Seen;
pub use table_options::{ColumnOptions, PlacedColumn, TableOptions};
pub use template::KeyTemplate;
