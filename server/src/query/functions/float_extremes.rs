//! `min` and `max` of floats in groups: DataFusion's begin at the largest finite float, and lose infinities and NaN.
//!
//! What it has for one group compares in PostgreSQL's order, so each group gets that.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF, Signature};

/// `inner` (`min` or `max`) for floats; nothing when it is for them already.
pub(super) fn of_floats(inner: &Arc<AggregateUDF>) -> Option<Arc<AggregateUDF>> {
    if inner.inner().is::<OfFloats>() {
        return None;
    }
    let inner = Arc::clone(inner);
    Some(Arc::new(AggregateUDF::new_from_impl(OfFloats { inner })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfFloats {
    inner: Arc<AggregateUDF>,
}

/// All but an accumulator for many groups at once.
impl AggregateUDFImpl for OfFloats {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
