//! Limits that DataFusion notes at what makes rows distinct, so that it stops early.
//!
//! They are for input in no order. Where the input turns out to be in the order of its groups, DataFusion takes such a limit
//! for one of the first rows in an order that nobody has named, and fails: there it is taken back, and the limit above stays.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

/// Takes limits back that are of no use any more.
#[derive(Debug)]
pub(super) struct SoftLimitsThatHold;

impl PhysicalOptimizerRule for SoftLimitsThatHold {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|plan| {
            Ok(match plan.downcast_ref::<AggregateExec>() {
                Some(aggregate) if has_stray_limit(aggregate) => {
                    let unlimited = aggregate.with_new_limit_options(None);
                    Transformed::yes(Arc::new(unlimited) as Arc<dyn ExecutionPlan>)
                }
                _ => Transformed::no(plan),
            })
        });
        rewritten.data()
    }

    fn name(&self) -> &'static str {
        "soft_limits_that_hold"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn has_stray_limit(aggregate: &AggregateExec) -> bool {
    let without_order = aggregate
        .limit_options()
        .is_some_and(|limit| limit.descending.is_none());
    without_order
        && aggregate.get_minmax_desc().is_none()
        && !aggregate.is_unordered_unfiltered_group_by_distinct()
}
