//! `system.queries` and `pg_stat_activity`: what runs and what ran lately.
//!
//! Everybody sees that a statement runs, and whose it is; its text and its tables are shown to its own user only.

use super::CatalogView;
use super::table::{Cell, RowSink};
use crate::history::State;

/// The rows of `system.queries`.
pub(super) fn queries(view: &CatalogView, sink: &mut RowSink) {
    for record in view.history.records() {
        let (origin, now) = (&record.origin, record.snapshot());
        let own = origin.user == view.user;
        let tables: Vec<String> = now.tables.iter().map(ToString::to_string).collect();
        let sqlstate = match now.state {
            State::Ended { sqlstate } => Some(sqlstate),
            _ => None,
        };
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        sink.push([
            ("query_id", (&*origin.query_id).into()),
            ("session_id", origin.session_id.into()),
            ("username", origin.user.as_str().into()),
            ("database", origin.database.as_str().into()),
            ("state", now.state.name().into()),
            ("started", now.started.into()),
            (
                "elapsed_ms",
                i64::try_from(now.elapsed.as_millis()).unwrap_or(i64::MAX).into(),
            ),
            ("rows", count(now.rows).into()),
            ("bytes", count(now.bytes).into()),
            ("sqlstate", sqlstate.into()),
            ("tables", own.then(|| tables.join(", ")).into()),
            ("query", own.then_some(now.text).into()),
        ]);
    }
}

/// The rows of `pg_stat_activity`: the sessions whose statements run.
pub(super) fn sessions(view: &CatalogView, sink: &mut RowSink) {
    for record in view.history.records() {
        let (origin, now) = (&record.origin, record.snapshot());
        if matches!(now.state, State::Ended { .. }) {
            continue;
        }
        let own = origin.user == view.user;
        sink.push([
            ("datid", view.catalogs.oids.of_database(&origin.database).into()),
            ("datname", origin.database.as_str().into()),
            ("pid", origin.session_id.into()),
            ("usesysid", view.catalogs.oids.of_role(&origin.user).into()),
            ("usename", origin.user.as_str().into()),
            ("query_start", now.started.into()),
            ("state_change", now.started.into()),
            ("state", own.then_some("active").into()),
            (
                "query",
                if own {
                    Cell::from(now.text)
                } else {
                    "<insufficient privilege>".into()
                },
            ),
            ("backend_type", "client backend".into()),
        ]);
    }
}
