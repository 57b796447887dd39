//! A statement to a logical plan: its tables are resolved all at once, each wrapped for this statement, then planned.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use causeway_spi::{ScanNotes, ScanSettings, SourceTable, Table, TableName, with_source_timeout};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{
    DFSchema, DataFusionError, Result as DataFusionResult, ScalarValue, Span, TableReference,
    plan_datafusion_err,
};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel, object_name_to_table_reference};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{ObjectName, Statement, TableFactor, Visit, Visitor, visit_relations};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::execute::plan_schema;
use super::explain::Explain;
use super::functions::{CatalogFunctions, PendingSettings};
use super::moments::MomentOperators;
use super::types::PostgresTypes;
use super::views::PlannedView;
use super::write::Assigned;
use super::{
    Engine, ParsedStatement, catalog_syntax, functions, identifiers, names, numerics, parameters, refused,
    syntax, typing,
};
use crate::catalog::{CatalogView, NamePart, TablePath};
use crate::error::{QueryError, Result};
use crate::history::{Origin, Tracked};
use crate::session::Session;
use crate::sqlstate::SqlState;

/// What DataFusion's planner says when a select list has two columns of one name.
const DUPLICATE_NAMES: &str = "require unique expression names";
/// Most tables of one statement that are asked for at the same time.
const RESOLVE_CONCURRENCY: usize = 8;
/// Most views that read one another.
const VIEW_DEPTH_MAX: usize = 20;
/// Most tables in one statement.
const TABLES_MAX: usize = 1_000;

/// A planned statement, ready to start.
#[derive(Debug)]
pub struct Prepared {
    /// The query's id.
    pub query_id: Arc<str>,
    pub(super) plan: LogicalPlan,
    pub(super) names: Vec<String>,
    pub(super) state: SessionState,
    pub(super) explain: Option<Explain>,
    pub(super) notes: Arc<ScanNotes>,
    /// The tables it reads.
    pub tables: Vec<TableName>,
    /// The same by the names that the statement has for them.
    pub(super) resolved: HashMap<TableReference, TableName>,
    /// Whether it reads a catalog as it was when it was planned: later it must be planned again.
    pub reads_snapshot: bool,
    /// The catalogs' generation that it was planned with.
    pub generation: u64,
    /// The types of its parameters.
    pub parameters: Vec<DataType>,
    /// The settings that it has changed by `set_config`, once it has run: they become the session's.
    pub set_config: PendingSettings,
    /// The statement in the history.
    pub tracked: Arc<Tracked>,
}

impl Prepared {
    /// The columns of the result, before any parameter has a value: the types are those that the rows will have.
    pub fn describe(&self) -> Result<SchemaRef> {
        if self.explain.is_some() {
            return Ok(plan_schema());
        }
        let options = self.state.config_options();
        let analyzed = self
            .state
            .analyzer()
            .execute_and_check(self.plan.clone(), options, |_, _| {})?;
        Ok(with_names(analyzed.schema().as_arrow(), &self.names))
    }

    /// Gives the rows the columns that they are assigned to.
    pub(super) fn assign(&mut self, assigned: &Assigned) -> Result<()> {
        let plan = std::mem::take(&mut self.plan);
        self.plan = super::write::assign(plan, assigned, &self.state)?;
        self.names = assigned.names();
        Ok(())
    }

    /// Puts `values` in the place of the parameters: as many as there are, each of its parameter's type.
    pub fn bind(mut self, values: Vec<ScalarValue>) -> Result<Self> {
        if values.len() != self.parameters.len() {
            return Err(QueryError::new(
                SqlState::PROTOCOL_VIOLATION,
                format!(
                    "{} parameters were given, but the statement has {}",
                    values.len(),
                    self.parameters.len()
                ),
            ));
        }
        if !values.is_empty() {
            self.plan = self.plan.with_param_values(values)?;
        }
        Ok(self)
    }
}

/// What of a session a statement's plan depends on.
#[derive(Debug, Clone)]
pub struct PlanContext {
    query_id: Arc<str>,
    view: CatalogView,
    settings: ScanSettings,
    set_config: PendingSettings,
    tracked: Arc<Tracked>,
}

