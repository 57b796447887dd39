//! The options of an S3 catalog, and the client made from them. Nothing is reached here.

use std::sync::Arc;
use std::time::Duration;

use causeway_base_files::FilesConnector;
use causeway_spi::{Connector, ConnectorError, ConnectorOptions, ErrorKind, Result, Secret};
use object_store::aws::AmazonS3Builder;
use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::grants::policy;

/// The longest wait for a connection to the store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for one answer of the store.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No request is tried again after this time: a dead endpoint is an error within 15 seconds.
const RETRY_TIMEOUT: Duration = Duration::from_secs(9);
/// Tries of one request after the first.
const RETRIES_MAX: usize = 3;
/// Requests of one catalog under way at once.
const REQUESTS_MAX: usize = 64;

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
    /// The region that requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// Whether the endpoint may be `http`.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether the bucket stands in the path (`endpoint/bucket`) instead of the host. Default: `true` if `endpoint` is set.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// The access key; needs `secret_access_key`. Default: the environment's credentials (see the README).
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// The secret of the access key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The session token of temporary keys.
    #[serde(default)]
    pub session_token: Option<Secret>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

impl ConnectorOptions for S3Options {
    const KIND: &'static str = "s3";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        self.validate(catalog)?;
        let prefix = Path::parse(self.prefix.trim_matches('/')).map_err(|error| {
            configuration(format!("prefix of catalog {catalog} is not a path")).source(error)
        })?;
        let store = self.client(catalog)?.build().map_err(|error| {
            configuration(format!(
                "the options of catalog {catalog} do not make an S3 client"
            ))
            .source(error)
        })?;
        let store = Arc::new(LimitStore::new(store, REQUESTS_MAX));
        let needs = policy(&self.bucket, &self.prefix);
        let files = FilesConnector::new(catalog, Self::KIND, store, prefix);
        Ok(Arc::new(files.with_needs(needs)))
    }
}

fn configuration(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, message)
}

impl S3Options {
    /// Reports every problem at once.
    fn validate(&self, catalog: &str) -> Result<()> {
        let mut problems = Vec::new();
        if self.bucket.is_empty() || self.bucket.contains('/') {
            problems.push("bucket must be the name of a bucket".to_owned());
        }
        if self.region.is_empty() {
            problems.push("region must not be empty".to_owned());
        }
        if let Some(endpoint) = &self.endpoint
            && let Some(problem) = endpoint_problem(endpoint, self.allow_http)
        {
            problems.push(problem.to_owned());
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            problems.push("access_key_id and secret_access_key must be set together".to_owned());
        }
        if self.session_token.is_some() && self.access_key_id.is_none() {
            problems.push("session_token needs access_key_id and secret_access_key".to_owned());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(configuration(format!(
            "catalog {catalog}: {}",
            problems.join("; ")
        )))
    }

    fn client(&self, catalog: &str) -> Result<AmazonS3Builder> {
        let mut builder = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => AmazonS3Builder::new()
                .with_access_key_id(id.expose())
                .with_secret_access_key(secret.expose()),
            _ => AmazonS3Builder::from_env(),
        };
        if let Some(token) = &self.session_token {
            builder = builder.with_token(token.expose());
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(self.endpoint_of_bucket(catalog, endpoint)?);
        }
        Ok(builder
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(!self.is_path_style())
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(self.allow_http)
                    .with_connect_timeout(CONNECT_TIMEOUT)
                    .with_timeout(REQUEST_TIMEOUT),
            )
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIMEOUT,
            }))
    }

    fn is_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }

    /// The endpoint as the client wants it: in virtual-hosted style the host names the bucket already.
    fn endpoint_of_bucket(&self, catalog: &str, endpoint: &str) -> Result<String> {
        let endpoint = endpoint.trim_end_matches('/');
        if self.is_path_style() {
            return Ok(endpoint.to_owned());
        }
        let wrong = || configuration(format!("catalog {catalog}: endpoint is not a URL"));
        let mut url = Url::parse(endpoint).map_err(|_| wrong())?;
        let host = url.host_str().ok_or_else(wrong)?;
        let host = format!("{}.{host}", self.bucket);
        url.set_host(Some(&host)).map_err(|_| wrong())?;
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

fn endpoint_problem(endpoint: &str, allow_http: bool) -> Option<&'static str> {
    let Ok(url) = Url::parse(endpoint) else {
        return Some("endpoint must be a URL, such as https://s3.example.com");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some("endpoint must not hold credentials; set access_key_id and secret_access_key");
    }
    match url.scheme() {
        "https" => None,
        "http" if allow_http => None,
        "http" => Some("endpoint is http; set allow_http = true to send requests unencrypted"),
        _ => Some("endpoint must begin with https:// or http://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> S3Options {
        S3Options {
            bucket: "lake".into(),
            prefix: "tpch/".into(),
            endpoint: Some("http://127.0.0.1:9000".into()),
            region: default_region(),
            allow_http: true,
            path_style: None,
            access_key_id: Some(Secret::new("id")),
            secret_access_key: Some(Secret::new("secret")),
            session_token: None,
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
    fn the_host_names_the_bucket_unless_path_style() {
        let mut options = options();
        let endpoint = "https://s3.example.com:444/";
        assert_eq!(
            options.endpoint_of_bucket("lake", endpoint).unwrap(),
            "https://s3.example.com:444"
        );
        options.path_style = Some(false);
        assert_eq!(
            options.endpoint_of_bucket("lake", endpoint).unwrap(),
            "https://lake.s3.example.com:444"
        );
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
