//! The extended protocol: statements that are prepared, bound and run in steps. An error skips to the next Sync, which the
//! connection's loop sees to.

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::EmptyQueryResponse;

use super::connection::Connection;
use super::encode::Format;
use super::error::append;
use super::message::{Bind, Extended, Target};
use super::run::{Failure, Limits, at_literal, told};
use super::statement::{Planned, Portal, PortalState, Statement, same_columns};
use super::{params, types};
use crate::error::QueryError;
use crate::query::{self, Prepared};
use crate::sqlstate::SqlState;
use crate::values::input::InputContext;

impl Connection {
    /// Handles one message of the extended protocol.
    pub(super) async fn extended(&mut self, message: Extended) -> Result<(), Failure> {
        match message {
            Extended::Parse { name, sql, types } => self.parse_message(name, &sql, &types).await?,
            Extended::Bind(bind) => self.bind(bind).await?,
            Extended::Describe(Target::Statement(name)) => self.describe_statement(&name)?,
            Extended::Describe(Target::Portal(name)) => self.describe_portal(&name)?,
            Extended::Execute { portal, rows_max } => self.execute(portal, rows_max).await?,
            Extended::Close(target) => {
                match target {
                    Target::Statement(name) => {
                        self.remembered.close_statement(&name);
                    }
                    Target::Portal(name) => self.remembered.close_portal(&name),
                }
                append(
                    &mut self.out,
                    &PgWireBackendMessage::CloseComplete(CloseComplete::new()),
                );
            }
        }
        Ok(())
    }

