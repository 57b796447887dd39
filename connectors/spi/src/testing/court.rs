//! Checks one query on all sides, and makes a query that breaks a law as small as it can.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use rand::prelude::*;

use super::contract::Contract;
use super::generate::Pool;
use super::law::LawSubject;
use super::observe::Observed;
use super::query::{Output, Query};
use super::report::{LawReport, LawViolation};
use super::shrink::smaller;
use super::sides::{Answer, Sides};
use crate::connector::Table;
use crate::filter::Verdict;
use crate::operator::{JoinKind, OperatorNote};
use crate::scan::Scan;
use crate::settings::{LookupJoinLimits, ScanSettings};
use crate::source_table::{ScanNote, ScanNotes};

/// Runs of a query whose difference does not come back, before it is shown as it was.
const REPEATS_MAX: u32 = 20;
/// The law between a source that is sent filters, limits and keys, and the copy.
const ON_LAW: &str = "pushdown on = the in-memory copy";
/// The law between a source that is only read, and the copy.
const OFF_LAW: &str = "pushdown off = the in-memory copy";

/// A broken law and what shows it.
#[derive(Debug)]
pub(crate) struct Finding {
    law: String,
    difference: String,
    pushed: String,
}

/// Everything that is kept between checks.
pub(crate) struct Court<'a> {
    subject: &'a LawSubject,
    observed: Arc<Observed>,
    pool: Pool,
    sides: Sides,
    copy: Arc<dyn TableProvider>,
}

impl<'a> Court<'a> {
    pub(crate) fn new(subject: &'a LawSubject) -> Result<Self> {
        // The copy has the table's own schema, so that nullability is planned alike on all sides.
        let copy = RecordBatch::try_new(subject.table.schema(), subject.copy.columns().to_vec())?;
        let keys = subject.table.lookup().map_or(&[] as &[_], |lookup| lookup.keys());
        Ok(Self {
            subject,
            observed: Arc::new(Observed::new(Arc::clone(&subject.table))),
            pool: Pool::new(&copy, keys)?,
            sides: Sides::new(),
            copy: Arc::new(MemTable::try_new(copy.schema(), vec![vec![copy]])?),
        })
    }

    /// Makes and checks the query of `seed`.
    pub(crate) async fn check_seed(&self, seed: u64) -> (LawReport, Option<Finding>) {
        self.check(&self.query(seed), seed, None).await
    }

    /// The violation that the query of `seed` showed as `finding`, minimised in at most `steps_max` steps.
    pub(crate) async fn violation(&self, seed: u64, finding: Finding, steps_max: u32) -> LawViolation {
        let query = self.query(seed);
        for _ in 0..REPEATS_MAX {
            if let Some(again) = self.check(&query, seed, None).await.1 {
                return self.minimise(query, again, seed, steps_max).await;
            }
        }
        let law = format!(
            "{}, each time (here once in {} runs)",
            finding.law,
            REPEATS_MAX + 1
        );
        self.minimise(query, Finding { law, ..finding }, seed, 0).await
    }

    fn query(&self, seed: u64) -> Query {
        self.pool.query(&mut StdRng::seed_from_u64(seed))
    }

    /// Runs `query` on all sides; the seed also chooses the sides' partitions and batch sizes. With `only`, sides that
    /// cannot break that law are left out.
    async fn check(&self, query: &Query, seed: u64, only: Option<&str>) -> (LawReport, Option<Finding>) {
        let mut random = StdRng::seed_from_u64(!seed);
        let (on_side, off_side) = (
            random.random_range(0..self.sides.len()),
            random.random_range(0..self.sides.len()),
        );
        let wanted = |law: &str| only.is_none_or(|only| only == law);
        let copy_wanted = wanted(ON_LAW) || wanted(OFF_LAW);
        let notes = Arc::new(ScanNotes::default());
        self.observed.take();
        let on = self
            .sides
            .run_on(on_side, self.provider(true, &notes), query)
            .await;
        let (scans, lookups) = self.observed.take();
        let notes = notes.take();
        let mut report = counted(query, &notes, lookups);
        let mut found = None;
        if copy_wanted {
            let table = Arc::clone(&self.copy);
            let copy = self.sides.run_copy(table, &query.unlimited()).await;
            found = compare(query, &on, &copy, ON_LAW);
            if found.is_none() && wanted(OFF_LAW) {
                let table = self.provider(false, &Arc::default());
                let off = self.sides.run_off(off_side, table, query).await;
                found = compare(query, &off, &copy, OFF_LAW);
            }
            report.rows = copy
                .as_ref()
                .map_or(0, |rows| u64::try_from(rows.len()).unwrap_or(u64::MAX));
            report.errors = u64::from(copy.is_err());
        }
        if found.is_none() {
            found = self.check_contract(&scans, &mut random, &mut report).await;
        }
        let finding = found.map(|(law, difference)| Finding {
            law,
            difference,
            pushed: notes.iter().map(note_text).collect(),
        });
        (report, finding)
    }

