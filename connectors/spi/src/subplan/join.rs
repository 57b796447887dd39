//! Joins of the scans of two tables of one source.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, Join as JoinNode, LogicalPlan};

use super::beside::brought_together;
use super::folded::side;
use super::input::{Input, derived_column, derived_scan, free_name, inlined};
use super::lifted::lifted;
use super::{Offer, UNKNOWN};
use crate::operator::{Join, JoinKind, Operator};
use crate::scan::Scan;

pub(super) fn grow(node: JoinNode) -> Result<Transformed<LogicalPlan>> {
    let grown = match lifted(&node)? {
        Some(lifted) => lifted,
        None => offered(node, true)?,
    };
    if let (LogicalPlan::Join(node), false) = (&grown.data, grown.transformed)
        && let Some(plan) = brought_together(node)?
    {
        return Ok(Transformed::yes(plan));
    }
    Ok(grown)
}

/// The scan that stands for `node` below an operator that is sent with it.
pub(super) fn fold(node: &JoinNode) -> Result<Option<LogicalPlan>> {
    let (left, right) = (side(&node.left)?, side(&node.right)?);
    let joined = JoinNode {
        left: Arc::new(left.into_owned()),
        right: Arc::new(right.into_owned()),
        ..node.clone()
    };
    let offered = offered(joined, false)?;
    Ok(offered.transformed.then_some(offered.data))
}

/// `moved`: whether its rows are what is read of the source.
pub(super) fn offered(node: JoinNode, moved: bool) -> Result<Transformed<LogicalPlan>> {
    let (Some(left), Some(right)) = (Input::of(&node.left), Input::of(&node.right)) else {
        return Ok(Transformed::no(LogicalPlan::Join(node)));
    };
    let (kind, mirrored) = kind(&node);
    let (kept, other) = if mirrored { (right, left) } else { (left, right) };
    if !kept.source.shares_source(other.source) {
        return Ok(Transformed::no(LogicalPlan::Join(node)));
    }
    let (operator, columns) = match kind.and_then(|kind| join(&node, kind, moved, &kept, &other)) {
        Ok((join, columns)) => (Ok(join), columns),
        Err(reason) => (Err(reason), Vec::new()),
    };
    let scan = operator.as_ref().ok().map(|join| join.right_scan.clone());
    let shown = || format!("{} {}", called(node.join_type), other.source.table().name().table);
    let derived = kept.offer(operator.map(Operator::Join), shown);
    let (Some(derived), Some(scan)) = (derived, scan) else {
        return Ok(Transformed::no(LogicalPlan::Join(node)));
    };
    let derived = derived.joined_with(other.source, &scan);
    Ok(Transformed::yes(derived_scan(derived, columns, &node.schema)?))
}

/// What a user calls a join, whichever side's rows are kept.
fn called(join: JoinType) -> &'static str {
    match join {
        JoinType::Inner => "join",
        JoinType::Left | JoinType::Right => "left join",
        JoinType::Full => "full join",
        JoinType::LeftSemi | JoinType::RightSemi | JoinType::LeftMark | JoinType::RightMark => "semi join",
        JoinType::LeftAnti | JoinType::RightAnti => "anti join",
    }
}

/// What sources call the join, and whether its right side is the one whose rows are kept.
fn kind(node: &JoinNode) -> (Offer<JoinKind>, bool) {
    if node.null_equality == NullEquality::NullEqualsNull {
        return (Err("joins in which NULLs are equal are not sent".into()), false);
    }
    match node.join_type {
        JoinType::Inner => (Ok(JoinKind::Inner), false),
        JoinType::Left => (Ok(JoinKind::Left), false),
        JoinType::Right => (Ok(JoinKind::Left), true),
        JoinType::LeftSemi => (Ok(JoinKind::Semi), false),
        JoinType::RightSemi => (Ok(JoinKind::Semi), true),
        JoinType::LeftAnti if node.null_aware && nullable_keys(node) => {
            (Err("NOT IN over what may be NULL is decided here".into()), false)
        }
        JoinType::LeftAnti => (Ok(JoinKind::Anti), false),
        JoinType::RightAnti => (Ok(JoinKind::Anti), true),
        JoinType::Full => (Err("full joins are not sent".into()), false),
        JoinType::LeftMark | JoinType::RightMark => (Err("such joins are not sent".into()), false),
    }
}

