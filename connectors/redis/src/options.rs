//! The options of a Redis catalog and their validation. Nothing here connects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_base_kv::TableOptions;
use causeway_spi::{
    Connector, ConnectorError, ConnectorOptions, ErrorKind, Result, Secret, deserialize_duration,
};
use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::backend::RedisBackend;
use crate::connections::{ConnectionLimits, Connections, client_name};
use crate::connector::{RedisConnector, SCHEMA};
use crate::tls::{Tls, TlsOptions, UrlScheme};

const DEFAULT_PORT: u16 = 6379;
const CONNECTIONS_MAX: usize = 64;
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const SCAN_KEYS_MAX_DEFAULT: usize = 1_000_000;

/// One database of a Redis server as a catalog with the schema `public`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisOptions {
    /// Where the server is: `redis://host:port/database`, or `rediss://` for TLS. The port is 6379, the database 0 by
    /// default.
    ///
    /// No password or parameters: they have options of their own, or no meaning here.
    pub url: String,
    /// The ACL user; needs `password`. Default: the server's default user.
    #[serde(default)]
    pub username: Option<String>,
    /// The login's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Whether connections are encrypted: `off`, `require` (with whatever certificate), `verify-ca` (one of a trusted
    /// authority) or `verify-full` (one of a trusted authority for this host). Default: `"off"` for `redis://` on loopback,
    /// else `"verify-full"`.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// A PEM file of the authorities that may sign the server's certificate, with `verify-ca` and `verify-full`. Default:
    /// those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A PEM file of the certificate, and those between it and its authority, by which the client shows who it is.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// A PEM file of the key of `cert_file`, not encrypted.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// A read without keys walks the whole database: with more keys than this it is refused; so is a walk of a set with
    /// more elements.
    #[serde(default = "default_scan_keys_max")]
    pub scan_keys_max: usize,
    /// Connections shared by all queries, 1 to 64.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Longest wait for a new connection, up to 1h.
    #[serde(
        default = "default_connect_timeout",
        deserialize_with = "deserialize_duration"
    )]
    pub connect_timeout: Duration,
    /// Longest wait for one answer, up to 1h.
    #[serde(
        default = "default_response_timeout",
        deserialize_with = "deserialize_duration"
    )]
    pub response_timeout: Duration,
    /// The tables.
    #[serde(default)]
    pub tables: Vec<TableOptions>,
}

fn default_scan_keys_max() -> usize {
    SCAN_KEYS_MAX_DEFAULT
}

fn default_connections() -> usize {
    2
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_response_timeout() -> Duration {
    Duration::from_secs(30)
}

impl ConnectorOptions for RedisOptions {
    const KIND: &'static str = "redis";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        let mut problems = self.problems();
        let info = self
            .connection_info()
            .map_err(|found| problems.splice(0..0, found).for_each(drop));
        let tables = TableOptions::define_all(&self.tables, catalog, SCHEMA, |_| None, &mut problems);
        let (Ok(info), true) = (info, problems.is_empty()) else {
            return Err(ConnectorError::new(
                ErrorKind::Configuration,
                format!("cannot open catalog {catalog}: {}", problems.join("; ")),
            ));
        };
        let limits = ConnectionLimits {
            connections: self.connections,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            client_name: client_name(catalog),
        };
        let connections = Connections::new(info, &limits).map_err(|error| {
            ConnectorError::new(
                ErrorKind::Configuration,
                format!("cannot open catalog {catalog}: option url is not usable"),
            )
            .source(error)
        })?;
        let backend = RedisBackend::new(connections, self.scan_keys_max);
        Ok(Arc::new(RedisConnector::new(catalog, tables, Arc::new(backend))))
    }
}

impl RedisOptions {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            problems.push(format!(
                "option connections must be between 1 and {CONNECTIONS_MAX}"
            ));
        }
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if value.is_zero() || value > TIMEOUT_MAX {
                problems.push(format!("option {name} must be between 1ms and 1h"));
            }
        }
        if self.username.is_some() && self.password.is_none() {
            problems.push("option username needs option password".to_owned());
        }
        problems
    }

    fn connection_info(&self) -> Result<ConnectionInfo, Vec<String>> {
        let place = parse_url(&self.url).map_err(|problem| vec![problem])?;
        let username = self.login_name(place.username).map_err(|problem| vec![problem])?;
        let mut login = RedisConnectionInfo::default()
            .set_db(place.database)
            .set_lib_name("causeway", env!("CARGO_PKG_VERSION"));
        if let Some(username) = username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        let info = ConnectionAddr::Tcp(place.host.clone(), place.port)
            .into_connection_info()
            .map_err(|_| vec!["option url is not usable".to_owned()])?;
        let tls = TlsOptions {
            tls: self.tls,
            ca_file: self.ca_file.as_ref(),
            cert_file: self.cert_file.as_ref(),
            key_file: self.key_file.as_ref(),
        };
        tls.address(
            info.set_redis_settings(login),
            place.scheme,
            &place.host,
            place.port,
        )
    }

    fn login_name(&self, of_url: Option<String>) -> Result<Option<String>, String> {
        match (&self.username, of_url) {
            (Some(_), Some(_)) => Err("option url and option username both name a user".to_owned()),
            (None, Some(_)) if self.password.is_none() => {
                Err("option url names a user, which needs option password".to_owned())
            }
            (Some(name), None) => Ok(Some(name.clone())),
            (None, name) => Ok(name),
        }
    }
}

