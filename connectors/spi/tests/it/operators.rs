//! The operators of the collated source: it computes them over its own values, byte for byte unless a fault is planted.

use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::datatypes::{DataType, SchemaRef};
use causeway_spi::{
    Aggregate, AggregateFunction, Aggregation, Derived, Join, JoinKind, Operator, Operators, Scan, SortKey,
    TopN, Union, scalar_text,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator as ExprOperator};

use crate::collation::folded;
use crate::mutation::Mutation;
use crate::source::CollatedTable;

type Row = Vec<ScalarValue>;
type Answer<T> = Result<T, Cow<'static, str>>;

const DECLINED: &str = "not known to be alike";

impl Operators for CollatedTable {
    fn derive(&self, scan: &Scan, operator: &Operator) -> Answer<Derived> {
        let forgets = self.mutation() == Some(Mutation::OperatorForgetsFilters);
        let unfiltered = Scan {
            filters: Vec::new(),
            ..scan.clone()
        };
        let mut rows = self.rows_of(if forgets { &unfiltered } else { scan });
        rows.truncate(scan.limit.unwrap_or(usize::MAX));
        let source = Source {
            schema: &scan.schema,
            mutation: self.mutation(),
        };
        let (rows, schema) = match operator {
            Operator::Aggregate(aggregation) => (
                source.groups(&rows, aggregation)?,
                Arc::clone(&aggregation.schema),
            ),
            Operator::TopN(top) => {
                let first = source.first(rows, top)?.into_iter();
                (
                    first.map(|row| projected(&row, scan)).collect(),
                    scan.projected_schema(),
                )
            }
            Operator::Join(join) => (self.joined(&rows, scan, join)?, Arc::clone(&join.schema)),
            Operator::Union(union) => (self.united(&source, &rows, union)?, Arc::clone(&union.schema)),
        };
        Ok(Derived {
            table: Arc::new(self.computed(batch(&rows, schema))),
            reason: "computed alike there and here".into(),
        })
    }

    fn shares_source(&self, other: &dyn Operators) -> bool {
        partner(other).is_some()
    }
}

fn partner(other: &dyn Operators) -> Option<&CollatedTable> {
    let other: &dyn Any = other;
    other.downcast_ref()
}

fn projected(row: &Row, scan: &Scan) -> Row {
    scan.projection.iter().map(|&index| row[index].clone()).collect()
}

impl CollatedTable {
    /// `rows`, which `source` computes, and those of the other parts of `union`.
    fn united(&self, source: &Source<'_>, rows: &[Row], union: &Union) -> Answer<Vec<Row>> {
        let mut united = source.outputs(rows, &union.outputs)?;
        for part in &union.others {
            let other = part.table.operators().and_then(partner).ok_or(DECLINED)?;
            let mut scan = part.scan.clone();
            if self.mutation() == Some(Mutation::UnionForgetsFilters) {
                scan.filters.clear();
            }
            let mut rows = other.rows_of(&scan);
            rows.truncate(scan.limit.unwrap_or(usize::MAX));
            let source = Source {
                schema: &scan.schema,
                mutation: self.mutation(),
            };
            united.extend(source.outputs(&rows, &part.outputs)?);
        }
        if self.mutation() == Some(Mutation::UnionDropsRepeats) {
            let mut kept: Vec<Row> = Vec::new();
            for row in united {
                if !kept.contains(&row) {
                    kept.push(row);
                }
            }
            united = kept;
        }
        Ok(united)
    }

