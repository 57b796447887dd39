//! The transaction of a session: its block with settings and savepoints, and what it has written and not committed.
//!
//! Outside of a block the transaction is the message's: what it writes is committed when all of it has succeeded.

use super::Settings;
use super::writes::{Point, Writes};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Most savepoints of one block.
const SAVEPOINTS_MAX: usize = 10_000;

/// Whether the session is in a transaction block, as ReadyForQuery tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside of a block.
    #[default]
    Idle,
    /// In a block.
    InBlock,
    /// In a block that has failed: only its end, or a return to a savepoint, is accepted.
    Failed,
}

/// A savepoint, and the settings and writes to return to.
#[derive(Debug)]
struct Savepoint {
    name: String,
    settings: Settings,
    point: Point,
}

/// A session's transaction block.
#[derive(Debug, Default)]
pub struct Transaction {
    status: TransactionStatus,
    /// The settings at BEGIN.
    before: Settings,
    /// The settings with which the block would be committed: those of SET LOCAL are not in it.
    committed: Settings,
    savepoints: Vec<Savepoint>,
    /// What is written and not committed, in a block or in the message that runs.
    writes: Option<Writes>,
}

impl Transaction {
    /// What the session has written and not committed.
    pub fn writes(&self) -> Option<&Writes> {
        self.writes.as_ref()
    }

    /// The same, to write more.
    pub fn writes_mut(&mut self) -> Option<&mut Writes> {
        self.writes.as_mut()
    }

    /// The session begins to write.
    pub fn set_writes(&mut self, writes: Writes) {
        debug_assert!(self.writes.is_none());
        self.writes = Some(writes);
    }

    /// Commits what was written outside of a block: at the end of its message.
    pub async fn commit_message(&mut self) -> Result<()> {
        if self.status == TransactionStatus::Idle
            && let Some(writes) = self.writes.take()
        {
            writes.transaction.commit().await?;
        }
        Ok(())
    }

    /// Where the session is.
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Begins a block; in one already, nothing happens, as in PostgreSQL.
    pub fn begin(&mut self, settings: &Settings) {
        if self.status == TransactionStatus::Idle {
            self.status = TransactionStatus::InBlock;
            self.before = settings.clone();
            self.committed = settings.clone();
        }
    }

    /// A statement has failed. What was written is undone, unless the block may return to a savepoint.
    pub fn fail(&mut self) {
        if self.status == TransactionStatus::InBlock {
            self.status = TransactionStatus::Failed;
        }
        if self.savepoints.is_empty() {
            self.writes = None;
        }
    }

    /// Ends the block and gives `settings` their values after it. Returns whether it was committed: a failed one is not.
    ///
    /// Errors: what was written cannot be committed, and is undone like the settings.
    pub async fn commit(&mut self, settings: &mut Settings) -> Result<bool> {
        if self.status == TransactionStatus::Failed {
            self.rollback(settings).await?;
            return Ok(false);
        }
        let outcome = match self.writes.take() {
            Some(writes) => writes.transaction.commit().await,
            None => Ok(()),
        };
        if let Err(error) = outcome {
            self.rollback(settings).await?;
            return Err(error.into());
        }
        if self.status == TransactionStatus::InBlock {
            *settings = std::mem::take(&mut self.committed);
            self.leave();
        }
        Ok(true)
    }

