//! Functions that make a text much longer than their arguments, with a limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::external;
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Longest text that one of them makes, in bytes; PostgreSQL's own limit is four times as much.
const TEXT_BYTES_MAX: i64 = 256 << 20;
/// The functions, whose second argument is a number of characters or of copies.
const LIMITED: [&str; 3] = ["repeat", "lpad", "rpad"];

/// `name` with its limit, if it is one that needs one.
pub(super) fn limited(name: &str, functions: &HashMap<String, Arc<ScalarUDF>>) -> Option<Arc<ScalarUDF>> {
    if !LIMITED.contains(&name) {
        return None;
    }
    let inner = Arc::clone(functions.get(name)?);
    Some(Arc::new(ScalarUDF::new_from_impl(Limited { inner })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Limited {
    inner: Arc<ScalarUDF>,
}

impl Limited {
    /// Errors: 54000, a row of the result would be too long.
    fn check(&self, arguments: &[ArrayRef]) -> Result<()> {
        let (Some(texts), Some(counts)) = (arguments.first(), arguments.get(1)) else {
            return Ok(());
        };
        let counts = cast(counts, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        let texts = cast(texts, &DataType::Utf8View)?;
        let texts = texts.as_string_view();
        let copies = self.inner.name() == "repeat";
        for row in (0..texts.len()).filter(|row| texts.is_valid(*row) && counts.is_valid(*row)) {
            let length = if copies { texts.value(row).len() } else { 1 };
            let bytes = i64::try_from(length)
                .ok()
                .and_then(|length| length.checked_mul(counts.value(row)));
            if bytes.is_none_or(|bytes| bytes > TEXT_BYTES_MAX) {
                let error = QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large");
                return Err(external(error));
            }
        }
        Ok(())
    }
}

impl ScalarUDFImpl for Limited {
    fn name(&self) -> &str {
        self.inner.name()
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
        // Constants are looked at once, not for every row.
        let constant = args
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let leading = args.args.iter().take(2);
        let arrays = leading.map(|argument| argument.clone().into_array(rows));
        self.check(&arrays.collect::<Result<Vec<_>>>()?)?;
        self.inner.invoke_with_args(args)
    }
}
