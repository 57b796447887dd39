//! Rewriting the expressions of a plan. What holds nothing that a rule is about costs it one look: names are written and the
//! columns of inputs put together only for the others.

use std::cell::OnceCell;
use std::ops::Deref;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::types::with_types_of_inputs;

/// The columns that the expressions of a node see, put together when somebody looks at them.
pub(super) struct InputSchema {
    inputs: Vec<DFSchemaRef>,
    all: OnceCell<DFSchemaRef>,
}

impl InputSchema {
    /// Those of the inputs of `plan`; a scan's filters see what it gives.
    pub(super) fn of(plan: &LogicalPlan) -> Self {
        let inputs = match plan {
            LogicalPlan::TableScan(scan) => vec![Arc::clone(&scan.projected_schema)],
            other => {
                let inputs = other.inputs().into_iter();
                inputs.map(|input| Arc::clone(input.schema())).collect()
            }
        };
        Self {
            inputs,
            all: OnceCell::new(),
        }
    }
}

impl Deref for InputSchema {
    type Target = DFSchema;

    fn deref(&self) -> &DFSchema {
        self.all.get_or_init(|| match self.inputs.as_slice() {
            [only] => Arc::clone(only),
            several => {
                let mut all = DFSchema::empty();
                several.iter().for_each(|input| all.merge(input));
                Arc::new(all)
            }
        })
    }
}

/// `expr`, an expression of the node that `names` is of, by `each` if it holds one that `wants` names. An output keeps its name.
pub(super) fn rewritten(
    expr: Expr,
    names: &NamePreserver,
    wants: fn(&Expr) -> bool,
    each: impl FnOnce(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    if !expr.exists(|expr| Ok(wants(expr)))? {
        return Ok(Transformed::no(expr));
    }
    let name = names.save(&expr);
    let rewritten = each(expr)?;
    Ok(match rewritten.transformed {
        true => rewritten.update_data(|expr| name.restore(expr)),
        false => rewritten,
    })
}

/// `plan` with `each` applied to its expressions, from the leaves up; names of outputs stay. A plan without any expression
/// that `wants` names is left alone.
pub(super) fn rewrite(
    plan: LogicalPlan,
    wants: fn(&Expr) -> bool,
    each: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    if !has(&plan, wants)? {
        return Ok(plan);
    }
    let mut is_changed = false;
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let schema = InputSchema::of(&plan);
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            self::rewritten(expr, &names, wants, |expr| {
                expr.transform_up(|expr| each(expr, &schema))
            })
        })?;
        // Types change from below.
        is_changed |= rewritten.transformed;
        match is_changed {
            true => rewritten.map_data(with_types_of_inputs),
            false => Ok(rewritten),
        }
    })?;
    Ok(rewritten.data)
}

/// Whether there is an expression that `wants` names.
fn has(plan: &LogicalPlan, wants: fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found = found || expr.exists(|expr| Ok(wants(expr)))?;
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })
    })?;
    Ok(found)
}
