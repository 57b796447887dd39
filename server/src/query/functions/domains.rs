//! Functions of floats that have no value for some: DataFusion's give NaN or an infinity, PostgreSQL's an error.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::external;
use crate::error::QueryError;
use crate::sqlstate::SqlState;

const CHECKED: [&str; 8] = ["ln", "log", "log10", "log2", "exp", "power", "acos", "asin"];

/// `name` with an error where it has no value, if it is one of them.
pub(super) fn checked(name: &str, functions: &HashMap<String, Arc<ScalarUDF>>) -> Option<Arc<ScalarUDF>> {
    let inner = functions.get(name)?;
    // Under another name, such as `pow`, it is the same.
    if !CHECKED.contains(&inner.name()) {
        return None;
    }
    let inner = Arc::clone(inner);
    Some(Arc::new(ScalarUDF::new_from_impl(Checked { inner })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    inner: Arc<ScalarUDF>,
}

impl Checked {
    /// Errors: 2201E, 2201F, 22003, a row of finite arguments has no finite result.
    fn check(&self, arguments: &[ArrayRef], results: &ArrayRef) -> Result<()> {
        let is_finite = |array: &ArrayRef, row: usize| {
            array.is_valid(row) && array.as_primitive::<Float64Type>().value(row).is_finite()
        };
        let results = cast(results, &DataType::Float64)?;
        let is_suspect = |row: &usize| results.is_valid(*row) && !is_finite(&results, *row);
        let Some(first) = (0..results.len()).find(is_suspect) else {
            return Ok(());
        };
        let arguments = arguments.iter().map(|array| Ok(cast(array, &DataType::Float64)?));
        let arguments = arguments.collect::<Result<Vec<ArrayRef>>>()?;
        let mut rows = (first..results.len()).filter(is_suspect);
        match rows.find(|row| arguments.iter().all(|array| is_finite(array, *row))) {
            Some(row) => {
                let values = arguments
                    .iter()
                    .map(|array| array.as_primitive::<Float64Type>().value(row));
                Err(external(self.error(&values.collect::<Vec<_>>())))
            }
            None => Ok(()),
        }
    }

    fn error(&self, arguments: &[f64]) -> QueryError {
        let last = arguments.last().copied().unwrap_or_default();
        match self.inner.name() {
            "acos" | "asin" => QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range"),
            "ln" | "log" | "log10" | "log2" if last == 0.0 => {
                QueryError::new(SqlState::INVALID_LOGARITHM, "cannot take logarithm of zero")
            }
            "ln" | "log" | "log10" | "log2" if last < 0.0 => QueryError::new(
                SqlState::INVALID_LOGARITHM,
                "cannot take logarithm of a negative number",
            ),
            "power" if arguments.first().is_some_and(|base| *base < 0.0) && last.fract() != 0.0 => {
                QueryError::new(
                    SqlState::INVALID_POWER,
                    "a negative number raised to a non-integer power yields a complex result",
                )
            }
            _ => QueryError::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "value out of range: overflow",
            ),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let given = args.args.clone();
        let result = self.inner.invoke_with_args(args)?;
        // Constants are looked at once, not for every row.
        let rows = match result {
            ColumnarValue::Scalar(_) => 1,
            ColumnarValue::Array(_) => rows,
        };
        let arrays = given.into_iter().map(|argument| argument.into_array(rows));
        let results = result.clone().into_array(rows)?;
        self.check(&arrays.collect::<Result<Vec<_>>>()?, &results)?;
        Ok(result)
    }
}
