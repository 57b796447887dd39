//! Trees of inner joins, taken apart and put together.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    DataFusionError, JoinSide, JoinType, NullEquality, Result, internal_datafusion_err,
};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::cost::Order;

/// A column of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) leaf: usize,
    pub(super) column: usize,
}

/// A condition of a join that is not an equality of two columns.
#[derive(Debug)]
pub(super) struct Residual {
    filter: JoinFilter,
    /// What its columns are, in their order.
    places: Vec<Place>,
}

/// A tree of inner joins.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) leaves: Vec<Arc<dyn ExecutionPlan>>,
    /// Sets of columns that are equal in all rows.
    pub(super) classes: Vec<Vec<Place>>,
    pub(super) residuals: Vec<Residual>,
    /// The order as it is written.
    pub(super) written: Order,
    /// What the joins give, as they are written.
    outputs: Vec<Place>,
    /// What is computed of that.
    computed: Option<Vec<ProjectionExpr>>,
}

impl Residual {
    /// The leaves that it looks at, as a set.
    pub(super) fn leaves(&self) -> u64 {
        self.places.iter().fold(0, |set, place| set | 1 << place.leaf)
    }
}

impl Cluster {
    /// The joins at the top of `plan`, below a projection or none; `None` where there is none, or there are more than a set can tell.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let projection = plan.downcast_ref::<ProjectionExec>();
        let computed = projection.filter(|projection| plain_columns(projection).is_none());
        let joins = computed.map_or(plan, |projection| projection.input());
        if !holds_join(joins) {
            return None;
        }
        let mut cluster = Self {
            leaves: Vec::new(),
            classes: Vec::new(),
            residuals: Vec::new(),
            written: Order::Leaf(0),
            outputs: Vec::new(),
            computed: computed.map(|projection| projection.expr().to_vec()),
        };
        (cluster.outputs, cluster.written) = cluster.take_apart(joins)?;
        (cluster.leaves.len() < 64).then_some(cluster)
    }

    /// The columns that `plan` gives, and the order in which it joins; what is below it is added to the cluster.
    fn take_apart(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Option<(Vec<Place>, Order)> {
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>()
            && holds_join(projection.input())
            && let Some(columns) = plain_columns(projection)
        {
            let (below, order) = self.take_apart(projection.input())?;
            let outputs = columns.into_iter().map(|column| below.get(column).copied());
            return Some((outputs.collect::<Option<_>>()?, order));
        }
        let Some(join) = plain_join(plan) else {
            let leaf = self.leaves.len();
            self.leaves.push(Arc::clone(plan));
            let columns = 0..plan.schema().fields().len();
            let places = columns.map(|column| Place { leaf, column });
            return Some((places.collect(), Order::Leaf(leaf)));
        };
        let (left, left_order) = self.take_apart(join.left())?;
        let (right, right_order) = self.take_apart(join.right())?;
        for (one, other) in join.on() {
            let (one, other) = (column_of(one)?, column_of(other)?);
            self.equal(*left.get(one)?, *right.get(other)?);
        }
        if let Some(filter) = join.filter() {
            let place = |column: &ColumnIndex| match column.side {
                JoinSide::Left => left.get(column.index).copied(),
                JoinSide::Right => right.get(column.index).copied(),
                JoinSide::None => None,
            };
            self.residuals.push(Residual {
                places: filter.column_indices().iter().map(place).collect::<Option<_>>()?,
                filter: filter.clone(),
            });
        }
        let all: Vec<Place> = left.into_iter().chain(right).collect();
        let outputs = match &join.projection {
            Some(projection) => {
                let projected = projection.iter().map(|&column| all.get(column).copied());
                projected.collect::<Option<_>>()?
            }
            None => all,
        };
        Some((outputs, Order::Join(Box::new(left_order), Box::new(right_order))))
    }

    /// Notes that two columns are equal.
    fn equal(&mut self, one: Place, other: Place) {
        let class_of =
            |classes: &[Vec<Place>], place| classes.iter().position(|class| class.contains(&place));
        match (class_of(&self.classes, one), class_of(&self.classes, other)) {
            (Some(first), Some(second)) if first != second => {
                let merged = self.classes.remove(first.max(second));
                self.classes[first.min(second)].extend(merged);
            }
            (Some(_), Some(_)) => {}
            (Some(class), None) => self.classes[class].push(other),
            (None, Some(class)) => self.classes[class].push(one),
            (None, None) => self.classes.push(vec![one, other]),
        }
    }

    /// The plan that joins in `order`, with the columns and names of `schema`.
    pub(super) fn joined(&self, order: &Order, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = self.wanted()?;
        let part = self.part(order, &wanted)?;
        if let Some(computed) = &self.computed {
            let computed = computed.iter().map(|projected| {
                let expr = Arc::clone(&projected.expr).transform_up(|expr| {
                    Ok(match expr.downcast_ref::<Column>() {
                        Some(column) => Transformed::yes(part.column(self.output(column)?)?),
                        None => Transformed::no(expr),
                    })
                })?;
                Ok(ProjectionExpr {
                    expr: expr.data,
                    alias: projected.alias.clone(),
                })
            });
            let computed = computed.collect::<Result<Vec<_>>>()?;
            return Ok(Arc::new(ProjectionExec::try_new(computed, part.plan)?));
        }
        let names = schema.fields().iter().map(|field| field.name().clone());
        part.projected(&self.outputs, names)
    }

    /// The columns that are looked at above the joins.
    fn wanted(&self) -> Result<Vec<Place>> {
        let Some(computed) = &self.computed else {
            return Ok(self.outputs.clone());
        };
        let columns = computed
            .iter()
            .flat_map(|projected| collect_columns(&projected.expr));
        columns.map(|column| self.output(&column)).collect()
    }

    fn output(&self, column: &Column) -> Result<Place> {
        let place = self.outputs.get(column.index()).copied();
        place.ok_or_else(|| internal_datafusion_err!("a column of a join is not there"))
    }

    /// What is joined in `order`, with the columns that are `wanted` above it, or by other joins.
    fn part(&self, order: &Order, wanted: &[Place]) -> Result<Part> {
        let (left, right) = match order {
            Order::Leaf(leaf) => {
                let plan = Arc::clone(&self.leaves[*leaf]);
                let columns = 0..plan.schema().fields().len();
                return Ok(Part {
                    leaves: 1 << leaf,
                    places: columns.map(|column| Place { leaf: *leaf, column }).collect(),
                    plan,
                });
            }
            Order::Join(left, right) => (self.part(left, wanted)?, self.part(right, wanted)?),
        };
        let leaves = left.leaves | right.leaves;
        let mut on = Vec::new();
        for class in &self.classes {
            let (ones, others) = (left.different(class), right.different(class));
            let (Some(&one), Some(&other)) = (ones.first(), others.first()) else {
                continue;
            };
            let pairs = others.iter().map(|&other| (one, other));
            for (one, other) in pairs.chain(ones.iter().skip(1).map(|&one| (one, other))) {
                on.push((left.column(one)?, right.column(other)?));
            }
        }
        let is_new = |residual: &&Residual| {
            let set = residual.leaves();
            set & !leaves == 0 && !left.has_checked(set) && !right.has_checked(set)
        };
        let filter = self
            .residuals
            .iter()
            .filter(is_new)
            .map(|residual| residual.over(&left, &right))
            .collect::<Result<Vec<JoinFilter>>>()?;
        let plan = HashJoinExec::try_new(
            Arc::clone(&left.plan),
            Arc::clone(&right.plan),
            on,
            all_of(filter)?,
            &JoinType::Inner,
            None,
            PartitionMode::Auto,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        let joined = Part {
            leaves,
            places: left.places.into_iter().chain(right.places).collect(),
            plan: Arc::new(plan),
        };
        self.pruned(joined, wanted)
    }

    /// `part` with the columns only that are looked at above it.
    fn pruned(&self, part: Part, wanted: &[Place]) -> Result<Part> {
        let open = |class: &&Vec<Place>| class.iter().any(|place| part.leaves & (1 << place.leaf) == 0);
        let in_classes = self.classes.iter().filter(open).flatten();
        let open = |residual: &&Residual| residual.leaves() & !part.leaves != 0;
        let in_residuals = self
            .residuals
            .iter()
            .filter(open)
            .flat_map(|residual| &residual.places);
        let looked_at: Vec<&Place> = in_classes.chain(in_residuals).chain(wanted).collect();
        let kept: Vec<Place> = part
            .places
            .iter()
            .copied()
            .filter(|place| looked_at.contains(&place))
            .collect();
        if kept.len() == part.places.len() {
            return Ok(part);
        }
        let schema = part.plan.schema();
        let names = kept.iter().map(|place| {
            let column = part.places.iter().position(|known| known == place);
            column.map_or_else(String::new, |column| schema.field(column).name().clone())
        });
        Ok(Part {
            plan: part.projected(&kept, names)?,
            leaves: part.leaves,
            places: kept,
        })
    }
}

impl Residual {
    /// The condition as one on the rows of `left` and `right`.
    fn over(&self, left: &Part, right: &Part) -> Result<JoinFilter> {
        let columns = self.places.iter().map(|place| {
            let (side, part) = match left.leaves & (1 << place.leaf) {
                0 => (JoinSide::Right, right),
                _ => (JoinSide::Left, left),
            };
            Ok(ColumnIndex {
                index: part.index(*place)?,
                side,
            })
        });
        Ok(JoinFilter::new(
            Arc::clone(self.filter.expression()),
            columns.collect::<Result<_>>()?,
            Arc::clone(self.filter.schema()),
        ))
    }
}

/// A part of the cluster that is joined.
struct Part {
    plan: Arc<dyn ExecutionPlan>,
    leaves: u64,
    /// What its columns are.
    places: Vec<Place>,
}

impl Part {
    /// The columns of `class` that this part has, one of those that are equal in it: once two leaves with some are joined, all
    /// are.
    fn different(&self, class: &[Place]) -> Vec<Place> {
        let own = class
            .iter()
            .copied()
            .filter(|place| self.leaves & (1 << place.leaf) != 0);
        let mut own: Vec<Place> = own.collect();
        if own.iter().any(|place| place.leaf != own[0].leaf) {
            own.truncate(1);
        }
        own
    }

    /// Whether a condition on the leaves of `set` was checked when this part was joined.
    fn has_checked(&self, set: u64) -> bool {
        !self.leaves.is_power_of_two() && set & !self.leaves == 0
    }

    fn index(&self, place: Place) -> Result<usize> {
        let index = self.places.iter().position(|known| *known == place);
        index.ok_or_else(|| internal_datafusion_err!("a column of a join is not there"))
    }

    fn column(&self, place: Place) -> Result<Arc<dyn PhysicalExpr>> {
        let index = self.index(place)?;
        let name = self.plan.schema().field(index).name().clone();
        Ok(Arc::new(Column::new(&name, index)))
    }

    /// The plan with these columns only, under these names.
    fn projected(
        &self,
        places: &[Place],
        names: impl Iterator<Item = String>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = places.iter().zip(names).map(|(place, alias)| {
            Ok(ProjectionExpr {
                expr: self.column(*place)?,
                alias,
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(
            columns,
            Arc::clone(&self.plan),
        )?))
    }
}

/// The conditions as one: all of them hold.
fn all_of(filters: Vec<JoinFilter>) -> Result<Option<JoinFilter>> {
    let mut filters = filters.into_iter();
    let Some(first) = filters.next() else {
        return Ok(None);
    };
    let all = filters.try_fold(first, |one, other| {
        let offset = one.schema().fields().len();
        let moved = Arc::clone(other.expression()).transform_up(|expr| {
            Ok(match expr.downcast_ref::<Column>() {
                Some(column) => {
                    let moved = Column::new(column.name(), column.index() + offset);
                    Transformed::yes(Arc::new(moved) as Arc<dyn PhysicalExpr>)
                }
                None => Transformed::no(expr),
            })
        })?;
        let fields = one.schema().fields().iter().chain(other.schema().fields());
        let columns = one.column_indices().iter().chain(other.column_indices());
        let both = BinaryExpr::new(Arc::clone(one.expression()), Operator::And, moved.data);
        Ok::<_, DataFusionError>(JoinFilter::new(
            Arc::new(both),
            columns.cloned().collect(),
            Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>())),
        ))
    })?;
    Ok(Some(all))
}

/// `plan`, if it is a join whose place among others makes no difference.
fn plain_join(plan: &Arc<dyn ExecutionPlan>) -> Option<&HashJoinExec> {
    let join = plan.downcast_ref::<HashJoinExec>()?;
    let is_plain = *join.join_type() == JoinType::Inner
        && join.null_equality() == NullEquality::NullEqualsNothing
        && !join.null_aware
        && join.fetch().is_none()
        && join.dynamic_expressions_produced().is_empty();
    let (left, right) = (join.left().schema(), join.right().schema());
    let by_columns = join.on().iter().all(|(one, other)| {
        column_of(one)
            .zip(column_of(other))
            .is_some_and(|(one, other)| left.field(one).data_type() == right.field(other).data_type())
    });
    (is_plain && by_columns).then_some(join)
}

/// Whether nothing but columns that are left out stands between `plan` and a join.
fn holds_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => plain_columns(projection).is_some() && holds_join(projection.input()),
        None => plain_join(plan).is_some(),
    }
}

/// The columns of its input that a projection gives, if it gives nothing else.
fn plain_columns(projection: &ProjectionExec) -> Option<Vec<usize>> {
    projection
        .expr()
        .iter()
        .map(|expr| column_of(&expr.expr))
        .collect()
}

fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}
