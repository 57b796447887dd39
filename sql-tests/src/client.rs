//! A thin client over the simple query protocol: every value as the text that psql would show.

use anyhow::{Context, Result};
use futures::{Stream, StreamExt, pin_mut};
use tokio::task::JoinHandle;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{CancelToken, NoTls, SimpleQueryMessage};

/// A row: each value as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, in the order they came.
    pub rows: Vec<Row>,
}

impl Rows {
    /// The rows with tabs between the values and `\N` for NULL, as one would write them in a test.
    pub fn lines(&self) -> Vec<String> {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".to_owned());
        self.rows
            .iter()
            .map(|row| row.iter().map(value).collect::<Vec<_>>().join("\t"))
            .collect()
    }

    /// All lines as one text: for EXPLAIN.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }
}

/// An error that the server answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({sqlstate})")]
pub struct QueryFailure {
    /// The five characters of the SQLSTATE.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// The detail, if any.
    pub detail: Option<String>,
    /// The hint, if any.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    client: tokio_postgres::Client,
    connection: JoinHandle<()>,
}

impl Client {
    /// Connects to `database` of a server on this machine.
    pub async fn connect(port: u16, database: &str) -> Result<Self> {
        let mut config = tokio_postgres::Config::new();
        config.user("test").dbname(database);
        Self::connect_with(port, config).await
    }

    /// Connects with the user, password and database of `config` to a server on this machine.
    pub async fn connect_with(port: u16, mut config: tokio_postgres::Config) -> Result<Self> {
        config.host("127.0.0.1").port(port);
        Self::open(&config).await
    }

    /// Connects to the server of a URL.
    pub async fn connect_url(url: &str) -> Result<Self> {
        Self::open(&url.parse()?).await
    }

    async fn open(config: &tokio_postgres::Config) -> Result<Self> {
        let (client, connection) = config.connect(NoTls).await.context("connection refused")?;
        let connection = tokio::spawn(async move {
            // How a connection ends shows in the answers of its queries.
            let _ = connection.await;
        });
        Ok(Self { client, connection })
    }

    /// Runs `sql` and returns its rows, or the server's error.
    pub async fn try_query(&self, sql: &str) -> Result<Result<Rows, QueryFailure>> {
        let mut rows = Rows::default();
        let stream = match self.client.simple_query_raw(sql).await {
            Ok(stream) => stream,
            Err(error) => return failure(error).map(Err),
        };
        pin_mut!(stream);
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) => rows.add(&message),
                Err(error) => return failure(error).map(Err),
            }
        }
        Ok(Ok(rows))
    }

    /// Runs `sql`, which must succeed.
    pub async fn query(&self, sql: &str) -> Result<Rows> {
        let answer = self.try_query(sql).await.with_context(|| short(sql))?;
        answer.with_context(|| short(sql))
    }

    /// Runs `sql`, which must fail with an error of the server.
    pub async fn failure(&self, sql: &str) -> Result<QueryFailure> {
        match self.try_query(sql).await.with_context(|| short(sql))? {
            Ok(rows) => anyhow::bail!("{} succeeded with {} rows", short(sql), rows.rows.len()),
            Err(failure) => Ok(failure),
        }
    }

    /// Sends `sql` and returns what comes, message by message, without collecting it.
    pub async fn stream(
        &self,
        sql: &str,
    ) -> Result<impl Stream<Item = Result<SimpleQueryMessage, tokio_postgres::Error>>> {
        Ok(self.client.simple_query_raw(sql).await?)
    }

    /// What a CancelRequest for this connection needs.
    pub fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Rows {
    fn add(&mut self, message: &SimpleQueryMessage) {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                self.columns = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                self.rows.push(
                    (0..row.len())
                        .map(|index| row.get(index).map(str::to_owned))
                        .collect(),
                );
            }
            _ => {}
        }
    }
}

/// The server's error; an error of the connection itself stays an `Err`.
pub fn failure(error: tokio_postgres::Error) -> Result<QueryFailure> {
    let Some(server) = error.as_db_error() else {
        return Err(error).context("the connection broke");
    };
    let position = match server.position() {
        Some(ErrorPosition::Original(position)) => Some(*position),
        _ => None,
    };
    Ok(QueryFailure {
        sqlstate: server.code().code().to_owned(),
        message: server.message().to_owned(),
        detail: server.detail().map(str::to_owned),
        hint: server.hint().map(str::to_owned),
        position,
    })
}

fn short(sql: &str) -> String {
    sql.chars().take(300).collect()
}
