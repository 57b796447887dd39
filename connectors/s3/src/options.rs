//! The options of an S3 catalog and their validation. Nothing is reached here.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_base_files::{
    CACHE_TTL_DEFAULT, DeclaredTables, FileTableOptions, FilesConnector, FilesSettings, check_cache_ttl,
    wrong_options,
};
use causeway_spi::{
    Connector, ConnectorError, ConnectorOptions, ErrorKind, Result, Secret, deserialize_duration,
};
use object_store::limit::LimitStore;
use object_store::path::Path;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::client::Settings;
use crate::grants::policy;
use crate::store::S3Store;

/// Requests of one catalog under way at once.
const REQUESTS_MAX: usize = 64;
/// Most MiB of objects that may be kept.
const CACHE_MEMORY_MAX: usize = 1 << 20;
/// The region of the client that is made for its errors only.
const PROBE_REGION: &str = "us-east-1";
/// Bytes of a key of SSE-C.
const SSE_KEY_BYTES: usize = 32;

/// A bucket, or a part of one, of any S3-compatible store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// The part of the bucket that is the catalog, such as `tpch/`. Default: the whole bucket.
    #[serde(default)]
    pub prefix: String,
    /// The store's URL, such as `http://127.0.0.1:9000`. Default: Amazon's for the region.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region that requests are signed for. Default: that of the environment, the profile or the machine, else
    /// `us-east-1`; with `endpoint`, `us-east-1`.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether the endpoint may be `http`.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether the bucket stands in the path (`endpoint/bucket`) instead of the host. Default: `true` if `endpoint` is set.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// The access key; needs `secret_access_key`. Default: the chain (see Requirements).
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// The secret of the access key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The session token of temporary keys.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// How long listings are believed, up to 24h; `REFRESH` forgets them at once.
    #[serde(default = "default_cache_ttl", deserialize_with = "deserialize_duration")]
    pub cache_ttl: Duration,
    /// Memory for what has been read of the objects, in MiB, up to 1048576: as long as it is kept a query only asks whether the
    /// object is still the same. 0 keeps nothing.
    #[serde(default = "default_cache_memory")]
    pub cache_memory: usize,
    /// Tables that are described instead of found.
    #[serde(default)]
    pub tables: Vec<FileTableOptions>,
    /// The profile of the shared AWS files to take credentials and region from, whatever else there is. Default: the chain,
    /// with the profile that `AWS_PROFILE` names.
    #[serde(default)]
    pub profile: Option<String>,
    /// The role to assume, `arn:aws:iam::123456789012:role/name`, with the credentials of the other options.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// What the role's owner wants to be told, if so; needs `role_arn`.
    #[serde(default)]
    pub external_id: Option<Secret>,
    /// The name of the session in the role, which its owner sees in logs, 2 to 64 characters of `A-Z a-z 0-9 _ = , . @ -`;
    /// needs `role_arn`. Default: `causeway`.
    #[serde(default)]
    pub role_session_name: Option<String>,
    /// Asks without credentials, as a public bucket allows.
    #[serde(default)]
    pub anonymous: bool,
    /// Pays for requests and traffic, as a requester-pays bucket wants.
    #[serde(default)]
    pub requester_pays: bool,
    /// The key of objects encrypted with a key of the customer's own (SSE-C): 32 bytes in base64.
    #[serde(default)]
    pub sse_customer_key: Option<Secret>,
}

/// MiB of objects that are kept.
fn default_cache_memory() -> usize {
    256
}

fn default_cache_ttl() -> Duration {
    CACHE_TTL_DEFAULT
}

