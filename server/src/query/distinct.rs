//! `a IS DISTINCT FROM b AND c`: the parser takes all of `b AND c` for the operand, PostgreSQL only `b`. Such conditions
//! are taken apart into what AND and OR join, and put together again, right after they were parsed.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Statement, UnaryOperator, Value, VisitMut, VisitorMut,
};

/// Gives every IS [NOT] DISTINCT FROM of `statement` the operand that PostgreSQL gives it.
pub(super) fn rebind(statement: &mut Statement) {
    // Nothing breaks it off.
    let _ = VisitMut::visit(statement, &mut Rebinder);
}

struct Rebinder;

impl VisitorMut for Rebinder {
    type Break = ();

    /// The outermost condition comes first, so that what is found is whole.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if reaches_too_far(expr) {
            let whole = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            *expr = joined(terms(whole));
        }
        ControlFlow::Continue(())
    }
}

/// Whether the last operator of `expr` is one whose operand holds AND or OR. Brackets are nodes of their own.
fn reaches_too_far(mut expr: &Expr) -> bool {
    loop {
        expr = match expr {
            Expr::BinaryOp {
                op: BinaryOperator::And | BinaryOperator::Or,
                right,
                ..
            } => right,
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => expr,
            Expr::IsDistinctFrom(_, operand) | Expr::IsNotDistinctFrom(_, operand) => {
                if let Expr::BinaryOp {
                    op: BinaryOperator::And | BinaryOperator::Or,
                    ..
                } = operand.as_ref()
                {
                    return true;
                }
                operand
            }
            _ => return false,
        }
    }
}

/// What AND and OR join, in the order of the text: the first condition, and each other with the operator before it.
struct Terms {
    first: Expr,
    rest: Vec<(BinaryOperator, Expr)>,
}

impl Terms {
    fn map_first(self, change: impl FnOnce(Expr) -> Expr) -> Self {
        Self {
            first: change(self.first),
            rest: self.rest,
        }
    }
}

fn terms(expr: Expr) -> Terms {
    match expr {
        Expr::BinaryOp {
            left,
            op: op @ (BinaryOperator::And | BinaryOperator::Or),
            right,
        } => {
            let (mut left, right) = (terms(*left), terms(*right));
            left.rest.push((op, right.first));
            left.rest.extend(right.rest);
            left
        }
        Expr::UnaryOp {
            op: op @ UnaryOperator::Not,
            expr,
        } => terms(*expr).map_first(|first| Expr::UnaryOp {
            op,
            expr: Box::new(first),
        }),
        Expr::IsDistinctFrom(left, operand) => {
            terms(*operand).map_first(|first| Expr::IsDistinctFrom(left, Box::new(first)))
        }
        Expr::IsNotDistinctFrom(left, operand) => {
            terms(*operand).map_first(|first| Expr::IsNotDistinctFrom(left, Box::new(first)))
        }
        first => Terms {
            first,
            rest: Vec::new(),
        },
    }
}

/// The terms joined again, AND before OR, from the left.
fn joined(terms: Terms) -> Expr {
    let mut alternatives = Vec::new();
    let mut all = terms.first;
    for (op, term) in terms.rest {
        if op == BinaryOperator::And {
            all = binary(all, BinaryOperator::And, term);
        } else {
            alternatives.push(std::mem::replace(&mut all, term));
        }
    }
    alternatives.push(all);
    let joined = alternatives
        .into_iter()
        .reduce(|left, right| binary(left, BinaryOperator::Or, right));
    joined.expect("there is the last one at least")
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn parsed(condition: &str) -> Statement {
        let sql = format!("SELECT {condition}");
        Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap().remove(0)
    }

    /// All brackets written out give the same tree, but for the brackets.
    fn without_brackets(mut statement: Statement) -> String {
        struct Opener;
        impl VisitorMut for Opener {
            type Break = ();

            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if let Expr::Nested(inner) = expr {
                    *expr = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
                }
                ControlFlow::Continue(())
            }
        }
        let _ = VisitMut::visit(&mut statement, &mut Opener);
        format!("{statement:#?}")
            .lines()
            .filter(|line| !line.contains("span"))
            .collect()
    }

    #[test]
    fn an_operand_ends_at_and_and_or() {
        for (written, meant) in [
            ("a IS DISTINCT FROM b AND c", "(a IS DISTINCT FROM b) AND c"),
            (
                "a IS NOT DISTINCT FROM NULL OR c",
                "(a IS NOT DISTINCT FROM NULL) OR c",
            ),
            (
                "p AND NOT a IS DISTINCT FROM b AND c OR d",
                "((p AND (NOT (a IS DISTINCT FROM b))) AND c) OR d",
            ),
            (
                "p OR a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e AND f",
                "(p OR ((a IS DISTINCT FROM b) AND (c IS DISTINCT FROM d))) OR (e AND f)",
            ),
            (
                "a IS DISTINCT FROM b BETWEEN 1 AND 2 AND c",
                "(a IS DISTINCT FROM (b BETWEEN 1 AND 2)) AND c",
            ),
            (
                "a = b IS DISTINCT FROM c = d AND e",
                "((a = b) IS DISTINCT FROM (c = d)) AND e",
            ),
            (
                "CASE WHEN a IS DISTINCT FROM b AND c THEN d ELSE e IS DISTINCT FROM f OR g END",
                "CASE WHEN (a IS DISTINCT FROM b) AND c THEN d ELSE (e IS DISTINCT FROM f) OR g END",
            ),
        ] {
            let mut rebound = parsed(written);
            rebind(&mut rebound);
            assert_eq!(
                without_brackets(rebound),
                without_brackets(parsed(meant)),
                "{written}"
            );
        }
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for condition in [
            "a IS DISTINCT FROM (b AND c)",
            "(a IS DISTINCT FROM b) AND c",
            "a AND b IS DISTINCT FROM c",
            "f(a IS DISTINCT FROM b, c AND d)",
            "a OR b AND NOT c",
        ] {
            let mut rebound = parsed(condition);
            rebind(&mut rebound);
            assert_eq!(rebound.to_string(), parsed(condition).to_string());
        }
    }
}
