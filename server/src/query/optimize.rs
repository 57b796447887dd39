//! DataFusion's rules over a plan, none of which begins once the statement is over.
//!
//! Planning is synchronous: nothing can stop it from outside. Between rules, and at each node that a rule looks at, it
//! asks whether anybody still waits for it.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::constants;
use crate::error::QueryError;
use crate::session::CancelToken;
use crate::sqlstate::SqlState;

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
        self.rule.rewrite(plan, config)
    }
}
