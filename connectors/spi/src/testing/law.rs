//! The law itself: pushdown on, pushdown off and the in-memory copy give the same rows, for every generated query.

use std::env;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use rand::prelude::*;

use super::contract::Contract;
use super::generate::Pool;
use super::observe::Observed;
use super::query::Query;
use super::report::{LawReport, LawViolation, Shares};
use super::shrink::smaller;
use super::sides::{Answer, Sides};
use crate::connector::Table;
use crate::filter::Verdict;
use crate::settings::ScanSettings;
use crate::source_table::{ScanNote, ScanNotes, SourceTable};

/// Checks of one source, unless the environment says otherwise.
const CHECKS: u64 = 2_000;
/// Queries tried while a violation is made smaller.
const SHRINK_STEPS_MAX: u32 = 400;
/// Queries in flight at once: one source call may wait while another query is planned.
const LANES: u64 = 2;

/// Makes the provider of one reference to the table; [`SourceTable::new`] outside tests of the harness itself.
pub type ProviderOf = fn(Arc<dyn Table>, ScanSettings, Arc<ScanNotes>) -> Arc<dyn TableProvider>;

/// A table of a real source, loaded with rows of which the harness holds a copy.
#[derive(Clone)]
pub struct LawSubject {
    name: String,
    table: Arc<dyn Table>,
    copy: RecordBatch,
    provider: ProviderOf,
    shares: Shares,
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
        }
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
}

impl LawOptions {
    /// The runs that the environment asks for: `CAUSEWAY_LAW_SEED` alone when it is set, else a fixed seed and a fresh
    /// one, with `CAUSEWAY_LAW_CHECKS` checks in all.
    pub fn from_env() -> Vec<LawOptions> {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let checks = number("CAUSEWAY_LAW_CHECKS").unwrap_or(CHECKS);
        match number("CAUSEWAY_LAW_SEED") {
            Some(seed) => vec![LawOptions { seed, checks }],
            None => {
                let fresh = u64::from(rand::random::<u32>()) << 16;
                let half = checks / 2;
                vec![
                    LawOptions {
                        seed: 0,
                        checks: half,
                    },
                    LawOptions {
                        seed: fresh,
                        checks: checks - half,
                    },
                ]
            }
        }
    }
}

