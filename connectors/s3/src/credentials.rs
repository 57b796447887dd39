//! Credentials of a catalog: keys from its options, or the chain of the AWS SDK, with a role on top if one is asked for.
//!
//! The chain is the server's own: environment, profiles, web identity, containers, instance metadata. Nothing of it can
//! be named from SQL. Credentials that expire are replaced before they do, by one request however many reads wait.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use causeway_spi::{ConnectorError, ErrorKind, Secret, source_timeout};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::OnceCell;

use crate::chain_client::chain_client;

/// The longest wait for credentials; a query's own `source_timeout` may be shorter.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
/// Credentials are replaced this long before they expire, or in the last fifth of their life if that is shorter.
const REPLACE_BEFORE: Duration = Duration::from_secs(300);
/// While credentials are still good, a failed replacement is tried again after this time.
const REPLACE_RETRY: Duration = Duration::from_secs(5);
/// Answers of AWS that say why; nothing else of an answer is shown.
const CODES: [&str; 12] = [
    "AccessDenied",
    "ExpiredToken",
    "IDPCommunicationError",
    "IDPRejectedClaim",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "MalformedPolicyDocument",
    "RegionDisabled",
    "SignatureDoesNotMatch",
    "Throttling",
    "ValidationError",
];

/// Where the credentials of a catalog come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// The access key's id, its secret and perhaps a session token. Without: the chain.
    pub(crate) keys: Option<(Secret, Secret, Option<Secret>)>,
    /// The one profile of the shared files to use instead of the whole chain.
    pub(crate) profile: Option<String>,
    /// The role to assume with those.
    pub(crate) role: Option<Role>,
}

/// A role of AWS to act in.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) external_id: Option<Secret>,
    pub(crate) session_name: String,
}

/// What object_store asks for credentials before each request.
pub(crate) struct CatalogCredentials {
    catalog: String,
    region: String,
    origin: Origin,
    provider: OnceCell<SharedCredentialsProvider>,
    state: Mutex<State>,
    /// Held by the one who asks for new credentials.
    replacing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// The last failure: those who waited meanwhile get it, too, instead of asking one after another.
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Current {
    credential: Arc<AwsCredential>,
    /// When to ask for others, and when these are worth nothing. `None`: never.
    life: Option<(SystemTime, SystemTime)>,
}

struct Failure {
    at: Instant,
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Failure {
    fn of(error: &ConnectorError) -> Self {
        Self {
            at: Instant::now(),
            kind: error.kind(),
            message: error.message().to_owned(),
            detail: error.detail_text().map(ToOwned::to_owned),
            hint: error.hint_text().map(ToOwned::to_owned),
        }
    }

    fn error(&self) -> ConnectorError {
        let mut error = ConnectorError::new(self.kind, &self.message);
        if let Some(detail) = &self.detail {
            error = error.detail(detail);
        }
        match &self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl Current {
    fn of(credentials: &Credentials, now: SystemTime) -> Self {
        let life = credentials.expiry().map(|end| {
            let left = end.duration_since(now).unwrap_or_default();
            (end - REPLACE_BEFORE.min(left / 5), end)
        });
        Self {
            credential: Arc::new(AwsCredential {
                key_id: credentials.access_key_id().to_owned(),
                secret_key: credentials.secret_access_key().to_owned(),
                token: credentials.session_token().map(ToOwned::to_owned),
            }),
            life,
        }
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        self.life.is_none_or(|(replace, _)| now < replace)
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.life.is_none_or(|(_, end)| now < end)
    }
}

impl fmt::Debug for CatalogCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CatalogCredentials({})", self.catalog)
    }
}

#[async_trait]
impl CredentialProvider for CatalogCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let found = self.credential().await;
        found.map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(error),
        })
    }
}

impl CatalogCredentials {
    /// Credentials for `catalog`, whose roles are assumed in `region`. Asks nobody yet.
    pub(crate) fn new(catalog: &str, region: &str, origin: Origin) -> Self {
        Self {
            catalog: catalog.to_owned(),
            region: region.to_owned(),
            origin,
            provider: OnceCell::new(),
            state: Mutex::default(),
            replacing: tokio::sync::Mutex::default(),
        }
    }

    /// Credentials that have not expired.
    async fn credential(&self) -> Result<Arc<AwsCredential>, ConnectorError> {
        let current = self.state().current.clone();
        match current {
            Some(current) if current.is_fresh(SystemTime::now()) => Ok(current.credential),
            Some(current) if current.is_good(SystemTime::now()) => self.replace(current).await,
            _ => self.wait_for_new().await,
        }
    }

    /// Asks for others, unless somebody does so already; `current` serves until it has expired.
    async fn replace(&self, current: Current) -> Result<Arc<AwsCredential>, ConnectorError> {
        let Ok(_alone) = self.replacing.try_lock() else {
            return Ok(current.credential);
        };
        let error = match self.ask().await {
            Ok(credential) => return Ok(credential),
            Err(error) => error,
        };
        let now = SystemTime::now();
        if !current.is_good(now) {
            return Err(error);
        }
        tracing::warn!(catalog = self.catalog, %error, "credentials could not be replaced yet");
        let later = current.life.map(|(_, end)| (end.min(now + REPLACE_RETRY), end));
        self.state().current = Some(Current {
            life: later,
            ..current.clone()
        });
        Ok(current.credential)
    }

