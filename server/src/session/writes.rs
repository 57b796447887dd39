//! The write transaction of a session: on one catalog, from its first write to the end of its transaction.

use std::sync::Arc;

use causeway_spi::{Connector, Savepoint, WriteTransaction};

use crate::error::Result;

/// What a session writes and has not committed. Dropping it undoes it.
#[derive(Debug)]
pub struct Writes {
    /// The catalog that is written.
    pub catalog: String,
    /// The catalog's side of it.
    pub transaction: Box<dyn WriteTransaction>,
}

impl Writes {
    /// The catalog as this session sees it.
    pub fn snapshot(&self) -> Arc<dyn Connector> {
        self.transaction.snapshot()
    }
}

/// What was written when a savepoint was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// Nothing.
    Nothing,
    /// What the catalog knows by this mark.
    Written(Savepoint),
}

impl Point {
    pub(super) async fn set(writes: Option<&mut Writes>) -> Result<Self> {
        Ok(match writes {
            Some(writes) => Self::Written(writes.transaction.savepoint().await?),
            None => Self::Nothing,
        })
    }

    /// Undoes what was written since.
    pub(super) async fn restore(self, writes: &mut Option<Writes>) -> Result<()> {
        match (self, writes.as_mut()) {
            (Self::Written(savepoint), Some(writes)) => writes.transaction.rollback_to(savepoint).await?,
            _ => {
                if let Some(writes) = writes.take() {
                    writes.transaction.rollback().await?;
                }
            }
        }
        Ok(())
    }
}
