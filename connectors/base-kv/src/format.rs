//! How the values of a table are stored, and what is asked of them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::ColumnType;

/// How the value of a key is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueFormat {
    /// Fields by name, each a column.
    #[default]
    Hash,
    /// One JSON document; columns are places in it.
    Json,
    /// One text or number; one column.
    String,
    /// A set: a row for each element.
    Set,
    /// A sorted set: a row for each element, with its score.
    Zset,
    /// A list: a row for each element, with its position.
    List,
}

/// The field that holds an element of a set, a sorted set or a list.
pub const ELEMENT: &str = "element";
/// The field that holds the score of an element of a sorted set.
pub const SCORE: &str = "score";
/// The field that holds the position in its list of an element, from 0.
pub const POSITION: &str = "position";

impl ValueFormat {
    /// Whether each element of the value is a row of its own.
    pub fn is_collection(self) -> bool {
        matches!(self, Self::Set | Self::Zset | Self::List)
    }

    /// The fields of a collection's rows.
    pub(crate) fn element_fields(self) -> &'static [&'static str] {
        match self {
            Self::Set => &[ELEMENT],
            Self::Zset => &[ELEMENT, SCORE],
            Self::List => &[ELEMENT, POSITION],
            Self::Hash | Self::Json | Self::String => &[],
        }
    }
}

impl fmt::Display for ValueFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash => "hash",
            Self::Json => "json",
            Self::String => "string",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::List => "list",
        })
    }
}

/// What is read of a row, besides its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The field of a hash, or of an element: [`ELEMENT`], [`SCORE`], [`POSITION`].
    Named(String),
    /// The whole value.
    Value,
    /// How long the key still lives: whole seconds as digits, absent when it does not expire.
    Ttl,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Value => f.write_str("value"),
            Self::Ttl => f.write_str("ttl"),
        }
    }
}

/// A column that a table has beside those of its own, at the end, when it asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum HiddenColumn {
    /// The key as it is stored.
    #[serde(rename = "_key")]
    Key,
    /// The whole value as it is stored; of JSON and string values only.
    #[serde(rename = "_value")]
    Value,
    /// How long the key still lives, in seconds; NULL when it does not expire.
    #[serde(rename = "_ttl")]
    Ttl,
}

impl HiddenColumn {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "_key",
            Self::Value => "_value",
            Self::Ttl => "_ttl",
        }
    }

    pub(crate) fn column_type(self) -> ColumnType {
        match self {
            // A key that is a row is UTF-8.
            Self::Key => ColumnType::Text,
            Self::Value => ColumnType::Bytea,
            Self::Ttl => ColumnType::BigInt,
        }
    }
}

/// What becomes of a value that is not of its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvalidValues {
    /// An error that names table, key and column.
    #[default]
    Error,
    /// NULL.
    Null,
}
