//! Statements that DataFusion would answer with wrong rows, or not as they are written: they are refused instead.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result as DataFusionResult, Span};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, JoinType, LogicalPlan, Operator};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, JoinConstraint, LimitClause, Query, Select, SetExpr, Statement, TableFactor,
    TableWithJoins, Visit, Visitor,
};

use super::identifiers::constraint;
use super::{not_in, rows};
use crate::error::{QueryError, Result, correlated};
use crate::sqlstate::SqlState;

/// Most expressions in a select list, as in PostgreSQL: the planner compares each with all others.
const COLUMNS_MAX: usize = 1_664;

/// Refuses syntax that would be planned wrongly, ignored, or planned for ever. Errors: 0A000, 54011.
pub(super) fn check_statement(statement: &Statement) -> Result<()> {
    match statement.visit(&mut SyntaxSearch) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct SyntaxSearch;

impl SyntaxSearch {
    fn refuse(what: &str) -> ControlFlow<QueryError> {
        ControlFlow::Break(QueryError::not_supported(format!("{what} is not supported")))
    }
}

impl Visitor for SyntaxSearch {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        if let Some(lock) = query.locks.first() {
            return Self::refuse(&lock.to_string());
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            let counts = [
                ("LIMIT", limit.as_ref()),
                ("OFFSET", offset.as_ref().map(|offset| &offset.value)),
            ];
            for (clause, count) in counts {
                if let Some(SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_)) = count {
                    let message = format!("argument of {clause} must not contain variables");
                    return ControlFlow::Break(QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
                }
            }
        }
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            if let SetExpr::Select(select) = body
                && select.projection.len() > COLUMNS_MAX
            {
                let message = format!("target lists can have at most {COLUMNS_MAX} entries");
                return ControlFlow::Break(QueryError::new(SqlState::TOO_MANY_COLUMNS, message));
            }
            if let SetExpr::SetOperation { left, right, .. } = body {
                bodies.extend([left.as_ref(), right.as_ref()]);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        match select.from.iter().find_map(unconditional_join) {
            Some(error) => ControlFlow::Break(error),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<QueryError> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => match unconditional_join(table_with_joins) {
                Some(error) => ControlFlow::Break(error),
                None => ControlFlow::Continue(()),
            },
            TableFactor::Table { sample: Some(_), .. } => Self::refuse("TABLESAMPLE"),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => Self::refuse("PIVOT"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<QueryError> {
        match expr {
            // It is planned as a regular expression, which its pattern is not.
            SqlExpr::SimilarTo { .. } => Self::refuse("SIMILAR TO"),
            SqlExpr::InSubquery { expr, .. } if rows::fields(expr).is_some() => ControlFlow::Break(
                QueryError::not_supported("this use of IN with a row and a subquery is not supported")
                    .hint("EXISTS with one comparison a column finds the same rows."),
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A JOIN without ON or USING, which is no cross join.
fn unconditional_join(tables: &TableWithJoins) -> Option<QueryError> {
    let found = tables
        .joins
        .iter()
        .find(|join| constraint(&join.join_operator) == Some(&JoinConstraint::None))?;
    let span = match &found.relation {
        TableFactor::Table { name, .. } => name.0.first().and_then(|part| part.as_ident()),
        _ => None,
    };
    let span = span.and_then(|ident| Span::try_from_sqlparser_span(ident.span));
    let error = QueryError::syntax("syntax error: JOIN needs ON or USING").at(span);
    Some(error.hint("CROSS JOIN, or a comma, joins every row with every other."))
}

/// Refuses subqueries of a plan that is not yet optimised where their NULLs would be lost. Errors: 0A000.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        refused = check_node(node)?;
        Ok(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    walked.map_err(QueryError::from)?;
    refused.map_or(Ok(()), Err)
}

fn check_node(node: &LogicalPlan) -> DataFusionResult<Option<QueryError>> {
    match node {
        LogicalPlan::Filter(filter) => {
            // A column two levels up, which the engine looks for one level up.
            let of_outer = has_subquery(std::iter::once(&filter.predicate), |expr| match expr {
                Expr::InSubquery(found) => found.expr.contains_outer(),
                _ => false,
            })?;
            if of_outer {
                return Ok(Some(correlated()));
            }
            let schema = filter.input.schema();
            for part in split_conjunction(&filter.predicate) {
                // It would become a join's condition, where a subquery finds no columns of its outer query.
                let correlated_below = has_subquery(std::iter::once(part), |expr| match expr {
                    Expr::ScalarSubquery(found) => !found.outer_ref_columns.is_empty(),
                    _ => false,
                })?;
                if correlated_below && part.contains_outer() {
                    return Ok(Some(correlated()));
                }
                if !keeps_nulls(part, schema)? {
                    return Ok(Some(lost_nulls()));
                }
            }
            Ok(None)
        }
        LogicalPlan::Join(join) => {
            let outer = join.join_type != JoinType::Inner;
            let refused = outer && has_subquery(join.filter.iter(), |expr| matches!(expr, Expr::Exists(_)))?;
            Ok(refused.then(|| {
                QueryError::not_supported("EXISTS in the condition of an outer join is not supported")
            }))
        }
        _ => {
            let expressions = node.expressions();
            let found = has_subquery(expressions.iter(), |expr| {
                matches!(expr, Expr::InSubquery(_) | Expr::Exists(_))
            })?;
            Ok(found.then(|| {
                QueryError::not_supported(
                    "IN and EXISTS with a subquery are supported in WHERE and HAVING only",
                )
                .hint("A LEFT JOIN with the distinct rows of the subquery gives the same column.")
            }))
        }
    }
}

fn lost_nulls() -> QueryError {
    QueryError::not_supported(
        "this use of NOT IN or IN with a subquery is not supported, because a NULL may be involved",
    )
    .hint("Use EXISTS or NOT EXISTS, or join IN and NOT IN to other conditions by AND, OR and NOT only.")
}

/// Whether one condition of a WHERE is planned so that NULL, the third answer of IN, has its effect.
///
/// A NOT IN by itself becomes a join that knows NULL ([`not_in::is_joined`]). Every other IN becomes a mark that is true or
/// false: where false and NULL have the same effect, that is right.
fn keeps_nulls(condition: &Expr, schema: &DFSchema) -> DataFusionResult<bool> {
    Ok(not_in::is_joined(condition) || mark_is_enough(condition, schema)?)
}

fn mark_is_enough(condition: &Expr, schema: &DFSchema) -> DataFusionResult<bool> {
    match condition {
        Expr::InSubquery(found) => Ok(!found.negated),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And | Operator::Or,
            right,
        }) => Ok(mark_is_enough(left, schema)? && mark_is_enough(right, schema)?),
        other => {
            let lost = has_subquery(std::iter::once(other), |expr| match expr {
                // A type that cannot be told may be NULL.
                Expr::InSubquery(found) => not_in::may_be_null(found, schema).unwrap_or(true),
                _ => false,
            })?;
            Ok(!lost)
        }
    }
}

fn has_subquery<'a>(
    expressions: impl Iterator<Item = &'a Expr>,
    wanted: impl Fn(&Expr) -> bool,
) -> Result<bool, DataFusionError> {
    for expr in expressions {
        if expr.exists(|expr| Ok(wanted(expr)))? {
            return Ok(true);
        }
    }
    Ok(false)
}
