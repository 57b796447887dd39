//! Which side of a join is the outer one, where its table should be looked up though the other side is to be read first.
//!
//! DataFusion builds a hash table of the side that it believes to be smaller, and hands the table that is read then a list of
//! keys. Where there are too many keys for a list, or too many bytes for a hash table, the sides change: the larger one is
//! looked up as the inner side of a [`super::LookupJoinExec`].

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::choice::fits;
use super::inner::Inner;
use super::may_look;

/// Has joins read their outer side in a stream where it is too large for a list of keys or for a hash table. It comes right
/// behind DataFusion's rule that chooses the sides.
#[derive(Debug, Default)]
pub(crate) struct StreamedOuterSides;

impl PhysicalOptimizerRule for StreamedOuterSides {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else {
                return Ok(Transformed::no(node));
            };
            Ok(match streamed(join)? {
                Some(plan) => Transformed::yes(plan),
                None => Transformed::no(node),
            })
        })?;
        Ok(changed.data)
    }

    fn name(&self) -> &'static str {
        "streamed_outer_sides"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `join` with its sides changed, where its left side is better read in a stream.
fn streamed(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let has_none_above = join.projection.is_none();
    if !has_none_above || !may_look(join, &join.join_type().swap()) {
        return Ok(None);
    }
    let on = join.on().iter().map(|(left, right)| (right, left));
    let Some(inner) = Inner::of(join.right(), on) else {
        return Ok(None);
    };
    let Some(leaf) = inner.leaf() else {
        return Ok(None);
    };
    let statistics = StatisticsContext::new().compute(join.left().as_ref(), &StatisticsArgs::new())?;
    let (Some(&rows), bytes) = (
        statistics.num_rows.get_value(),
        statistics.total_byte_size.get_value().copied(),
    ) else {
        return Ok(None);
    };
    let limits = &leaf.settings().lookup_joins;
    let is_too_long_a_list = rows > limits.list_keys && rows <= leaf.keys_max_of(inner.key);
    let is_too_large = bytes.is_some_and(|bytes| bytes > limits.inner_bytes) && !fits(leaf);
    match is_too_long_a_list || is_too_large {
        true => join.swap_inputs(*join.partition_mode()).map(Some),
        false => Ok(None),
    }
}
