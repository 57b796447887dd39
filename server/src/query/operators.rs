//! Operators that DataFusion's planner refuses: an interval times a number; a literal text beside a number, a truth value,
//! an interval or an array, or one that is subtracted from a moment. The distance of moments is an interval from here on.

use datafusion::arrow::datatypes::DataType::{self, Date32};
use datafusion::arrow::datatypes::IntervalUnit;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr,
};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions::{interval_times, timestamp_minus};
use super::literals::{is_read, untyped_text, value};
use super::moments::{is_number, sum};
use crate::values::input::InputContext;

/// Plans what DataFusion's planner would refuse.
#[derive(Debug)]
pub(super) struct Operators {
    /// How quoted texts are read.
    pub(super) input: InputContext,
}

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let types = expr
            .left
            .get_type(schema)
            .ok()
            .zip(expr.right.get_type(schema).ok());
        let Some((left, right)) = types else {
            return Ok(PlannerResult::Original(expr));
        };
        let operator = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
        let planned = match operator {
            Operator::Multiply if is_interval(&left) && is_number(&right) => {
                interval_times(expr.left, expr.right)
            }
            Operator::Multiply if is_number(&left) && is_interval(&right) => {
                interval_times(expr.right, expr.left)
            }
            Operator::Divide if is_interval(&left) && is_number(&right) => {
                let divisor = cast(expr.right, DataType::Float64);
                interval_times(expr.left, sum(lit(1.0), Operator::Divide, divisor))
            }
            Operator::Minus
                if is_moment(&left) && is_moment(&right) && !(left == Date32 && right == Date32) =>
            {
                timestamp_minus(expr.left, expr.right)
            }
            _ => return self.plan_literal(expr, operator, (&left, &right), schema),
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        named_by_casts(&mut expr.args)?;
        Ok(PlannerResult::Original(expr))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        named_by_casts(&mut expr.args)?;
        Ok(PlannerResult::Original(expr))
    }
}

/// The planner leaves casts out of an aggregate's name: `sum(x::int8)` and `sum(x::float8)` would be the same column.
fn named_by_casts(args: &mut [Expr]) -> Result<()> {
    for arg in args {
        if arg.exists(|expr| Ok(matches!(expr, Expr::Cast(_) | Expr::TryCast(_))))? {
            let name = arg.to_string();
            *arg = std::mem::take(arg).alias(name);
        }
    }
    Ok(())
}

impl Operators {
    /// Gives a literal text its type, and plans the operator anew.
    fn plan_literal(
        &self,
        mut expr: RawBinaryExpr,
        operator: Operator,
        types: (&DataType, &DataType),
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let typed = |text: &str, wanted: &DataType| value(text, wanted, &self.input).map(lit);
        match (untyped_text(&expr.left), untyped_text(&expr.right)) {
            (None, Some(text)) => match beside(types.0, operator) {
                Some(wanted) => expr.right = typed(text, &wanted)?,
                None => return Ok(PlannerResult::Original(expr)),
            },
            (Some(text), None) => match beside(types.1, operator) {
                Some(wanted) => expr.left = typed(text, &wanted)?,
                None => return Ok(PlannerResult::Original(expr)),
            },
            _ => return Ok(PlannerResult::Original(expr)),
        }
        Ok(match self.plan_binary_op(expr, schema)? {
            PlannerResult::Original(expr) => PlannerResult::Planned(sum(expr.left, operator, expr.right)),
            planned => planned,
        })
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, Date32 | DataType::Timestamp(..))
}

/// The type of a literal text beside `typed`: its own where PostgreSQL has such an operator. `None`: the planner can wait
/// for it ([`UntypedLiterals`](super::literals::UntypedLiterals)), since a sum beside it may get another type yet.
fn beside(typed: &DataType, operator: Operator) -> Option<DataType> {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    match (typed, operator) {
        (DataType::Boolean | DataType::Interval(_) | DataType::List(_), comparison)
            if comparison.supports_propagation() && is_read(typed) =>
        {
            Some(typed.clone())
        }
        (_, comparison) if comparison.supports_propagation() => None,
        (number, _) if is_number(number) => Some(number.clone()),
        (DataType::Timestamp(..) | Date32, Operator::Minus) => Some(typed.clone()),
        (DataType::Timestamp(..), Operator::Plus) => Some(interval),
        (DataType::Interval(_), Operator::Plus | Operator::Minus) => Some(interval),
        _ => None,
    }
}
