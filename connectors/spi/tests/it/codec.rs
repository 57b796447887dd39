//! The leaf's form for other workers: a whole plan goes through bytes and gives the same rows; what the reader does not
//! have, or has otherwise, is a typed error.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use causeway_spi::testing::CanonicalTable;
use causeway_spi::{
    Connector, ConnectorError, ErrorKind, Result, ScanSettings, SourceTable, Table, TableName,
    plan_from_bytes, plan_to_bytes, push_operators,
};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;

use crate::leaf::{connector_error, leaf, looked_up, plan, session};
use crate::mutation::Mutation;
use crate::source::CollatedTable;

type Catalogs = BTreeMap<String, Arc<dyn Connector>>;

/// A catalog of tables at hand, with the schema `public`.
struct Shelf(BTreeMap<String, Arc<dyn Table>>);

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

#[async_trait]
impl Connector for Shelf {
    fn kind(&self) -> &'static str {
        "shelf"
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec!["public".to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        if schema == "public" {
            return Ok(self.0.keys().cloned().collect());
        }
        let message = format!("schema \"{schema}\" does not exist");
        Err(ConnectorError::new(ErrorKind::UnknownSchema, message))
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        self.tables(&name.schema).await?;
        Ok(self.0.get(&name.table).map(Arc::clone))
    }
}

fn rows() -> RecordBatch {
    CanonicalTable::standard().rows().clone()
}

fn table(rows: RecordBatch, name: &str) -> Arc<dyn Table> {
    Arc::new(CollatedTable::new(rows, &[&["id"]], None).named(name))
}

/// The catalogs of a worker: `test.public.a` and `test.public.b`.
fn catalogs(tables: Vec<Arc<dyn Table>>) -> Catalogs {
    let named = tables
        .into_iter()
        .map(|table| (table.name().table.clone(), table));
    let shelf: Arc<dyn Connector> = Arc::new(Shelf(named.collect()));
    BTreeMap::from([("test".to_owned(), shelf)])
}

fn sender() -> SessionContext {
    let context = session(4);
    let settings = ScanSettings {
        query_id: Arc::from("q-7"),
        source_timeout: Duration::from_millis(1_500),
        ..ScanSettings::default()
    };
    for name in ["a", "b"] {
        let provider = SourceTable::new(table(rows(), name), settings.clone(), Arc::default());
        context
            .register_table(name, Arc::new(provider))
            .expect("a free name");
    }
    context
}

fn worker() -> Catalogs {
    catalogs(vec![table(rows(), "a"), table(rows(), "b")])
}

async fn shown(plan: Arc<dyn ExecutionPlan>, context: &SessionContext) -> String {
    let schema = plan.schema();
    let batches = collect(plan, context.task_ctx()).await.expect("rows");
    let all = concat_batches(&schema, &batches).expect("one schema");
    pretty_format_batches(&[all])
        .expect("canonical types")
        .to_string()
}

#[tokio::test]
async fn a_plan_of_joins_and_filters_gives_the_same_rows_elsewhere() {
    let queries = [
        "SELECT a.grp, count(*) AS n, max(b.name) AS m, sum(a.price) AS s FROM a JOIN b ON a.id = b.id \
         WHERE a.num > -1000 AND a.name <> 'Alice' AND b.note IN ('alice', 'Alice', '%', 'ß') AND b.day > DATE '1900-01-01' \
         GROUP BY a.grp ORDER BY a.grp",
        "SELECT a.id, b.name FROM a LEFT JOIN b ON a.id = b.id AND b.flag ORDER BY a.id LIMIT 50",
        "SELECT count(*) AS n FROM (SELECT * FROM a WHERE id > 10 LIMIT 7) AS some",
        "SELECT id, amount FROM a WHERE price BETWEEN -5.5 AND 100000.25 AND at < TIMESTAMP '2024-03-01 00:00:00' ORDER BY id",
        "SELECT a.id FROM a WHERE a.id IN (SELECT b.id FROM b WHERE b.small = 7) OR a.name LIKE 'a%' ORDER BY a.id",
    ];
    let context = sender();
    for sql in queries {
        let sent = plan(&context, sql).await;
        let bytes = plan_to_bytes(Arc::clone(&sent)).unwrap();
        // The reader's session knows no table: the leaves find theirs in the catalogs.
        let elsewhere = session(4);
        let read = plan_from_bytes(&bytes, &worker(), &elsewhere.task_ctx())
            .await
            .unwrap();
        let (wanted, found) = (
            shown(sent, &context).await,
            shown(Arc::clone(&read), &elsewhere).await,
        );
        assert_eq!(found, wanted, "{sql}");
        assert_eq!(looked_up(&read), None, "join filters stay behind");
    }
}

