//! Whether a file's filters are decided while it is decoded, before its other columns are.
//!
//! That saves what the other columns of most rows cost, and costs more than it saves where many rows pass: rows are then
//! skipped one by one. So it is decided for each file when it is opened, by its bounds, and by the keys that joins have
//! collected until then. The filters are checked above the scan in any case.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, Literal};

use crate::snapshots::Snapshots;

/// The largest share of rows for which skipping the others is worth it: measured with TPC-H's 22 queries.
const SHARE_MAX: f64 = 0.005;
/// Longer lists are taken as they are.
const LISTED_MAX: usize = 20_000;
/// The share assumed for an equality with a value that has no place between the bounds, such as a text.
const EQUALITY_SHARE: f64 = 0.2;

/// Whether few enough rows of a file with `statistics`, over the columns of `schema`, are expected to pass `predicate`.
pub(crate) fn is_selective(predicate: &Snapshots, schema: &Schema, statistics: Option<&Statistics>) -> bool {
    let bounds = Bounds { schema, statistics };
    let share = predicate.now().map(|predicate| bounds.share(&predicate));
    share.is_some_and(|share| share <= SHARE_MAX)
}

struct Bounds<'a> {
    schema: &'a Schema,
    statistics: Option<&'a Statistics>,
}

/// The values of a column that pass, as numbers.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Bounds<'_> {
    /// The share of rows that passes `expr`, between 0 and 1; what is not understood passes all of them.
    fn share(&self, expr: &Arc<dyn PhysicalExpr>) -> f64 {
        let (mut share, mut ranges) = (1.0, HashMap::new());
        self.conjunct(expr, &mut share, &mut ranges);
        for (column, range) in ranges {
            share *= self.range_share(&column, range);
        }
        share
    }

    /// Narrows the ranges of columns that `expr` compares with values, or else the share.
    fn conjunct(&self, expr: &Arc<dyn PhysicalExpr>, share: &mut f64, ranges: &mut HashMap<String, Range>) {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else {
            *share *= self.part(expr);
            return;
        };
        if *binary.op() == Operator::And {
            self.conjunct(binary.left(), share, ranges);
            self.conjunct(binary.right(), share, ranges);
            return;
        }
        match compared(binary) {
            Some((column, operator, value)) => match (operator, place(value)) {
                (Operator::Gt | Operator::GtEq, Some(place)) => {
                    let range = ranges.entry(column.to_owned()).or_insert(Range::ALL);
                    range.low = range.low.max(place);
                }
                (Operator::Lt | Operator::LtEq, Some(place)) => {
                    let range = ranges.entry(column.to_owned()).or_insert(Range::ALL);
                    range.high = range.high.min(place);
                }
                (Operator::Eq, _) => *share *= self.equality(column),
                _ => {}
            },
            None => *share *= self.part(expr),
        }
    }

    /// The share of a condition that is no conjunction and no comparison.
    fn part(&self, expr: &Arc<dyn PhysicalExpr>) -> f64 {
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            return match binary.op() {
                Operator::Or => (self.share(binary.left()) + self.share(binary.right())).min(1.0),
                _ => 1.0,
            };
        }
        if let Some(list) = expr.downcast_ref::<InListExpr>() {
            let column = column_name(list.expr()).filter(|_| !list.negated());
            let items = u32::try_from(distinct(list.list())).map_or(f64::INFINITY, f64::from);
            return column.map_or(1.0, |column| (items * self.equality(column)).min(1.0));
        }
        if let Some(case) = expr.downcast_ref::<CaseExpr>() {
            // The keys of a partitioned join: each row belongs to one branch, each branch has keys of its own.
            let branches = case
                .when_then_expr()
                .iter()
                .map(|(_, then)| then)
                .chain(case.else_expr());
            return branches.map(|branch| self.share(branch)).sum::<f64>().min(1.0);
        }
        match expr.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Boolean(Some(false) | None)) => 0.0,
            _ => 1.0,
        }
    }

    /// The share of one value: its column's values are believed to be spread evenly between the bounds.
    fn equality(&self, column: &str) -> f64 {
        let Some(Range { low, high }) = self.bounds(column) else {
            return EQUALITY_SHARE;
        };
        let counts = self
            .schema
            .field_with_name(column)
            .is_ok_and(|field| field.data_type().is_integer() || is_date_or_decimal(field.data_type()));
        if counts {
            1.0 / (high - low + 1.0)
        } else {
            EQUALITY_SHARE
        }
    }

    fn range_share(&self, column: &str, range: Range) -> f64 {
        let Some(bounds) = self.bounds(column) else {
            return 1.0;
        };
        let width = bounds.high - bounds.low;
        let passing = range.high.min(bounds.high) - range.low.max(bounds.low);
        if width <= 0.0 {
            return if passing < 0.0 { 0.0 } else { 1.0 };
        }
        (passing / width).clamp(0.0, 1.0)
    }

    /// The bounds of a column in the file.
    fn bounds(&self, column: &str) -> Option<Range> {
        let index = self.schema.index_of(column).ok()?;
        let column = self.statistics?.column_statistics.get(index)?;
        let number = |value: &Precision<ScalarValue>| value.get_value().and_then(place);
        Some(Range {
            low: number(&column.min_value)?,
            high: number(&column.max_value)?,
        })
    }
}

