//! The conformance suite: what a source declares must work, and what it does not declare must be absent.
//!
//! A source's test implements [`ConformanceSource`] and calls [`run_conformance`]. Each canonical table is loaded, found
//! by name and read in several ways; then capabilities, names that do not exist and a source that is not there.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::Result as DataFusionResult;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{StreamExt, TryStreamExt, stream};

use super::cases::{ConformanceCase, cases};
use super::compare::Rows;
use crate::connector::{Connector, Table, TableName};
use crate::error::{ConnectorError, ErrorKind};
use crate::scan::{ReadContext, Scan, Split};
use crate::settings::{ScanSettings, engine_settings};
use crate::source_table::SourceTable;
use crate::write::{TableDefinition, WriteContext};

/// The longest that any question may take, a source that is not there included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A name that no test gives to anything.
const NOWHERE: &str = "no such place ✗";

/// What a source says of itself; each word is tested both ways.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The value of `connector`.
    pub kind: &'static str,
    /// Whether the case `standard` can be looked up by its unique column `id`.
    pub lookup: bool,
    /// Whether the case `standard` is read in more than one split.
    pub splits: bool,
    /// Whether tables hand over DataFusion's own provider instead of being read by the leaf.
    pub native: bool,
    /// Whether Causeway writes to the catalog.
    pub writer: bool,
    /// The cases, by name, whose tables the source cannot hold. Each is printed.
    pub cannot_hold: &'static [&'static str],
}

/// A source under test.
#[async_trait]
pub trait ConformanceSource: Send + Sync {
    /// What the source says of itself.
    fn declared(&self) -> Declared;

    /// Loads the rows of `case` into the source under a place of the source's choice; the catalog that has the table, and
    /// the place. `Err`, with the reason: the source cannot hold such a table.
    async fn load(&self, case: &ConformanceCase) -> Result<(Arc<dyn Connector>, TableName), String>;

    /// A catalog of this kind where nobody answers; `None` only if there is nothing that could be away.
    fn unreachable(&self) -> Option<Arc<dyn Connector>>;
}

/// Runs the whole suite and panics with everything that is wrong. `CAUSEWAY_LAW_SEED` chooses other rows.
pub async fn run_conformance(source: &dyn ConformanceSource) {
    let seed = env::var("CAUSEWAY_LAW_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0);
    let mut report = Report::default();
    check(source, seed, &mut report).await;
    let kind = source.declared().kind;
    println!("{kind}: conformance, {} checks, seed {seed}", report.checks);
    assert!(
        report.breaches.is_empty(),
        "{kind} does not conform (replay with CAUSEWAY_LAW_SEED={seed}):\n{}",
        report.breaches
    );
}

/// What was checked, and what was found.
#[derive(Debug, Default)]
struct Report {
    checks: usize,
    breaches: String,
}

impl Report {
    /// Notes one check of `what`; `Err` says how it failed.
    fn note(&mut self, what: &str, outcome: Result<(), String>) {
        self.checks += 1;
        if let Err(difference) = outcome {
            // Writing to a String cannot fail.
            let _ = writeln!(self.breaches, "- {what}: {difference}");
        }
    }

    fn demand(&mut self, what: &str, holds: bool) {
        self.note(
            what,
            if holds {
                Ok(())
            } else {
                Err("it is not so".to_owned())
            },
        );
    }
}

async fn check(source: &dyn ConformanceSource, seed: u64, report: &mut Report) {
    let declared = source.declared();
    let away = source.unreachable();
    for case in cases(seed) {
        let held = !declared.cannot_hold.contains(&case.name);
        let (connector, name) = match source.load(&case).await {
            Ok(loaded) if held => loaded,
            Ok(_) => {
                report.note(case.name, Err("it is held, though declared as not".to_owned()));
                continue;
            }
            Err(reason) if !held => {
                eprintln!(
                    "SKIPPED: {} cannot hold the table \"{}\": {reason}",
                    declared.kind, case.name
                );
                continue;
            }
            Err(reason) => {
                report.note(case.name, Err(format!("it cannot be loaded: {reason}")));
                continue;
            }
        };
        let case = Loaded {
            declared: &declared,
            is_remote: away.is_some(),
            case,
            connector,
            name,
        };
        case.check(report).await;
    }
    match away {
        Some(connector) => check_unreachable(connector.as_ref(), report).await,
        None => eprintln!("SKIPPED: {} has nothing that could be away", declared.kind),
    }
}

/// A case in its source.
struct Loaded<'a> {
    declared: &'a Declared,
    is_remote: bool,
    case: ConformanceCase,
    connector: Arc<dyn Connector>,
    name: TableName,
}