impl PlanContext {
    /// Takes what the next statement of `session` needs, with a new query id.
    pub fn new(engine: &Engine, session: &mut Session) -> Self {
        let query_id: Arc<str> = Arc::from(session.next_query_id());
        let settings = ScanSettings {
            pushdown: session.settings.pushdown(),
            query_id: Arc::clone(&query_id),
            source_timeout: session
                .settings
                .source_timeout()
                .unwrap_or(engine.config.source_timeout),
            ..ScanSettings::default()
        };
        let tracked = engine.history.begin(Origin {
            query_id: Arc::clone(&query_id),
            session_id: session.id,
            user: session.user.clone(),
            database: session.database.clone(),
        });
        Self {
            tracked,
            query_id,
            view: CatalogView {
                catalogs: engine.catalogs().for_statement(session.transaction.writes()),
                database: session.database.clone(),
                user: session.user.clone(),
                session_id: session.id,
                settings: Arc::new(session.settings.clone()),
                history: Arc::clone(&engine.history),
            },
            settings,
            set_config: PendingSettings::default(),
        }
    }
}

impl PlanContext {
    /// The query's id.
    pub fn query_id(&self) -> &Arc<str> {
        &self.query_id
    }

    /// The statement in the history.
    pub fn tracked(&self) -> &Arc<Tracked> {
        &self.tracked
    }

    /// The catalogs as they are seen.
    pub(super) fn view(&self) -> &CatalogView {
        &self.view
    }

    /// Looks at the catalogs again: what was written meanwhile is seen.
    pub fn look_again(&mut self, engine: &Engine, session: &Session) {
        self.view.catalogs = engine.catalogs().for_statement(session.transaction.writes());
    }
}

/// What is to be planned.
pub(super) struct Request {
    /// A query, as it is written.
    pub(super) written: Statement,
    /// Whether it is only explained.
    pub(super) explain: Option<Explain>,
    /// Tables that are not looked for, by the names they have in it.
    pub(super) own: HashMap<TableReference, Arc<dyn Table>>,
    /// The columns that its outputs are assigned to.
    pub(super) assigned: Option<Assigned>,
}

/// Plans `parsed`. `types`: the types of its parameters as far as the client names them. Errors: 3D000, 3F000, 42P01, 42703 and what else is wrong with a statement, with the place; 0A000 for
/// statements Causeway does not have. Must run on a thread with a large stack.
pub async fn prepare(
    engine: &Engine,
    cx: PlanContext,
    parsed: &ParsedStatement,
    types: &[Option<DataType>],
) -> Result<Prepared> {
    cx.tracked.describe(&parsed.statement);
    let (written, explain) = Explain::unwrap(&parsed.statement)?;
    if !matches!(written, Statement::Query(_)) {
        return Err(QueryError::not_supported(format!(
            "{}{} is not supported",
            if explain.is_some() { "EXPLAIN of " } else { "" },
            command_name(written)
        )));
    }
    let request = Request {
        written: written.clone(),
        explain,
        own: HashMap::new(),
        assigned: None,
    };
    prepare_request(engine, cx, request, types).await
}

/// Plans a query for whatever its rows are wanted. Must run on a thread with a large stack.
pub(super) async fn prepare_request(
    engine: &Engine,
    cx: PlanContext,
    request: Request,
    types: &[Option<DataType>],
) -> Result<Prepared> {
    let mut state = engine.prototype.clone();
    state.mark_start_execution();
    let zone = cx.view.settings.time_zone();
    state.config_mut().options_mut().execution.time_zone = Some(zone.name().to_owned());
    if !cx.settings.pushdown {
        read_everything(state.config_mut().options_mut());
    }
    let notes = Arc::new(ScanNotes::default());
    let planning = Planning {
        state: &state,
        cx: &cx,
        notes: &notes,
    };
    let planned = planning.plan(&request.written, request.own, types, 0).await?;
    let names_of_tables: Vec<TableName> = planned.tables.values().cloned().collect();
    cx.tracked.reads(&names_of_tables);
    let plan = planned.plan;
    check_plan(&plan)?;
    let outputs: Vec<String> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let names = names::output_names(&request.written, &outputs);
    let mut prepared = Prepared {
        query_id: cx.query_id,
        reads_snapshot: cx.view.catalogs.reads_snapshot(planned.tables.values()),
        plan,
        names,
        state,
        explain: request.explain,
        notes,
        tables: names_of_tables,
        resolved: planned.tables,
        generation: cx.view.catalogs.generation(),
        parameters: planned.parameters,
        set_config: cx.set_config,
        tracked: cx.tracked,
    };
    if let Some(assigned) = &request.assigned {
        prepared.assign(assigned)?;
    }
    Ok(prepared)
}

/// What the queries of one statement are planned with: its own, and those of the views that it reads.
struct Planning<'a> {
    state: &'a SessionState,
    cx: &'a PlanContext,
    notes: &'a Arc<ScanNotes>,
}

