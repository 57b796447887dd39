//! Names and positions of a SELECT's output columns, in its ORDER BY, GROUP BY and DISTINCT ON.

use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, OrderBy, OrderByExpr, OrderByKind, Select, SelectItem, Value,
};

use super::given::{Given, find};
use super::scope::{Output, Scope};
use super::{folded, names};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// The place of the output that `ident` means: where several have the name they are one column. Errors: 42702.
pub(super) fn output(
    outputs: &[Output<'_>],
    ident: &Ident,
    given: &[Given],
    clause: &str,
) -> Result<Option<usize>> {
    let name = folded(ident);
    let mut meant = outputs
        .iter()
        .enumerate()
        .filter(|(_, output)| names::shown(&output.name) == name);
    let Some((place, first)) = meant.next() else {
        return Ok(None);
    };
    for (_, other) in meant {
        if !is_same(&first.value, &other.value, given)? {
            let message = format!("{clause} \"{name}\" is ambiguous");
            return Err(QueryError::new(SqlState::AMBIGUOUS_COLUMN, message)
                .at(Span::try_from_sqlparser_span(ident.span)));
        }
    }
    Ok(Some(place))
}

/// Whether two terms are one, also if a column has its relation in only one of them.
fn is_same(left: &Expr, right: &Expr, given: &[Given]) -> Result<bool> {
    let plain = |expr: &Expr| -> Result<Option<Vec<String>>> {
        Ok(match expr {
            Expr::Identifier(ident) => match find(given, ident)? {
                Some(column) => column_parts(&column.value),
                None => None,
            },
            other => column_parts(other),
        })
    };
    Ok(match (plain(left)?, plain(right)?) {
        (Some(left), Some(right)) => left.ends_with(&right) || right.ends_with(&left),
        _ => left == right,
    })
}

fn column_parts(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(folded).collect()),
        _ => None,
    }
}

/// Puts the term of an output in the place of its name: in DISTINCT ON, and in GROUP BY where no column of FROM has exactly
/// this name. Errors: 42702.
pub(super) fn spell_out_outputs(select: &mut Select, scope: &Scope) -> Result<()> {
    let Some(outputs) = scope.outputs_of(select) else {
        return Ok(());
    };
    let term = |key: &Expr, clause: &str| -> Result<Option<Expr>> {
        let Expr::Identifier(ident) = key else {
            return Ok(None);
        };
        let place = output(&outputs, ident, &scope.given, clause)?;
        let output = place.and_then(|place| outputs.get(place));
        Ok(output.map(|output| output.value.clone().into_owned()))
    };
    let mut groups = match &select.group_by {
        GroupByExpr::Expressions(groups, _) => groups.clone(),
        GroupByExpr::All(_) => Vec::new(),
    };
    for group in &mut groups {
        if let Expr::Identifier(ident) = &*group
            && find(&scope.given, &exactly(ident)).is_ok_and(|found| found.is_none())
            && let Some(term) = term(group, "GROUP BY")?
        {
            *group = term;
        }
    }
    let mut keys = match &select.distinct {
        Some(Distinct::On(keys)) => keys.clone(),
        _ => Vec::new(),
    };
    for key in &mut keys {
        if let Some(term) = term(key, "DISTINCT ON")? {
            *key = term;
        }
    }
    if let GroupByExpr::Expressions(written, _) = &mut select.group_by {
        *written = groups;
    }
    if let Some(Distinct::On(written)) = &mut select.distinct {
        *written = keys;
    }
    Ok(())
}

/// `ident`, which means its own spelling only.
pub(super) fn exactly(ident: &Ident) -> Ident {
    Ident::with_quote('"', folded(ident))
}

pub(super) fn order_keys(order: &mut Option<OrderBy>) -> &mut [OrderByExpr] {
    match order {
        Some(OrderBy {
            kind: OrderByKind::Expressions(keys),
            ..
        }) => keys,
        _ => &mut [],
    }
}

/// Whether `item` is the term `expr`, and no position.
pub(super) fn is_value(item: &SelectItem, expr: &Expr) -> bool {
    match item {
        SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => {
            value == expr && !matches!(expr, Expr::Value(_))
        }
        _ => false,
    }
}

pub(super) fn position(place: usize) -> Expr {
    Expr::value(Value::Number((place + 1).to_string(), false))
}
