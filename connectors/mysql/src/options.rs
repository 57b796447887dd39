//! The options of a MySQL catalog and their validation. Nothing here connects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{
    Connector, ConnectorError, ConnectorOptions, ErrorKind, Result, Secret, deserialize_duration,
};
use mysql_async::{Opts, OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::connector::MySqlConnector;
use crate::pool::{Pool, PoolLimits};
use crate::reader::MySqlBackend;
use crate::tls::{Tls, TlsOptions};

const DEFAULT_PORT: u16 = 3306;
const CONNECTIONS_MAX: usize = 64;
const SPLIT_CONNECTIONS_MAX: usize = 63;
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const STATEMENT_TIME_MIN: Duration = Duration::from_secs(1);
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Sessions idle for longer than this are told apart from dead ones by the network's own probes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Whether large tables are read over several connections at once, by ranges of their primary keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Splits {
    /// Where all connections show the same moment of the server, which takes MariaDB with a binary log; else one
    /// connection reads everything.
    #[default]
    Consistent,
    /// Whenever the table has such a key: each connection reads at a moment of its own.
    Inconsistent,
    /// Never.
    Off,
}

/// A MySQL or MariaDB server as a catalog; each of its databases is a schema.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MySqlOptions {
    /// Where the server is and as whom to log in: `mysql://user@host:port`. The port is 3306 by default.
    ///
    /// No password, database or parameters: they have options of their own, or no meaning here.
    pub url: String,
    /// The login's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Whether connections are encrypted: `off`, `require` (with whatever certificate), `verify-ca` (one of a trusted
    /// authority) or `verify-full` (one of a trusted authority for this host). Default: `"off"` for a server on loopback,
    /// else `"verify-full"`.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// A PEM file of the authorities that may sign the server's certificate, with `verify-ca` and `verify-full`.
    /// Default: the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A PEM file of the certificate, and those between it and its authority, by which the client shows who it is.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// A PEM file of the key of `cert_file`, not encrypted.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Most connections that read at the same time, 1 to 64. One more may be open to stop statements, and
    /// `split_connections` more to read parts of large tables.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Longest wait for a new connection, up to 1h.
    #[serde(
        default = "default_connect_timeout",
        deserialize_with = "deserialize_duration"
    )]
    pub connect_timeout: Duration,
    /// Longest wait for one of `connections` to become free, up to 1h.
    #[serde(default = "default_timeout", deserialize_with = "deserialize_duration")]
    pub connection_wait: Duration,
    /// Longest wait for the server's list of schemas, tables or columns, up to 1h.
    #[serde(default = "default_timeout", deserialize_with = "deserialize_duration")]
    pub metadata_timeout: Duration,
    /// Longest life of a statement at the server, 1s to 168h: the server itself stops what is older.
    ///
    /// It bounds what is left when this process is killed, and how long a cursor may be read: a statement lives until
    /// its last row is taken.
    #[serde(
        default = "default_statement_time_max",
        deserialize_with = "deserialize_duration"
    )]
    pub statement_time_max: Duration,
    /// Whether large tables are read over several connections at once, by ranges of their primary keys.
    #[serde(default)]
    pub splits: Splits,
    /// Most connections beyond `connections` that read parts of large tables, 0 to 63. They are taken where they can be
    /// had at once and never waited for.
    #[serde(default = "default_split_connections")]
    pub split_connections: usize,
    /// Least rows of a part, by the server's estimates, 1 or more.
    #[serde(default = "default_split_rows")]
    pub split_rows: usize,
}

fn default_connections() -> usize {
    4
}

fn default_split_connections() -> usize {
    3
}

fn default_split_rows() -> usize {
    50_000
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_statement_time_max() -> Duration {
    Duration::from_secs(12 * 3600)
}

impl ConnectorOptions for MySqlOptions {
    const KIND: &'static str = "mysql";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        let mut problems = self.problems();
        let place = parse_url(&self.url).map_err(|problem| problems.insert(0, problem));
        let host = place.as_ref().map_or("", |place| place.host.as_str());
        let encryption = self.tls_options().for_host(host, &mut problems);
        let (Ok(place), true) = (place, problems.is_empty()) else {
            return Err(ConnectorError::new(
                ErrorKind::Configuration,
                format!("cannot open catalog {catalog}: {}", problems.join("; ")),
            ));
        };
        let address = format!("{}:{}", place.host, place.port);
        let limits = PoolLimits {
            connections: self.connections,
            split_connections: self.split_connections,
            connect_timeout: self.connect_timeout,
            connection_wait: self.connection_wait,
            request_timeout: self.metadata_timeout,
            statement_time: self.statement_time_max,
        };
        let pool = Pool::new(catalog, address, self.driver_options(place, encryption), limits);
        let backend = MySqlBackend::new(Arc::new(pool), self.splits, self.split_rows);
        Ok(Arc::new(MySqlConnector::new(catalog, Arc::new(backend))))
    }
}