/// A query's plan, the tables that it names, and the types of its parameters.
struct Planned {
    plan: LogicalPlan,
    tables: HashMap<TableReference, TableName>,
    parameters: Vec<DataType>,
}

impl Planning<'_> {
    /// Plans `statement`, which is that of a view in `depth` others.
    async fn plan(
        &self,
        written: &Statement,
        own: HashMap<TableReference, Arc<dyn Table>>,
        types: &[Option<DataType>],
        depth: usize,
    ) -> Result<Planned> {
        let view = &self.cx.view;
        let mut statement = rewritten(self.cx, written).await?;
        let search_path = match catalog_syntax::asks_for_schema(&statement) {
            true => view.search_path().await,
            false => Vec::new(),
        };
        let resolved = resolve_tables(self.cx, &statement, &own);
        let mut tables = with_source_timeout(self.cx.settings.source_timeout, resolved).await?;
        let names = tables
            .iter()
            .map(|(reference, table)| (reference.clone(), table.name().clone()));
        let names = names.collect();
        let views = self.plan_views(&tables, depth).await?;
        tables.extend(own);
        let columns = tables
            .iter()
            .map(|(reference, table)| (reference.clone(), table.schema()));
        identifiers::rewrite(&mut statement, &columns.collect())?;
        let statement = &statement;
        let provider = StatementTables {
            state: self.state,
            tables,
            views,
            settings: self.cx.settings.clone(),
            notes: Arc::clone(self.notes),
            functions: CatalogFunctions::new(view.clone(), search_path, Arc::clone(&self.cx.set_config)),
            planners: std::iter::once(Arc::new(MomentOperators) as Arc<dyn ExprPlanner>)
                .chain(self.state.expr_planners().iter().cloned())
                .collect(),
        };
        let mut parameters = types.to_vec();
        parameters.resize(parameters.len().max(parameters::count(statement)?), None);
        let plan = plan_statement(&provider, statement, &mut parameters)
            .map_err(|error| with_place(error, statement))?;
        Ok(Planned {
            plan,
            tables: names,
            parameters: parameters.into_iter().flatten().collect(),
        })
    }

    /// Plans the views among `tables`. Boxed, since a view may read a view.
    fn plan_views<'b>(
        &'b self,
        tables: &'b HashMap<TableReference, Arc<dyn Table>>,
        depth: usize,
    ) -> BoxFuture<'b, Result<HashMap<TableReference, Arc<PlannedView>>>> {
        let planning = async move {
            let mut views = HashMap::new();
            for (reference, table) in tables {
                let Some(definition) = table.view() else { continue };
                if depth >= VIEW_DEPTH_MAX {
                    return Err(super::complexity::too_complex(
                        "its views read each other too deeply",
                    ));
                }
                let Some(parsed) = super::parse(&definition.sql)?.into_iter().next() else {
                    continue;
                };
                let inside = |error| in_view(error, table.name());
                let planned = self
                    .plan(&parsed.statement, HashMap::new(), &[], depth + 1)
                    .await
                    .map_err(inside)?;
                let view = PlannedView::new(planned.plan, definition).map_err(inside)?;
                views.insert(reference.clone(), Arc::new(view));
            }
            Ok(views)
        };
        planning.boxed()
    }
}

/// An error in the query of a view: its place is not in the statement's text.
fn in_view(mut error: QueryError, view: &TableName) -> QueryError {
    (error.span, error.position) = (None, None);
    let place = format!("In the query of view \"{}\".", view.table);
    error.detail = Some(match error.detail {
        Some(detail) => format!("{detail} {place}"),
        None => place,
    });
    error
}

/// Refuses what is planned, but would not be answered as PostgreSQL does.
fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    read_only
        .verify_plan(plan)
        .map_err(|_| QueryError::not_supported("writing inside of another statement is not supported"))?;
    refused::check_plan(plan)?;
    typing::check(plan)
}

/// The statement with PostgreSQL's spellings made plain, unless something in it is refused.
async fn rewritten(cx: &PlanContext, written: &Statement) -> Result<Statement> {
    refused::check_statement(written)?;
    let mut statement = written.clone();
    let zone = cx.view.settings.time_zone();
    let local = chrono::Utc::now().with_timezone(&zone).naive_local();
    syntax::rewrite(&mut statement, zone, local)?;
    catalog_syntax::rewrite(&cx.view, &mut statement).await?;
    Ok(statement)
}

