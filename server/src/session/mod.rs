//! One connection's state: who, which database, settings, transaction. Nothing heavy: thousands may be idle.

mod settings;
mod transaction;
mod writes;

use tokio_util::sync::CancellationToken;

pub use settings::Settings;
pub use transaction::{Transaction, TransactionStatus};
pub use writes::Writes;

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
    pub transaction: Transaction,
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
            transaction: Transaction::default(),
            statements: 0,
        }
    }

    /// A new query's id: the session and a running number.
    pub fn next_query_id(&mut self) -> String {
        self.statements += 1;
        self.last_query_id()
    }

    /// Whether statements may not write: in a block as the block says, outside as the session does.
    pub fn is_read_only(&self) -> bool {
        match self.transaction.status() {
            TransactionStatus::Idle => self.settings.default_read_only(),
            _ => self.settings.read_only(),
        }
    }

    /// The id of the newest query.
    pub fn last_query_id(&self) -> String {
        format!("{}-{}", self.id, self.statements)
    }
}

/// Cancels one statement: the token fires on CancelRequest and when the client has gone.
pub type CancelToken = CancellationToken;
