//! Encrypted connections to a server of our own: whom the catalog trusts, and who it says it is.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_spi::{Connector, ErrorKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::described;

/// A server that speaks TLS only, with a certificate for `localhost` alone.
struct TlsServer {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl TlsServer {
    /// `None`, said loudly, where no server can be started. `clients` is the server's `tls-auth-clients`.
    fn start(clients: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        make_certificates(&folder);
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let started = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--tls-port", &port.to_string(), "--tls-auth-clients", clients])
            .args([
                "--tls-cert-file",
                &path("server.crt"),
                "--tls-key-file",
                &path("server.key"),
            ])
            .args([
                "--tls-ca-cert-file",
                &path("ca.crt"),
                "--dir",
                folder.path().to_str().unwrap(),
            ])
            .args(["--user", "ann", "on", ">s3cret", "~*", "+@read", "+@connection"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            // Past the test runner's capture: a skipped test must be seen.
            let _ = writeln!(std::io::stderr(), "SKIPPED: redis-server is not installed");
            return None;
        };
        let server = Self {
            folder,
            port,
            process,
        };
        server.wait();
        Some(server)
    }

    fn wait(&self) {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the server does not listen"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn catalog(&self, scheme_and_host: &str, options: &str) -> Arc<dyn Connector> {
        let url = format!("{scheme_and_host}:{}/0", self.port);
        described(&url, options, "key = \"it:tls:{id}\"\ncolumns = [\"id bigint\"]")
    }

    /// The option that trusts this server's authority.
    fn authority(&self) -> String {
        format!("ca_file = {:?}", self.path("ca.crt"))
    }
}

/// Two authorities, the server's certificate by the first, and one for a client.
fn make_certificates(folder: &TempDir) {
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let ours = authority("ours");
    write("ca.crt", ours.pem());
    write("other.crt", authority("other").pem());
    for (name, host) in [("server", "localhost"), ("client", "ann")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        write(
            &format!("{name}.crt"),
            params.signed_by(&key, &ours).unwrap().pem(),
        );
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// What a ping says: nothing, or why not.
async fn refusal(catalog: &Arc<dyn Connector>) -> Option<String> {
    let error = catalog.ping().await.err()?;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(
        error.message(),
        "could not reach the Redis server of catalog cache"
    );
    Some(format!(
        "{} {}",
        error.detail_text().unwrap_or_default(),
        error.hint_text().unwrap_or_default()
    ))
}

#[tokio::test]
async fn certificates_are_checked_as_configured() {
    let Some(server) = TlsServer::start("no") else {
        return;
    };
    let ours = server.authority();
    let other = format!("ca_file = {:?}", server.path("other.crt"));
    let with = |tls: &str, authority: &str| format!("tls = \"{tls}\"\n{authority}");
    for (url, options) in [
        ("rediss://localhost", ours.clone()),
        ("redis://localhost", with("verify-full", &ours)),
        ("rediss://127.0.0.1", with("verify-ca", &ours)),
        ("redis://127.0.0.1", with("require", "")),
        ("rediss://localhost", with("require", "")),
    ] {
        let catalog = server.catalog(url, &options);
        assert_eq!(refusal(&catalog).await, None, "{url} {options}");
        assert_eq!(catalog.tables("public").await.unwrap(), ["t"]);
    }
    for (url, options, part) in [
        // No authority of the system has signed it.
        ("rediss://localhost", String::new(), "certificate"),
        ("rediss://localhost", other.clone(), "certificate"),
        ("rediss://127.0.0.1", ours.clone(), "certificate"),
        ("redis://127.0.0.1", with("verify-ca", &other), "certificate"),
        // Plain words to a server that wants TLS.
        ("redis://127.0.0.1", String::new(), ""),
    ] {
        let refused = refusal(&server.catalog(url, &options)).await;
        let refused = refused.unwrap_or_else(|| panic!("{url} {options} connected"));
        assert!(refused.contains(part), "{url} {options}: {refused}");
    }
}

#[tokio::test]
async fn a_server_may_want_a_certificate_of_the_client() {
    let Some(server) = TlsServer::start("yes") else {
        return;
    };
    let ours = server.authority();
    let identity = format!(
        "{ours}\ncert_file = {:?}\nkey_file = {:?}",
        server.path("client.crt"),
        server.path("client.key")
    );
    assert!(
        refusal(&server.catalog("rediss://localhost", &ours))
            .await
            .is_some()
    );
    assert_eq!(
        refusal(&server.catalog("rediss://localhost", &identity)).await,
        None
    );
}

#[tokio::test]
async fn a_login_over_tls() {
    let Some(server) = TlsServer::start("no") else {
        return;
    };
    let password = server.path("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let wrong = server.path("wrong");
    std::fs::write(&wrong, "s3cret2").unwrap();
    let options = |file: &PathBuf| {
        format!(
            "{}\nusername = \"ann\"\npassword = {{ file = {file:?} }}",
            server.authority()
        )
    };
    let catalog = server.catalog("rediss://localhost", &options(&password));
    assert_eq!(refusal(&catalog).await, None);
    let error = server
        .catalog("rediss://localhost", &options(&wrong))
        .ping()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRefused);
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

/// The hint says what to do about it.
#[tokio::test]
async fn a_server_without_tls() {
    let Some(url) = std::env::var("TEST_REDIS_URL").ok().filter(|url| !url.is_empty()) else {
        return;
    };
    let catalog = described(
        &url,
        "tls = \"verify-full\"\nconnect_timeout = \"1s\"",
        "key = \"it:tls:{id}\"\ncolumns = [\"id bigint\"]",
    );
    let error = catalog.ping().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
        "{error:?}"
    );
    assert_eq!(
        error.hint_text(),
        Some("Set tls = \"off\" if the server has no TLS at this port.")
    );
}
