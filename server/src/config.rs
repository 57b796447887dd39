//! `causeway.toml` with the environment over it: read, checked as a whole, and turned into catalogs. See README for the
//! shape.

mod layers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{Connector, deserialize_duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::connectors;
use crate::error::nearest;
use crate::frontend::pg::Door;
use crate::security::{Authentication, RemoteAccess, Tls, TlsConfig, UserConfig, Users};

/// The names that no catalog may have: they are, or will be, catalogs and schemas of the server itself.
const RESERVED_CATALOGS: [&str; 4] = ["causeway", "system", "pg_catalog", "information_schema"];

/// Shortest wait for a source: less would refuse sources that are well.
const SOURCE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The `[server]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of the Postgres endpoint. Anywhere but on loopback it needs `tls`.
    pub listen: SocketAddr,
    /// How clients log in.
    pub authentication: Authentication,
    /// Certificate and key of the endpoint. Default: no TLS.
    pub tls: Option<TlsConfig>,
    /// Lets clients connect without TLS from other machines, as behind a proxy that encrypts.
    pub plaintext_allowed: bool,
    /// Most client connections at once; the next one is refused with 53300. At least 1.
    pub connections_max: usize,
    /// The longest wait for one answer of a source, at least `"100ms"`; ten times as long where a source computes aggregates or an
    /// order.
    #[serde(deserialize_with = "deserialize_duration")]
    pub source_timeout: Duration,
    /// How long columns and statistics of a table are remembered; `"0s"` asks each time.
    #[serde(deserialize_with = "deserialize_duration")]
    pub metadata_ttl: Duration,
    /// Memory for queries, in MiB; a query that needs more is refused with 53200. At least 64.
    pub memory_limit_mib: usize,
    /// Folder for sorts and aggregates that do not fit the memory. Default: the system's temporary folder.
    pub spill_path: Option<PathBuf>,
    /// Partitions of a query's plan. Default: the number of cores.
    pub target_partitions: Option<usize>,
    /// How long running statements may go on when the server is told to stop; then they end with 57P01.
    #[serde(deserialize_with = "deserialize_duration")]
    pub stop_timeout: Duration,
    /// The catalogs to whose sources everybody may send statements in their own SQL, by `system.remote`.
    pub remote: Vec<String>,
    /// Most rows that such a statement may give; one that gives more ends with 54000. At least 1.
    pub remote_rows_max: usize,
    /// What is logged to standard error, and how.
    pub log: LogConfig,
}

/// The `[server.log]` section.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// The least important level that is logged. The variable `RUST_LOG` comes first.
    pub level: LogLevel,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Somebody should act.
    Error,
    /// Unexpected, but handled.
    Warn,
    /// Starts, stops, and one line a query.
    #[default]
    Info,
    /// For developers.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
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
            stop_timeout: Duration::from_secs(30),
            remote: Vec::new(),
            remote_rows_max: 1_000_000,
            log: LogConfig::default(),
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
            ("server.remote_rows_max", self.remote_rows_max, 1),
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

/// A catalog, opened but not connected.
#[derive(Debug, Clone)]
pub struct OpenCatalog {
    /// The catalog.
    pub connector: Arc<dyn Connector>,
    /// A number that is another one when its options are.
    pub(crate) fingerprint: u64,
}

/// A whole configuration: the server's options and the catalogs.
#[derive(Debug)]
pub struct Config {
    /// The `[server]` section.
    pub server: ServerConfig,
    /// The catalogs by name.
    pub catalogs: BTreeMap<String, OpenCatalog>,
    /// Users and TLS.
    pub door: Door,
    /// Who may send native statements.
    pub remote: RemoteAccess,
    /// The `[server]` section as it is written.
    pub(crate) written: Table,
}

/// Every problem of a configuration, each with its key's path.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", problems.join("\n  "))]
pub struct ConfigError {
    /// One line each.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads and checks a file, and the environment over it. Reports every problem at once; does not connect to any source.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_again(path, &BTreeMap::new())
    }

    /// As [`Config::read`]; of the catalogs that are `open`, those whose options are as they were are taken over as they are.
    pub fn read_again(path: &Path, open: &BTreeMap<String, OpenCatalog>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            problems: vec![format!("could not read {}: {error}", path.display())],
        })?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let folder = path.parent().unwrap_or(Path::new("/"));
        let environment = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.to_string_lossy().into_owned())));
        Self::from_layers(&text, environment, folder, open)
    }

    /// Checks the text of a configuration, without the environment.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::from_layers(text, std::iter::empty(), Path::new(""), &BTreeMap::new())
    }

    fn from_layers(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
        folder: &Path,
        open: &BTreeMap<String, OpenCatalog>,
    ) -> Result<Self, ConfigError> {
        let mut table = layers::parse(text).map_err(|problem| ConfigError {
            problems: vec![problem],
        })?;
        let mut problems = Vec::new();
        layers::check_sections(&table, &mut problems);
        layers::apply_environment(&mut table, environment, &mut problems);
        layers::resolve_paths(&mut table, folder);
        let written = section(&mut table, "server");
        let server = server_options(&written, &mut problems);
        let users = user_options(section(&mut table, "users"), &mut problems);
        let door = read_door(&server, &users, &mut problems);
        let mut catalogs = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, options) in section(&mut table, "catalogs") {
            match open_catalog(&name, options, open) {
                Ok(catalog) => {
                    catalogs.insert(name, catalog);
                }
                Err(problem) => {
                    problems.push(problem);
                    wrong.push(name);
                }
            }
        }
        problems.extend(remote_problems(&server, &users, &catalogs, &wrong));
        let remote = match server.authentication {
            Authentication::Trust => RemoteAccess::of_everybody(&server.remote),
            Authentication::ScramSha256 => RemoteAccess::new(&users, &server.remote),
        };
        if problems.is_empty() {
            Ok(Self {
                server,
                catalogs,
                door,
                remote,
                written,
            })
        } else {
            Err(ConfigError { problems })
        }
    }
}

fn section(table: &mut Table, name: &str) -> Table {
    match table.remove(name) {
        Some(Value::Table(section)) => section,
        _ => Table::new(),
    }
}

/// Reads each option of `[server]` by itself, so that every wrong one is told.
fn server_options(written: &Table, problems: &mut Vec<String>) -> ServerConfig {
    let before = problems.len();
    for (key, value) in written {
        let alone = Table::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = alone.try_into::<ServerConfig>() {
            problems.push(problem("server", key, &error));
        }
    }
    let server: ServerConfig = written.clone().try_into().unwrap_or_default();
    if problems.len() == before {
        problems.extend(server.problems());
    }
    server
}

fn user_options(users: Table, problems: &mut Vec<String>) -> BTreeMap<String, UserConfig> {
    let mut read = BTreeMap::new();
    for (name, value) in users {
        match value.try_into::<UserConfig>() {
            Ok(user) => {
                read.insert(name, user);
            }
            Err(error) => problems.push(problem(&format!("users.{name}"), "", &error)),
        }
    }
    read
}

/// Reads what stands at the door, and notes every problem with it.
fn read_door(
    server: &ServerConfig,
    users: &BTreeMap<String, UserConfig>,
    problems: &mut Vec<String>,
) -> Door {
    let before = problems.len();
    let mut note = |problem| problems.push(problem);
    let loopback = server.listen.ip().is_loopback();
    let tls = server
        .tls
        .as_ref()
        .and_then(|tls| Tls::read(tls, loopback).map_err(&mut note).ok());
    let users = Users::new(users)
        .map_err(|wrong| wrong.into_iter().for_each(&mut note))
        .ok();
    let users = match server.authentication {
        Authentication::Trust => None,
        Authentication::ScramSha256 => {
            if users.as_ref().is_some_and(Users::is_empty) && before == 0 {
                note(
                    "users: there are none, so nobody could log in; add [users.NAME] with what causeway \
                      hash-password prints, or set server.authentication = \"trust\" for a server on loopback"
                        .to_owned(),
                );
            }
            users
        }
    };
    Door { users, tls }
}

/// What is named as a catalog that takes native statements, and is none. `wrong`: those that could not be opened, which is told.
fn remote_problems(
    server: &ServerConfig,
    users: &BTreeMap<String, UserConfig>,
    catalogs: &BTreeMap<String, OpenCatalog>,
    wrong: &[String],
) -> Vec<String> {
    let everybody = std::iter::once(("server.remote".to_owned(), &server.remote));
    let users = users
        .iter()
        .map(|(name, user)| (format!("users.{name}.remote"), &user.remote));
    let mut problems = Vec::new();
    for (key, names) in everybody.chain(users) {
        for name in names.iter().filter(|name| !wrong.contains(name)) {
            match catalogs.get(name) {
                Some(catalog) if catalog.connector.passthrough().is_some() => {}
                Some(catalog) => problems.push(format!(
                    "{key}: catalog \"{name}\" ({}) takes no native statements",
                    catalog.connector.kind()
                )),
                None => problems.push(format!("{key}: there is no catalog \"{name}\"")),
            }
        }
    }
    problems
}

/// A problem with an option: its key's path and what is wrong.
fn problem(section: &str, key: &str, error: &toml::de::Error) -> String {
    let (path, message) = words(error);
    let path = if path.is_empty() { key } else { &path };
    match path {
        "" => format!("{section}: {message}"),
        path => format!("{section}.{path}: {message}"),
    }
}

/// The path of the key that an error is about, as far as it is told, and what is wrong with it.
pub(crate) fn words(error: &toml::de::Error) -> (String, String) {
    let text = error.to_string();
    let (message, path) = match text.rsplit_once("\nin `") {
        Some((message, path)) => (
            message.to_owned(),
            path.trim_end().trim_end_matches('`').to_owned(),
        ),
        None => (text.trim_end().to_owned(), String::new()),
    };
    let Some((unknown, known)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once("`, "))
    else {
        return (path, message);
    };
    let path = match path.as_str() {
        "" => unknown.to_owned(),
        path => format!("{path}.{unknown}"),
    };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let message = match nearest(unknown, known.iter().copied()) {
        Some(nearest) => format!("is no option; did you mean {nearest}?"),
        None => format!("is no option; they are {}", known.join(", ")),
    };
    (path, message)
}

