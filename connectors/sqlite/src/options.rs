//! The options of a SQLite catalog and their validation. Nothing here touches the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{Connector, ConnectorError, ConnectorOptions, ErrorKind, Result, deserialize_duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connector::SqliteConnector;
use crate::sessions::Sessions;
use crate::types::Reading;

const CONNECTIONS_MAX: usize = 64;
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// A SQLite file as a catalog; its tables and views are those of schema `main`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteOptions {
    /// The file. It is opened when it is first used, read-only, and never made.
    pub path: PathBuf,
    /// What a value is that does not fit its column's type: `"error"`, which names table, column and row, or `"null"`.
    #[serde(default)]
    pub invalid: InvalidValues,
    /// What numbers in columns of days and times mean: `"refuse"` (they do not fit), `"unix-seconds"`,
    /// `"unix-milliseconds"` or `"julian-days"`.
    #[serde(default)]
    pub date_numbers: DateNumbers,
    /// Types of columns that are declared without one, or otherwise than they are used: `"table.column" = "bigint"`.
    /// Default: none.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// Most reads at the same time, 1 to 64.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Longest wait for one of `connections` to become free, up to 1h; then SQLSTATE 53300.
    #[serde(
        default = "default_connection_wait",
        deserialize_with = "deserialize_duration"
    )]
    pub connection_wait: Duration,
    /// Longest wait for another program's lock on the file, up to 1h.
    #[serde(default = "default_busy_timeout", deserialize_with = "deserialize_duration")]
    pub busy_timeout: Duration,
}

/// What a value is that does not fit its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvalidValues {
    /// An error that names table, column and row.
    #[default]
    Error,
    /// NULL.
    Null,
}

/// What numbers in columns of days and times mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DateNumbers {
    /// Nothing: they do not fit.
    #[default]
    Refuse,
    /// Seconds since 1970, with fractions.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMilliseconds,
    /// Days of the Julian calendar, with fractions.
    JulianDays,
}

fn default_connections() -> usize {
    4
}

fn default_connection_wait() -> Duration {
    Duration::from_secs(30)
}

fn default_busy_timeout() -> Duration {
    Duration::from_secs(5)
}

impl SqliteOptions {
    /// The options of the file `path`, all others as by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            invalid: InvalidValues::default(),
            date_numbers: DateNumbers::default(),
            types: BTreeMap::new(),
            connections: default_connections(),
            connection_wait: default_connection_wait(),
            busy_timeout: default_busy_timeout(),
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push("option path names no file".to_owned());
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            problems.push(format!(
                "option connections must be between 1 and {CONNECTIONS_MAX}"
            ));
        }
        if self.connection_wait.is_zero() || self.connection_wait > TIMEOUT_MAX {
            problems.push("option connection_wait must be between 1ms and 1h".to_owned());
        }
        if self.busy_timeout > TIMEOUT_MAX {
            problems.push("option busy_timeout must be at most 1h".to_owned());
        }
        for (column, declared) in &self.types {
            if !column.contains('.') {
                problems.push(format!("option types.\"{column}\" must be \"table.column\""));
            }
            if Reading::of(declared) == Reading::Anything {
                problems.push(format!(
                    "option types.\"{column}\": type \"{declared}\" is unknown; such as \"bigint\", \"numeric(12,2)\", \
                     \"double precision\", \"boolean\", \"text\", \"blob\", \"date\" or \"timestamp\""
                ));
            }
        }
        problems
    }
}

impl ConnectorOptions for SqliteOptions {
    const KIND: &'static str = "sqlite";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(ConnectorError::new(
                ErrorKind::Configuration,
                format!("cannot open catalog {catalog}: {}", problems.join("; ")),
            ));
        }
        let sessions = Sessions::new(catalog, &self);
        Ok(Arc::new(SqliteConnector::new(catalog, sessions, self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named() {
        let mut options = SqliteOptions::new("");
        options.connections = 0;
        options.types = BTreeMap::from([("c".to_owned(), "strange".to_owned())]);
        let error = options.open("shop").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        for part in [
            "catalog shop",
            "path names no file",
            "connections",
            "\"table.column\"",
            "type \"strange\"",
        ] {
            assert!(error.message().contains(part), "{}", error.message());
        }
    }

    #[test]
    fn a_missing_file_is_no_problem_yet() {
        SqliteOptions::new("/nowhere/at/all.db").open("shop").unwrap();
    }
}
