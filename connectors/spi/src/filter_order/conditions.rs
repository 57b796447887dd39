//! Several conditions of which rows must pass all, as one expression.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::FilterBuilder;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NegativeExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction, split_conjunction};

use crate::dynamic_keys::is_widening;
use crate::filter::UNSIGNED_ZERO;

/// Where more rows than this share have passed what is cheap, the others are decided for all rows.
const COPIED_SHARE_MAX: f64 = 0.5;

/// The conditions of a filter: a row that is not known to pass is said not to.
#[derive(Debug)]
pub(super) struct Conditions {
    /// As it was planned.
    planned: Arc<dyn PhysicalExpr>,
    input: SchemaRef,
    /// Decided for all rows. None of them can fail.
    cheap: Vec<Arc<dyn PhysicalExpr>>,
    others: Option<Others>,
    /// What may be an error: each is decided for the rows that passed everything before, and for no other.
    fallible: Vec<Others>,
}

/// Functions that are an error for no value.
const NEVER_FAIL: [&str; 12] = [
    "btrim",
    "character_length",
    "coalesce",
    "date_part",
    "lower",
    "ltrim",
    "nullif",
    "rtrim",
    "starts_with",
    "term",
    UNSIGNED_ZERO,
    "upper",
];

/// Conditions that are decided for the rows that passed the cheap ones.
#[derive(Debug)]
struct Others {
    /// The columns of the input that they look at.
    columns: Vec<usize>,
    /// Over these columns.
    filter: Arc<dyn PhysicalExpr>,
}

impl Conditions {
    /// Of `planned`, over the columns of `input`; `None` where it is one condition, or none of them is cheap or may fail.
    pub(super) fn of(planned: &Arc<dyn PhysicalExpr>, input: &SchemaRef) -> Option<Self> {
        let parts = split_conjunction(planned);
        let (cheap, dear): (Vec<_>, Vec<_>) = parts
            .iter()
            .map(|part| Arc::clone(part))
            .partition(|part| is_cheap(part, input));
        let (fallible, others): (Vec<_>, Vec<_>) = dear.into_iter().partition(|part| may_fail(part, input));
        if parts.len() < 2 || (cheap.is_empty() && fallible.is_empty()) {
            return None;
        }
        let fallible = fallible.into_iter().map(Others::of).collect::<Option<_>>()?;
        let others = match others.is_empty() {
            true => None,
            false => Some(Others::of(conjunction(others))?),
        };
        Some(Self {
            planned: Arc::clone(planned),
            input: Arc::clone(input),
            cheap,
            others,
            fallible,
        })
    }

    /// The rows of `batch` that pass.
    fn passing(&self, batch: &RecordBatch) -> Result<BooleanBuffer> {
        let mut passing = BooleanBuffer::new_set(batch.num_rows());
        for condition in &self.cheap {
            passing = &passing & &decided(condition, batch)?;
        }
        if let Some(others) = &self.others {
            passing = others.among(passing, batch, COPIED_SHARE_MAX)?;
        }
        for condition in &self.fallible {
            passing = condition.among(passing, batch, 1.0)?;
        }
        Ok(passing)
    }
}

impl Others {
    fn of(filter: Arc<dyn PhysicalExpr>) -> Option<Self> {
        let columns = collect_columns(&filter);
        let mut columns: Vec<usize> = columns.iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let filter = filter.transform_up(|part| {
            let Some(column) = part.downcast_ref::<Column>() else {
                return Ok(Transformed::no(part));
            };
            let place = columns.partition_point(|&index| index < column.index());
            Ok(Transformed::yes(
                Arc::new(Column::new(column.name(), place)) as Arc<dyn PhysicalExpr>
            ))
        });
        let filter = filter.data().ok()?;
        Some(Self { columns, filter })
    }

