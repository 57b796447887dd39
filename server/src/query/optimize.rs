//! DataFusion's rules over a plan, none of which begins once the statement is over.
//!
//! Planning is synchronous: nothing can stop it from outside. Between rules, and at each node that a rule looks at, it
//! asks whether anybody still waits for it.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::constants;
use crate::error::QueryError;
use crate::session::CancelToken;
use crate::sqlstate::SqlState;

/// The rule that moves filters down, and the one that makes groups of what is distinct.
const PUSH_DOWN_FILTER: &str = "push_down_filter";
const SINGLE_DISTINCT: &str = "single_distinct_aggregation_to_group_by";

/// The optimised plan. Errors: 57014, `over` has fired.
pub(super) fn optimize(state: &SessionState, plan: &LogicalPlan, over: &CancelToken) -> Result<LogicalPlan> {
    let analyzed = state
        .analyzer()
        .execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    check(over)?;
    constants::check(&analyzed, state)?;
    let rules = state.optimizers().iter().map(|rule| {
        let stoppable = Stoppable {
            rule: Arc::clone(rule),
            over: over.clone(),
        };
        Arc::new(stoppable) as Arc<dyn OptimizerRule + Send + Sync>
    });
    Optimizer::with_rules(rules.collect()).optimize(analyzed, state, |_, _| {})
}

fn check(over: &CancelToken) -> Result<()> {
    if !over.is_cancelled() {
        return Ok(());
    }
    let error = QueryError::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    );
    Err(DataFusionError::External(Box::new(error)))
}

/// Whether `plan` aggregates a sum of numerics beside what is distinct. The rule would make it the sum of sums, which is of
/// another type than the conditions above it were planned for.
fn sums_numerics(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = plan else {
        return false;
    };
    aggregate.aggr_expr.iter().any(|expr| match expr {
        Expr::AggregateFunction(call) if call.func.name() == "sum" && !call.params.distinct => {
            matches!(expr.get_type(aggregate.input.schema()), Ok(found) if found.is_decimal())
        }
        _ => false,
    })
}

/// Whether `plan` filters by a condition without columns what has a row without any row below it: an aggregate without groups,
/// or an empty grouping set. Below them it would not drop that row.
fn is_constant_above_groups(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else {
        return false;
    };
    let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref() else {
        return false;
    };
    matches!(aggregate.group_expr.first(), None | Some(Expr::GroupingSet(_)))
        && split_conjunction(&filter.predicate)
            .iter()
            .any(|part| !part.any_column_refs())
}

/// Whether `plan` filters the one row of an aggregate without groups, perhaps with others between. The rule makes one of their
/// conditions, which may be false by itself, and such a one it would move below the aggregate.
fn is_above_one_row(plan: &LogicalPlan) -> bool {
    if !matches!(plan, LogicalPlan::Filter(_)) {
        return false;
    }
    let mut plan = plan;
    loop {
        plan = match plan {
            LogicalPlan::Filter(inner) => inner.input.as_ref(),
            LogicalPlan::Projection(inner) => inner.input.as_ref(),
            LogicalPlan::SubqueryAlias(inner) => inner.input.as_ref(),
            LogicalPlan::Aggregate(aggregate) => return aggregate.group_expr.is_empty(),
            _ => return false,
        };
    }
}

#[derive(Debug)]
struct Stoppable {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    over: CancelToken,
}

impl OptimizerRule for Stoppable {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        check(&self.over)?;
        let is_wrong = match self.rule.name() {
            SINGLE_DISTINCT => sums_numerics(&plan),
            PUSH_DOWN_FILTER => is_constant_above_groups(&plan) || is_above_one_row(&plan),
            _ => false,
        };
        if is_wrong {
            return Ok(Transformed::no(plan));
        }
        self.rule.rewrite(plan, config)
    }
}
