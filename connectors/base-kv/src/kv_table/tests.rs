//! Reads and lookups over a fake source that repeats keys, counts fetches and loses keys.

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow::array::{Int64Array, StringViewArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field as ArrowField, Schema};
use arrow::util::pretty::pretty_format_batches;
use causeway_spi::{ConnectorError, ErrorKind, ScanFilter, Verdict};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, lit};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::col;
use futures::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::format::{InvalidValues, ValueFormat};
use crate::table_options::{ColumnOptions, TableOptions};

type Hash = BTreeMap<String, Vec<u8>>;

/// A source in memory: keys to fields. Every page repeats the last key of the page before,
/// unless the keys are in order.
#[derive(Debug, Default)]
struct FakeBackend {
    rows: Mutex<BTreeMap<Vec<u8>, Hash>>,
    fetched: Mutex<Vec<Vec<u8>>>,
    pages: Mutex<usize>,
    walked: Mutex<usize>,
    scan_keys_max: usize,
    in_order: bool,
}

#[async_trait]
impl KvBackend for FakeBackend {
    async fn fetch(
        &self,
        _definition: &TableDefinition,
        keys: &[Vec<u8>],
        fields: &[Field],
        _cx: &ReadContext,
    ) -> Result<Vec<Option<FieldValues>>> {
        let rows = self.rows.lock().unwrap();
        self.fetched.lock().unwrap().extend(keys.iter().cloned());
        let row = |key| {
            let row: &Hash = rows.get(key)?;
            Some(
                fields
                    .iter()
                    .map(|field| row.get(&field.to_string()).cloned())
                    .collect(),
            )
        };
        Ok(keys.iter().map(row).collect())
    }

    fn elements(
        self: Arc<Self>,
        _definition: &Arc<TableDefinition>,
        keys: Arc<Vec<Vec<u8>>>,
        fields: &[Field],
        _cx: &ReadContext,
    ) -> ElementScan {
        let rows = self.rows.lock().unwrap();
        let mut pages = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            // A page for each element, and an empty one before.
            pages.push(Vec::new());
            for element in rows.get(key).into_iter().flat_map(BTreeMap::keys) {
                let values = fields.iter().map(|_| Some(element.clone().into_bytes()));
                pages.push(vec![(position, values.collect())]);
            }
        }
        stream::iter(pages.into_iter().map(Ok)).boxed()
    }

    fn scan(self: Arc<Self>, _definition: &TableDefinition, prefix: &[u8], _cx: &ReadContext) -> KeyScan {
        let keys: Vec<_> = self.rows.lock().unwrap().keys().cloned().collect();
        let keys: Vec<_> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        let pages = (0..keys.len()).step_by(3).map(|at: usize| {
            let end = (at + 3).min(keys.len());
            let repeated = usize::from(!self.in_order);
            keys[at.saturating_sub(repeated)..end].to_vec()
        });
        stream::iter(pages.collect::<Vec<_>>())
            .map(move |page| {
                *self.pages.lock().unwrap() += 1;
                Ok(page)
            })
            .boxed()
    }

    async fn size(&self, _definition: &TableDefinition) -> Result<KvSize> {
        let keys = Some(self.rows.lock().unwrap().len() as u64);
        Ok(KvSize {
            keys,
            rows: keys,
            walked: keys,
        })
    }

    fn scan_keys_max(&self) -> usize {
        self.scan_keys_max
    }

    fn value_filter_reason(&self) -> &'static str {
        "no index on values"
    }

    fn fetch_text(&self, definition: &TableDefinition, fields: &[Field]) -> String {
        let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        format!("GET {} {}", definition.template().text(), fields.join(", "))
    }

    fn scan_text(&self, prefix: &[u8], size: KvSize) -> String {
        format!(
            "WALK {}* over {}",
            String::from_utf8_lossy(prefix),
            size.walked.unwrap()
        )
    }

    fn ordered(self: Arc<Self>) -> Option<Arc<dyn OrderedBackend>> {
        if self.in_order { Some(self) } else { None }
    }
}