impl Loaded<'_> {
    async fn check(&self, report: &mut Report) {
        let outcome = self.check_names(report).await;
        report.note(&self.what("names"), outcome);
        let table = match in_time(self.connector.table(&self.name)).await {
            Ok(Some(table)) => table,
            Ok(None) => return report.note(&self.what("table"), Err("it is not found".to_owned())),
            Err(error) => return report.note(&self.what("table"), Err(told(&error))),
        };
        report.note(&self.what("columns"), self.check_columns(table.as_ref()));
        for partitions in [1, 4] {
            for (what, sql) in self.queries() {
                let outcome = self.check_rows(&table, partitions, &sql).await;
                report.note(&self.what(what), outcome);
            }
        }
        report.demand(
            &self.what("native, as declared"),
            table.native().is_some() == self.declared.native,
        );
        if self.case.name == "standard" {
            self.check_capabilities(&table, report).await;
        }
    }

    fn what(&self, part: &str) -> String {
        format!("{}, {part}", self.case.name)
    }

    /// The catalog is there and lists the table; what is not there is said to be so.
    async fn check_names(&self, report: &mut Report) -> Result<(), String> {
        let (connector, name) = (self.connector.as_ref(), &self.name);
        in_time(connector.ping()).await.map_err(|error| told(&error))?;
        report.demand("kind, as declared", connector.kind() == self.declared.kind);
        report.demand(
            "writer, as declared",
            connector.writer().is_some() == self.declared.writer,
        );
        let schemas = in_time(connector.schemas()).await.map_err(|error| told(&error))?;
        report.demand(&self.what("its schema is listed"), schemas.contains(&name.schema));
        let tables = in_time(connector.tables(&name.schema))
            .await
            .map_err(|error| told(&error))?;
        report.demand(&self.what("it is listed"), tables.contains(&name.table));
        let views = in_time(connector.views(&name.schema))
            .await
            .map_err(|error| told(&error))?;
        report.demand(&self.what("it is no view"), !views.contains(&name.table));
        let missing = TableName::new(&name.catalog, &name.schema, NOWHERE);
        let found = in_time(connector.table(&missing))
            .await
            .map_err(|error| told(&error))?;
        report.demand("a table that is not there is None", found.is_none());
        let nowhere = TableName::new(&name.catalog, NOWHERE, &name.table);
        let errors = [
            in_time(connector.tables(NOWHERE)).await.err(),
            in_time(connector.table(&nowhere)).await.err(),
        ];
        for error in errors {
            let is_told = error.as_ref().is_some_and(|error| {
                error.kind() == ErrorKind::UnknownSchema && error.message().contains(NOWHERE)
            });
            let said = error.map_or_else(|| "no error".to_owned(), |error| told(&error));
            let outcome = if is_told { Ok(()) } else { Err(said) };
            report.note(
                "a schema that is not there is UnknownSchema with its name",
                outcome,
            );
        }
        Ok(())
    }

    fn check_columns(&self, table: &dyn Table) -> Result<(), String> {
        let columns = |schema: &arrow::datatypes::Schema| -> Vec<String> {
            let fields = schema.fields().iter();
            fields
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect()
        };
        let (found, wanted) = (columns(&table.schema()), columns(&self.case.table.schema()));
        let differ = found.iter().zip(&wanted).find(|(found, wanted)| found != wanted);
        match differ {
            Some((found, wanted)) => Err(format!("{found} instead of {wanted}")),
            None if found.len() != wanted.len() => {
                Err(format!("{} columns instead of {}", found.len(), wanted.len()))
            }
            None if table.name() != &self.name => Err(format!("its name is {}", table.name())),
            None => Ok(()),
        }
    }

    /// All columns, in turned order, one of them, and none.
    fn queries(&self) -> Vec<(&'static str, String)> {
        let quoted = |name: &String| format!("\"{name}\"");
        let names: Vec<String> = self
            .case
            .table
            .columns()
            .iter()
            .map(|column| quoted(&column.name))
            .collect();
        let turned: Vec<&str> = names.iter().rev().map(String::as_str).collect();
        vec![
            ("all columns", "SELECT * FROM t".to_owned()),
            ("turned columns", format!("SELECT {} FROM t", turned.join(", "))),
            ("one column", format!("SELECT {} FROM t", turned[0])),
            ("no column", "SELECT count(*) FROM t".to_owned()),
        ]
    }

    /// Runs `sql` over the source and over the canonical rows.
    async fn check_rows(&self, table: &Arc<dyn Table>, partitions: usize, sql: &str) -> Result<(), String> {
        let text = |error: datafusion::common::DataFusionError| error.to_string();
        let config = engine_settings(SessionConfig::new().with_target_partitions(partitions));
        let context = SessionContext::new_with_config(config);
        let provider = SourceTable::new(Arc::clone(table), ScanSettings::default(), Arc::default());
        context.register_table("t", Arc::new(provider)).map_err(text)?;
        let (plan, found) = rows_of(&context, sql).await.map_err(text)?;
        let plain = SessionContext::new();
        plain
            .register_batch("t", self.case.table.rows().clone())
            .map_err(text)?;
        let (wanted_plan, wanted) = rows_of(&plain, sql).await.map_err(text)?;
        let found = Rows::new(&plan.schema(), &found).map_err(text)?;
        let wanted = Rows::new(&wanted_plan.schema(), &wanted).map_err(text)?;
        match found.difference(&wanted) {
            Some(difference) => Err(format!("{sql}: {difference}")),
            None if self.declared.native => Ok(()),
            None => self.counted(&plan, sql.contains("count(*)")),
        }
    }

    /// The leaf has counted its rows, requests and bytes, and the time to the first of them. Without columns a source may
    /// count rows without a byte of them.
    fn counted(&self, plan: &Arc<dyn ExecutionPlan>, without_columns: bool) -> Result<(), String> {
        let rows = self.case.table.rows().num_rows();
        let mut node = plan;
        while let Some(child) = node.children().first().copied() {
            node = child;
        }
        let metrics = node.metrics().unwrap_or_default();
        let sum = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
        let counts = [
            ("output_rows", metrics.output_rows().unwrap_or(0) == rows),
            ("requests", sum("requests") > 0 || !self.is_remote),
            (
                "source_bytes",
                sum("source_bytes") > 0 || rows == 0 || without_columns,
            ),
            ("time_to_first_batch", sum("time_to_first_batch") > 0 || rows == 0),
        ];
        match counts.iter().find(|(_, counted)| !counted) {
            Some((name, _)) => Err(format!("{name} is not counted: {metrics}")),
            None => Ok(()),
        }
    }

    async fn check_capabilities(&self, table: &Arc<dyn Table>, report: &mut Report) {
        let scan = whole_scan(table.as_ref());
        let outcome = self.check_splits(table.as_ref(), &scan).await;
        report.note("splits, as declared", outcome);
        let outcome = self.check_lookup(table.as_ref(), &scan).await;
        report.note("lookup by id, as declared", outcome);
        if self.declared.writer {
            let outcome = self.check_writer().await;
            report.note("a transaction is seen when it is committed", outcome);
        }
    }

    /// Writes a table twice: rolled back it was never there, committed it is.
    async fn check_writer(&self) -> Result<(), String> {
        let writer = self.connector.writer().ok_or("there is no writer")?;
        let columns = self.case.table.schema();
        let definition = TableDefinition {
            name: TableName::new(&self.name.catalog, &self.name.schema, "written"),
            primary_key: columns.index_of("id").into_iter().collect(),
            columns,
        };
        let cx = WriteContext {
            query_id: Arc::from("conformance"),
            lock_timeout: Some(ANSWER_TIMEOUT),
        };
        let told = |error: ConnectorError| told(&error);
        for commits in [false, true] {
            let mut transaction = in_time(writer.begin(&cx)).await.map_err(told)?;
            in_time(transaction.create_table(&definition))
                .await
                .map_err(told)?;
            let rows = self.case.table.rows().clone();
            let written = transaction.insert(&definition.name, stream::iter([Ok(rows.clone())]).boxed());
            let written = in_time(written).await.map_err(told)?;
            let here = in_time(transaction.snapshot().table(&definition.name))
                .await
                .map_err(told)?;
            let elsewhere = in_time(writer.snapshot().table(&definition.name))
                .await
                .map_err(told)?;
            if u64::try_from(rows.num_rows()) != Ok(written) || here.is_none() || elsewhere.is_some() {
                let (here, elsewhere) = (here.is_some(), elsewhere.is_some());
                return Err(format!(
                    "{written} rows, seen by itself: {here}, by others: {elsewhere}"
                ));
            }
            if commits {
                in_time(transaction.commit()).await.map_err(told)?;
            } else {
                in_time(transaction.rollback()).await.map_err(told)?;
            }
            let after = in_time(writer.snapshot().table(&definition.name))
                .await
                .map_err(told)?;
            if after.is_some() != commits {
                return Err(format!("committed: {commits}, there: {}", after.is_some()));
            }
        }
        Ok(())
    }

    async fn check_splits(&self, table: &dyn Table, scan: &Scan) -> Result<(), String> {
        let splits = in_time(table.splits(scan)).await.map_err(|error| told(&error))?;
        let numbers: BTreeSet<usize> = splits.iter().map(|split| split.index).collect();
        if numbers != (0..splits.len()).collect() {
            return Err(format!("they are not numbered from 0: {numbers:?}"));
        }
        match (self.declared.splits, splits.as_slice()) {
            (false, [only]) if *only == Split::whole() => {}
            (true, [_, _, ..]) => {}
            _ => return Err(format!("there are {}", splits.len())),
        }
        if !self.declared.native {
            return Ok(());
        }
        // What has a provider of its own says so, rather than to answer with nothing.
        match table.read(scan, &splits[0], &ReadContext::detached()).await {
            Err(error) if error.message().contains("is read by its own scan") => Ok(()),
            Err(error) => Err(told(&error)),
            Ok(_) => Err("the leaf can read it beside its own scan".to_owned()),
        }
    }

    /// Looks up two keys that are there and one that is not.
    async fn check_lookup(&self, table: &dyn Table, scan: &Scan) -> Result<(), String> {
        let id = scan.schema.index_of("id").map_err(|error| error.to_string())?;
        let keys = table
            .lookup()
            .map(|lookup| lookup.keys().to_vec())
            .unwrap_or_default();
        let key = keys.iter().position(|columns| *columns == [id]);
        let (lookup, key) = match (table.lookup(), key, self.declared.lookup) {
            (Some(lookup), Some(key), true) => (lookup, key),
            (_, None, false) => return Ok(()),
            (_, found, _) => return Err(format!("there is {}one", if found.is_some() { "" } else { "n" })),
        };
        let rows = self.case.table.rows();
        let there = rows.slice(7, 2);
        let ids = there.project(&[id]).map_err(|error| error.to_string())?;
        let absent = RecordBatch::try_new(
            ids.schema(),
            vec![Arc::new(arrow::array::Int64Array::from(vec![i64::MIN]))],
        )
        .map_err(|error| error.to_string())?;
        let wanted = arrow::compute::concat_batches(&ids.schema(), [&ids, &absent])
            .map_err(|error| error.to_string())?;
        let cx = ReadContext::detached();
        let found = in_time(async {
            let stream = lookup.get(scan, key, wanted, &cx).await?;
            stream.try_collect::<Vec<RecordBatch>>().await
        });
        let found = found.await.map_err(|error| told(&error))?;
        let text = |error: datafusion::common::DataFusionError| error.to_string();
        let found = Rows::new(&scan.projected_schema(), &found).map_err(text)?;
        let there = Rows::new(&scan.projected_schema(), &[there]).map_err(text)?;
        found.difference(&there).map_or(Ok(()), Err)
    }
}

