//! One connection's state: who, which database, settings, transaction status. Nothing heavy: thousands may be idle.

mod settings;

use tokio_util::sync::CancellationToken;

pub use settings::Settings;

/// Whether the session is in a transaction block, as ReadyForQuery tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside of a block.
    Idle,
    /// In a block.
    InBlock,
    /// In a block that has failed: only its end is accepted.
    Failed,
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    /// The number that the client knows as the backend's process id.
    pub id: i32,
    /// The user's name.
    pub user: String,
    /// The database: a catalog, or `causeway`.
    pub database: String,
    /// The settings.
    pub settings: Settings,
    /// The transaction block.
    pub transaction: TransactionStatus,
    statements: u64,
}

impl Session {
    /// A new session in `database`.
    pub fn new(id: i32, user: String, database: String) -> Self {
        Self {
            id,
            user,
            database,
            settings: Settings::default(),
            transaction: TransactionStatus::Idle,
            statements: 0,
        }
    }

    /// A new query's id: the session and a running number.
    pub fn next_query_id(&mut self) -> String {
        self.statements += 1;
        format!("{}-{}", self.id, self.statements)
    }
}

/// Cancels one statement: the token fires on CancelRequest and when the client has gone.
pub type CancelToken = CancellationToken;
