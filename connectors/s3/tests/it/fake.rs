//! A web service on loopback that answers as a test says and remembers what it was asked: the store, the metadata
//! services and the token service at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: SystemTime,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.target.split('?').next() == Some(path)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The id of the key that signed it.
    pub(crate) fn signer(&self) -> Option<&str> {
        let (_, rest) = self.header("authorization")?.split_once("Credential=")?;
        rest.split('/').next()
    }
}

/// What is answered.
pub(crate) enum Reply {
    /// A status, headers and a body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Hang,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Answer(200, Vec::new(), body.into())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    /// An error as S3 and STS write it.
    pub(crate) fn error(status: u16, code: &str, more: &str) -> Self {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message>{more}</Error>");
        Self::Answer(status, Vec::new(), body)
    }
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The running service; dropping it ends it.
pub(crate) struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answers, log): (Arc<Answers>, _) = (Arc::new(answers), Arc::clone(&asked));
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                let service =
                    service_fn(move |request| answer(Arc::clone(&answers), Arc::clone(&log), request));
                tokio::spawn(async move {
                    let connection = Builder::new(TokioExecutor::new());
                    // A client that went away is no news.
                    let _ = connection.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self {
            address,
            asked,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests to the store, which stands below `/lake`.
    pub(crate) fn store_requests(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| asked.target.starts_with("/lake"));
        asked
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    answers: Arc<Answers>,
    log: Arc<Mutex<Vec<Asked>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    };
    let asked = Asked {
        at: SystemTime::now(),
        method: parts.method.to_string(),
        target: parts
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: parts.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = answers(&asked);
    log.lock().unwrap().push(asked);
    let Reply::Answer(status, headers, body) = reply else {
        return std::future::pending().await;
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}

/// A listing of the store without objects.
pub(crate) fn empty_listing() -> Reply {
    Reply::ok(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>lake</Name><Prefix></Prefix><KeyCount>0</KeyCount>\
         <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>",
    )
}
