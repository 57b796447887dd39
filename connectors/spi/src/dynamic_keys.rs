//! Reads the keys that a hash join has collected from the filter it leaves at the leaf.
//!
//! A join's dynamic filter is, once complete, a conjunction of bounds and an IN list over a column or a struct of
//! columns; with a partitioned build side it is a CASE over the partitions. What can be read as "these columns are one
//! of these tuples" becomes a key set; everything else is ignored, since the join checks every row again.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

/// The keys to look up: one of a table's key column sets, and its distinct values without NULLs.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Index into [`crate::Lookup::keys`].
    pub key: usize,
    /// n rows x k columns, typed as the table's columns.
    pub values: RecordBatch,
}

/// Finds the smallest key set that the completed join filters imply, for one of `keys`.
///
/// `filters` refer to columns of the leaf's output; `projection` maps those to columns of `schema`, to which `keys`
/// refer. `None`: the filters do not bound any of the keys, so only a scan is right.
pub fn join_keys(
    filters: &[Arc<dyn PhysicalExpr>],
    projection: &[usize],
    schema: &SchemaRef,
    keys: &[Vec<usize>],
) -> Option<KeySet> {
    let bound = filters
        .iter()
        .map(|filter| bound_by(filter, projection, schema))
        .fold(Bound::nothing(), Bound::and);
    let constraints = match bound {
        Bound::Never => {
            return Some(KeySet {
                key: 0,
                values: empty_keys(schema, keys.first()?),
            });
        }
        Bound::All(constraints) => constraints,
    };
    let mut best: Option<KeySet> = None;
    for (key, columns) in keys.iter().enumerate() {
        for constraint in &constraints {
            let Some(values) = constraint.key_values(columns, schema) else {
                continue;
            };
            let better = match &best {
                None => true,
                Some(other) => {
                    (values.num_rows(), usize::MAX - columns.len())
                        < (other.values.num_rows(), usize::MAX - other.values.num_columns())
                }
            };
            if better {
                best = Some(KeySet { key, values });
            }
        }
    }
    best
}

/// The columns (of the table) are one of the tuples.
#[derive(Debug, Clone)]
struct Constraint {
    columns: Vec<usize>,
    tuples: Vec<Vec<ScalarValue>>,
}

/// What a true filter implies.
#[derive(Debug, Clone)]
enum Bound {
    /// The filter is never true.
    Never,
    /// All of these hold; an empty list says nothing.
    All(Vec<Constraint>),
}

impl Bound {
    fn nothing() -> Self {
        Self::All(Vec::new())
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::All(mut left), Self::All(right)) => {
                left.extend(right);
                Self::All(left)
            }
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, bound) | (bound, Self::Never) => bound,
            (Self::All(left), Self::All(right)) => Self::All(
                left.into_iter()
                    .filter_map(|mut constraint| {
                        let twin = right.iter().find(|twin| twin.columns == constraint.columns)?;
                        constraint.tuples.extend(twin.tuples.iter().cloned());
                        Some(constraint)
                    })
                    .collect(),
            ),
        }
    }
}

impl Constraint {
    /// The distinct values of `columns` in the tuples, typed as the table's columns; `None` when a column is missing or
    /// a value is of a type whose equality with the column is not known.
    fn key_values(&self, columns: &[usize], schema: &SchemaRef) -> Option<RecordBatch> {
        let positions: Vec<usize> = columns
            .iter()
            .map(|column| self.columns.iter().position(|candidate| candidate == column))
            .collect::<Option<_>>()?;
        let mut seen = HashSet::new();
        let mut arrays: Vec<Vec<ScalarValue>> = vec![Vec::new(); columns.len()];
        for tuple in &self.tuples {
            let parts: Vec<&ScalarValue> = positions
                .iter()
                .map(|&position| tuple.get(position))
                .collect::<Option<_>>()?;
            if parts.iter().any(|part| part.is_null()) {
                continue;
            }
            let mut typed: Vec<ScalarValue> = Vec::with_capacity(columns.len());
            for (part, &column) in parts.iter().zip(columns) {
                let own_type = schema.field(column).data_type();
                match exact_cast(part, own_type) {
                    Some(value) => typed.push(value),
                    // A value that the column's own type cannot hold equals no row: its key is left out.
                    None if is_widening(own_type, &part.data_type()) => break,
                    None => return None,
                }
            }
            if typed.len() < columns.len() {
                continue;
            }
            if seen.insert(typed.clone()) {
                for (array, value) in arrays.iter_mut().zip(typed) {
                    array.push(value);
                }
            }
        }
        if seen.is_empty() {
            return Some(empty_keys(schema, columns));
        }
        let arrays = arrays
            .into_iter()
            .map(ScalarValue::iter_to_array)
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        RecordBatch::try_new(key_schema(schema, columns), arrays).ok()
    }
}