fn open_catalog(
    name: &str,
    options: Value,
    open: &BTreeMap<String, OpenCatalog>,
) -> Result<OpenCatalog, String> {
    if RESERVED_CATALOGS.contains(&name) {
        return Err(format!("catalogs.{name}: the name is reserved"));
    }
    if name.is_empty() || name.contains('.') {
        return Err(format!(
            "catalogs.\"{name}\": a catalog's name has no dot and is not empty"
        ));
    }
    let Value::Table(mut options) = options else {
        return Err(format!("catalogs.{name}: is a section, [catalogs.{name}]"));
    };
    let fingerprint = layers::fingerprint(&options);
    if let Some(unchanged) = open.get(name)
        && unchanged.fingerprint == fingerprint
    {
        return Ok(unchanged.clone());
    }
    let Some(Value::String(kind)) = options.remove("connector") else {
        let kinds = connectors::kinds().join(", ");
        return Err(format!("catalogs.{name}.connector: is missing; one of {kinds}"));
    };
    let connector = connectors::open(&kind, name, options)?;
    Ok(OpenCatalog {
        connector,
        fingerprint,
    })
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
    fn every_wrong_key_is_told_with_its_path() {
        let text = "[server]\nlisen = \"127.0.0.1:1\"\nconnections_max = \"many\"\nlog = { format = \"xml\" }\n\
                    [users.ann]\npassword = \"hunter2\"\n[catalogs.a]\nconnector = \"mysql\"\nurll = \"x\"\n\
                    [catalogs.b]\nconnector = \"mysql\"\nurl = \"mysql://u@h\"\npassword = \"hunter2\"\n\
                    [cataloges]\n";
        let error = Config::parse(text).unwrap_err();
        assert_eq!(
            error.problems,
            [
                "cataloges: is no section; did you mean catalogs?",
                "server.connections_max: invalid type: string \"many\", expected usize",
                "server.lisen: is no option; did you mean listen?",
                "server.log.format: unknown variant `xml`, expected `text` or `json`",
                "users.ann.password: is no option; they are verifier, remote",
                "catalogs.a.urll: is no option; did you mean url?",
                "catalogs.b.password: a credential is { env = \"NAME\" } or { file = \"/path\" }, not the text itself",
            ]
        );
        let error = Config::parse("[server]\nlisten = \"127.0.0.1:1\nx = 1\n").unwrap_err();
        assert!(error.problems[0].starts_with("line 2: "), "{error}");
    }

    #[test]
    fn catalogs_that_are_unchanged_stay_open() {
        let text = |a: &str| {
            format!(
                "[server]\nauthentication = \"trust\"\n[catalogs.a]\nconnector = \"local\"\npath = {a:?}\n\
                 [catalogs.b]\nconnector = \"local\"\npath = \"b\"\n"
            )
        };
        let first = Config::parse(&text("a")).unwrap();
        let nowhere = Path::new("");
        let second = Config::from_layers(&text("x"), std::iter::empty(), nowhere, &first.catalogs).unwrap();
        let same =
            |name: &str| Arc::ptr_eq(&first.catalogs[name].connector, &second.catalogs[name].connector);
        assert!(same("b"));
        assert!(!same("a"));
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
        let login = "[server]\nauthentication = \"scram-sha-256\"\n[users.ann]\n";
        let config = Config::parse(&format!("{login}verifier = {verifier:?}\n")).unwrap();
        assert!(config.door.users.is_some() && config.door.tls.is_none());
    }

    #[test]
    fn native_statements_are_for_catalogs_that_take_them() {
        let verifier = crate::security::Verifier::of_password("pencil").to_stored();
        let text = |remote: &str| {
            format!(
                "[server]\nremote = [\"file\"]\nremote_rows_max = 7\n[users.ann]\nverifier = {verifier:?}\nremote = {remote}\n\
                 [catalogs.file]\nconnector = \"sqlite\"\npath = \"f\"\n[catalogs.mem]\nconnector = \"memory\"\n"
            )
        };
        let config = Config::parse(&text("[\"file\"]")).unwrap();
        assert_eq!(config.server.remote_rows_max, 7);
        assert!(config.remote.allows("ann", "file") && config.remote.allows("bob", "file"));
        let error = Config::parse(&text("[\"fil\", \"mem\"]")).unwrap_err();
        assert_eq!(
            error.problems,
            [
                "users.ann.remote: there is no catalog \"fil\"",
                "users.ann.remote: catalog \"mem\" (memory) takes no native statements",
            ]
        );
        let trusting = text("[\"file\"]").replace(
            "remote = [\"file\"]\nremote_rows_max = 7",
            "authentication = \"trust\"",
        );
        assert!(!Config::parse(&trusting).unwrap().remote.allows("ann", "file"));
        let none = text("[]").replace("= 7", "= 0");
        let error = Config::parse(&none).unwrap_err();
        assert_eq!(error.problems, ["server.remote_rows_max: must be at least 1"]);
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
