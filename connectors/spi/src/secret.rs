//! A configured credential that never shows itself.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// A credential from `{ env = "NAME" }` or `{ file = "/path" }`, read when the configuration is read.
///
/// `Debug` prints `[redacted]`; only [`Secret::expose`] gives the text. A trailing line end of a file is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum SecretSource {
    Env(String),
    File(String),
}

impl Secret {
    /// Wraps a text that is already at hand, for tests and for values the server made itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The credential itself, for the one call that hands it to a driver.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What stands there instead may be the credential itself: it is not repeated.
        let source = SecretSource::deserialize(deserializer).map_err(|_| {
            de::Error::custom(
                "a credential is { env = \"NAME\" } or { file = \"/path\" }, not the text itself",
            )
        })?;
        match source {
            SecretSource::Env(name) => std::env::var(&name)
                .map(Secret)
                .map_err(|_| de::Error::custom(format!("environment variable {name} is not set"))),
            SecretSource::File(path) => std::fs::read_to_string(&path)
                .map(|text| Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|error| de::Error::custom(format!("could not read secret file {path}: {error}"))),
        }
    }
}
