//! What PostgreSQL's types forbid and DataFusion's coercions would allow: a number compared with a text column, a date cast
//! to a number, a condition that is no truth value, a column of numbers and texts.
//!
//! Looks at a plan before it is coerced. A literal text has no type yet, as in PostgreSQL, and becomes what is wanted.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, NullEquality, Span};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Case, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, Operator,
};
use std::sync::Arc;

use super::expressions::InputSchema;
use crate::catalog::pg_type::{PgType, format_type};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Refuses what has no meaning in PostgreSQL. Errors: 42804, 42846, 42883.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut wrong = None;
    let walked = plan.apply_with_subqueries(|node| {
        wrong = check_rows(node);
        if wrong.is_some() {
            return Ok(TreeNodeRecursion::Stop);
        }
        let schema = InputSchema::of(node);
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                wrong = check_expr(expr, &schema);
                Ok(match wrong {
                    Some(_) => TreeNodeRecursion::Stop,
                    None => TreeNodeRecursion::Continue,
                })
            })
        })
    });
    walked.map_err(QueryError::from)?;
    wrong.map_or(Ok(()), Err)
}

/// Set operations: each column has one type on both sides.
fn check_rows(node: &LogicalPlan) -> Option<QueryError> {
    let (operation, sides) = match node {
        LogicalPlan::Union(union) => ("UNION", union.inputs.clone()),
        // What INTERSECT and EXCEPT are planned as: no other join takes NULL for equal to NULL so early.
        LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => {
            let operation = match join.join_type {
                JoinType::LeftSemi => "INTERSECT",
                JoinType::LeftAnti => "EXCEPT",
                _ => return None,
            };
            (operation, vec![Arc::clone(&join.left), Arc::clone(&join.right)])
        }
        _ => return None,
    };
    let width = sides.first()?.schema().fields().len();
    (0..width).find_map(|place| {
        let types = sides.iter().map(|side| type_of_column(side, place));
        no_common_type(operation, types)
    })
}

/// The type of an output of a part of a set operation; `None` for what has none yet.
pub(super) fn type_of_column(plan: &LogicalPlan, place: usize) -> Option<DataType> {
    match plan {
        LogicalPlan::Projection(projection) => {
            type_of(projection.expr.get(place)?, projection.input.schema())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => type_of_column(input, place),
        LogicalPlan::Sort(sort) => type_of_column(&sort.input, place),
        LogicalPlan::Limit(limit) => type_of_column(&limit.input, place),
        LogicalPlan::Union(union) => union.inputs.iter().find_map(|input| type_of_column(input, place)),
        other => Some(other.schema().fields().get(place)?.data_type().clone()),
    }
}

/// Several values of one type, of which two have none in common.
fn no_common_type(what: &str, types: impl Iterator<Item = Option<DataType>>) -> Option<QueryError> {
    let mut types = types.flatten().filter(|given| class(given).is_some());
    let first = types.next()?;
    let other = types.find(|given| class(given) != class(&first))?;
    let message = format!(
        "{what} types {} and {} cannot be matched",
        name(&first),
        name(&other)
    );
    Some(QueryError::new(SqlState::DATATYPE_MISMATCH, message))
}

fn check_case(case: &Case, schema: &DFSchema) -> Option<QueryError> {
    let branches = &case.when_then_expr;
    let wrong = match &case.expr {
        None => branches
            .iter()
            .find_map(|(when, _)| not_boolean(when, schema, "CASE/WHEN")),
        Some(operand) => {
            let operand = type_of(operand, schema);
            let mut whens = branches.iter().filter_map(|(when, _)| type_of(when, schema));
            operand.and_then(|operand| whens.find_map(|when| no_comparison(&operand, "=", &when)))
        }
    };
    // ELSE comes first, as PostgreSQL names them.
    let results = case.else_expr.iter().chain(branches.iter().map(|(_, then)| then));
    wrong.or_else(|| no_common_type("CASE", results.map(|result| type_of(result, schema))))
}

fn check_function(function: &ScalarFunction, schema: &DFSchema) -> Option<QueryError> {
    let mut types = function.args.iter().map(|argument| type_of(argument, schema));
    match function.name() {
        "coalesce" => no_common_type("COALESCE", types),
        "greatest" => no_common_type("GREATEST", types),
        "least" => no_common_type("LEAST", types),
        "make_array" => no_common_type("ARRAY", types),
        "nullif" => no_comparison(&types.next()??, "=", &types.next()??),
        _ => None,
    }
}

fn check_expr(expr: &Expr, schema: &DFSchema) -> Option<QueryError> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => not_boolean(left, schema, "AND").or_else(|| not_boolean(right, schema, "AND")),
            Operator::Or => not_boolean(left, schema, "OR").or_else(|| not_boolean(right, schema, "OR")),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => {
                let (left, right) = (type_of(left, schema)?, type_of(right, schema)?);
                no_comparison(&left, &op.to_string(), &right)
            }
            _ => None,
        },
        Expr::InList(list) => {
            let left = type_of(&list.expr, schema)?;
            let items = list.list.iter().filter_map(|item| type_of(item, schema));
            items
                .into_iter()
                .find_map(|item| no_comparison(&left, "=", &item))
        }
        Expr::InSubquery(found) => {
            let left = type_of(&found.expr, schema)?;
            let column = found.subquery.subquery.schema().fields().first()?;
            no_comparison(&left, "=", column.data_type())
        }
        Expr::Not(inner) => not_boolean(inner, schema, "NOT"),
        Expr::Case(case) => check_case(case, schema),
        Expr::ScalarFunction(function) => check_function(function, schema),
        Expr::AggregateFunction(function) => {
            not_boolean(function.params.filter.as_deref()?, schema, "FILTER")
        }
        Expr::Cast(cast) => {
            let (from, to) = (cast.expr.get_type(schema).ok()?, cast.field.data_type());
            let can = match (class(&from)?, class(to)?) {
                (from, to) if from == to => true,
                (Class::Text, _) | (_, Class::Text) => true,
                (Class::Moment, Class::Time)
                | (Class::Interval, Class::Time)
                | (Class::Time, Class::Interval) => true,
                _ => false,
            };
            (!can).then(|| {
                let message = format!("cannot cast type {} to {}", name(&from), name(to));
                QueryError::new(SqlState::CANNOT_COERCE, message).at(place(&cast.expr))
            })
        }
        _ => None,
    }
}

