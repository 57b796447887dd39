//! DataFusion's rules over logical plans, none of which sees what it would get wrong.

mod dependencies;
mod hidden;
mod join_keys;
mod lists;
mod long_lists;
mod zeros;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Projection};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

pub use hidden::{hidden, hidden_key};
pub(crate) use hidden::{opened, term_of_two};

use dependencies::JoinsDetermineNothing;
use long_lists::LongLists;

/// The rule that joins trees of inner joins anew, by the keys that it finds.
const ELIMINATE_CROSS_JOIN: &str = "eliminate_cross_join";
const ELIMINATE_OUTER_JOIN: &str = "eliminate_outer_join";
/// The rule that finds keys in the conditions of joins.
const EXTRACT_KEYS: &str = "extract_equijoin_predicate";
/// The rule that leaves out what has no rows.
const PROPAGATE_EMPTY: &str = "propagate_empty_relation";
const PUSH_DOWN_FILTER: &str = "push_down_filter";
const SIMPLIFY: &str = "simplify_expressions";
/// The rules that ask what columns determine others.
const ASK_DEPENDENCIES: [&str; 4] = [
    "eliminate_duplicated_expr",
    "eliminate_join",
    "optimize_projections",
    "replace_distinct_aggregate",
];
/// The rule that makes groups of what is distinct.
const SINGLE_DISTINCT: &str = "single_distinct_aggregation_to_group_by";

/// The optimiser's rules of a session that reads sources, in their order.
pub fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut ours: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(LongLists::Packed)];
    for rule in Optimizer::new().rules {
        if ASK_DEPENDENCIES.contains(&rule.name()) {
            ours.push(Arc::new(JoinsDetermineNothing));
        }
        ours.push(guarded(rule));
    }
    ours.push(Arc::new(LongLists::Opened));
    ours
}

/// The rules by which filters, limits and projections sink.
pub(crate) fn sinking_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(PushDownLimit::new()),
        guarded(Arc::new(PushDownFilter::new())),
        Arc::new(JoinsDetermineNothing),
        Arc::new(OptimizeProjections::new()),
    ]
}

fn guarded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    match rule.name() {
        ELIMINATE_CROSS_JOIN | ELIMINATE_OUTER_JOIN | EXTRACT_KEYS | PROPAGATE_EMPTY | PUSH_DOWN_FILTER
        | SIMPLIFY | SINGLE_DISTINCT => Arc::new(Guarded { rule }),
        _ => rule,
    }
}

/// A rule that looks at conditions, or is wrong about some plans.
#[derive(Debug)]
struct Guarded {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
}

impl OptimizerRule for Guarded {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match self.rule.name() {
            ELIMINATE_CROSS_JOIN => join_keys::with_whole_trees(plan, |plan| self.rule.rewrite(plan, config)),
            EXTRACT_KEYS => join_keys::with_like_keys(plan, |plan| self.rule.rewrite(plan, config)),
            PROPAGATE_EMPTY => match only_part(&plan)? {
                Some(part) => Ok(Transformed::yes(part)),
                None => self.rule.rewrite(plan, config),
            },
            SINGLE_DISTINCT if sums_numerics(&plan) => Ok(Transformed::no(plan)),
            SINGLE_DISTINCT => self.rule.rewrite(plan, config),
            PUSH_DOWN_FILTER
                if is_constant_above_groups(&plan)
                    || is_above_total(&plan)
                    || may_fail_above_except(&plan) =>
            {
                Ok(Transformed::no(plan))
            }
            // Before each pass: others move conditions together in between.
            SIMPLIFY => long_lists::with_open(plan, |plan| {
                lists::apart(plan)?
                    .transform_data(zeros::typed)?
                    .transform_data(|plan| self.rule.rewrite(plan, config))
            }),
            _ => long_lists::with_open(plan, |plan| self.rule.rewrite(plan, config)),
        }
    }
}

/// The only part of the union `plan` that may have rows, under the union's names: DataFusion would look for these in the part.
fn only_part(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Union(union) = plan else {
        return Ok(None);
    };
    let is_empty = |input: &LogicalPlan| matches!(input, LogicalPlan::EmptyRelation(relation) if !relation.produce_one_row);
    let mut parts = union.inputs.iter().filter(|input| !is_empty(input));
    let (Some(part), None) = (parts.next(), parts.next()) else {
        return Ok(None);
    };
    let columns = part.schema().columns().into_iter().zip(union.schema.iter());
    let columns = columns.map(|(column, (qualifier, field))| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
    });
    let columns = columns.collect();
    let projection = Projection::try_new_with_schema(columns, Arc::clone(part), Arc::clone(&union.schema))?;
    Ok(Some(LogicalPlan::Projection(projection)))
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
    has_total(aggregate)
        && split_conjunction(&filter.predicate)
            .iter()
            .any(|part| !part.any_column_refs())
}

/// Whether `aggregate` may have a row without any row below it.
fn has_total(aggregate: &Aggregate) -> bool {
    matches!(aggregate.group_expr.first(), None | Some(Expr::GroupingSet(_)))
}

/// Whether `plan` filters the rows of such an aggregate, perhaps with other filters between. The rule makes one of their
/// conditions, which may be false by itself, and such a one it would move below the aggregate.
fn is_above_total(plan: &LogicalPlan) -> bool {
    if !matches!(plan, LogicalPlan::Filter(_)) {
        return false;
    }
    let mut plan = plan;
    loop {
        plan = match plan {
            LogicalPlan::Filter(inner) => inner.input.as_ref(),
            LogicalPlan::Projection(inner) => inner.input.as_ref(),
            LogicalPlan::SubqueryAlias(inner) => inner.input.as_ref(),
            LogicalPlan::Aggregate(aggregate) => return has_total(aggregate),
            _ => return false,
        };
    }
}

/// Whether `plan` filters what EXCEPT leaves by a condition that may be an error: of rows that it takes away it is not asked.
fn may_fail_above_except(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else {
        return false;
    };
    let LogicalPlan::Join(join) = filter.input.as_ref() else {
        return false;
    };
    let may_fail = |expr: &Expr| match expr {
        Expr::BinaryExpr(binary) => !binary.op.supports_propagation() && !binary.op.is_logic_operator(),
        Expr::Cast(_) | Expr::Negative(_) | Expr::ScalarFunction(_) => true,
        _ => false,
    };
    join.join_type == JoinType::LeftAnti
        && join.null_equality == NullEquality::NullEqualsNull
        && matches!(filter.predicate.exists(|expr| Ok(may_fail(expr))), Ok(true))
}
