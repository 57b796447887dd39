//! PostgreSQL's functions that DataFusion does not have, or has otherwise.

mod catalog;
mod domains;
mod float_extremes;
mod format;
mod interval_aggregates;
mod limited;
mod long_sums;
mod moments;
mod one_type;
mod whole_sums;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, Volatility,
};

pub(super) use catalog::CatalogFunctions;
pub use catalog::{PendingSettings, SettingChange};
pub(super) use interval_aggregates::{average, chosen};
pub(super) use long_sums::{SUM_ADDS, long_sum};
pub(super) use moments::{interval_span, interval_times, session_cast, timestamp_minus, timestamptz_plus};
pub(super) use whole_sums::whole_sum;

use crate::error::QueryError;

/// DataFusion's function of this name with a meaning of its own here, if it has one.
pub(super) fn wrapped(name: &str, functions: &HashMap<String, Arc<ScalarUDF>>) -> Option<Arc<ScalarUDF>> {
    limited::limited(name, functions)
        .or_else(|| domains::checked(name, functions))
        .or_else(|| one_type::of_one_type(name, functions))
}

/// What the type of a result follows from: the types of the arguments and the values of those that are literals.
struct Given<'a> {
    types: Vec<&'a DataType>,
    values: Vec<Option<&'a ScalarValue>>,
}

impl Given<'_> {
    fn data_type(&self, index: usize) -> &DataType {
        self.types.get(index).copied().unwrap_or(&DataType::Null)
    }

    /// A text among the arguments, if it is a literal.
    fn text(&self, index: usize) -> Option<&str> {
        self.values
            .get(index)
            .copied()
            .flatten()
            .and_then(causeway_spi::scalar_text)
    }
}

/// A function over arrays of equal length.
struct Function {
    name: &'static str,
    signature: Signature,
    zone: Tz,
    returns: fn(&Given<'_>) -> Result<DataType>,
    body: fn(&Call<'_>) -> Result<ArrayRef>,
    ranges: fn(&Sought<'_>) -> Option<Range>,
}

/// A value that a call is compared with.
struct Sought<'a> {
    args: &'a [Expr],
    value: &'a ScalarValue,
    schema: &'a DFSchema,
    zone: Tz,
}

/// The values of an argument for which a call gives what is sought: from `from` to before `to`. For lesser values it gives
/// less, for greater ones more.
struct Range {
    of: Expr,
    from: ScalarValue,
    to: ScalarValue,
}

impl Sought<'_> {
    fn type_of(&self, expr: &Expr) -> Option<DataType> {
        expr.get_type(self.schema).ok()
    }
}

/// One call: the arguments as arrays of `rows` values.
struct Call<'a> {
    name: &'static str,
    arguments: &'a [ArrayRef],
    returns: &'a DataType,
    zone: Tz,
    rows: usize,
}

impl Call<'_> {
    fn argument(&self, index: usize) -> Result<&ArrayRef> {
        self.arguments.get(index).ok_or_else(|| {
            external(QueryError::new(
                crate::sqlstate::SqlState::UNDEFINED_FUNCTION,
                format!("function {} needs more arguments", self.name),
            ))
        })
    }
}

impl Function {
    fn udf(
        name: &'static str,
        zone: Tz,
        returns: fn(&Given<'_>) -> Result<DataType>,
        body: fn(&Call<'_>) -> Result<ArrayRef>,
    ) -> Arc<ScalarUDF> {
        Self::with_ranges(name, zone, returns, body, |_| None)
    }

    /// A function that never falls as one of its arguments grows: comparisons with its results are ranges of that.
    fn with_ranges(
        name: &'static str,
        zone: Tz,
        returns: fn(&Given<'_>) -> Result<DataType>,
        body: fn(&Call<'_>) -> Result<ArrayRef>,
        ranges: fn(&Sought<'_>) -> Option<Range>,
    ) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Self {
            name,
            signature: Signature::one_of(
                vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
                Volatility::Immutable,
            ),
            zone,
            returns,
            body,
            ranges,
        }))
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.returns)(&Given {
            types: types.iter().collect(),
            values: Vec::new(),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let returned = (self.returns)(&Given {
            types: args.arg_fields.iter().map(|field| field.data_type()).collect(),
            values: args.scalar_arguments.to_vec(),
        })?;
        Ok(Arc::new(Field::new(self.name, returned, true)))
    }

    fn preimage(&self, args: &[Expr], value: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        let Expr::Literal(value, _) = value else {
            return Ok(PreimageResult::None);
        };
        let range = (self.ranges)(&Sought {
            args,
            value,
            schema: info.schema(),
            zone: self.zone,
        });
        Ok(match range {
            Some(Range { of, from, to }) => PreimageResult::Range {
                expr: of,
                interval: Box::new(Interval::try_new(from, to)?),
            },
            None => PreimageResult::None,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Literals are computed once, not for every row.
        let constant = args
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|argument| argument.clone().into_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let result = (self.body)(&Call {
            name: self.name,
            arguments: &arrays,
            returns: args.return_field.data_type(),
            zone: self.zone,
            rows,
        })?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        debug_assert_eq!(result.len(), rows);
        Ok(ColumnarValue::Array(result))
    }
}

/// A call of a function of ours.
fn call(function: Arc<ScalarUDF>, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(
        function, arguments,
    ))
}

fn external(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The function `name` of dates, times and numbers, for a session in `zone`.
pub(super) fn get(name: &str, zone: Tz) -> Option<Arc<ScalarUDF>> {
    moments::get(name, zone).or_else(|| format::get(name, zone))
}
