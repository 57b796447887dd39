//! The harness against the collated source: the lawful one passes, every planted fault is caught and made small.

use std::sync::Arc;

use causeway_spi::testing::{
    CanonicalTable, LawOptions, LawSubject, LawViolation, Shares, check_laws, run_laws,
};

use crate::faults::{ForgetfulLeaf, LimitBelowSuperset};
use crate::mutation::Mutation;
use crate::source::CollatedTable;

/// Checks within which a planted fault must be found, from any seed.
const CHECKS_TO_CATCH: u64 = 1_000;
/// SQL of a minimised case is shorter than this, its list of keys aside.
const SMALL_SQL: usize = 320;

fn subject(mutation: Option<Mutation>) -> LawSubject {
    let table = CanonicalTable::standard();
    let keys: &[&[&str]] = &[&["id"], &["grp"], &["name"], &["grp", "small"]];
    let source = CollatedTable::new(table.rows().clone(), keys, mutation);
    let name = mutation.map_or("collated".to_owned(), |mutation| format!("{mutation:?}"));
    let subject = LawSubject::new(name, Arc::new(source), table.rows().clone());
    match mutation {
        Some(Mutation::LimitBelowSuperset) => subject.provider(LimitBelowSuperset::provider),
        Some(Mutation::ScanWhileLookingUp) => subject.provider(ForgetfulLeaf::provider),
        _ => subject,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lawful_source_passes() {
    let subject = subject(None).shares(Shares {
        pushed: 0.5,
        lookups: 0.3,
        limits: 0.1,
        operators: 0.25,
        mates: 0.25,
        unions: 0.08,
    });
    run_laws(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutant_is_caught() {
    for &mutation in Mutation::ALL {
        let violation = caught(mutation, LawOptions::new(0, CHECKS_TO_CATCH)).await;
        let sql = violation
            .sql
            .split_once(") SELECT")
            .map_or(violation.sql.as_str(), |(_, sql)| sql);
        assert!(sql.len() < SMALL_SQL, "{mutation:?} is not small: {violation}");
        println!("after {} checks: {violation}\n", violation.checks_before);
        for seed in [1_000_000, 2_000_000] {
            let options = LawOptions {
                shrink_steps_max: 0,
                ..LawOptions::new(seed, CHECKS_TO_CATCH)
            };
            let checks = caught(mutation, options).await.checks_before;
            println!("from seed {seed}: after {checks} checks");
        }
    }
}

async fn caught(mutation: Mutation, options: LawOptions) -> LawViolation {
    let outcome = check_laws(&subject(Some(mutation)), options).await;
    let message = format!("{mutation:?} is caught from seed {}", options.seed);
    *outcome.expect_err(&message)
}

#[tokio::test]
async fn violation_replays_from_its_seed() {
    let first = caught(Mutation::EmptyIsNull, LawOptions::new(0, CHECKS_TO_CATCH)).await;
    let again = caught(Mutation::EmptyIsNull, LawOptions::new(first.seed, 1)).await;
    assert_eq!((again.sql, again.difference), (first.sql, first.difference));
}
