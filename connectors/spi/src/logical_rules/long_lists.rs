//! Lists of many literals, as programs make them, out of the way of the rules that do not look at them.
//!
//! For each of its rules the optimiser walks through all expressions, some seventy times a statement: through 1,000 literals
//! that took longer than to find the rows that have them. So in conditions a long list is one function of its term. The few
//! rules that look at lists have them open, and none leaves the optimiser.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Shorter lists are walked through.
const LITERALS_MIN: usize = 32;

/// What becomes of the long lists of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) enum LongLists {
    /// Before all other rules of a pass.
    Packed,
    /// Behind all other rules of a pass.
    Opened,
}

impl OptimizerRule for LongLists {
    fn name(&self) -> &'static str {
        match self {
            Self::Packed => "pack_long_lists",
            Self::Opened => "open_long_lists",
        }
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match self {
            Self::Packed => everywhere(plan, is_long_list, packed),
            Self::Opened => everywhere(plan, |expr| long_list(expr).is_some(), opened),
        }
    }
}

/// `plan` with all its nodes as `lists` makes them. A statement without what `wants` names, as most are, is looked at only.
fn everywhere(
    plan: LogicalPlan,
    wants: fn(&Expr) -> bool,
    lists: fn(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= holds(node, wants);
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    match found {
        true => plan.transform_up_with_subqueries(lists),
        false => Ok(Transformed::no(plan)),
    }
}

/// What `rule` makes of `plan` with the lists open that it may look at: those of the node and of its inputs.
pub(super) fn with_open(
    plan: LogicalPlan,
    rule: impl FnOnce(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    // Before anything is rebuilt: most plans have none.
    if !is_packed(&plan) && !plan.inputs().into_iter().any(is_packed) {
        return rule(plan);
    }
    let open = plan.map_children(opened)?.transform_data(opened)?;
    let rewritten = rule(open.data)?;
    let again = rewritten.data.transform_down(packed)?;
    Ok(Transformed::new(again.data, rewritten.transformed, rewritten.tnr))
}

/// Whether `plan` has conditions: the names of what they are computed by do not matter.
fn has_conditions(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::TableScan(_)
    )
}

fn packed(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_conditions(&plan) {
        return Ok(Transformed::no(plan));
    }
    plan.map_expressions(|expr| {
        expr.transform_down(|expr| {
            Ok(match expr {
                Expr::InList(list) if is_long(&list) => {
                    Transformed::new(LongList::of(list), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::no(other),
            })
        })
    })
}

fn is_packed(plan: &LogicalPlan) -> bool {
    has_conditions(plan) && has_long_list(plan)
}

fn has_long_list(plan: &LogicalPlan) -> bool {
    holds(plan, |expr| long_list(expr).is_some())
}

/// Whether an expression of `plan` has a part that `wants` names.
fn holds(plan: &LogicalPlan, wants: fn(&Expr) -> bool) -> bool {
    let mut found = false;
    let walked = plan.apply_expressions(|expr| {
        found |= expr.exists(|part| Ok(wants(part)))?;
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    debug_assert!(walked.is_ok(), "nothing in the walk fails");
    found
}

/// Not of conditions alone: what stands twice in one is computed below it, once.
fn opened(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_long_list(&plan) {
        return Ok(Transformed::no(plan));
    }
    plan.map_expressions(|expr| {
        expr.transform_up(|expr| {
            Ok(match long_list(&expr) {
                Some((term, list)) => Transformed::yes(list.over(term.clone())),
                None => Transformed::no(expr),
            })
        })
    })
}

fn is_long(list: &InList) -> bool {
    list.list.len() >= LITERALS_MIN && list.list.iter().all(|item| matches!(item, Expr::Literal(..)))
}

fn is_long_list(expr: &Expr) -> bool {
    matches!(expr, Expr::InList(list) if is_long(list))
}

fn long_list(expr: &Expr) -> Option<(&Expr, &LongList)> {
    match expr {
        Expr::ScalarFunction(function) => function.args.first().zip(function.func.inner().downcast_ref()),
        _ => None,
    }
}

/// Whether its argument is in a list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LongList {
    list: Arc<Vec<Expr>>,
    negated: bool,
    signature: Signature,
}

impl LongList {
    fn of(list: InList) -> Expr {
        let function = Self {
            list: Arc::new(list.list),
            negated: list.negated,
            signature: Signature::any(1, Volatility::Immutable),
        };
        let function = Arc::new(ScalarUDF::from(function));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![*list.expr]))
    }

    fn over(&self, term: Expr) -> Expr {
        Expr::InList(InList::new(
            Box::new(term),
            self.list.as_ref().clone(),
            self.negated,
        ))
    }
}

impl ScalarUDFImpl for LongList {
    fn name(&self) -> &str {
        "in_long_list"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a long list was not opened before it was computed")
    }
}
