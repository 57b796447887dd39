//! MySQL as the tests see it from the other side: loading tables, counting rows read, watching statements.

use std::time::{Duration, Instant};

use causeway_sql_tests::services::unique_name;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

/// Rows of `big`.
pub(crate) const BIG_ROWS: u32 = 1_500_000;
const POLL: Duration = Duration::from_millis(20);

/// A database of one test.
pub(crate) struct Mysql {
    opts: Opts,
    pub(crate) database: String,
}

impl Mysql {
    /// An empty database.
    pub(crate) async fn new(url: &str) -> Self {
        Self::named(url, "db").await
    }

    /// An empty database whose name ends in `subject`; one that is no plain name has to be quoted.
    pub(crate) async fn named(url: &str, subject: &str) -> Self {
        let mysql = Self {
            opts: Opts::from_url(url).unwrap(),
            database: unique_name(subject),
        };
        mysql.run(&format!("CREATE DATABASE `{}`", mysql.database)).await;
        mysql
    }

    /// A database with `big (id, name, amount)`: 1.5 million rows, found by `id`.
    pub(crate) async fn with_big_table(url: &str) -> Self {
        let mysql = Self::new(url).await;
        let table = format!("{}.big", mysql.database);
        mysql
            .run(&format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, amount DECIMAL(12,2) NOT NULL)"
            ))
            .await;
        mysql
            .run(&format!(
                "INSERT INTO {table} SELECT seq, CONCAT('name ', seq), seq + 0.5 FROM {}.seq_1_to_{BIG_ROWS}",
                mysql.database
            ))
            .await;
        mysql.run(&format!("ANALYZE TABLE {table}")).await;
        mysql
    }

    pub(crate) async fn connect(&self) -> Conn {
        Conn::new(self.opts.clone()).await.unwrap()
    }

    /// Runs a statement; tables need their database's name.
    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        connection
            .query_drop(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.disconnect().await.unwrap();
    }

    /// Locks a table for everybody else until the connection is closed.
    pub(crate) async fn lock(&self, table: &str) -> Conn {
        let mut connection = self.connect().await;
        connection
            .query_drop(format!("LOCK TABLES {table} WRITE"))
            .await
            .unwrap();
        connection
    }

    /// Rows of a table that were ever read, by anybody.
    pub(crate) async fn rows_read(&self, table: &str) -> u64 {
        let mut connection = self.connect().await;
        let rows: Option<u64> = connection
            .query_first(format!(
                "SELECT ROWS_READ FROM information_schema.TABLE_STATISTICS \
                 WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = '{table}'",
                self.database
            ))
            .await
            .unwrap();
        connection.disconnect().await.unwrap();
        rows.unwrap_or_default()
    }

    /// Waits until `count` says what is wanted of the number of running statements that name the database.
    ///
    /// Returns how long that took; panics after `deadline`.
    pub(crate) async fn wait_for_statements(
        &self,
        wanted: impl Fn(u64) -> bool,
        deadline: Duration,
    ) -> Duration {
        let start = Instant::now();
        let mut connection = self.connect().await;
        let sql = format!(
            "SELECT count(*) FROM information_schema.PROCESSLIST \
             WHERE COMMAND IN ('Query', 'Execute') AND INFO LIKE '%{}%' AND ID <> CONNECTION_ID()",
            self.database
        );
        loop {
            let running: u64 = connection.query_first(&sql).await.unwrap().unwrap_or_default();
            if wanted(running) {
                connection.disconnect().await.unwrap();
                return start.elapsed();
            }
            assert!(
                start.elapsed() < deadline,
                "{running} statements after {deadline:?}"
            );
            tokio::time::sleep(POLL).await;
        }
    }
}
