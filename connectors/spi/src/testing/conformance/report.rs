//! What a run of the suite found: how much was checked, and everything that was not as declared.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use super::capabilities::Capabilities;
use crate::error::{ConnectorError, ErrorKind, Result};

/// A check that takes longer hangs.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// What is not as it should be, and how it is instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

/// What a check found.
pub(super) type Outcome = Result<(), Broken>;

impl From<ConnectorError> for Broken {
    fn from(error: ConnectorError) -> Self {
        Self(shown(&error))
    }
}

impl From<DataFusionError> for Broken {
    fn from(error: DataFusionError) -> Self {
        Self(error.find_root().to_string())
    }
}

impl From<ArrowError> for Broken {
    fn from(error: ArrowError) -> Self {
        Self(error.to_string())
    }
}

/// An error with everything that a user is told of it.
pub(super) fn shown(error: &ConnectorError) -> String {
    let mut text = format!("{:?}: {}", error.kind(), error.message());
    for more in [error.detail_text(), error.hint_text()].into_iter().flatten() {
        text.push_str(&format!(" ({more})"));
    }
    text
}

/// Breaks the check with `said` unless `holds`.
pub(super) fn ensure(holds: bool, said: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Broken(said())) }
}

/// Breaks the check unless `found` is an error of this kind with this message.
pub(super) fn refused<T>(what: &str, found: Result<T>, kind: ErrorKind, message: &str) -> Outcome {
    let Err(error) = found else {
        return Err(Broken(format!("{what} is not refused")));
    };
    ensure(error.kind() == kind && error.message() == message, || {
        format!(
            "{what} is refused by {} instead of {kind:?}: {message}",
            shown(&error)
        )
    })
}

/// Says that `source` is not checked, and why, past what the test runner captures: a skipped suite must be seen.
pub fn skipped(source: &str, why: &str) {
    // Nobody can be told when standard error is gone.
    let _ = writeln!(io::stderr(), "SKIPPED: conformance of {source}: {why}");
}

/// What a run of the suite found.
#[derive(Debug, Clone, Default)]
pub struct ConformanceReport {
    source: String,
    declared: [Vec<&'static str>; 2],
    checks: u64,
    broken: Vec<String>,
}

impl ConformanceReport {
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn declare(&mut self, declared: &Capabilities) {
        self.declared = declared.listed();
    }

    /// Runs one check.
    pub(super) async fn check(&mut self, law: &str, check: impl Future<Output = Outcome>) {
        self.checks += 1;
        let outcome = tokio::time::timeout(CHECK_TIMEOUT, check).await;
        let broken = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(Broken(found))) => found,
            Err(_) => format!("no end after {} s", CHECK_TIMEOUT.as_secs()),
        };
        self.broken.push(format!("{law}: {broken}"));
    }

    /// The checks that were made.
    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// The laws that do not hold, each with what was found instead.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} conformance checks", self.source, self.checks)?;
        let [has, has_not] = &self.declared;
        writeln!(f, "  yes: {}", has.join(", "))?;
        write!(f, "  no: {}", has_not.join(", "))?;
        for broken in &self.broken {
            write!(f, "\n  BROKEN: {broken}")?;
        }
        Ok(())
    }
}
