//! Scalar subqueries: one that finds several rows is 21000, one that finds none is NULL, as in PostgreSQL.
//!
//! DataFusion takes a correlated one only if it is an aggregate, so that it can become a join, and believes that one over
//! a column without NULLs has none. Both become an aggregate here: of a function that wants no more than one row.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::logical_plan::{Projection, Subquery, SubqueryAlias};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, LogicalPlan, LogicalPlanBuilder, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Makes aggregates of scalar subqueries that are none and need to be one.
#[derive(Debug)]
pub(super) struct SingleValues;

impl AnalyzerRule for SingleValues {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            plan.map_expressions(|expr| {
                if !expr.exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(_))))? {
                    return Ok(Transformed::no(expr));
                }
                expr.transform_up(|expr| match expr {
                    Expr::ScalarSubquery(subquery) if needs_one_row(&subquery) => {
                        Ok(Transformed::yes(Expr::ScalarSubquery(with_one_row(subquery)?)))
                    }
                    other => Ok(Transformed::no(other)),
                })
            })
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "single_values"
    }
}

/// Whether the engine would refuse `subquery`, since nothing in its text says that it has one row at most, or lose its NULL.
fn needs_one_row(subquery: &Subquery) -> bool {
    if subquery.outer_ref_columns.is_empty() {
        return may_be_null_unseen(&subquery.subquery);
    }
    let mut plan = subquery.subquery.as_ref();
    loop {
        plan = match plan {
            LogicalPlan::Projection(inner) => inner.input.as_ref(),
            LogicalPlan::SubqueryAlias(inner) => inner.input.as_ref(),
            LogicalPlan::Sort(inner) if inner.fetch.is_none() => inner.input.as_ref(),
            LogicalPlan::Filter(inner) => inner.input.as_ref(),
            LogicalPlan::Aggregate(_) | LogicalPlan::Limit(_) => return false,
            _ => return true,
        };
    }
}

/// Whether `plan` may have no row while its column says that it is never NULL. `count(*)` without groups always has one.
fn may_be_null_unseen(plan: &LogicalPlan) -> bool {
    let says_never = plan
        .schema()
        .fields()
        .first()
        .is_some_and(|field| !field.is_nullable());
    let mut plan = plan;
    while let LogicalPlan::Projection(Projection { input, .. })
    | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) = plan
    {
        plan = input;
    }
    let one_row = match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(relation) => relation.produce_one_row,
        _ => false,
    };
    says_never && !one_row
}

fn with_one_row(subquery: Subquery) -> Result<Subquery> {
    let plan = Arc::unwrap_or_clone(subquery.subquery);
    let (qualifier, field) = plan.schema().qualified_field(0);
    let column = Column::from((qualifier, field));
    let name = field.name().clone();
    let one = AggregateUDF::new_from_impl(SingleValue::default())
        .call(vec![Expr::Column(column)])
        .alias(&name);
    let aggregated = LogicalPlanBuilder::from(plan)
        .aggregate(Vec::<Expr>::new(), vec![one])?
        .build()?;
    Ok(Subquery {
        subquery: Arc::new(aggregated),
        ..subquery
    })
}

/// The value of the only row, or NULL when there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl Default for SingleValue {
    fn default() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &'static str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            _ => internal_err!("single_value takes one argument"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new("value", args.return_field.data_type().clone(), true)),
            Arc::new(Field::new("rows", DataType::Int64, false)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One {
            value: ScalarValue::try_from(args.return_field.data_type())?,
            rows: 0,
        }))
    }
}

#[derive(Debug)]
struct One {
    value: ScalarValue,
    rows: i64,
}

impl One {
    fn add(&mut self, values: &ArrayRef, row: usize, rows: i64) -> Result<()> {
        self.rows += rows;
        if self.rows > 1 {
            return Err(DataFusionError::External(Box::new(QueryError::new(
                SqlState::CARDINALITY_VIOLATION,
                "more than one row returned by a subquery used as an expression",
            ))));
        }
        if rows > 0 {
            self.value = ScalarValue::try_from_array(values, row)?;
        }
        Ok(())
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for values in values {
            for row in 0..values.len() {
                self.add(values, row, 1)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, rows] = states else {
            return internal_err!("single_value has two states");
        };
        for (row, count) in rows.as_primitive::<Int64Type>().iter().enumerate() {
            self.add(values, row, count.unwrap_or(0))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }
}
