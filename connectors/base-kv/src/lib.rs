//! What every key-value source shares: keys that are made of columns, access paths and the decoding of values.
//!
//! A source brings a driver ([`KvBackend`]: fetch these keys, walk the keys with this prefix); this crate makes it a
//! [`causeway_spi::Table`] with point reads, lookups and full scans ([`KvTable`]). On a query's path it stands between
//! the leaf operator and the driver. The laws of keys live in [`KeyTemplate`]: a key is a row only if rendering its
//! decoded columns gives the same bytes.

mod access;
mod columns;
mod decode;
mod definition;
mod key;
mod key_filter;
mod kv_table;
mod printable;
mod read;
mod template;
mod value_text;

pub use access::POINTS_MAX;
pub use columns::{ColumnDefinition, ColumnType};
pub use definition::TableDefinition;
pub use key::{KeyTuple, KeyType, KeyValue};
pub use kv_table::{FieldValues, KeyScan, KvBackend, KvTable};
pub use printable::printable;
pub use template::KeyTemplate;