fn nullable_keys(node: &JoinNode) -> bool {
    let nullable = |expr: &Expr, side: &LogicalPlan| expr.nullable(side.schema()).unwrap_or(true);
    node.on
        .iter()
        .any(|(left, right)| nullable(left, &node.left) || nullable(right, &node.right))
}

/// The join that `node` is, and the outputs of `node` in terms of its columns.
fn join(
    node: &JoinNode,
    kind: JoinKind,
    moved: bool,
    kept: &Input<'_>,
    other: &Input<'_>,
) -> Offer<(Join, Vec<Expr>)> {
    let (kept_scan, other_scan) = (kept.exact_scan()?, other.exact_scan()?);
    let mut fields = Vec::new();
    let kept_names = add_columns(&mut fields, &kept_scan, kept);
    let kept_count = fields.len();
    let other_names = add_columns(&mut fields, &other_scan, other);
    let columns = kept.columns.iter().map(|column| (column, &kept_names));
    let columns = columns.chain(other.columns.iter().map(|column| (column, &other_names)));
    let columns = columns.map(|((visible, expr), names)| {
        let column = |name: &String| Expr::Column(Column::new_unqualified(name));
        Some((visible.clone(), renamed(expr, names, column)?))
    });
    let columns = columns
        .collect::<Option<HashMap<Column, Expr>>>()
        .ok_or(UNKNOWN)?;

    let equal = node.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let others = node.filter.iter().flat_map(split_conjunction).cloned();
    let condition = equal.chain(others).map(|expr| inlined(&expr, &columns));
    let condition = condition.collect::<Option<Vec<Expr>>>().ok_or(UNKNOWN)?;

    let outputs = node.schema.columns().into_iter().map(|column| {
        let (expr, names) = match (kept.columns.get(&column), other.columns.get(&column)) {
            (Some(expr), None) => (expr, &kept_names),
            // What is computed of a row that is missing is NULL, and not computed of NULLs.
            (None, Some(expr)) if kind == JoinKind::Inner || matches!(expr, Expr::Column(_)) => {
                (expr, &other_names)
            }
            (None, Some(_)) => return Err("a column of it is computed here".into()),
            _ => return Err(UNKNOWN.into()),
        };
        renamed(expr, names, |name| derived_column(name)).ok_or(UNKNOWN.into())
    });
    let outputs = outputs.collect::<Offer<Vec<Expr>>>()?;

    let given = match kind {
        JoinKind::Inner | JoinKind::Left => fields.len(),
        JoinKind::Semi | JoinKind::Anti => kept_count,
    };
    let given = fields.iter().take(given).enumerate().map(|(index, field)| {
        let missing = kind == JoinKind::Left && index >= kept_count;
        field.clone().with_nullable(field.is_nullable() || missing)
    });
    Ok((
        Join {
            right: Arc::clone(other.source.table()),
            right_scan: other_scan,
            kind,
            schema: Arc::new(Schema::new(given.collect::<Vec<Field>>())),
            columns: Arc::new(Schema::new(fields)),
            condition,
            moved,
        },
        outputs,
    ))
}

/// Adds the columns of a side, under names that are not taken yet; gives these by the names in the side's table.
fn add_columns(fields: &mut Vec<Field>, scan: &Scan, side: &Input<'_>) -> HashMap<String, String> {
    let schema = scan.projected_schema();
    let table = &side.source.table().name().table;
    let add = |field: &FieldRef| {
        let taken = fields.iter().any(|known| known.name() == field.name());
        let name = match taken {
            true => format!("{table}.{}", field.name()),
            false => field.name().clone(),
        };
        let name = free_name(fields, name);
        fields.push(field.as_ref().clone().with_name(&name));
        (field.name().clone(), name)
    };
    schema.fields().iter().map(add).collect()
}

/// `expr` with other names for its columns.
fn renamed(expr: &Expr, names: &HashMap<String, String>, column: impl Fn(&String) -> Expr) -> Option<Expr> {
    let columns = names
        .iter()
        .map(|(old, new)| (Column::new_unqualified(old), column(new)));
    inlined(expr, &columns.collect())
}
