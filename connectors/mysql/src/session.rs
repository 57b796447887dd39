//! One session: opened with everything pinned that could change an answer, and kept in step with the server.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Error, Opts, Params, QueryResult, Row, Statement, Value};

use crate::native::Described;

/// Makes a session mean the same on every server, whatever its configuration:
///
/// - text travels as UTF-8, and a literal has no collation of its own that could win over a column's;
/// - times are UTC; `NO_BACKSLASH_ESCAPES` alone: no padding of `char(n)`, no other reading of quotes or operators;
/// - what is sorted is compared by 1,024 bytes, however few the server is configured to look at;
/// - `IS NULL` finds NULLs only, results are not cut, joins are not refused for their size, and a list of values never becomes a subquery (MariaDB);
/// - MariaDB remembers no answers of a subquery: it finds them again by the outer row's collation, `ß` by those of `ss`;
/// - the server closes a session that nobody uses any more, long after the pool has given it up.
const PINNED: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = '+00:00', \
    sql_mode = 'NO_BACKSLASH_ESCAPES', sql_auto_is_null = 0, sql_select_limit = 18446744073709551615, \
    autocommit = 1, wait_timeout = 900, max_sort_length = 1024, sql_big_selects = 1 \
    /*M!100318 , in_predicate_conversion_threshold = 0, optimizer_switch = 'subquery_cache=off' */";

/// Nothing is ever written through a catalog that only reads; and a snapshot is one at this level only.
const READ_ONLY: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Tells servers apart: behind one address there may be several, and their sessions' numbers are their own.
const SERVER: &str = "SELECT CONCAT_WS(':', @@hostname, @@port, @@server_id)";

/// The server's answer to a statement that was killed.
const INTERRUPTED: u16 = 1317;
/// How many statements a late kill may hit before the session is given up.
const ABSORB_TRIES: usize = 3;

/// A session by its number, on the server that gave it.
#[derive(Debug, Clone)]
pub(crate) struct SessionId {
    /// The number, as the server's list of processes shows it.
    pub(crate) number: u32,
    /// The server.
    pub(crate) server: Arc<str>,
}

/// A pinned session.
pub(crate) struct Session {
    conn: Conn,
    id: SessionId,
    prepared: Option<Prepared>,
    in_snapshot: bool,
}

struct Prepared {
    sql: String,
    statement: Statement,
}

impl Session {
    /// Opens a pinned session whose statements live no longer than `statement_time`.
    pub(crate) async fn open(options: Opts, statement_time: Duration) -> mysql_async::Result<Self> {
        let mut conn = Conn::new(options).await?;
        conn.query_drop(format!("{PINNED} {}", time_limits(statement_time)))
            .await?;
        conn.query_drop(READ_ONLY).await?;
        let server: Option<Option<String>> = conn.query_first(SERVER).await?;
        Ok(Self {
            id: SessionId {
                number: conn.id(),
                server: server.flatten().unwrap_or_default().into(),
            },
            conn,
            prepared: None,
            in_snapshot: false,
        })
    }

    /// Which session this is.
    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// Prepares `sql`, unless it is what was prepared last.
    pub(crate) async fn prepare(&mut self, sql: &str) -> mysql_async::Result<()> {
        if self.prepared.as_ref().is_some_and(|prepared| prepared.sql == sql) {
            return Ok(());
        }
        self.close_prepared().await?;
        let statement = self.conn.prep(sql).await?;
        self.prepared = Some(Prepared {
            sql: sql.to_owned(),
            statement,
        });
        Ok(())
    }

    /// What the server says of `sql`, which is prepared for that and not run.
    pub(crate) async fn describe(&mut self, sql: &str) -> mysql_async::Result<Described> {
        let statement = self.conn.prep(sql).await?;
        let described = Described {
            columns: statement.columns(),
            params: statement.num_params(),
        };
        self.conn.close(statement).await?;
        Ok(described)
    }

    /// Runs the prepared statement.
    ///
    /// Cancel-safe between rows: what a dropped result has not given is still to be read by [`Session::drain`].
    pub(crate) async fn execute(
        &mut self,
        params: Vec<Value>,
    ) -> mysql_async::Result<QueryResult<'_, 'static, BinaryProtocol>> {
        let Some(prepared) = &self.prepared else {
            return Err(mysql_async::DriverError::ConnectionClosed.into());
        };
        let params = match params.is_empty() {
            true => Params::Empty,
            false => Params::Positional(params),
        };
        self.conn.exec_iter(&prepared.statement, params).await
    }

