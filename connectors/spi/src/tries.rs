//! The tries of one request, where a client library repeats it by itself.
//!
//! The count goes with the task, as deadlines do: the library's hook below does not know for which read it sends.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::scan::ReadMetrics;

struct Tries {
    made: AtomicUsize,
    metrics: ReadMetrics,
}

tokio::task_local! {
    static TRIES: Tries;
}

/// Runs `work`, which is one request and is counted as one: each try after the first ([`note_try`]) is another request and
/// a retry.
pub async fn counting_tries<F: Future>(metrics: &ReadMetrics, work: F) -> F::Output {
    let tries = Tries {
        made: AtomicUsize::new(0),
        metrics: metrics.clone(),
    };
    TRIES.scope(tries, work).await
}

/// Notes that the request at hand is sent. Outside of [`counting_tries`] nobody counts.
pub fn note_try() {
    // Planning reads files, too, for which nobody counts.
    let _ = TRIES.try_with(|tries| {
        if tries.made.fetch_add(1, Ordering::Relaxed) > 0 {
            tries.metrics.requests.add(1);
            tries.metrics.retries.add(1);
        }
    });
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;

    use super::*;

    #[tokio::test]
    async fn only_the_tries_after_the_first_are_retries() {
        let metrics = ReadMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        note_try();
        for tries in [1, 3] {
            metrics.requests.add(1);
            counting_tries(&metrics, async { (0..tries).for_each(|_| note_try()) }).await;
        }
        assert_eq!((metrics.requests.value(), metrics.retries.value()), (4, 2));
    }
}
