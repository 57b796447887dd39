//! The first rows of a scan in an order.

use std::sync::Arc;

use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::logical_plan::{Sort, TableScanBuilder};

use super::input::Input;
use super::{Offer, UNKNOWN};
use crate::operator::{Operator, SortKey, TopN};

/// The first rows of a scan: the sort stays, over as many rows as it keeps.
pub(super) fn grow(node: Sort) -> Result<Transformed<LogicalPlan>> {
    let (Some(fetch), Some(input)) = (node.fetch, Input::of(&node.input)) else {
        return Ok(Transformed::no(LogicalPlan::Sort(node)));
    };
    if input.scan.fetch.is_some_and(|limit| limit <= fetch) {
        return Ok(Transformed::no(LogicalPlan::Sort(node)));
    }
    let order = node.expr.iter().map(|key| sort_key(key, &input));
    let order = order.collect::<Offer<Vec<SortKey>>>();
    let operator = order.map(|order| Operator::TopN(TopN { order, fetch }));
    let Some(derived) = input.offer(operator, || format!("order by limit {fetch}")) else {
        return Ok(Transformed::no(LogicalPlan::Sort(node)));
    };
    // The new scan has the names of the old one, so that what stands between it and the sort is not touched.
    let name = input.scan.table_name.clone();
    let scan = TableScanBuilder::new(name, provider_as_source(Arc::new(derived)))
        .with_fetch(Some(fetch))
        .build()?;
    let mut scan = Some(LogicalPlan::TableScan(scan));
    let input = Arc::unwrap_or_clone(node.input)
        .transform_down(|plan| {
            Ok(match (plan, scan.take()) {
                (LogicalPlan::TableScan(_), Some(new)) => Transformed::yes(new),
                (plan, kept) => {
                    scan = kept;
                    Transformed::no(plan)
                }
            })
        })
        .data()?;
    Ok(Transformed::yes(LogicalPlan::Sort(Sort {
        input: Arc::new(input),
        ..node
    })))
}

fn sort_key(key: &SortExpr, input: &Input<'_>) -> Offer<SortKey> {
    Ok(SortKey {
        expr: input.inlined(&key.expr).ok_or(UNKNOWN)?,
        ascending: key.asc,
        nulls_first: key.nulls_first,
    })
}