/// Plans with DataFusion, and gives every parameter a type. Those that nobody has named follow from the first plan; the
/// second one knows them all, so that the types of the result do too.
fn plan_statement(
    provider: &StatementTables<'_>,
    statement: &Statement,
    parameters: &mut [Option<DataType>],
) -> DataFusionResult<LogicalPlan> {
    if parameters.iter().any(Option::is_none) {
        let (simpler, arrays) = parameters::without_any(statement);
        let plan = plan_with(provider, &simpler, parameters)?;
        parameters::infer(&plan, parameters, &arrays)?;
    }
    plan_with(provider, statement, parameters)
}

/// Where DataFusion refuses two output columns of one name, which PostgreSQL does not, they are told apart inside the
/// plan; the client sees the names of [`names::output_names`] anyway.
fn plan_with(
    provider: &StatementTables<'_>,
    statement: &Statement,
    parameters: &[Option<DataType>],
) -> DataFusionResult<LogicalPlan> {
    let plan = |statement: Statement| {
        let options = ParserOptions::from(&provider.state.config_options().sql_parser);
        let fields = parameters.iter().map(|known| {
            let data_type = known.clone()?;
            Some(Arc::new(Field::new("parameter", data_type, true)))
        });
        let mut context = PlannerContext::new().with_prepare_param_data_types(fields.collect());
        SqlToRel::new_with_options(provider, options)
            .sql_statement_to_plan_with_context(statement, &mut context)
    };
    let planned = match plan(statement.clone()) {
        Err(error) if error.find_root().message().contains(DUPLICATE_NAMES) => {
            plan(names::with_distinct_names(statement)).map_err(|_| error)
        }
        planned => planned,
    };
    numerics::narrow_literals(planned?)
}

