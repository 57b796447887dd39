//! Wraps the table under test to see what really reaches it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::physical_plan::FileScanConfig;

use crate::connector::{Lookup, Table, TableName};
use crate::error::{ConnectorError, ErrorKind, Result};
use crate::filter::{Filter, Pushdown};
use crate::operator::Operators;
use crate::scan::{BatchStream, ReadContext, Scan, Split};
use crate::statistics::TableStatistics;

/// A table that notes its scans and counts its lookups; it changes nothing.
#[derive(Debug)]
pub(crate) struct Observed {
    inner: Arc<dyn Table>,
    scans: Mutex<Vec<Scan>>,
    lookups: AtomicU64,
}

impl Observed {
    pub(crate) fn new(inner: Arc<dyn Table>) -> Self {
        Self {
            inner,
            scans: Mutex::default(),
            lookups: AtomicU64::new(0),
        }
    }

    /// The scans planned and the lookups made since the last call.
    pub(crate) fn take(&self) -> (Vec<Scan>, u64) {
        let scans = std::mem::take(&mut *self.scans.lock().unwrap_or_else(PoisonError::into_inner));
        (scans, self.lookups.swap(0, Ordering::Relaxed))
    }
}

#[async_trait]
impl Table for Observed {
    fn name(&self) -> &TableName {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        self.inner.statistics()
    }

    fn pushdown(&self, filter: &Filter) -> Pushdown {
        self.inner.pushdown(filter)
    }

    async fn splits(&self, scan: &Scan) -> Result<Vec<Split>> {
        self.scans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scan.clone());
        self.inner.splits(scan).await
    }

    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        self.inner.read(scan, split, cx).await
    }

    fn remote_text(&self, scan: &Scan) -> String {
        self.inner.remote_text(scan)
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        self.inner.lookup().map(|_| -> &dyn Lookup { self })
    }

    fn operators(&self) -> Option<&dyn Operators> {
        self.inner.operators()
    }

    fn primary_key(&self) -> &[usize] {
        self.inner.primary_key()
    }

    fn native(&self) -> Option<Arc<dyn TableProvider>> {
        self.inner.native()
    }

    fn begin(&self, scan: &FileScanConfig) {
        self.inner.begin(scan);
    }
}

#[async_trait]
impl Lookup for Observed {
    fn keys(&self) -> &[Vec<usize>] {
        self.inner.lookup().map_or(&[], |lookup| lookup.keys())
    }

    fn key_cost_rows(&self) -> f64 {
        self.inner.lookup().map_or(0.0, |lookup| lookup.key_cost_rows())
    }

    async fn get(
        &self,
        scan: &Scan,
        key: usize,
        values: RecordBatch,
        cx: &ReadContext,
    ) -> Result<BatchStream> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        match self.inner.lookup() {
            Some(lookup) => lookup.get(scan, key, values, cx).await,
            None => Err(ConnectorError::new(
                ErrorKind::Internal,
                format!("table {} has no lookup", self.name()),
            )),
        }
    }
}
