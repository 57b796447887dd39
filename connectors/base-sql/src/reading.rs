//! A read as a task of its own, and the stream of what it sends.
//!
//! The task starts when the stream is first polled and is at most one batch ahead of it. When the stream is dropped the
//! channel closes, by which the task learns that nobody waits any more.

use std::future::Future;

use arrow::array::RecordBatch;
use causeway_spi::{BatchStream, ConnectorError, ErrorKind, Result, TableName};
use futures::{StreamExt, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Batches that may wait for the reader of the stream.
const BATCHES_AHEAD: usize = 1;

/// The stream of the batches that `read`, a read of `table`, sends until it ends or sends an error.
///
/// `gone` is called when the stream is dropped, after the channel has been closed.
pub fn spawned<R, F, G>(table: TableName, read: R, gone: G) -> BatchStream
where
    R: FnOnce(Sender<Result<RecordBatch>>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
    G: Fn() + Send + 'static,
{
    stream::unfold(State::Waiting(table, read, gone), next_batch).boxed()
}

enum State<R, G: Fn()> {
    Waiting(TableName, R, G),
    Running(Running<G>),
    Ended,
}

struct Running<G: Fn()> {
    table: TableName,
    batches: Receiver<Result<RecordBatch>>,
    task: JoinHandle<()>,
    gone: G,
}

impl<G: Fn()> Drop for Running<G> {
    fn drop(&mut self) {
        // Closed first: a statement that starts after this sees it.
        self.batches.close();
        (self.gone)();
    }
}

async fn next_batch<R, F, G>(state: State<R, G>) -> Option<(Result<RecordBatch>, State<R, G>)>
where
    R: FnOnce(Sender<Result<RecordBatch>>) -> F,
    F: Future<Output = ()> + Send + 'static,
    G: Fn(),
{
    let mut running = match state {
        State::Waiting(table, read, gone) => {
            let (sender, batches) = channel(BATCHES_AHEAD);
            let task = tokio::spawn(read(sender));
            Running {
                table,
                batches,
                task,
                gone,
            }
        }
        State::Running(running) => running,
        State::Ended => return None,
    };
    match running.batches.recv().await {
        Some(Ok(batch)) => Some((Ok(batch), State::Running(running))),
        Some(Err(error)) => Some((Err(error), State::Ended)),
        // The channel also closes when the task panics: that is no end of data.
        None => match (&mut running.task).await {
            Ok(()) => None,
            Err(error) => {
                let message = format!("the reader of table {} ended unexpectedly", running.table);
                let error = ConnectorError::new(ErrorKind::Internal, message).source(error);
                Some((Err(error), State::Ended))
            }
        },
    }
}
