//! Why joins scan tables that they could look up were it not for something: for EXPLAIN.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, NullEquality, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use super::LookupJoinExec;
use super::inner::{Below, leaf_below};
use crate::dynamic_keys::table_column;
use crate::filter::Pushdown;
use crate::operator::OperatorNote;
use crate::pacing::unpaced;
use crate::scan_exec::ScanExec;

/// The lookups that the joins of `plan` do without, by the references of the tables. Of tables that are no trifle to scan.
pub fn refused_lookups(plan: &Arc<dyn ExecutionPlan>) -> Result<HashMap<usize, Vec<OperatorNote>>> {
    let mut refused: HashMap<usize, Vec<OperatorNote>> = HashMap::new();
    plan.apply(|node| {
        let join = node.downcast_ref::<LookupJoinExec>().map(LookupJoinExec::join);
        if let Some(join) = join.or_else(|| node.downcast_ref::<HashJoinExec>()) {
            for side in [JoinSide::Left, JoinSide::Right] {
                if let Some((reference, note)) = refused_side(join, side) {
                    let notes = refused.entry(reference).or_default();
                    if notes.iter().all(|known| known.operator != note.operator) {
                        notes.push(note);
                    }
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(refused)
}

fn refused_side(join: &HashJoinExec, side: JoinSide) -> Option<(usize, OperatorNote)> {
    let plan = unpaced(if side == JoinSide::Left {
        join.left()
    } else {
        join.right()
    });
    let own = join.on().iter().map(|(left, right)| match side {
        JoinSide::Left => Some(Arc::clone(left)),
        _ => Some(Arc::clone(right)),
    });
    let Below { leaf, exprs, .. } = leaf_below(plan, own.collect())?;
    let gives_all = match (join.join_type(), side) {
        (JoinType::Full, _) => true,
        // That such a join gives all rows of the side is what it is for.
        (JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark, JoinSide::Left)
        | (JoinType::Right | JoinType::RightAnti | JoinType::RightMark, JoinSide::Right) => return None,
        _ => false,
    };
    let is_trifle = |rows| rows < leaf.settings().lookup_joins.scan_rows;
    let is_asked = leaf.settings().pushdown
        && leaf.scan().limit.is_none()
        && join.null_equality() == NullEquality::NullEqualsNothing
        && leaf.lookup_columns().is_empty()
        && (leaf.table().lookup().is_some() || leaf.table().operators().is_some());
    if !is_asked || leaf.estimated_rows().is_some_and(is_trifle) {
        return None;
    }
    let (columns, pushdown) = refusal(leaf, &exprs, gives_all)?;
    let operator = match columns.is_empty() {
        true => "lookup".to_owned(),
        false => format!("lookup by ({})", columns.join(", ")),
    };
    Some((leaf.reference(), OperatorNote { operator, pushdown }))
}

/// The columns of `leaf` among `exprs`, and why a join on these looks nothing up; `None` where it could.
fn refusal(
    leaf: &ScanExec,
    exprs: &[Option<Arc<dyn PhysicalExpr>>],
    gives_all: bool,
) -> Option<(Vec<String>, Pushdown)> {
    let scan = leaf.scan();
    let column =
        |expr: &Option<Arc<dyn PhysicalExpr>>| table_column(expr.as_ref()?, &scan.projection, &scan.schema);
    let columns: Vec<Option<usize>> = exprs.iter().map(column).collect();
    let name = |&column: &usize| scan.schema.field(column).name().clone();
    let names = columns.iter().flatten().map(name).collect();
    let keys = leaf.table().lookup().map_or(&[][..], |lookup| lookup.keys());
    let has = |column: &usize| columns.contains(&Some(*column));
    let pushdown = if gives_all {
        Pushdown::declined("a full join gives all of the table's rows")
    } else if keys.iter().any(|key| key.iter().all(has)) {
        return None;
    } else if columns.contains(&None) {
        Pushdown::declined("the join compares a value that is computed of the table, or cast")
            .hint("Join on a column itself, with values of its own type: these are looked up.")
    } else if let Some(key) = keys.iter().find(|key| key.iter().any(has)) {
        let key: Vec<String> = key.iter().map(name).collect();
        Pushdown::declined(format!("rows are found by all of the key ({})", key.join(", ")))
            .hint("Join on all columns of a key.")
    } else {
        Pushdown::declined("no key and no index finds rows by it")
            .hint("With an index on the columns of a join, a table's rows are looked up there.")
    };
    Some((names, pushdown))
}
