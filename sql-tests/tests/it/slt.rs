//! Runs `cases/**/*.slt` over the wire, once with pushdown and once without: the answers are the same.
//!
//! With SLT_COMPLETE=1 the answers in the files are replaced by what the server says: read every line of the change.
//! `{shop}`, `{lake}` and `{cache}` stand for the schemas of the fixtures in [`crate::fixtures`],
//! `{names}` and `{long}` for names of [`crate::spellings`]; the cases of `writes` need no services, only a catalog `mem`.

use std::path::{Path, PathBuf};

use causeway_sql_tests::client::{Client, QueryFailure};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use sqllogictest::runner::{default_column_validator, default_normalizer, default_validator};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::fixtures::Fixtures;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_pushdown() {
    run_all("on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_pushdown() {
    run_all("off").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes() {
    let files = slt_files(&cases().join("writes"));
    assert!(!files.is_empty());
    for pushdown in ["on", "off"] {
        let server = Server::start(&Config::new().memory("mem").memory("other")).unwrap();
        run_files(&server, None, &files, pushdown).await;
    }
}

async fn run_all(pushdown: &'static str) {
    let Some(services) = Services::from_env() else {
        return;
    };
    let fixtures = Fixtures::load(&services).await.with_spellings(&services).await;
    let server = Server::start(&fixtures.config()).unwrap();
    let mut files = slt_files(&cases());
    for own in ["connectors/sqlite", "writes"] {
        files.retain(|file| !file.starts_with(cases().join(own)));
    }
    // What is pushed is another text without pushdown.
    files.retain(|file| pushdown == "on" || !file.starts_with(cases().join("plans")));
    run_files(&server, Some(&fixtures), &files, pushdown).await;
}

/// The cases of sources that need no service have a server of their own, without fixtures.
pub(crate) async fn run_files(
    server: &Server,
    fixtures: Option<&Fixtures>,
    files: &[PathBuf],
    pushdown: &'static str,
) {
    let mut wrong = Vec::new();
    for file in files {
        let mut runner = Runner::new(|| connect(server, fixtures, pushdown));
        if std::env::var_os("SLT_COMPLETE").is_some() {
            complete(&mut runner, file).await;
        } else if let Err(error) = runner.run_file_async(file).await {
            wrong.push(error.display(false).to_string());
        }
    }
    assert!(wrong.is_empty(), "pushdown {pushdown}:\n{}", wrong.join("\n\n"));
}

async fn complete<M: sqllogictest::MakeConnection<Conn = Connection>>(
    runner: &mut Runner<Connection, M>,
    file: &Path,
) {
    let separator = " ";
    runner
        .update_test_file(
            file,
            separator,
            default_validator,
            default_normalizer,
            default_column_validator,
        )
        .await
        .unwrap();
}

async fn connect(
    server: &Server,
    fixtures: Option<&Fixtures>,
    pushdown: &str,
) -> Result<Connection, QueryFailure> {
    let client = server.connect().await.expect("the server takes connections");
    let connection = Connection {
        client,
        fixtures: fixtures.cloned(),
    };
    connection.query(&format!("SET pushdown = {pushdown}")).await?;
    Ok(connection)
}

struct Connection {
    client: Client,
    fixtures: Option<Fixtures>,
}

impl Connection {
    async fn query(&self, sql: &str) -> Result<causeway_sql_tests::client::Rows, QueryFailure> {
        let sql = match &self.fixtures {
            Some(fixtures) => fixtures.sql(sql),
            None => sql.to_owned(),
        };
        self.client
            .try_query(&sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:#}"))
    }
}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = QueryFailure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryFailure> {
        let rows = self.query(sql).await?;
        if rows.columns.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let text = |value: Option<String>| match value {
            None => "NULL".to_owned(),
            Some(text) if text.is_empty() => "(empty)".to_owned(),
            Some(text) => match &self.fixtures {
                Some(fixtures) => fixtures.without_names(&text),
                None => text,
            },
        };
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; rows.columns.len()],
            rows: rows
                .rows
                .into_iter()
                .map(|row| row.into_iter().map(text).collect())
                .collect(),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "causeway"
    }

    fn error_sql_state(error: &QueryFailure) -> Option<String> {
        Some(error.sqlstate.clone())
    }
}

pub(crate) fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// All files below a folder, by name.
pub(crate) fn slt_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(slt_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
    files.sort();
    files
}
