//! The conformance suite itself: a source that conforms passes, every planted fault is found.

use async_trait::async_trait;
use causeway_spi::testing::conformance::{
    Capabilities, ConformanceSource, ConformanceTable, Filters, Writes, check_conformance, run_conformance,
};
use causeway_spi::{Connector, Result};
use std::sync::Arc;

use crate::conforming::{Conforming, Fault};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_conforms_passes() {
    run_conformance(&Conforming(None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_found() {
    for &fault in Fault::ALL {
        let report = check_conformance(&Conforming(Some(fault))).await;
        let Some(first) = report.broken().first() else {
            panic!("{fault:?} is not found");
        };
        println!("{fault:?}: {first}");
    }
}

/// The conforming source with other declarations than it keeps.
struct Boasting(fn(&mut Capabilities));

#[async_trait]
impl ConformanceSource for Boasting {
    fn name(&self) -> &str {
        "boasting"
    }

    fn capabilities(&self) -> Capabilities {
        let mut declared = Conforming(None).capabilities();
        self.0(&mut declared);
        declared
    }

    fn schema(&self) -> &str {
        "public"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        Conforming(None).load(tables).await
    }
}

/// A capability that is declared and not there is found, and so is one that is there and not declared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_declaration_is_found() {
    let declarations: [fn(&mut Capabilities); 12] = [
        |declared| declared.primary_keys = true,
        |declared| declared.not_null = false,
        |declared| declared.row_counts = causeway_spi::testing::conformance::RowCounts::Unknown,
        |declared| declared.filters = Filters::Keys,
        |declared| declared.filters = Filters::Columns,
        |declared| declared.limits = false,
        |declared| declared.lookups = false,
        |declared| declared.native_scans = true,
        |declared| declared.login = true,
        |declared| declared.views = true,
        |declared| declared.writes = Writes::Rows,
        |declared| declared.writes = Writes::Tables,
    ];
    for (number, declare) in declarations.into_iter().enumerate() {
        let report = check_conformance(&Boasting(declare)).await;
        assert!(!report.broken().is_empty(), "declaration {number} is believed");
    }
}
