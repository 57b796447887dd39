//! Keys of joins that DataFusion's rules would lose, or compare as others.
//!
//! A tree of inner joins is taken apart and joined anew by the keys that fit, all of which compare NULLs as the join at the top
//! does. A key of columns of several inputs fits nowhere when one of these is joined before the others, and was dropped. And an
//! equality that moved into a join by IS NOT DISTINCT FROM became one of its keys: NULL was equal to NULL.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::{Expr, Join, Limit, LogicalPlan};

/// What `rule`, which joins trees of inner joins anew, makes of `plan`: no tree has keys that it would not keep as they are.
pub(super) fn with_whole_trees(
    plan: LogicalPlan,
    rule: impl FnOnce(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.inputs().into_iter().any(|input| is_apart(node, input));
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    if !found {
        return rule(plan);
    }
    let fenced = plan.transform_up_with_subqueries(fenced).data()?;
    let changed = rule(fenced)?;
    let opened = changed.data.transform_up_with_subqueries(|node| Ok(opened(node)));
    Ok(Transformed::new_transformed(opened.data()?, changed.transformed))
}

/// What `rule`, which finds keys in conditions, makes of the join `plan`.
pub(super) fn with_like_keys(
    plan: LogicalPlan,
    rule: impl FnOnce(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(mut join) if join.null_equality == NullEquality::NullEqualsNull => {
            if !join.on.is_empty() {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            }
            join.null_equality = NullEquality::NullEqualsNothing;
            rule(LogicalPlan::Join(join))
        }
        plan => rule(plan),
    }
}

/// Whether `input` is a join that must not become part of one tree with `plan`, which is above it.
fn is_apart(plan: &LogicalPlan, input: &LogicalPlan) -> bool {
    let Some(inner) = inner_join(input) else {
        return false;
    };
    match plan {
        // The rule makes keys of equalities.
        LogicalPlan::Filter(_) => inner.null_equality == NullEquality::NullEqualsNull,
        plan => inner_join(plan).is_some_and(|join| {
            let mut keys = join.on.iter().flat_map(|(one, other)| [one, other]);
            join.null_equality != inner.null_equality || keys.any(|key| is_of_several(key, input))
        }),
    }
}

/// Whether the columns of `key` are those of several inputs of the joins at the top of `plan`.
fn is_of_several(key: &Expr, plan: &LogicalPlan) -> bool {
    let columns = key.column_refs();
    let is_of = |plan: &LogicalPlan| columns.iter().all(|column| plan.schema().has_column(column));
    if !is_of(plan) {
        return false;
    }
    let mut plan = plan;
    while let Some(join) = inner_join(plan) {
        plan = match (is_of(&join.left), is_of(&join.right)) {
            (true, _) => &join.left,
            (false, true) => &join.right,
            (false, false) => return true,
        };
    }
    false
}

fn inner_join(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => Some(join),
        _ => None,
    }
}

/// `plan` with a limit of all rows between it and the joins that stay apart: the rule takes no limit apart.
fn fenced(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let apart: Vec<bool> = plan
        .inputs()
        .into_iter()
        .map(|input| is_apart(&plan, input))
        .collect();
    if !apart.contains(&true) {
        return Ok(Transformed::no(plan));
    }
    let mut apart = apart.into_iter();
    plan.map_children(|input| {
        Ok(match apart.next() {
            Some(true) => Transformed::yes(LogicalPlan::Limit(Limit {
                skip: None,
                fetch: None,
                input: Arc::new(input),
            })),
            _ => Transformed::no(input),
        })
    })
}

/// `plan` without the limit, if it is one of all rows.
fn opened(plan: LogicalPlan) -> Transformed<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(Limit {
            skip: None,
            fetch: None,
            input,
        }) => Transformed::yes(Arc::unwrap_or_clone(input)),
        plan => Transformed::no(plan),
    }
}
