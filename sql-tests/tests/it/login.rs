//! Who may connect: SCRAM-SHA-256 with stored verifiers, TLS, channel binding, and what is told to those who may not.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use causeway_sql_tests::client::failure;
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::{Server, binary};
use causeway_sql_tests::services::has_psql;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

use crate::operations::reload;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// A startup packet of protocol 3.0 for user ann.
const STARTUP_OF_ANN: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0ann\0\0";

/// What `causeway hash-password` prints for `password`.
pub(crate) fn hashed(password: &str) -> String {
    let mut child = Command::new(binary().unwrap())
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{password}\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn url(server: &Server, user: &str, password: &str) -> String {
    format!(
        "host=127.0.0.1 port={} user={user} password={password} dbname=causeway",
        server.port()
    )
}

async fn sqlstate_of_login(server: &Server, user: &str, password: &str) -> Result<(), (String, String)> {
    match tokio_postgres::connect(&url(server, user, password), NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            client.simple_query("SELECT 1").await.unwrap();
            Ok(())
        }
        Err(error) => {
            let failure = failure(error).unwrap();
            Err((failure.sqlstate, failure.message))
        }
    }
}

#[tokio::test]
async fn passwords_are_checked_and_unknown_users_fail_alike() {
    let config = Config::new()
        .user("ann", &hashed("s3cret"))
        .user("bob", &hashed("pässwörd"));
    let server = Server::start(&config).unwrap();
    assert_eq!(sqlstate_of_login(&server, "ann", "s3cret").await, Ok(()));
    assert_eq!(sqlstate_of_login(&server, "bob", "pässwörd").await, Ok(()));
    for (user, password) in [("ann", "S3cret"), ("bob", "s3cret"), ("eve", "s3cret")] {
        let expected = (
            "28P01".to_owned(),
            format!("password authentication failed for user \"{user}\""),
        );
        assert_eq!(
            sqlstate_of_login(&server, user, password).await,
            Err(expected),
            "{user}"
        );
    }
    // Who is not let in does not learn which databases there are.
    let nowhere = url(&server, "eve", "x").replace("dbname=causeway", "dbname=nowhere");
    let error = tokio_postgres::connect(&nowhere, NoTls).await.err().unwrap();
    assert_eq!(failure(error).unwrap().sqlstate, "28P01");
    assert!(!server.log().contains("s3cret"), "{}", server.log());
}

#[tokio::test]
async fn messages_that_are_no_login_end_the_connection() {
    let server = Server::start(&Config::new().user("ann", &hashed("s3cret"))).unwrap();
    let password = |body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap();
        [b"p", length.to_be_bytes().as_slice(), body].concat()
    };
    let nonsense: [Vec<u8>; 8] = [
        b"Q\0\0\0\x0dSELECT 1\0".to_vec(),
        b"p\xff\xff\xff\xff".to_vec(),
        b"p\0\xff\xff\xff".to_vec(),
        password(b""),
        password(b"SCRAM-SHA-256\0"),
        password(b"SCRAM-SHA-1\0\0\0\0\x03n,,"),
        password(b"SCRAM-SHA-256\0\0\0\0\x03\xff\xfe\xfd"),
        password(b"SCRAM-SHA-256\0\0\0\0\x14p=tls-unique,,n=,r=a"),
    ];
    for bytes in nonsense {
        let answer = exchange(&server, &[STARTUP_OF_ANN, &bytes].concat()).await;
        assert_eq!(answer.first(), Some(&b'R'), "{bytes:?}");
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.contains("SFATAL\0") && text.contains("C08P01\0"),
            "{bytes:?}: {text}"
        );
    }
    // A first message that is right, and a proof that cannot be.
    let first = password(b"SCRAM-SHA-256\0\0\0\0\x13n,,n=,r=clientnonce");
    let last = password(b"c=biws,r=clientnonce,p=AAAA");
    let answer = exchange(&server, &[STARTUP_OF_ANN, &first, &last].concat()).await;
    assert!(
        String::from_utf8_lossy(&answer).contains("SFATAL\0"),
        "{answer:?}"
    );
    assert_eq!(sqlstate_of_login(&server, "ann", "s3cret").await, Ok(()));
}

/// Sends `bytes` and returns all that comes until the server closes.
async fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))
        .await
        .unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // The server may close before it has read everything, which resets the connection.
    let reading = async { while matches!(socket.read_buf(&mut answer).await, Ok(read) if read > 0) {} };
    tokio::time::timeout(ANSWERED_WITHIN, reading)
        .await
        .expect("the server closes");
    answer
}

/// A certificate for localhost that is its own authority, in files.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("server.crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("server.key"), made.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("server.crt")
    }

    fn config(&self, required: bool) -> Config {
        let line = format!(
            "tls = {{ cert_file = {:?}, key_file = {:?}, required = {required} }}",
            self.certificate(),
            self.folder.path().join("server.key")
        );
        Config::new().user("ann", &hashed("s3cret")).server(&line)
    }
}

fn psql(server: &Server, options: &str, root: &Path) -> Output {
    let target = format!(
        "host=localhost port={} user=ann dbname=causeway {options}",
        server.port()
    );
    Command::new("psql")
        .args(["-X", "-A", "-t", "-c", "SELECT 'in'", &target])
        .env("PGPASSWORD", "s3cret")
        .env("PGSSLROOTCERT", root)
        .output()
        .unwrap()
}

