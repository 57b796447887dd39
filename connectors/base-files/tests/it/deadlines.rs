//! How long the store may take for one answer while text files are read: as long as the statement says.

use std::sync::Arc;
use std::time::Duration;

use causeway_spi::{ScanNotes, ScanSettings, SourceTable};
use datafusion::prelude::SessionContext;
use object_store::memory::InMemory;

use crate::fixture::{Lake, rows};
use crate::store::Swapping;

const WAIT: Duration = Duration::from_secs(7);

/// Reads `t` of `lake` with [`WAIT`] as the longest wait for one answer.
async fn read(lake: &Lake) -> Vec<String> {
    let settings = ScanSettings {
        source_timeout: WAIT,
        ..ScanSettings::default()
    };
    let table = lake.table("t").await.unwrap();
    let provider = SourceTable::new(table, settings, Arc::new(ScanNotes::default()));
    let session = SessionContext::new();
    session.register_table("t", Arc::new(provider)).unwrap();
    rows(&session, "SELECT * FROM t").await.unwrap()
}

#[tokio::test]
async fn text_files_are_read_within_the_statements_timeout() {
    let long: String = (0..1_000_000).map(|id| format!("{id}\n")).collect();
    for (file, text, wanted) in [
        ("a.csv", "id\n1\n", 1),
        ("a.json", "{\"id\":1}\n{\"id\":2}", 2),
        ("long.csv", &format!("id\n{long}"), 1_000_000),
    ] {
        let store = Arc::new(Swapping::counting(Arc::new(InMemory::new())));
        let lake = Lake::over(Arc::<Swapping>::clone(&store), Duration::from_secs(60));
        lake.put(&format!("t/{file}"), text).await;
        // Loading the table has a timeout of its own.
        lake.table("t").await.unwrap();
        store.waits();
        assert_eq!(read(&lake).await.len(), wanted, "{file}");
        let waits = store.waits();
        assert!(!waits.is_empty(), "{file}");
        assert_eq!(waits, vec![WAIT; waits.len()], "{file}");
    }
}