/// The kinds of types between which nothing is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    Text,
    Moment,
    Time,
    Interval,
    Bytes,
    Array,
}

/// `None`: truth values, which sources have as numbers too, and what has no type.
fn class(data_type: &DataType) -> Option<Class> {
    Some(match data_type {
        number if number.is_numeric() => Class::Number,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Class::Text,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Class::Moment,
        DataType::Time32(_) | DataType::Time64(_) => Class::Time,
        DataType::Interval(_) | DataType::Duration(_) => Class::Interval,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Class::Bytes,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Class::Array,
        _ => return None,
    })
}

/// The type of `expr`; `None` for what has none yet: literal texts, NULL and parameters.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        Expr::Literal(value, _) if class(&value.data_type()) == Some(Class::Text) => None,
        Expr::Placeholder(_) => None,
        Expr::Alias(alias) => type_of(&alias.expr, schema),
        // Sums of dates and intervals get PostgreSQL's types only later.
        Expr::BinaryExpr(sum) if is_moments(sum, schema) => None,
        other => other.get_type(schema).ok(),
    }
}

fn is_moments(sum: &BinaryExpr, schema: &DFSchema) -> bool {
    let arithmetic = matches!(
        sum.op,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    );
    let is_number = |operand: &Expr| operand.get_type(schema).is_ok_and(|given| given.is_numeric());
    arithmetic && !(is_number(&sum.left) && is_number(&sum.right))
}

fn no_comparison(left: &DataType, op: &str, right: &DataType) -> Option<QueryError> {
    let classes = (class(left)?, class(right)?);
    // Folders of partitions are texts, and are compared with dates: both sides are read as dates.
    let days = [(Class::Text, Class::Moment), (Class::Moment, Class::Text)];
    if classes.0 == classes.1 || days.contains(&classes) {
        return None;
    }
    let message = format!("operator does not exist: {} {op} {}", name(left), name(right));
    let hint =
        "No operator matches the given name and argument types. You might need to add explicit type casts.";
    Some(QueryError::new(SqlState::UNDEFINED_FUNCTION, message).hint(hint))
}

fn not_boolean(expr: &Expr, schema: &DFSchema, clause: &str) -> Option<QueryError> {
    let given = type_of(expr, schema)?;
    if matches!(given, DataType::Boolean | DataType::Null) {
        return None;
    }
    let message = format!(
        "argument of {clause} must be type boolean, not type {}",
        name(&given)
    );
    Some(QueryError::new(SqlState::DATATYPE_MISMATCH, message).at(place(expr)))
}

fn name(data_type: &DataType) -> String {
    format_type(PgType::of(data_type).oid, None)
}

fn place(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::Column(column) => column.spans.first(),
        _ => None,
    }
}
