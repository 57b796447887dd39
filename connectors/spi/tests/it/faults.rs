//! Faults that stand above a source: a translation that sends a limit below a superset filter, and a leaf in which one
//! partition looks up keys while the others scan.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_spi::{ScanNotes, ScanSettings, SourceTable, Table};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};

/// Claims that it filters exactly, filters supersets above the scan and limits below them.
#[derive(Debug)]
pub(crate) struct LimitBelowSuperset(SourceTable);

impl LimitBelowSuperset {
    pub(crate) fn provider(
        table: Arc<dyn Table>,
        settings: ScanSettings,
        notes: Arc<ScanNotes>,
    ) -> Arc<dyn TableProvider> {
        Arc::new(Self(SourceTable::new(table, settings, notes)))
    }
}

#[async_trait]
impl TableProvider for LimitBelowSuperset {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answers = self.0.supports_filters_pushdown(filters)?.into_iter();
        let claim = |answer| match answer {
            TableProviderFilterPushDown::Inexact => TableProviderFilterPushDown::Exact,
            other => other,
        };
        Ok(answers.map(claim).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let answers = self
            .0
            .supports_filters_pushdown(&filters.iter().collect::<Vec<_>>())?;
        let (exact, others): (Vec<_>, Vec<_>) = filters
            .iter()
            .cloned()
            .zip(answers)
            .partition(|(_, answer)| *answer == TableProviderFilterPushDown::Exact);
        let exact: Vec<Expr> = exact.into_iter().map(|(filter, _)| filter).collect();
        let Some(above) = conjunction(others.into_iter().map(|(filter, _)| filter)) else {
            return self.0.scan(state, projection, filters, limit).await;
        };
        let scan = self.0.scan(state, None, &exact, limit).await?;
        let schema = self.schema();
        let predicate = state.create_physical_expr(above, &DFSchema::try_from(Arc::clone(&schema))?)?;
        let filter = FilterExec::try_new(predicate, scan)?;
        let column = |&index: &usize| ProjectionExpr {
            expr: Arc::new(Column::new(schema.field(index).name(), index)) as Arc<dyn PhysicalExpr>,
            alias: schema.field(index).name().clone(),
        };
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let columns: Vec<ProjectionExpr> = projection.unwrap_or(&all).iter().map(column).collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, Arc::new(filter))?))
    }
}

/// Gives plans whose leaf forgets that its partitions share one choice.
#[derive(Debug)]
pub(crate) struct ForgetfulLeaf(SourceTable);

impl ForgetfulLeaf {
    pub(crate) fn provider(
        table: Arc<dyn Table>,
        settings: ScanSettings,
        notes: Arc<ScanNotes>,
    ) -> Arc<dyn TableProvider> {
        Arc::new(Self(SourceTable::new(table, settings, notes)))
    }
}

#[async_trait]
impl TableProvider for ForgetfulLeaf {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let leaf = self.0.scan(state, projection, filters, limit).await?;
        Ok(Arc::new(ForgetfulExec {
            scanning: Arc::clone(&leaf),
            leaf,
        }))
    }
}

/// Partition 0 is the true leaf's, which may look up; the others always scan.
#[derive(Debug)]
struct ForgetfulExec {
    leaf: Arc<dyn ExecutionPlan>,
    scanning: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for ForgetfulExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForgetfulExec")
    }
}

impl ExecutionPlan for ForgetfulExec {
    fn name(&self) -> &'static str {
        "ForgetfulExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.leaf.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.leaf.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut propagation = self.leaf.handle_child_pushdown_result(phase, result, config)?;
        if let Some(leaf) = propagation.updated_node.take() {
            let scanning = Arc::clone(&self.scanning);
            propagation.updated_node = Some(Arc::new(Self { leaf, scanning }));
        }
        Ok(propagation)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = if partition == 0 {
            &self.leaf
        } else {
            &self.scanning
        };
        plan.execute(partition, context)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.leaf.statistics_from_inputs(inputs, args)
    }
}
