//! From options to the client of the store, once the bucket's region is known.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use causeway_spi::source_timeout;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use url::Url;

use crate::chain_client::chain_client;
use crate::credentials::{CatalogCredentials, Origin, Role};
use crate::options::S3Options;
use crate::redirects::RegionKeeper;

/// The region when none is configured and none can be found.
const REGION_DEFAULT: &str = "us-east-1";
/// The longest wait for the machine's metadata service to say its region.
const REGION_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a connection to the store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for one request with its whole answer; each part of it is awaited as long as the query allows.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3600);
/// No request is tried again after this time: a dead endpoint is an error within 15 seconds.
const RETRY_TIMEOUT: Duration = Duration::from_secs(9);
/// Tries of one request after the first.
const RETRIES_MAX: usize = 3;
/// The name of an assumed role's session, which its owner sees in logs.
const SESSION_NAME: &str = "causeway";

/// The checked options of one catalog.
pub(crate) struct Settings {
    pub(crate) catalog: String,
    pub(crate) options: S3Options,
}

impl Settings {
    /// The region that needs nobody to be asked, if there is one.
    pub(crate) fn known_region(&self) -> Option<&str> {
        let of_store = self.options.endpoint.is_some().then_some(REGION_DEFAULT);
        self.options.region.as_deref().or(of_store)
    }

    /// The region: configured, or of the environment, the profile or the machine.
    pub(crate) async fn find_region(&self) -> String {
        if let Some(region) = self.known_region() {
            return region.to_owned();
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(chain_client())
            .no_credentials();
        if let Some(profile) = &self.options.profile {
            loader = loader.profile_name(profile);
        }
        let found = tokio::time::timeout(source_timeout().min(REGION_TIMEOUT), loader.load()).await;
        let found = found.ok().and_then(|config| config.region().cloned());
        found.map_or_else(|| REGION_DEFAULT.to_owned(), |region| region.to_string())
    }

    /// The client for a bucket in `region`.
    pub(crate) fn client(&self, region: &str) -> object_store::Result<AmazonS3> {
        let options = &self.options;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&options.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(!options.is_path_style())
            .with_request_payer(options.requester_pays)
            .with_http_connector(RegionKeeper::default())
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(options.allow_http)
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
            });
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(self.endpoint_of_bucket(endpoint));
        }
        if let Some(key) = &options.sse_customer_key {
            builder = builder.with_ssec_encryption(key.expose());
        }
        if options.anonymous {
            return builder.with_skip_signature(true).build();
        }
        let credentials = CatalogCredentials::new(&self.catalog, region, self.origin());
        builder.with_credentials(Arc::new(credentials)).build()
    }

    fn origin(&self) -> Origin {
        let options = &self.options;
        let keys = match (&options.access_key_id, &options.secret_access_key) {
            (Some(id), Some(secret)) => Some((id.clone(), secret.clone(), options.session_token.clone())),
            _ => None,
        };
        let role = options.role_arn.as_ref().map(|arn| Role {
            arn: arn.clone(),
            external_id: options.external_id.clone(),
            session_name: options
                .role_session_name
                .clone()
                .unwrap_or_else(|| SESSION_NAME.to_owned()),
        });
        Origin {
            keys,
            profile: options.profile.clone(),
            role,
        }
    }

    /// The endpoint as the client wants it: in virtual-hosted style the host names the bucket already.
    fn endpoint_of_bucket(&self, endpoint: &str) -> String {
        let endpoint = endpoint.trim_end_matches('/');
        let named = || {
            let mut url = Url::parse(endpoint).ok()?;
            let host = format!("{}.{}", self.options.bucket, url.host_str()?);
            url.set_host(Some(&host)).ok()?;
            Some(url.as_str().trim_end_matches('/').to_owned())
        };
        let named = if self.options.is_path_style() {
            None
        } else {
            named()
        };
        named.unwrap_or_else(|| endpoint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_names_the_bucket_unless_path_style() {
        let mut settings = Settings {
            catalog: "lake".into(),
            options: crate::options::tests::options(),
        };
        let endpoint = "https://s3.example.com:444/";
        assert_eq!(
            settings.endpoint_of_bucket(endpoint),
            "https://s3.example.com:444"
        );
        settings.options.path_style = Some(false);
        assert_eq!(
            settings.endpoint_of_bucket(endpoint),
            "https://lake.s3.example.com:444"
        );
    }
}
