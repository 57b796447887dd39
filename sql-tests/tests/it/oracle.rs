//! PostgreSQL as the oracle: generated queries over the same tables in every source must have its answers.
//!
//! One in eight is held to laws that need no oracle instead. The tables and queries come from a seed; a query that is answered otherwise is made smaller and shown with it.
//! `TEST_LAW_FOUND=20` shows the first twenty.
//! What PostgreSQL means otherwise on purpose stands in `docs/differences.md`, and the generator leaves it out.

mod expression;
mod generate;
mod judge;
mod kind;
mod law;
mod places;
mod query;
mod shrink;
mod tables;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_sql_tests::services::{Services, postgres_url};
use rand::prelude::*;

use generate::Writer;
use judge::{Judge, Sides, Verdict};
use law::Law;
use places::Placed;
use query::Query;
use tables::Table;

/// Queries of a run, unless the environment says otherwise.
const CHECKS: u64 = 2_000;
/// Where the runs begin that are the same each time.
const FIXED_SEEDS: [u64; 3] = [0, 888_000_000, 999_000_000];
/// Of a hundred queries of a run so many are fresh at least, and all that are more than [`CHECKS`].
const FRESH_PERCENT: u64 = 40;
const LANES: u64 = 2;
/// Queries tried at most to make a difference smaller.
const SHRINK_STEPS_MAX: u32 = 400;
/// The seed of the tables is that of the first query without its low bits, so that a query's own seed finds them again.
const SEED_BITS: u32 = 16;
/// Most queries that may be refused, of a hundred.
const REFUSED_PERCENT_MAX: u64 = 8;

/// `checks` queries from `seed` on.
#[derive(Clone, Copy, Debug)]
struct Run {
    seed: u64,
    checks: u64,
}

impl Run {
    /// `TEST_LAW_SEED` alone when it is set, else the fixed seeds and a fresh one; `TEST_LAW_CHECKS` queries in all.
    fn all() -> Vec<Self> {
        let checks = number("TEST_LAW_CHECKS").unwrap_or(CHECKS);
        if let Some(seed) = number("TEST_LAW_SEED") {
            return vec![Self { seed, checks }];
        }
        let fresh = u64::from(rand::random::<u32>()) << SEED_BITS;
        let count = (checks * FRESH_PERCENT / 100).max(checks.saturating_sub(CHECKS));
        let runs = u64::try_from(FIXED_SEEDS.len()).unwrap();
        let each = (checks - count) / runs;
        let fixed = FIXED_SEEDS.map(|seed| Self { seed, checks: each });
        let fresh = Self {
            seed: fresh,
            checks: checks - runs * each,
        };
        fixed.into_iter().chain([fresh]).collect()
    }

    fn tables(self) -> Vec<Table> {
        tables::generate(&mut StdRng::seed_from_u64(self.seed >> SEED_BITS))
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Where the lanes of a run stop.
struct Stop {
    /// The first query that is not looked at any more.
    below: AtomicU64,
    /// Differences that are still looked for.
    left: AtomicU64,
}

/// What a run found, to show that it was not vacuous.
#[derive(Clone, Debug, Default)]
struct Report {
    checks: u64,
    rows: u64,
    empty: u64,
    errors: u64,
    /// How many by their reason, and the shortest of them.
    refused: BTreeMap<String, (u64, String)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} queries, {} rows compared, {} without rows, {} alike errors, {} refused",
            self.checks,
            self.rows,
            self.empty,
            self.errors,
            self.refused()
        )?;
        for (why, (count, shortest)) in &self.refused {
            write!(f, "\n  {count} refused: {why}\n    {shortest}")?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_queries_keep_the_laws() {
    let (Some(services), Some(postgres)) = (Services::from_env(), postgres_url()) else {
        return;
    };
    let mut report = Report::default();
    for run in Run::all() {
        let placed = Arc::new(Placed::load(&run.tables(), &services, &postgres).await);
        let found_max = number("TEST_LAW_FOUND").unwrap_or(1);
        let stop = Arc::new(Stop {
            below: AtomicU64::new(run.checks),
            left: AtomicU64::new(found_max),
        });
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| tokio::spawn(check_lane(Arc::clone(&placed), run, lane, Arc::clone(&stop))))
            .collect();
        let mut found = Vec::new();
        for lane in lanes {
            let (part, differing) = lane.await.unwrap();
            report.add(part);
            found.extend(differing);
        }
        found.sort_by_key(|(index, _)| *index);
        let mut told = Vec::new();
        for (index, query) in found.into_iter().take(usize::try_from(found_max).unwrap()) {
            told.push(explain(&placed, run.seed.wrapping_add(index), query).await);
        }
        assert!(told.is_empty(), "{report}\n{}", told.join("\n\n"));
        placed.drop_schema().await;
    }
    println!("{report}");
    let refused_max = report.checks * REFUSED_PERCENT_MAX / 100 + 5;
    assert!(report.refused() <= refused_max, "too much is refused: {report}");
    assert!(
        report.empty < report.checks / 2 + 5,
        "too little is compared: {report}"
    );
}

impl Report {
    fn add(&mut self, other: Report) {
        self.checks += other.checks;
        self.rows += other.rows;
        self.empty += other.empty;
        self.errors += other.errors;
        for (why, (count, sql)) in other.refused {
            self.refuse(why, count, sql);
        }
    }

