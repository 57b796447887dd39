//! Stopping statements that nobody waits for any more, so that a kill never hits the next one.
//!
//! A statement is killed by the catalog's control connection while its own session goes on reading: the end of the
//! statement arrives there as the end of the rows or as an error. A kill that was acknowledged after that end could
//! still hit the next statement, so an empty one is run first. Whatever stays in doubt costs the session its life.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::pool::{Lease, Pool};
use crate::session::{Session, SessionId};

/// How long the rest of a result is read before its statement is killed: often there is nearly nothing left.
const DRAIN_FIRST: Duration = Duration::from_millis(5);
/// Longest wait for a killed statement to end, and for each step after it.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long after a kill the statement is killed again.
const KILL_AGAIN: Duration = Duration::from_millis(100);
/// Longest wait for one answer of the control connection.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that stopping one statement may take, with the wait for its turn.
const KILL_MAX: Duration = Duration::from_secs(12);
/// How often stopping one statement is tried.
const KILL_TRIES: usize = 2;
/// A control connection that was idle for longer is opened anew.
const CONTROL_IDLE_MAX: Duration = Duration::from_secs(300);
/// The server's answer to killing a session that has ended.
const NO_SUCH_THREAD: u16 = 1094;

/// The connection that stops statements, once one had to be stopped.
#[derive(Default)]
pub(crate) struct Control {
    session: Option<(Session, Instant)>,
}

/// What is to be ended at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    /// The statement that runs; the session goes on.
    Statement,
    /// The session.
    Session,
}

/// What is known of the kill of a statement when the statement has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    /// None was sent.
    No,
    /// One was sent, and the server has said that it is done.
    Yes,
    /// One was sent and may still arrive, or never will.
    InDoubt,
}

impl Pool {
    /// Drives `work`, which runs on session `id`, to its end; once `gone` is ready, its statement is killed.
    ///
    /// Returns no output when the work did not end even then: the session is in an unknown state.
    pub(crate) async fn drive<T>(
        &self,
        id: &SessionId,
        work: impl Future<Output = T>,
        gone: impl Future<Output = ()>,
    ) -> (Option<T>, Killed) {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            output = &mut work => return (Some(output), Killed::No),
            () = gone => {}
        }
        if let Ok(output) = timeout(DRAIN_FIRST, &mut work).await {
            return (Some(output), Killed::No);
        }
        let ended = Notify::new();
        let draining = async {
            let output = timeout(DRAIN_MAX, work).await;
            ended.notify_one();
            output
        };
        let (output, killed) = tokio::join!(draining, self.kill_until(id, &ended));
        match output {
            Ok(output) => (Some(output), killed),
            Err(_) => (None, Killed::InDoubt),
        }
    }

    /// Kills the statement of session `id` until it has ended: a kill that comes before the statement has begun is
    /// without effect.
    async fn kill_until(&self, id: &SessionId, ended: &Notify) -> Killed {
        loop {
            let killed = self.kill(id, Kill::Statement).await;
            if killed != Killed::Yes || timeout(KILL_AGAIN, ended.notified()).await.is_ok() {
                return killed;
            }
        }
    }

    /// Ends the statement of a session, or the session. What cannot be ended is logged.
    pub(crate) async fn kill(&self, id: &SessionId, what: Kill) -> Killed {
        let killing = async {
            let mut control = self.control().lock().await;
            for _ in 0..KILL_TRIES {
                if control.kill(self, id, what).await == Killed::Yes {
                    return Killed::Yes;
                }
            }
            Killed::InDoubt
        };
        let killed = timeout(KILL_MAX, killing).await.unwrap_or(Killed::InDoubt);
        if killed != Killed::Yes {
            tracing::warn!(
                catalog = self.catalog(),
                connection = id.number,
                "could not stop a statement at the source"
            );
        }
        killed
    }
}

impl Control {
    /// One try. A control connection that did not answer as it should is closed.
    async fn kill(&mut self, pool: &Pool, id: &SessionId, what: Kill) -> Killed {
        let fresh_enough = |since: &Instant| since.elapsed() < CONTROL_IDLE_MAX;
        let kept = self.session.take().filter(|(_, since)| fresh_enough(since));
        let mut session = match kept {
            Some((session, _)) => session,
            None => match pool.connect().await {
                Ok(session) => session,
                Err(error) => {
                    tracing::debug!(catalog = pool.catalog(), %error, "no control connection");
                    return Killed::InDoubt;
                }
            },
        };
        if session.id().server != id.server {
            // Several servers behind one address: there the number is another session's.
            session.close();
            return Killed::InDoubt;
        }
        let statement = match what {
            Kill::Statement => format!("KILL QUERY {}", id.number),
            Kill::Session => format!("KILL {}", id.number),
        };
        match timeout(CONTROL_TIMEOUT, session.run(&statement)).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::Server(error))) if error.code == NO_SUCH_THREAD => {}
            Ok(Err(error)) => {
                tracing::debug!(catalog = pool.catalog(), %error, "kill was refused");
                session.close();
                return Killed::InDoubt;
            }
            Err(_) => {
                session.close();
                return Killed::InDoubt;
            }
        }
        self.session = Some((session, Instant::now()));
        Killed::Yes
    }
}

impl Lease {
    /// Ends what is left of the last statement and gives the session back; closes it in case of doubt.
    pub(crate) async fn settle(mut self, pool: &Arc<Pool>, killed: Killed) {
        // Dropping the lease closes the session.
        if self.is_settled(pool, killed).await {
            self.give_back();
        }
    }

    /// Ends the session of a statement of a user's own with the statement, which has ended unless `killed` is in doubt.
    pub(crate) fn end_native(mut self, killed: Killed) {
        let ended = match self.session() {
            Ok(session) => session.is_usable() && !session.has_rows(),
            Err(_) => return,
        };
        // Else dropping the lease ends the statement, too.
        if ended && killed != Killed::InDoubt {
            self.end();
        }
    }

    async fn is_settled(&mut self, pool: &Arc<Pool>, killed: Killed) -> bool {
        let Some(id) = self.id() else { return false };
        let Ok(session) = self.session() else {
            return false;
        };
        if killed == Killed::InDoubt || !session.is_usable() {
            return false;
        }
        let mut killed = killed;
        if session.has_rows() {
            let (drained, by) = pool.drive(&id, session.drain(), std::future::ready(())).await;
            if drained != Some(true) || by == Killed::InDoubt {
                return false;
            }
            killed = if by == Killed::Yes { by } else { killed };
        }
        let last_steps = async {
            let calm = killed == Killed::No || session.absorb_kill().await;
            calm && session.close_prepared().await.is_ok() && session.end_snapshot().await.is_ok()
        };
        timeout(DRAIN_MAX, last_steps).await.unwrap_or(false)
    }
}
