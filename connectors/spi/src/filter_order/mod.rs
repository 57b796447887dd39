//! Filters that decide first what is cheap to decide.
//!
//! DataFusion decides the conditions of a filter from left to right, and once few rows have passed copies all columns of
//! these for the next condition. Where a condition compares numbers or moments, to decide it for all rows costs less than
//! to leave rows out; and what is left for texts and functions then are the rows that passed, in the columns they look at.

mod conditions;

use std::fmt;
use std::sync::Arc;

use datafusion::common::stats::Statistics;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

use conditions::Conditions;

/// The optimised `plan`, with the filters of several conditions in the order of what these cost.
pub fn cheap_conditions_first(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let ordered = plan.transform_up(|plan| {
        let ordered = match plan.downcast_ref::<FilterExec>() {
            Some(filter) => OrderedFilterExec::over(filter)?,
            None => None,
        };
        Ok(match ordered {
            Some(ordered) => Transformed::yes(Arc::new(ordered) as Arc<dyn ExecutionPlan>),
            None => Transformed::no(plan),
        })
    });
    ordered.data()
}

/// The filter that `plan` is, whatever the order it runs in.
pub(crate) fn filter_of(plan: &dyn ExecutionPlan) -> Option<&FilterExec> {
    let ordered = plan.downcast_ref::<OrderedFilterExec>();
    ordered
        .map(|ordered| &ordered.planned)
        .or_else(|| plan.downcast_ref::<FilterExec>())
}

/// A filter that looks to others as it was planned, and runs in another order.
#[derive(Debug)]
struct OrderedFilterExec {
    planned: FilterExec,
    ordered: FilterExec,
}

impl OrderedFilterExec {
    /// `None` if there is nothing to order.
    fn over(planned: &FilterExec) -> Result<Option<Self>> {
        let schema = planned.input().schema();
        let Some(conditions) = Conditions::of(planned.predicate(), &schema) else {
            return Ok(None);
        };
        let ordered = FilterExecBuilder::from(planned).with_predicate(Arc::new(conditions));
        Ok(Some(Self {
            planned: planned.clone(),
            ordered: ordered.build()?,
        }))
    }
}

impl DisplayAs for OrderedFilterExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.planned.fmt_as(format, f)
    }
}

impl ExecutionPlan for OrderedFilterExec {
    fn name(&self) -> &str {
        self.planned.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.planned.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        ExecutionPlan::maintains_input_order(&self.planned)
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.planned.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.planned.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planned = Arc::new(self.planned.clone()).replace_children(children, options)?;
        match planned.downcast_ref::<FilterExec>().map(Self::over) {
            Some(ordered) => Ok(match ordered? {
                Some(ordered) => Arc::new(ordered),
                None => planned,
            }),
            None => internal_err!("a filter with another input is no filter"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.ordered.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.ordered.metrics()
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.planned.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.planned.statistics_from_inputs(inputs, args)
    }

    fn fetch(&self) -> Option<usize> {
        self.planned.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.planned.cardinality_effect()
    }
}