    /// Ends the block; what was written is undone, `settings` are again what they were before it.
    pub async fn rollback(&mut self, settings: &mut Settings) -> Result<()> {
        let writes = self.writes.take();
        if self.status != TransactionStatus::Idle {
            *settings = std::mem::take(&mut self.before);
            self.leave();
        }
        if let Some(writes) = writes {
            writes.transaction.rollback().await?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        *self = Self::default();
    }

    /// Notes that `name` was set or reset for the whole session, not only until the end of the block.
    pub fn note_set(&mut self, name: &str, settings: &Settings) {
        if self.status != TransactionStatus::Idle {
            self.committed.copy(name, settings);
        }
    }

    /// SAVEPOINT. Errors: 25P01 outside of a block; 0A000 when the catalog that is written has none.
    pub async fn savepoint(&mut self, name: &str, settings: &Settings) -> Result<()> {
        self.check_block("SAVEPOINT")?;
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            let message = format!("a transaction has at most {SAVEPOINTS_MAX} savepoints");
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        self.savepoints.push(Savepoint {
            name: name.to_owned(),
            settings: settings.clone(),
            point: Point::set(self.writes.as_mut()).await?,
        });
        Ok(())
    }

    /// RELEASE SAVEPOINT, which forgets those after it too. Errors: 25P01, 3B001.
    pub fn release(&mut self, name: &str) -> Result<()> {
        self.check_block("RELEASE SAVEPOINT")?;
        let index = self.find(name)?;
        self.savepoints.truncate(index);
        Ok(())
    }

    /// ROLLBACK TO SAVEPOINT, which mends a failed block. Errors: 25P01, 3B001.
    pub async fn rollback_to(&mut self, name: &str, settings: &mut Settings) -> Result<()> {
        self.check_block("ROLLBACK TO SAVEPOINT")?;
        let index = self.find(name)?;
        if let Some(savepoint) = self.savepoints.get(index) {
            savepoint.point.restore(&mut self.writes).await?;
        }
        self.savepoints.truncate(index + 1);
        if let Some(savepoint) = self.savepoints.last() {
            *settings = savepoint.settings.clone();
            self.committed = savepoint.settings.clone();
        }
        self.status = TransactionStatus::InBlock;
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        let found = self
            .savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| {
            let message = format!("savepoint \"{name}\" does not exist");
            QueryError::new(SqlState::INVALID_SAVEPOINT, message)
        })
    }

    fn check_block(&self, command: &str) -> Result<()> {
        if self.status == TransactionStatus::Idle {
            let message = format!("{command} can only be used in transaction blocks");
            return Err(QueryError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &mut Settings, transaction: &mut Transaction, value: &str) {
        settings.set("application_name", value).unwrap();
        transaction.note_set("application_name", settings);
    }

    #[tokio::test]
    async fn a_block_keeps_or_forgets_its_settings() {
        let (mut settings, mut transaction) = (Settings::default(), Transaction::default());
        set(&mut settings, &mut transaction, "before");
        transaction.begin(&settings);
        set(&mut settings, &mut transaction, "inside");
        transaction.rollback(&mut settings).await.unwrap();
        assert_eq!(settings.get("application_name"), Some("before"));

        transaction.begin(&settings);
        set(&mut settings, &mut transaction, "kept");
        settings.set("application_name", "local").unwrap();
        assert!(transaction.commit(&mut settings).await.unwrap());
        assert_eq!(settings.get("application_name"), Some("kept"));

        transaction.begin(&settings);
        set(&mut settings, &mut transaction, "lost");
        transaction.fail();
        assert!(!transaction.commit(&mut settings).await.unwrap());
        assert_eq!(settings.get("application_name"), Some("kept"));
        assert_eq!(transaction.status(), TransactionStatus::Idle);
    }

    #[tokio::test]
    async fn savepoints_nest() {
        let (mut settings, mut transaction) = (Settings::default(), Transaction::default());
        let error = transaction.savepoint("a", &settings).await.unwrap_err();
        assert_eq!(error.state, SqlState::NO_ACTIVE_SQL_TRANSACTION);
        transaction.begin(&settings);
        for name in ["a", "b", "a"] {
            transaction.savepoint(name, &settings).await.unwrap();
        }
        transaction.fail();
        transaction.rollback_to("b", &mut settings).await.unwrap();
        assert_eq!(transaction.status(), TransactionStatus::InBlock);
        transaction.release("a").unwrap();
        let error = transaction.rollback_to("b", &mut settings).await.unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_SAVEPOINT);
    }
}