/// `value` in `data_type`, or `None` when it would become another value.
fn exact_cast(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    if value.data_type() == *data_type {
        return Some(value.clone());
    }
    let cast = value.cast_to(data_type).ok()?;
    (cast.cast_to(&value.data_type()).ok()? == *value).then_some(cast)
}

fn key_schema(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let fields: Vec<_> = columns
        .iter()
        .map(|&column| schema.field(column).clone())
        .collect();
    Arc::new(Schema::new(fields))
}

fn empty_keys(schema: &SchemaRef, columns: &[usize]) -> RecordBatch {
    RecordBatch::new_empty(key_schema(schema, columns))
}

/// What `expr` implies when it is true. Anything not understood implies nothing.
fn bound_by(expr: &Arc<dyn PhysicalExpr>, projection: &[usize], schema: &SchemaRef) -> Bound {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::And => {
                bound_by(binary.left(), projection, schema).and(bound_by(binary.right(), projection, schema))
            }
            Operator::Or => {
                bound_by(binary.left(), projection, schema).or(bound_by(binary.right(), projection, schema))
            }
            Operator::Eq => constraint(
                binary.left(),
                std::slice::from_ref(binary.right()),
                projection,
                schema,
            ),
            _ => Bound::nothing(),
        };
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        return if list.negated() {
            Bound::nothing()
        } else {
            constraint(list.expr(), list.list(), projection, schema)
        };
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let branches = case
            .when_then_expr()
            .iter()
            .map(|(_, then)| then)
            .chain(case.else_expr());
        return branches
            .map(|branch| bound_by(branch, projection, schema))
            .fold(Bound::Never, Bound::or);
    }
    match expr.downcast_ref::<Literal>().map(Literal::value) {
        Some(ScalarValue::Boolean(Some(false) | None)) => Bound::Never,
        _ => Bound::nothing(),
    }
}

/// `key` (a column, or a struct of columns) is one of the literals of `list`.
fn constraint(
    key: &Arc<dyn PhysicalExpr>,
    list: &[Arc<dyn PhysicalExpr>],
    projection: &[usize],
    schema: &SchemaRef,
) -> Bound {
    let literals: Option<Vec<&ScalarValue>> = list
        .iter()
        .map(|item| item.downcast_ref::<Literal>().map(Literal::value))
        .collect();
    let Some(literals) = literals else {
        return Bound::nothing();
    };
    if let Some(column) = table_column(key, projection, schema) {
        let tuples = literals.into_iter().map(|value| vec![value.clone()]).collect();
        return Bound::All(vec![Constraint {
            columns: vec![column],
            tuples,
        }]);
    }
    let Some(function) = key.downcast_ref::<ScalarFunctionExpr>() else {
        return Bound::nothing();
    };
    if function.name() != "struct" {
        return Bound::nothing();
    }
    let columns: Option<Vec<usize>> = function
        .args()
        .iter()
        .map(|arg| table_column(arg, projection, schema))
        .collect();
    let tuples: Option<Vec<Vec<ScalarValue>>> = literals.into_iter().map(struct_values).collect();
    match (columns, tuples) {
        (Some(columns), Some(tuples)) => Bound::All(vec![Constraint { columns, tuples }]),
        _ => Bound::nothing(),
    }
}

/// The table's column that `expr` is, perhaps widened to the other side's type: such a cast keeps values apart, so
/// that the cast equals a key exactly when the column equals the key in its own type.
pub(crate) fn table_column(
    expr: &Arc<dyn PhysicalExpr>,
    projection: &[usize],
    schema: &SchemaRef,
) -> Option<usize> {
    let (column, cast_to) = match expr.downcast_ref::<CastExpr>() {
        Some(cast) => (cast.expr(), Some(cast.cast_type())),
        None => (expr, None),
    };
    let index = projection
        .get(column.downcast_ref::<Column>()?.index())
        .copied()?;
    let own_type = schema.fields().get(index)?.data_type();
    cast_to
        .is_none_or(|cast_to| is_widening(own_type, cast_to))
        .then_some(index)
}

