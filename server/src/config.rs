//! `causeway.toml`: read, checked as a whole, and turned into catalogs. See README for the shape.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{Connector, deserialize_duration};
use serde::Deserialize;

use crate::connectors;
use crate::frontend::pg::Door;
use crate::security::{Authentication, Tls, TlsConfig, UserConfig, Users};

/// The names that no catalog may have: they are, or will be, catalogs and schemas of the server itself.
const RESERVED_CATALOGS: [&str; 4] = ["causeway", "system", "pg_catalog", "information_schema"];

/// Shortest wait for a source: less would refuse sources that are well.
const SOURCE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The `[server]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of the Postgres endpoint. Anywhere but on loopback it needs `tls`. Default `127.0.0.1:5433`.
    pub listen: SocketAddr,
    /// How clients log in: `"scram-sha-256"` against `[users]`, or `"trust"`, on loopback only. Default `"scram-sha-256"`.
    pub authentication: Authentication,
    /// Certificate and key of the endpoint. Default: no TLS.
    pub tls: Option<TlsConfig>,
    /// Lets clients connect without TLS from other machines, as behind a proxy that encrypts. Default `false`.
    pub plaintext_allowed: bool,
    /// Most client connections at once; the next one is refused with 53300. Default 1000, at least 1.
    pub connections_max: usize,
    /// The longest wait for one answer of a source. Default `"60s"`, at least `"100ms"`.
    #[serde(deserialize_with = "deserialize_duration")]
    pub source_timeout: Duration,
    /// How long columns and statistics of a table are remembered. Default `"30s"`; `"0s"` asks each time.
    #[serde(deserialize_with = "deserialize_duration")]
    pub metadata_ttl: Duration,
    /// Memory for queries, in MiB; a query that needs more is refused with 53200. Default 4096, at least 64.
    pub memory_limit_mib: usize,
    /// Folder for sorts and aggregates that do not fit the memory. Default: the system's temporary folder.
    pub spill_path: Option<PathBuf>,
    /// Partitions of a query's plan. Default: the number of cores.
    pub target_partitions: Option<usize>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5433)),
            authentication: Authentication::default(),
            tls: None,
            plaintext_allowed: false,
            connections_max: 1000,
            source_timeout: Duration::from_secs(60),
            metadata_ttl: Duration::from_secs(30),
            memory_limit_mib: 4096,
            spill_path: None,
            target_partitions: None,
        }
    }
}

impl ServerConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let loopback = self.listen.ip().is_loopback();
        if self.authentication == Authentication::Trust && !loopback {
            problems.push(format!(
                "server.authentication: \"trust\" believes every client, and {} is not a loopback address; \
                 add [users] and drop it",
                self.listen
            ));
        }
        if self.tls.is_none() && !loopback && !self.plaintext_allowed {
            problems.push(format!(
                "server.tls: is missing, and {} is not a loopback address; set cert_file and key_file, or \
                 server.plaintext_allowed = true",
                self.listen
            ));
        }
        let bounds = [
            ("server.connections_max", self.connections_max, 1),
            ("server.memory_limit_mib", self.memory_limit_mib, 64),
            ("server.target_partitions", self.target_partitions.unwrap_or(1), 1),
        ];
        if self.source_timeout < SOURCE_TIMEOUT_MIN {
            problems.push("server.source_timeout: must be at least 100ms".to_owned());
        }
        for (key, value, least) in bounds {
            if value < least {
                problems.push(format!("{key}: must be at least {least}"));
            }
        }
        problems
    }
}

/// A whole configuration: the server's options and the catalogs, opened but not connected.
#[derive(Debug)]
pub struct Config {
    /// The `[server]` section.
    pub server: ServerConfig,
    /// The catalogs by name.
    pub catalogs: BTreeMap<String, Arc<dyn Connector>>,
    /// Users and TLS.
    pub door: Door,
}

/// Every problem of a configuration, each with its key's path.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", problems.join("\n  "))]
pub struct ConfigError {
    problems: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    server: ServerConfig,
    #[serde(default)]
    users: BTreeMap<String, UserConfig>,
    #[serde(default)]
    catalogs: BTreeMap<String, toml::Table>,
}

impl ConfigFile {
    /// Reads what stands at the door, and notes every problem with it.
    fn door(&self, problems: &mut Vec<String>) -> Door {
        let mut note = |problem| problems.push(problem);
        let loopback = self.server.listen.ip().is_loopback();
        let tls = self
            .server
            .tls
            .as_ref()
            .and_then(|tls| Tls::read(tls, loopback).map_err(&mut note).ok());
        let users = Users::new(&self.users)
            .map_err(|wrong| wrong.into_iter().for_each(&mut note))
            .ok();
        let users = match self.server.authentication {
            Authentication::Trust => None,
            Authentication::ScramSha256 => {
                if users.as_ref().is_some_and(Users::is_empty) {
                    note("users: there are none, so nobody could log in; add [users.NAME] with what causeway \
                          hash-password prints, or set server.authentication = \"trust\" for a server on loopback"
                        .to_owned());
                }
                users
            }
        };
        Door { users, tls }
    }
}

impl Config {
    /// Reads and checks a file. Reports every problem at once; does not connect to any source.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            problems: vec![format!("could not read {}: {error}", path.display())],
        })?;
        Self::parse(&text)
    }

    /// Checks the text of a configuration.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: ConfigFile = toml::from_str(text).map_err(|error| ConfigError {
            problems: vec![error.to_string().trim_end().to_owned()],
        })?;
        let mut problems = file.server.problems();
        let door = file.door(&mut problems);
        let mut catalogs = BTreeMap::new();
        for (name, options) in file.catalogs {
            match open_catalog(&name, options) {
                Ok(catalog) => {
                    catalogs.insert(name, catalog);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(Self {
                server: file.server,
                catalogs,
                door,
            })
        } else {
            Err(ConfigError { problems })
        }
    }
}

fn open_catalog(name: &str, mut options: toml::Table) -> Result<Arc<dyn Connector>, String> {
    if RESERVED_CATALOGS.contains(&name) {
        return Err(format!("catalogs.{name}: the name is reserved"));
    }
    if name.is_empty() || name.contains('.') {
        return Err(format!(
            "catalogs.\"{name}\": a catalog's name has no dot and is not empty"
        ));
    }
    let Some(toml::Value::String(kind)) = options.remove("connector") else {
        let kinds = connectors::kinds().join(", ");
        return Err(format!("catalogs.{name}.connector: is missing; one of {kinds}"));
    };
    connectors::open(&kind, name, options).map_err(|problem| format!("catalogs.{name}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_with_its_key() {
        let text = "[server]\nlisten = \"0.0.0.0:1\"\nconnections_max = 0\n\
                    [catalogs.system]\nconnector = \"local\"\n[catalogs.a]\nconnector = \"nosuch\"\n[catalogs.b]\n";
        let error = Config::parse(text).unwrap_err().to_string();
        for part in [
            "server.tls",
            "server.connections_max",
            "catalogs.system",
            "catalogs.a",
            "catalogs.b.connector",
        ] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = Config::parse("[server]\nlisen = \"127.0.0.1:1\"\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("lisen"), "{error}");
    }

    #[test]
    fn nobody_could_log_in_without_users() {
        let error = Config::parse("").unwrap_err().to_string();
        assert!(error.contains("users: there are none"), "{error}");
        let error = Config::parse("[users.ann]\nverifier = \"s3cret\"\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("users.ann.verifier") && !error.contains("s3cret"),
            "{error}"
        );
        let verifier = crate::security::Verifier::of_password("pencil").to_stored();
        let config = Config::parse(&format!("[users.ann]\nverifier = {verifier:?}\n")).unwrap();
        assert!(config.door.users.is_some() && config.door.tls.is_none());
    }

    #[test]
    fn other_machines_need_tls_and_a_login() {
        let error =
            Config::parse("[server]\nlisten = \"0.0.0.0:1\"\nauthentication = \"trust\"\n").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("server.authentication") && error.contains("server.tls"),
            "{error}"
        );
    }

    #[test]
    fn the_smallest_configuration_has_the_defaults() {
        let config = Config::parse("[server]\nauthentication = \"trust\"\n").unwrap();
        assert_eq!(config.server.listen.port(), 5433);
        assert!(config.catalogs.is_empty());
    }
}
