//! An S3 store over a folder: `s3s` speaks the protocol and `s3s-fs` keeps the objects; what they lack is added here.
//!
//! Added: `If-Match` and `If-None-Match` on GET and HEAD, ETags in listings, an answer whose ETag and bytes belong to
//! one version while the object is replaced, large reads, and a record of every request so that tests can count them.
//! Tests start it in their own process on a free port; `bin/s3-server.rs` is the same as a program.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::s3_store::FolderStore;

/// The one pair of keys that the server accepts.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The access key's id.
    pub access: String,
    /// The secret key.
    pub secret: String,
}

/// What a request asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes of an object, all or a range.
    Get,
    /// Size and ETag of an object.
    Head,
    /// A page of a listing.
    List,
    /// A whole object written.
    Put,
}

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was asked.
    pub operation: Operation,
    /// The object's key, or the listing's prefix.
    pub key: String,
    /// Bytes of object data in the answer.
    pub bytes: u64,
}

/// The requests since the start, oldest first.
#[derive(Clone, Debug, Default)]
pub struct RequestLog(Arc<Mutex<Vec<Request>>>);

impl RequestLog {
    pub(crate) fn add(&self, operation: Operation, key: &str, bytes: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Request {
                operation,
                key: key.to_owned(),
                bytes,
            });
    }

    /// Takes the requests seen so far and forgets them.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running store; dropping it ends the accept loop.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    log: RequestLog,
    accepting: JoinHandle<()>,
}

impl S3Server {
    /// Serves `folder` (its sub-folders are the buckets) on a loopback port; port 0 takes a free one.
    pub async fn start(port: u16, folder: PathBuf, keys: Keys) -> Result<Self> {
        let log = RequestLog::default();
        let mut builder = S3ServiceBuilder::new(FolderStore::open(folder, log.clone())?);
        builder.set_auth(SimpleAuth::from_single(keys.access, keys.secret));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("could not listen on port {port}"))?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, builder.build()));
        Ok(Self {
            address,
            log,
            accepting,
        })
    }

    /// The URL to give to a client.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests answered so far.
    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// Serves until the process is ended.
    pub async fn wait(mut self) -> Result<()> {
        (&mut self.accepting).await.context("the accept loop ended")
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: S3Service) {
    loop {
        // An error here concerns one client that is already gone.
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        // Without it each answer's last packet waits for the client's delayed acknowledgement, 40 ms.
        let _ = socket.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            // A client that goes away in the middle of an answer is no news.
            let _ = connection.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