    /// The rows of a join of `rows`, which are those of `scan`.
    fn joined(&self, rows: &[Row], scan: &Scan, join: &Join) -> Answer<Vec<Row>> {
        let other = join.right.operators().and_then(partner).ok_or(DECLINED)?;
        let mut right_scan = join.right_scan.clone();
        if self.mutation() == Some(Mutation::JoinForgetsFilters) {
            right_scan.filters.clear();
        }
        let mut others = other.rows_of(&right_scan);
        others.truncate(right_scan.limit.unwrap_or(usize::MAX));
        let others: Vec<Row> = others.iter().map(|row| projected(row, &right_scan)).collect();
        let source = Source {
            schema: &join.columns,
            mutation: self.mutation(),
        };
        for condition in &join.condition {
            source.check_condition(condition)?;
        }
        let nulls = join.columns.fields().iter().skip(scan.projection.len());
        let nulls = nulls.map(|field| ScalarValue::try_from(field.data_type()));
        let nulls: Row = nulls.collect::<Result<_, _>>().map_err(|_| DECLINED)?;
        let mut result = Vec::new();
        for row in rows {
            let row = projected(row, scan);
            let mut meeting = Vec::new();
            for other in &others {
                let both = [row.clone(), other.clone()].concat();
                let conditions = join
                    .condition
                    .iter()
                    .map(|condition| source.meets(condition, &both));
                if conditions
                    .collect::<Answer<Vec<bool>>>()?
                    .into_iter()
                    .all(|holds| holds)
                {
                    meeting.push(both);
                }
            }
            match (join.kind, self.mutation()) {
                (JoinKind::Left, Some(Mutation::LeftJoinIsInner)) | (JoinKind::Inner, _) => {
                    result.extend(meeting)
                }
                (JoinKind::Left, _) if meeting.is_empty() => result.push([row, nulls.clone()].concat()),
                (JoinKind::Left, _) => result.extend(meeting),
                (JoinKind::Semi, Some(Mutation::SemiJoinRepeats)) => {
                    result.extend(meeting.iter().map(|_| row.clone()));
                }
                (JoinKind::Semi, _) if meeting.is_empty() => {}
                (JoinKind::Semi, _) => result.push(row),
                (JoinKind::Anti, Some(Mutation::AntiJoinLosesNulls))
                    if row.iter().any(ScalarValue::is_null) => {}
                (JoinKind::Anti, _) if meeting.is_empty() => result.push(row),
                (JoinKind::Anti, _) => {}
            }
        }
        Ok(result)
    }
}

fn batch(rows: &[Row], schema: SchemaRef) -> RecordBatch {
    let arrays = schema.fields().iter().enumerate().map(|(index, field)| {
        let cells: Vec<ScalarValue> = rows.iter().map(|row| row[index].clone()).collect();
        match cells.is_empty() {
            true => new_empty_array(field.data_type()),
            false => ScalarValue::iter_to_array(cells).expect("cells of one type"),
        }
    });
    let arrays = arrays.collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, arrays, &options).expect("cells of the schema's types")
}

/// How the source computes.
struct Source<'a> {
    schema: &'a SchemaRef,
    mutation: Option<Mutation>,
}

