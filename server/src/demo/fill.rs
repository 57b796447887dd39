//! Makes the data set: each source on a thread of its own, with a line of progress when it is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;

use super::error::DemoError;
use super::place::Place;
use super::{kv, lake, shop};

/// The rows that a source got, by table.
pub(super) type Made = Vec<(&'static str, usize)>;

/// Makes one source. Looks at the flag after every batch.
type Maker = fn(&Place, &AtomicBool) -> Result<Made, DemoError>;

const SOURCES: [(&str, &str, Maker); 3] = [
    ("lake", "Parquet", lake::make),
    ("shop", "SQLite", shop::make),
    ("kv", "embedded", kv::make),
];

/// Makes the whole data set of `place`, unless `stopping` is set. Must run on a thread of a runtime that may block.
pub(super) fn fill(place: &Place, stopping: &AtomicBool) -> Result<(), DemoError> {
    eprintln!(
        "Making TPC-H at scale {} in {}",
        place.scale(),
        place.folder().display()
    );
    place.begin()?;
    let runtime = Handle::current();
    std::thread::scope(|scope| {
        let makers: Vec<_> = SOURCES
            .into_iter()
            .map(|(catalog, kind, make)| {
                let runtime = runtime.clone();
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    let begun = Instant::now();
                    let made = make(place, stopping)?;
                    let tables: Vec<String> = made
                        .iter()
                        .map(|(table, rows)| format!("{table} {rows}"))
                        .collect();
                    eprintln!(
                        "  {catalog:<5} {kind:<9} {:<48} {:>5.1} s",
                        tables.join(", "),
                        begun.elapsed().as_secs_f64()
                    );
                    Ok(())
                })
            })
            .collect();
        // All are waited for, so that none writes into a folder that is being removed.
        let outcomes: Vec<Result<(), DemoError>> = makers
            .into_iter()
            .map(|maker| {
                maker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect();
        outcomes.into_iter().collect::<Result<(), DemoError>>()
    })?;
    place.finish()
}

/// Ends a maker when the user does not want to wait.
pub(super) fn go_on(stopping: &AtomicBool) -> Result<(), DemoError> {
    match stopping.load(Ordering::Relaxed) {
        true => Err(DemoError::Stopped),
        false => Ok(()),
    }
}
