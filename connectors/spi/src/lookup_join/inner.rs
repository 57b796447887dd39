//! The inner side of a join whose keys the table can look up: where its leaf stands, and the side with the leaf decided.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::ScanExec;
use crate::dynamic_keys::table_column;
use crate::filter_order::filter_of;
use crate::scan_exec::ScanMode;

/// An inner side: a leaf, and above it only what gives its rows on, each by itself.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    /// The whole side.
    plan: Arc<dyn ExecutionPlan>,
    /// Index into [`crate::Lookup::keys`].
    pub(super) key: usize,
    /// The outer side's expressions that equal the key's columns, in their order.
    pub(super) outer_keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The key's columns.
    pub(super) key_schema: SchemaRef,
    /// Whether rows of the leaf are dropped on the way.
    pub(super) is_filtered: bool,
}

impl Inner {
    /// `plan` as the inner side of a join on equal pairs of expressions, those over `plan` first, if its leaf can look up what
    /// the join compares.
    pub(super) fn of<'a>(
        plan: &Arc<dyn ExecutionPlan>,
        on: impl Iterator<Item = (&'a Arc<dyn PhysicalExpr>, &'a Arc<dyn PhysicalExpr>)>,
    ) -> Option<Self> {
        let (exprs, outer): (Vec<_>, Vec<_>) = on
            .map(|(inner, outer)| (Some(Arc::clone(inner)), Arc::clone(outer)))
            .unzip();
        let Below {
            leaf,
            exprs,
            is_filtered,
        } = leaf_below(plan, exprs)?;
        let lookup = leaf.lookup()?;
        let scan = leaf.scan();
        let columns: Vec<Option<usize>> = exprs
            .iter()
            .map(|expr| table_column(expr.as_ref()?, &scan.projection, &scan.schema))
            .collect();
        let place = |column: &usize| columns.iter().position(|found| *found == Some(*column));
        let (key, places) = lookup.keys().iter().enumerate().find_map(|(index, key)| {
            let places: Option<Vec<usize>> = key.iter().map(place).collect();
            Some((index, places?))
        })?;
        let fields = lookup.keys()[key]
            .iter()
            .map(|&column| scan.schema.field(column).clone());
        let key_schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let outer_keys = places
            .into_iter()
            .map(|place| outer.get(place).cloned())
            .collect::<Option<_>>()?;
        Some(Self {
            key,
            outer_keys,
            key_schema,
            is_filtered,
            plan: Arc::clone(plan),
        })
    }

    /// The whole side.
    pub(super) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// The same side, whose leaf says that it is offered keys.
    pub(super) fn offering(&self) -> Result<Self> {
        Ok(Self {
            plan: self.with_leaf(|leaf| leaf.offering(self.key))?,
            ..self.clone()
        })
    }

    fn with_leaf(&self, change: impl Fn(&ScanExec) -> ScanExec) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = Arc::clone(&self.plan).transform_up(|node| {
            Ok(match node.downcast_ref::<ScanExec>() {
                Some(leaf) => Transformed::yes(Arc::new(change(leaf)) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })?;
        Ok(changed.data)
    }

    /// The leaf.
    pub(super) fn leaf(&self) -> Option<&ScanExec> {
        let mut node = &self.plan;
        loop {
            if let Some(leaf) = node.downcast_ref::<ScanExec>() {
                return Some(leaf);
            }
            node = node.children().into_iter().next()?;
        }
    }

    /// The side, whose leaf reads as `mode` says.
    pub(super) fn read(&self, mode: &ScanMode) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_leaf(|leaf| leaf.decided(mode.clone()))
    }

    /// The same in one partition, whatever the join wanted.
    pub(super) fn read_whole(&self, mode: &ScanMode) -> Result<Arc<dyn ExecutionPlan>> {
        let read = self.read(mode)?.transform_up(|node| {
            Ok(match node.downcast_ref::<RepartitionExec>() {
                Some(repartition) => Transformed::yes(Arc::clone(repartition.input())),
                None => Transformed::no(node),
            })
        })?;
        Ok(match read.data.output_partitioning().partition_count() {
            1 => read.data,
            _ => Arc::new(CoalescePartitionsExec::new(read.data)),
        })
    }
}

/// A leaf, and above it only what gives its rows on.
pub(super) struct Below<'a> {
    pub(super) leaf: &'a ScanExec,
    /// Expressions over its columns; `None` for those that are none.
    pub(super) exprs: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// Whether rows of the leaf are dropped on the way.
    is_filtered: bool,
}

/// The leaf below `plan`, and what `exprs` over `plan` are over it.
pub(super) fn leaf_below(
    plan: &Arc<dyn ExecutionPlan>,
    mut exprs: Vec<Option<Arc<dyn PhysicalExpr>>>,
) -> Option<Below<'_>> {
    let mut is_filtered = false;
    let mut node = plan;
    while node.downcast_ref::<ScanExec>().is_none() {
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let below: Vec<_> = projection.expr().iter().map(|output| &output.expr).collect();
            exprs = exprs.into_iter().map(|expr| expr_below(expr?, &below)).collect();
        } else if let Some(filter) = filter_of(node.as_ref()) {
            is_filtered = true;
            if let Some(projection) = filter.projection() {
                let schema = filter.input().schema();
                let column = |&index: &usize| {
                    let column = Column::new(schema.field(index).name(), index);
                    Arc::new(column) as Arc<dyn PhysicalExpr>
                };
                let below: Vec<_> = projection.iter().map(column).collect();
                let below: Vec<_> = below.iter().collect();
                exprs = exprs.into_iter().map(|expr| expr_below(expr?, &below)).collect();
            }
        } else if !gives_all_rows_on(node) {
            return None;
        }
        node = node.children().into_iter().next()?;
    }
    Some(Below {
        leaf: node.downcast_ref::<ScanExec>()?,
        exprs,
        is_filtered,
    })
}

/// Whether `node` has the rows of the one below it, in the same columns.
fn gives_all_rows_on(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<CoalescePartitionsExec>()
        .is_some_and(|gather| gather.fetch().is_none())
        || node.downcast_ref::<RepartitionExec>().is_some()
        || node.downcast_ref::<CooperativeExec>().is_some()
}

/// `expr` over the columns from which `outputs` are made.
fn expr_below(
    expr: Arc<dyn PhysicalExpr>,
    outputs: &[&Arc<dyn PhysicalExpr>],
) -> Option<Arc<dyn PhysicalExpr>> {
    let moved = expr.transform_up(|expr| {
        let column = expr.downcast_ref::<Column>().map(Column::index);
        Ok(match column.and_then(|index| outputs.get(index)) {
            Some(output) => Transformed::yes(Arc::clone(output)),
            None => Transformed::no(expr),
        })
    });
    moved.ok().map(|moved| moved.data)
}