impl MySqlOptions {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            problems.push(format!(
                "option connections must be between 1 and {CONNECTIONS_MAX}"
            ));
        }
        if self.split_connections > SPLIT_CONNECTIONS_MAX {
            problems.push(format!(
                "option split_connections must be at most {SPLIT_CONNECTIONS_MAX}"
            ));
        }
        if self.split_rows == 0 {
            problems.push("option split_rows must be at least 1".to_owned());
        }
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("connection_wait", self.connection_wait),
            ("metadata_timeout", self.metadata_timeout),
        ] {
            if value.is_zero() || value > TIMEOUT_MAX {
                problems.push(format!("option {name} must be between 1ms and 1h"));
            }
        }
        if !(STATEMENT_TIME_MIN..=STATEMENT_TIME_MAX).contains(&self.statement_time_max) {
            problems.push("option statement_time_max must be between 1s and 168h".to_owned());
        }
        problems
    }

    fn tls_options(&self) -> TlsOptions<'_> {
        TlsOptions {
            tls: self.tls,
            ca_file: self.ca_file.as_ref(),
            cert_file: self.cert_file.as_ref(),
            key_file: self.key_file.as_ref(),
        }
    }

    fn driver_options(&self, place: Place, encryption: Option<SslOpts>) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname(place.host)
            .tcp_port(place.port)
            .user(Some(place.user))
            .pass(self.password.as_ref().map(Secret::expose))
            .ssl_opts(encryption)
            .prefer_socket(false)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            // Statements carry the query's id, so a cache by text would hold only what is never used again.
            .stmt_cache_size(0)
            .into()
    }
}

/// What the url says.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    user: String,
}

/// Takes a url apart; the problem never repeats the url, which may hold a password.
fn parse_url(text: &str) -> Result<Place, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("option url is not a url such as mysql://app@127.0.0.1:3306 ({error})"))?;
    if url.scheme() != "mysql" {
        return Err("option url must begin with mysql://".to_owned());
    }
    if url.password().is_some() {
        return Err("option url must not hold a password, use option password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("option url must not hold parameters".to_owned());
    }
    if !matches!(url.path(), "" | "/") {
        return Err("option url must not name a database, all of them are schemas of the catalog".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err("option url names no host".to_owned());
    }
    let user = percent_decode_str(url.username())
        .decode_utf8()
        .map_err(|_| "option url holds a user name that is not UTF-8".to_owned())?;
    if user.is_empty() {
        return Err("option url names no user, write mysql://user@host".to_owned());
    }
    Ok(Place {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(DEFAULT_PORT),
        user: user.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> MySqlOptions {
        MySqlOptions {
            url: url.to_owned(),
            password: None,
            tls: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            connections: 4,
            connect_timeout: default_connect_timeout(),
            connection_wait: default_timeout(),
            metadata_timeout: default_timeout(),
            statement_time_max: default_statement_time_max(),
            splits: Splits::default(),
            split_connections: default_split_connections(),
            split_rows: default_split_rows(),
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let place = parse_url("mysql://a%40b@[::1]:3307").unwrap();
        assert_eq!(
            (place.host.as_str(), place.port, place.user.as_str()),
            ("::1", 3307, "a@b")
        );
        assert_eq!(parse_url("mysql://app@db.example").unwrap().port, 3306);
    }

    #[tokio::test]
    async fn wrong_options_are_named_and_passwords_never_shown() {
        for (url, part) in [
            ("mysql://app:s3cret@h", "must not hold a password"),
            ("postgres://app:s3cret@h", "begin with mysql://"),
            ("mysql://h", "names no user"),
            ("mysql://app@h/db", "must not name a database"),
            ("mysql://app@h?ssl=1", "must not hold parameters"),
            ("s3cret", "is not a url"),
        ] {
            let error = options(url).open("shop").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.message().contains(part), "{}", error.message());
            assert!(error.message().contains("option url") && error.message().contains("shop"));
            assert!(!error.message().contains("s3cret"));
        }
        let mut both = options("mysql://app@h");
        both.connections = 65;
        both.split_connections = 64;
        both.split_rows = 0;
        both.connect_timeout = Duration::ZERO;
        both.statement_time_max = Duration::from_millis(999);
        both.cert_file = Some("client.pem".into());
        let message = both.open("shop").unwrap_err().message().to_owned();
        for option in [
            "option connections",
            "split_connections",
            "split_rows",
            "connect_timeout",
            "statement_time_max",
            "key_file",
        ] {
            assert!(message.contains(option), "{message}");
        }
    }
}