#[tokio::test]
async fn the_leaf_arrives_as_it_was_sent() {
    let context = sender();
    let sent = plan(
        &context,
        "SELECT name, id FROM a WHERE id > 10 AND name = 'Alice' LIMIT 3",
    )
    .await;
    let bytes = plan_to_bytes(Arc::clone(&sent)).unwrap();
    let read = plan_from_bytes(&bytes, &worker(), &context.task_ctx())
        .await
        .unwrap();
    let (sent, read) = (leaf(&sent).unwrap(), leaf(&read).unwrap());
    assert_eq!(read.scan().projection, sent.scan().projection);
    assert_eq!(read.scan().filters, sent.scan().filters);
    assert_eq!(read.scan().filters.len(), 2);
    assert_eq!((read.scan().limit, sent.scan().limit), (Some(3), Some(3)));
    assert_eq!(read.splits(), sent.splits());
    assert_eq!(read.splits().len(), 4);
    assert_eq!(&*read.settings().query_id, "q-7");
    assert_eq!(read.settings().source_timeout, Duration::from_millis(1_500));
    assert!(read.settings().pushdown);
}

#[tokio::test]
async fn what_the_reader_does_not_have_is_a_typed_error() {
    let context = sender();
    let bytes = plan_to_bytes(plan(&context, "SELECT id, name FROM a WHERE note = 'x'").await).unwrap();
    let other_type = {
        let rows = rows();
        let index = rows.schema().index_of("name").unwrap();
        let mut columns: Vec<_> = rows.columns().to_vec();
        columns[index] = Arc::clone(rows.column_by_name("small").unwrap());
        let names: Vec<String> = rows
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        RecordBatch::try_from_iter(names.iter().map(String::as_str).zip(columns)).unwrap()
    };
    let without_name = rows().project(&[0, 1, 10]).unwrap();
    let strict = CollatedTable::new(rows(), &[], Some(Mutation::ExactOnCaseInsensitiveText)).named("a");
    let cases: [(Catalogs, ErrorKind, &str); 5] = [
        (
            BTreeMap::new(),
            ErrorKind::UnknownCatalog,
            "catalog \"test\" does not exist",
        ),
        (
            catalogs(vec![]),
            ErrorKind::UnknownTable,
            "table test.public.a does not exist",
        ),
        (
            catalogs(vec![table(without_name, "a")]),
            ErrorKind::UnknownColumn,
            "column \"name\" of table test.public.a does not exist",
        ),
        (
            catalogs(vec![table(other_type, "a")]),
            ErrorKind::Changed,
            "column \"name\" of table test.public.a has another type now",
        ),
        (
            catalogs(vec![Arc::new(strict)]),
            ErrorKind::Changed,
            "table test.public.a does not treat the filter (note = 'x') as before",
        ),
    ];
    for (catalogs, kind, message) in cases {
        let error = plan_from_bytes(&bytes, &catalogs, &context.task_ctx())
            .await
            .unwrap_err();
        let error = connector_error(&error);
        assert_eq!((error.kind(), error.message()), (kind, message));
    }
}

#[tokio::test]
async fn bytes_that_are_no_plan_are_an_error() {
    let context = sender();
    let bytes = plan_to_bytes(plan(&context, "SELECT id FROM a WHERE id > 10").await).unwrap();
    for length in 0..bytes.len() {
        let _ = plan_from_bytes(&bytes[..length], &worker(), &context.task_ctx()).await;
        let mut turned = bytes.clone();
        turned[length] ^= 0x15;
        let _ = plan_from_bytes(&turned, &worker(), &context.task_ctx()).await;
    }
    assert!(
        plan_from_bytes(b"no plan", &worker(), &context.task_ctx())
            .await
            .is_err()
    );
}

/// A table that stands for an operator has no name by which another worker could open it.
#[tokio::test]
async fn what_a_source_computes_is_not_sent() {
    let context = sender();
    for sql in ["SELECT count(*) FROM a", "SELECT id FROM a ORDER BY id LIMIT 3"] {
        let optimized = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        let state = context.state();
        let pushed = push_operators(optimized, &state).unwrap();
        let plan = state
            .query_planner()
            .create_physical_plan(&pushed, &state)
            .await
            .unwrap();
        assert!(leaf(&plan).unwrap().table().is_computed(), "{sql}");
        let error = plan_to_bytes(plan).unwrap_err().to_string();
        let told =
            "an operator that the source of table test.public.a computes cannot be sent to another worker";
        assert!(error.contains(told), "{error}");
    }
}
