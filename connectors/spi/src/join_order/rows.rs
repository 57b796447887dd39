//! How many rows joins of the leaves of a cluster are likely to give.
//!
//! A column has at most as many values as its table has rows, and as there are between its least and its greatest one. Of columns
//! that are equal the one with the fewest values holds most often a key, which the others refer to: each of theirs meets one of
//! its values. Keys of several columns have no more values together than their table has rows.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, InListExpr, LikeExpr};
use datafusion::physical_expr::intervals::utils::check_support;
use datafusion::physical_expr::{conjunction_opt, split_conjunction};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::cluster::Cluster;
use crate::dynamic_keys::table_column;
use crate::scan_exec::ScanExec;

/// The share of rows for which a condition holds that is no equality.
const RESIDUAL_SHARE: f64 = 0.33;

/// The share for which a column has a value of which nothing is known.
const EQUALITY_SHARE: f64 = 0.05;
/// The share for which a condition holds that says nothing.
const UNKNOWN_SHARE: f64 = 0.5;

/// What is known of a cluster's leaves.
pub(super) struct Estimates {
    pub(super) leaves: Vec<Leaf>,
    /// For each class of equal columns: the leaves that have one, as a set, and the fewest values of one.
    classes: Vec<Class>,
    /// The leaves of each residual condition.
    residuals: Vec<u64>,
}

/// One leaf.
pub(super) struct Leaf {
    /// Rows that it gives.
    pub(super) rows: f64,
    /// Rows of its table, before anything is filtered.
    table_rows: f64,
    /// Whether its rows are moved from a source.
    pub(super) is_remote: bool,
    /// The classes by whose columns a source finds its rows, and the price of a key in rows.
    pub(super) keys: Vec<(Vec<usize>, f64)>,
}

struct Class {
    leaves: u64,
    values: f64,
}

impl Estimates {
    /// The estimates for `cluster`; `None` where the rows of a leaf are not known.
    pub(super) fn of(cluster: &Cluster) -> Result<Option<Self>> {
        let context = StatisticsContext::new();
        let mut leaves = Vec::new();
        for (index, plan) in cluster.leaves.iter().enumerate() {
            let Some(rows) = rows_of(&context, plan)? else {
                return Ok(None);
            };
            let (keys, is_remote) = match leaf_scan(plan) {
                Some((scan, columns)) => (lookup_keys(scan, &columns, index, cluster), true),
                None => (Vec::new(), false),
            };
            leaves.push(Leaf {
                rows,
                table_rows: rows,
                is_remote,
                keys,
            });
        }
        let mut classes = Vec::new();
        for class in &cluster.classes {
            let mut values = f64::INFINITY;
            let mut set = 0;
            for place in class {
                set |= 1 << place.leaf;
                let (table_rows, distinct) = table(&context, &cluster.leaves[place.leaf], place.column)?;
                let leaf = &mut leaves[place.leaf];
                if let Some(rows) = table_rows {
                    leaf.table_rows = leaf.table_rows.max(rows);
                }
                values = values.min(distinct.unwrap_or(f64::INFINITY).min(leaf.table_rows));
            }
            classes.push(Class {
                leaves: set,
                values: values.max(1.0),
            });
        }
        Ok(Some(Self {
            leaves,
            classes,
            residuals: cluster
                .residuals
                .iter()
                .map(|residual| residual.leaves())
                .collect(),
        }))
    }

