//! From filters to an access path: which keys can pass at all, which stretches of them, or all.
//!
//! What is found here is a superset: every key that passes the filters is among the candidates. The filters
//! themselves are applied to the candidates afterwards, so nothing here has to be exact.

use std::collections::HashSet;
use std::ops::Bound;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};

use causeway_spi::scalar_text;

use crate::key::{KeyTuple, KeyType, KeyValue};
use crate::key_order::{Binding, KeyOrder, KeyRange, disjoint};

/// More points than this are not listed: the whole keyspace is walked instead.
pub const POINTS_MAX: usize = 1_000_000;

/// How the rows that may pass are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessPath {
    /// By these keys, each once.
    Points(Vec<KeyTuple>),
    /// Among the keys of these ranges, in order and without overlaps: only where the store keeps its keys in order.
    Ranges(Vec<KeyRange>),
    /// By walking all keys.
    Full,
}

/// The keys that can pass a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidates(Option<Vec<PartialKey>>);

/// What is known of each key column.
type PartialKey = Vec<Binding>;

impl Candidates {
    /// Every key.
    pub(crate) fn any() -> Self {
        Self(None)
    }

    fn none() -> Self {
        Self(Some(Vec::new()))
    }

    /// The keys that can pass `expr`, an allowed filter with coerced types over the columns of `schema`.
    pub(crate) fn of(expr: &Expr, schema: &Schema, types: &[KeyType]) -> Self {
        match expr {
            Expr::BinaryExpr(binary) => {
                let side = |expr| Self::of(expr, schema, types);
                match binary.op {
                    Operator::And => side(&binary.left).and(side(&binary.right)),
                    Operator::Or => side(&binary.left).or(side(&binary.right)),
                    Operator::Eq | Operator::IsNotDistinctFrom => {
                        match (binary.left.as_ref(), binary.right.as_ref()) {
                            (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column) => {
                                Self::equal(column, &[value], schema, types)
                            }
                            _ => Self::any(),
                        }
                    }
                    Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                        match (binary.left.as_ref(), binary.right.as_ref()) {
                            (column, Expr::Literal(value, _)) => {
                                Self::bounded(column, binary.op, value, schema, types)
                            }
                            (Expr::Literal(value, _), column) => binary
                                .op
                                .swap()
                                .map_or_else(Self::any, |op| Self::bounded(column, op, value, schema, types)),
                            _ => Self::any(),
                        }
                    }
                    _ => Self::any(),
                }
            }
            Expr::Between(between) if !between.negated => {
                let bounded = |operator, bound: &Expr| match bound {
                    Expr::Literal(value, _) => Self::bounded(&between.expr, operator, value, schema, types),
                    _ => Self::any(),
                };
                bounded(Operator::GtEq, &between.low).and(bounded(Operator::LtEq, &between.high))
            }
            Expr::Like(like) if !like.negated && !like.case_insensitive && like.escape_char.is_none() => {
                match like.pattern.as_ref() {
                    Expr::Literal(pattern, _) => Self::like(&like.expr, pattern, schema, types),
                    _ => Self::any(),
                }
            }
            Expr::InList(list) if !list.negated => {
                let values = list.list.iter().filter_map(|item| match item {
                    Expr::Literal(value, _) => Some(value),
                    _ => None,
                });
                let values: Vec<_> = values.collect();
                if values.len() < list.list.len() {
                    return Self::any();
                }
                Self::equal(&list.expr, &values, schema, types)
            }
            Expr::Literal(ScalarValue::Boolean(None | Some(false)), _) => Self::none(),
            _ => Self::any(),
        }
    }

    /// The keys whose column `operand` equals one of `values`; NULL equals nothing, key columns are never NULL.
    fn equal(operand: &Expr, values: &[&ScalarValue], schema: &Schema, types: &[KeyType]) -> Self {
        let Some(column) = KeyOperand::of(operand, schema) else {
            return Self::any();
        };
        let mut keys = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| !value.is_null()) {
            let Some(value) = column.value(value) else {
                return Self::any();
            };
            keys.push(column.bound_to(Binding::Equal(value), types.len()));
        }
        Self(Some(keys))
    }

    /// The keys whose column `operand` lies on one side of `value`.
    fn bounded(
        operand: &Expr,
        operator: Operator,
        value: &ScalarValue,
        schema: &Schema,
        types: &[KeyType],
    ) -> Self {
        let Some(column) = KeyOperand::of(operand, schema) else {
            return Self::any();
        };
        if value.is_null() {
            return Self::none();
        }
        let Some(value) = column.value(value) else {
            return Self::any();
        };
        let (low, high) = match operator {
            Operator::Lt => (Bound::Unbounded, Bound::Excluded(value)),
            Operator::LtEq => (Bound::Unbounded, Bound::Included(value)),
            Operator::Gt => (Bound::Excluded(value), Bound::Unbounded),
            Operator::GtEq => (Bound::Included(value), Bound::Unbounded),
            _ => return Self::any(),
        };
        Self(Some(vec![
            column.bound_to(Binding::Between(low, high), types.len()),
        ]))
    }

    /// The keys whose text column `operand` begins as `pattern` does.
    fn like(operand: &Expr, pattern: &ScalarValue, schema: &Schema, types: &[KeyType]) -> Self {
        let (Some(column), Some(pattern)) = (KeyOperand::of(operand, schema), scalar_text(pattern)) else {
            return Self::any();
        };
        let start = pattern.split(['%', '_', '\\']).next().unwrap_or_default();
        if types[column.position] != KeyType::Text || start.is_empty() {
            return Self::any();
        }
        Self(Some(vec![
            column.bound_to(Binding::StartsWith(start.to_owned()), types.len()),
        ]))
    }

    /// The keys that can pass both.
    pub(crate) fn and(self, other: Self) -> Self {
        let (left, right) = match (self.0, other.0) {
            (Some(left), Some(right)) => (left, right),
            (left, right) => return Self(left.or(right)),
        };
        if left.len().saturating_mul(right.len()) > POINTS_MAX {
            // Either side alone is still a superset. Points on one column that meet points on the same column are
            // what is this large in practice, and there the shorter list loses nothing.
            return Self(Some(if left.len() <= right.len() { left } else { right }));
        }
        let pairs = left
            .iter()
            .flat_map(|left| right.iter().map(move |right| (left, right)));
        Self(Some(
            pairs.filter_map(|(left, right)| merge(left, right)).collect(),
        ))
    }

    /// The keys that can pass one of both.
    fn or(self, other: Self) -> Self {
        let (Some(mut left), Some(right)) = (self.0, other.0) else {
            return Self::any();
        };
        left.extend(right);
        Self(Some(left))
    }

    /// The points, when each candidate binds all `columns` key columns and there are not too many; else the ranges,
    /// where the keys are in `order` and these are less than the whole.
    pub(crate) fn into_access(self, columns: usize, order: Option<&dyn KeyOrder>) -> AccessPath {
        let Some(candidates) = self.0 else {
            return AccessPath::Full;
        };
        if let Some(points) = points(&candidates, columns) {
            return AccessPath::Points(points);
        }
        let Some(order) = order else {
            return AccessPath::Full;
        };
        let ranges = candidates.iter().filter_map(|candidate| order.range(candidate));
        let ranges = disjoint(ranges.collect());
        if ranges == [order.whole()] {
            return AccessPath::Full;
        }
        AccessPath::Ranges(ranges)
    }
}