    async fn parse_message(&mut self, name: String, sql: &str, oids: &[u32]) -> Result<(), QueryError> {
        if name.is_empty() {
            self.remembered.close_statement(&name);
        }
        let sql: Arc<str> = Arc::from(sql);
        let limits = self.limits();
        let mut statements = self.parse(Arc::clone(&sql), &limits).await?;
        let parsed = statements.pop().map(Arc::new);
        if !statements.is_empty() {
            return Err(QueryError::syntax(
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        self.check_transaction(parsed.as_deref())?;
        let types = oids.iter().map(|oid| match oid {
            0 => Ok(None),
            oid => params::arrow_type(*oid).map(Some),
        });
        let types: Vec<Option<DataType>> = types.collect::<Result<_, _>>()?;
        let statement = self.prepare_statement(sql, parsed, types, oids, &limits).await?;
        self.remembered.add_statement(name, statement)?;
        append(
            &mut self.out,
            &PgWireBackendMessage::ParseComplete(ParseComplete::new()),
        );
        Ok(())
    }

    /// A statement with its parameters and columns. `oids`: the types the client named; 0 and missing ones are inferred.
    pub(super) async fn prepare_statement(
        &mut self,
        sql: Arc<str>,
        parsed: Option<Arc<query::ParsedStatement>>,
        types: Vec<Option<DataType>>,
        oids: &[u32],
        limits: &Limits,
    ) -> Result<Statement, QueryError> {
        let mut statement = Statement {
            sql: Arc::clone(&sql),
            parsed: parsed.clone(),
            parameters: Vec::new(),
            columns: None,
            planned: None,
        };
        let Some(parsed) = parsed else {
            return Ok(statement);
        };
        if query::is_command(&parsed) {
            statement.columns = query::describe_command(&mut self.session, &parsed)?;
            return Ok(statement);
        }
        if query::is_write(&parsed) {
            let parameters = self.write_parameters(parsed, types, limits).await;
            let parameters = parameters.map_err(|error| told(error, &sql, &self.session.last_query_id()))?;
            statement.parameters = with_oids(&parameters, oids);
            return Ok(statement);
        }
        let described = self.plan_and_describe(parsed, types, limits).await;
        let (prepared, columns) =
            described.map_err(|error| told(error, &sql, &self.session.last_query_id()))?;
        statement.parameters = with_oids(&prepared.parameters, oids);
        statement.columns = Some(columns);
        prepared.tracked.rest();
        // A plan that reads a snapshot is of no use later, and would keep what it reads.
        statement.planned = (!prepared.reads_snapshot).then(|| Planned {
            prepared,
            settings: self.session.settings.clone(),
            at: Instant::now(),
        });
        Ok(statement)
    }

    /// The types of the parameters of a statement that writes.
    async fn write_parameters(
        &mut self,
        parsed: Arc<query::ParsedStatement>,
        types: Vec<Option<DataType>>,
        limits: &Limits,
    ) -> Result<Vec<DataType>, QueryError> {
        let engine = Arc::clone(&self.endpoint.engine);
        let context = query::PlanContext::new(&engine, &mut self.session);
        let tracked = Arc::clone(context.tracked());
        tracked.describe(&parsed.statement);
        let planning = move |_| async move { query::describe_write(&engine, context, &parsed, &types).await };
        let described = self.on_planner(limits, planning).await;
        match &described {
            Ok(_) => tracked.rest(),
            Err(error) => tracked.finish(Some(error)),
        }
        described
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), QueryError> {
        if bind.portal.is_empty() {
            self.remembered.close_portal("");
        }
        let statement = self.remembered.statement(&bind.statement)?;
        let (sql, parsed) = (Arc::clone(&statement.sql), statement.parsed.clone());
        let columns = statement.columns.clone();
        if bind.values.len() != statement.parameters.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                bind.values.len(),
                bind.statement,
                statement.parameters.len()
            );
            return Err(violation(message));
        }
        let cx = InputContext::in_zone(self.session.settings.time_zone());
        let values = decode_values(&bind, &statement.parameters, &cx)?;
        let width = columns.as_ref().map_or(0, |columns| columns.fields().len());
        let formats = formats_of(&bind.result_formats, width).ok_or_else(|| {
            violation(format!(
                "bind message has {} result formats but query has {width} columns",
                bind.result_formats.len()
            ))
        })?;
        self.check_transaction(parsed.as_deref())?;
        let state = match &parsed {
            Some(parsed) if query::is_write(parsed) => PortalState::Write(values),
            Some(parsed) if !query::is_command(parsed) => {
                let limits = self.limits();
                let prepared = self.planned(&bind.statement, &limits).await?;
                PortalState::Planned(Box::new(prepared.bind(values)?))
            }
            _ => PortalState::Command,
        };
        let portal = Portal {
            sql,
            parsed,
            columns,
            formats,
            state,
        };
        self.remembered.add_portal(bind.portal, portal)?;
        append(
            &mut self.out,
            &PgWireBackendMessage::BindComplete(BindComplete::new()),
        );
        Ok(())
    }

    /// The plan of a prepared statement: the one that Parse made, while it is fresh, else a new one.
    pub(super) async fn planned(&mut self, name: &str, limits: &Limits) -> Result<Prepared, QueryError> {
        let lifetime = self.endpoint.engine.config.metadata_ttl;
        let generation = self.endpoint.engine.catalogs().generation();
        let statement = self.remembered.statement(name)?;
        if let Some(planned) = statement.planned.take()
            && planned.settings == self.session.settings
            && planned.at.elapsed() < lifetime
            && planned.prepared.generation == generation
        {
            return Ok(planned.prepared);
        }
        let (sql, told_columns) = (Arc::clone(&statement.sql), statement.columns.clone());
        let types = statement
            .parameters
            .iter()
            .map(|(data_type, _)| Some(data_type.clone()));
        let (types, parsed) = (types.collect(), statement.parsed.clone());
        let Some(parsed) = parsed else {
            return Err(QueryError::syntax("an empty statement has no plan"));
        };
        let described = self.plan_and_describe(parsed, types, limits).await;
        let (prepared, columns) =
            described.map_err(|error| told(error, &sql, &self.session.last_query_id()))?;
        if !same_columns(told_columns.as_ref(), Some(&columns)) {
            return Err(QueryError::not_supported(
                "cached plan must not change result type",
            ));
        }
        Ok(prepared)
    }

    fn describe_statement(&mut self, name: &str) -> Result<(), QueryError> {
        let statement = self.remembered.statement(name)?;
        let oids = statement.parameters.iter().map(|(_, oid)| *oid).collect();
        append(
            &mut self.out,
            &PgWireBackendMessage::ParameterDescription(ParameterDescription::new(oids)),
        );
        let columns = statement.columns.clone();
        self.describe(columns.as_ref(), &[]);
        Ok(())
    }

    fn describe_portal(&mut self, name: &str) -> Result<(), QueryError> {
        let portal = self.remembered.portal(name)?;
        let (columns, formats) = (portal.columns.clone(), portal.formats.clone());
        self.describe(columns.as_ref(), &formats);
        Ok(())
    }

    fn describe(&mut self, columns: Option<&datafusion::arrow::datatypes::SchemaRef>, formats: &[Format]) {
        let message = match columns {
            Some(columns) => PgWireBackendMessage::RowDescription(types::row_description(columns, formats)),
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        append(&mut self.out, &message);
    }

    async fn execute(&mut self, name: String, rows_max: usize) -> Result<(), Failure> {
        let mut portal = self.remembered.take_portal(&name)?;
        let Some(parsed) = portal.parsed.clone() else {
            append(
                &mut self.out,
                &PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()),
            );
            return Ok(());
        };
        self.check_transaction(Some(&parsed))?;
        let limits = self.limits();
        match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Command => {
                if !self.command(&parsed, &portal.formats).await?
                    && !self.refresh_command(&portal.sql, &parsed, &limits).await?
                {
                    let message = "this command is not supported in the extended protocol";
                    return Err(QueryError::not_supported(message).into());
                }
                self.remembered.put_back(name, portal);
                return Ok(());
            }
            PortalState::Write(values) => {
                let tag = self
                    .write_statement(&portal.sql, &parsed, values, &limits)
                    .await?;
                self.complete(tag);
            }
            PortalState::Done if query::is_command(&parsed) || query::is_write(&parsed) => {
                let message = format!("portal \"{name}\" cannot be run");
                let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
                return Err(QueryError::new(state, message).into());
            }
            PortalState::Done => self.complete("SELECT 0"),
            PortalState::Planned(prepared) => {
                let query_id = Arc::clone(&prepared.query_id);
                match self.start(*prepared, &limits).await {
                    Ok(running) => portal.state = PortalState::Running(Box::new(running)),
                    Err(error) => {
                        let error = at_literal(error, &portal.sql);
                        return Err(told(error, &portal.sql, &query_id).into());
                    }
                }
                self.send_portal(&mut portal, rows_max, &limits).await?;
            }
            running @ PortalState::Running(_) => {
                portal.state = running;
                self.send_portal(&mut portal, rows_max, &limits).await?;
            }
        }
        self.remembered.put_back(name, portal);
        Ok(())
    }

