//! What a connection remembers for the extended protocol: prepared statements, and portals with their rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;

use super::encode::{Format, RowEncoder};
use super::types;
use crate::error::{QueryError, Result};
use crate::history::Tracked;
use crate::query::{ParsedStatement, PendingSettings, Prepared, Receipt};
use crate::session::Settings;
use crate::sqlstate::SqlState;

/// Most statements, and most portals, of one connection.
const REMEMBERED_MAX: usize = 10_000;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: Arc<str>,
    /// `None` for an empty text.
    pub(super) parsed: Option<Arc<ParsedStatement>>,
    /// The parameters: the type of the values, and the number the client knows it by.
    pub(super) parameters: Vec<(DataType, u32)>,
    /// The columns of the result; `None` if there is none.
    pub(super) columns: Option<SchemaRef>,
    /// The plan that Parse made; the first Bind takes it.
    pub(super) planned: Option<Planned>,
}

/// A plan, and what it depends on besides the statement.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) prepared: Prepared,
    pub(super) settings: Settings,
    pub(super) at: Instant,
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) sql: Arc<str>,
    /// `None` for an empty text.
    pub(super) parsed: Option<Arc<ParsedStatement>>,
    pub(super) columns: Option<SchemaRef>,
    pub(super) formats: Vec<Format>,
    pub(super) state: PortalState,
}

/// How far a portal has come.
#[derive(Debug)]
pub(super) enum PortalState {
    /// A command, which runs at Execute.
    Command,
    /// A statement that writes, planned and run at Execute, with its values.
    Write(Vec<ScalarValue>),
    /// A plan that has not started.
    Planned(Box<Prepared>),
    /// Rows are still to come.
    Running(Box<Running>),
    /// All rows were sent, or it failed.
    Done,
}

/// A query that runs, and how much of it was sent.
pub(super) struct Running {
    /// Whether it is an EXPLAIN, whose rows nobody counts.
    pub(super) explains: bool,
    pub(super) query_id: Arc<str>,
    pub(super) tracked: Arc<Tracked>,
    pub(super) tables: Vec<causeway_spi::TableName>,
    /// The columns as the client sees them.
    pub(super) columns: SchemaRef,
    /// The rows that have not been read; dropping it ends the work, at the sources too.
    pub(super) stream: Option<SendableRecordBatchStream>,
    /// The batch that is being sent, and its next row.
    pub(super) batch: Option<(RowEncoder, usize)>,
    /// The settings that it changes.
    pub(super) set_config: PendingSettings,
    /// What it has moved, once all rows were read, if the client wants to know.
    pub(super) receipt: Option<Receipt>,
    /// Rows that the client got so far.
    pub(super) returned: usize,
    /// What was sent and stands not yet in the history, which is told now and then only.
    pub(super) unnoted: Sent,
}

/// Rows and their bytes.
#[derive(Debug, Default)]
pub(super) struct Sent {
    rows: u64,
    bytes: u64,
}

impl Sent {
    /// One more row.
    pub(super) fn add(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// Tells the history of them.
    pub(super) fn note(&mut self, tracked: &Tracked) {
        let Self { rows, bytes } = std::mem::take(self);
        tracked.sent(rows, bytes);
    }
}

impl Running {
    /// The command tag once it has returned its last `rows` rows.
    pub(super) fn tag(&self, rows: usize) -> String {
        match self.explains {
            true => "EXPLAIN".to_owned(),
            false => format!("SELECT {rows}"),
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("query_id", &self.query_id)
            .finish_non_exhaustive()
    }
}

/// The statements and portals of a connection, by name; the empty name is the unnamed one, which anything replaces.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    statements: HashMap<String, Statement>,
    portals: HashMap<String, Portal>,
}

impl Remembered {
    /// Adds a statement. Errors: 42P05, the name is taken; 54000.
    pub(super) fn add_statement(&mut self, name: String, statement: Statement) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(QueryError::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        check_number(self.statements.len(), "prepared statements")?;
        self.statements.insert(name, statement);
        Ok(())
    }

    /// The statement `name`. Errors: 26000.
    pub(super) fn statement(&mut self, name: &str) -> Result<&mut Statement> {
        self.statements.get_mut(name).ok_or_else(|| no_statement(name))
    }

    /// Forgets a statement; its portals live on. Returns whether there was one.
    pub(super) fn close_statement(&mut self, name: &str) -> bool {
        self.statements.remove(name).is_some()
    }

    /// DEALLOCATE ALL.
    pub(super) fn close_statements(&mut self) {
        self.statements.clear();
    }

    /// Adds a portal. Errors: 42P03, the name is taken; 54000.
    pub(super) fn add_portal(&mut self, name: String, portal: Portal) -> Result<()> {
        if !name.is_empty() && self.portals.contains_key(&name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(QueryError::new(SqlState::DUPLICATE_CURSOR, message));
        }
        check_number(self.portals.len(), "portals")?;
        self.portals.insert(name, portal);
        Ok(())
    }

    /// The portal `name`. Errors: 34000.
    pub(super) fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals.get_mut(name).ok_or_else(|| {
            let message = format!("portal \"{name}\" does not exist");
            QueryError::new(SqlState::INVALID_CURSOR_NAME, message)
        })
    }

    /// Takes the portal `name` away, to run it; [`Remembered::put_back`] brings it back.
    pub(super) fn take_portal(&mut self, name: &str) -> Result<Portal> {
        self.portal(name)?;
        self.portals.remove(name).ok_or_else(|| no_statement(name))
    }

    pub(super) fn put_back(&mut self, name: String, portal: Portal) {
        self.portals.insert(name, portal);
    }

    /// Forgets a portal, and ends its work.
    pub(super) fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// Forgets all portals: at the end of a transaction.
    pub(super) fn close_portals(&mut self) {
        self.portals.clear();
    }
}

/// 26000.
pub(super) fn no_statement(name: &str) -> QueryError {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    QueryError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

fn check_number(number: usize, what: &str) -> Result<()> {
    if number < REMEMBERED_MAX {
        return Ok(());
    }
    let message = format!("a connection has at most {REMEMBERED_MAX} {what}");
    Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
}

/// Whether rows of `now` can be sent to a client that was told of `told`.
pub(super) fn same_columns(told: Option<&SchemaRef>, now: Option<&SchemaRef>) -> bool {
    let shape = |schema: &SchemaRef| -> Vec<(String, u32)> {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), types::oid(field.data_type())))
            .collect()
    };
    told.map(shape) == now.map(shape)
}
