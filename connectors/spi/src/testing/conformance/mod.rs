//! The conformance suite: what a source declares is tried, and what it says it cannot do must be refused as agreed.
//!
//! A source's test implements [`ConformanceSource`]: it declares the source's [`Capabilities`] in one place, and loads
//! [`ConformanceTable`]s. The suite reads them in every way that the contract has and compares with the copy in memory;
//! it asks for what is not there; and it writes, if the source can be written. A declared "no" is as good a promise
//! as a "yes": it is the error that users see, or the absence that the engine plans by.

mod capabilities;
mod lookups;
mod metadata;
mod reading;
mod refused;
mod report;
mod rows;
mod statistics;
mod streams;
mod structure;
mod suite;
mod tables;
mod transactions;
mod written;

pub use capabilities::{CATALOG, Capabilities, ConformanceSource, Filters, OtherKinds, RowCounts, Writes};
pub use report::{ConformanceReport, skipped};
pub use tables::ConformanceTable;
pub use written::write_tables;

/// Checks that `source` conforms, prints what was checked, and panics with everything that was not as declared.
pub async fn run_conformance(source: &dyn ConformanceSource) {
    let report = check_conformance(source).await;
    println!("{report}");
    assert!(report.broken().is_empty(), "{report}");
}

/// Checks that `source` conforms.
pub async fn check_conformance(source: &dyn ConformanceSource) -> ConformanceReport {
    let mut report = ConformanceReport::new(source.name());
    let Some(suite) = suite::Suite::load(source, &mut report).await else {
        return report;
    };
    metadata::check(&suite, &mut report).await;
    statistics::check(&suite, &mut report).await;
    reading::check(&suite, &mut report).await;
    streams::check(&suite, &mut report).await;
    lookups::check(&suite, &mut report).await;
    transactions::check(&suite, &mut report).await;
    rows::check(&suite, &mut report).await;
    structure::check(&suite, &mut report).await;
    refused::check(&suite, &mut report).await;
    report
}