impl Range {
    const ALL: Self = Self {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };
}

/// How many values are in a list: joins hand over theirs as often as they have them.
fn distinct(list: &[Arc<dyn PhysicalExpr>]) -> usize {
    if list.len() > LISTED_MAX {
        return list.len();
    }
    let values = list
        .iter()
        .filter_map(|item| item.downcast_ref::<Literal>().map(Literal::value));
    values.collect::<HashSet<_>>().len()
}

fn is_date_or_decimal(data_type: &DataType) -> bool {
    data_type.is_decimal() || matches!(data_type, DataType::Date32)
}

/// A comparison of a column with a value, the column first.
fn compared(binary: &BinaryExpr) -> Option<(&str, Operator, &ScalarValue)> {
    if let (Some(column), Some(literal)) = (
        column_name(binary.left()),
        binary.right().downcast_ref::<Literal>(),
    ) {
        return Some((column, *binary.op(), literal.value()));
    }
    let (column, literal) = (
        column_name(binary.right())?,
        binary.left().downcast_ref::<Literal>()?,
    );
    Some((column, binary.op().swap()?, literal.value()))
}

/// The column that `expr` is, perhaps cast to the type of another side.
fn column_name(expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    let expr = match expr.downcast_ref::<CastExpr>() {
        Some(cast) => cast.expr(),
        None => expr,
    };
    expr.downcast_ref::<Column>().map(Column::name)
}

