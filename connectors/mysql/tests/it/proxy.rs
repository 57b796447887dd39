//! A network that can be cut or held up: a TCP proxy before the server under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PASSES: u8 = 0;
const HOLDS: u8 = 1;
const CUTS: u8 = 2;
const STEP: Duration = Duration::from_millis(5);

/// Forwards connections until it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    mode: AtomicU8,
    /// How many bytes more come from the server before everything is cut.
    bytes_left: AtomicI64,
}

impl Proxy {
    pub(crate) async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mode: AtomicU8::new(PASSES),
            bytes_left: AtomicI64::new(i64::MAX),
        });
        let (target, shared) = (target.to_owned(), Arc::clone(&state));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(forward(from_client, to_server, Arc::clone(&shared), false));
                tokio::spawn(forward(from_server, to_client, Arc::clone(&shared), true));
            }
        });
        Self { port, state, task }
    }

    /// Nothing gets through any more, in either direction; nobody is told.
    pub(crate) fn hold(&self) {
        self.state.mode.store(HOLDS, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self) {
        self.state.bytes_left.store(i64::MAX, Ordering::SeqCst);
        self.state.mode.store(PASSES, Ordering::SeqCst);
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.state.mode.store(CUTS, Ordering::SeqCst);
    }

    /// Ends every connection after so many bytes of answers.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.state.bytes_left.store(bytes, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>, answers: bool) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = tokio::time::timeout(STEP, from.read(&mut buffer)).await;
        while state.mode.load(Ordering::SeqCst) == HOLDS {
            tokio::time::sleep(STEP).await;
        }
        if state.mode.load(Ordering::SeqCst) == CUTS {
            return;
        }
        let mut count = match read {
            Err(_) => continue,
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(count)) => count,
        };
        if answers {
            let sent = i64::try_from(count).unwrap();
            let left = state.bytes_left.fetch_sub(sent, Ordering::SeqCst);
            if left < sent {
                state.mode.store(CUTS, Ordering::SeqCst);
                count = usize::try_from(left.max(0)).unwrap();
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
