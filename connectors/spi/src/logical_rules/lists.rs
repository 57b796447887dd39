//! IN lists that DataFusion would merge into one that means something else.
//!
//! Its simplifier takes `x IN (..)` beside another one for sets: of `x IN (1) AND x IN (2)` nothing is left, which is false,
//! though NULL for a NULL; `x NOT IN (1) OR x NOT IN (2)` is true to it, also for a NULL; a NULL in a list is an element like
//! others; and elements with columns are told apart by their text. So lists with columns become comparisons, and lists that
//! must not meet are over terms that it does not take for the same.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_binary, split_binary_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::hidden;

/// `plan`, of which the simplifier may look at all lists.
pub(super) fn apart(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    // Those of a scan are conditions as well.
    let filters = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::TableScan(_));
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        if !expr.exists(|part| Ok(has_columns(part) || is_chain_of_lists(part)))? {
            return Ok(Transformed::no(expr));
        }
        let name = names.save(&expr);
        let is_turned = expr.exists(|part| Ok(turns_chain(part)))?;
        let mut is_condition = filters;
        let apart = expr
            .transform_up(|expr| Ok(with_comparisons(expr)))?
            .transform_data(|expr| {
                expr.transform_down(|expr| chain_apart(expr, std::mem::take(&mut is_condition), is_turned))
            })?;
        Ok(match apart.transformed {
            true => apart.update_data(|expr| name.restore(expr)),
            false => apart,
        })
    })
}

/// Whether `expr` is a list with columns among its elements.
fn has_columns(expr: &Expr) -> bool {
    matches!(expr, Expr::InList(list) if list.list.iter().any(Expr::any_column_refs))
}

/// Whether `expr` joins two parts or more with lists.
fn is_chain_of_lists(expr: &Expr) -> bool {
    let op = match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) if is_chain(expr) => *op,
        _ => return false,
    };
    let parts = split_binary(expr, op);
    parts
        .into_iter()
        .filter(|part| !lists_of(part, op, true).is_empty())
        .nth(1)
        .is_some()
}

/// Whether `expr` turns a chain round: NOT of an OR of lists is an AND of others.
fn turns_chain(expr: &Expr) -> bool {
    let has_chain = |part: &Expr| matches!(part.exists(|part| Ok(is_chain(part))), Ok(true));
    match expr {
        Expr::Not(inner) | Expr::IsFalse(inner) | Expr::IsNotTrue(inner) => has_chain(inner),
        // `(..) = false` is another way to say NOT.
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) if !is_chain(expr) => {
            has_chain(left) || has_chain(right)
        }
        _ => false,
    }
}

fn is_chain(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::And | Operator::Or,
            ..
        })
    )
}

/// `x IN (1, y)` as `x IN (1) OR x = y`.
fn with_comparisons(expr: Expr) -> Transformed<Expr> {
    let Expr::InList(InList { expr, list, negated }) = expr else {
        return Transformed::no(expr);
    };
    if expr.is_volatile() || !list.iter().any(Expr::any_column_refs) {
        return Transformed::no(Expr::InList(InList { expr, list, negated }));
    }
    let (columns, list): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(Expr::any_column_refs);
    let term = (*expr).clone();
    let compared = columns.into_iter().map(|column| match negated {
        true => term.clone().not_eq(column),
        false => term.clone().eq(column),
    });
    let mut parts: Vec<Expr> = compared.collect();
    if !list.is_empty() {
        parts.push(Expr::InList(InList { expr, list, negated }));
    }
    let joined = match negated {
        true => conjunction(parts),
        false => disjunction(parts),
    };
    // There is a part for each element.
    Transformed::yes(joined.unwrap_or_default())
}