impl OrderedBackend for FakeBackend {
    fn scan_range(
        self: Arc<Self>,
        _definition: &TableDefinition,
        range: &KeyRange,
        _cx: &ReadContext,
    ) -> KeyScan {
        let keys: Vec<_> = self.rows.lock().unwrap().keys().cloned().collect();
        let keys: Vec<_> = keys.into_iter().filter(|key| range.contains(key)).collect();
        *self.walked.lock().unwrap() += keys.len();
        stream::iter([Ok(keys)]).boxed()
    }

    fn ranges_text(&self, ranges: &[KeyRange]) -> String {
        format!("RANGE {}", ranges.len())
    }
}

#[tokio::test]
async fn a_walk_gives_each_row_once_and_nothing_else() {
    let backend = people(20);
    for key in ["p:007", "p:+7", "p:x", "q:5"] {
        put(&backend, key, "impostor", "1");
    }
    let table = table(&backend).await;
    let rows = read(&table, &scan(&table, &[0, 1], &[], None)).await;
    assert_eq!(rows.num_rows(), 20);
    assert!(!format!("{rows:?}").contains("impostor"));
    assert_eq!(fetches(&backend), 20);
}

#[tokio::test]
async fn points_read_only_what_passes() {
    let backend = people(20);
    let table = table(&backend).await;
    let ids = vec![lit(3_i64), lit(5_i64), lit(5_i64), lit(99_i64), lit(7_i64)];
    let filters = [col("id").in_list(ids, false), col("id").lt(lit(7_i64))];
    let scan = scan(&table, &[1], &filters, None);
    assert_eq!(shown(&read(&table, &scan).await), ["name-3", "name-5"]);
    assert_eq!(fetches(&backend), 2);
    assert_eq!(table.remote_text(&scan), "GET p:{id} name for 2 keys");
}

#[tokio::test]
async fn a_contradiction_reads_nothing() {
    let backend = people(3);
    let table = table(&backend).await;
    let scan = scan(
        &table,
        &[0],
        &[col("id").eq(lit(1_i64)), col("id").eq(lit(2_i64))],
        None,
    );
    assert_eq!(read(&table, &scan).await.num_rows(), 0);
    assert_eq!((fetches(&backend), *backend.pages.lock().unwrap()), (0, 0));
}

#[tokio::test]
async fn a_walk_for_keys_alone_fetches_nothing() {
    let backend = people(10);
    let table = table(&backend).await;
    assert_eq!(read(&table, &scan(&table, &[], &[], None)).await.num_rows(), 10);
    assert_eq!(read(&table, &scan(&table, &[0], &[], None)).await.num_rows(), 10);
    assert_eq!(fetches(&backend), 0);
    assert_eq!(
        table.remote_text(&scan(&table, &[0], &[], None)),
        "WALK p:* over 10"
    );
    assert_eq!(
        table.remote_text(&scan(&table, &[1], &[], None)),
        "WALK p:* over 10 then GET p:{id} name"
    );
}

#[tokio::test]
async fn a_limit_ends_the_walk() {
    let backend = people(100);
    let table = table(&backend).await;
    let rows = read(
        &table,
        &scan(&table, &[0, 1], &[col("id").gt_eq(lit(10_i64))], Some(4)),
    )
    .await;
    assert_eq!(rows.num_rows(), 4);
    assert!(*backend.pages.lock().unwrap() < 15, "{backend:?}");
    assert_eq!(
        read(&table, &scan(&table, &[0], &[], Some(0))).await.num_rows(),
        0
    );
}

#[tokio::test]
async fn batches_are_bounded_in_rows_and_bytes() {
    let backend = people(50);
    for id in 0..50 {
        put(&backend, &format!("p:{id}"), &"x".repeat(1000), "1");
    }
    let table = table(&backend).await;
    let mut cx = ReadContext::detached();
    cx.batch_rows = 7;
    let batches = batches(&table, &scan(&table, &[1], &[], None), &cx)
        .await
        .unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= 7));
    cx.batch_rows = 8192;
    cx.batch_bytes = 5_000;
    let batches = self::batches(&table, &scan(&table, &[1], &[], None), &cx)
        .await
        .unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= 5));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 50);
}

