//! Orders that an operator needs and its input does not show.
//!
//! DataFusion moves a sort into the parts of a union and forgets, where one part gives a column twice, that the second is in
//! the same order as the first. Its last rule would refuse such a plan: what it would not find in order is sorted.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};

/// Sorts the inputs whose order does not hold.
#[derive(Debug)]
pub(super) struct OrdersThatHold;

impl PhysicalOptimizerRule for OrdersThatHold {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(with_sorted_inputs).data()
    }

    fn name(&self) -> &'static str {
        "orders_that_hold"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_sorted_inputs(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let mut inputs: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().map(Arc::clone).collect();
    let mut sorted = false;
    for (input, needed) in inputs.iter_mut().zip(plan.required_input_ordering()) {
        let Some(needed) = needed else { continue };
        let needed = needed.into_single();
        let properties = input.equivalence_properties();
        if !properties.ordering_satisfy_requirement(needed.clone())? {
            let several = input.output_partitioning().partition_count() > 1;
            let sort = SortExec::new(LexOrdering::from(needed), Arc::clone(input));
            *input = Arc::new(sort.with_preserve_partitioning(several));
            sorted = true;
        }
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    match sorted {
        true => Ok(Transformed::yes(plan.replace_children(inputs, options)?)),
        false => Ok(Transformed::no(plan)),
    }
}
