//! The simple protocol: the statements of one Query message up to the first error.

use std::io;
use std::sync::Arc;

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::EmptyQueryResponse;

use super::connection::Connection;
use super::error::append;
use super::run::{Failure, Limits, at_literal, only_place, told};
use super::types::row_description;
use crate::error::QueryError;
use crate::query::{self, ParsedStatement, Prepared};
use crate::sqlstate::SqlState;

impl Connection {
    /// Runs a Query message, then says that the next one may come.
    pub(super) async fn simple_query(&mut self, text: Result<String, QueryError>) -> io::Result<()> {
        let outcome = match text {
            Ok(sql) => self.run_message(&sql).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => {}
            Err(Failure::Io(error)) => return Err(error),
            Err(Failure::Query(error)) => self.fail(&error),
        }
        self.ready().await
    }

    async fn run_message(&mut self, sql: &str) -> Result<(), Failure> {
        // Each statement has a limit of its own; parsing has the first one's.
        let limits = self.limits();
        let statements = self.parse(Arc::from(sql), &limits).await?;
        if statements.is_empty() {
            append(
                &mut self.out,
                &PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()),
            );
        }
        let mut left = statements.len();
        for parsed in statements {
            self.check_transaction(Some(&parsed))?;
            if let Some(columns) = query::describe_command(&mut self.session, &parsed)? {
                append(
                    &mut self.out,
                    &PgWireBackendMessage::RowDescription(row_description(&columns, &[])),
                );
            }
            left -= 1;
            if self.command(&parsed, &[]).await?
                || self.refresh_command(sql, &parsed, &limits).await?
                || self.prepared_command(sql, &parsed, &limits).await?
            {
                continue;
            }
            let limits = limits.renewed(&self.session);
            if query::is_write(&parsed) {
                let tag = self
                    .write_statement(sql, &Arc::new(parsed), Vec::new(), &limits)
                    .await?;
                if left == 0 {
                    // The tag of the last statement says that all of the message is done.
                    self.session.transaction.commit_message().await?;
                }
                self.complete(tag);
            } else {
                self.query(sql, parsed, &limits).await?;
            }
        }
        // What the message has written outside of a block.
        Ok(self.session.transaction.commit_message().await?)
    }

    async fn query(&mut self, sql: &str, parsed: ParsedStatement, limits: &Limits) -> Result<(), Failure> {
        let prepared = self.plan(Arc::new(parsed), Vec::new(), limits).await;
        let prepared =
            prepared.map_err(|error| told(at_literal(error, sql), sql, &self.session.last_query_id()))?;
        if !prepared.parameters.is_empty() {
            let mut error = QueryError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1");
            error.position = only_place(sql, "$1");
            return Err(error.into());
        }
        self.run_whole(sql, prepared, limits).await
    }

    /// Starts `prepared`, describes its rows and sends all of them.
    pub(super) async fn run_whole(
        &mut self,
        sql: &str,
        prepared: Prepared,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let query_id = Arc::clone(&prepared.query_id);
        let outcome = match self.start(prepared, limits).await {
            Ok(mut running) => {
                append(
                    &mut self.out,
                    &PgWireBackendMessage::RowDescription(row_description(&running.columns, &[])),
                );
                let sent = self.send(&mut running, &[], 0, limits).await;
                sent.map(|(rows, _)| running.tag(rows))
            }
            Err(error) => Err(at_literal(error, sql).into()),
        };
        match outcome {
            Ok(tag) => {
                self.complete(tag);
                Ok(())
            }
            Err(Failure::Query(error)) => Err(told(error, sql, &query_id).into()),
            Err(failure) => Err(failure),
        }
    }
}
