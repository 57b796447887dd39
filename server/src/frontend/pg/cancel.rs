//! CancelRequest: a number and a secret to the statement that runs now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::session::CancelToken;

#[derive(Debug)]
struct Entry {
    secret: i32,
    running: CancelToken,
}

/// The sessions that may be cancelled.
#[derive(Debug, Default)]
pub(super) struct CancelRegistry(Mutex<HashMap<i32, Entry>>);

impl CancelRegistry {
    /// Enters a session; returns its secret.
    pub(super) fn enter(&self, session_id: i32) -> i32 {
        let secret = rand::random();
        let entry = Entry {
            secret,
            running: CancelToken::new(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(session_id, entry);
        secret
    }

    /// A new token for the next statement: a request that comes late for the last one does not hit it.
    pub(super) fn begin(&self, session_id: i32) -> CancelToken {
        let token = CancelToken::new();
        if let Some(entry) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(&session_id)
        {
            entry.running = token.clone();
        }
        token
    }

    /// Cancels what the session runs, if the secret is right. As in PostgreSQL the client is not told.
    pub(super) fn cancel(&self, session_id: i32, secret: i32) {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = sessions.get(&session_id).filter(|entry| entry.secret == secret) {
            entry.running.cancel();
        }
    }

    /// Removes a session that has ended.
    pub(super) fn leave(&self, session_id: i32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&session_id);
    }
}
