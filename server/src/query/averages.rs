//! Averages of numerics and integers, as the quotients that they are: of a sum and a number of values, which the query often
//! asks for beside them, and which a source may compute.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast,
};

use super::functions::whole_sum;
use super::numerics::{BIGINT_DIGITS, QUOTIENT_SCALE, decimal, digits, quotient, rescaled};

/// An aggregate in which sums and counts stand for averages.
pub(super) struct Averages {
    /// The aggregate as it is planned.
    planned: Aggregate,
    /// The one in its place.
    sums: Aggregate,
    /// What the results of `planned` are, in their order.
    results: Vec<Outcome>,
}

/// By the positions of aggregates of [`Averages::sums`].
enum Outcome {
    Same(usize),
    Average {
        sum: usize,
        count: usize,
        data_type: DataType,
    },
}

impl Averages {
    /// Those of `plan`, if it is an aggregate that has one.
    pub(super) fn of(plan: &LogicalPlan) -> Result<Option<Self>> {
        let LogicalPlan::Aggregate(planned) = plan else {
            return Ok(None);
        };
        let calls: Vec<_> = planned
            .aggr_expr
            .iter()
            .map(|expr| average(expr, planned))
            .collect();
        if calls.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut sums: Vec<Expr> = Vec::new();
        let results = planned
            .aggr_expr
            .iter()
            .zip(calls)
            .map(|(expr, call)| match call {
                Some((params, data_type)) => Outcome::Average {
                    sum: position(&mut sums, call_of(whole_sum(), params)),
                    count: position(&mut sums, call_of(count_udaf(), params)),
                    data_type,
                },
                None => Outcome::Same(position(&mut sums, expr.clone())),
            });
        let results = results.collect();
        let sums = Aggregate::try_new(Arc::clone(&planned.input), planned.group_expr.clone(), sums)?;
        Ok(Some(Self {
            planned: planned.clone(),
            sums,
            results,
        }))
    }

    pub(super) fn sums(&self) -> LogicalPlan {
        LogicalPlan::Aggregate(self.sums.clone())
    }

    /// The planned results above `sums`, which are [`Averages::sums`] with the types that the law wants.
    pub(super) fn above(self, sums: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::clone(sums.schema());
        let groups = schema.fields().len() - self.sums.aggr_expr.len();
        let found: Vec<Expr> = schema.iter().map(Expr::from).collect();
        let column = |position: usize| found.get(groups + position).cloned();
        let mut columns: Vec<Expr> = found.iter().take(groups).cloned().collect();
        columns.retain(|column| !is_grouping_id(column));
        // The planned schema may have a grouping id more.
        let planned = self.planned.schema.fields().len() - self.planned.aggr_expr.len();
        let planned = self.planned.schema.iter().skip(planned);
        for ((qualifier, field), outcome) in planned.zip(self.results) {
            let result = match outcome {
                Outcome::Same(position) => column(position),
                Outcome::Average {
                    sum,
                    count,
                    data_type,
                } => column(sum)
                    .zip(column(count))
                    .and_then(|(sum, count)| quotient(&as_numeric(sum, &schema), &count, &schema))
                    .map(|quotient| {
                        cast(quotient, data_type).alias_qualified(qualifier.cloned(), field.name())
                    }),
            };
            let Some(result) = result else {
                return internal_err!("{} has no sum and no number of values", field.name());
            };
            columns.push(result);
        }
        LogicalPlanBuilder::from(sums).project(columns)?.build()
    }
}

/// What an average is of, and its type, if `expr` is one of numerics or of integers. Of distinct values there is no sum that
/// others would ask for, and what is computed twice must be the same twice.
fn average<'a>(expr: &'a Expr, node: &Aggregate) -> Option<(&'a AggregateFunctionParams, DataType)> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else {
        return None;
    };
    let AggregateFunctionParams {
        args,
        distinct: false,
        order_by,
        null_treatment: None,
        ..
    } = params
    else {
        return None;
    };
    let [arg] = args.as_slice() else {
        return None;
    };
    if func.name() != "avg" || !order_by.is_empty() || expr.is_volatile() {
        return None;
    }
    let (precision, scale) = digits(&arg.get_type(node.input.schema()).ok()?)?;
    let wanted = scale.max(QUOTIENT_SCALE);
    // It is not longer before the point than the longest value.
    Some((params, decimal(rescaled(precision, scale, wanted), wanted)))
}

fn call_of(function: Arc<AggregateUDF>, params: &AggregateFunctionParams) -> Expr {
    Expr::AggregateFunction(AggregateFunction {
        func: function,
        params: params.clone(),
    })
}

/// The sum of small integers is a bigint, whose quotients are whole.
fn as_numeric(sum: Expr, schema: &DFSchema) -> Expr {
    match sum.get_type(schema) {
        Ok(DataType::Int64) => cast(sum, decimal(BIGINT_DIGITS, 0)),
        _ => sum,
    }
}

/// Whether `column` is one that the planner has for `grouping` alone, until it puts what that is in its place.
pub(super) fn is_grouping_id(column: &Expr) -> bool {
    matches!(column, Expr::Column(column) if column.name == Aggregate::INTERNAL_GROUPING_ID)
}

/// Where `expr` stands among `exprs`, at their end if it did not.
fn position(exprs: &mut Vec<Expr>, expr: Expr) -> usize {
    let known = exprs.iter().position(|known| *known == expr);
    known.unwrap_or_else(|| {
        exprs.push(expr);
        exprs.len() - 1
    })
}