/// What the url says.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    scheme: UrlScheme,
    host: String,
    port: u16,
    username: Option<String>,
    database: i64,
}

/// Takes a url apart; the problem never repeats the url, which may hold a password.
fn parse_url(text: &str) -> Result<Place, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("option url is not a url such as redis://127.0.0.1:6379/0 ({error})"))?;
    let scheme = match url.scheme() {
        "redis" => UrlScheme::Redis,
        "rediss" => UrlScheme::Rediss,
        _ => return Err("option url must begin with redis:// or rediss://".to_owned()),
    };
    if url.password().is_some() {
        return Err("option url must not hold a password, use option password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("option url must not hold parameters".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err("option url names no host".to_owned());
    }
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => number
            .parse::<u32>()
            .map_err(|_| "option url must end in a database number such as /0".to_owned())?,
    };
    let username = percent_decode_str(url.username())
        .decode_utf8()
        .map_err(|_| "option url holds a user name that is not UTF-8".to_owned())?;
    Ok(Place {
        scheme,
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(DEFAULT_PORT),
        username: (!username.is_empty()).then(|| username.into_owned()),
        database: database.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(toml: &str) -> Result<Arc<dyn Connector>, String> {
        let options: RedisOptions = toml::from_str(toml).map_err(|error| error.message().to_owned())?;
        options.open("cache").map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Configuration);
            error.message().to_owned()
        })
    }

    fn table(lines: &str) -> String {
        format!("url = \"redis://h\"\n[[tables]]\nname = \"part\"\n{lines}")
    }

    #[test]
    fn urls_are_taken_apart() {
        let place = parse_url("redis://a%40b@[::1]:6380/3").unwrap();
        assert_eq!(
            (place.host.as_str(), place.port, place.database),
            ("::1", 6380, 3)
        );
        assert_eq!(place.username.as_deref(), Some("a@b"));
        assert_eq!(parse_url("redis://h").unwrap().port, 6379);
    }

    #[tokio::test]
    async fn the_documented_shape_opens_without_connecting() {
        let connector = open(
            r#"
            url = "redis://127.0.0.1:1/0"
            [[tables]]
            name = "part"
            key = "part:{p_partkey}"
            value = "hash"
            columns = ["p_partkey bigint", "p_name text", "p_retailprice numeric(12,2)"]
            "#,
        )
        .unwrap();
        assert_eq!(connector.kind(), "redis");
        assert_eq!(connector.tables("public").await.unwrap(), ["part"]);
        let error = connector.tables("other").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownSchema);
    }

    #[test]
    fn wrong_options_are_named_and_passwords_never_shown() {
        for (url, part) in [
            ("redis://u:s3cret@h", "must not hold a password"),
            ("rediss://u:s3cret@h", "must not hold a password"),
            ("http://u:s3cret@h", "begin with redis://"),
            ("redis://h/x", "database number"),
            ("redis://h?protocol=3", "parameters"),
            ("redis://u@h", "needs option password"),
            ("s3cret", "not a url"),
        ] {
            let message = open(&format!("url = \"{url}\"")).unwrap_err();
            assert!(message.contains(part) && !message.contains("s3cret"), "{message}");
        }
        let message = open("url = \"redis://h\"\nconnections = 0\nconnect_timeout = \"0s\"").unwrap_err();
        assert!(
            message.contains("connections") && message.contains("connect_timeout"),
            "{message}"
        );
        assert!(
            open("url = \"redis://h\"\nconnect_timeout = \"5\"")
                .unwrap_err()
                .contains("not a duration")
        );
        assert!(
            open("url = \"redis://h\"\nport = 1")
                .unwrap_err()
                .contains("unknown field")
        );
    }

    #[test]
    fn wrong_tables_are_named() {
        for (lines, part) in [
            (
                "key = \"p:{x}\"\ncolumns = [\"id bigint\"]",
                "tables[0] \"part\": key template \"p:{x}\"",
            ),
            (
                "key = \"p:{id}\"\ncolumns = [\"id bigint\", \"id text\"]",
                "defined twice",
            ),
            (
                "key = \"p:{id}\"\ncolumns = [\"id\"]",
                "column \"id\" has no type",
            ),
            (
                "key = \"p:{id}\"\nvalue = \"set\"\ncolumns = [\"id int\", \"tag text\"]",
                "tables[0] \"part\": column \"tag\" is the field \"tag\", but a set has element (Give",
            ),
        ] {
            let message = open(&table(lines)).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        let stream = open(&table(
            "key = \"p:{id}\"\nvalue = \"stream\"\ncolumns = [\"id int\"]",
        ));
        assert!(stream.unwrap_err().contains("unknown variant `stream`"));
        let two = table("key = \"p:{id}\"\ncolumns = [\"id int\"]");
        let two = format!("{two}\n[[tables]]\nname = \"part\"\nkey = \"q:{{id}}\"\ncolumns = [\"id int\"]");
        assert!(
            open(&two)
                .unwrap_err()
                .contains("tables[1] \"part\": another table has the same name")
        );
    }
}