    fn refuse(&mut self, why: String, count: u64, sql: String) {
        let (known, shortest) = self.refused.entry(why).or_insert_with(|| (0, sql.clone()));
        *known += count;
        if sql.len() < shortest.len() {
            *shortest = sql;
        }
    }

    fn refused(&self) -> u64 {
        self.refused.values().map(|(count, _)| count).sum()
    }
}

/// Every [`LANES`]th query, until as many differ as are looked for; the first one is found whichever lane is faster.
async fn check_lane(
    placed: Arc<Placed>,
    run: Run,
    lane: u64,
    stop: Arc<Stop>,
) -> (Report, Vec<(u64, Query)>) {
    let tables = run.tables();
    let judge = Judge::new(&placed).await;
    let mut report = Report::default();
    let mut found = Vec::new();
    let mut index = lane;
    while index < stop.below.load(Ordering::Relaxed) {
        let seed = run.seed.wrapping_add(index);
        let law = Law::of_seed(seed);
        let query = law.query(Writer::new(seed, &tables, &placed.places));
        report.checks += 1;
        // Without pushdown there is less to be found: every fourth query is asked so as well.
        let sides = match seed % 4 {
            0 => Sides::All,
            1 => Sides::LookingFirst,
            _ => Sides::Pushed,
        };
        match judge.check(law, &query, sides).await {
            Verdict::Alike(rows) => {
                report.rows += u64::try_from(rows).unwrap();
                report.empty += u64::from(rows == 0);
            }
            Verdict::AlikeErrors => report.errors += 1,
            Verdict::Refused(why) => report.refuse(why, 1, judge.sql(&query)),
            Verdict::Invalid(_) | Verdict::Different(_) => {
                found.push((index, query));
                if stop.left.fetch_sub(1, Ordering::Relaxed) <= 1 {
                    stop.below.fetch_min(index, Ordering::Relaxed);
                    break;
                }
            }
        }
        index += LANES;
    }
    (report, found)
}

/// Makes the query smaller as long as the answers differ in the same way, and says how they do.
async fn explain(placed: &Placed, seed: u64, query: Query) -> String {
    let judge = Judge::new(placed).await;
    let law = Law::of_seed(seed);
    let original = judge.sql(&query);
    let replay = format!("replay: TEST_LAW_SEED={seed} TEST_LAW_CHECKS=1\ngenerated as: {original}");
    let mut worst = match judge.check(law, &query, Sides::All).await {
        Verdict::Different(difference) => difference,
        Verdict::Invalid(why) => return format!("PostgreSQL refuses a generated query: {why}\n{replay}"),
        other => return format!("the answers differed once, now: {other:?}\n{replay}"),
    };
    let mut smallest = query;
    let mut steps = 0;
    'smaller: loop {
        let moved = shrink::in_one_place(&smallest);
        let moved = (moved != smallest).then_some(moved);
        for step in moved.into_iter().chain(shrink::smaller(&smallest)) {
            if steps == SHRINK_STEPS_MAX {
                break 'smaller;
            }
            steps += 1;
            if let Verdict::Different(difference) = judge.check(law, &step, Sides::All).await
                && difference.sort == worst.sort
            {
                worst = difference;
                smallest = step;
                continue 'smaller;
            }
        }
        break;
    }
    format!("{law:?}: {}\n{worst}\n{replay}", judge.sql(&smallest))
}