    /// Rows of the join of the leaves in `set`.
    pub(super) fn rows(&self, set: u64) -> f64 {
        let mut joined = 0_u64;
        let mut rows = 1.0;
        for (index, leaf) in self
            .leaves
            .iter()
            .enumerate()
            .filter(|(index, _)| set & (1 << index) != 0)
        {
            let own = 1 << index;
            let shared = self
                .classes
                .iter()
                .filter(|class| class.leaves & own != 0 && class.leaves & joined != 0);
            let mut partners = joined;
            let mut values = 1.0;
            let mut count = 0;
            for class in shared {
                partners &= class.leaves;
                values *= class.values;
                count += 1;
            }
            if count > 1 {
                // A key of several columns: of this leaf, or of one that has all of them.
                let others = self.leaves.iter().enumerate();
                let others = others.filter(|(other, _)| partners & (1 << other) != 0);
                let fewest = others
                    .map(|(_, other)| other.table_rows)
                    .fold(leaf.table_rows, f64::min);
                values = values.min(fewest.max(1.0));
            }
            rows *= leaf.rows / values;
            joined |= own;
        }
        let residuals = self
            .residuals
            .iter()
            .filter(|&&leaves| leaves & !set == 0)
            .count();
        let share = RESIDUAL_SHARE.powi(i32::try_from(residuals).unwrap_or(i32::MAX));
        rows * share
    }

    /// Whether a condition joins two sets of leaves.
    pub(super) fn are_joined(&self, one: u64, other: u64) -> bool {
        let mut classes = self.classes.iter();
        classes.any(|class| class.leaves & one != 0 && class.leaves & other != 0)
    }

    /// What a key costs, in rows, where the rows of `leaf` that meet those of `set` are found by their keys.
    pub(super) fn key_cost(&self, leaf: u32, set: u64) -> Option<f64> {
        let found = |classes: &&(Vec<usize>, f64)| {
            let mut classes = classes.0.iter();
            classes.all(|&class| self.classes[class].leaves & set != 0)
        };
        let leaf = self.leaves.get(usize::try_from(leaf).ok()?)?;
        leaf.keys.iter().find(found).map(|&(_, cost)| cost)
    }
}

/// Rows that `plan` gives. DataFusion's filters assume one share for all conditions if they do not know one of them.
fn rows_of(context: &StatisticsContext, plan: &Arc<dyn ExecutionPlan>) -> Result<Option<f64>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let input = filter.input();
        let schema = input.schema();
        let conditions = split_conjunction(filter.predicate()).into_iter();
        let (known, others): (Vec<_>, Vec<_>) =
            conditions.partition(|condition| check_support(condition, &schema));
        let rows = match conjunction_opt(known.into_iter().cloned()) {
            Some(known) => {
                // It is asked in a walk of its own: walks know plans by their places in memory.
                let filtered = FilterExec::try_new(known, Arc::clone(input))?;
                let statistics = StatisticsContext::new().compute(&filtered, &StatisticsArgs::new())?;
                self::known(statistics.num_rows)
            }
            None => rows_of(context, input)?,
        };
        let share: f64 = others.into_iter().map(share).product();
        return Ok(rows.map(|rows| (rows * share).max(1.0_f64.min(rows))));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return rows_of(context, projection.input());
    }
    let statistics = context.compute(plan.as_ref(), &StatisticsArgs::new())?;
    Ok(known(statistics.num_rows))
}

/// The share of rows for which a condition holds of whose columns nothing is known.
fn share(condition: &Arc<dyn PhysicalExpr>) -> f64 {
    if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::Eq => EQUALITY_SHARE,
            Operator::NotEq | Operator::IsDistinctFrom => 1.0,
            Operator::Or => (share(binary.left()) + share(binary.right())).min(1.0),
            Operator::And => share(binary.left()) * share(binary.right()),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => RESIDUAL_SHARE,
            _ => UNKNOWN_SHARE,
        };
    }
    if let Some(list) = condition.downcast_ref::<InListExpr>() {
        let items = u32::try_from(list.list().len()).unwrap_or(u32::MAX);
        return match list.negated() {
            true => 1.0,
            false => (EQUALITY_SHARE * f64::from(items)).min(1.0),
        };
    }
    match condition.downcast_ref::<LikeExpr>() {
        Some(like) if !like.negated() => EQUALITY_SHARE,
        Some(_) => 1.0,
        None => UNKNOWN_SHARE,
    }
}

