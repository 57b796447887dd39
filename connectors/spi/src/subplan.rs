//! Hands the operators above scans to the sources that compute them exactly.
//!
//! This runs once over the finished logical plan, from the scans upwards: an operator over a scan whose filters are all
//! exact is offered to the scan's table ([`crate::Operators`]), and what the table gives is scanned instead. A join is offered
//! where both its sides are such scans, of one source, or one is and the other is a join with one; a union, or a join that alone would give more than its sides are, together
//! with the operator above it. It is no rule of DataFusion's list: those run until nothing
//! changes, and would push and pull at what has been derived. Filters, limits and projections that can sink further
//! afterwards do so by DataFusion's own rules, once more.

mod aggregate;
mod beside;
mod first;
mod folded;
mod input;
mod join;
mod lifted;
mod union;

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::logical_plan::Sort;
use datafusion::optimizer::OptimizerConfig;
use datafusion::optimizer::optimizer::Optimizer;

use crate::logical_rules::sinking_rules;

/// Rounds of growth: one for each operator that waits for a filter below it to sink.
const ROUNDS_MAX: usize = 8;
/// Why what names no column of the table alone is not sent.
const UNKNOWN: &str = "this expression is not sent";
/// The name of a derived scan, which no one sees: the projection above it gives the columns theirs.
const DERIVED: &str = "derived";

/// A part of an operator, or why no source is asked for it.
type Offer<T> = std::result::Result<T, Cow<'static, str>>;

/// The same plan, in which sources compute what they compute as our engine would. `plan` must be optimised already.
pub fn push_operators(mut plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    for _ in 0..ROUNDS_MAX {
        forget_refusals(&plan)?;
        let grown = plan.transform_up_with_subqueries(grow)?;
        plan = grown.data;
        if !grown.transformed {
            break;
        }
        plan = settle(plan, config)?;
    }
    Ok(plan)
}

/// What was declined in the round before may wait for a filter that has sunk since: all operators that are left are offered again.
fn forget_refusals(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = input::source_of(scan)
        {
            source.forget_refusals();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Lets filters, limits and projections sink into the new scans.
fn settle(plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    Optimizer::with_rules(sinking_rules()).optimize(plan, config, |_, _| {})
}

fn grow(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(node) => {
            let over = |input| {
                let mut node = node.clone();
                node.input = input;
                aggregate::grow(node)
            };
            match with_folded(&node.input, over)? {
                Some(grown) => Ok(grown),
                None => aggregate::grow(node),
            }
        }
        LogicalPlan::Sort(node) if node.fetch.is_some() => {
            let over = |input| {
                first::grow(Sort {
                    input,
                    ..node.clone()
                })
            };
            match with_folded(&node.input, over)? {
                Some(grown) => Ok(grown),
                None => first::grow(node),
            }
        }
        LogicalPlan::Join(node) => join::grow(node),
        other => Ok(Transformed::no(other)),
    }
}

/// What `over` makes of `input` with a scan in a union's or a join's place, if that is sent.
fn with_folded(
    input: &LogicalPlan,
    over: impl FnOnce(Arc<LogicalPlan>) -> Result<Transformed<LogicalPlan>>,
) -> Result<Option<Transformed<LogicalPlan>>> {
    let Some(folded) = folded::folded(input)? else {
        return Ok(None);
    };
    let grown = over(Arc::new(folded))?;
    Ok(grown.transformed.then_some(grown))
}
