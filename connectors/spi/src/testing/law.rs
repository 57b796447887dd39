//! The law itself: pushdown on, pushdown off and the in-memory copy give the same rows, for every generated query.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result};

use super::court::{Court, Finding};
use super::report::{LawReport, LawViolation, Shares};
use crate::connector::Table;
use crate::settings::ScanSettings;
use crate::source_table::{ScanNotes, SourceTable};

/// Checks of one source, unless the environment says otherwise.
const CHECKS: u64 = 2_000;
/// Queries tried to make a violation smaller, unless a test asks for less.
const SHRINK_STEPS_MAX: u32 = 400;
/// Queries in flight at once: one source call may wait while another query is planned.
const LANES: u64 = 2;

/// Makes the provider of one reference to the table; [`SourceTable::new`] outside tests of the harness itself.
pub type ProviderOf = fn(Arc<dyn Table>, ScanSettings, Arc<ScanNotes>) -> Arc<dyn TableProvider>;

/// A table of a real source, loaded with rows of which the harness holds a copy.
#[derive(Clone)]
pub struct LawSubject {
    pub(super) name: String,
    pub(super) table: Arc<dyn Table>,
    pub(super) copy: RecordBatch,
    pub(super) provider: ProviderOf,
    shares: Shares,
    tables_of_source: u64,
}

impl fmt::Debug for LawSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LawSubject({})", self.name)
    }
}

impl LawSubject {
    /// `table`, which holds exactly the rows of `copy`; the schemas are equal but for nullability.
    pub fn new(name: impl Into<String>, table: Arc<dyn Table>, copy: RecordBatch) -> Self {
        Self {
            name: name.into(),
            table,
            copy,
            provider: |table, settings, notes| Arc::new(SourceTable::new(table, settings, notes)),
            shares: Shares::default(),
            tables_of_source: 1,
        }
    }

    /// Says that this is one of `tables` of its source, which share the source's checks evenly.
    #[must_use]
    pub fn one_of(mut self, tables: u64) -> Self {
        self.tables_of_source = tables.max(1);
        self
    }

    /// Sets the least shares of conditions, joins and limits that must reach the source.
    #[must_use]
    pub fn shares(mut self, shares: Shares) -> Self {
        self.shares = shares;
        self
    }

    /// Replaces the translation to DataFusion.
    #[must_use]
    pub fn provider(mut self, provider: ProviderOf) -> Self {
        self.provider = provider;
        self
    }
}

/// Which queries to generate: `checks` of them, from `seed` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LawOptions {
    /// The seed of the first query; each query has the next.
    pub seed: u64,
    /// The number of queries.
    pub checks: u64,
    /// Queries tried at most to make a violation smaller.
    pub shrink_steps_max: u32,
}

impl LawOptions {
    /// `checks` queries from `seed` on.
    pub fn new(seed: u64, checks: u64) -> Self {
        Self {
            seed,
            checks,
            shrink_steps_max: SHRINK_STEPS_MAX,
        }
    }

    /// The runs that the environment asks for: `TEST_LAW_SEED` alone when it is set, else a fixed seed and a fresh
    /// one, with `TEST_LAW_CHECKS` checks in all.
    pub fn from_env() -> Vec<LawOptions> {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let checks = number("TEST_LAW_CHECKS").unwrap_or(CHECKS);
        match number("TEST_LAW_SEED") {
            Some(seed) => vec![LawOptions::new(seed, checks)],
            None => {
                let fresh = u64::from(rand::random::<u32>()) << 16;
                let half = checks / 2;
                vec![LawOptions::new(0, half), LawOptions::new(fresh, checks - half)]
            }
        }
    }
}

/// Runs the laws as the environment asks, prints what was checked, and panics with the first violation or when too
/// little reached the source.
pub async fn run_laws(subject: &LawSubject) {
    let mut report = LawReport::default();
    for mut options in LawOptions::from_env() {
        options.checks = options.checks.div_ceil(subject.tables_of_source);
        let outcome = check_laws(subject, options).await;
        let violation = outcome
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(outcome.is_ok(), "{violation}");
        report.add(&outcome.unwrap_or_default());
    }
    println!("{}: {report}", subject.name);
    let vacuous = report.vacuous(&subject.shares).filter(|_| report.checks >= 100);
    assert!(
        vacuous.is_none(),
        "{}: the run proves too little: {vacuous:?}",
        subject.name
    );
}

/// Checks the laws over generated queries and returns the first difference, minimised.
pub async fn check_laws(subject: &LawSubject, options: LawOptions) -> Result<LawReport, Box<LawViolation>> {
    // The lanes stop at the first broken check, whichever lane finds it, so that a seed always tells the same.
    let broken = Arc::new(AtomicU64::new(options.checks));
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (subject, broken) = (subject.clone(), Arc::clone(&broken));
            tokio::spawn(async move { check_lane(&subject, options.seed, lane, &broken).await })
        })
        .collect();
    let mut report = LawReport::default();
    let mut first: Option<(u64, Finding)> = None;
    for lane in lanes {
        match lane.await {
            Ok(part) => {
                let (part, found) = part.map_err(|error| subject.broken_set_up(&error))?;
                report.add(&part);
                first = first.into_iter().chain(found).min_by_key(|(index, _)| *index);
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    let Some((index, finding)) = first else {
        return Ok(report);
    };
    let court = Court::new(subject).map_err(|error| subject.broken_set_up(&error))?;
    let seed = options.seed.wrapping_add(index);
    let violation = court.violation(seed, finding, options.shrink_steps_max).await;
    Err(Box::new(LawViolation {
        checks_before: index,
        ..violation
    }))
}

/// Every [`LANES`]th check below the first broken one; lowers that to what it finds itself.
async fn check_lane(
    subject: &LawSubject,
    seed: u64,
    lane: u64,
    broken: &AtomicU64,
) -> Result<(LawReport, Option<(u64, Finding)>)> {
    let court = Court::new(subject)?;
    let mut report = LawReport::default();
    let mut index = lane;
    while index < broken.load(Ordering::Relaxed) {
        let (part, finding) = court.check_seed(seed.wrapping_add(index)).await;
        report.add(&part);
        if let Some(finding) = finding {
            broken.fetch_min(index, Ordering::Relaxed);
            return Ok((report, Some((index, finding))));
        }
        index += LANES;
    }
    Ok((report, None))
}

impl LawSubject {
    fn broken_set_up(&self, error: &DataFusionError) -> Box<LawViolation> {
        Box::new(LawViolation {
            subject: self.name.clone(),
            law: "the subject can be set up".to_owned(),
            difference: error.to_string(),
            ..LawViolation::default()
        })
    }
}
