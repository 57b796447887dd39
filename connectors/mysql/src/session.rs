//! One session: opened with everything pinned that could change an answer, and kept in step with the server.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Error, Opts, Params, QueryResult, Row, Statement, Value};

/// Makes a session mean the same on every server, whatever its configuration:
///
/// - text travels as UTF-8, and a literal has no collation of its own that could win over a column's;
/// - times are UTC; `NO_BACKSLASH_ESCAPES` alone: no padding of `char(n)`, no other reading of quotes or operators;
/// - `IS NULL` finds NULLs only, results are not cut, and a list of values never becomes a subquery (MariaDB);
/// - the server closes a session that nobody uses any more, long after the pool has given it up.
const PINNED: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = '+00:00', \
    sql_mode = 'NO_BACKSLASH_ESCAPES', sql_auto_is_null = 0, sql_select_limit = 18446744073709551615, \
    autocommit = 1, wait_timeout = 900 /*M!100318 , in_predicate_conversion_threshold = 0 */";

/// Nothing is ever written through a catalog that only reads.
const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

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

    /// Whether rows of the last statement are still to be read.
    pub(crate) fn has_rows(&mut self) -> bool {
        !QueryResult::<BinaryProtocol>::new(&mut self.conn).is_empty()
    }

    /// Reads the rows that are left; `false` when the session cannot be used any more.
    pub(crate) async fn drain(&mut self) -> bool {
        match QueryResult::<BinaryProtocol>::new(&mut self.conn)
            .drop_result()
            .await
        {
            Ok(()) | Err(Error::Server(_)) => self.is_usable(),
            Err(_) => false,
        }
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