/// Where a value stands among those of its type, a whole step from its neighbours; `None` for what is no number or day.
#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate needs no more than 53 bits"
)]
fn place(value: &ScalarValue) -> Option<f64> {
    let place = match value {
        ScalarValue::Int8(value) => f64::from((*value)?),
        ScalarValue::Int16(value) => f64::from((*value)?),
        ScalarValue::Int32(value) | ScalarValue::Date32(value) => f64::from((*value)?),
        ScalarValue::Int64(value)
        | ScalarValue::TimestampSecond(value, _)
        | ScalarValue::TimestampMillisecond(value, _)
        | ScalarValue::TimestampMicrosecond(value, _)
        | ScalarValue::TimestampNanosecond(value, _) => (*value)? as f64,
        ScalarValue::Float32(value) => f64::from((*value)?),
        ScalarValue::Float64(value) => (*value)?,
        ScalarValue::Decimal128(value, _, _) => (*value)? as f64,
        _ => return None,
    };
    place.is_finite().then_some(place)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::common::ColumnStatistics;
    use datafusion::physical_expr::expressions::{binary, col, in_list, lit};

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("key", DataType::Int64, true),
            Field::new("day", DataType::Date32, true),
            Field::new("amount", DataType::Decimal128(15, 2), true),
            Field::new("name", DataType::Utf8View, true),
        ])
    }

    fn statistics() -> Statistics {
        let column = |low: ScalarValue, high: ScalarValue| ColumnStatistics {
            min_value: Precision::Exact(low),
            max_value: Precision::Exact(high),
            ..ColumnStatistics::new_unknown()
        };
        let mut statistics = Statistics::new_unknown(&schema());
        statistics.column_statistics = vec![
            column(1_i64.into(), 200_000_i64.into()),
            column(
                ScalarValue::Date32(Some(8_000)),
                ScalarValue::Date32(Some(10_499)),
            ),
            column(
                ScalarValue::Decimal128(Some(100), 15, 2),
                ScalarValue::Decimal128(Some(5_000), 15, 2),
            ),
            column("a".into(), "z".into()),
        ];
        statistics
    }

    fn share(expr: &Arc<dyn PhysicalExpr>) -> f64 {
        let (schema, statistics) = (schema(), statistics());
        let bounds = Bounds {
            schema: &schema,
            statistics: Some(&statistics),
        };
        bounds.share(expr)
    }

    fn compare(column: &str, operator: Operator, value: ScalarValue) -> Arc<dyn PhysicalExpr> {
        let schema = schema();
        binary(col(column, &schema).unwrap(), operator, lit(value), &schema).unwrap()
    }

    fn both(
        left: Arc<dyn PhysicalExpr>,
        operator: Operator,
        right: Arc<dyn PhysicalExpr>,
    ) -> Arc<dyn PhysicalExpr> {
        binary(left, operator, right, &schema()).unwrap()
    }

    fn day(value: i32) -> ScalarValue {
        ScalarValue::Date32(Some(value))
    }

    #[test]
    fn shares_are_those_of_evenly_spread_values() {
        let near = |expr: &Arc<dyn PhysicalExpr>, expected: f64| {
            let found = share(expr);
            assert!(
                (found - expected).abs() < expected / 100.0 + 1e-9,
                "{expr}: {found}, not {expected}"
            );
        };
        use Operator::{And, Eq, GtEq, Lt, Or};
        near(&compare("key", Eq, 7_i64.into()), 1.0 / 200_000.0);
        near(&compare("day", Eq, day(9_000)), 1.0 / 2_500.0);
        near(&compare("name", Eq, "x".into()), 0.2);
        let (from, to) = (compare("day", GtEq, day(9_000)), compare("day", Lt, day(9_025)));
        near(&both(Arc::clone(&from), And, Arc::clone(&to)), 0.01);
        near(&both(from, Or, to), 1.0);
        let amount = ScalarValue::Decimal128(Some(2_550), 15, 2);
        near(
            &both(compare("amount", Lt, amount), And, compare("day", Eq, day(1))),
            0.5 / 2_500.0,
        );
        // Each of them three times.
        let keys: Vec<_> = (0..1200_i64).map(|key| lit(key % 400)).collect();
        let schema = schema();
        let list = |negated| in_list(col("key", &schema).unwrap(), keys.clone(), &negated, &schema).unwrap();
        near(&list(false), 400.0 / 200_000.0);
        near(&list(true), 1.0);
        near(&compare("day", Lt, day(7_000)), 0.0);
        near(&lit(false), 0.0);
        near(&lit(true), 1.0);
    }

    #[test]
    fn few_rows_are_worth_it() {
        let (schema, statistics) = (schema(), statistics());
        let selective = |expr: &Arc<dyn PhysicalExpr>, statistics| {
            is_selective(&Snapshots::new(Arc::clone(expr)), &schema, statistics)
        };
        let one = compare("key", Operator::Eq, 7_i64.into());
        assert!(selective(&one, Some(&statistics)));
        assert!(!selective(&one, None));
        assert!(!selective(
            &compare("name", Operator::Eq, "x".into()),
            Some(&statistics)
        ));
        assert!(!selective(
            &compare("day", Operator::GtEq, day(9_000)),
            Some(&statistics)
        ));
    }
}
