//! What PostgreSQL's types forbid and DataFusion's coercions would allow: a number compared with a text column, a date cast
//! to a number, a condition that is no truth value.
//!
//! Looks at a plan before it is coerced. A literal text has no type yet, as in PostgreSQL, and becomes what is wanted.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Span};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::expressions::InputSchema;
use crate::catalog::pg_type::{PgType, format_type};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Refuses what has no meaning in PostgreSQL. Errors: 42804, 42846, 42883.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut wrong = None;
    let walked = plan.apply_with_subqueries(|node| {
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
        Expr::Case(case) if case.expr.is_none() => case
            .when_then_expr
            .iter()
            .find_map(|(when, _)| not_boolean(when, schema, "CASE/WHEN")),
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
