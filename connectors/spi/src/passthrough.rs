//! Statements in a source's own language that users write themselves: `system.remote('shop', 'SELECT ...')`.

use std::sync::Arc;

use async_trait::async_trait;

use crate::connector::Table;
use crate::error::Result;

/// A source that runs statements as their users wrote them. Who may send any is decided before this is asked.
#[async_trait]
pub trait Passthrough: Send + Sync {
    /// `statement` as a table, described by the source and not run: each read of the table sends the statement as it is.
    ///
    /// It is one query that changes nothing, and is refused otherwise. Columns are in the statement's order; where their
    /// names repeat they are told apart. A read that gives more than `rows_max` rows ends in `LimitExceeded`.
    /// Errors: `Syntax`, `ReadOnly`, `NotSupported` for what is no such query; those of the source for all else.
    async fn statement(&self, statement: &str, rows_max: usize) -> Result<Arc<dyn Table>>;
}
