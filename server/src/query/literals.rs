//! Literal texts that have no type yet become values of what they are compared with, as PostgreSQL reads them.
//!
//! Without this DataFusion would cast them by its own rules: a bytea from the text's own bytes, a moment in UTC whatever
//! the session's zone, a truth value from fewer words.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::binary::type_union_resolution;
use datafusion::logical_expr::expr::{InList, InSubquery};
use datafusion::logical_expr::logical_plan::Projection;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Distinct, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

use super::expressions::rewrite;
use super::moments::session_zone;
use super::types::with_types_of_inputs;
use super::typing::type_of_column;
use crate::values::input::{self, InputContext};

/// Functions all of whose arguments are of one type.
pub(super) const OF_ONE_TYPE: [&str; 4] = ["coalesce", "greatest", "least", "nullif"];

/// Gives literal texts the type of what is beside them. Runs when moments and numerics have PostgreSQL's types, before
/// types are made equal. Errors: 22P02, 22003, 22007, 22008.
#[derive(Debug)]
pub(super) struct UntypedLiterals;

impl AnalyzerRule for UntypedLiterals {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let cx = InputContext::in_zone(session_zone(options));
        let plan = plan
            .transform_up_with_subqueries(|node| typed_rows(node, &cx))?
            .data;
        rewrite(plan, is_untyped, &|expr, schema| typed(expr, schema, &cx))
    }

    fn name(&self) -> &'static str {
        "untyped_literals"
    }
}

fn typed(mut expr: Expr, schema: &DFSchema, cx: &InputContext) -> Result<Transformed<Expr>> {
    let mut changed = false;
    for mut operands in of_one_type(&mut expr) {
        changed |= give_type(&mut operands, schema, cx)?;
    }
    if let Expr::InSubquery(InSubquery { expr, subquery, .. }) = &mut expr
        && let Some(column) = subquery.subquery.schema().fields().first()
        && is_untyped(expr)
        && is_read(column.data_type())
    {
        read(expr, column.data_type(), cx)?;
        changed = true;
    }
    Ok(Transformed::new_transformed(expr, changed))
}

/// The operands of `expr` that have one type, together: what is compared, and what one of is the result.
pub(super) fn of_one_type(expr: &mut Expr) -> Vec<Vec<&mut Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() || is_distinct(*op) => {
            vec![vec![left.as_mut(), right.as_mut()]]
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            vec![vec![expr.as_mut(), low.as_mut(), high.as_mut()]]
        }
        Expr::InList(InList { expr, list, .. }) => {
            let mut all: Vec<&mut Expr> = vec![expr.as_mut()];
            all.extend(list);
            vec![all]
        }
        Expr::Case(Case {
            expr,
            when_then_expr,
            else_expr,
        }) => {
            let (mut operands, mut results) = (Vec::new(), Vec::new());
            operands.extend(expr.as_deref_mut());
            for (when, then) in when_then_expr {
                operands.push(when.as_mut());
                results.push(then.as_mut());
            }
            results.extend(else_expr.as_deref_mut());
            vec![operands, results]
        }
        Expr::ScalarFunction(function) if OF_ONE_TYPE.contains(&function.name()) => {
            vec![function.args.iter_mut().collect()]
        }
        _ => Vec::new(),
    }
}

/// The literal texts in the parts of a union become values of what other parts have in their columns.
fn typed_rows(node: LogicalPlan, cx: &InputContext) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(mut union) = node else {
        return Ok(Transformed::no(node));
    };
    let width = union.schema.fields().len();
    let mut is_changed = false;
    for place in 0..width {
        let typed = union.inputs.iter().map(|part| type_of_column(part, place));
        let types: Vec<DataType> = typed.flatten().filter(|known| known != &DataType::Null).collect();
        let Some(wanted) = type_union_resolution(&types).filter(is_read) else {
            continue;
        };
        for part in &mut union.inputs {
            let read = read_column(Arc::unwrap_or_clone(Arc::clone(part)), place, &wanted, cx)?;
            is_changed |= read.transformed;
            *part = Arc::new(read.data);
        }
    }
    match is_changed {
        true => with_types_of_inputs(LogicalPlan::Union(union)).map(Transformed::yes),
        false => Ok(Transformed::no(LogicalPlan::Union(union))),
    }
}

/// `part` of a union, whose column is read as `wanted` if it is a literal text.
fn read_column(
    part: LogicalPlan,
    place: usize,
    wanted: &DataType,
    cx: &InputContext,
) -> Result<Transformed<LogicalPlan>> {
    match part {
        LogicalPlan::Projection(mut projection) => {
            let literal = match projection.expr.get_mut(place) {
                Some(Expr::Alias(alias)) => alias.expr.as_mut(),
                Some(other) => other,
                None => return Ok(Transformed::no(LogicalPlan::Projection(projection))),
            };
            if !is_untyped(literal) {
                return Ok(Transformed::no(LogicalPlan::Projection(projection)));
            }
            read(literal, wanted, cx)?;
            let projection = Projection::try_new(projection.expr, projection.input)?;
            Ok(Transformed::yes(LogicalPlan::Projection(projection)))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let read = read_column(Arc::unwrap_or_clone(input), place, wanted, cx)?;
            Ok(read.update_data(|input| LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Reads the literal texts among `operands` as the type of the first that has one; returns whether there were any.
fn give_type(operands: &mut [&mut Expr], schema: &DFSchema, cx: &InputContext) -> Result<bool> {
    if !operands.iter().any(|operand| is_untyped(operand)) {
        return Ok(false);
    }
    let mut types = operands.iter().filter_map(|operand| match operand {
        Expr::Placeholder(_) => None,
        operand if is_untyped(operand) => None,
        typed => typed
            .get_type(schema)
            .ok()
            .filter(|known| known != &DataType::Null),
    });
    let Some(wanted) = types.next().filter(is_read) else {
        return Ok(false);
    };
    for operand in operands.iter_mut() {
        read(operand, &wanted, cx)?;
    }
    Ok(true)
}

/// `text` as a value of `wanted`. Errors: it is none.
pub(super) fn value(text: &str, wanted: &DataType, cx: &InputContext) -> Result<ScalarValue> {
    input::of_text(text, wanted, cx).map_err(|mut error| {
        error.literal = Some(text.to_owned());
        DataFusionError::External(Box::new(error))
    })
}

fn read(literal: &mut Expr, wanted: &DataType, cx: &InputContext) -> Result<()> {
    if let Some(text) = untyped_text(literal) {
        *literal = Expr::Literal(value(text, wanted, cx)?, None);
    }
    Ok(())
}

/// The text of a literal that is written in quotes and has no type yet.
pub(super) fn untyped_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), None) => Some(text),
        _ => None,
    }
}

fn is_untyped(expr: &Expr) -> bool {
    untyped_text(expr).is_some()
}

fn is_distinct(op: datafusion::logical_expr::Operator) -> bool {
    use datafusion::logical_expr::Operator::{IsDistinctFrom, IsNotDistinctFrom};
    matches!(op, IsDistinctFrom | IsNotDistinctFrom)
}

/// Whether a literal text beside this type is read as it. Texts stay as they are.
pub(super) fn is_read(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean | DataType::UInt32 => true,
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Interval(_) => true,
        DataType::List(item) => is_read(item.data_type()) || item.data_type().is_string(),
        other => other.is_decimal(),
    }
}
