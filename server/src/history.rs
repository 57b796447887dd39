//! What runs and what ran lately: `system.queries`, `pg_stat_activity`, and one line of the log for each query.
//!
//! A [`Tracked`] goes with a statement from its plan to its last row. However the statement ends, dropping it writes the end.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway_spi::TableName;
use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    Statement, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Ended statements that are remembered.
const RECENT_MAX: usize = 1_000;
/// Characters of a statement that are remembered.
const TEXT_CHARACTERS_MAX: usize = 2_000;
/// Literals beyond which a statement's text is not made: it would take longer than the statement is worth.
const LITERALS_MAX: usize = 5_000;
/// The SQLSTATE of a statement that ended well.
const SUCCESS: &str = "00000";

/// Who runs a statement.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The query's id.
    pub query_id: Arc<str>,
    /// The session's number.
    pub session_id: i32,
    /// The user.
    pub user: String,
    /// The session's database.
    pub database: String,
}

/// How far a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is being planned, or was and has not begun.
    Planned,
    /// It reads, or waits for its client.
    Running,
    /// It has ended.
    Ended {
        /// With what.
        sqlstate: &'static str,
    },
}

impl State {
    /// The state's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Planned => "planning",
            Self::Running => "running",
            Self::Ended { sqlstate: SUCCESS } => "finished",
            Self::Ended { sqlstate } if sqlstate == SqlState::QUERY_CANCELED.code() => "canceled",
            Self::Ended { .. } => "failed",
        }
    }
}

/// One statement.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) origin: Origin,
    rows: AtomicU64,
    bytes: AtomicU64,
    live: Mutex<Live>,
}

#[derive(Debug, Clone)]
struct Live {
    state: State,
    started: DateTime<Utc>,
    begun: Instant,
    elapsed: Option<Duration>,
    tables: Vec<TableName>,
    text: String,
}

/// A statement as it is at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) started: DateTime<Utc>,
    pub(crate) elapsed: Duration,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) tables: Vec<TableName>,
    /// Without literals.
    pub(crate) text: String,
}

impl Record {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let live = self.live().clone();
        Snapshot {
            state: live.state,
            started: live.started,
            elapsed: live.elapsed.unwrap_or_else(|| live.begun.elapsed()),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            tables: live.tables,
            text: live.text,
        }
    }
}

/// The statements that run, and the last ones that ended.
#[derive(Debug, Default)]
pub struct History {
    running: Mutex<Vec<Arc<Record>>>,
    recent: Mutex<VecDeque<Arc<Record>>>,
}

impl History {
    /// Begins to track a statement.
    pub(crate) fn begin(self: &Arc<Self>, origin: Origin) -> Arc<Tracked> {
        let record = Arc::new(Record {
            origin,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            live: Mutex::new(Live {
                state: State::Planned,
                started: Utc::now(),
                begun: Instant::now(),
                elapsed: None,
                tables: Vec::new(),
                text: String::new(),
            }),
        });
        self.running().push(Arc::clone(&record));
        Arc::new(Tracked {
            record,
            history: Arc::clone(self),
        })
    }

    /// The statements that run, then those that ended, the newest first.
    pub(crate) fn records(&self) -> Vec<Arc<Record>> {
        let mut records = self.running().clone();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        records.extend(recent.iter().rev().cloned());
        records
    }

    fn running(&self) -> MutexGuard<'_, Vec<Arc<Record>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a statement to those that run, unless it is there. Returns whether it was not.
    fn enter(&self, record: &Arc<Record>) -> bool {
        let mut running = self.running();
        let rested = !running.iter().any(|other| Arc::ptr_eq(other, record));
        if rested {
            running.push(Arc::clone(record));
        }
        rested
    }

    fn leave(&self, record: &Arc<Record>, remembered: bool) {
        self.running().retain(|other| !Arc::ptr_eq(other, record));
        if remembered {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= RECENT_MAX {
                recent.pop_front();
            }
            recent.push_back(Arc::clone(record));
        }
    }
}

/// A statement that is being tracked.
#[derive(Debug)]
pub struct Tracked {
    record: Arc<Record>,
    history: Arc<History>,
}

impl Tracked {
    /// Notes the statement's text, without its literals.
    pub(crate) fn describe(&self, statement: &Statement) {
        let text = without_literals(statement);
        self.record.live().text = text;
    }

    /// Notes the tables it reads.
    pub(crate) fn reads(&self, tables: &[TableName]) {
        self.record.live().tables = tables.to_vec();
    }

    /// It is planned and waits for somebody to run it, which may take long: until then it is not shown.
    pub(crate) fn rest(&self) {
        self.history.leave(&self.record, false);
    }

