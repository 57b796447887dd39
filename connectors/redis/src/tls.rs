//! How connections to the server are encrypted, whom they trust, and who they say they are.
//!
//! The files are read once, when the catalog is opened: a wrong one is a problem of the configuration.

use std::net::IpAddr;
use std::path::PathBuf;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use schemars::JsonSchema;
use serde::Deserialize;

/// Whether a connection is encrypted, and what is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Plain TCP.
    Off,
    /// Encrypted, with whatever certificate: safe from listeners, not from somebody in between.
    Require,
    /// Encrypted, and the certificate is signed by a trusted authority, for whatever host.
    VerifyCa,
    /// Encrypted, and the certificate is signed by a trusted authority for the host of the url.
    VerifyFull,
}

/// What the url says about encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UrlScheme {
    /// `redis://`: the options decide.
    Redis,
    /// `rediss://`: encrypted.
    Rediss,
}

/// The options about encryption, as they are configured.
pub(crate) struct TlsOptions<'a> {
    /// None: by the scheme and the host.
    pub(crate) tls: Option<Tls>,
    /// Authorities to trust.
    pub(crate) ca_file: Option<&'a PathBuf>,
    /// The client's certificate.
    pub(crate) cert_file: Option<&'a PathBuf>,
    /// The key of the client's certificate.
    pub(crate) key_file: Option<&'a PathBuf>,
}

impl TlsOptions<'_> {
    /// `info` with the address of the server at `host` and `port`, encrypted or not; one problem or more.
    pub(crate) fn address(
        &self,
        info: ConnectionInfo,
        scheme: UrlScheme,
        host: &str,
        port: u16,
    ) -> Result<ConnectionInfo, Vec<String>> {
        let tls = self.tls.unwrap_or(match scheme {
            UrlScheme::Redis if is_loopback(host) => Tls::Off,
            UrlScheme::Redis | UrlScheme::Rediss => Tls::VerifyFull,
        });
        let mut problems = self.problems(tls, scheme);
        let authorities = self.ca_file.and_then(|path| pem("ca_file", path, &mut problems));
        let certificate = self
            .cert_file
            .and_then(|path| pem("cert_file", path, &mut problems));
        let key = self
            .key_file
            .and_then(|path| pem("key_file", path, &mut problems));
        if !problems.is_empty() {
            return Err(problems);
        }
        if tls == Tls::Off {
            return Ok(info.set_addr(ConnectionAddr::Tcp(host.to_owned(), port)));
        }
        let info = info.set_addr(ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: tls == Tls::Require,
            tls_params: None,
        });
        let certificates = TlsCertificates {
            client_tls: certificate
                .zip(key)
                .map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
            root_cert: authorities,
        };
        let client = Client::build_with_tls(info, certificates).map_err(|error| {
            let reason = error.to_string();
            vec![format!(
                "options ca_file, cert_file and key_file cannot be used ({reason})"
            )]
        })?;
        let info = client.get_connection_info().clone();
        let mut address = info.addr().clone();
        address.set_danger_accept_invalid_hostnames(tls == Tls::VerifyCa);
        Ok(info.set_addr(address))
    }

    fn problems(&self, tls: Tls, scheme: UrlScheme) -> Vec<String> {
        let mut problems = Vec::new();
        if tls == Tls::Off && scheme == UrlScheme::Rediss {
            problems.push("option url asks for TLS (rediss://), option tls is \"off\"".to_owned());
        }
        if self.ca_file.is_some() && matches!(tls, Tls::Off | Tls::Require) {
            problems.push("option ca_file needs tls = \"verify-ca\" or \"verify-full\"".to_owned());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            problems.push("options cert_file and key_file need each other".to_owned());
        }
        if self.cert_file.is_some() && tls == Tls::Off {
            problems.push("option cert_file needs a tls that is not \"off\"".to_owned());
        }
        problems
    }
}

/// Whether `host` is this machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The bytes of a PEM file.
fn pem(option: &str, path: &PathBuf, problems: &mut Vec<String>) -> Option<Vec<u8>> {
    let problem = match std::fs::read(path) {
        Ok(bytes) if String::from_utf8_lossy(&bytes).contains("-----BEGIN ") => return Some(bytes),
        Ok(_) => format!("option {option}: {} holds nothing in PEM form", path.display()),
        Err(error) => format!("option {option}: could not read {} ({error})", path.display()),
    };
    problems.push(problem);
    None
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    fn address(tls: Option<Tls>, scheme: UrlScheme, host: &str) -> Result<ConnectionAddr, Vec<String>> {
        let info = "redis://h".into_connection_info().unwrap();
        let options = TlsOptions {
            tls,
            ca_file: None,
            cert_file: None,
            key_file: None,
        };
        let info = options.address(info, scheme, host, 1)?;
        Ok(info.addr().clone())
    }

    #[test]
    fn encryption_is_the_default_away_from_loopback() {
        for host in ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"] {
            let plain = address(None, UrlScheme::Redis, host).unwrap();
            assert!(matches!(plain, ConnectionAddr::Tcp(..)), "{host}");
            let encrypted = address(None, UrlScheme::Rediss, host).unwrap();
            assert!(
                matches!(encrypted, ConnectionAddr::TcpTls { insecure: false, .. }),
                "{host}"
            );
        }
        for host in ["redis.example", "10.0.0.1", "localhost.example", "2001:db8::1"] {
            let encrypted = address(None, UrlScheme::Redis, host).unwrap();
            assert!(
                matches!(encrypted, ConnectionAddr::TcpTls { insecure: false, .. }),
                "{host}"
            );
            let plain = address(Some(Tls::Off), UrlScheme::Redis, host).unwrap();
            assert!(matches!(plain, ConnectionAddr::Tcp(..)), "{host}");
        }
        assert!(address(Some(Tls::Off), UrlScheme::Rediss, "localhost").is_err());
    }

    #[test]
    fn each_problem_is_told() {
        let missing = PathBuf::from("/nowhere/missing.pem");
        let here = PathBuf::from(file!());
        let nothing = if here.exists() {
            here
        } else {
            PathBuf::from("src/lib.rs")
        };
        let told = |tls, ca_file, cert_file, key_file| {
            let info = "redis://h".into_connection_info().unwrap();
            let options = TlsOptions {
                tls,
                ca_file,
                cert_file,
                key_file,
            };
            options
                .address(info, UrlScheme::Redis, "redis.example", 1)
                .unwrap_err()
                .join("; ")
        };
        let off = told(Some(Tls::Off), Some(&missing), Some(&missing), None);
        for part in [
            "option ca_file needs tls",
            "need each other",
            "cert_file needs a tls",
            "could not read",
        ] {
            assert!(off.contains(part), "{off}");
        }
        let unfit = told(None, Some(&nothing), None, None);
        assert!(unfit.contains("option ca_file"), "{unfit}");
    }
}
