//! The conformance suite over the collated source: as it declares itself it conforms, and each false word is found.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use causeway_spi::testing::{ConformanceCase, ConformanceSource, Declared, run_conformance};
use causeway_spi::{Connector, ConnectorError, ErrorKind, Result, Table, TableName};
use futures::FutureExt;

use crate::source::CollatedTable;

/// A catalog of tables at hand, with the schema `public`.
pub(crate) struct Shelf(pub(crate) BTreeMap<String, Arc<dyn Table>>);

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

#[async_trait]
impl Connector for Shelf {
    fn kind(&self) -> &'static str {
        "shelf"
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec!["public".to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        if schema == "public" {
            return Ok(self.0.keys().cloned().collect());
        }
        let message = format!("schema \"{schema}\" does not exist");
        Err(ConnectorError::new(ErrorKind::UnknownSchema, message))
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        self.tables(&name.schema).await?;
        Ok(self.0.get(&name.table).map(Arc::clone))
    }
}

struct Source(Declared);

#[async_trait]
impl ConformanceSource for Source {
    fn declared(&self) -> Declared {
        self.0.clone()
    }

    async fn load(&self, case: &ConformanceCase) -> Result<(Arc<dyn Connector>, TableName), String> {
        if case.name == "wide" {
            return Err("values are compared one by one".to_owned());
        }
        let keys: &[&[&str]] = if case.name == "standard" { &[&["id"]] } else { &[] };
        let table = CollatedTable::new(case.table.rows().clone(), keys, None).named(case.name);
        let name = table.name().clone();
        let tables = BTreeMap::from([(case.name.to_owned(), Arc::new(table) as Arc<dyn Table>)]);
        Ok((Arc::new(Shelf(tables)), name))
    }

    fn unreachable(&self) -> Option<Arc<dyn Connector>> {
        None
    }
}

fn declared() -> Declared {
    Declared {
        kind: "shelf",
        lookup: true,
        splits: true,
        native: false,
        writer: false,
        cannot_hold: &["wide"],
    }
}

#[tokio::test]
async fn what_is_declared_conforms() {
    run_conformance(&Source(declared())).await;
}

#[tokio::test]
async fn each_false_word_is_found() {
    let lies = [
        (
            "kind, as declared",
            Declared {
                kind: "table",
                ..declared()
            },
        ),
        (
            "lookup by id, as declared",
            Declared {
                lookup: false,
                ..declared()
            },
        ),
        (
            "splits, as declared",
            Declared {
                splits: false,
                ..declared()
            },
        ),
        (
            "native, as declared",
            Declared {
                native: true,
                ..declared()
            },
        ),
        (
            "writer, as declared",
            Declared {
                writer: true,
                ..declared()
            },
        ),
        (
            "- wide",
            Declared {
                cannot_hold: &[],
                ..declared()
            },
        ),
        (
            "- nulls",
            Declared {
                cannot_hold: &["wide", "nulls"],
                ..declared()
            },
        ),
    ];
    for (part, lie) in lies {
        let outcome = AssertUnwindSafe(run_conformance(&Source(lie)))
            .catch_unwind()
            .await;
        let panic = outcome.expect_err(part);
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .unwrap_or_default();
        assert!(
            said.contains("does not conform") && said.contains(part),
            "{part}: {said}"
        );
    }
}
