//! Keys that stand twice in the order of DISTINCT ON: the second one decides nothing, and the aggregate that DataFusion makes
//! of it panics over it.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::logical_plan::{Distinct, DistinctOn};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Leaves out the keys that stand twice.
#[derive(Debug)]
pub(super) struct EachKeyOnce;

impl AnalyzerRule for EachKeyOnce {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Distinct(Distinct::On(on)) = plan else {
                return Ok(Transformed::no(plan));
            };
            let sort_expr = on.sort_expr.map(once);
            let on = DistinctOn { sort_expr, ..on };
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "each_key_once"
    }
}

fn once(keys: Vec<Sort>) -> Vec<Sort> {
    let mut seen: Vec<Expr> = Vec::new();
    let mut keys = keys;
    keys.retain(|key| {
        let is_new = !seen.contains(&key.expr);
        seen.push(key.expr.clone());
        is_new
    });
    keys
}
