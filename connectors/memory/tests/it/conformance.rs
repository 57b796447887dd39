//! The conformance suite over tables in memory.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_spi::testing::{ConformanceCase, ConformanceSource, Declared, run_conformance};
use causeway_spi::{Connector, TableDefinition, TableName};

use crate::support::{begin, catalog, name, one};

struct Source;

#[async_trait]
impl ConformanceSource for Source {
    fn declared(&self) -> Declared {
        Declared {
            kind: "memory",
            lookup: true,
            splits: false,
            native: false,
            writer: true,
            cannot_hold: &[],
        }
    }

    async fn load(&self, case: &ConformanceCase) -> Result<(Arc<dyn Connector>, TableName), String> {
        let catalog = catalog();
        let mut transaction = begin(&catalog).await;
        let definition = TableDefinition {
            name: name(case.name),
            columns: case.table.schema(),
            primary_key: case.table.schema().index_of("id").into_iter().collect(),
        };
        transaction.create_table(&definition).await.unwrap();
        transaction
            .insert(&definition.name, one(case.table.rows().clone()))
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        Ok((catalog, definition.name))
    }

    fn unreachable(&self) -> Option<Arc<dyn Connector>> {
        None
    }
}

#[tokio::test]
async fn memory_conforms() {
    run_conformance(&Source).await;
}