impl ConnectorOptions for S3Options {
    const KIND: &'static str = "s3";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        let tables = self.validate(catalog)?;
        let prefix = Path::parse(self.prefix.trim_matches('/')).map_err(|error| {
            configuration(format!("prefix of catalog {catalog} is not a path")).source(error)
        })?;
        let needs = policy(&self.bucket, &self.prefix);
        let files = FilesSettings {
            cache_ttl: self.cache_ttl,
            tables,
            local_root: None,
            kept_bytes: self.cache_memory << 20,
        };
        let settings = Settings {
            catalog: catalog.to_owned(),
            options: self,
        };
        // A client is made here once, too, so that what is wrong with it is found now.
        settings.client(PROBE_REGION).map_err(|error| {
            configuration(format!(
                "the options of catalog {catalog} do not make an S3 client"
            ))
            .source(error)
        })?;
        let store = S3Store::new(settings);
        let store = Arc::new(LimitStore::new(store, REQUESTS_MAX));
        let files = FilesConnector::new(catalog, Self::KIND, store, prefix, files);
        Ok(Arc::new(files.with_needs(needs)))
    }
}

fn configuration(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, message)
}

impl S3Options {
    /// Reports every problem at once; gives the declared tables.
    fn validate(&self, catalog: &str) -> Result<DeclaredTables> {
        let mut problems = Vec::new();
        if self.bucket.is_empty() || self.bucket.contains('/') {
            problems.push("bucket must be the name of a bucket".to_owned());
        }
        if self.region.as_ref().is_some_and(String::is_empty) {
            problems.push("region must not be empty".to_owned());
        }
        if let Some(endpoint) = &self.endpoint
            && let Some(problem) = endpoint_problem(endpoint, self.allow_http, self.is_path_style())
        {
            problems.push(problem.to_owned());
        }
        self.validate_credentials(&mut problems);
        problems.extend(check_cache_ttl(self.cache_ttl).err());
        if self.cache_memory > CACHE_MEMORY_MAX {
            problems.push(format!("cache_memory must be at most {CACHE_MEMORY_MAX}"));
        }
        match DeclaredTables::check(&self.tables) {
            Ok(tables) if problems.is_empty() => Ok(tables),
            tables => {
                problems.extend(tables.err().into_iter().flatten());
                Err(wrong_options(catalog, &problems))
            }
        }
    }

    fn validate_credentials(&self, problems: &mut Vec<String>) {
        let mut refuse = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        let keys = self.access_key_id.is_some();
        refuse(
            keys != self.secret_access_key.is_some(),
            "access_key_id and secret_access_key must be set together",
        );
        refuse(
            self.session_token.is_some() && !keys,
            "session_token needs access_key_id and secret_access_key",
        );
        refuse(
            keys && self.profile.is_some(),
            "access_key_id and profile cannot both be set",
        );
        refuse(
            self.anonymous && (keys || self.profile.is_some() || self.role_arn.is_some()),
            "anonymous cannot be set with access_key_id, profile or role_arn",
        );
        refuse(
            self.anonymous && self.requester_pays,
            "requester_pays needs credentials, which anonymous does without",
        );
        refuse(
            self.role_arn.as_ref().is_some_and(|arn| !is_role(arn)),
            "role_arn must be like arn:aws:iam::123456789012:role/name",
        );
        refuse(
            self.role_arn.is_none() && (self.external_id.is_some() || self.role_session_name.is_some()),
            "external_id and role_session_name need role_arn",
        );
        refuse(
            self.role_session_name
                .as_ref()
                .is_some_and(|name| !is_session_name(name)),
            "role_session_name must have 2 to 64 characters of A-Z a-z 0-9 _ = , . @ -",
        );
        refuse(
            self.sse_customer_key.as_ref().is_some_and(|key| !is_sse_key(key)),
            "sse_customer_key must be 32 bytes in base64",
        );
    }

    pub(crate) fn is_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", _, "iam", "", account, role]
        if account.len() == 12 && role.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
}

