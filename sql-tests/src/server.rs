//! The server under test: the real binary with a configuration of its own, ended when it is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::client::Client;
use crate::config::Config;

/// How long a start may take, on a machine that is busy with other tests.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Another process may take the free port before the server does: then it is tried again.
const STARTS_MAX: usize = 5;

/// A running `causeway serve`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts the binary beside the test's executable and waits until it takes connections.
    pub fn start(config: &Config) -> Result<Self> {
        let mut last = None;
        for _ in 0..STARTS_MAX {
            match Self::start_once(config) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no start was tried")?)
    }

    fn start_once(config: &Config) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("causeway.toml");
        fs::write(&file, config.render(port))?;
        let log = File::create(folder.path().join("server.log"))?;
        let child = Command::new(binary()?)
            .args(["serve".as_ref(), "--config".as_ref(), file.as_os_str()])
            .current_dir(folder.path())
            .envs(config.environment().iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start the server")?;
        let mut server = Self { child, port, folder };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!(
                    "the server does not listen after {START_DEADLINE:?}:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends it a signal: `HUP`, `TERM`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("sh")
            .args(["-c".to_owned(), format!("kill -{name} {}", self.child.id())])
            .status()?;
        if !sent.success() {
            bail!("could not send {name}");
        }
        Ok(())
    }

    /// Replaces its configuration, which it reads again when it is told to.
    pub fn rewrite(&self, config: &Config) -> Result<()> {
        self.rewrite_text(&config.render(self.port))
    }

    /// The same with any text.
    pub fn rewrite_text(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join("causeway.toml"), text)?)
    }

    /// Whether it ends by itself in time.
    pub fn has_ended_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The port of its Postgres endpoint on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new connection to the default database.
    pub async fn connect(&self) -> Result<Client> {
        Client::connect(self.port, "causeway")
            .await
            .with_context(|| format!("could not connect; the server's log:\n{}", self.log()))
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// Resident memory now, in bytes.
    pub fn memory_bytes(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    pub fn memory_bytes_peak(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// Processor time that its threads have taken.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread that has ended meanwhile has taken nothing.
            let taken = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            let taken = taken.split_whitespace().next();
            nanoseconds += taken.map_or(Ok(0), str::parse::<u64>)?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn status_bytes(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("the server is not running")?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .with_context(|| format!("no {field} in /proc/PID/status"))?;
        Ok(kilobytes.parse::<u64>()? << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// `target/<profile>/causeway`: the executables of tests are in `target/<profile>/deps`, others beside it.
pub fn binary() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("no target folder")?;
    let profile = match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().context("no target folder")?,
        _ => folder,
    };
    let binary = profile.join("causeway");
    if !binary.exists() {
        bail!("{} is missing: build the whole workspace first", binary.display());
    }
    Ok(binary)
}