/// `planned` under the names that the client sees, which may repeat.
pub(super) fn with_names(planned: &Schema, names: &[String]) -> SchemaRef {
    let fields: Vec<Field> = planned
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let name = names.get(index).unwrap_or_else(|| field.name());
            Field::new(name, field.data_type().clone(), field.is_nullable())
                .with_metadata(field.metadata().clone())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// With pushdown off, files are read whole as well: no statistics, filters or joins leave anything out.
fn read_everything(options: &mut ConfigOptions) {
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.execution.parquet.pruning = false;
    options.execution.parquet.enable_page_index = false;
    options.execution.parquet.bloom_filter_on_read = false;
    options.execution.parquet.pushdown_filters = false;
}

/// The first words of a statement, for "is not supported".
fn command_name(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text
        .split_whitespace()
        .take(2)
        .take_while(|word| word.chars().all(|character| character.is_ascii_uppercase()))
        .collect();
    if words.is_empty() {
        "this statement".to_owned()
    } else {
        words.join(" ")
    }
}

/// DataFusion's error as ours; a column without a span is looked for among the statement's names.
fn with_place(error: DataFusionError, statement: &Statement) -> QueryError {
    let column = missing_column(&error);
    let found = QueryError::from(error);
    if found.span.is_some() {
        return found;
    }
    let span = match column {
        Some(column) => find_ident(statement, &column),
        None => missing_function(&found).and_then(|function| find_function(statement, function)),
    };
    found.at(span)
}

/// The name of the function that does not take its arguments.
fn missing_function(error: &QueryError) -> Option<&str> {
    let rest = error.message.strip_prefix("function ")?;
    let (name, _) = rest.split_once('(')?;
    (error.state == SqlState::UNDEFINED_FUNCTION).then_some(name)
}

/// Where `statement` calls a function for the first time.
fn find_function(statement: &Statement, name: &str) -> Option<Span> {
    use datafusion::sql::sqlparser::ast::{Expr, visit_expressions};
    let mut found = None;
    let _ = visit_expressions(statement, |expr| match expr {
        Expr::Function(function)
            if catalog_syntax::last_part(&function.name).is_some_and(|last| last == name) =>
        {
            found = first_span(&function.name);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found
}

fn missing_column(error: &DataFusionError) -> Option<String> {
    use datafusion::common::SchemaError;
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field } => {
                Some(field.name.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

fn find_ident(statement: &Statement, name: &str) -> Option<Span> {
    use datafusion::sql::sqlparser::ast::{Expr, visit_expressions};
    let mut found = None;
    let _ = visit_expressions(statement, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match ident {
            Some(ident) if ident.value.eq_ignore_ascii_case(name) => {
                found = Span::try_from_sqlparser_span(ident.span);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    found
}

/// Resolves every table that `statement` names (its `own` and common table expressions excluded), several at a time.
async fn resolve_tables(
    cx: &PlanContext,
    statement: &Statement,
    own: &HashMap<TableReference, Arc<dyn Table>>,
) -> Result<HashMap<TableReference, Arc<dyn Table>>> {
    let written = written_names(statement)?;
    let wrapped = DataFusionStatement::Statement(Box::new(statement.clone()));
    let (mut references, _ctes) = resolve_table_references(&wrapped, true)?;
    let functions = table_functions(statement);
    references.retain(|reference| !functions.contains(reference) && !own.contains_key(reference));
    if references.len() > TABLES_MAX {
        return Err(super::complexity::too_complex(&format!(
            "it reads more than {TABLES_MAX} tables"
        )));
    }
    let resolved = stream::iter(references).map(|reference| {
        let path = written
            .get(&reference)
            .cloned()
            .unwrap_or_else(|| path_of(&reference));
        async move {
            let table = cx.view.resolve(&path).await?;
            Ok::<_, QueryError>((reference, table))
        }
    });
    resolved.buffered(RESOLVE_CONCURRENCY).try_collect().await
}

/// The functions that stand where a table may: `FROM generate_series(1, 3)`.
fn table_functions(statement: &Statement) -> HashSet<TableReference> {
    struct Search(HashSet<TableReference>);
    impl Visitor for Search {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table {
                name, args: Some(_), ..
            }
            | TableFactor::Function { name, .. } = factor
                && let Ok(reference) = object_name_to_table_reference(name.clone(), true)
            {
                self.0.insert(reference);
            }
            ControlFlow::Continue(())
        }
    }
    let mut search = Search(HashSet::new());
    let _ = statement.visit(&mut search);
    search.0
}

/// Each name of a relation as it is written first, with its place.
fn written_names(statement: &Statement) -> Result<HashMap<TableReference, TablePath>> {
    let mut names = HashMap::new();
    let outcome = visit_relations(statement, |name| {
        match object_name_to_table_reference(name.clone(), true) {
            Ok(reference) => {
                let path = path_as_written(name);
                match names.entry(reference) {
                    Entry::Vacant(entry) => {
                        entry.insert(path);
                    }
                    // What is quoted as well means the exact name: both are that, or it is not there.
                    Entry::Occupied(mut entry) if path.0.iter().any(|part| part.quoted) => {
                        entry.insert(path);
                    }
                    Entry::Occupied(_) => {}
                }
                ControlFlow::Continue(())
            }
            Err(_) => {
                let message = format!("improper qualified name (too many dotted names): {name}");
                ControlFlow::Break(QueryError::syntax(message).at(first_span(name)))
            }
        }
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(names),
        ControlFlow::Break(error) => Err(error),
    }
}

fn first_span(name: &ObjectName) -> Option<Span> {
    let ident = name.0.first()?.as_ident()?;
    Span::try_from_sqlparser_span(ident.span)
}

pub(super) fn path_as_written(name: &ObjectName) -> TablePath {
    let idents = name.0.iter().filter_map(|part| part.as_ident());
    TablePath(
        idents
            .map(|ident| NamePart {
                text: identifiers::folded(ident),
                quoted: ident.quote_style.is_some(),
                span: Span::try_from_sqlparser_span(ident.span),
            })
            .collect(),
    )
}

fn path_of(reference: &TableReference) -> TablePath {
    let parts = [reference.catalog(), reference.schema(), Some(reference.table())];
    let named = parts.into_iter().flatten();
    TablePath(
        named
            .map(|text| NamePart {
                text: text.to_owned(),
                quoted: true,
                span: None,
            })
            .collect(),
    )
}

/// What the planner may know: this statement's tables, and the functions of the prototype.
struct StatementTables<'a> {
    state: &'a SessionState,
    tables: HashMap<TableReference, Arc<dyn Table>>,
    views: HashMap<TableReference, Arc<PlannedView>>,
    settings: ScanSettings,
    notes: Arc<ScanNotes>,
    functions: CatalogFunctions,
    /// Ours before DataFusion's.
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl ContextProvider for StatementTables<'_> {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
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

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> DataFusionResult<Arc<dyn TableSource>> {
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
        let args: Vec<Expr> = args.collect::<DataFusionResult<_>>()?;
        let args = datafusion::catalog::TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(
            function.create_table_provider_with_args(args)?,
        ))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DataFusionResult<Arc<dyn TableSource>> {
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
        if let Some(limited) = functions::limited(name, self.state.scalar_functions()) {
            return Some(limited);
        }
        let own = self.functions.get(name);
        let name = match name {
            // Arrays begin at 1 here.
            "array_upper" => "array_length",
            other => other,
        };
        own.or_else(|| self.state.scalar_functions().get(name).cloned())
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
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
