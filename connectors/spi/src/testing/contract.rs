//! The laws of the contract itself, below DataFusion: what `read` and `get` may and must return for one scan.
//!
//! With exact filters `E` and supersets `S`: every row that passes both is there, every row that is there passes `E`;
//! a lookup gives the same, restricted to its keys; a limit gives as many rows as there are, up to the limit.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::physical_plan::ColumnarValue;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use rand::prelude::*;

use super::compare::Rows;
use crate::connector::{Lookup, Table};
use crate::filter::Verdict;
use crate::scan::{BatchStream, ReadContext, Scan};

/// Keys of one lookup at most.
const KEYS_MAX: usize = 40;

/// A broken law: which, and the rows that show it.
pub(crate) struct Breach {
    pub(crate) law: &'static str,
    pub(crate) difference: String,
}

/// How many laws were put to the test for one scan.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tried {
    pub(crate) reads: u64,
    pub(crate) lookups: u64,
    pub(crate) limits: u64,
}

/// Checks the contract of `table` for one scan against `copy`, all rows in canonical types.
pub(crate) struct Contract<'a> {
    pub(crate) table: &'a dyn Table,
    pub(crate) copy: &'a RecordBatch,
    pub(crate) context: &'a SessionContext,
}

/// The rows that must be there and those that may be.
struct Bounds {
    must: RecordBatch,
    may: RecordBatch,
}

impl Contract<'_> {
    /// Checks `scan` as a read, with its limit if it has one, and as a lookup with random keys.
    pub(crate) async fn check(&self, scan: &Scan, random: &mut StdRng) -> Result<(Tried, Option<Breach>)> {
        let mut tried = Tried::default();
        for filter in &scan.filters {
            if self.table.pushdown(&filter.filter) != filter.pushdown {
                let difference = format!("{} got another verdict the second time", filter.filter);
                return Ok((
                    tried,
                    breach("a verdict is a pure function of the filter", difference),
                ));
            }
        }
        let bounds = self.bounds(scan)?;
        let cx = ReadContext {
            batch_rows: *[1, 7, 100, 8192].choose(random).unwrap_or(&8192),
            ..ReadContext::detached()
        };
        let unlimited = Scan {
            limit: None,
            ..scan.clone()
        };
        tried.reads += 1;
        let read = self.read(&unlimited, &cx).await?;
        if let Some(difference) = bounds.broken(&unlimited, &read, &cx)? {
            return Ok((
                tried,
                breach("read gives the rows that pass the pushed filters", difference),
            ));
        }
        if let Some(limit) = scan.limit {
            tried.limits += 1;
            let read = self.read(scan, &cx).await?;
            if let Some(difference) = bounds.limit_broken(scan, limit, &read)? {
                return Ok((tried, breach("a limit loses no row that is needed", difference)));
            }
        }
        let Some(lookup) = self.table.lookup() else {
            return Ok((tried, None));
        };
        tried.lookups += 1;
        let broken = self
            .lookup_broken(lookup, &unlimited, &bounds, &cx, random)
            .await?;
        let law = "lookup gives the rows of the scan, restricted to the keys";
        Ok((tried, broken.and_then(|difference| breach(law, difference))))
    }

    fn bounds(&self, scan: &Scan) -> Result<Bounds> {
        let mut may = self.copy.clone();
        for filter in &scan.filters {
            if filter.pushdown.verdict == Verdict::Exact {
                may = self.filtered(&may, filter.filter.expr())?;
            }
        }
        let mut must = may.clone();
        for filter in &scan.filters {
            if filter.pushdown.verdict == Verdict::Superset {
                must = self.filtered(&must, filter.filter.expr())?;
            }
        }
        Ok(Bounds { must, may })
    }

    /// The rows of `batch` for which our engine finds `expr` true.
    fn filtered(&self, batch: &RecordBatch, expr: &datafusion::logical_expr::Expr) -> Result<RecordBatch> {
        let schema = DFSchema::try_from(batch.schema())?;
        let physical = self.context.create_physical_expr(expr.clone(), &schema)?;
        let mask = match physical.evaluate(batch)? {
            ColumnarValue::Array(array) => array,
            scalar @ ColumnarValue::Scalar(_) => scalar.into_array(batch.num_rows())?,
        };
        let mask = mask
            .as_any()
            .downcast_ref::<BooleanArray>()
            .ok_or_else(|| DataFusionError::Internal(format!("the filter {expr} is not boolean")))?;
        Ok(filter_record_batch(batch, mask)?)
    }

    async fn read(&self, scan: &Scan, cx: &ReadContext) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for split in self.table.splits(scan).await? {
            batches.extend(collect(self.table.read(scan, &split, cx).await?).await?);
        }
        Ok(batches)
    }

    async fn lookup_broken(
        &self,
        lookup: &dyn Lookup,
        scan: &Scan,
        bounds: &Bounds,
        cx: &ReadContext,
        random: &mut StdRng,
    ) -> Result<Option<String>> {
        let key = random.random_range(0..lookup.keys().len());
        let columns = &lookup.keys()[key];
        let keys = self.random_keys(columns, random)?;
        if keys.num_rows() == 0 {
            return Ok(None);
        }
        let wanted = owned_rows(&keys)?.into_iter().collect();
        let restricted = Bounds {
            must: restricted(&bounds.must, columns, &wanted)?,
            may: restricted(&bounds.may, columns, &wanted)?,
        };
        let found = collect(lookup.get(scan, key, keys.clone(), cx).await?).await?;
        let broken = restricted.broken(scan, &found, cx)?;
        Ok(broken.map(|difference| {
            let keys = Rows::new(&keys.schema(), std::slice::from_ref(&keys)).map(|keys| keys.all("keys"));
            format!("{difference}{}", keys.unwrap_or_default())
        }))
    }

    /// Distinct keys without NULLs: those of rows, and pairings of values that may never have met.
    fn random_keys(&self, columns: &[usize], random: &mut StdRng) -> Result<RecordBatch> {
        let count = random.random_range(1..=KEYS_MAX);
        let rows = u64::try_from(self.copy.num_rows()).unwrap_or(u64::MAX);
        let count = if rows == 0 { 0 } else { count };
        let mut pick = || UInt64Array::from_iter_values((0..count).map(|_| random.random_range(0..rows)));
        let (same_row, other_row) = (pick(), pick());
        let key_columns = self.copy.project(columns)?;
        let mut arrays = take_record_batch(&key_columns, &same_row)?.columns().to_vec();
        if random.random_bool(0.3) {
            let other = take_record_batch(&key_columns, &other_row)?;
            arrays[0] = Arc::clone(other.column(0));
        }
        let batch = RecordBatch::try_new(key_columns.schema(), arrays)?;
        distinct_keys(&batch)
    }
}

