//! Names of columns to what they mean: the relation and the spelling that the source has, which is exactly the name in lower
//! case, else, unquoted, the only one that differs in case. Output columns get names of which none is there twice.
//!
//! Stands between the resolution of a statement's tables and the planner, which matches names exactly, and takes names of
//! outputs for columns of inputs. What is found nowhere is left as it is, so that the planner says so.

mod given;
mod outputs;
mod scope;

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OrderBy, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

use super::catalog_syntax::null;
use super::{names, parse};
use crate::error::{QueryError, Result};
pub(super) use given::constraint;
use given::{Given, find, only};
use outputs::{exactly, is_value, order_keys, output, position, spell_out_outputs};
use scope::{Known, Scope};

/// Rewrites the names of `statement`, which reads `tables` with these columns. Errors: 42702, a name could mean several columns;
/// 42712, two relations have one name.
pub(super) fn rewrite(statement: &mut Statement, tables: &HashMap<TableReference, SchemaRef>) -> Result<()> {
    let mut rewriter = Rewriter {
        known: Known::new(tables),
        scopes: Vec::new(),
        orders: Vec::new(),
        selects: Vec::new(),
    };
    result(VisitMut::visit(statement, &mut rewriter))
}

fn result(visited: ControlFlow<QueryError>) -> Result<()> {
    match visited {
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
    /// The orders of the queries that are being visited, the innermost last: nothing else sees what an order sees.
    orders: Vec<(Option<OrderBy>, Scope)>,
    /// The SELECTs that are being visited, the innermost last.
    selects: Vec<Entered>,
}

/// What is put into a SELECT when all else of it has been visited.
struct Entered {
    /// Its FROM clause, of whose parts each sees something else.
    from: Vec<TableWithJoins>,
    /// The names of its outputs.
    names: Vec<Option<String>>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        self.known.enter(query);
        match self.scope_of_order(query) {
            Ok(scope) => self.orders.push((query.order_by.take(), scope)),
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if let Some((order, scope)) = self.orders.pop() {
            query.order_by = order;
            self.scopes.push(scope);
            VisitMut::visit(&mut query.order_by, self)?;
            self.scopes.pop();
        }
        self.known.leave();
        if let SetExpr::Select(select) = query.body.as_ref()
            && matches!(select.distinct, Some(Distinct::Distinct))
        {
            // Which the planner does not find among the outputs.
            for key in order_keys(&mut query.order_by) {
                let items = select.projection.iter();
                let mut terms = items.take_while(|item| scope::item_name(item).is_some());
                if let Some(place) = terms.position(|item| is_value(item, &key.expr)) {
                    key.expr = position(place);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        // A joined table with a name hides the names of what it joins.
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: Some(alias),
        } = factor
        {
            let subquery = match all_of(table_with_joins) {
                Ok(subquery) => subquery,
                Err(error) => return ControlFlow::Break(error),
            };
            *factor = TableFactor::Derived {
                lateral: false,
                subquery,
                alias: Some(alias.clone()),
                sample: None,
            };
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        match self.enter_select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        self.scopes.pop();
        let Some(entered) = self.selects.pop() else {
            return ControlFlow::Continue(());
        };
        select.from = entered.from;
        for (item, name) in select.projection.iter_mut().zip(entered.names) {
            let Some(name) = name else { continue };
            let expr = match item {
                SelectItem::UnnamedExpr(expr)
                    if column_of(expr).is_some_and(|column| folded(column) == name) =>
                {
                    continue;
                }
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    std::mem::replace(expr, null())
                }
                _ => continue,
            };
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        let rewritten = match expr {
            Expr::Identifier(ident) => self.meaning(ident).map(|meaning| {
                if let Some(meaning) = meaning {
                    *expr = meaning;
                }
            }),
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
    /// What the ORDER BY of `query` sees: what the SELECT sees that it belongs to. A key that is the name of an output becomes its
    /// position.
    fn scope_of_order(&mut self, query: &mut Query) -> Result<Scope> {
        if query.order_by.is_none() {
            return Ok(Scope::default());
        }
        let SetExpr::Select(select) = query.body.as_ref() else {
            let names = self.known.outputs_of_body(&query.body).unwrap_or_default();
            for key in order_keys(&mut query.order_by) {
                let places = names.iter().map(String::as_str).enumerate();
                if let Expr::Identifier(ident) = &key.expr
                    && let Some(place) = only(places, &exactly(ident))?
                {
                    key.expr = position(place);
                }
            }
            return Ok(Scope {
                outputs: names,
                ..Scope::default()
            });
        };
        let mut scope = self.known.scope(select)?;
        let Some(outputs) = scope.outputs_of(select) else {
            let names = select.projection.iter().filter_map(scope::item_name);
            scope.outputs = names.collect();
            return Ok(scope);
        };
        let is_distinct_on = matches!(select.distinct, Some(Distinct::On(_)));
        for key in order_keys(&mut query.order_by) {
            let Expr::Identifier(ident) = &key.expr else {
                continue;
            };
            if let Some(place) = output(&outputs, ident, &scope.given, "ORDER BY")? {
                key.expr = match outputs.get(place) {
                    // For which the planner looks before there are outputs.
                    Some(output) if is_distinct_on => output.value.clone().into_owned(),
                    _ => position(place),
                };
            }
        }
        Ok(scope)
    }

    fn enter_select(&mut self, select: &mut Select) -> Result<()> {
        let mut from = std::mem::take(&mut select.from);
        let mut scope = Scope::default();
        for tables in &mut from {
            let joined = self.rewrite_joins(tables, &[&scope])?;
            scope.extend(joined);
        }
        if let Some(error) = scope.repeated_name() {
            return Err(error);
        }
        spell_out_outputs(select, &scope)?;
        scope.expand(select);
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
        let names = scope.names_of(select);
        self.selects.push(Entered { from, names });
        self.scopes.push(scope);
        Ok(())
    }

    /// Writes ON for USING and NATURAL, and rewrites the parts of a FROM clause and their conditions: each condition sees what
    /// is joined so far, and what is LATERAL also `left`.
    fn rewrite_joins(&mut self, tables: &mut TableWithJoins, left: &[&Scope]) -> Result<Scope> {
        let mut scope = self.rewrite_factor(&mut tables.relation, left)?;
        for joined in &mut tables.joins {
            let right = {
                let left: Vec<&Scope> = left.iter().copied().chain([&scope]).collect();
                self.rewrite_factor(&mut joined.relation, &left)?
            };
            let condition = scope.join(right, &joined.join_operator)?;
            let Some(constraint) = constraint_mut(&mut joined.join_operator) else {
                continue;
            };
            if let Some(condition) = condition {
                *constraint = JoinConstraint::On(condition);
            } else if let JoinConstraint::On(condition) = constraint {
                self.scopes.push(std::mem::take(&mut scope));
                let visited = result(VisitMut::visit(condition, self));
                scope = self.scopes.pop().unwrap_or_default();
                visited?;
            }
        }
        Ok(scope)
    }

    fn rewrite_factor(&mut self, factor: &mut TableFactor, left: &[&Scope]) -> Result<Scope> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = factor
        {
            return self.rewrite_joins(table_with_joins, left);
        }
        let scope = self.known.factor(factor)?;
        let sees_left = match factor {
            TableFactor::Derived { lateral, .. } => *lateral,
            // The arguments of a function see it.
            TableFactor::Table { args, .. } => args.is_some(),
            _ => true,
        };
        if sees_left {
            let mut visible = Scope::default();
            left.iter().for_each(|left| visible.extend((*left).clone()));
            self.scopes.push(visible);
        }
        let visited = result(VisitMut::visit(factor, self));
        if sees_left {
            self.scopes.pop();
        }
        visited.map(|()| scope)
    }

    /// What a name without a relation means; `None` when it is no column of a relation. Errors: 42702.
    fn meaning(&self, ident: &Ident) -> Result<Option<Expr>> {
        for scope in self.scopes.iter().rev() {
            if scope.outputs.contains(&folded(ident)) {
                return Ok(None);
            }
            if let Some(column) = find(&scope.given, ident)? {
                let mut value = (*column.value).clone();
                if let Expr::CompoundIdentifier(parts) = &mut value {
                    for part in parts {
                        part.span = ident.span;
                    }
                }
                return Ok(Some(value));
            }
            if scope.given.iter().any(|given| matches!(given, Given::All(_))) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// `relation.column`, also with a schema before it or fields behind it; or `column.field`.
    fn rewrite_path(&self, parts: &mut Vec<Ident>) -> Result<()> {
        let before_last = parts.len().saturating_sub(2);
        let Some(start) = parts.first().map(|part| part.span) else {
            return Ok(());
        };
        for scope in self.scopes.iter().rev() {
            for index in [before_last, 0] {
                let [.., qualifier, column] = &mut parts[..index + 2] else {
                    continue;
                };
                let Some(relation) = scope.relation(qualifier) else {
                    continue;
                };
                respell(qualifier, relation.name.as_deref());
                let known = relation.known_columns().unwrap_or_default();
                let names = known.iter().map(String::as_str).enumerate();
                let Some(found) = only(names, column)?.and_then(|place| known.get(place)) else {
                    return Ok(());
                };
                respell(column, Some(found));
                // Written in one way, so that two columns are the same if they look it.
                if index == before_last
                    && let Expr::CompoundIdentifier(mut plain) = relation.column(found)
                {
                    plain.iter_mut().for_each(|part| part.span = start);
                    *parts = plain;
                }
                return Ok(());
            }
            if let Some(first) = parts.first_mut()
                && let Some(found) = find(&scope.given, first)?
            {
                respell(first, Some(&found.name));
                return Ok(());
            }
        }
        Ok(())
    }
}

/// `SELECT * FROM tables`.
fn all_of(tables: &TableWithJoins) -> Result<Box<Query>> {
    let parsed = parse("SELECT *")?.into_iter().next();
    let Some(Statement::Query(mut query)) = parsed.map(|parsed| parsed.statement) else {
        return Err(QueryError::syntax("a joined table cannot be read"));
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![tables.clone()];
    }
    Ok(query)
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

/// The condition of a join, if it has one.
fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
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