fn is_session_name(name: &str) -> bool {
    (2..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_=,.@-".contains(c))
}

fn is_sse_key(key: &Secret) -> bool {
    STANDARD
        .decode(key.expose())
        .is_ok_and(|bytes| bytes.len() == SSE_KEY_BYTES)
}

fn endpoint_problem(endpoint: &str, allow_http: bool, path_style: bool) -> Option<&'static str> {
    let Ok(url) = Url::parse(endpoint) else {
        return Some("endpoint must be a URL, such as https://s3.example.com");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some("endpoint must not hold credentials; set access_key_id and secret_access_key");
    }
    if !path_style && !matches!(url.host(), Some(url::Host::Domain(_))) {
        return Some("path_style = false needs an endpoint with a host name");
    }
    match url.scheme() {
        "https" => None,
        "http" if allow_http => None,
        "http" => Some("endpoint is http; set allow_http = true to send requests unencrypted"),
        _ => Some("endpoint must begin with https:// or http://"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn options() -> S3Options {
        S3Options {
            bucket: "lake".into(),
            prefix: "tpch/".into(),
            endpoint: Some("http://127.0.0.1:9000".into()),
            region: None,
            allow_http: true,
            path_style: None,
            access_key_id: Some(Secret::new("id")),
            secret_access_key: Some(Secret::new("secret")),
            session_token: None,
            cache_ttl: CACHE_TTL_DEFAULT,
            cache_memory: default_cache_memory(),
            tables: Vec::new(),
            profile: None,
            role_arn: None,
            external_id: None,
            role_session_name: None,
            anonymous: false,
            requester_pays: false,
            sse_customer_key: None,
        }
    }

    fn problem(options: S3Options) -> String {
        let error = options.open("lake").expect_err("these options are wrong");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        error.message().to_owned()
    }

    #[tokio::test]
    async fn right_options_open_without_a_server() {
        assert_eq!(options().open("lake").unwrap().kind(), "s3");
        let aws = S3Options {
            endpoint: None,
            allow_http: false,
            ..options()
        };
        assert_eq!(aws.open("lake").unwrap().kind(), "s3");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let wrong = S3Options {
            bucket: "a/b".into(),
            allow_http: false,
            secret_access_key: None,
            ..options()
        };
        assert_eq!(
            problem(wrong),
            "catalog lake: bucket must be the name of a bucket; endpoint is http; set allow_http = true to send \
             requests unencrypted; access_key_id and secret_access_key must be set together"
        );
    }

    #[test]
    fn credentials_in_the_endpoint_are_refused_and_not_shown() {
        let wrong = S3Options {
            endpoint: Some("https://key:hidden@s3.example.com".into()),
            ..options()
        };
        let message = problem(wrong);
        assert!(message.contains("must not hold credentials"), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }

    #[test]
    fn credentials_that_contradict_each_other_are_refused() {
        let wrong = S3Options {
            profile: Some("x".into()),
            anonymous: true,
            requester_pays: true,
            role_arn: Some("admin".into()),
            role_session_name: Some("a b".into()),
            sse_customer_key: Some(Secret::new("c2hvcnQ=")),
            ..options()
        };
        assert_eq!(
            problem(wrong),
            "catalog lake: access_key_id and profile cannot both be set; anonymous cannot be set with access_key_id, \
             profile or role_arn; requester_pays needs credentials, which anonymous does without; role_arn must be like \
             arn:aws:iam::123456789012:role/name; role_session_name must have 2 to 64 characters of A-Z a-z 0-9 _ = , . \
             @ -; sse_customer_key must be 32 bytes in base64"
        );
        let lonely = S3Options {
            external_id: Some(Secret::new("partner")),
            path_style: Some(false),
            ..options()
        };
        assert_eq!(
            problem(lonely),
            "catalog lake: path_style = false needs an endpoint with a host name; external_id and role_session_name \
             need role_arn"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}",
            S3Options {
                external_id: Some(Secret::new("partner")),
                ..options()
            }
            .open("lake")
        );
        for secret in ["secret", "partner"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_dead_endpoint_is_unavailable_within_seconds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dead = S3Options {
            endpoint: Some(format!("http://127.0.0.1:{port}")),
            ..options()
        };
        let started = std::time::Instant::now();
        let error = dead.open("lake").unwrap().ping().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(error.message(), "could not list the root of catalog lake");
        assert!(started.elapsed() < Duration::from_secs(15));
    }
}
