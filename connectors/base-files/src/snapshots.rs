//! What a filter that joins and orders narrow while a scan runs says now.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};

/// A filter, and what it said when somebody looked last: each file is opened by it, and it may have thousands of keys.
#[derive(Debug)]
pub(crate) struct Snapshots {
    filter: Arc<dyn PhysicalExpr>,
    /// By the generation that it is of.
    last: Mutex<Option<(u64, Arc<dyn PhysicalExpr>)>>,
}

impl Snapshots {
    pub(crate) fn new(filter: Arc<dyn PhysicalExpr>) -> Self {
        let last = Mutex::default();
        Self { filter, last }
    }

    /// Grows when the filter changes.
    pub(crate) fn generation(&self) -> u64 {
        snapshot_generation(&self.filter)
    }

    /// The filter as it is now, which changes no more; `None` if it cannot be told.
    pub(crate) fn now(&self) -> Option<Arc<dyn PhysicalExpr>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the filter is looked at: one that changes meanwhile is looked at again.
        let generation = self.generation();
        if let Some((of, known)) = last.as_ref()
            && *of == generation
        {
            return Some(Arc::clone(known));
        }
        let now = snapshot_physical_expr(Arc::clone(&self.filter)).ok()?;
        *last = Some((generation, Arc::clone(&now)));
        Some(now)
    }
}
