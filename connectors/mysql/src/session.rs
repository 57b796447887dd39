//! Opens one session and pins everything in it that could change an answer.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

/// Makes a session mean the same on every server, whatever its configuration:
///
/// - text travels as UTF-8, and a literal has no collation of its own that could win over a column's;
/// - times are UTC; `NO_BACKSLASH_ESCAPES` alone: no padding of `char(n)`, no other reading of quotes or operators;
/// - `IS NULL` finds NULLs only, results are not cut, and a list of values never becomes a subquery (MariaDB);
/// - a slow reader of the result does not trip the server's own timeout for writing.
const PINNED: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = '+00:00', \
    sql_mode = 'NO_BACKSLASH_ESCAPES', sql_auto_is_null = 0, sql_select_limit = 18446744073709551615, \
    autocommit = 1, net_write_timeout = 86400 /*M!100318 , in_predicate_conversion_threshold = 0 */";

/// Nothing is ever written through a catalog that only reads.
const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// Opens a pinned session.
pub(crate) async fn connect(options: Opts) -> mysql_async::Result<Conn> {
    let mut session = Conn::new(options).await?;
    session.query_drop(PINNED).await?;
    session.query_drop(READ_ONLY).await?;
    Ok(session)
}
