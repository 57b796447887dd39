//! Makes a query smaller, one step at a time. A step need not be valid: PostgreSQL refuses what is not.

use super::kind::Kind;
use super::query::{Body, Distinct, Expr, Grouping, Part, Query, Select, Source};

/// The same for a query within another, whose rows must stay determined.
fn smaller_inside(query: &Query) -> Vec<Query> {
    let mut all = smaller(query);
    all.retain(Query::is_determined);
    all
}

/// The queries one step smaller than `query`, the greatest steps first.
pub(super) fn smaller(query: &Query) -> Vec<Query> {
    let mut all = Vec::new();
    let mut change = |edit: &dyn Fn(&mut Query)| {
        let mut changed = query.clone();
        edit(&mut changed);
        if changed != *query {
            all.push(changed);
        }
    };
    let chosen = matches!(&query.body, Body::Select(select) if select.distinct == Distinct::OnFirst);
    change(&|query| query.ctes.clear());
    change(&|query| *query = query.unlimited());
    change(&|query| query.offset = 0);
    change(&|query| query.order.clear());
    for index in 0..query.order.len() {
        change(&|query| {
            query.order.remove(index);
        });
        change(&|query| query.order[index].direction = "");
    }
    if let Body::Set { left, right, .. } = &query.body {
        for side in [left, right] {
            change(&|query| query.body = side.body.clone());
        }
    }
    for column in 0..query.kinds().len() {
        if query.kinds().len() > 1 {
            change(&|query| remove_column(query, column));
        }
    }
    for (index, (_, cte)) in query.ctes.iter().enumerate() {
        for step in smaller_inside(cte) {
            change(&|query| query.ctes[index].1 = step.clone());
        }
    }
    match &query.body {
        Body::Select(select) => {
            for step in smaller_select(select) {
                change(&|query| query.body = Body::Select(step.clone()));
            }
        }
        Body::Set {
            operator,
            left,
            right,
        } => {
            for step in smaller_inside(left).into_iter().map(Box::new) {
                change(&|query| {
                    query.body = Body::Set {
                        operator,
                        left: step.clone(),
                        right: right.clone(),
                    }
                });
            }
            for step in smaller_inside(right).into_iter().map(Box::new) {
                change(&|query| {
                    query.body = Body::Set {
                        operator,
                        left: left.clone(),
                        right: step.clone(),
                    }
                });
            }
        }
    }
    // What stands first decides which rows are chosen.
    all.retain(|step| !chosen || step.is_determined());
    all
}

/// The query with all tables in the first place: that the place has no part in a difference is worth knowing.
pub(super) fn in_one_place(query: &Query) -> Query {
    let mut moved = query.clone();
    move_query(&mut moved);
    moved
}

fn remove_column(query: &mut Query, column: usize) {
    query.order.retain(|key| key.column != column);
    for key in &mut query.order {
        key.column -= usize::from(key.column > column);
    }
    match &mut query.body {
        Body::Select(select) => {
            select.items.remove(column);
        }
        Body::Set { left, right, .. } => {
            remove_column(left, column);
            remove_column(right, column);
        }
    }
}

fn smaller_select(select: &Select) -> Vec<Select> {
    let mut all = Vec::new();
    let mut change = |edit: &dyn Fn(&mut Select)| {
        let mut changed = select.clone();
        edit(&mut changed);
        if changed != *select {
            all.push(changed);
        }
    };
    change(&|select| select.filter = None);
    change(&|select| select.having = None);
    change(&|select| select.distinct = Distinct::Not);
    change(&|select| select.grouping = Grouping::Plain);
    for index in 0..select.from.len() {
        if select.from.len() > 1 {
            change(&|select| {
                select.from.remove(index);
                select.from[0].on = None;
                select.from[0].using = None;
            });
        }
        if index > 0 && (select.from[index].on.is_some() || select.from[index].using.is_some()) {
            change(&|select| select.from[index].join = "JOIN");
        }
        if let Source::Derived(query) = &select.from[index].source {
            for step in smaller_inside(query) {
                change(&|select| select.from[index].source = Source::Derived(Box::new(step.clone())));
            }
        }
        for on in select.from[index].on.iter().flat_map(smaller_expr) {
            change(&|select| select.from[index].on = Some(on.clone()));
        }
    }
    for index in 0..select.groups.len() {
        change(&|select| {
            select.groups.remove(index);
        });
    }
    for filter in select.filter.iter().flat_map(smaller_expr) {
        change(&|select| select.filter = Some(filter.clone()));
    }
    for having in select.having.iter().flat_map(smaller_expr) {
        change(&|select| select.having = Some(having.clone()));
    }
    for index in 0..select.items.len() {
        for item in smaller_expr(&select.items[index]) {
            change(&|select| select.items[index] = item.clone());
        }
    }
    all
}

/// Expressions of the same kind with less in them: a part of it, a constant, a list with an item less.
fn smaller_expr(expr: &Expr) -> Vec<Expr> {
    let mut all = Vec::new();
    if expr.kind == Kind::Bool && !expr.is_leaf() {
        all.push(Expr::sql(Kind::Bool, "TRUE"));
    }
    for part in &expr.parts {
        match part {
            Part::Expr(inner) if inner.kind == expr.kind => all.push((**inner).clone()),
            Part::List(_, items) => all.extend(items.iter().filter(|item| item.kind == expr.kind).cloned()),
            _ => {}
        }
    }
    if !expr.is_leaf() {
        all.push(expr.kind.least());
    }
    for (index, part) in expr.parts.iter().enumerate() {
        let mut with = |part: Part| {
            let mut changed = expr.clone();
            changed.parts[index] = part;
            all.push(changed);
        };
        match part {
            Part::Sql(_) => {}
            Part::Expr(inner) => smaller_expr(inner).into_iter().for_each(|step| with(step.into())),
            Part::List(separator, items) => {
                for item in 0..items.len() {
                    if items.len() > 1 {
                        let mut fewer = items.clone();
                        fewer.remove(item);
                        with(Part::List(separator, fewer));
                    }
                    for step in smaller_expr(&items[item]) {
                        let mut changed = items.clone();
                        changed[item] = step;
                        with(Part::List(separator, changed));
                    }
                }
            }
            Part::Query(query) => smaller_inside(query)
                .into_iter()
                .for_each(|step| with(step.into())),
        }
    }
    all
}

fn move_query(query: &mut Query) {
    for (_, cte) in &mut query.ctes {
        move_query(cte);
    }
    match &mut query.body {
        Body::Set { left, right, .. } => {
            move_query(left);
            move_query(right);
        }
        Body::Select(select) => {
            for joined in &mut select.from {
                match &mut joined.source {
                    Source::Table { place, .. } => *place = 0,
                    Source::Derived(query) => move_query(query),
                    Source::Cte(_) => {}
                }
                joined.on.iter_mut().for_each(move_expr);
            }
            let Select {
                items,
                filter,
                groups,
                having,
                ..
            } = select;
            let all = items.iter_mut().chain(filter).chain(groups).chain(having);
            all.for_each(move_expr);
        }
    }
}

fn move_expr(expr: &mut Expr) {
    for part in &mut expr.parts {
        match part {
            Part::Sql(_) => {}
            Part::Expr(inner) => move_expr(inner),
            Part::List(_, items) => items.iter_mut().for_each(move_expr),
            Part::Query(query) => move_query(query),
        }
    }
}
