//! `causeway demo`: TPC-H spread over three kinds of source that need nothing installed, and a server over them.
//!
//! `place` finds a folder and tells whether it holds a complete data set; `fill` makes one, each source by a thread of its
//! own: `lake` (Parquet), `shop` (SQLite), `kv` (the embedded store); `queries` are what is printed to paste; `ask` runs one
//! over the wire.

mod ask;
mod error;
mod fill;
mod kv;
mod lake;
mod place;
mod queries;
mod shop;
mod tables;

pub use error::DemoError;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::Server;
use crate::config::{Config, ServerConfig};

use place::Place;

/// The least and the largest scale: at 1 the largest table has six million rows. Below the least, a part has the same
/// supplier twice.
const SCALES: std::ops::RangeInclusive<f64> = 0.01..=10.0;

/// What `causeway demo` is asked for.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the data is kept. Default: a folder in the user's cache, or a temporary one that is removed at the end.
    pub folder: Option<PathBuf>,
    /// The size of the data set, from 0.01, with 60,000 order lines, to 10.
    pub scale: f64,
    /// Statements to run; the server ends after them.
    pub query: Option<String>,
}

/// Prepares the data, starts the server and runs it until `stopped`, or runs the query. Progress goes to standard error.
///
/// Must run in a runtime such as [`Server::start`] wants.
pub async fn run(options: DemoOptions, stopped: impl Future<Output = ()>) -> Result<(), DemoError> {
    if !SCALES.contains(&options.scale) {
        return Err(DemoError::Scale(options.scale));
    }
    tokio::pin!(stopped);
    let begun = Instant::now();
    let stopping = Arc::new(AtomicBool::new(false));
    let place = {
        let preparing = prepare(options.clone(), Arc::clone(&stopping));
        tokio::pin!(preparing);
        tokio::select! {
            place = &mut preparing => place?,
            () = &mut stopped => {
                stopping.store(true, Ordering::Relaxed);
                // What is half made is known as such, and a temporary folder is removed.
                let _ = preparing.await;
                return Ok(());
            }
        }
    };
    let server = start(&place, options.query.is_some()).await?;
    let address = server.address();
    if let Some(query) = &options.query {
        let answered = tokio::select! {
            answered = ask::ask(address, query) => answered,
            () = &mut stopped => Ok(()),
        };
        server.stop().await;
        return answered;
    }
    println!(
        "{}",
        queries::welcome(address, place.folder(), begun.elapsed(), place.is_temporary())
    );
    stopped.await;
    server.stop().await;
    Ok(())
}

async fn prepare(options: DemoOptions, stopping: Arc<AtomicBool>) -> Result<Place, DemoError> {
    let prepared = tokio::task::spawn_blocking(move || {
        let place = Place::find(options.folder.as_deref(), options.scale)?;
        if !place.is_complete() {
            fill::fill(&place, &stopping)?;
        }
        Ok(place)
    });
    match prepared.await {
        Ok(place) => place,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Starts the server on its usual port, or on a free one when that is taken or nobody needs to know it.
async fn start(place: &Place, any_port: bool) -> Result<Server, DemoError> {
    let usual = ServerConfig::default().listen;
    if !any_port {
        match Server::start(configuration(place, usual)?).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                eprintln!("Port {} is in use: another one is taken.", usual.port());
            }
            started => return started.map_err(DemoError::Start),
        }
    }
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Server::start(configuration(place, free)?)
        .await
        .map_err(DemoError::Start)
}

/// What a configuration file would say.
fn configuration(place: &Place, listen: SocketAddr) -> Result<Config, DemoError> {
    let path = |path: PathBuf| match path.to_str() {
        Some(text) => Ok(toml::Value::from(text)),
        None => Err(DemoError::Name(path.clone())),
    };
    let text = format!(
        "[server]\nlisten = \"{listen}\"\nauthentication = \"trust\"\n\
         [catalogs.lake]\nconnector = \"local\"\npath = {}\n\
         [catalogs.shop]\nconnector = \"sqlite\"\npath = {}\n\
         [catalogs.kv]\nconnector = \"embedded\"\npath = {}\n",
        path(place.lake())?,
        path(place.shop())?,
        path(place.kv())?,
    );
    Ok(Config::parse(&text)?)
}