/// A chain of AND or OR in which no two lists over the same term meet. Of conditions of a WHERE, false and NULL are alike.
/// `is_turned`: it may become the other kind of chain, of the opposite lists.
fn chain_apart(expr: Expr, is_condition: bool, is_turned: bool) -> Result<Transformed<Expr>> {
    let op = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) if is_chain(&expr) => *op,
        _ => return Ok(Transformed::no(expr)),
    };
    let mut seen: Vec<(Expr, usize)> = Vec::new();
    let mut changed = false;
    let mut parts = split_binary_owned(expr, op);
    let lists = parts.iter().flat_map(|part| lists_of(part, op, is_turned));
    let differ =
        |list: &List<'_>| op == Operator::Or || !is_condition || (list.negated && list.may_hold_null);
    let differing: Vec<Expr> = lists.filter(differ).map(|list| bare(list.term).clone()).collect();
    for part in &mut parts {
        let mut terms: Vec<Expr> = Vec::new();
        for list in lists_of(part, op, is_turned) {
            if differing.contains(bare(list.term)) && !terms.contains(list.term) {
                terms.push(list.term.clone());
            }
        }
        for term in terms {
            let Some((_, times)) = seen.iter_mut().find(|(known, _)| known == bare(&term)) else {
                seen.push((bare(&term).clone(), 0));
                continue;
            };
            *times += 1;
            changed = true;
            let other = (0..*times).fold(term.clone(), |term, _| hidden(term));
            *part = replaced(std::mem::take(part), &term, &other)?;
        }
    }
    let joined = match op {
        Operator::And => conjunction(parts),
        _ => disjunction(parts),
    };
    Ok(Transformed::new_transformed(joined.unwrap_or_default(), changed))
}

/// `term` without its casts: the simplifier takes them off where the literals of a list allow it.
fn bare(term: &Expr) -> &Expr {
    match term {
        Expr::Cast(cast) => bare(&cast.expr),
        other => other,
    }
}

/// A part of a chain that is a list, or may become one.
struct List<'a> {
    term: &'a Expr,
    negated: bool,
    may_hold_null: bool,
}

/// The lists in a part of a chain of `op`, but for those that are joined rightly: as sets that are united. What a list is joined
/// with in the part may turn out to be true or false whatever the row, and then the list is all of it.
fn lists_of(part: &Expr, op: Operator, is_turned: bool) -> Vec<List<'_>> {
    let mut found = Vec::new();
    collect(part, false, &mut found);
    found.retain(|list| {
        let is_union = op == Operator::Or && !list.negated && !is_turned;
        !is_union && list.term.any_column_refs()
    });
    found
}

fn collect<'a>(part: &'a Expr, negated: bool, found: &mut Vec<List<'a>>) {
    if let Some(list) = any_list(part) {
        found.push(List {
            negated: list.negated != negated,
            ..list
        });
        return;
    }
    match part {
        Expr::Not(inner) => collect(inner, !negated, found),
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) if is_chain(part) => {
            collect(left, negated, found);
            collect(right, negated, found);
        }
        _ => {}
    }
}

fn any_list(part: &Expr) -> Option<List<'_>> {
    Some(match part {
        Expr::InList(list) => List {
            term: &list.expr,
            negated: list.negated,
            may_hold_null: list
                .list
                .iter()
                .any(|item| !matches!(item, Expr::Literal(value, _) if !value.is_null())),
        },
        Expr::Not(inner) => {
            let inner = any_list(inner)?;
            List {
                negated: !inner.negated,
                ..inner
            }
        }
        // Of such comparisons the simplifier makes a list.
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => {
            let (left, right) = (equal_to(left)?, equal_to(right)?);
            if left.term != right.term {
                return None;
            }
            List {
                may_hold_null: left.may_hold_null || right.may_hold_null,
                ..left
            }
        }
        _ => return None,
    })
}

/// `x = 1`, `x IN (1)`, or several of them joined by OR.
fn equal_to(part: &Expr) -> Option<List<'_>> {
    match part {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => {
            let (term, value) = match (left.any_column_refs(), right.any_column_refs()) {
                (true, false) => (left, right),
                (false, true) => (right, left),
                _ => return None,
            };
            Some(List {
                term,
                negated: false,
                may_hold_null: !matches!(value.as_ref(), Expr::Literal(value, _) if !value.is_null()),
            })
        }
        other => any_list(other).filter(|list| !list.negated),
    }
}

/// `part` with `other` in the place of `term`.
fn replaced(part: Expr, term: &Expr, other: &Expr) -> Result<Expr> {
    let rewritten = part.transform_down(|expr| {
        Ok(match expr == *term {
            true => Transformed::new(other.clone(), true, TreeNodeRecursion::Jump),
            false => Transformed::no(expr),
        })
    })?;
    Ok(rewritten.data)
}
