//! What the planner may know of a statement: its own tables, and the functions of the prototype.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_spi::{ScanNotes, ScanSettings, SourceTable, Table};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::functions::{self, CatalogFunctions};
use super::types::PostgresTypes;
use super::views::PlannedView;

/// The tables of one query, by the names that it has for them.
pub(super) struct StatementTables<'a> {
    pub(super) state: &'a SessionState,
    pub(super) tables: HashMap<TableReference, Arc<dyn Table>>,
    pub(super) views: HashMap<TableReference, Arc<PlannedView>>,
    pub(super) settings: ScanSettings,
    pub(super) notes: Arc<ScanNotes>,
    pub(super) functions: CatalogFunctions,
    /// Ours before DataFusion's.
    pub(super) planners: Vec<Arc<dyn ExprPlanner>>,
}

impl ContextProvider for StatementTables<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if let Some(view) = self.views.get(&name) {
            return Ok(Arc::clone(view) as Arc<dyn TableSource>);
        }
        let table = self
            .tables
            .get(&name)
            .ok_or_else(|| plan_datafusion_err!("relation \"{name}\" does not exist"))?;
        // A new wrapper for each reference: the filters of a self-join's two sides are noted apart.
        let reference = SourceTable::new(Arc::clone(table), self.settings.clone(), Arc::clone(&self.notes));
        Ok(provider_as_source(Arc::new(reference)))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let function = self
            .state
            .table_functions()
            .get(name)
            .ok_or_else(|| plan_datafusion_err!("Invalid function '{name}'"))?;
        // Such functions want literals: what needs no row is computed first.
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_current_time()
            .build();
        let simplifier = ExprSimplifier::new(context);
        let args = args.into_iter().map(|arg| {
            let schema = DFSchema::empty();
            let arg = simplifier.coerce(arg, &schema)?;
            match simplifier.simplify(arg)?.unalias() {
                Expr::Literal(value, _) if value.data_type().is_integer() => {
                    Ok(Expr::Literal(value.cast_to(&DataType::Int64)?, None))
                }
                other => Ok(other),
            }
        });
        let args: Vec<Expr> = args.collect::<Result<_>>()?;
        let args = datafusion::catalog::TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(
            function.create_table_provider_with_args(args)?,
        ))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PostgresTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(wrapped) = functions::wrapped(name, self.state.scalar_functions()) {
            return Some(wrapped);
        }
        let own = self.functions.get(name);
        let name = match name {
            // Arrays begin at 1 here.
            "array_upper" => "array_length",
            // DataFusion's of these names stop at the first.
            "array_remove" => "array_remove_all",
            "array_replace" => "array_replace_all",
            "statement_timestamp" | "transaction_timestamp" => "now",
            "gen_random_uuid" => "uuid",
            other => other,
        };
        own.or_else(|| self.state.scalar_functions().get(name).cloned())
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let name = match name {
            "every" => "bool_and",
            other => other,
        };
        let found = self.state.aggregate_functions().get(name)?;
        Some(match name {
            "avg" => functions::average(found),
            "sum" => functions::whole_sum(),
            _ => Arc::clone(found),
        })
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