    async fn wait_for_new(&self) -> Result<Arc<AwsCredential>, ConnectorError> {
        let began = Instant::now();
        let _alone = self.replacing.lock().await;
        {
            let state = self.state();
            if let Some(current) = &state.current
                && current.is_good(SystemTime::now())
            {
                return Ok(Arc::clone(&current.credential));
            }
            if let Some(failure) = &state.failure
                && failure.at >= began
            {
                return Err(failure.error());
            }
        }
        self.ask().await
    }

    /// Asks the origin and keeps what it says.
    async fn ask(&self) -> Result<Arc<AwsCredential>, ConnectorError> {
        // Less than the whole wait, so that the error tells of the credentials and not of the store.
        let deadline = (source_timeout() * 4 / 5).min(CREDENTIALS_TIMEOUT);
        let answer = tokio::time::timeout(deadline, async {
            let provider = self.provider.get_or_init(|| self.make_provider()).await;
            provider.provide_credentials().await
        });
        let answer = match answer.await {
            Err(_) => Err(self.late(deadline)),
            Ok(Err(error)) => Err(self.refused(error)),
            Ok(Ok(credentials)) => self.accepted(&credentials),
        };
        let mut state = self.state();
        match answer {
            Ok(current) => {
                let credential = Arc::clone(&current.credential);
                state.current = Some(current);
                state.failure = None;
                Ok(credential)
            }
            Err(error) => {
                state.failure = Some(Failure::of(&error));
                Err(error)
            }
        }
    }

    fn accepted(&self, credentials: &Credentials) -> Result<Current, ConnectorError> {
        let now = SystemTime::now();
        let current = Current::of(credentials, now);
        if current.is_good(now) {
            return Ok(current);
        }
        let error = self.error(ErrorKind::LoginRefused);
        Err(error.detail("Those that were given have expired already."))
    }

    async fn make_provider(&self) -> SharedCredentialsProvider {
        let region = Region::new(self.region.clone());
        let client = chain_client();
        let timeouts = TimeoutConfig::builder().operation_timeout(CREDENTIALS_TIMEOUT);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.clone())
            .timeout_config(timeouts.build())
            .region(region.clone());
        if let Some((id, secret, token)) = &self.origin.keys {
            let token = token.as_ref().map(|token| token.expose().to_owned());
            loader = loader.credentials_provider(Credentials::new(
                id.expose(),
                secret.expose(),
                token,
                None,
                "options",
            ));
        } else if let Some(profile) = &self.origin.profile {
            let config = ProviderConfig::without_region()
                .with_region(Some(region))
                .with_http_client(client);
            let profile_only = ProfileFileCredentialsProvider::builder()
                .configure(&config)
                .profile_name(profile)
                .build();
            loader = loader.profile_name(profile).credentials_provider(profile_only);
        }
        let config = loader.load().await;
        match &self.origin.role {
            Some(role) => {
                let mut builder = AssumeRoleProvider::builder(&role.arn)
                    .configure(&config)
                    .session_name(&role.session_name);
                if let Some(external_id) = &role.external_id {
                    builder = builder.external_id(external_id.expose());
                }
                SharedCredentialsProvider::new(builder.build().await)
            }
            None => config
                .credentials_provider()
                .expect("a loader that is not told otherwise has a provider"),
        }
    }

    fn error(&self, kind: ErrorKind) -> ConnectorError {
        let message = format!("could not get credentials for catalog {}", self.catalog);
        ConnectorError::new(kind, message)
    }

    fn late(&self, deadline: Duration) -> ConnectorError {
        let seconds = deadline.as_secs_f64();
        self.error(ErrorKind::Timeout)
            .detail(format!("Nobody gave any within {seconds} s."))
            .hint("Check that the metadata or token service of the catalog's credentials can be reached.")
    }

    fn refused(&self, error: CredentialsError) -> ConnectorError {
        let refused = |detail: &str| {
            self.error(ErrorKind::LoginRefused)
                .detail(detail)
                .hint(self.origin.hint())
        };
        let told = match &error {
            CredentialsError::CredentialsNotLoaded(_) => refused("None were found."),
            CredentialsError::ProviderTimedOut(_) => self.late(CREDENTIALS_TIMEOUT),
            CredentialsError::InvalidConfiguration(_) => refused("What describes them is not usable."),
            other => match code_in(other) {
                Some(code) => refused(&format!("The answer was {code}.")),
                None => refused("The one who gives them failed."),
            },
        };
        told.source(error)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// What to look at when there are no credentials.
    fn hint(&self) -> String {
        if let Some(role) = &self.role {
            return format!(
                "Check that the catalog's credentials may assume the role {}.",
                role.arn
            );
        }
        match &self.profile {
            Some(profile) => format!("Check profile {profile} in the shared AWS files of the server's user."),
            None => "Set access_key_id and secret_access_key, or profile, or anonymous = true for a public bucket."
                .to_owned(),
        }
    }
}

/// The known code in what an origin said.
fn code_in(error: &CredentialsError) -> Option<&'static str> {
    let mut current: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = current {
        let text = format!("{error} {error:?}");
        if let Some(code) = CODES.iter().find(|code| text.contains(**code)) {
            return Some(code);
        }
        current = error.source();
    }
    None
}
