//! How long the work at hand may wait for one answer of a source.
//!
//! The leaf keeps the deadline of reads by itself. Where nothing hands it down (loading a table, planning a scan of
//! files, asking for credentials) it goes with the task.

use std::future::Future;
use std::time::Duration;

/// The longest wait where no query says otherwise.
const SOURCE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

tokio::task_local! {
    static SOURCE_TIMEOUT: Duration;
}

/// Runs `work`, in which [`source_timeout`] is `timeout`. Tasks that it spawns do not know it.
pub async fn with_source_timeout<F: Future>(timeout: Duration, work: F) -> F::Output {
    SOURCE_TIMEOUT.scope(timeout, work).await
}

/// The longest wait for one answer of a source: of the query that this task works for, else a minute.
pub fn source_timeout() -> Duration {
    SOURCE_TIMEOUT
        .try_with(|timeout| *timeout)
        .unwrap_or(SOURCE_TIMEOUT_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timeout_goes_with_its_task_only() {
        let second = Duration::from_secs(1);
        let seen = with_source_timeout(second, async {
            let spawned = tokio::spawn(async { source_timeout() });
            (source_timeout(), spawned.await.unwrap_or_default())
        });
        assert_eq!(seen.await, (second, SOURCE_TIMEOUT_DEFAULT));
        assert_eq!(source_timeout(), SOURCE_TIMEOUT_DEFAULT);
    }
}