impl Source<'_> {
    /// A value that compares by its bytes: a column, perhaps in a wider type.
    fn value(&self, expr: &Expr, row: &Row) -> Answer<ScalarValue> {
        let value = match expr {
            Expr::Column(column) => {
                let index = self.schema.index_of(&column.name).map_err(|_| DECLINED)?;
                row[index].clone()
            }
            Expr::Cast(cast) => {
                let value = self.value(&cast.expr, row)?;
                value.cast_to(cast.field.data_type()).map_err(|_| DECLINED)?
            }
            _ => return Err(DECLINED.into()),
        };
        match value.data_type() {
            kind if kind.is_floating() || kind.is_nested() => Err(DECLINED.into()),
            DataType::Interval(_) | DataType::Boolean => Err(DECLINED.into()),
            _ => Ok(value),
        }
    }

    /// `outputs` of each row.
    fn outputs(&self, rows: &[Row], outputs: &[Expr]) -> Answer<Vec<Row>> {
        for output in outputs {
            self.check(output)?;
        }
        let row = |row: &Row| outputs.iter().map(|output| self.value(output, row)).collect();
        rows.iter().map(row).collect()
    }

    /// Declines at once, also where there are no rows, so that an answer is a pure function of the operator.
    fn check(&self, expr: &Expr) -> Answer<()> {
        let nulls = self
            .schema
            .fields()
            .iter()
            .map(|field| ScalarValue::try_from(field.data_type()));
        let nulls: Row = nulls.collect::<Result<_, _>>().map_err(|_| DECLINED)?;
        self.value(expr, &nulls).map(|_| ())
    }

    /// The two sides of a comparison.
    fn sides<'e>(&self, condition: &'e Expr) -> Answer<(&'e Expr, ExprOperator, &'e Expr)> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
                Ok((left, *op, right))
            }
            _ => Err(DECLINED.into()),
        }
    }

    fn check_condition(&self, condition: &Expr) -> Answer<()> {
        let (left, _, right) = self.sides(condition)?;
        self.check(left).and(self.check(right))
    }

    /// Whether a comparison is true.
    fn meets(&self, condition: &Expr, row: &Row) -> Answer<bool> {
        let (left, operator, right) = self.sides(condition)?;
        let (left, right) = (self.value(left, row)?, self.value(right, row)?);
        if left.is_null() || right.is_null() {
            let both = left.is_null() && right.is_null();
            return Ok(both && self.mutation == Some(Mutation::JoinNullsAreEqual));
        }
        let order = match self.mutation {
            Some(Mutation::JoinUnderCollation) => compared(&collated(&left), &collated(&right)),
            _ => compared(&left, &right),
        };
        match operator {
            ExprOperator::Eq => Ok(order.is_eq()),
            ExprOperator::NotEq => Ok(order.is_ne()),
            ExprOperator::Lt => Ok(order.is_lt()),
            ExprOperator::LtEq => Ok(order.is_le()),
            ExprOperator::Gt => Ok(order.is_gt()),
            ExprOperator::GtEq => Ok(order.is_ge()),
            _ => Err(DECLINED.into()),
        }
    }

    fn groups(&self, rows: &[Row], aggregation: &Aggregation) -> Answer<Vec<Row>> {
        let arguments = aggregation
            .aggregates
            .iter()
            .filter_map(|aggregate| aggregate.argument.as_ref());
        for expr in aggregation.groups.iter().chain(arguments) {
            self.check(expr)?;
        }
        let mut groups: Vec<(Row, Row, Vec<&Row>)> = Vec::new();
        let keyless = aggregation.groups.is_empty() && self.mutation != Some(Mutation::NoRowsNoRow);
        if keyless {
            groups.push((Vec::new(), Vec::new(), Vec::new()));
        }
        for row in rows {
            let key = aggregation.groups.iter().map(|group| self.value(group, row));
            let key = key.collect::<Answer<Row>>()?;
            let compared = match self.mutation {
                Some(Mutation::GroupsUnderCollation) => key.iter().map(collated).collect(),
                _ => key.clone(),
            };
            match groups.iter_mut().find(|(known, ..)| *known == compared) {
                Some((_, _, members)) => members.push(row),
                None => groups.push((compared, key, vec![row])),
            }
        }
        let types = &aggregation.schema.fields()[aggregation.groups.len()..];
        let complete = |(_, key, members): (Row, Row, Vec<&Row>)| {
            let calls = aggregation.aggregates.iter().zip(types);
            let results = calls.map(|(call, field)| self.aggregate(call, field.data_type(), &members));
            Ok(key.into_iter().chain(results.collect::<Answer<Row>>()?).collect())
        };
        groups.into_iter().map(complete).collect()
    }

    fn aggregate(&self, call: &Aggregate, wanted: &DataType, members: &[&Row]) -> Answer<ScalarValue> {
        let number = |count: usize| ScalarValue::Int64(i64::try_from(count).ok());
        let Some(argument) = &call.argument else {
            return Ok(number(members.len()));
        };
        let values = members.iter().map(|row| self.value(argument, row));
        let mut values = values.collect::<Answer<Row>>()?;
        if !(self.mutation == Some(Mutation::CountCountsNulls) && call.function == AggregateFunction::Count) {
            values.retain(|value| !value.is_null());
        }
        if call.distinct && self.mutation != Some(Mutation::DistinctForgotten) {
            let mut distinct: Row = Vec::new();
            for value in values {
                if !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
            values = distinct;
        }
        let collation = self.mutation == Some(Mutation::LeastUnderCollation);
        let least = |left: &ScalarValue, right: &ScalarValue| match collation {
            true => compared(&collated(left), &collated(right)),
            false => compared(left, right),
        };
        let found = match call.function {
            AggregateFunction::Count => return Ok(number(values.len())),
            AggregateFunction::Min => values.into_iter().min_by(least),
            AggregateFunction::Max => values.into_iter().max_by(least),
            AggregateFunction::Sum => return sum(&values, wanted),
        };
        found.map_or_else(|| ScalarValue::try_from(wanted).map_err(|_| DECLINED.into()), Ok)
    }

    fn first(&self, mut rows: Vec<Row>, top: &TopN) -> Answer<Vec<Row>> {
        for key in &top.order {
            self.check(&key.expr)?;
        }
        rows.sort_by(|left, right| {
            let keys = top.order.iter().map(|key| {
                let value = |row| self.value(&key.expr, row).unwrap_or(ScalarValue::Null);
                self.order(key, &value(left), &value(right))
            });
            keys.fold(Ordering::Equal, Ordering::then)
        });
        rows.truncate(top.fetch);
        Ok(rows)
    }

    fn order(&self, key: &SortKey, left: &ScalarValue, right: &ScalarValue) -> Ordering {
        let nulls_first = match self.mutation {
            Some(Mutation::NullOrderOfSource) => key.ascending,
            _ => key.nulls_first,
        };
        match (left.is_null(), right.is_null()) {
            (true, true) => return Ordering::Equal,
            (false, false) => {}
            (left_null, _) if left_null == nulls_first => return Ordering::Less,
            _ => return Ordering::Greater,
        }
        let order = match self.mutation {
            Some(Mutation::OrderUnderCollation) => compared(&collated(left), &collated(right)),
            _ => compared(left, right),
        };
        if key.ascending { order } else { order.reverse() }
    }
}

