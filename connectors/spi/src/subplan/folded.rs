//! What is sent together with an operator above it only: a union, which is read faster part by part, and a join that gives
//! more than its sides are.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::logical_plan::{Projection, SubqueryAlias};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::input::Input;
use super::{join, union};

/// `plan`, in which a union or a join below nothing but names and computed columns is a scan; `None` where there is none
/// that its source computes.
pub(super) fn folded(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Projection(node) => match folded(&node.input)? {
            Some(input) => {
                let schema = Arc::clone(&node.schema);
                let projection = Projection::try_new_with_schema(node.expr.clone(), Arc::new(input), schema)?;
                Some(LogicalPlan::Projection(projection))
            }
            None => None,
        },
        LogicalPlan::SubqueryAlias(node) => match folded(&node.input)? {
            Some(input) => {
                let alias = SubqueryAlias::try_new(Arc::new(input), node.alias.clone())?;
                Some(LogicalPlan::SubqueryAlias(alias))
            }
            None => None,
        },
        LogicalPlan::Union(node) => union::fold(node)?,
        LogicalPlan::Join(node) => join::fold(node)?,
        _ => None,
    })
}

/// One of the inputs of a union or a join, as a scan if it can be one.
pub(super) fn side(plan: &LogicalPlan) -> Result<Cow<'_, LogicalPlan>> {
    if Input::of(plan).is_some() {
        return Ok(Cow::Borrowed(plan));
    }
    Ok(folded(plan)?.map_or(Cow::Borrowed(plan), Cow::Owned))
}

/// The columns of `plan`, as expressions.
pub(super) fn columns_of(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema().columns().into_iter().map(Expr::Column)
}
