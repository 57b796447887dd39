//! The parameters `$1`, `$2`, ... of a prepared statement: how many there are, and the types that nobody has named.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as DataFusionResult, Span};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{self, Statement, Value, visit_expressions, visit_expressions_mut};

use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Most parameters of one statement: Bind counts them in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

/// The highest number among the parameters of `statement`. Errors: 42P02 for `$0` and for what is no number.
pub(super) fn count(statement: &Statement) -> Result<usize> {
    let mut highest = 0;
    let outcome = visit_expressions(statement, |expr| {
        let ast::Expr::Value(value) = expr else {
            return ControlFlow::Continue(());
        };
        let Value::Placeholder(text) = &value.value else {
            return ControlFlow::Continue(());
        };
        match number(text) {
            Some(number) => {
                highest = highest.max(number);
                ControlFlow::Continue(())
            }
            None => {
                let message = format!("there is no parameter {text}");
                let span = Span::try_from_sqlparser_span(value.span);
                ControlFlow::Break(QueryError::new(SqlState::UNDEFINED_PARAMETER, message).at(span))
            }
        }
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(highest),
        ControlFlow::Break(error) => Err(error),
    }
}

fn number(placeholder: &str) -> Option<usize> {
    let number: usize = placeholder.strip_prefix('$')?.parse().ok()?;
    (1..=PARAMETERS_MAX).contains(&number).then_some(number)
}

/// `statement` with `x = $1` in the place of `x = ANY($1)`, from which the items' type is inferred; and the numbers of
/// these parameters, whose type is an array of that.
pub(super) fn without_any(statement: &Statement) -> (Statement, Vec<usize>) {
    let (mut simpler, mut arrays) = (statement.clone(), Vec::new());
    let _ = visit_expressions_mut(&mut simpler, |expr| {
        if let ast::Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        }
        | ast::Expr::AllOp {
            left,
            compare_op,
            right,
        } = expr
            && let ast::Expr::Value(value) = right.as_ref()
            && let Value::Placeholder(text) = &value.value
        {
            arrays.extend(number(text));
            *expr = ast::Expr::BinaryOp {
                left: left.clone(),
                op: compare_op.clone(),
                right: right.clone(),
            };
        }
        ControlFlow::<()>::Continue(())
    });
    (simpler, arrays)
}

/// Fills the gaps of `types` with what `plan` says of its parameters: the type of what one is compared with, the type it
/// is cast to, bigint in LIMIT and OFFSET, else text.
///
/// `arrays`: the numbers of those for whose items the plan was made.
pub(super) fn infer(
    plan: &LogicalPlan,
    types: &mut [Option<DataType>],
    arrays: &[usize],
) -> DataFusionResult<()> {
    let named: Vec<bool> = types.iter().map(Option::is_some).collect();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for bound in [&limit.skip, &limit.fetch].into_iter().flatten() {
                note(types, bound, Some(&DataType::Int64));
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Cast(cast) => note(types, &cast.expr, Some(cast.field.data_type())),
                    Expr::Placeholder(_) => note(types, expr, None),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    for gap in types.iter_mut().filter(|known| known.is_none()) {
        *gap = Some(DataType::Utf8View);
    }
    for number in arrays {
        if let (Some(Some(item)), Some(false)) = (types.get_mut(number - 1), named.get(number - 1)) {
            *item = DataType::List(Arc::new(Field::new_list_field(item.clone(), true)));
        }
    }
    Ok(())
}

/// Notes the type of `expr` if it is a parameter without one: its own, else `wanted`.
fn note(types: &mut [Option<DataType>], expr: &Expr, wanted: Option<&DataType>) {
    let Expr::Placeholder(Placeholder { id, field }) = expr else {
        return;
    };
    let own = field.as_ref().map(|field| field.data_type());
    let place = number(id).and_then(|number| types.get_mut(number - 1));
    if let (Some(place @ None), Some(found)) = (place, own.or(wanted)) {
        // What is compared with a literal NULL has no type of its own either.
        *place = (*found != DataType::Null).then(|| found.clone());
    }
}
