//! THE REGISTRY: the one list of connectors, one line each.

use std::sync::Arc;

use causeway_spi::{Connector, ConnectorOptions};
use schemars::{Schema, schema_for};

use crate::config::words;

/// Opens a catalog from its options.
type Open = fn(&str, toml::Table) -> Result<Arc<dyn Connector>, String>;

/// One kind of connector.
struct Kind {
    name: &'static str,
    open: Open,
    schema: fn() -> Schema,
}

const CONNECTORS: &[Kind] = &[
    entry::<causeway_embedded::EmbeddedOptions>(),
    entry::<causeway_local::LocalOptions>(),
    entry::<causeway_memory::MemoryOptions>(),
    entry::<causeway_mysql::MySqlOptions>(),
    entry::<causeway_redis::RedisOptions>(),
    entry::<causeway_s3::S3Options>(),
    entry::<causeway_sqlite::SqliteOptions>(),
];

const fn entry<O: ConnectorOptions>() -> Kind {
    Kind {
        name: O::KIND,
        open: open_with::<O>,
        schema: || schema_for!(O),
    }
}

fn open_with<O: ConnectorOptions>(catalog: &str, options: toml::Table) -> Result<Arc<dyn Connector>, String> {
    let options: O = options.try_into().map_err(|error: toml::de::Error| {
        let (key, message) = words(&error);
        match key.as_str() {
            "" => format!("catalogs.{catalog}: {message}"),
            key => format!("catalogs.{catalog}.{key}: {message}"),
        }
    })?;
    options.open(catalog).map_err(|error| {
        let hint = error
            .hint_text()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        format!("catalogs.{catalog}: {}{hint}", error.message())
    })
}

/// The names a catalog's `connector` may have.
pub(crate) fn kinds() -> Vec<&'static str> {
    CONNECTORS.iter().map(|kind| kind.name).collect()
}

/// Each kind's name with the schema of its options.
pub(crate) fn schemas() -> Vec<(&'static str, Schema)> {
    CONNECTORS
        .iter()
        .map(|kind| (kind.name, (kind.schema)()))
        .collect()
}

/// Opens `catalog` as `kind`; the error is one line that begins with the option's path.
pub(crate) fn open(kind: &str, catalog: &str, options: toml::Table) -> Result<Arc<dyn Connector>, String> {
    match CONNECTORS.iter().find(|known| known.name == kind) {
        Some(known) => (known.open)(catalog, options),
        None => Err(format!(
            "catalogs.{catalog}.connector: \"{kind}\" is unknown; one of {}",
            kinds().join(", ")
        )),
    }
}
