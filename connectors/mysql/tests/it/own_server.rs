//! A MariaDB of a test's own, for what the common server cannot be: with certificates, with other settings.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use causeway_mysql::MySqlOptions;
use mysql_async::{Conn, OptsBuilder};
use tempfile::TempDir;

use crate::fixture::{options, server};

const START_DEADLINE: Duration = Duration::from_secs(60);
/// Debian puts servers where only root's path looks.
const PLACES: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];

/// A running server; ended when it is dropped.
pub(crate) struct OwnServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl OwnServer {
    /// Starts a server with `arguments`, or says loudly that the test is skipped: without services, or without MariaDB.
    pub(crate) async fn start(arguments: &[String]) -> Option<Self> {
        server()?;
        let Some(program) = PLACES
            .iter()
            .map(|place| Path::new(place).join("mariadbd"))
            .find(|path| path.exists())
        else {
            eprintln!("SKIPPED: mariadbd is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let user = user_name();
        let installed = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ])
            .arg(format!("--user={user}"))
            .arg(format!("--datadir={}", data.display()))
            // Servers that share a folder take each other's temporary tables away.
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(installed.success(), "mariadb-install-db: {installed}");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = File::create(folder.path().join("server.log")).unwrap();
        let child = Command::new(program)
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--skip-log-bin",
            ])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"])
            .arg("--character-set-server=utf8mb4")
            .arg(format!("--user={user}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("mysql.sock").display()))
            .arg(format!(
                "--pid-file={}",
                folder.path().join("mysql.pid").display()
            ))
            .arg(format!("--port={port}"))
            .env("TMPDIR", folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut own = Self { child, port, folder };
        own.wait_until_it_answers().await;
        Some(own)
    }

    async fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + START_DEADLINE;
        while Conn::new(self.opts()).await.is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "MariaDB did not start ({ended:?}):\n{}",
                std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn opts(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .prefer_socket(false)
    }

    /// An unpooled session of the superuser, in plain TCP.
    pub(crate) async fn admin(&self) -> Conn {
        Conn::new(self.opts()).await.unwrap()
    }

    /// The options of a catalog for `account` at `host`, which is a name of this machine.
    pub(crate) fn options(&self, account: &str, host: &str) -> MySqlOptions {
        options(&format!("mysql://{account}@{host}:{}", self.port))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn user_name() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}