#[tokio::test]
async fn a_lookup_is_the_scan_restricted_to_the_keys() {
    let backend = people(20);
    let table = table(&backend).await;
    assert_eq!(table.keys(), [vec![0]]);
    let scan = scan(&table, &[1], &[col("id").not_eq(lit(4_i64))], None);
    let values = Int64Array::from(vec![Some(3), Some(4), Some(99), None, Some(3), Some(-1)]);
    let schema = Arc::new(Schema::new(vec![ArrowField::new("id", DataType::Int64, true)]));
    let values = RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap();
    let stream = table
        .get(&scan, 0, values, &ReadContext::detached())
        .await
        .unwrap();
    let rows: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(rows.iter().flat_map(shown).collect::<Vec<_>>(), ["name-3"]);
    assert_eq!(fetches(&backend), 3);
}

#[tokio::test]
async fn a_walk_over_too_many_rows_is_refused() {
    let mut backend = people(20);
    Arc::get_mut(&mut backend).unwrap().scan_keys_max = 10;
    let table = table(&backend).await;
    let error = batches(&table, &scan(&table, &[0], &[], None), &ReadContext::detached())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let some = scan(&table, &[0], &[col("id").lt(lit(5_i64))], None);
    assert_eq!(read(&table, &some).await.num_rows(), 5);
}