    /// Checks the scans of one query below DataFusion.
    async fn check_contract(
        &self,
        scans: &[Scan],
        random: &mut StdRng,
        report: &mut LawReport,
    ) -> Option<(String, String)> {
        let contract = Contract {
            table: self.subject.table.as_ref(),
            copy: &self.subject.copy,
            context: self.sides.plain(),
        };
        for scan in scans {
            let (tried, breach) = match contract.check(scan, random).await {
                Ok(checked) => checked,
                Err(error) => {
                    let difference = error.find_root().to_string();
                    return Some(("a scan can be read by the contract".to_owned(), difference));
                }
            };
            report.contract_reads += tried.reads;
            report.contract_lookups += tried.lookups;
            report.contract_limits += tried.limits;
            if let Some(breach) = breach {
                return Some((breach.law.to_owned(), breach.difference));
            }
        }
        None
    }

    fn provider(&self, pushdown: bool, notes: &Arc<ScanNotes>) -> Arc<dyn TableProvider> {
        let settings = ScanSettings {
            pushdown,
            // Every table is worth looking for, and is scanned, looked up at once or looked up in batches.
            lookup_joins: LookupJoinLimits {
                scan_rows: 0,
                batch_keys: 5,
                outer_bytes: 2_000,
                ..LookupJoinLimits::default()
            },
            ..ScanSettings::default()
        };
        let table: Arc<dyn Table> = Arc::<Observed>::clone(&self.observed);
        (self.subject.provider)(table, settings, Arc::clone(notes))
    }

    /// Takes steps to smaller queries as long as one of them still breaks the same law.
    async fn minimise(&self, original: Query, finding: Finding, seed: u64, steps_max: u32) -> LawViolation {
        let (mut smallest, mut shown) = (original.clone(), finding);
        let mut steps = 0;
        'smaller: loop {
            for candidate in smaller(&smallest) {
                steps += 1;
                if steps > steps_max {
                    break 'smaller;
                }
                let finding = self.check(&candidate, seed, Some(&shown.law)).await.1;
                if let Some(finding) = finding.filter(|finding| finding.law == shown.law) {
                    (smallest, shown) = (candidate, finding);
                    continue 'smaller;
                }
            }
            break;
        }
        LawViolation {
            subject: self.subject.name.clone(),
            law: shown.law,
            sql: smallest.standalone(),
            original_sql: original.standalone(),
            pushed: shown.pushed,
            difference: shown.difference,
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
        lookups: lookups.min(u64::from(query.join.is_some())),
        limited: u64::from(query.limit.is_some()),
        limits_pushed: u64::from(notes.iter().any(|note| note.limit.is_some())),
        operators: u64::from(
            matches!(query.output, Output::Count | Output::Aggregates { .. })
                || (query.order.is_some() && query.limit.is_some()),
        ),
        operators_pushed: u64::from(notes.iter().any(|note| {
            let mut operators = note.operators.iter();
            operators.any(|operator| operator.pushdown.verdict == Verdict::Exact)
        })),
        mates: u64::from(query.mate.is_some()),
        mates_pushed: u64::from(notes.iter().any(|note| {
            let mut joins = note.operators.iter().filter(|operator| is_join(operator));
            joins.any(|operator| operator.pushdown.verdict == Verdict::Exact)
        })),
        unions: u64::from(query.union.is_some()),
        unions_pushed: u64::from(notes.iter().any(|note| {
            let mut operators = note.operators.iter();
            operators.any(|note| {
                note.operator.starts_with("union all ") && note.pushdown.verdict == Verdict::Exact
            })
        })),
        ..LawReport::default()
    }
}

fn is_join(note: &OperatorNote) -> bool {
    let kinds = [JoinKind::Inner, JoinKind::Left, JoinKind::Semi, JoinKind::Anti];
    kinds
        .iter()
        .any(|kind| note.operator.starts_with(&format!("{kind} ")))
}

/// What one scan pushed, with the reasons.
fn note_text(note: &ScanNote) -> String {
    let mut text = format!("sent: {}\n", note.remote);
    for filter in &note.filters {
        let verdict = filter.pushdown.verdict;
        text.push_str(&format!(
            "{verdict}: {} ({})\n",
            filter.filter, filter.pushdown.reason
        ));
    }
    for operator in &note.operators {
        let verdict = operator.pushdown.verdict;
        text.push_str(&format!(
            "{verdict}: {} ({})\n",
            operator.operator, operator.pushdown.reason
        ));
    }
    text
}
