//! What a FROM clause gives to `*` and to names without a relation. A column that USING or NATURAL merges is one there: of
//! the side that always has it, else whichever of both has it.

use std::collections::BTreeSet;

use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, SelectItem,
    SelectItemQualifiedWildcardKind, Value, WildcardAdditionalOptions,
};

use super::scope::Relation;
use super::{folded, names};
use crate::error::{QueryError, Result, quoted};
use crate::query::catalog_syntax::call;
use crate::query::syntax::binary;
use crate::sqlstate::SqlState;

/// One of the things that `*` stands for, in its order.
#[derive(Debug, Clone)]
pub(super) enum Given {
    Column(Column),
    /// All columns of a relation that only the planner knows.
    All(ObjectName),
}

/// A column, and what computes it.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) value: Box<Expr>,
}

impl Given {
    /// Those of one relation.
    pub(super) fn of(relation: &Relation) -> Vec<Self> {
        let Some(columns) = relation.known_columns() else {
            return relation.qualifier().map(Self::All).into_iter().collect();
        };
        let column = |name: &String| Column {
            name: name.clone(),
            value: Box::new(relation.column(name)),
        };
        columns.iter().map(column).map(Self::Column).collect()
    }

    pub(super) fn column(&self) -> Option<&Column> {
        match self {
            Self::Column(column) => Some(column),
            Self::All(_) => None,
        }
    }

    /// As an item of a select list.
    pub(super) fn into_item(self) -> SelectItem {
        match self {
            Self::Column(column) => SelectItem::ExprWithAlias {
                expr: *column.value,
                alias: Ident::with_quote('"', names::shown(&column.name)),
            },
            Self::All(name) => SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                WildcardAdditionalOptions::default(),
            ),
        }
    }
}

/// The only column that a name means. Errors: 42702.
pub(super) fn find<'a>(given: &'a [Given], ident: &Ident) -> Result<Option<&'a Column>> {
    let place = only(names_of(given), ident)?;
    Ok(place.and_then(|place| given.get(place)).and_then(Given::column))
}

/// The place of the only one of `names` that `ident` means; `None` when it means none of them. It is the exact one, else,
/// unquoted, one that differs in case. Errors: 42702.
pub(super) fn only<'a>(
    names: impl Iterator<Item = (usize, &'a str)> + Clone,
    ident: &Ident,
) -> Result<Option<usize>> {
    let meant = meant(names, ident);
    if let [] | [_] = meant.as_slice() {
        return Ok(meant.first().map(|(place, _)| *place));
    }
    let spellings: BTreeSet<String> = meant.iter().map(|(_, name)| quoted(name)).collect();
    let message = format!("column reference \"{}\" is ambiguous", folded(ident));
    let error =
        QueryError::new(SqlState::AMBIGUOUS_COLUMN, message).at(Span::try_from_sqlparser_span(ident.span));
    Err(match spellings.len() {
        1 => error,
        _ => error.hint(format!("Quote one of {}.", Vec::from_iter(spellings).join(", "))),
    })
}

/// Those of `names` that `ident` may mean.
fn meant<'a>(names: impl Iterator<Item = (usize, &'a str)> + Clone, ident: &Ident) -> Vec<(usize, &'a str)> {
    // Written out for `*`.
    if names::is_marked(&ident.value) {
        return names.filter(|(_, name)| *name == ident.value).collect();
    }
    let shown = names.map(|(place, name)| (place, names::shown(name)));
    let exact = folded(ident);
    let found: Vec<_> = shown.clone().filter(|(_, name)| *name == exact).collect();
    if !found.is_empty() || ident.quote_style.is_some() {
        return found;
    }
    let wanted = ident.value.to_lowercase();
    shown.filter(|(_, name)| name.to_lowercase() == wanted).collect()
}

fn names_of(given: &[Given]) -> impl Iterator<Item = (usize, &str)> + Clone {
    let columns = given.iter().enumerate();
    columns.filter_map(|(place, given)| Some((place, given.column()?.name.as_str())))
}

/// What a join gives.
pub(super) struct Joined {
    pub(super) given: Vec<Given>,
    /// What USING and NATURAL mean.
    pub(super) condition: Option<Expr>,
}

/// Joins `left` and `right`. Errors: 42703 and 42702 for the columns of USING and NATURAL.
pub(super) fn join(mut left: Vec<Given>, mut right: Vec<Given>, operator: &JoinOperator) -> Result<Joined> {
    let keys = match constraint(operator) {
        Some(JoinConstraint::Using(keys)) => {
            let idents = keys.iter().filter_map(|key| key.0.last()?.as_ident().cloned());
            idents.collect()
        }
        Some(JoinConstraint::Natural) => common(&left, &right),
        _ => {
            left.append(&mut right);
            return Ok(Joined {
                given: left,
                condition: None,
            });
        }
    };
    let (mut given, mut condition) = (Vec::new(), None);
    for key in keys {
        let (name, left) = take(&mut left, &key, "left")?;
        let (_, right) = take(&mut right, &key, "right")?;
        let equal = binary(left.clone(), BinaryOperator::Eq, right.clone());
        condition = Some(match condition {
            Some(before) => binary(before, BinaryOperator::And, equal),
            None => equal,
        });
        let value = match operator {
            JoinOperator::FullOuter(_) => call("coalesce", vec![left, right]),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            _ => left,
        };
        let value = Box::new(value);
        given.push(Given::Column(Column { name, value }));
    }
    given.append(&mut left);
    given.append(&mut right);
    // Without common columns NATURAL joins all rows.
    let condition = condition.unwrap_or_else(|| Expr::value(Value::Boolean(true)));
    Ok(Joined {
        given,
        condition: Some(condition),
    })
}

/// The names that both sides have, in the order of the left one.
fn common(left: &[Given], right: &[Given]) -> Vec<Ident> {
    let mut common: Vec<Ident> = Vec::new();
    for given in left {
        let Some(column) = given.column() else { continue };
        let ident = Ident::with_quote('"', names::shown(&column.name));
        if !common.contains(&ident) && !meant(names_of(right), &ident).is_empty() {
            common.push(ident);
        }
    }
    common
}

/// Takes the column `key` out of one side of a join.
fn take(side: &mut Vec<Given>, key: &Ident, which: &str) -> Result<(String, Expr)> {
    let name = folded(key);
    let meant = meant(names_of(side), key);
    let place = meant.first().map(|(place, _)| *place);
    let column = place.and_then(|place| Some((place, side.get(place)?.column()?.clone())));
    let (state, message) = match (column, meant.len()) {
        (Some((place, column)), 1) => {
            side.remove(place);
            return Ok((column.name, *column.value));
        }
        (None, _) => (
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" specified in USING clause does not exist in {which} table"),
        ),
        _ => (
            SqlState::AMBIGUOUS_COLUMN,
            format!("common column name \"{name}\" appears more than once in {which} table"),
        ),
    };
    Err(QueryError::new(state, message).at(Span::try_from_sqlparser_span(key.span)))
}

/// The condition of a join, if it has one.
pub(in crate::query) fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
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