    /// Sends the next rows of a running portal. One that has failed or has no more rows is done.
    async fn send_portal(
        &mut self,
        portal: &mut Portal,
        rows_max: usize,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let PortalState::Running(mut running) = std::mem::replace(&mut portal.state, PortalState::Done)
        else {
            return Ok(());
        };
        if !same_columns(portal.columns.as_ref(), Some(&running.columns)) {
            return Err(QueryError::not_supported("cached plan must not change result type").into());
        }
        match self.send(&mut running, &portal.formats, rows_max, limits).await {
            Ok((rows, true)) => {
                self.complete(running.tag(rows));
                Ok(())
            }
            Ok((_, false)) => {
                append(
                    &mut self.out,
                    &PgWireBackendMessage::PortalSuspended(PortalSuspended::new()),
                );
                portal.state = PortalState::Running(running);
                Ok(())
            }
            Err(Failure::Query(error)) => Err(told(error, &portal.sql, &running.query_id).into()),
            Err(failure) => Err(failure),
        }
    }
}

/// Each type with the number that the client has named for it, or else its own.
fn with_oids(parameters: &[DataType], oids: &[u32]) -> Vec<(DataType, u32)> {
    let named = oids.iter().copied().chain(std::iter::repeat(0));
    let numbered = parameters.iter().zip(named).map(|(data_type, oid)| {
        let oid = if oid == 0 { types::oid(data_type) } else { oid };
        (data_type.clone(), oid)
    });
    numbered.collect()
}

fn decode_values(
    bind: &Bind,
    parameters: &[(DataType, u32)],
    cx: &InputContext,
) -> Result<Vec<ScalarValue>, QueryError> {
    let formats = formats_of(&bind.value_formats, parameters.len()).ok_or_else(|| {
        violation(format!(
            "bind message has {} parameter formats but {} parameters",
            bind.value_formats.len(),
            bind.values.len()
        ))
    })?;
    let values = bind.values.iter().zip(parameters).zip(formats);
    values
        .enumerate()
        .map(|(index, ((value, (data_type, oid)), format))| {
            params::decode(index + 1, value.as_deref(), format, data_type, *oid, cx)
        })
        .collect()
}

/// One format for each of `count`: none means text, one stands for all. `None`: they are of another number.
fn formats_of(codes: &[i16], count: usize) -> Option<Vec<Format>> {
    let format = |code: i16| if code == 0 { Format::Text } else { Format::Binary };
    match codes {
        [] => Some(vec![Format::Text; count]),
        [only] => Some(vec![format(*only); count]),
        each if each.len() == count => Some(each.iter().copied().map(format).collect()),
        _ => None,
    }
}

fn violation(message: String) -> QueryError {
    QueryError::new(SqlState::PROTOCOL_VIOLATION, message)
}