#[tokio::test]
async fn an_undecodable_value_fails_only_where_it_is_read() {
    let backend = people(3);
    put(&backend, "p:1", "x", "many");
    let table = table(&backend).await;
    assert_eq!(
        read(&table, &scan(&table, &[0, 1], &[], None)).await.num_rows(),
        3
    );
    let error = batches(&table, &scan(&table, &[2], &[], None), &ReadContext::detached())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn each_element_of_a_collection_is_a_row() {
    let backend = people(3);
    let options = TableOptions {
        name: "p".to_owned(),
        key: "p:{id}".to_owned(),
        value: ValueFormat::Set,
        columns: ["id bigint", "element text"]
            .map(|column| ColumnOptions::Short(column.to_owned()))
            .to_vec(),
        hidden: Vec::new(),
        invalid: InvalidValues::Error,
    };
    let definition = options.define(TableName::new("c", "public", "p")).unwrap();
    let table = KvTable::load(Arc::new(definition), Arc::clone(&backend))
        .await
        .unwrap();
    let rows = read(&table, &scan(&table, &[1], &[col("id").lt(lit(2_i64))], None)).await;
    assert_eq!(shown(&rows), ["name", "size", "name", "size"]);
    // Keys alone do not tell how many rows there are.
    assert_eq!(read(&table, &scan(&table, &[0], &[], None)).await.num_rows(), 6);
    assert_eq!(read(&table, &scan(&table, &[], &[], Some(5))).await.num_rows(), 5);
    let one = [col("id").eq(lit(1_i64))];
    assert_eq!(
        read(&table, &scan(&table, &[0, 1], &one, None)).await.num_rows(),
        2
    );
    assert_eq!(
        table.remote_text(&scan(&table, &[0], &[], None)),
        "WALK p:* over 3 then GET p:{id} "
    );
}

#[tokio::test]
async fn a_store_in_order_walks_the_ranges_only() {
    let mut backend = people(0);
    Arc::get_mut(&mut backend).unwrap().in_order = true;
    for tenant in ["a", "b", "ba", "c"] {
        for id in 0..10 {
            put(&backend, &format!("u:{tenant}:{id}"), tenant, "1");
        }
    }
    let columns = ["tenant text", "id int", "name text"].map(ToOwned::to_owned);
    let name = TableName::new("c", "public", "u");
    let definition = Arc::new(TableDefinition::parse(name, "u:{tenant}:{id}", &columns).unwrap());
    let table = KvTable::load(definition, Arc::clone(&backend)).await.unwrap();
    let filters = [col("tenant").eq(lit("b")), col("id").lt(lit(3))];
    let some = scan(&table, &[2], &filters, None);
    assert_eq!(shown(&read(&table, &some).await), ["b", "b", "b"]);
    assert_eq!(
        (*backend.walked.lock().unwrap(), *backend.pages.lock().unwrap()),
        (10, 0)
    );
    assert_eq!(table.remote_text(&some), "RANGE 1 then GET u:{tenant}:{id} name");
    let filters = [col("tenant")
        .in_list(vec![lit("a"), lit("c")], false)
        .or(col("tenant").like(lit("b%")))];
    let some = scan(&table, &[1], &filters, None);
    assert_eq!(read(&table, &some).await.num_rows(), 40);
    assert_eq!(table.remote_text(&some), "RANGE 3");
}

/// The law: what the table filters is what the engine would have filtered.
#[tokio::test]
async fn pushed_filters_give_the_rows_filtered_here() {
    for in_order in [false, true] {
        check_pushed_filters(in_order, "u:{id}:{tenant}").await;
        check_pushed_filters(in_order, "u:{tenant}/{id}").await;
    }
}

async fn check_pushed_filters(in_order: bool, key: &str) {
    let mut random = StdRng::seed_from_u64(7);
    let backend = Arc::new(FakeBackend {
        scan_keys_max: 1000,
        in_order,
        ..FakeBackend::default()
    });
    for id in -3..6 {
        for tenant in ["", "a", "A", "b:c", "é"] {
            let key = key.replace("{id}", &id.to_string()).replace("{tenant}", tenant);
            put(&backend, &key, "n", "1");
        }
    }
    let columns = ["id int", "tenant text", "name text"].map(ToOwned::to_owned);
    let name = TableName::new("c", "public", "u");
    let definition = Arc::new(TableDefinition::parse(name, key, &columns).unwrap());
    let table = KvTable::load(definition, Arc::clone(&backend)).await.unwrap();
    let all = read(&table, &scan(&table, &[0, 1, 2], &[], None)).await;
    assert_eq!(all.num_rows(), 45);
    for _ in 0..1_000 {
        let filters: Vec<Expr> = (0..random.random_range(1..4))
            .map(|_| random_filter(&mut random, 3))
            .collect();
        let scan = scan(&table, &[0, 1, 2], &filters, None);
        let pushed = read(&table, &scan).await;
        let expected = filtered(&all, &filters);
        assert_eq!(sorted(&pushed), sorted(&expected), "{filters:?}");
    }
}

fn random_filter(random: &mut StdRng, depth: usize) -> Expr {
    let null_or = |random: &mut StdRng, value: Expr, null: Expr| {
        if random.random_bool(0.1) { null } else { value }
    };
    let id = |random: &mut StdRng| {
        let number = lit(random.random_range(-4_i32..7));
        null_or(random, number, lit(datafusion::common::ScalarValue::Int32(None)))
    };
    let tenant = |random: &mut StdRng| {
        let text = lit(["", "a", "A", "b:c", "é", "z"][random.random_range(0..6)]);
        null_or(random, text, lit(datafusion::common::ScalarValue::Utf8(None)))
    };
    let choice = if depth == 0 {
        random.random_range(3..8)
    } else {
        random.random_range(0..13)
    };
    match choice {
        0 => random_filter(random, depth - 1).and(random_filter(random, depth - 1)),
        1 | 8 => random_filter(random, depth - 1).or(random_filter(random, depth - 1)),
        2 => Expr::Not(Box::new(random_filter(random, depth - 1))),
        3 | 9 => col("id").eq(id(random)),
        4 => col("tenant").eq(tenant(random)),
        5 => col("id").in_list((0..3).map(|_| id(random)).collect(), random.random_bool(0.3)),
        10 => col("tenant").gt_eq(tenant(random)),
        11 => tenant(random).gt(col("tenant")),
        12 => col("tenant").like(lit(["a%", "b_c", "b:%", "%", "é%"][random.random_range(0..5)])),
        6 => col("tenant").in_list((0..2).map(|_| tenant(random)).collect(), random.random_bool(0.3)),
        _ => col("id").lt(lit(random.random_range(-4_i64..7))),
    }
}

/// `batch` filtered by DataFusion, without any of our code.
fn filtered(batch: &RecordBatch, filters: &[Expr]) -> RecordBatch {
    let schema = DFSchema::try_from(batch.schema()).unwrap();
    let planning = PhysicalPlanningContext::default();
    filters.iter().fold(batch.clone(), |batch, filter| {
        let coerced = filter
            .clone()
            .rewrite(&mut TypeCoercionRewriter::new(&schema))
            .unwrap()
            .data;
        let filter = create_physical_expr(&coerced, &schema, &ExecutionProps::new(), &planning).unwrap();
        let mask = filter
            .evaluate(&batch)
            .unwrap()
            .into_array(batch.num_rows())
            .unwrap();
        filter_record_batch(&batch, arrow::array::AsArray::as_boolean(&mask)).unwrap()
    })
}

fn sorted(batch: &RecordBatch) -> Vec<String> {
    let text = pretty_format_batches(std::slice::from_ref(batch))
        .unwrap()
        .to_string();
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    lines.retain(|line| line.starts_with('|'));
    lines
        .iter_mut()
        .for_each(|line| line.retain(|character| character != ' '));
    lines.sort();
    lines
}

fn people(count: usize) -> Arc<FakeBackend> {
    let backend = Arc::new(FakeBackend {
        scan_keys_max: 1000,
        ..FakeBackend::default()
    });
    for id in 0..count {
        put(&backend, &format!("p:{id}"), &format!("name-{id}"), "1");
    }
    backend
}

fn put(backend: &FakeBackend, key: &str, name: &str, size: &str) {
    let row = BTreeMap::from([
        ("name".to_owned(), name.as_bytes().to_vec()),
        ("size".to_owned(), size.as_bytes().to_vec()),
    ]);
    backend.rows.lock().unwrap().insert(key.as_bytes().to_vec(), row);
}

fn fetches(backend: &FakeBackend) -> usize {
    backend.fetched.lock().unwrap().len()
}

async fn table(backend: &Arc<FakeBackend>) -> KvTable<FakeBackend> {
    let columns = ["id bigint", "name text", "size int"].map(ToOwned::to_owned);
    let name = TableName::new("c", "public", "p");
    let definition = TableDefinition::parse(name, "p:{id}", &columns).unwrap();
    KvTable::load(Arc::new(definition), Arc::clone(backend))
        .await
        .unwrap()
}

fn scan(table: &impl Table, projection: &[usize], filters: &[Expr], limit: Option<usize>) -> Scan {
    let filters = filters.iter().map(|expr| {
        let filter = Filter::new(expr);
        let pushdown = table.pushdown(&filter);
        assert_eq!(pushdown.verdict, Verdict::Exact, "{filter}");
        ScanFilter { filter, pushdown }
    });
    Scan {
        schema: table.schema(),
        projection: projection.to_vec(),
        filters: filters.collect(),
        limit,
    }
}

async fn batches(
    table: &impl Table,
    scan: &Scan,
    cx: &ReadContext,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    table.read(scan, &Split::whole(), cx).await?.try_collect().await
}

async fn read(table: &impl Table, scan: &Scan) -> RecordBatch {
    let batches = batches(table, scan, &ReadContext::detached()).await.unwrap();
    concat_batches(&scan.projected_schema(), &batches).unwrap()
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let names: &StringViewArray = arrow::array::AsArray::as_string_view(batch.column(0));
    names
        .iter()
        .map(|name| name.unwrap_or("NULL").to_owned())
        .collect()
}
