//! The order of inner joins, by cost: DataFusion joins tables in the order in which they are written.
//!
//! - A *cluster* is a tree of inner hash joins by plain columns; its *leaves* are whatever else is joined: scans, aggregates, outer
//!   joins. Which of them are joined first makes no difference to the rows.
//! - The rows of each set of leaves are estimated from their statistics; the number of rows of one that is unknown stays unknown,
//!   and the order as it is written.
//! - A join costs the rows that it builds, reads and gives, a leaf those that are moved: a source's rows are dear, unless a join finds
//!   them by keys.
//! - The order changes where it is cheaper by far, since all of this is an estimate.

mod cluster;
mod cost;
mod rows;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use cluster::Cluster;
use cost::{Order, cheapest, cost_of};
use rows::Estimates;

/// Fewest leaves of which there is an order to choose: which side of a join is which is chosen afterwards.
const LEAVES_MIN: usize = 3;
/// The share of the written order's cost below which another one is taken.
const GAIN_MIN: f64 = 0.7;

/// Joins tables in the order that costs the least. It comes before DataFusion's rule that chooses the sides.
#[derive(Debug, Default)]
pub(crate) struct JoinOrder;

impl PhysicalOptimizerRule for JoinOrder {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match config.optimizer.join_reordering {
            true => ordered(plan),
            false => Ok(plan),
        }
    }

    fn name(&self) -> &'static str {
        "join_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `plan`, each cluster of which is joined in the cheapest order.
fn ordered(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(mut cluster) = Cluster::of(&plan).filter(|cluster| cluster.leaves.len() >= LEAVES_MIN) else {
        let below = plan.map_children(|child| {
            let ordered = ordered(Arc::clone(&child))?;
            let changed = !Arc::ptr_eq(&child, &ordered);
            Ok(Transformed::new_transformed(ordered, changed))
        })?;
        return Ok(below.data);
    };
    let mut changed = false;
    for leaf in &mut cluster.leaves {
        let ordered = ordered(Arc::clone(leaf))?;
        changed |= !Arc::ptr_eq(leaf, &ordered);
        *leaf = ordered;
    }
    let written = cluster.written.clone();
    let order = match better(&cluster, &written)? {
        Some(order) => order,
        None if changed => written,
        None => return Ok(plan),
    };
    cluster.joined(&order, &plan.schema())
}

/// An order that costs much less than the written one.
fn better(cluster: &Cluster, written: &Order) -> Result<Option<Order>> {
    let Some(estimates) = Estimates::of(cluster)? else {
        return Ok(None);
    };
    let Some((order, cost)) = cheapest(&estimates) else {
        return Ok(None);
    };
    let is_better = cost < GAIN_MIN * cost_of(written, &estimates);
    Ok(is_better.then_some(order))
}