    /// The rows among `passing` that pass these, too; the others are not asked, unless more than the share `copied_max` is left.
    fn among(&self, passing: BooleanBuffer, batch: &RecordBatch, copied_max: f64) -> Result<BooleanBuffer> {
        let count = passing.count_set_bits();
        if count == 0 {
            return Ok(passing);
        }
        let looked_at = batch.project(&self.columns)?;
        if count == batch.num_rows() || is_many(count, batch.num_rows(), copied_max) {
            return Ok(&passing & &decided(&self.filter, &looked_at)?);
        }
        let rows = BooleanArray::new(passing, None);
        let copied = FilterBuilder::new(&rows).optimize().build();
        let columns = looked_at.columns().iter().map(|column| copied.filter(column));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let copied = RecordBatch::try_new_with_options(looked_at.schema(), columns, &options)?;
        let found = decided(&self.filter, &copied)?;
        let mut passing = BooleanBufferBuilder::new(rows.len());
        passing.append_n(rows.len(), false);
        for (row, found) in rows.values().set_indices().zip(&found) {
            if found {
                passing.set_bit(row, true);
            }
        }
        Ok(passing.finish())
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows of a batch")]
fn is_many(passing: usize, rows: usize, share: f64) -> bool {
    passing as f64 > share * rows as f64
}

/// The rows of `batch` for which `condition` is true.
fn decided(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanBuffer> {
    let decided = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let decided = as_boolean_array(&decided)?;
    Ok(match decided.nulls() {
        Some(valid) => decided.values() & valid.inner(),
        None => decided.values().clone(),
    })
}

/// Whether to decide `condition` for a row costs about as much as to pass the row over: comparisons of values of one width.
fn is_cheap(condition: &Arc<dyn PhysicalExpr>, input: &Schema) -> bool {
    let is_column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some();
    if let Some(comparison) = condition.downcast_ref::<BinaryExpr>() {
        let sides = [comparison.left(), comparison.right()];
        let types = sides.map(|side| side.data_type(input).ok().filter(DataType::is_primitive));
        return is_comparison(*comparison.op())
            && matches!(types, [Some(_), Some(_)])
            && sides
                .into_iter()
                .all(|side| is_column(side) || side.downcast_ref::<Literal>().is_some());
    }
    if let Some(test) = condition.downcast_ref::<IsNullExpr>() {
        return is_column(test.arg());
    }
    condition
        .downcast_ref::<IsNotNullExpr>()
        .is_some_and(|test| is_column(test.arg()))
}

/// Whether `condition` may be an error for a row.
fn may_fail(condition: &Arc<dyn PhysicalExpr>, input: &Schema) -> bool {
    let fails = |part: &Arc<dyn PhysicalExpr>| {
        if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
            use Operator::{Divide, Minus, Modulo, Multiply, Plus};
            let is_arithmetic = matches!(binary.op(), Plus | Minus | Multiply | Divide | Modulo);
            return is_arithmetic && !matches!(binary.data_type(input), Ok(found) if found.is_floating());
        }
        if let Some(cast) = part.downcast_ref::<CastExpr>() {
            let from = cast.expr().data_type(input);
            return !matches!(from, Ok(from) if is_widening(&from, cast.cast_type()));
        }
        let function = part.downcast_ref::<ScalarFunctionExpr>();
        function.is_some_and(|function| !NEVER_FAIL.contains(&function.name()))
            || part.downcast_ref::<NegativeExpr>().is_some()
    };
    matches!(condition.exists(|part| Ok(fails(part))), Ok(true) | Err(_))
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.planned.fmt(f)
    }
}

impl PartialEq for Conditions {
    fn eq(&self, other: &Self) -> bool {
        self.planned.eq(&other.planned) && self.input == other.input
    }
}

impl Eq for Conditions {}

impl Hash for Conditions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.planned.hash(state);
    }
}