    /// It begins to run.
    pub(crate) fn start(&self) {
        let rested = self.history.enter(&self.record);
        let mut live = self.record.live();
        live.state = State::Running;
        if rested {
            (live.started, live.begun) = (Utc::now(), Instant::now());
        }
    }

    /// Rows were sent.
    pub(crate) fn sent(&self, rows: u64, bytes: u64) {
        self.record.rows.fetch_add(rows, Ordering::Relaxed);
        self.record.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It has ended. What comes after the first end is not noted.
    pub(crate) fn finish(&self, error: Option<&QueryError>) {
        self.end(error.map_or(SUCCESS, |error| error.state.code()));
    }

    fn end(&self, sqlstate: &'static str) {
        {
            let mut live = self.record.live();
            if matches!(live.state, State::Ended { .. }) {
                return;
            }
            live.state = State::Ended { sqlstate };
            live.elapsed = Some(live.begun.elapsed());
        }
        self.history.leave(&self.record, true);
        let now = self.record.snapshot();
        let Origin {
            query_id,
            session_id,
            user,
            database,
        } = &self.record.origin;
        let elapsed_ms = u64::try_from(now.elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            query_id = &**query_id,
            session_id,
            user,
            database,
            rows = now.rows,
            bytes = now.bytes,
            elapsed_ms,
            sqlstate,
            "query"
        );
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let state = self.record.live().state;
        match state {
            // It was prepared only.
            State::Planned => self.history.leave(&self.record, false),
            // Its client has gone, or has closed its portal.
            State::Running => self.end(SqlState::QUERY_CANCELED.code()),
            State::Ended { .. } => {}
        }
    }
}

/// A statement's text with `?` in the place of every literal, cut where it is long.
fn without_literals(statement: &Statement) -> String {
    struct Count(usize);
    impl Visitor for Count {
        type Break = ();

        fn pre_visit_value(&mut self, _: &ValueWithSpan) -> ControlFlow<()> {
            self.0 += 1;
            match self.0 > LITERALS_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    if statement.visit(&mut Count(0)).is_break() {
        return format!("(a statement of more than {LITERALS_MAX} literals)");
    }
    struct Literals;
    impl VisitorMut for Literals {
        type Break = ();

        fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
            value.value = Value::Placeholder("?".to_owned());
            ControlFlow::Continue(())
        }
    }
    let mut statement = statement.clone();
    // It never breaks.
    let _ = VisitMut::visit(&mut statement, &mut Literals);
    statement.to_string().chars().take(TEXT_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    fn origin(query_id: &str) -> Origin {
        Origin {
            query_id: Arc::from(query_id),
            session_id: 7,
            user: "ann".into(),
            database: "shop".into(),
        }
    }

    #[test]
    fn literals_are_removed_in_every_place() {
        let sql = "SELECT 'secret', x FROM t WHERE a = 4711 AND b IN ('secret', E'secret') AND d > DATE '2024-01-01' \
                   AND e LIKE 'secret%' AND i < INTERVAL '3 days' LIMIT 4711";
        let text = without_literals(&parse(sql).unwrap().remove(0).statement);
        for literal in ["secret", "4711", "2024", "3 days"] {
            assert!(!text.contains(literal), "{text}");
        }
        assert!(
            text.starts_with("SELECT ?, x FROM t WHERE a = ? AND b IN (?, ?)"),
            "{text}"
        );
    }

    #[test]
    fn a_statement_is_tracked_to_its_end() {
        let history = Arc::new(History::default());
        drop(history.begin(origin("7-1")));
        assert!(
            history.records().is_empty(),
            "what is only prepared is not remembered"
        );

        let tracked = history.begin(origin("7-2"));
        tracked.start();
        tracked.sent(3, 100);
        let running = history.records().remove(0).snapshot();
        assert_eq!(
            (running.state, running.rows, running.bytes),
            (State::Running, 3, 100)
        );
        tracked.finish(None);
        tracked.finish(Some(&QueryError::syntax("late")));
        drop(tracked);

        let gone = history.begin(origin("7-3"));
        gone.start();
        drop(gone);
        let states: Vec<&str> = history
            .records()
            .iter()
            .map(|record| record.snapshot().state.name())
            .collect();
        assert_eq!(states, ["canceled", "finished"]);
    }

    #[test]
    fn only_the_last_ones_are_remembered() {
        let history = Arc::new(History::default());
        for number in 0..=RECENT_MAX {
            history.begin(origin(&number.to_string())).finish(None);
        }
        let records = history.records();
        assert_eq!(records.len(), RECENT_MAX);
        assert_eq!(&*records[0].origin.query_id, "1000");
    }
}
