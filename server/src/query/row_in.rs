//! `(a, b) IN (SELECT ..)`, which DataFusion does not have, as EXISTS with one comparison a column.
//!
//! In a WHERE NULL has the effect of false as far down as AND and OR reach, and there the two are the same. NOT IN and other
//! places are left, and refused.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, Select, SelectItem, SetExpr, Statement, TableAlias,
    TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
};

use super::parse;
use super::rows::fields;
use super::syntax::binary;
use crate::error::{QueryError, Result};

/// The name of the subquery: no relation of a statement has it.
const NAME: &str = "\0row";

/// Rewrites the conditions of `statement`. Errors: 42601, the subquery has another number of columns.
pub(super) fn rewrite(statement: &mut Statement) -> Result<()> {
    match VisitMut::visit(statement, &mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = QueryError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        let rewritten = select.selection.as_mut().map_or(Ok(()), rewrite_condition);
        match rewritten {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewrite_condition(condition: &mut Expr) -> Result<()> {
    match condition {
        Expr::Nested(inner) => rewrite_condition(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And | BinaryOperator::Or,
            right,
        } => {
            rewrite_condition(left)?;
            rewrite_condition(right)
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated: false,
        } => {
            let Some(fields) = fields(expr) else { return Ok(()) };
            check_width(fields.len(), subquery)?;
            if let Some(exists) = exists(fields, subquery) {
                *condition = exists;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// As far as the select list says how many columns there are.
fn check_width(fields: usize, subquery: &Query) -> Result<()> {
    let SetExpr::Select(select) = subquery.body.as_ref() else {
        return Ok(());
    };
    let is_term = |item| {
        matches!(
            item,
            &SelectItem::UnnamedExpr(_) | &SelectItem::ExprWithAlias { .. }
        )
    };
    let columns = select.projection.len();
    let which = match columns.cmp(&fields) {
        Ordering::Equal => return Ok(()),
        _ if !select.projection.iter().all(is_term) => return Ok(()),
        Ordering::Less => "few",
        Ordering::Greater => "many",
    };
    Err(QueryError::syntax(format!("subquery has too {which} columns")))
}

fn exists(fields: Vec<Expr>, subquery: &Query) -> Option<Expr> {
    let column = |place: usize| Ident::with_quote('"', format!("{NAME}{place}"));
    let named = |name| TableAliasColumnDef {
        name,
        data_type: None,
    };
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', NAME),
        columns: (0..fields.len()).map(|place| named(column(place))).collect(),
        at: None,
    };
    let comparisons = fields.into_iter().enumerate().map(|(place, field)| {
        let of_row = Expr::CompoundIdentifier(vec![alias.name.clone(), column(place)]);
        binary(of_row, BinaryOperator::Eq, Expr::Nested(Box::new(field)))
    });
    let condition = comparisons.reduce(|all, next| binary(all, BinaryOperator::And, next))?;
    // The parser makes the frame.
    let Statement::Query(mut query) = parse("SELECT 1 FROM x").ok()?.pop()?.statement else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    select.selection = Some(condition);
    select.from.first_mut()?.relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery.clone()),
        alias: Some(alias),
        sample: None,
    };
    Some(Expr::Exists {
        subquery: query,
        negated: false,
    })
}
