//! Encrypted connections: whom they trust, whom they refuse, and that no password travels in the clear.

use std::path::{Path, PathBuf};

use causeway_mysql::{MySqlOptions, Tls};
use causeway_spi::{ConnectorError, ConnectorOptions, ErrorKind, Secret};
use mysql_async::prelude::Queryable;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{load, options, read, scan, server, texts};
use crate::own_server::OwnServer;

/// An authority, what it has signed, and an authority that has signed something else.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// The server's certificate is made out to the address 127.0.0.1 and to nothing else.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let ours = authority("our authority");
        let theirs = authority("their authority");
        write("ours.pem", ours.pem());
        write("theirs.pem", theirs.pem());
        for (name, issuer, host) in [
            ("server", &ours, "127.0.0.1"),
            ("client", &ours, "client.example"),
            ("stranger", &theirs, "client.example"),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, issuer).unwrap();
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn argument(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[tokio::test]
async fn certificates_are_checked_as_configured() {
    let certificates = Certificates::new();
    let arguments = [
        argument("ssl-ca", &certificates.path("ours.pem")),
        argument("ssl-cert", &certificates.path("server.pem")),
        argument("ssl-key", &certificates.path("server.key")),
        // The catalog's names are those of the server, which keeps them in lower case.
        "--lower-case-table-names=1".to_owned(),
    ];
    let Some(own) = OwnServer::start(&arguments).await else {
        return;
    };
    let mut admin = own.admin().await;
    for statement in [
        "CREATE DATABASE Enc",
        "CREATE VIEW Enc.Seen AS SELECT VARIABLE_VALUE AS cipher FROM information_schema.SESSION_STATUS
            WHERE VARIABLE_NAME = 'Ssl_cipher'",
        "CREATE USER plain, plain@localhost",
        "CREATE USER known, known@localhost REQUIRE X509",
        "GRANT SELECT ON enc.* TO plain, plain@localhost, known, known@localhost",
    ] {
        admin.query_drop(statement).await.unwrap();
    }
    let with = |host: &str, tls: Tls, authority: Option<&str>| {
        let mut options = own.options("plain", host);
        options.tls = Some(tls);
        options.ca_file = authority.map(|name| certificates.path(name));
        options
    };
    assert_eq!(
        cipher(own.options("plain", "127.0.0.1")).await.unwrap(),
        "",
        "off on loopback"
    );
    for accepted in [
        with("127.0.0.1", Tls::Require, None),
        with("localhost", Tls::VerifyCa, Some("ours.pem")),
        with("127.0.0.1", Tls::VerifyCa, Some("ours.pem")),
        with("127.0.0.1", Tls::VerifyFull, Some("ours.pem")),
    ] {
        let shown = format!("{accepted:?}");
        assert!(cipher(accepted).await.unwrap().contains("AES"), "{shown}");
    }
    for (refused, detail, hint) in [
        (
            with("127.0.0.1", Tls::VerifyFull, Some("theirs.pem")),
            "UnknownIssuer",
            "ca_file",
        ),
        (
            with("127.0.0.1", Tls::VerifyCa, Some("theirs.pem")),
            "UnknownIssuer",
            "ca_file",
        ),
        (
            with("127.0.0.1", Tls::VerifyFull, None),
            "UnknownIssuer",
            "ca_file",
        ),
        (
            with("localhost", Tls::VerifyFull, Some("ours.pem")),
            "not valid for name",
            "verify-ca",
        ),
    ] {
        let shown = format!("{refused:?}");
        let error = cipher(refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{shown}");
        assert_eq!(error.message(), "could not reach the server of catalog shop");
        assert!(
            error.detail_text().unwrap().contains(detail),
            "{shown}: {error:?}"
        );
        assert!(error.hint_text().unwrap().contains(hint), "{shown}: {error:?}");
    }

    let known = |certificate: Option<&str>| {
        let mut options = own.options("known", "127.0.0.1");
        options.tls = Some(Tls::VerifyFull);
        options.ca_file = Some(certificates.path("ours.pem"));
        options.cert_file = certificate.map(|name| certificates.path(&format!("{name}.pem")));
        options.key_file = certificate.map(|name| certificates.path(&format!("{name}.key")));
        options
    };
    assert!(cipher(known(Some("client"))).await.unwrap().contains("AES"));
    let error = cipher(known(None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRefused);
    assert!(error.hint_text().unwrap().contains("cert_file"), "{error:?}");
    let error = cipher(known(Some("stranger"))).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::LoginRefused | ErrorKind::Unavailable),
        "{error:?}"
    );
}

/// The cipher of a session with these options, by the server's account.
async fn cipher(options: MySqlOptions) -> Result<String, ConnectorError> {
    let catalog = options.open("shop")?;
    catalog.ping().await?;
    assert_eq!(catalog.tables("enc").await?, ["seen"]);
    let table = load(&catalog, "enc", "seen").await;
    let rows = read(table.as_ref(), &scan(table.as_ref())).await;
    Ok(texts(&rows, "cipher").remove(0))
}

#[tokio::test]
async fn a_server_without_encryption_is_not_talked_to_when_it_is_required() {
    let Some(server) = server() else { return };
    let mut options = server.options();
    options.tls = Some(Tls::Require);
    let error = options.open("shop").unwrap().ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.detail_text(), Some("The server does not offer TLS."));
}

/// A server that asks for the password itself, and one that says it does not remember the account's scrambled one.
#[tokio::test]
async fn no_password_travels_in_the_clear() {
    let ask_for_clear_text = [&[0xfe][..], b"mysql_clear_password\0\0"].concat();
    for (plugin, question, kind) in [
        (
            "mysql_native_password",
            ask_for_clear_text.clone(),
            ErrorKind::LoginRefused,
        ),
        (
            "caching_sha2_password",
            ask_for_clear_text,
            ErrorKind::LoginRefused,
        ),
        ("caching_sha2_password", vec![0x01, 0x04], ErrorKind::Unavailable),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut options = options(&format!("mysql://app@127.0.0.1:{port}"));
        options.password = Some(Secret::new("s3cret-in-the-clear"));
        let catalog = options.open("shop").unwrap();
        let (seen, answer) = tokio::join!(false_server(listener, plugin, &question), catalog.ping());
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), kind, "{plugin}: {error:?}");
        let found = seen.windows(6).any(|window| window == b"s3cret");
        assert!(!found && seen.len() > 30, "{plugin}: {} bytes", seen.len());
    }
}

/// Greets with `plugin`, asks `question`, hears one answer more, and gives back everything that it heard.
async fn false_server(listener: TcpListener, plugin: &str, question: &[u8]) -> Vec<u8> {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut greeting = vec![10];
    greeting.extend(b"8.0.36\0\x01\0\0\0abcdefgh\0");
    // Protocol 4.1, secure connections, plugins; no TLS.
    greeting.extend([0x01, 0xa2, 45, 2, 0, 0x08, 0, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"ijklmnopqrst\0");
    greeting.extend(plugin.as_bytes());
    greeting.push(0);
    send(&mut socket, 0, &greeting).await;
    let mut seen = hear(&mut socket).await;
    send(&mut socket, 2, question).await;
    seen.extend(hear(&mut socket).await);
    seen
}

async fn send(socket: &mut TcpStream, number: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let packet = [&length[..3], &[number], payload].concat();
    socket.write_all(&packet).await.unwrap();
}

/// One packet, or what came before the end.
async fn hear(socket: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    if socket.read_exact(&mut header).await.is_err() {
        return Vec::new();
    }
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    socket.read_exact(&mut payload).await.unwrap();
    payload
}
