//! TLS of the endpoint, by rustls: the certificate that clients see, and what binds a login to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgwire::api::auth::sasl::scram::ScramServerAuth;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The protocol's name in TLS's own negotiation, for clients that begin with TLS.
const PROTOCOL: &[u8] = b"postgresql";

/// The `[server.tls]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and its chain, PEM.
    pub cert_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
    /// Refuse clients that do not encrypt. Default: `true`, unless the endpoint listens on loopback.
    pub required: Option<bool>,
}

/// TLS, ready to accept.
#[derive(Clone)]
pub struct Tls {
    /// Accepts handshakes.
    pub acceptor: TlsAcceptor,
    /// The SCRAM exchange of encrypted connections, bound to the certificate where its kind of signature allows it.
    pub scram: ScramServerAuth,
    /// Whether the certificate's signature allows channel binding.
    pub binds_channel: bool,
    /// Whether clients must encrypt.
    pub required: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key. Errors: what is wrong, with its key's path.
    pub fn read(config: &TlsConfig, loopback: bool) -> Result<Self, String> {
        let pem = read(&config.cert_file, "cert_file")?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("server.tls.cert_file: {error}"))?;
        if chain.is_empty() {
            return Err("server.tls.cert_file: holds no certificate".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&config.key_file, "key_file")?)
            .map_err(|error| format!("server.tls.key_file: {error}"))?;
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| format!("server.tls: {error}"))?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        let mut scram = ScramServerAuth::new();
        let binds_channel = scram.configure_certificate(&pem).is_ok();
        if !binds_channel {
            scram = ScramServerAuth::new();
        }
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            scram,
            binds_channel,
            required: config.required.unwrap_or(!loopback),
        })
    }
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("server.tls.{key}: could not read {}: {error}", path.display()))
}
