//! Rows of values, `(a, b)` or `ROW(a, b)`, in comparisons: each becomes comparisons of their fields, in which a NULL is unknown.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator,
};

use super::catalog_syntax::last_part;
use super::syntax::{binary, nested};
use crate::error::{QueryError, Result};

/// What `expr`, a condition on rows, is without them; `None` of any other. Errors: 42601 of rows that are not alike.
pub(super) fn compared(expr: &Expr) -> Result<Option<Expr>> {
    Ok(match expr {
        Expr::BinaryOp { left, op, right } => match (fields(left), fields(right)) {
            (Some(left), Some(right)) => comparison(&left, op, &right)?.map(in_parentheses),
            _ => None,
        },
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
            match (fields(left), fields(right)) {
                (Some(left), Some(right)) => {
                    let is_distinct = matches!(expr, Expr::IsDistinctFrom(..));
                    Some(in_parentheses(distinct(&left, &right, is_distinct)?))
                }
                _ => None,
            }
        }
        Expr::InList { expr, list, negated } => match fields(expr) {
            Some(row) => in_list(&row, list, *negated)?,
            None => None,
        },
        Expr::Between {
            expr,
            negated,
            low,
            high,
        } => match (fields(expr), fields(low), fields(high)) {
            (Some(row), Some(low), Some(high)) => {
                let from = comparison(&row, &BinaryOperator::GtEq, &low)?;
                let to = comparison(&row, &BinaryOperator::LtEq, &high)?;
                let both = from
                    .zip(to)
                    .map(|(from, to)| binary(in_parentheses(from), BinaryOperator::And, in_parentheses(to)));
                both.map(|both| turned(both, *negated))
            }
            _ => None,
        },
        // A row is NULL if all of its fields are, and it is not NULL if none of them is.
        Expr::IsNull(row) | Expr::IsNotNull(row) => fields(row).and_then(|row| {
            let tests = row.iter().map(|field| match expr {
                Expr::IsNull(_) => Expr::IsNull(Box::new(nested(field))),
                _ => Expr::IsNotNull(Box::new(nested(field))),
            });
            joined(tests.collect(), &BinaryOperator::And).map(in_parentheses)
        }),
        _ => None,
    })
}

/// The fields of a row that is written out.
pub(super) fn fields(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(fields) => Some(fields.clone()),
        Expr::Nested(inner) => fields(inner),
        Expr::Function(function) if last_part(&function.name).as_deref() == Some("row") => {
            let FunctionArguments::List(list) = &function.args else {
                return None;
            };
            let fields = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(field)) => Some(field.clone()),
                _ => None,
            });
            fields.collect()
        }
        _ => None,
    }
}

fn comparison(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Option<Expr>> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    check_alike(left, right)?;
    let pairs = left.iter().zip(right);
    Ok(match op {
        Eq => {
            let equal = pairs.map(|(left, right)| pair(left, &Eq, right));
            joined(equal.collect::<Result<_>>()?, &And)
        }
        NotEq => {
            let other = pairs.map(|(left, right)| pair(left, &NotEq, right));
            joined(other.collect::<Result<_>>()?, &Or)
        }
        // The first fields that are not equal decide.
        Lt | LtEq | Gt | GtEq => {
            let strict = if matches!(op, Lt | LtEq) { Lt } else { Gt };
            let mut decided: Option<Expr> = None;
            for (left, right) in pairs.rev() {
                decided = Some(match decided {
                    None => pair(left, op, right)?,
                    Some(rest) => {
                        let equal = pair(left, &Eq, right)?;
                        let otherwise = in_parentheses(binary(equal, And, rest));
                        in_parentheses(binary(pair(left, &strict, right)?, Or, otherwise))
                    }
                });
            }
            decided
        }
        _ => None,
    })
}

/// A comparison of two fields, which may be rows themselves.
fn pair(left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expr> {
    let plain = binary(nested(left), op.clone(), nested(right));
    Ok(in_parentheses(compared(&plain)?.unwrap_or(plain)))
}

fn distinct(left: &[Expr], right: &[Expr], is_distinct: bool) -> Result<Expr> {
    check_alike(left, right)?;
    let pairs = left.iter().zip(right).map(|(left, right)| {
        let (left, right) = (Box::new(nested(left)), Box::new(nested(right)));
        let plain = match is_distinct {
            true => Expr::IsDistinctFrom(left, right),
            false => Expr::IsNotDistinctFrom(left, right),
        };
        Ok(in_parentheses(compared(&plain)?.unwrap_or(plain)))
    });
    let op = match is_distinct {
        true => BinaryOperator::Or,
        false => BinaryOperator::And,
    };
    let pairs = pairs.collect::<Result<_>>()?;
    joined(pairs, &op).ok_or_else(|| QueryError::syntax("cannot compare rows of zero length"))
}

/// `row IN (..)`; `None` if not all of the list are rows.
fn in_list(row: &[Expr], list: &[Expr], negated: bool) -> Result<Option<Expr>> {
    let Some(rows) = list.iter().map(fields).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let mut equal = Vec::with_capacity(rows.len());
    for other in rows {
        equal.extend(comparison(row, &BinaryOperator::Eq, &other)?.map(in_parentheses));
    }
    Ok(joined(equal, &BinaryOperator::Or).map(|any| turned(any, negated)))
}

fn check_alike(left: &[Expr], right: &[Expr]) -> Result<()> {
    if left.len() != right.len() {
        return Err(QueryError::syntax("unequal number of entries in row expressions"));
    }
    if left.is_empty() {
        return Err(QueryError::not_supported("cannot compare rows of zero length"));
    }
    Ok(())
}

/// The conditions by one operator, as a tree that is not deep however many they are.
fn joined(mut conditions: Vec<Expr>, op: &BinaryOperator) -> Option<Expr> {
    if conditions.len() < 2 {
        return conditions.pop();
    }
    let rest = conditions.split_off(conditions.len() / 2);
    let (left, right) = (joined(conditions, op)?, joined(rest, op)?);
    Some(in_parentheses(binary(left, op.clone(), right)))
}

fn turned(condition: Expr, negated: bool) -> Expr {
    let condition = in_parentheses(condition);
    match negated {
        true => in_parentheses(Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(condition),
        }),
        false => condition,
    }
}

fn in_parentheses(expr: Expr) -> Expr {
    match expr {
        nested @ Expr::Nested(_) => nested,
        expr => Expr::Nested(Box::new(expr)),
    }
}
