//! A statement to a logical plan: its tables are resolved all at once, each wrapped for this statement, then planned.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_spi::{LookupJoinLimits, ScanNotes, ScanSettings, Table, TableName, with_source_timeout};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result as DataFusionResult, ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{Statement, visit_relations};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::explain::{Explain, Kinds};
use super::functions::{CatalogFunctions, PendingSettings};
use super::operators::Operators;
use super::places::with_place;
use super::provider::StatementTables;
use super::references::resolve_tables;
use super::remote::{RemoteCall, describe_calls, take_calls};
use super::views::PlannedView;
use super::write::Assigned;
use super::{
    Engine, ParsedStatement, catalog_syntax, identifiers, names, not_in, numerics, parameters, refused,
    row_in, syntax, typing,
};
use crate::catalog::CatalogView;
use crate::error::{QueryError, Result};
use crate::history::{Origin, Tracked};
use crate::security::RemoteAccess;
use crate::session::Session;
use crate::sqlstate::SqlState;
use crate::values::input::InputContext;

/// The part of the memory for queries that one side of a join may take.
const POOL_PART: usize = 4;
/// Most views that read one another.
const VIEW_DEPTH_MAX: usize = 20;

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
    /// The kinds of the catalogs.
    pub(super) kinds: Arc<Kinds>,
    /// How long it took so far.
    pub(super) planning: Duration,
    /// Whether the statement's end tells what it has moved.
    pub(super) with_receipt: bool,
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
        if let Some(explain) = self.explain {
            return Ok(explain.schema());
        }
        let options = self.state.config_options();
        let analyzed = self
            .state
            .analyzer()
            .execute_and_check(self.plan.clone(), options, |_, _| {})?;
        Ok(with_names(analyzed.schema().as_arrow(), &self.names))
    }

    /// Whether it is an EXPLAIN.
    pub fn explains(&self) -> bool {
        self.explain.is_some()
    }

    /// With a receipt at its end, or without.
    #[must_use]
    pub fn receipt(mut self, wanted: bool) -> Self {
        self.with_receipt = wanted;
        self
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

/// Whether `statement` reads more than one table, or one twice: there are joins to plan, perhaps.
fn reads_several(statement: &Statement) -> bool {
    let mut relations = 0;
    let _: ControlFlow<()> = visit_relations(statement, |_| {
        relations += 1;
        ControlFlow::Continue(())
    });
    relations > 1
}

/// What of a session a statement's plan depends on.
#[derive(Debug, Clone)]
pub struct PlanContext {
    query_id: Arc<str>,
    view: CatalogView,
    settings: ScanSettings,
    set_config: PendingSettings,
    tracked: Arc<Tracked>,
    remote: Remote,
}

/// What a session may do by native statements.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    /// Who may send any.
    pub(super) access: Arc<RemoteAccess>,
    /// Most rows that one may give.
    pub(super) rows_max: usize,
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
            lookup_joins: LookupJoinLimits {
                scan_rows: session.settings.join_scan_rows(),
                inner_bytes: (engine.config.memory_limit_mib << 20) / POOL_PART,
                ..LookupJoinLimits::default()
            },
            ..ScanSettings::default()
        };
        let tracked = engine.history.begin(Origin {
            query_id: Arc::clone(&query_id),
            session_id: session.id,
            user: session.user.clone(),
            database: session.database.clone(),
        });
        let remote = Remote {
            access: engine.remote_access(),
            rows_max: engine.config.remote_rows_max,
        };
        Self {
            tracked,
            remote,
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

    /// What it may do by native statements.
    pub(super) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// How literals are read.
    fn input(&self) -> InputContext {
        InputContext::in_zone(self.view.settings.time_zone())
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
    let begun = Instant::now();
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
        .map(|field| names::shown(field.name()).to_owned())
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
        kinds: Arc::new(cx.view.catalogs.kinds()),
        planning: begun.elapsed(),
        with_receipt: false,
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
        let (mut statement, calls) = rewritten(self.cx, written).await?;
        let search_path = match catalog_syntax::asks_for_schema(&statement) {
            true => view.search_path().await,
            false => Vec::new(),
        };
        let resolved = resolve_tables(self.cx, &statement, |reference| {
            own.contains_key(reference) || calls.iter().any(|call| call.is(reference))
        });
        let timeout = self.cx.settings.source_timeout;
        let mut tables = with_source_timeout(timeout, resolved).await?;
        tables.extend(with_source_timeout(timeout, describe_calls(self.cx, calls)).await?);
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
            settings: ScanSettings {
                asks_sources: reads_several(statement),
                ..self.cx.settings.clone()
            },
            notes: Arc::clone(self.notes),
            functions: CatalogFunctions::new(view.clone(), search_path, Arc::clone(&self.cx.set_config)),
            planners: std::iter::once(Arc::new(Operators {
                input: self.cx.input(),
            }) as Arc<dyn ExprPlanner>)
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
    (error.span, error.position, error.literal) = (None, None, None);
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

/// The statement with PostgreSQL's spellings made plain, unless something in it is refused; and the native statements that
/// it calls.
async fn rewritten(cx: &PlanContext, written: &Statement) -> Result<(Statement, Vec<RemoteCall>)> {
    let mut statement = written.clone();
    row_in::rewrite(&mut statement)?;
    refused::check_statement(&statement)?;
    let calls = take_calls(&mut statement)?;
    syntax::rewrite(&mut statement, cx.input())?;
    catalog_syntax::rewrite(&cx.view, &mut statement).await?;
    Ok((statement, calls))
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

fn plan_with(
    provider: &StatementTables<'_>,
    statement: &Statement,
    parameters: &[Option<DataType>],
) -> DataFusionResult<LogicalPlan> {
    let options = ParserOptions::from(&provider.state.config_options().sql_parser);
    let fields = parameters.iter().map(|known| {
        let data_type = known.clone()?;
        Some(Arc::new(Field::new("parameter", data_type, true)))
    });
    let mut context = PlannerContext::new().with_prepare_param_data_types(fields.collect());
    let planned = SqlToRel::new_with_options(provider, options)
        .sql_statement_to_plan_with_context(statement.clone(), &mut context)?;
    not_in::rewrite(numerics::narrow_literals(planned)?)
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
