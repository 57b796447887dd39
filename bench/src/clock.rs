//! Times: medians of several rounds, and how they are printed.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How much data, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// TPC-H scale.
    pub(crate) scale: f64,
    /// Measurements, of which the median counts.
    pub(crate) rounds: usize,
}

impl Measure {
    /// The medians of two works, measured by turns so that both see the same machine.
    pub(crate) async fn pair<A, B, FA, FB>(&self, mut first: A, mut second: B) -> Result<(Duration, Duration)>
    where
        A: FnMut() -> FA,
        B: FnMut() -> FB,
        FA: Future<Output = Result<()>>,
        FB: Future<Output = Result<()>>,
    {
        let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            of_first.push(timed(first()).await?);
            of_second.push(timed(second()).await?);
        }
        Ok((median(of_first), median(of_second)))
    }

    /// The median of one work.
    pub(crate) async fn one<W, F>(&self, mut work: W) -> Result<Duration>
    where
        W: FnMut() -> F,
        F: Future<Output = Result<()>>,
    {
        let mut times = Vec::new();
        for _ in 0..self.rounds {
            times.push(timed(work()).await?);
        }
        Ok(median(times))
    }
}

/// How long `work` takes.
pub(crate) async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

/// The middle one; of two, the shorter.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times
        .get(times.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

/// Prints a figure beside its limit.
pub(crate) fn say_ratio(what: &str, time: Duration, limit: &str, other: Duration) {
    println!(
        "{what}: {:.1} ms; {limit}: {:.1} ms; ratio {:.2}",
        milliseconds(time),
        milliseconds(other),
        time.as_secs_f64() / other.as_secs_f64().max(f64::MIN_POSITIVE)
    );
}

/// Prints a time.
pub(crate) fn say(what: &str, time: Duration) {
    println!("{what}: {:.1} ms", milliseconds(time));
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