    /// Runs a small request and reads its rows.
    pub(crate) async fn rows(&mut self, sql: &str, params: Vec<Value>) -> mysql_async::Result<Vec<Row>> {
        if params.is_empty() {
            return self.conn.query(sql).await;
        }
        let statement = self.conn.prep(sql).await?;
        let rows = self.conn.exec(&statement, Params::Positional(params)).await?;
        self.conn.close(statement).await?;
        Ok(rows)
    }

    /// Runs a statement without a result.
    pub(crate) async fn run(&mut self, sql: &str) -> mysql_async::Result<()> {
        self.conn.query_drop(sql).await
    }

    /// Begins a transaction in which every statement sees the data of now; ends the one before.
    pub(crate) async fn begin_snapshot(&mut self) -> mysql_async::Result<()> {
        self.run("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        self.in_snapshot = true;
        Ok(())
    }

    /// Ends the snapshot, if there is one.
    pub(crate) async fn end_snapshot(&mut self) -> mysql_async::Result<()> {
        if self.in_snapshot {
            self.run("COMMIT").await?;
            self.in_snapshot = false;
        }
        Ok(())
    }

    /// Whether statements see the data of a moment that is gone: no other session can stand in for this one.
    pub(crate) fn is_in_snapshot(&self) -> bool {
        self.in_snapshot
    }

    /// Whether rows of the last statement are still to be read.
    pub(crate) fn has_rows(&mut self) -> bool {
        !QueryResult::<BinaryProtocol>::new(&mut self.conn).is_empty()
    }

    /// Reads the rows that are left; `false` when the session cannot be used any more.
    pub(crate) async fn drain(&mut self) -> bool {
        match self.drain_rows().await {
            Ok(()) | Err(Error::Server(_)) => self.is_usable(),
            Err(_) => false,
        }
    }

    async fn drain_rows(&mut self) -> mysql_async::Result<()> {
        let mut result = QueryResult::<BinaryProtocol>::new(&mut self.conn);
        let mut turn = Turn::default();
        while result.next().await?.is_some() {
            turn.row().await;
        }
        result.drop_result().await
    }

    /// Whether the session is open and no request on it was left half done.
    pub(crate) fn is_usable(&self) -> bool {
        !self.conn.is_disconnected()
    }

    /// Lets a kill that came after the end of its statement hit an empty one; `false` when that cannot be told.
    ///
    /// To be called when the kill has been acknowledged: a server marks the session before it answers, and takes the
    /// mark away at the end of the next statement.
    pub(crate) async fn absorb_kill(&mut self) -> bool {
        for _ in 0..ABSORB_TRIES {
            match self.conn.query_drop("DO 0").await {
                Ok(()) => return true,
                Err(Error::Server(error)) if error.code == INTERRUPTED => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Closes what was prepared, at the server too.
    pub(crate) async fn close_prepared(&mut self) -> mysql_async::Result<()> {
        match self.prepared.take() {
            Some(prepared) => self.conn.close(prepared.statement).await,
            None => Ok(()),
        }
    }

    /// Closes the socket now, without reading the rest of a result.
    pub(crate) fn close(self) {
        use futures::FutureExt;
        // The first step says goodbye if nothing is pending; whatever remains is dropped with the socket.
        drop(self.conn.disconnect().now_or_never());
    }
}

/// Rows that a task reads before it lets others have their turn.
const ROWS_PER_TURN: usize = 512;

/// A task's turn of reading rows.
///
/// Where rows come faster than they are read a task never waits, and the runtime looks at other sockets only after
/// many turns: the answer to a kill would come when it is too late.
#[derive(Debug, Default)]
pub(crate) struct Turn(usize);

impl Turn {
    /// To be called at each row.
    pub(crate) async fn row(&mut self) {
        self.0 += 1;
        if self.0 == ROWS_PER_TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Bounds how long the server computes a statement, and how long it waits for a reader who does not read.
///
/// A query's own timeout is no such bound: it begins anew each time that a client asks for more rows of a cursor.
/// More variables for [`PINNED`]. MariaDB and MySQL have different ones; each reads the comment that is meant for it.
fn time_limits(limit: Duration) -> String {
    let seconds = limit.as_secs_f64().ceil();
    let millis = limit.as_millis();
    format!(
        ", net_write_timeout = {seconds} /*M!100101 , max_statement_time = {seconds} */ \
         /*!50708 , max_execution_time = {millis} */"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_are_whole_seconds_or_milliseconds() {
        assert_eq!(
            time_limits(Duration::from_millis(1_500)),
            ", net_write_timeout = 2 /*M!100101 , max_statement_time = 2 */ \
             /*!50708 , max_execution_time = 1500 */"
        );
    }
}
