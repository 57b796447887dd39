//! How connections to the server are encrypted, whom they trust, and who they say they are.
//!
//! The files are read once, when the catalog is opened: a wrong one is a problem of the configuration.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mysql_async::{ClientIdentity, SslOpts};
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

/// A host name that no certificate is made out to.
///
/// The driver recognises a certificate for another host by the text of the error, which names the expected host and
/// otherwise does not hold the word that the driver looks for. With this name as the expected one it does.
const NO_HOST: &str = "NotValidForName.invalid";

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY-----";
const KEY: &str = "PRIVATE KEY-----";

/// The options about encryption, as they are configured.
pub(crate) struct TlsOptions<'a> {
    /// None: by the host.
    pub(crate) tls: Option<Tls>,
    /// Authorities to trust.
    pub(crate) ca_file: Option<&'a PathBuf>,
    /// The client's certificate.
    pub(crate) cert_file: Option<&'a PathBuf>,
    /// The key of the client's certificate.
    pub(crate) key_file: Option<&'a PathBuf>,
}

impl TlsOptions<'_> {
    /// What the driver is told for a server at `host`; `None` for plain TCP. What is wrong is added to `problems`.
    pub(crate) fn for_host(&self, host: &str, problems: &mut Vec<String>) -> Option<SslOpts> {
        let tls = self.tls.unwrap_or(match is_loopback(host) {
            true => Tls::Off,
            false => Tls::VerifyFull,
        });
        self.needs(tls, problems);
        let authorities = self
            .ca_file
            .and_then(|path| pem("ca_file", path, CERTIFICATE, problems));
        let certificate = self
            .cert_file
            .and_then(|path| pem("cert_file", path, CERTIFICATE, problems));
        let key = self
            .key_file
            .and_then(|path| pem("key_file", path, KEY, problems));
        let identity = certificate
            .zip(key)
            .map(|(certificate, key)| ClientIdentity::new(certificate.into(), key.into()));
        let options = SslOpts::default().with_client_identity(identity);
        let trusting = match authorities {
            Some(authorities) => options
                .clone()
                .with_root_certs(vec![authorities.into()])
                .with_disable_built_in_roots(true),
            None => options.clone(),
        };
        match tls {
            Tls::Off => None,
            Tls::Require => Some(options.with_danger_accept_invalid_certs(true)),
            Tls::VerifyCa => Some(
                trusting
                    .with_danger_skip_domain_validation(true)
                    .with_danger_tls_hostname_override(Some(NO_HOST)),
            ),
            Tls::VerifyFull => Some(trusting),
        }
    }

    fn needs(&self, tls: Tls, problems: &mut Vec<String>) {
        if self.ca_file.is_some() && matches!(tls, Tls::Off | Tls::Require) {
            problems.push("option ca_file needs tls = \"verify-ca\" or \"verify-full\"".to_owned());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            problems.push("options cert_file and key_file need each other".to_owned());
        }
        if self.cert_file.is_some() && tls == Tls::Off {
            problems.push("option cert_file needs a tls that is not \"off\"".to_owned());
        }
    }
}

/// Whether `host` is this machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The bytes of a PEM file that holds a block of the kind `marker`.
fn pem(option: &str, path: &Path, marker: &str, problems: &mut Vec<String>) -> Option<Vec<u8>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!(
                "option {option}: could not read {} ({error})",
                path.display()
            ));
            return None;
        }
    };
    if text.contains(ENCRYPTED_KEY) {
        problems.push(format!(
            "option {option}: the key in {} must not be encrypted",
            path.display()
        ));
        return None;
    }
    if !text.contains(marker) {
        let what = marker
            .trim_start_matches("-----BEGIN ")
            .trim_end_matches('-')
            .to_lowercase();
        problems.push(format!(
            "option {option}: {} holds no {what} in PEM form",
            path.display()
        ));
        return None;
    }
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tls: Option<Tls>) -> TlsOptions<'static> {
        TlsOptions {
            tls,
            ca_file: None,
            cert_file: None,
            key_file: None,
        }
    }

    #[test]
    fn encryption_is_the_default_away_from_loopback() {
        let mut problems = Vec::new();
        for host in ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"] {
            assert!(options(None).for_host(host, &mut problems).is_none(), "{host}");
        }
        for host in ["db.example", "10.0.0.1", "localhost.example", "2001:db8::1"] {
            let ssl = options(None).for_host(host, &mut problems).unwrap();
            assert!(
                !ssl.accept_invalid_certs() && !ssl.skip_domain_validation(),
                "{host}"
            );
            assert!(options(Some(Tls::Off)).for_host(host, &mut problems).is_none());
        }
        assert!(problems.is_empty());
    }

    #[test]
    fn each_problem_is_told() {
        let folder = std::env::temp_dir().join(format!("causeway-mysql-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let missing = folder.join("missing.pem");
        let nothing = file("nothing.pem", "hello");
        let locked = file("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----");
        let told = |tls, ca_file, cert_file, key_file| {
            let mut problems = Vec::new();
            let options = TlsOptions {
                tls,
                ca_file,
                cert_file,
                key_file,
            };
            options.for_host("db.example", &mut problems);
            problems.join("; ")
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
        let unfit = told(None, Some(&nothing), Some(&nothing), Some(&locked));
        assert!(unfit.contains("option ca_file") && unfit.contains("holds no certificate in PEM form"));
        assert!(
            unfit.contains("option key_file") && unfit.contains("must not be encrypted"),
            "{unfit}"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