/// The candidates as whole keys, each once; `None` when one is not whole, or when they are too many.
fn points(candidates: &[PartialKey], columns: usize) -> Option<Vec<KeyTuple>> {
    let mut seen = HashSet::with_capacity(candidates.len());
    let mut points = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let values = candidate.iter().map(|binding| match binding {
            Binding::Equal(value) => Some(value.clone()),
            _ => None,
        });
        let point = values.collect::<Option<KeyTuple>>()?;
        if point.len() < columns || points.len() == POINTS_MAX {
            return None;
        }
        if seen.insert(point.clone()) {
            points.push(point);
        }
    }
    Some(points)
}

/// Both bindings together; `None` when they contradict each other.
fn merge(left: &PartialKey, right: &PartialKey) -> Option<PartialKey> {
    left.iter()
        .zip(right)
        .map(|(left, right)| left.and(right))
        .collect()
}

/// A key column in a comparison.
struct KeyOperand {
    position: usize,
    data_type: DataType,
}

impl KeyOperand {
    /// The key column behind `operand` and the operand's type: a column, or an integer column cast to a wider integer,
    /// which keeps distinct values distinct and in order.
    fn of(operand: &Expr, schema: &Schema) -> Option<Self> {
        let (column, data_type) = match operand {
            Expr::Column(column) => (column, None),
            Expr::Cast(cast) => match (cast.expr.as_ref(), cast.field.data_type()) {
                (Expr::Column(column), wide @ (DataType::Int32 | DataType::Int64)) => {
                    (column, Some(wide.clone()))
                }
                _ => return None,
            },
            _ => return None,
        };
        let (position, field) = schema.column_with_name(&column.name)?;
        Some(Self {
            position,
            data_type: data_type.unwrap_or_else(|| field.data_type().clone()),
        })
    }

    /// The value that the column is compared with, when both are of one type.
    fn value(&self, value: &ScalarValue) -> Option<KeyValue> {
        (value.data_type() == self.data_type)
            .then(|| key_value(value))
            .flatten()
    }

    /// The key of `columns` columns of which only this one is bound.
    fn bound_to(&self, binding: Binding, columns: usize) -> PartialKey {
        let mut key = vec![Binding::Free; columns];
        key[self.position] = binding;
        key
    }
}

/// The value as a key part; an integer beyond the column's range simply finds no key.
fn key_value(value: &ScalarValue) -> Option<KeyValue> {
    match value {
        ScalarValue::Int16(Some(number)) => Some(KeyValue::Int((*number).into())),
        ScalarValue::Int32(Some(number)) => Some(KeyValue::Int((*number).into())),
        ScalarValue::Int64(Some(number)) => Some(KeyValue::Int(*number)),
        ScalarValue::Date32(Some(days)) => Some(KeyValue::Date(*days)),
        ScalarValue::Boolean(Some(truth)) => Some(KeyValue::Int((*truth).into())),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Some(KeyValue::Int(*micros)),
        ScalarValue::Decimal128(Some(number), ..) => Some(KeyValue::Decimal(*number)),
        ScalarValue::BinaryView(Some(bytes)) => Some(KeyValue::Bytes(bytes.clone())),
        other => scalar_text(other).map(|text| KeyValue::Text(text.to_owned())),
    }
}
