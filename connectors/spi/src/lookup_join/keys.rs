//! The distinct keys of an outer side, typed as the table's own columns.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

/// Collects keys from batches of an outer side.
pub(super) struct OuterKeys {
    /// Over the outer side's columns, in the order of the key's columns.
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// The key's columns, in the table's types.
    schema: SchemaRef,
    converter: RowConverter,
    seen: HashSet<Box<[u8]>>,
}

impl OuterKeys {
    /// No keys yet: `exprs` over the outer side give the columns of `schema`, one each.
    pub(super) fn new(exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            exprs,
            converter: RowConverter::new(fields.collect())?,
            schema,
            seen: HashSet::new(),
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Adds the keys of `batch`: those with a NULL, and those that the table's own types cannot hold, equal no row of it.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.exprs.len());
        for (expr, field) in self.exprs.iter().zip(self.schema.fields()) {
            let values = expr.evaluate(batch)?.into_array(batch.num_rows())?;
            columns.push(exactly(&values, field.data_type())?);
        }
        let rows = self.converter.convert_columns(&columns)?;
        for (index, row) in rows.iter().enumerate() {
            let bytes: &[u8] = row.data();
            if columns.iter().all(|column| column.is_valid(index)) && !self.seen.contains(bytes) {
                self.seen.insert(bytes.into());
            }
        }
        Ok(())
    }

    /// The keys, n rows x k columns without NULLs; none are left.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        let seen = std::mem::take(&mut self.seen);
        let parser = self.converter.parser();
        let rows = seen.iter().map(|bytes| parser.parse(bytes));
        let columns = self.converter.convert_rows(rows)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// `values` as `data_type`; NULL where that would be another value.
fn exactly(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if values.data_type() == data_type {
        return Ok(Arc::clone(values));
    }
    let safe = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let cast = cast_with_options(values, data_type, &safe)?;
    let back = cast_with_options(&cast, values.data_type(), &safe)?;
    let same = eq(&back, values)?;
    let differs: BooleanArray = same.iter().map(|same| Some(same != Some(true))).collect();
    nullif(&cast, &differs)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Decimal128Array, Int32Array, Int64Array};
    use arrow::datatypes::{Field, Int32Type, Int64Type, Schema};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn collected(values: ArrayRef, data_type: DataType) -> ArrayRef {
        let outer = Arc::new(Schema::new(vec![Field::new(
            "k",
            values.data_type().clone(),
            true,
        )]));
        let key = Arc::new(Schema::new(vec![Field::new("id", data_type, true)]));
        let mut keys = OuterKeys::new(vec![col("k", &outer).unwrap()], key).unwrap();
        keys.add(&RecordBatch::try_new(outer, vec![values]).unwrap())
            .unwrap();
        assert_eq!(keys.len(), keys.seen.len());
        let taken = keys.take().unwrap();
        assert_eq!(keys.len(), 0);
        arrow::compute::sort(taken.column(0), None).unwrap()
    }

    #[test]
    fn each_key_once_and_no_null() {
        let values = Int64Array::from(vec![Some(7), None, Some(-1), Some(7)]);
        let keys = collected(Arc::new(values), DataType::Int64);
        assert_eq!(keys.as_primitive::<Int64Type>().values(), &[-1, 7]);
        assert_eq!(keys.null_count(), 0);
    }

    #[test]
    fn what_the_type_cannot_hold_is_left_out() {
        let wide = Int64Array::from(vec![1, 1 << 40, -5]);
        let keys = collected(Arc::new(wide), DataType::Int32);
        assert_eq!(keys.as_primitive::<Int32Type>().values(), &[-5, 1]);

        let decimals = Decimal128Array::from(vec![150, 200, -300, 1])
            .with_precision_and_scale(10, 2)
            .unwrap();
        let keys = collected(Arc::new(decimals), DataType::Int64);
        assert_eq!(keys.as_primitive::<Int64Type>().values(), &[-3, 2]);

        let narrow = Int32Array::from(vec![3, 4]);
        let keys = collected(Arc::new(narrow), DataType::Int64);
        assert_eq!(keys.as_primitive::<Int64Type>().values(), &[3, 4]);
    }
}