/// Every question to a source that is away ends soon, in an error that says so.
async fn check_unreachable(connector: &dyn Connector, report: &mut Report) {
    let somewhere = TableName::new("away", "public", "t");
    let ping = in_time(connector.ping()).await.err();
    report.demand("a source that is away does not answer a ping", ping.is_some());
    // Schemas and tables may be known from the configuration: then there is nothing to fail.
    let others = [
        in_time(connector.schemas()).await.err(),
        in_time(connector.table(&somewhere)).await.err(),
    ];
    for error in ping.into_iter().chain(others.into_iter().flatten()) {
        let is_told = matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::LoginRefused | ErrorKind::UnknownSchema
        );
        let outcome = if is_told { Ok(()) } else { Err(told(&error)) };
        report.note("a source that is away is told as such", outcome);
    }
}

async fn in_time<T>(answer: impl Future<Output = crate::Result<T>>) -> crate::Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| {
            let message = format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
            Err(ConnectorError::new(ErrorKind::Internal, message))
        })
}

fn told(error: &ConnectorError) -> String {
    format!(
        "{:?}: {error}, {}",
        error.kind(),
        error.detail_text().unwrap_or_default()
    )
}

fn whole_scan(table: &dyn Table) -> Scan {
    let schema = table.schema();
    Scan {
        projection: (0..schema.fields().len()).collect(),
        schema,
        filters: Vec::new(),
        limit: None,
    }
}

async fn rows_of(
    context: &SessionContext,
    sql: &str,
) -> DataFusionResult<(Arc<dyn ExecutionPlan>, Vec<RecordBatch>)> {
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await?;
    Ok((plan, rows))
}