#[test]
fn psql_connects_by_tls_and_binds_its_login_to_the_channel() {
    if !has_psql() {
        return;
    }
    let certificate = Certificate::new();
    let server = Server::start(&certificate.config(true)).unwrap();
    let root = certificate.certificate();
    for options in [
        "sslmode=verify-full channel_binding=require",
        "sslmode=require channel_binding=disable",
        "sslmode=prefer",
    ] {
        let output = psql(&server, options, &root);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "in\n",
            "{options}: {output:?}"
        );
    }
    let output = psql(&server, "sslmode=disable", &root);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("the server requires encryption"),
        "{told}"
    );
    // Another authority is not believed by the client, and the server lives on.
    let other = Certificate::new();
    let output = psql(&server, "sslmode=verify-full", &other.certificate());
    assert!(!output.status.success(), "{output:?}");
    assert!(psql(&server, "sslmode=verify-full", &root).status.success());
}

#[test]
fn plain_clients_may_come_where_encryption_is_not_required() {
    if !has_psql() {
        return;
    }
    let certificate = Certificate::new();
    let server = Server::start(&certificate.config(false)).unwrap();
    for options in ["sslmode=disable", "sslmode=verify-full channel_binding=require"] {
        let output = psql(&server, options, &certificate.certificate());
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "in\n",
            "{options}: {output:?}"
        );
    }
}

#[tokio::test]
async fn a_client_may_begin_with_tls_at_once() {
    let certificate = Certificate::new();
    let server = Server::start(&certificate.config(true)).unwrap();
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(certificate.certificate()).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))
        .await
        .unwrap();
    let mut encrypted = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), socket)
        .await
        .unwrap();
    encrypted.write_all(STARTUP_OF_ANN).await.unwrap();
    let mut head = [0; 64];
    let read = tokio::time::timeout(ANSWERED_WITHIN, encrypted.read(&mut head))
        .await
        .expect("an answer")
        .unwrap();
    let text = String::from_utf8_lossy(&head[..read]);
    assert!(
        text.starts_with('R') && text.contains("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
        "{text:?}"
    );
}

#[tokio::test]
async fn a_reload_changes_users_and_a_wrong_file_does_not() {
    let config = Config::new()
        .user("ann", &hashed("first"))
        .user("eve", &hashed("evil"));
    let server = Server::start(&config).unwrap();
    let (client, connection) = tokio_postgres::connect(&url(&server, "eve", "evil"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let changed = Config::new()
        .user("ann", &hashed("second"))
        .user("bob", &hashed("new"));
    let told = reload(&server, &changed.render(server.port())).await;
    assert!(told.contains(" reloaded "), "{told}");
    assert!(!told.contains("a restart"), "{told}");
    for (user, password, enters) in [
        ("ann", "second", true),
        ("ann", "first", false),
        ("bob", "new", true),
        ("eve", "evil", false),
    ] {
        let login = sqlstate_of_login(&server, user, password).await;
        assert_eq!(login.is_ok(), enters, "{user} {password}: {login:?}");
    }
    // Who is in stays in.
    client.simple_query("SELECT 1").await.unwrap();

    let wrong = Config::new()
        .user("ann", "SCRAM-SHA-256$nonsense")
        .render(server.port());
    let told = reload(&server, &wrong).await;
    assert!(
        told.contains("users.ann.verifier") && told.contains("nothing has changed"),
        "{told}"
    );
    assert!(!told.contains("nonsense"), "{told}");
    assert_eq!(sqlstate_of_login(&server, "ann", "second").await, Ok(()));

    // Letting everybody in is not done by a reload, and with it no other change of the door.
    let told = reload(&server, &Config::new().render(server.port())).await;
    assert!(
        told.contains("server.authentication has changed: it counts after a restart"),
        "{told}"
    );
    assert!(told.contains("users and certificates are as before"), "{told}");
    assert!(sqlstate_of_login(&server, "nobody", "x").await.is_err());
    assert_eq!(sqlstate_of_login(&server, "bob", "new").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_new_certificates_and_leaves_wrong_ones() {
    if !has_psql() {
        return;
    }
    let (first, second) = (Certificate::new(), Certificate::new());
    let config = first.config(true);
    let server = Server::start(&config).unwrap();
    let roots = tempfile::tempdir().unwrap();
    let [old, new] = ["old.crt", "new.crt"].map(|name| roots.path().join(name));
    std::fs::copy(first.certificate(), &old).unwrap();
    std::fs::copy(second.certificate(), &new).unwrap();
    let enters = |root: &Path| {
        psql(&server, "sslmode=verify-full channel_binding=require", root)
            .status
            .success()
    };
    assert!(enters(&old) && !enters(&new));

    // The same names, with another certificate and key behind them.
    for name in ["server.crt", "server.key"] {
        std::fs::copy(second.folder.path().join(name), first.folder.path().join(name)).unwrap();
    }
    assert!(enters(&old) && !enters(&new));
    let told = reload(&server, &config.render(server.port())).await;
    assert!(told.contains(" reloaded "), "{told}");
    assert!(!enters(&old) && enters(&new));

    // A key that is not the certificate's.
    std::fs::copy(&old, first.certificate()).unwrap();
    let told = reload(&server, &config.render(server.port())).await;
    assert!(
        told.contains("server.tls") && told.contains("nothing has changed"),
        "{told}"
    );
    assert!(!enters(&old) && enters(&new));
    std::fs::remove_file(first.certificate()).unwrap();
    let told = reload(&server, &config.render(server.port())).await;
    assert!(told.contains("nothing has changed"), "{told}");
    assert!(enters(&new));
}
