//! Filters on key columns: which are decided on the key alone, and the deciding itself.
//!
//! A filter that only compares key columns with constants cannot fail and needs no value, so it is applied to the
//! decoded key before anything is fetched, by DataFusion's own expressions: exactly what the engine would do. The
//! list of what is allowed is closed; anything that might fail on a key that is no row stays with the engine.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::and_kleene;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use causeway_spi::{Filter, Pushdown, Result};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use crate::access::{AccessPath, Candidates};
use crate::definition::TableDefinition;
use crate::key::{KeyTuple, KeyType, internal};
use crate::key_order::KeyOrder;
use crate::ordered_key::OrderedKey;

/// Deeper filters are left to the engine: evaluating them here would use stack for each level.
const FILTER_DEPTH_MAX: usize = 400;

const ON_KEY: &str = "decided on the key before its value is read";
const NOT_ALLOWED: &str = "only comparisons, IN, LIKE and NULL tests of key columns are decided on the key";

/// The key columns of a table as filters see them.
#[derive(Debug, Clone)]
pub struct KeyColumns {
    schema: SchemaRef,
    filter_schema: DFSchema,
    types: Vec<KeyType>,
}

impl KeyColumns {
    pub(crate) fn new(definition: &TableDefinition) -> Self {
        Self::over(definition.template().columns())
    }

    /// The key columns `columns`, in the order of the key.
    pub fn over<'a>(columns: impl Iterator<Item = (&'a str, KeyType)>) -> Self {
        let (fields, types): (Vec<Field>, Vec<KeyType>) = columns
            .map(|(name, key_type)| (Field::new(name, key_type.data_type(), false), key_type))
            .unzip();
        let schema = Arc::new(Schema::new(fields));
        let filter_schema = DFSchema::try_from(Arc::clone(&schema)).expect("a key names each column once");
        Self {
            schema,
            filter_schema,
            types,
        }
    }

    /// The verdict on `filter`; `value_reason` says why filters on other columns stay with the engine.
    pub fn verdict(&self, filter: &Filter, value_reason: &'static str) -> Pushdown {
        let on_key = |name: &str| self.schema.index_of(name).is_ok();
        if !filter
            .expr()
            .column_refs()
            .iter()
            .all(|column| on_key(&column.name))
        {
            let keys: Vec<&str> = self
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let hint = format!(
                "Conditions on the key ({}) find rows without reading the others.",
                keys.join(", ")
            );
            return Pushdown::declined(value_reason).hint(hint);
        }
        match self.compile_one(filter) {
            Some(_) => Pushdown::exact(ON_KEY),
            None => Pushdown::declined(NOT_ALLOWED),
        }
    }

    /// The predicate of all `filters` over a table whose keys have the binary form, in order.
    pub fn compile_ordered<'a>(
        &self,
        filters: impl Iterator<Item = &'a Filter>,
        key: &OrderedKey,
    ) -> Result<KeyPredicate> {
        self.compile(filters, Some(key))
    }

    /// Makes the predicate of all `filters` together. A filter whose verdict is not Exact: `Internal`.
    pub(crate) fn compile<'a>(
        &self,
        filters: impl Iterator<Item = &'a Filter>,
        order: Option<&dyn KeyOrder>,
    ) -> Result<KeyPredicate> {
        let mut expressions = Vec::new();
        let mut candidates = Candidates::any();
        for filter in filters {
            let (expr, physical) = self.compile_one(filter).ok_or_else(|| {
                internal(format!(
                    "filter {filter} was pushed to a key-value source, which cannot apply it"
                ))
            })?;
            candidates = candidates.and(Candidates::of(&expr, &self.schema, &self.types));
            expressions.push(physical);
        }
        Ok(KeyPredicate {
            schema: Arc::clone(&self.schema),
            types: self.types.clone(),
            expressions,
            access: candidates.into_access(self.types.len(), order),
        })
    }

    fn compile_one(&self, filter: &Filter) -> Option<(Expr, Arc<dyn PhysicalExpr>)> {
        if !is_shallow(filter.expr()) {
            return None;
        }
        let coerced = filter
            .expr()
            .clone()
            .rewrite(&mut TypeCoercionRewriter::new(&self.filter_schema))
            .ok()?;
        let expr = coerced
            .data
            .transform_up(|node| Ok(fold_literal_cast(node)))
            .ok()?
            .data;
        if !self.is_allowed(&expr) || expr.get_type(&self.filter_schema).ok()? != DataType::Boolean {
            return None;
        }
        let planning = PhysicalPlanningContext::default();
        let physical =
            create_physical_expr(&expr, &self.filter_schema, &ExecutionProps::new(), &planning).ok()?;
        // Kernels check types even without rows: what they refuse must not be promised.
        physical
            .evaluate(&RecordBatch::new_empty(Arc::clone(&self.schema)))
            .ok()?;
        Some((expr, physical))
    }

    /// Whether `expr` is made of allowed parts only: none of them can fail or depends on anything but the key.
    fn is_allowed(&self, expr: &Expr) -> bool {
        let mut waiting = vec![expr];
        while let Some(expr) = waiting.pop() {
            match expr {
                Expr::Literal(..) | Expr::Column(_) => {}
                Expr::Cast(cast) => match cast.expr.as_ref() {
                    Expr::Column(column) if self.is_safe_cast(&column.name, cast.field.data_type()) => {}
                    _ => return false,
                },
                Expr::BinaryExpr(binary) if is_allowed_operator(binary.op) => {
                    waiting.extend([binary.left.as_ref(), binary.right.as_ref()]);
                }
                Expr::Not(inner)
                | Expr::IsNull(inner)
                | Expr::IsNotNull(inner)
                | Expr::IsTrue(inner)
                | Expr::IsNotTrue(inner)
                | Expr::IsFalse(inner)
                | Expr::IsNotFalse(inner)
                | Expr::IsUnknown(inner)
                | Expr::IsNotUnknown(inner) => waiting.push(inner),
                Expr::Between(between) => {
                    waiting.extend([between.expr.as_ref(), between.low.as_ref(), between.high.as_ref()])
                }
                Expr::Like(like) if like.escape_char.is_none() => {
                    waiting.extend([like.expr.as_ref(), like.pattern.as_ref()]);
                }
                Expr::InList(list) if list.list.iter().all(|item| matches!(item, Expr::Literal(..))) => {
                    waiting.push(&list.expr);
                }
                _ => return false,
            }
        }
        true
    }

    /// Whether every value of the key column `name` can be cast to `target`.
    fn is_safe_cast(&self, name: &str, target: &DataType) -> bool {
        let Ok(index) = self.schema.index_of(name) else {
            return false;
        };
        let digits = match self.types[index] {
            KeyType::SmallInt => 5,
            KeyType::Integer => 10,
            KeyType::BigInt => 19,
            KeyType::Text => {
                return matches!(target, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            }
            KeyType::Date => return *target == DataType::Date32,
            KeyType::Boolean
            | KeyType::Timestamp
            | KeyType::TimestampTz
            | KeyType::Numeric { .. }
            | KeyType::Bytea => return false,
        };
        match target {
            DataType::Int32 => digits <= 10,
            DataType::Int64 | DataType::Float64 => true,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                *scale >= 0 && i16::from(*precision) - i16::from(*scale) >= digits
            }
            _ => false,
        }
    }
}