/// Whether every value of `from` has its own equal in `to`.
pub(crate) fn is_widening(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Int16, DataType::Int32 | DataType::Int64) | (DataType::Int32, DataType::Int64) => true,
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2) | DataType::Decimal256(p2, s2))
        | (DataType::Decimal256(p1, s1), DataType::Decimal256(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (DataType::Int16 | DataType::Int32 | DataType::Int64, DataType::Decimal128(p, s)) => {
            let digits = match from {
                DataType::Int16 => 5,
                DataType::Int32 => 10,
                _ => 19,
            };
            i16::from(*p) - i16::from(*s) >= digits
        }
        (DataType::Utf8View, DataType::Utf8 | DataType::LargeUtf8) => true,
        _ => from == to,
    }
}

fn struct_values(value: &ScalarValue) -> Option<Vec<ScalarValue>> {
    let ScalarValue::Struct(array) = value else {
        return None;
    };
    if array.is_empty() || array.is_null(0) {
        return None;
    }
    array
        .columns()
        .iter()
        .map(|column| ScalarValue::try_from_array(column, 0).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{binary, col, in_list, is_null, lit};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("pad", DataType::Int64, true),
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8View, true),
        ]))
    }

    fn output() -> Schema {
        Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8View, true),
        ])
    }

    fn a_in(values: &[Option<i64>]) -> Arc<dyn PhysicalExpr> {
        let output = output();
        let list = values
            .iter()
            .map(|value| lit(ScalarValue::Int64(*value)))
            .collect();
        in_list(col("a", &output).unwrap(), list, &false, &output).unwrap()
    }

    fn find(filter: Arc<dyn PhysicalExpr>) -> Option<Vec<i64>> {
        let keys = join_keys(&[filter], &[1, 2], &schema(), &[vec![1]])?;
        let column = keys
            .values
            .column(0)
            .as_any()
            .downcast_ref::<arrow::array::Int64Array>()
            .unwrap()
            .clone();
        Some(column.values().to_vec())
    }

    #[test]
    fn in_list_gives_distinct_keys_without_nulls() {
        assert_eq!(find(a_in(&[Some(3), None, Some(3), Some(1)])), Some(vec![3, 1]));
    }

    #[test]
    fn null_keeping_filter_gives_no_keys() {
        let output = output();
        let or_null = binary(
            a_in(&[Some(3)]),
            Operator::Or,
            is_null(col("a", &output).unwrap()).unwrap(),
            &output,
        );
        assert_eq!(find(or_null.unwrap()), None);
    }

    #[test]
    fn partitions_are_united_and_an_open_partition_gives_none() {
        let branches = |last: Arc<dyn PhysicalExpr>| {
            let when = vec![(lit(0_u64), a_in(&[Some(1)])), (lit(1_u64), a_in(&[Some(2)]))];
            Arc::new(CaseExpr::try_new(Some(lit(0_u64)), when, Some(last)).unwrap()) as Arc<dyn PhysicalExpr>
        };
        assert_eq!(find(branches(lit(false))), Some(vec![1, 2]));
        assert_eq!(find(branches(lit(true))), None);
        assert_eq!(find(lit(false)), Some(vec![]));
    }

    #[test]
    fn keys_behind_a_widening_cast_are_found_and_others_are_not() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, true)]));
        let keys_of = |data_type: DataType, values: Vec<ScalarValue>| {
            let key: Arc<dyn PhysicalExpr> =
                Arc::new(CastExpr::new(col("k", &schema).unwrap(), data_type, None));
            let list = values.into_iter().map(lit).collect();
            let filter = in_list(key, list, &false, &schema).unwrap();
            let keys = join_keys(&[filter], &[0], &schema, &[vec![0]])?;
            Some(
                format!("{:?}", ScalarValue::try_from_array(keys.values.column(0), 0).ok())
                    + &keys.values.num_rows().to_string(),
            )
        };
        let wide = |value: i64| ScalarValue::Int64(Some(value));
        // 2^40 is no value of the column: it is left out, and the other key is still looked up.
        assert_eq!(
            keys_of(DataType::Int64, vec![wide(7), wide(1 << 40)]).unwrap(),
            "Some(Int32(7))1"
        );
        assert_eq!(keys_of(DataType::Int16, vec![ScalarValue::Int16(Some(7))]), None);
        assert_eq!(
            keys_of(DataType::Float64, vec![ScalarValue::Float64(Some(7.0))]),
            None
        );
    }

    #[test]
    fn smallest_of_several_joins_wins() {
        let both = binary(
            a_in(&[Some(1), Some(2)]),
            Operator::And,
            a_in(&[Some(2)]),
            &output(),
        )
        .unwrap();
        assert_eq!(find(both), Some(vec![2]));
    }
}
