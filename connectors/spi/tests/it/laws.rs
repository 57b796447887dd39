//! The harness against the collated source: the lawful one passes, every planted fault is caught and made small.

use std::sync::Arc;

use causeway_spi::testing::{
    CanonicalTable, LawOptions, LawSubject, LawViolation, Shares, check_laws, run_laws,
};

use crate::faults::{ForgetfulLeaf, LimitBelowSuperset};
use crate::mutation::Mutation;
use crate::source::CollatedTable;

/// Checks within which a planted fault must be found, from any seed.
const CHECKS_TO_CATCH: u64 = 600;
/// SQL of a minimised case is shorter than this, its list of keys aside.
const SMALL_SQL: usize = 240;

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
    });
    run_laws(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutant_is_caught() {
    for &mutation in Mutation::ALL {
        for seed in [0, 1_000_000, 2_000_000] {
            let violation = caught(mutation, seed).await;
            let sql = violation
                .sql
                .split_once(") SELECT")
                .map_or(violation.sql.as_str(), |(_, sql)| sql);
            assert!(sql.len() < SMALL_SQL, "{mutation:?} is not small: {violation}");
            println!("after {} checks: {violation}\n", violation.checks_before);
        }
    }
}

async fn caught(mutation: Mutation, seed: u64) -> LawViolation {
    let options = LawOptions {
        seed,
        checks: CHECKS_TO_CATCH,
    };
    match check_laws(&subject(Some(mutation)), options).await {
        Ok(report) => panic!("{mutation:?} was not caught from seed {seed}: {report}"),
        Err(violation) => *violation,
    }
}

#[tokio::test]
async fn violation_replays_from_its_seed() {
    let first = caught(Mutation::EmptyIsNull, 0).await;
    let options = LawOptions {
        seed: first.seed,
        checks: 1,
    };
    let again = check_laws(&subject(Some(Mutation::EmptyIsNull)), options).await;
    let again = again.expect_err("the seed replays the violation");
    assert_eq!((again.sql, again.difference), (first.sql, first.difference));
}