/// The scan that a leaf is, below columns and filters, and what its columns are in the scan's table.
fn leaf_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<(&ScanExec, Vec<Option<usize>>)> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let columns = scan.scan().projection.iter().map(|&column| Some(column));
        return Some((scan, columns.collect()));
    }
    let (input, columns) = passed_on(plan)?;
    let (scan, below) = leaf_scan(input)?;
    let columns = columns.into_iter().map(|column| *below.get(column?)?);
    Some((scan, columns.collect()))
}

/// The sets of classes by which a scan, leaf `leaf` of `cluster`, is looked up.
fn lookup_keys(
    scan: &ScanExec,
    columns: &[Option<usize>],
    leaf: usize,
    cluster: &Cluster,
) -> Vec<(Vec<usize>, f64)> {
    let Some(lookup) = scan.lookup() else {
        return Vec::new();
    };
    let class_of = |key_column: &usize| {
        let is_key = |place: &super::cluster::Place| {
            place.leaf == leaf && columns.get(place.column).copied().flatten() == Some(*key_column)
        };
        cluster.classes.iter().position(|class| class.iter().any(is_key))
    };
    let keys = lookup.keys().iter().enumerate().filter_map(|(index, key)| {
        let classes = key.iter().map(class_of).collect::<Option<Vec<usize>>>()?;
        Some((classes, scan.key_cost_rows(index)))
    });
    keys.collect()
}

/// The rows of the table that column `column` of `plan` is of, and the values of the column, as far as they are known.
fn table(
    context: &StatisticsContext,
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
) -> Result<(Option<f64>, Option<f64>)> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let statistics = scan.table().statistics();
        let index = scan.scan().projection.get(column);
        let values = index.and_then(|&index| statistics.columns.get(index)?.distinct);
        return Ok((
            statistics.rows.map(float),
            values.filter(|&values| values > 0).map(float),
        ));
    }
    if let Some((input, columns)) = passed_on(plan)
        && let Some(Some(column)) = columns.get(column)
    {
        return table(context, input, *column);
    }
    let statistics = context.compute(plan.as_ref(), &StatisticsArgs::new())?;
    Ok((known(statistics.num_rows), values(&statistics, column)))
}

/// An input, and which of its columns each output is.
type PassedOn<'a> = (&'a Arc<dyn ExecutionPlan>, Vec<Option<usize>>);

/// What a filter or projection passes on.
fn passed_on(plan: &Arc<dyn ExecutionPlan>) -> Option<PassedOn<'_>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let input = filter.input();
        let columns = match filter.projection() {
            Some(projection) => projection.iter().map(|&column| Some(column)).collect(),
            None => (0..input.schema().fields().len()).map(Some).collect(),
        };
        return Some((input, columns));
    }
    let projection = plan.downcast_ref::<ProjectionExec>()?;
    let schema = projection.input().schema();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    // A column that is widened to the other side's type has the same values.
    let columns = projection
        .expr()
        .iter()
        .map(|output| table_column(&output.expr, &all, &schema));
    Some((projection.input(), columns.collect()))
}

/// At most how many values a column has.
fn values(statistics: &Statistics, column: usize) -> Option<f64> {
    let column = statistics.column_statistics.get(column)?;
    if let Some(values) = known(column.distinct_count).filter(|&values| values > 0.0) {
        return Some(values);
    }
    let (least, greatest) = (column.min_value.get_value()?, column.max_value.get_value()?);
    match least.data_type() {
        kind if kind.is_integer() || kind == arrow::datatypes::DataType::Date32 => {
            Some(float(least.distance_u64(greatest)?) + 1.0)
        }
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate needs no more than 53 bits"
)]
fn known(number: Precision<usize>) -> Option<f64> {
    number.get_value().map(|&number| number as f64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate needs no more than 53 bits"
)]
fn float(number: u64) -> f64 {
    number as f64
}
