//! `causeway serve`: the server until it is told to stop; SIGHUP makes it read its configuration again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use causeway::Server;
use causeway::catalog::CatalogChanges;
use causeway::config::Config;
use tokio::signal::unix::{SignalKind, signal};

use super::{runtime, start_log};

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.config)?;
    start_log(config.server.log);
    let runtime = runtime()?;
    runtime.block_on(serve(config, &arguments.config))?;
    // Threads that still plan do not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

async fn serve(config: Config, path: &Path) -> anyhow::Result<()> {
    let listen = config.server.listen;
    let catalogs = config.catalogs.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut server = Server::start(config)
        .await
        .with_context(|| format!("could not listen on {listen}"))?;
    let address = server.address();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    tracing::info!(%address, %catalogs, "serving");
    println!(
        "causeway serves on {address}; connect with: psql -h {} -p {} causeway",
        address.ip(),
        address.port()
    );
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => reload(&mut server, path).await,
        }
    }
    tracing::info!("stopping");
    server.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Reads the configuration again. A wrong one changes nothing.
async fn reload(server: &mut Server, path: &Path) {
    let (path, open) = (path.to_path_buf(), server.open_catalogs());
    let read = tokio::task::spawn_blocking(move || Config::read_again(&path, &open)).await;
    let config = match read {
        Ok(Ok(config)) => config,
        Ok(Err(wrong)) => {
            for problem in &wrong.problems {
                tracing::error!(%problem, "the configuration is wrong");
            }
            return tracing::error!("the configuration was not reloaded, nothing has changed");
        }
        Err(error) => return tracing::error!(%error, "the configuration was not reloaded"),
    };
    let reloaded = server.reload(config);
    for key in &reloaded.waiting {
        tracing::warn!("server.{key} has changed: it counts after a restart");
    }
    if !reloaded.door {
        tracing::warn!("users and certificates are as before: how clients are let in counts after a restart");
    }
    let CatalogChanges {
        added,
        changed,
        removed,
    } = reloaded.catalogs;
    let [added, changed, removed] = [added, changed, removed].map(|names| names.join(", "));
    tracing::info!(%added, %changed, %removed, "reloaded");
}
