//! Unquoted names of columns to the spelling that the source has: exactly in lower case first, else the only one that
//! differs in case. Quoted names stay as they are.
//!
//! Stands between the resolution of a statement's tables and the planner, which matches names exactly. What is found
//! nowhere is left as it is, so that the planner says so.

mod scope;

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Span, TableReference};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

use super::names;
use crate::error::{QueryError, Result, quoted};
use crate::sqlstate::SqlState;
use scope::{Known, Relation, Scope};

/// Rewrites the names of `statement`, which reads `tables` with these columns. Errors: 42702, a name could mean several columns;
/// 42712, two relations have one name.
pub(super) fn rewrite(statement: &mut Statement, tables: &HashMap<TableReference, SchemaRef>) -> Result<()> {
    let mut rewriter = Rewriter {
        known: Known::new(tables),
        scopes: Vec::new(),
        listed: Vec::new(),
    };
    match VisitMut::visit(statement, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A name as PostgreSQL folds it: ASCII letters in lower case unless it is quoted.
pub(super) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

struct Rewriter<'a> {
    known: Known<'a>,
    /// What is visible, the innermost last.
    scopes: Vec<Scope>,
    /// For each SELECT that is being visited, the columns of its list as they are written.
    listed: Vec<Vec<Option<Ident>>>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            name_outputs(&mut cte.query);
        }
        self.known.enter(query);
        // ORDER BY is visited after the SELECT it belongs to, and sees what that sees, and its output.
        let mut scope = match query.body.as_ref() {
            SetExpr::Select(select) => self.known.scope(select),
            _ => Scope::default(),
        };
        scope.outputs = self.known.outputs_of_body(&query.body).unwrap_or_default();
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<QueryError> {
        self.scopes.pop();
        self.known.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        if let TableFactor::Derived { subquery, .. } = factor {
            name_outputs(subquery);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        let listed = select.projection.iter().map(|item| match item {
            SelectItem::UnnamedExpr(expr) => column_of(expr).cloned(),
            _ => None,
        });
        self.listed.push(listed.collect());
        let scope = self.known.scope(select);
        if let Some(error) = scope.repeated_name() {
            return ControlFlow::Break(error);
        }
        keep_output_groups(select, &scope);
        for tables in &mut select.from {
            self.rewrite_using(tables);
        }
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut()
                && let Some(relation) = scope.relation(last)
            {
                respell(last, relation.name.as_deref());
                // The planner wants the whole name here.
                if let Some(written) = &relation.written {
                    *name = written.clone();
                }
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        self.scopes.pop();
        let listed = self.listed.pop().unwrap_or_default();
        for (item, written) in select.projection.iter_mut().zip(listed) {
            // A column has the name that the statement gives it, whatever the source calls it.
            if let (SelectItem::UnnamedExpr(expr), Some(written)) = (&mut *item, written)
                && column_of(expr).is_some_and(|column| folded(column) != folded(&written))
            {
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: Ident {
                        value: folded(&written),
                        quote_style: Some('"'),
                        span: written.span,
                    },
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        let rewritten = match expr {
            Expr::Identifier(ident) => self.rewrite_column(ident),
            Expr::CompoundIdentifier(parts) => self.rewrite_path(parts),
            _ => Ok(()),
        };
        match rewritten {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Rewriter<'_> {
    fn rewrite_column(&self, ident: &mut Ident) -> Result<()> {
        if ident.quote_style.is_some() {
            return Ok(());
        }
        for scope in self.scopes.iter().rev() {
            if scope.outputs.contains(&folded(ident)) {
                return Ok(());
            }
            if let Some(spelling) = spelling_in(&scope.relations, ident)? {
                respell(ident, Some(&spelling));
                return Ok(());
            }
        }
        Ok(())
    }

    /// `relation.column`, also with a schema before it or fields behind it; or `column.field`.
    fn rewrite_path(&self, parts: &mut [Ident]) -> Result<()> {
        let before_last = parts.len().saturating_sub(2);
        for scope in self.scopes.iter().rev() {
            for index in [before_last, 0] {
                let [.., qualifier, column] = &mut parts[..index + 2] else {
                    continue;
                };
                let Some(relation) = scope.relation(qualifier) else {
                    continue;
                };
                respell(qualifier, relation.name.as_deref());
                if column.quote_style.is_none()
                    && let Some(spelling) = spelling_in(std::slice::from_ref(relation), column)?
                {
                    respell(column, Some(&spelling));
                }
                return Ok(());
            }
            if let Some(first) = parts.first_mut()
                && first.quote_style.is_none()
                && let Some(spelling) = spelling_in(&scope.relations, first)?
            {
                respell(first, Some(&spelling));
                return Ok(());
            }
        }
        Ok(())
    }

    /// The columns of USING, where both sides have the same other spelling.
    fn rewrite_using(&mut self, tables: &mut TableWithJoins) {
        for join in &mut tables.joins {
            let Some(JoinConstraint::Using(names)) = constraint_mut(&mut join.join_operator) else {
                continue;
            };
            let right = self.known.relations_of_factor(&join.relation);
            for name in names {
                if let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
                    && ident.quote_style.is_none()
                    && let Ok(Some(spelling)) = spelling_in(&right, ident)
                {
                    respell(ident, Some(&spelling));
                }
            }
        }
    }
}

/// The spelling that an unquoted column has in `relations`; `None` when none of them has it. Errors: 42702.
fn spelling_in(relations: &[Relation], ident: &Ident) -> Result<Option<String>> {
    let exact = folded(ident);
    let columns = || relations.iter().flat_map(Relation::columns);
    if columns().any(|column| *column == exact) {
        return Ok(Some(exact));
    }
    let wanted = ident.value.to_lowercase();
    let mut found: Vec<&String> = columns()
        .filter(|column| column.to_lowercase() == wanted)
        .collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only).clone())),
        several => {
            let listed: Vec<String> = several.iter().map(|name| quoted(name)).collect();
            let message = format!("column reference \"{exact}\" is ambiguous");
            Err(QueryError::new(SqlState::AMBIGUOUS_COLUMN, message)
                .at(Span::try_from_sqlparser_span(ident.span))
                .hint(format!("Quote one of {}.", listed.join(", "))))
        }
    }
}

/// Gives an identifier the spelling of what it means, quoted where the planner would fold it.
fn respell(ident: &mut Ident, spelling: Option<&str>) {
    if let Some(spelling) = spelling
        && folded(ident) != spelling
    {
        ident.value = spelling.to_owned();
        ident.quote_style = Some('"');
    }
}

/// The column's name, if `expr` is nothing but a column.
fn column_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

/// `GROUP BY name` means an output column where only that has this exact name.
fn keep_output_groups(select: &mut Select, scope: &Scope) {
    let aliases: Vec<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            _ => None,
        })
        .collect();
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else {
        return;
    };
    for group in groups {
        if let Expr::Identifier(ident) = group
            && ident.quote_style.is_none()
            && aliases.contains(&folded(ident))
            && !scope
                .relations
                .iter()
                .any(|relation| relation.has(&folded(ident)))
        {
            ident.value = folded(ident);
            ident.quote_style = Some('"');
        }
    }
}

/// Gives the unnamed expressions of a subquery's list the names that PostgreSQL gives them, so that the query around it can
/// use them. A name that is there twice, or is none, stays the planner's.
fn name_outputs(query: &mut Query) {
    let mut body = query.body.as_mut();
    let select = loop {
        body = match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(query) => query.body.as_mut(),
            SetExpr::SetOperation { left, .. } => left.as_mut(),
            _ => return,
        };
    };
    let names: Vec<Option<String>> = select.projection.iter().map(scope::item_name).collect();
    for (item, name) in select.projection.iter_mut().zip(&names) {
        let (SelectItem::UnnamedExpr(expr), Some(name)) = (&mut *item, name) else {
            continue;
        };
        let alone = names.iter().flatten().filter(|other| *other == name).count() == 1;
        if alone && column_of(expr).is_none() && name != names::UNNAMED {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: Ident::with_quote('"', name),
            };
        }
    }
}

/// The condition of a join, if it has one.
pub(super) fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// The last part of a relation's name, folded.
fn last_folded(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

#[cfg(test)]
mod tests;