impl PhysicalExpr for Conditions {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let passing = BooleanArray::new(self.passing(batch)?, None);
        Ok(ColumnarValue::Array(Arc::new(passing)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.planned]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [planned] = children.as_slice() else {
            return Ok(self);
        };
        Ok(match Self::of(planned, &self.input) {
            Some(conditions) => Arc::new(conditions),
            None => Arc::clone(planned),
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.planned.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringViewArray};
    use datafusion::common::ScalarValue;
    use datafusion::physical_expr::expressions::{binary, col, lit};

    use super::*;

    fn batch() -> RecordBatch {
        let numbers = (0..100_i32).map(|row| (row % 7 != 0).then_some(row));
        let names = (0..100).map(|row| (row % 5 != 0).then(|| format!("name {}", row % 3)));
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter(numbers));
        let names: ArrayRef = Arc::new(StringViewArray::from_iter(names));
        let divisors: ArrayRef = Arc::new(Int64Array::from_iter((0..100).map(|row| row % 2)));
        RecordBatch::try_from_iter_with_nullable([
            ("unused", Arc::clone(&names), true),
            ("name", names, true),
            ("number", numbers, true),
            ("divisor", divisors, true),
        ])
        .unwrap()
    }

    fn compared(
        column: &str,
        op: Operator,
        value: impl datafusion::logical_expr::Literal,
    ) -> Arc<dyn PhysicalExpr> {
        let schema = batch().schema();
        binary(col(column, &schema).unwrap(), op, lit(value), &schema).unwrap()
    }

    /// A constant of the type that the batch's texts have.
    fn text(value: &str) -> ScalarValue {
        ScalarValue::Utf8View(Some(value.to_owned()))
    }

    /// What DataFusion says of `parts`, NULL as not passing, and what the conditions say.
    fn both(parts: Vec<Arc<dyn PhysicalExpr>>) -> (Vec<usize>, Vec<usize>) {
        let batch = batch();
        let planned = conjunction(parts);
        let conditions = Conditions::of(&planned, &batch.schema()).expect("some are cheap");
        let rows = |bits: BooleanBuffer| bits.set_indices().collect::<Vec<_>>();
        (
            rows(decided(&planned, &batch).unwrap()),
            rows(conditions.passing(&batch).unwrap()),
        )
    }

    #[test]
    fn the_same_rows_pass_whatever_the_order() {
        let name = || compared("name", Operator::Eq, text("name 1"));
        for (low, high) in [(0, 100), (10, 90), (40, 45), (200, 300)] {
            let (expected, found) = both(vec![
                name(),
                compared("number", Operator::GtEq, low),
                compared("number", Operator::Lt, high),
            ]);
            assert_eq!(found, expected, "{low} to {high}");
            assert_eq!(expected.is_empty(), low == 200, "{expected:?}");
        }
        let (expected, found) = both(vec![
            compared("number", Operator::NotEq, 3),
            compared("divisor", Operator::Eq, 1_i64),
        ]);
        assert_eq!(found, expected);
        assert_eq!(found[..3], [1, 5, 9]);
    }

    #[test]
    fn what_may_fail_is_asked_for_rows_that_passed() {
        let schema = batch().schema();
        let quotient = binary(
            lit(10_i64),
            Operator::Divide,
            col("divisor", &schema).unwrap(),
            &schema,
        );
        let fails = binary(quotient.unwrap(), Operator::Gt, lit(1_i64), &schema).unwrap();
        assert!(decided(&fails, &batch()).is_err(), "some divisors are 0");
        let planned = conjunction([fails, compared("divisor", Operator::Eq, 1_i64)]);
        let conditions = Conditions::of(&planned, &schema).unwrap();
        let found = conditions.passing(&batch()).unwrap();
        assert_eq!(found.count_set_bits(), 50);

        // Also where most rows are left, behind what is not cheap, and behind another one.
        let divisor = || col("number", &schema).unwrap();
        let quotient = binary(lit(10_i32), Operator::Divide, divisor(), &schema).unwrap();
        let fails = || binary(Arc::clone(&quotient), Operator::Lt, lit(5_i32), &schema).unwrap();
        let without_zero = batch().slice(1, 99);
        assert!(decided(&fails(), &without_zero).is_ok());
        let nulls = Arc::new(Int32Array::from_iter((0..100).map(Some))) as ArrayRef;
        let mut columns = batch().columns().to_vec();
        columns[2] = nulls;
        let batch = RecordBatch::try_new(batch().schema(), columns).unwrap();
        assert!(decided(&fails(), &batch).is_err(), "one number is 0");
        let named = || compared("name", Operator::NotEq, text("name 9"));
        for parts in [
            vec![fails(), compared("number", Operator::NotEq, 0)],
            vec![fails(), fails(), compared("number", Operator::Gt, 0), named()],
            vec![fails(), named()],
        ] {
            let conditions = Conditions::of(&conjunction(parts), &schema).unwrap();
            let found = conditions.passing(&batch).unwrap();
            assert!((60..100).contains(&found.count_set_bits()));
        }
    }

    #[test]
    fn one_condition_or_none_that_is_cheap_stays_as_it_is() {
        let schema = batch().schema();
        let name = |value: &str| compared("name", Operator::Eq, text(value));
        let of = |parts: Vec<_>| Conditions::of(&conjunction(parts), &schema);
        assert!(of(vec![compared("number", Operator::Eq, 1)]).is_none());
        assert!(of(vec![name("a"), name("b")]).is_none());
        assert!(of(vec![name("a"), compared("number", Operator::Eq, 1)]).is_some());
    }
}