/// What the filters of one scan say about keys.
#[derive(Debug)]
pub struct KeyPredicate {
    schema: SchemaRef,
    types: Vec<KeyType>,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    access: AccessPath,
}

impl KeyPredicate {
    /// How the keys that may pass are found. What is found still has to pass [`KeyPredicate::mask`].
    pub fn access(&self) -> &AccessPath {
        &self.access
    }

    /// Whether each of `tuples` passes every filter.
    pub(crate) fn passes(&self, tuples: &[KeyTuple]) -> Result<Vec<bool>> {
        if self.expressions.is_empty() || tuples.is_empty() {
            return Ok(vec![true; tuples.len()]);
        }
        let columns = self.types.iter().enumerate();
        let columns = columns.map(|(position, key_type)| key_type.array(tuples, position));
        let passed = self.mask(columns.collect::<Result<_>>()?)?;
        Ok(passed.map_or_else(
            || vec![true; tuples.len()],
            |passed| passed.iter().map(|passed| passed == Some(true)).collect(),
        ))
    }

    /// Which rows pass every filter, true where they do; `None` without filters. `columns`: those of the key, in its
    /// order.
    pub fn mask(&self, columns: Vec<ArrayRef>) -> Result<Option<BooleanArray>> {
        if self.expressions.is_empty() {
            return Ok(None);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| internal("key columns do not fit their schema").source(error))?;
        let mut passed: Option<BooleanArray> = None;
        for expression in &self.expressions {
            let unusable = || internal(format!("filter {expression} cannot be evaluated"));
            let mask = expression
                .evaluate(&batch)
                .and_then(|value| value.into_array(batch.num_rows()))
                .map_err(|error| unusable().source(error))?;
            let mask = mask.as_boolean_opt().ok_or_else(unusable)?;
            let mask = match passed {
                None => mask.clone(),
                Some(passed) => and_kleene(&passed, mask).map_err(|error| unusable().source(error))?,
            };
            passed = Some(mask);
        }
        Ok(passed)
    }

    /// Whether there is any filter.
    pub fn is_filtering(&self) -> bool {
        !self.expressions.is_empty()
    }
}

fn is_allowed_operator(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Whether `expr` is at most [`FILTER_DEPTH_MAX`] levels deep. Walks with a stack of its own.
fn is_shallow(expr: &Expr) -> bool {
    let mut waiting = vec![(expr, 0)];
    while let Some((expr, depth)) = waiting.pop() {
        if depth > FILTER_DEPTH_MAX {
            return false;
        }
        let pushed = expr.apply_children(|child| {
            waiting.push((child, depth + 1));
            Ok(TreeNodeRecursion::Continue)
        });
        if pushed.is_err() {
            return false;
        }
    }
    true
}

/// Replaces the cast of a literal by its value, where it has one.
fn fold_literal_cast(expr: Expr) -> Transformed<Expr> {
    if let Expr::Cast(cast) = &expr
        && let Expr::Literal(value, metadata) = cast.expr.as_ref()
        && let Ok(folded) = value.cast_to(cast.field.data_type())
    {
        return Transformed::yes(Expr::Literal(folded, metadata.clone()));
    }
    Transformed::no(expr)
}

#[cfg(test)]
mod tests;
