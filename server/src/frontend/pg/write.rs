//! A statement that writes: its catalog's transaction, what it reads there, and the rows to the source.
//!
//! The transaction is the session's. Outside of a block it ends with the message, in `ready` and `commit_message`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use causeway_spi::WriteContext;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement;
use futures::FutureExt;

use super::connection::Connection;
use super::error::{append, notice};
use super::run::{Limits, panicked, told};
use crate::error::QueryError;
use crate::query::{
    self, Done, Engine, Notice, Outcome, ParsedStatement, PlanContext, Prepared, Receipt, WriteKind,
};
use crate::session::Writes;

impl Connection {
    /// Runs a statement that writes, tells the client its notices, and returns its tag.
    pub(super) async fn write_statement(
        &mut self,
        sql: &str,
        parsed: &Arc<ParsedStatement>,
        values: Vec<ScalarValue>,
        limits: &Limits,
    ) -> Result<String, QueryError> {
        query::check_may_write(parsed, self.session.is_read_only())?;
        let engine = Arc::clone(&self.endpoint.engine);
        let cx = PlanContext::new(&engine, &mut self.session);
        let (query_id, tracked) = (Arc::clone(cx.query_id()), Arc::clone(cx.tracked()));
        tracked.describe(&parsed.statement);
        tracked.start();
        let writing = self.write(&engine, cx, parsed, values, limits);
        // A panic of the engine ends this statement only.
        let outcome = match AssertUnwindSafe(writing).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(panic) => Err(panicked(panic.as_ref())),
        };
        match outcome {
            Ok((done, rows)) => {
                tracked.sent(rows, 0);
                tracked.finish(None);
                for told in &done.notices {
                    self.notice(told);
                }
                Ok(done.tag)
            }
            Err(error) => {
                tracked.finish(Some(&error));
                Err(told(error, sql, &query_id))
            }
        }
    }

    async fn write(
        &mut self,
        engine: &Arc<Engine>,
        mut cx: PlanContext,
        parsed: &Arc<ParsedStatement>,
        values: Vec<ScalarValue>,
        limits: &Limits,
    ) -> Result<(Done, u64), QueryError> {
        let catalog = query::written_catalog(engine, &cx, parsed);
        if let Some(catalog) = limits.cancellable(catalog).await?? {
            self.begin_writes(engine, &cx, catalog, limits).await?;
            cx.look_again(engine, &self.session);
        }
        match &parsed.statement {
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                self.write_rows(engine, cx, parsed, values, limits).await
            }
            Statement::CreateTable(create) if create.query.is_some() => {
                self.write_table(engine, cx, parsed, values, limits).await
            }
            Statement::CreateView(_) => {
                let planned = (Arc::clone(engine), cx.clone(), Arc::clone(parsed));
                let planning =
                    move |_| async move { query::define_view(&planned.0, planned.1, &planned.2).await };
                let view = self.on_planner(limits, planning).await?;
                let done = query::put_view(&cx, self.writes()?, parsed, &view);
                Ok((limits.cancellable(done).await??, 0))
            }
            _ => {
                let writes = self.session.transaction.writes_mut();
                let done = query::change_structure(engine, &cx, writes, parsed);
                Ok((limits.cancellable(done).await??, 0))
            }
        }
    }

    /// Begins the session's transaction on `catalog`, unless it has begun. Errors: 0A000 for a second catalog; 55P03.
    async fn begin_writes(
        &mut self,
        engine: &Engine,
        cx: &PlanContext,
        catalog: String,
        limits: &Limits,
    ) -> Result<(), QueryError> {
        if let Some(writes) = self.session.transaction.writes() {
            return match writes.catalog == catalog {
                true => Ok(()),
                false => Err(query::second_catalog(&writes.catalog)),
            };
        }
        let catalogs = engine.catalogs();
        let writer = catalogs.get(&catalog).and_then(|connector| connector.writer());
        let Some(writer) = writer else {
            return Err(QueryError::not_supported("this catalog cannot be written"));
        };
        let context = WriteContext {
            query_id: Arc::clone(cx.query_id()),
            lock_timeout: self.session.settings.lock_timeout(),
        };
        let transaction = limits.cancellable(writer.begin(&context)).await??;
        self.session
            .transaction
            .set_writes(Writes { catalog, transaction });
        Ok(())
    }

    fn writes(&mut self) -> Result<&mut Writes, QueryError> {
        let writes = self.session.transaction.writes_mut();
        writes.ok_or_else(|| QueryError::not_supported("nothing is written here"))
    }

    /// INSERT, UPDATE and DELETE.
    async fn write_rows(
        &mut self,
        engine: &Arc<Engine>,
        cx: PlanContext,
        parsed: &Arc<ParsedStatement>,
        values: Vec<ScalarValue>,
        limits: &Limits,
    ) -> Result<(Done, u64), QueryError> {
        let target = query::find_target(&cx, self.session.transaction.writes(), parsed);
        let target = limits.cancellable(target).await??;
        let types = types_of(&values);
        let receipt = self.session.settings.receipt();
        let (engine, parsed) = (Arc::clone(engine), Arc::clone(parsed));
        let planning = move |_| async move {
            let mut write = query::prepare_write(&engine, cx, &parsed, &types, target).await?;
            write.prepared = bound(write.prepared, values)?.receipt(receipt);
            Ok(write)
        };
        let write = self.on_planner(limits, planning).await?;
        let handle = self
            .on_planner(limits, move |token| query::start(write.prepared, token))
            .await?;
        let rows = query::rows_to_write(handle.stream, write.schema, &write.name.table);
        let transaction = &mut self.writes()?.transaction;
        let written = match write.kind {
            WriteKind::Insert => transaction.insert(&write.name, rows),
            WriteKind::Update => transaction.update(&write.name, rows),
            WriteKind::Delete => transaction.delete(&write.name, rows),
        };
        let count = limits.cancellable(written).await??;
        let tag = match write.kind {
            WriteKind::Insert => format!("INSERT 0 {count}"),
            WriteKind::Update => format!("UPDATE {count}"),
            WriteKind::Delete => format!("DELETE {count}"),
        };
        let notices = receipt_notice(handle.receipt, count).into_iter().collect();
        Ok((Done::new(tag, notices), count))
    }

    /// CREATE TABLE AS.
    async fn write_table(
        &mut self,
        engine: &Arc<Engine>,
        cx: PlanContext,
        parsed: &Arc<ParsedStatement>,
        values: Vec<ScalarValue>,
        limits: &Limits,
    ) -> Result<(Done, u64), QueryError> {
        let Statement::CreateTable(create) = &parsed.statement else {
            return Err(QueryError::not_supported("this statement creates no table"));
        };
        let types = types_of(&values);
        let receipt = self.session.settings.receipt();
        let planned = (Arc::clone(engine), cx.clone(), Arc::clone(parsed));
        let planning = move |_| async move {
            let Statement::CreateTable(create) = &planned.2.statement else {
                return Err(QueryError::not_supported("this statement creates no table"));
            };
            let (prepared, columns) = query::table_of_query(&planned.0, planned.1, create, &types).await?;
            Ok((bound(prepared, values)?.receipt(receipt), columns))
        };
        let (prepared, columns) = self.on_planner(limits, planning).await?;
        let created = query::create_table(engine, &cx, self.writes()?, create, Some(Arc::clone(&columns)));
        let (name, mut notices) = limits.cancellable(created).await??;
        let Some(name) = name else {
            return Ok((Done::new("CREATE TABLE AS", notices), 0));
        };
        let handle = self
            .on_planner(limits, move |token| query::start(prepared, token))
            .await?;
        let rows = query::rows_to_write(handle.stream, columns, &name.table);
        let written = self.writes()?.transaction.insert(&name, rows);
        let count = limits.cancellable(written).await??;
        notices.extend(receipt_notice(handle.receipt, count));
        Ok((Done::new(format!("SELECT {count}"), notices), count))
    }

    /// Tells the client what a statement has moved, if it wanted to know.
    pub(super) fn tell_receipt(&mut self, receipt: Option<Receipt>, outcome: Outcome) {
        if let Some(text) = receipt.and_then(|receipt| receipt.text(outcome)) {
            self.notice(&Notice::information(text));
        }
    }

    /// Tells the client something that is no error, if it wants to be told.
    fn notice(&mut self, told: &Notice) {
        let level = self
            .session
            .settings
            .get("client_min_messages")
            .unwrap_or("notice");
        if !["warning", "error", "fatal", "panic"].contains(&level.to_lowercase().as_str()) {
            append(&mut self.out, &notice(told));
        }
    }
}

/// What a statement that has written `count` rows has moved for them.
fn receipt_notice(receipt: Option<Receipt>, count: u64) -> Option<Notice> {
    let written = Outcome::Written(usize::try_from(count).unwrap_or(usize::MAX));
    receipt?.text(written).map(Notice::information)
}

fn types_of(values: &[ScalarValue]) -> Vec<Option<DataType>> {
    values.iter().map(|value| Some(value.data_type())).collect()
}

/// With its values. Errors: 42P02 for a parameter without one.
fn bound(prepared: Prepared, values: Vec<ScalarValue>) -> Result<Prepared, QueryError> {
    if values.is_empty() && !prepared.parameters.is_empty() {
        let state = crate::sqlstate::SqlState::UNDEFINED_PARAMETER;
        return Err(QueryError::new(state, "there is no parameter $1"));
    }
    prepared.bind(values)
}