impl Bounds {
    /// Says how `batches` leave the bounds, or break the batches' own rules.
    fn broken(&self, scan: &Scan, batches: &[RecordBatch], cx: &ReadContext) -> Result<Option<String>> {
        if let Some(large) = batches.iter().find(|batch| batch.num_rows() > cx.batch_rows) {
            return Ok(Some(format!(
                "a batch of {} rows, beyond {}",
                large.num_rows(),
                cx.batch_rows
            )));
        }
        let schema = scan.projected_schema();
        let found = Rows::new(&schema, batches)?;
        let must = Rows::new(&schema, &[self.must.project(&scan.projection)?])?;
        let may = Rows::new(&schema, &[self.may.project(&scan.projection)?])?;
        let extra = found.outside(&may, "rows that do not pass, or repeats");
        Ok(extra.or_else(|| must.outside(&found, "missing rows")))
    }

    fn limit_broken(&self, scan: &Scan, limit: usize, batches: &[RecordBatch]) -> Result<Option<String>> {
        let schema = scan.projected_schema();
        let found = Rows::new(&schema, batches)?;
        let may = Rows::new(&schema, &[self.may.project(&scan.projection)?])?;
        let needed = limit.min(may.len());
        if found.len() < needed {
            return Ok(Some(format!(
                "{} rows with limit {limit}, of {}",
                found.len(),
                may.len()
            )));
        }
        Ok(found.outside(&may, "rows that do not pass, or repeats"))
    }
}

fn breach(law: &'static str, difference: String) -> Option<Breach> {
    Some(Breach { law, difference })
}

async fn collect(stream: BatchStream) -> Result<Vec<RecordBatch>> {
    Ok(stream.try_collect().await?)
}

fn owned_rows(batch: &RecordBatch) -> Result<Vec<OwnedRow>> {
    let fields = batch
        .schema()
        .fields()
        .iter()
        .map(|f| SortField::new(f.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields)?;
    Ok(converter
        .convert_columns(batch.columns())?
        .iter()
        .map(|row| row.owned())
        .collect())
}

/// The rows of `batch` whose `columns` are one of `keys`.
fn restricted(batch: &RecordBatch, columns: &[usize], keys: &HashSet<OwnedRow>) -> Result<RecordBatch> {
    let rows = owned_rows(&batch.project(columns)?)?;
    let mask: BooleanArray = rows.iter().map(|row| Some(keys.contains(row))).collect();
    Ok(filter_record_batch(batch, &mask)?)
}

/// The rows of `keys` without repeats and NULLs.
pub(crate) fn distinct_keys(keys: &RecordBatch) -> Result<RecordBatch> {
    let mut seen = HashSet::new();
    let keep: BooleanArray = owned_rows(keys)?
        .into_iter()
        .enumerate()
        .map(|(row, key)| {
            let complete = keys.columns().iter().all(|column| column.is_valid(row));
            Some(complete && seen.insert(key))
        })
        .collect();
    Ok(filter_record_batch(keys, &keep)?)
}

/// The rows of `batch` whose `columns` are one of the rows of `keys`.
pub(crate) fn restricted_to(
    batch: &RecordBatch,
    columns: &[usize],
    keys: &RecordBatch,
) -> Result<RecordBatch> {
    restricted(batch, columns, &owned_rows(keys)?.into_iter().collect())
}