fn compared(left: &ScalarValue, right: &ScalarValue) -> Ordering {
    left.partial_cmp(right).unwrap_or(Ordering::Equal)
}

/// A text as the collation compares it.
fn collated(value: &ScalarValue) -> ScalarValue {
    match scalar_text(value) {
        Some(text) => ScalarValue::Utf8View(Some(folded(text))),
        None => value.clone(),
    }
}

/// The sum of whole numbers or decimals, NULL of none.
fn sum(values: &[ScalarValue], wanted: &DataType) -> Answer<ScalarValue> {
    let digits = values.iter().map(|value| match value {
        ScalarValue::Int16(Some(number)) => Ok(i128::from(*number)),
        ScalarValue::Int32(Some(number)) => Ok(i128::from(*number)),
        ScalarValue::Int64(Some(number)) => Ok(i128::from(*number)),
        ScalarValue::Decimal128(Some(digits), ..) => Ok(*digits),
        _ => Err(Cow::Borrowed(DECLINED)),
    });
    let digits = digits.collect::<Answer<Vec<i128>>>()?;
    let total = (!digits.is_empty()).then(|| digits.iter().sum::<i128>());
    match wanted {
        DataType::Int64 => Ok(ScalarValue::Int64(
            total.and_then(|total| i64::try_from(total).ok()),
        )),
        DataType::Decimal128(precision, scale) => Ok(ScalarValue::Decimal128(total, *precision, *scale)),
        _ => Err(DECLINED.into()),
    }
}
