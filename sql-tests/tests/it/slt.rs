//! Runs `cases/**/*.slt` over the wire, once with pushdown and once without: the answers are the same.
//!
//! With SLT_COMPLETE=1 the answers in the files are replaced by what the server says: read every line of the change.
//! `{shop}`, `{lake}` and `{cache}` stand for the schemas of the fixtures in [`crate::fixtures`],
//! `{names}`, `{source}` and `{long}` for names of [`crate::spellings`]. The cases of `writes` need no services, only a
//! catalog `mem`, and so do those of sources that are files or memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_sql_tests::client::{Client, QueryFailure, Row, Rows};
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use sqllogictest::runner::{default_column_validator, default_normalizer, default_validator};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::fixtures::Fixtures;

/// The cases that have a server of their own: those of sources that need no service, and those that several sources run.
const OWN: [&str; 7] = [
    "connectors/embedded",
    "connectors/local",
    "connectors/memory",
    "connectors/sqlite",
    "names/every_source.slt",
    "names/sqlite.slt",
    "writes",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_pushdown() {
    run_all("on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_pushdown() {
    run_all("off").await;
}

/// The names that stand in the cases for those of a run.
pub(crate) trait Names: Send + Sync {
    /// A statement of a case as the server gets it.
    fn fill(&self, sql: &str) -> String;

    /// A value as it stands in the case.
    fn hide(&self, text: &str) -> String;
}

/// The cases have the names of the run.
struct AsWritten;

impl Names for AsWritten {
    fn fill(&self, sql: &str) -> String {
        sql.to_owned()
    }

    fn hide(&self, text: &str) -> String {
        text.to_owned()
    }
}

async fn run_all(pushdown: &'static str) {
    let Some(services) = Services::from_env() else {
        return;
    };
    let fixtures = Fixtures::load(&services).await.with_spellings(&services).await;
    let server = Server::start(&fixtures.config()).unwrap();
    let mut files = slt_files(&cases());
    for own in OWN {
        files.retain(|file| !file.starts_with(cases().join(own)));
    }
    // What is pushed is another text without pushdown.
    files.retain(|file| pushdown == "on" || !file.starts_with(cases().join("plans")));
    run_files(&server, &(Arc::new(fixtures) as _), &files, pushdown).await;
}

/// Runs the cases of a source that needs no service, whose catalogs the server has; `plans.slt` only with pushdown.
pub(crate) async fn run_own(server: &Server, folder: &str, pushdown: &'static str) {
    debug_assert!(OWN.contains(&folder));
    let mut files = slt_files(&cases().join(folder));
    assert!(!files.is_empty());
    files.retain(|file| pushdown == "on" || file.file_stem() != Some("plans".as_ref()));
    run_files(server, &(Arc::new(AsWritten) as _), &files, pushdown).await;
}

pub(crate) async fn run_files(
    server: &Server,
    names: &Arc<dyn Names>,
    files: &[PathBuf],
    pushdown: &'static str,
) {
    let mut wrong = Vec::new();
    for file in files {
        let mut runner = Runner::new(|| connect(server, names, pushdown));
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
    names: &Arc<dyn Names>,
    pushdown: &str,
) -> Result<Connection, QueryFailure> {
    let client = server.connect().await.expect("the server takes connections");
    let connection = Connection {
        client,
        names: Arc::clone(names),
    };
    connection.query(&format!("SET pushdown = {pushdown}")).await?;
    Ok(connection)
}

struct Connection {
    client: Client,
    names: Arc<dyn Names>,
}

impl Connection {
    async fn query(&self, sql: &str) -> Result<Rows, QueryFailure> {
        let sql = self.names.fill(sql);
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
            Some(text) => self.names.hide(&text),
        };
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; rows.columns.len()],
            rows: lines_of_plans(rows)
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

/// The rows, a plan that is one document a row a line: so it stands in the cases as psql shows it.
fn lines_of_plans(rows: Rows) -> Vec<Row> {
    if rows.columns != ["QUERY PLAN"] {
        return rows.rows;
    }
    let values = rows.rows.into_iter().flatten().flatten();
    values
        .flat_map(|value| {
            value
                .lines()
                .map(|line| vec![Some(line.to_owned())])
                .collect::<Vec<_>>()
        })
        .collect()
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