/// Runs the laws as the environment asks, prints what was checked, and panics with the first violation or when too
/// little reached the source.
pub async fn run_laws(subject: &LawSubject) {
    let mut report = LawReport::default();
    for options in LawOptions::from_env() {
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

/// Checks the laws over generated queries and returns at the first difference, minimised.
pub async fn check_laws(subject: &LawSubject, options: LawOptions) -> Result<LawReport, Box<LawViolation>> {
    let lanes = (0..LANES).map(|lane| {
        let subject = subject.clone();
        tokio::spawn(async move { check_lane(&subject, options, lane).await })
    });
    let mut report = LawReport::default();
    let mut first: Option<Box<LawViolation>> = None;
    for lane in lanes.collect::<Vec<_>>() {
        match lane.await {
            Ok(Ok(part)) => report.add(&part),
            Ok(Err(violation)) => {
                first = match first {
                    Some(other) if other.seed <= violation.seed => Some(other),
                    _ => Some(violation),
                };
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    first.map_or(Ok(report), Err)
}

/// Every [`LANES`]th check.
async fn check_lane(
    subject: &LawSubject,
    options: LawOptions,
    lane: u64,
) -> Result<LawReport, Box<LawViolation>> {
    let court = Court::new(subject).map_err(|error| subject.broken_set_up(&error))?;
    let mut report = LawReport::default();
    for index in (lane..options.checks).step_by(usize::try_from(LANES).unwrap_or(1)) {
        let seed = options.seed.wrapping_add(index);
        let query = court.pool.query(&mut StdRng::seed_from_u64(seed));
        let (part, finding) = court.check(&query, seed).await;
        report.add(&part);
        if finding.is_some() {
            let mut violation = court.minimise(query, seed).await;
            violation.checks_before = index;
            return Err(Box::new(violation));
        }
    }
    Ok(report)
}

impl LawSubject {
    fn broken_set_up(&self, error: &DataFusionError) -> Box<LawViolation> {
        Box::new(LawViolation {
            subject: self.name.clone(),
            law: "the subject can be set up".to_owned(),
            sql: String::new(),
            original_sql: String::new(),
            pushed: String::new(),
            difference: error.to_string(),
            seed: 0,
            checks_before: 0,
        })
    }
}

/// A broken law and what shows it.
struct Finding {
    law: String,
    difference: String,
    pushed: String,
}

/// Everything that is kept between checks.
struct Court<'a> {
    subject: &'a LawSubject,
    observed: Arc<Observed>,
    pool: Pool,
    on: Sides,
    off: Sides,
    copies: Sides,
    copy: Arc<dyn TableProvider>,
}

impl<'a> Court<'a> {
    fn new(subject: &'a LawSubject) -> Result<Self> {
        // The copy has the table's own schema, so that nullability is planned alike on all sides.
        let copy = RecordBatch::try_new(subject.table.schema(), subject.copy.columns().to_vec())?;
        let keys = subject.table.lookup().map_or(&[] as &[_], |lookup| lookup.keys());
        Ok(Self {
            subject,
            observed: Arc::new(Observed::new(Arc::clone(&subject.table))),
            pool: Pool::new(&copy, keys)?,
            on: Sides::new(),
            off: Sides::new(),
            copies: Sides::new(),
            copy: Arc::new(MemTable::try_new(copy.schema(), vec![vec![copy]])?),
        })
    }

    /// Runs `query` on all sides; the seed also chooses the sides' partitions and batch sizes.
    async fn check(&self, query: &Query, seed: u64) -> (LawReport, Option<Finding>) {
        let mut random = StdRng::seed_from_u64(!seed);
        let (on_side, off_side) = (
            random.random_range(0..self.on.len()),
            random.random_range(0..self.off.len()),
        );
        let notes = Arc::new(ScanNotes::default());
        self.observed.take();
        let table = self.provider(true, &notes);
        let on = self.on.run(on_side, table, query).await;
        let (scans, lookups) = self.observed.take();
        let notes = notes.take();
        let off = self
            .off
            .run(off_side, self.provider(false, &Arc::default()), query)
            .await;
        let copy = self
            .copies
            .run(0, Arc::clone(&self.copy), &query.unlimited())
            .await;
        let mut report = counted(query, &notes, lookups);
        let mut found = compare(query, &on, &copy, "pushdown on = the in-memory copy")
            .or_else(|| compare(query, &off, &copy, "pushdown off = the in-memory copy"));
        if let Ok(rows) = &copy {
            report.rows = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        } else {
            report.errors = 1;
        }
        let contract = Contract {
            table: self.subject.table.as_ref(),
            copy: &self.subject.copy,
            context: self.copies.plain(),
        };
        for scan in &scans {
            match contract.check(scan, &mut random).await {
                Ok((tried, breach)) => {
                    report.contract_reads += tried.reads;
                    report.contract_lookups += tried.lookups;
                    report.contract_limits += tried.limits;
                    found = found.or_else(|| breach.map(|breach| (breach.law.to_owned(), breach.difference)));
                }
                Err(error) => {
                    let difference = error.find_root().to_string();
                    found =
                        found.or_else(|| Some(("a scan can be read by the contract".to_owned(), difference)));
                }
            }
        }
        let finding = found.map(|(law, difference)| Finding {
            law,
            difference,
            pushed: notes.iter().map(note_text).collect(),
        });
        (report, finding)
    }

    fn provider(&self, pushdown: bool, notes: &Arc<ScanNotes>) -> Arc<dyn TableProvider> {
        let settings = ScanSettings {
            pushdown,
            ..ScanSettings::default()
        };
        let table: Arc<dyn Table> = Arc::<Observed>::clone(&self.observed);
        (self.subject.provider)(table, settings, Arc::clone(notes))
    }

    /// Takes steps to smaller queries as long as one of them still breaks a law.
    async fn minimise(&self, original: Query, seed: u64) -> LawViolation {
        let mut smallest = original.clone();
        let mut steps = 0;
        'smaller: loop {
            for candidate in smaller(&smallest) {
                steps += 1;
                if steps > SHRINK_STEPS_MAX {
                    break 'smaller;
                }
                // A query that cannot be planned is no smaller form of one that gives other rows.
                if self.check(&candidate, seed).await.1.is_some() {
                    smallest = candidate;
                    continue 'smaller;
                }
            }
            break;
        }
        let finding = self.check(&smallest, seed).await.1.unwrap_or_else(|| Finding {
            law: "the same query gives the same rows twice".to_owned(),
            difference: "the difference did not come back".to_owned(),
            pushed: String::new(),
        });
        LawViolation {
            subject: self.subject.name.clone(),
            law: finding.law,
            sql: smallest.standalone(),
            original_sql: original.standalone(),
            pushed: finding.pushed,
            difference: finding.difference,
            seed,
            checks_before: 0,
        }
    }
}

/// Compares one side's answer with the copy's, which was asked without limit.
fn compare(query: &Query, side: &Answer, copy: &Answer, law: &str) -> Option<(String, String)> {
    let difference = match (side, copy) {
        (Ok(side), Ok(copy)) => match query.limit {
            None if query.order.is_some() => side.difference(copy).or_else(|| side.disorder(copy)),
            None => side.difference(copy),
            Some(limit) => {
                let available = copy.len().saturating_sub(query.offset);
                let expected = limit.min(available);
                if side.len() != expected {
                    Some(format!("{} rows instead of {expected}", side.len()))
                } else if query.order.is_some() {
                    side.disorder(&copy.slice(query.offset, expected))
                } else {
                    side.outside(copy, "rows that are not of the unlimited result")
                }
            }
        },
        (Err(side), Err(copy)) if side == copy => None,
        (Ok(_), Err(copy)) => Some(format!("only the copy fails: {copy}")),
        (Err(side), Ok(_)) => Some(format!("only the source fails: {side}")),
        (Err(side), Err(copy)) => Some(format!("other errors: {side}; on the copy: {copy}")),
    };
    difference.map(|difference| (law.to_owned(), difference))
}

/// The counts of one check.
fn counted(query: &Query, notes: &[ScanNote], lookups: u64) -> LawReport {
    let pushed = |verdict: Verdict| {
        let holds = |note: &ScanNote| {
            note.filters
                .iter()
                .any(|filter| filter.pushdown.verdict == verdict)
        };
        u64::from(query.filter.is_some() && notes.iter().any(holds))
    };
    let (exact, superset) = (pushed(Verdict::Exact), pushed(Verdict::Superset));
    LawReport {
        checks: 1,
        filtered: u64::from(query.filter.is_some()),
        exact,
        superset,
        pushed: exact.max(superset),
        joins: u64::from(query.join.is_some()),
        lookups: lookups.min(1),
        limited: u64::from(query.limit.is_some()),
        limits_pushed: u64::from(notes.iter().any(|note| note.limit.is_some())),
        ..LawReport::default()
    }
}

/// What one scan pushed, with the reasons.
fn note_text(note: &ScanNote) -> String {
    let mut text = format!("sent: {}\n", note.remote);
    for filter in &note.filters {
        let verdict = match filter.pushdown.verdict {
            Verdict::Exact => "exact",
            Verdict::Superset => "superset",
            Verdict::Declined => "declined",
        };
        text.push_str(&format!(
            "{verdict}: {} ({})\n",
            filter.filter, filter.pushdown.reason
        ));
    }
    text
}
