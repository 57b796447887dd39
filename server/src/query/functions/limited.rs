//! Functions that make a text or an array much longer than their arguments, with a limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::external;
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Longest text that one of them makes, in bytes; PostgreSQL's own limit is four times as much.
const TEXT_BYTES_MAX: i64 = 256 << 20;
/// Most values that a series in a select list has for all rows of a batch, which are in memory together.
const SERIES_VALUES_MAX: i128 = 8 << 20;
/// Series of numbers, dates or timestamps.
const SERIES: &str = "generate_series";
/// The functions: but for the series, their second argument is a number of characters or of copies.
const LIMITED: [&str; 4] = ["repeat", "lpad", "rpad", SERIES];
/// Microseconds of a day, and of the shortest month.
const DAY: i128 = 86_400_000_000;
const MONTH: i128 = 28 * DAY;

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
        if self.inner.name() == SERIES {
            return check_series(arguments);
        }
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

/// Errors: 54000, too many values.
fn check_series(arguments: &[ArrayRef]) -> Result<()> {
    let [from, to, step @ ..] = arguments else {
        return Ok(());
    };
    // Days of dates, microseconds of timestamps.
    let (unit, days) = match from.data_type() {
        DataType::Date32 => (DAY, true),
        DataType::Timestamp(..) => (1, true),
        _ => (1, false),
    };
    let numbers = |array: &ArrayRef| -> Result<Vec<Option<i128>>> {
        let array = match array.data_type() {
            DataType::Date32 => cast(array, &DataType::Int32)?,
            DataType::Timestamp(_, zone) => {
                cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
            }
            _ => Arc::clone(array),
        };
        let numbers = cast(&array, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>().iter();
        Ok(numbers.map(|number| number.map(i128::from)).collect())
    };
    let steps = match step.first() {
        Some(step) if days => {
            let steps = cast(step, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let steps = steps.as_primitive::<IntervalMonthDayNanoType>().iter();
            let microseconds = |step: IntervalMonthDayNano| {
                i128::from(step.months) * MONTH
                    + i128::from(step.days) * DAY
                    + i128::from(step.nanoseconds) / 1_000
            };
            steps.map(|step| step.map(microseconds)).collect()
        }
        Some(step) => numbers(step)?,
        None => vec![Some(unit); from.len()],
    };
    let ends = numbers(from)?.into_iter().zip(numbers(to)?);
    let values = ends.zip(steps).filter_map(|((from, to), step)| {
        let span = (to? - from?) * unit;
        let step = step?;
        // One without a step, or in the other direction, is told by the function.
        (step != 0 && span.signum() == step.signum()).then(|| span / step + 1)
    });
    match values.sum::<i128>() > SERIES_VALUES_MAX {
        true => {
            let error = QueryError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "a series in a select list has too many values",
            );
            Err(external(error.hint(
                "In FROM it may have any number: SELECT n FROM generate_series(..) AS s(n).",
            )))
        }
        false => Ok(()),
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
        let leading = args.args.iter().take(3);
        let arrays = leading.map(|argument| argument.clone().into_array(rows));
        self.check(&arrays.collect::<Result<Vec<_>>>()?)?;
        self.inner.invoke_with_args(args)
    }
}
