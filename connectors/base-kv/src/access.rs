//! From filters to an access path: which keys can pass at all, or all of them.
//!
//! What is found here is a superset: every key that passes the filters is among the candidates. The filters
//! themselves are applied to the candidates afterwards, so nothing here has to be exact.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};

use causeway_spi::scalar_text;

use crate::key::{KeyTuple, KeyType, KeyValue};

/// More points than this are not listed: the whole keyspace is walked instead.
pub const POINTS_MAX: usize = 1_000_000;

/// How the rows that may pass are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessPath {
    /// By these keys, each once.
    Points(Vec<KeyTuple>),
    /// By walking all keys.
    Full,
}

/// The keys that can pass a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidates(Option<Vec<PartialKey>>);

/// A value for each key column that is bound.
type PartialKey = Vec<Option<KeyValue>>;

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
        let Some((position, operand_type)) = key_operand(operand, schema) else {
            return Self::any();
        };
        let mut keys = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| !value.is_null()) {
            if value.data_type() != operand_type {
                return Self::any();
            }
            let Some(value) = key_value(value) else {
                return Self::any();
            };
            let mut key: PartialKey = vec![None; types.len()];
            key[position] = Some(value);
            keys.push(key);
        }
        Self(Some(keys))
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

    /// The points, when each candidate binds all `columns` key columns and there are not too many.
    pub(crate) fn into_access(self, columns: usize) -> AccessPath {
        let Some(candidates) = self.0 else {
            return AccessPath::Full;
        };
        let mut seen = HashSet::with_capacity(candidates.len());
        let mut points = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let point: KeyTuple = candidate.into_iter().flatten().collect();
            if point.len() < columns || points.len() == POINTS_MAX {
                return AccessPath::Full;
            }
            if seen.insert(point.clone()) {
                points.push(point);
            }
        }
        AccessPath::Points(points)
    }
}

/// Both bindings together; `None` when they contradict each other.
fn merge(left: &PartialKey, right: &PartialKey) -> Option<PartialKey> {
    left.iter()
        .zip(right)
        .map(|(left, right)| match (left, right) {
            (Some(left), Some(right)) if left != right => None,
            (Some(value), _) | (None, Some(value)) => Some(Some(value.clone())),
            (None, None) => Some(None),
        })
        .collect()
}

/// The key column behind `operand` and the operand's type: a column, or an integer column cast to a wider integer,
/// which keeps distinct values distinct.
fn key_operand(operand: &Expr, schema: &Schema) -> Option<(usize, DataType)> {
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
    Some((position, data_type.unwrap_or_else(|| field.data_type().clone())))
}

/// The value as a key part; an integer beyond the column's range simply finds no key.
fn key_value(value: &ScalarValue) -> Option<KeyValue> {
    match value {
        ScalarValue::Int16(Some(number)) => Some(KeyValue::Int((*number).into())),
        ScalarValue::Int32(Some(number)) => Some(KeyValue::Int((*number).into())),
        ScalarValue::Int64(Some(number)) => Some(KeyValue::Int(*number)),
        ScalarValue::Date32(Some(days)) => Some(KeyValue::Date(*days)),
        other => scalar_text(other).map(|text| KeyValue::Text(text.to_owned())),
    }
}
