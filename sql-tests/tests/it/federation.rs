//! Joins across sources move no more than they need: counted at the source, and said by EXPLAIN.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::s3_server::{Keys, Operation, S3Server};
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{S3, mysql_url, redis_connection, redis_url, unique_name};
use futures::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::mysql::{BIG_ROWS, Mysql};

/// Rows of the small side of every join here.
const FEW: i32 = 50;

#[tokio::test]
async fn fifty_parquet_rows_read_fifty_rows_of_a_large_mysql_table() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let folder = tempfile::tempdir().unwrap();
    write_few(&folder.path().join("few"), |number| Some(number * 29_000 + 7));
    let config = Config::new().local("files", folder.path()).mysql("shop", &url);
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let sql = format!(
        "SELECT f.id, f.label, b.name, b.amount FROM files.public.few f \
         JOIN shop.{}.big b ON b.id = f.id ORDER BY f.id",
        mysql.database
    );
    client.query(&sql).await.unwrap();

    let before = mysql.rows_read("big").await;
    let rows = client.query(&sql).await.unwrap();
    assert_eq!(
        mysql.rows_read("big").await - before,
        50,
        "rows read at the source"
    );
    let expected: Vec<String> = (1..=FEW)
        .map(|number| number * 29_000 + 7)
        .map(|id| format!("{id}\tlabel {}\tname {id}\t{}.50", id / 29_000, id))
        .collect();
    assert_eq!(rows.lines(), expected);

    let plan = client.query(&format!("EXPLAIN {sql}")).await.unwrap().text();
    assert!(plan.contains("by (id) with the keys of a join"), "{plan}");
}

#[tokio::test]
async fn null_missing_and_repeated_keys_read_only_what_is_there() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let folder = tempfile::tempdir().unwrap();
    // Of five: one NULL, one beyond the table, one the same for all, two of their own.
    write_few(&folder.path().join("few"), |number| match number % 5 {
        0 => None,
        1 => Some(i32::try_from(BIG_ROWS).unwrap() + number),
        2 => Some(777),
        _ => Some(number),
    });
    let config = Config::new().local("files", folder.path()).mysql("shop", &url);
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let sql = format!(
        "SELECT count(*), count(DISTINCT b.id), sum(b.id) FROM files.public.few f \
         JOIN shop.{}.big b ON b.id = f.id",
        mysql.database
    );
    client.query(&sql).await.unwrap();
    let before = mysql.rows_read("big").await;
    let rows = client.query(&sql).await.unwrap();
    assert_eq!(
        mysql.rows_read("big").await - before,
        21,
        "rows read at the source"
    );
    let own: i32 = (1..=FEW).filter(|number| matches!(number % 5, 3 | 4)).sum();
    assert_eq!(rows.lines(), [format!("30\t21\t{}", own + 10 * 777)]);
}

/// The table stands where it would be read first, and nothing is known of the other side before it is read: few of its keys
/// are looked up, and for many the table is scanned, once.
#[tokio::test]
async fn a_large_table_is_read_when_the_other_side_is_known() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let server = Server::start(&Config::new().mysql("shop", &url)).unwrap();
    let client = server.connect().await.unwrap();
    let big = format!("shop.{}.big", mysql.database);
    let numbers = format!("generate_series(1, {BIG_ROWS}) AS g(n)");
    let all = usize::try_from(BIG_ROWS).unwrap();
    for (sql, rows_read, answer, how) in [
        (
            format!(
                "SELECT count(*), sum(b.id % 100) FROM {big} b JOIN {numbers} ON b.id = g.n WHERE g.n % 100000 = 7"
            ),
            all / 100_000,
            format!("{0}\t{1}", all / 100_000, all / 100_000 * 7),
            format!("lookups, the outer side has {} keys", all / 100_000),
        ),
        (
            format!(
                "SELECT count(*), count(b.id) FROM {big} b RIGHT JOIN {numbers} ON b.id = g.n AND b.id > 500000 \
                 WHERE g.n % 100000 = 7"
            ),
            all / 100_000 - 5,
            format!("{}\t{}", all / 100_000, all / 100_000 - 5),
            format!("lookups, the outer side has {} keys", all / 100_000),
        ),
        (
            format!("SELECT count(*) FROM {big} b JOIN {numbers} ON b.id = g.n WHERE g.n % 2 = 1"),
            all,
            format!("{}", all / 2),
            "scan, the outer side has more than".to_owned(),
        ),
    ] {
        // The first time the bounds of the primary key are read as well.
        client.query(&sql).await.unwrap();
        let before = mysql.rows_read("big").await;
        assert_eq!(client.query(&sql).await.unwrap().lines(), [answer], "{sql}");
        let read = mysql.rows_read("big").await - before;
        // Each part of a scan ends with a look at the first row of the next one.
        let parts = if rows_read == all { 4 } else { 1 };
        let read = usize::try_from(read).unwrap();
        assert!(
            (rows_read..rows_read + parts).contains(&read),
            "{read} rows: {sql}"
        );
        let plan = client
            .query(&format!("EXPLAIN ANALYZE {sql}"))
            .await
            .unwrap()
            .text();
        assert!(plan.contains(&format!("inner side read by {how}")), "{plan}");
    }
}

/// Keys of another width, from outer, semi and anti joins: still no more than the keys is read.
#[tokio::test]
async fn other_joins_read_only_their_keys_too() {
    let Some(url) = mysql_url() else { return };
    let mysql = Mysql::with_big_table(&url).await;
    let folder = tempfile::tempdir().unwrap();
    // Keys of eight bytes against MySQL's four: 49 in the table, and one that would be in it if it were cut.
    let ids = Int64Array::from_iter_values((1..50).map(|number| number * 1000).chain([(1 << 32) + 5]));
    write_table(&folder.path().join("wide"), vec![("id", Arc::new(ids))]);
    write_few(&folder.path().join("few"), |number| Some(number * 1000));
    let config = Config::new().local("files", folder.path()).mysql("shop", &url);
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let mut wrong = Vec::new();
    for (sql, rows_read, answer) in [
        (
            "SELECT count(*), sum(b.id) FROM files.public.wide w JOIN {big} b ON b.id = w.id",
            49,
            "49\t1225000",
        ),
        (
            "SELECT count(*), count(b.id) FROM files.public.wide w LEFT JOIN {big} b ON b.id = w.id",
            49,
            "50\t49",
        ),
        (
            "SELECT count(*), sum(id) FROM {big} WHERE id IN (SELECT id FROM files.public.few)",
            50,
            "50\t1275000",
        ),
        (
            "SELECT count(*) FROM {big} b WHERE EXISTS (SELECT 1 FROM files.public.few f WHERE f.id = b.id)",
            50,
            "50",
        ),
        (
            "SELECT count(*) FROM files.public.few f WHERE NOT EXISTS (SELECT 1 FROM {big} b WHERE f.id = b.id)",
            50,
            "0",
        ),
        (
            "SELECT count(*) FROM files.public.few f JOIN {big} b ON b.id = f.id AND b.amount > 25000",
            50,
            "26",
        ),
        (
            "SELECT f.label FROM files.public.few f JOIN {big} b USING (id) ORDER BY id DESC LIMIT 1",
            50,
            "label 50",
        ),
    ] {
        let sql = sql.replace("{big}", &format!("shop.{}.big", mysql.database));
        client.query(&sql).await.unwrap();
        let before = mysql.rows_read("big").await;
        let rows = client.query(&sql).await.unwrap();
        let read = mysql.rows_read("big").await - before;
        if rows.lines() != [answer] || read > rows_read {
            wrong.push(format!("{sql}: {:?} after reading {read} rows", rows.lines()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn fifty_parquet_rows_read_fifty_hashes_of_redis() {
    let Some(url) = redis_url() else { return };
    let name = unique_name("items");
    write_hashes(&url, &name, 20_000).await;
    let folder = tempfile::tempdir().unwrap();
    write_few(&folder.path().join("few"), |number| Some(number * 300));
    let items = RedisTable {
        name: "items".to_owned(),
        key: format!("{name}:{{id}}"),
        columns: ["id integer", "name text", "unused text"]
            .map(str::to_owned)
            .to_vec(),
    };
    let config = Config::new()
        .local("files", folder.path())
        .redis("cache", &url, &[items]);
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let sql =
        "SELECT f.id, i.name FROM files.public.few f JOIN cache.public.items i ON i.id = f.id ORDER BY f.id";
    client.query(sql).await.unwrap();

    let mut commands = monitor(&url, &name).await;
    let rows = client.query(sql).await.unwrap();
    let expected: Vec<String> = (1..=FEW)
        .map(|number| format!("{0}\titem {0}", number * 300))
        .collect();
    assert_eq!(rows.lines(), expected);
    let seen = collect(&mut commands).await;
    assert_eq!(seen.len(), 50, "{seen:#?}");
    for command in &seen {
        assert!(!command.to_lowercase().contains("\"scan\""), "{command}");
        assert!(!command.contains("unused"), "a field nobody asked for: {command}");
    }

    let plan = client.query(&format!("EXPLAIN {sql}")).await.unwrap().text();
    assert!(plan.contains("by (id) with the keys of a join"), "{plan}");
}

/// The partitions of the fact table; the dimension's 50 rows name every tenth.
const DAYS: i32 = 60;
const ROWS_PER_DAY: i32 = 100_000;

#[tokio::test]
async fn a_dimension_of_fifty_rows_prunes_a_partitioned_table_on_s3() {
    let folder = tempfile::tempdir().unwrap();
    let (store, s3) = own_s3(folder.path()).await;
    let total_bytes = write_days(&s3).await;
    write_dimension(&folder.path().join("files/dimension"));
    let config = Config::new()
        .s3_with_options("lake", &s3, "warehouse/", "cache_memory = 0")
        .local("files", &folder.path().join("files"));
    let server = Server::start(&config).unwrap();
    let client = server.connect().await.unwrap();
    let sql = "SELECT count(*), sum(e.value) FROM files.public.dimension d \
               JOIN lake.public.events e ON e.day = d.day WHERE d.id % 10 = 0";
    // Footers and listings are read once and kept; the data is not, here.
    client.query(sql).await.unwrap();

    store.log().take();
    let rows = client.query(sql).await.unwrap();
    let requests = store.log().take();
    let matches = i64::from(FEW / 10) * i64::from(ROWS_PER_DAY);
    let sum: i64 = (1..=FEW / 10)
        .map(|tenth| i64::from(day_of(tenth * 10)))
        .map(sum_of_day)
        .sum();
    assert_eq!(rows.lines(), [format!("{matches}\t{sum}")]);

    let read: BTreeSet<&str> = requests
        .iter()
        .filter(|request| request.operation == Operation::Get)
        .map(|request| request.key.as_str())
        .collect();
    let wanted: BTreeSet<String> = (1..=FEW / 10).map(|tenth| day_key(day_of(tenth * 10))).collect();
    assert_eq!(read, wanted.iter().map(String::as_str).collect(), "objects read");
    let bytes: u64 = requests.iter().map(|request| request.bytes).sum();
    assert!(bytes < total_bytes / 10, "{bytes} bytes of {total_bytes}");

    let analyzed = client
        .query(&format!("EXPLAIN ANALYZE {sql}"))
        .await
        .unwrap()
        .text();
    assert!(analyzed.contains("pruned"), "{analyzed}");
}

/// A table of 50 rows: `id`, made of the row's number from 1, and `label`.
pub(crate) fn write_few(folder: &Path, id: impl Fn(i32) -> Option<i32>) {
    let ids = Int32Array::from_iter((1..=FEW).map(id));
    let labels = StringArray::from_iter_values((1..=FEW).map(|number| format!("label {number}")));
    write_table(folder, vec![("id", Arc::new(ids)), ("label", Arc::new(labels))]);
}

fn write_table(folder: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 10_000).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("part-1.parquet"), file).unwrap();
}

pub(crate) async fn write_hashes(url: &str, prefix: &str, count: u32) {
    let mut connection = redis_connection(url).await.unwrap();
    let mut pipeline = redis::pipe();
    for id in 1..=count {
        let fields = [
            ("id", id.to_string()),
            ("name", format!("item {id}")),
            ("unused", "x".repeat(100)),
        ];
        pipeline.hset_multiple(format!("{prefix}:{id}"), &fields).ignore();
    }
    pipeline.exec_async(&mut connection).await.unwrap();
}

/// The commands that name `prefix`, from now on, as Redis itself reports them.
pub(crate) async fn monitor(url: &str, prefix: &str) -> UnboundedReceiver<String> {
    let client = redis::Client::open(url).unwrap();
    let monitor = client.get_async_monitor().await.unwrap();
    let (sender, receiver) = unbounded_channel();
    let prefix = prefix.to_owned();
    tokio::spawn(async move {
        let mut commands = monitor.into_on_message::<String>();
        while let Some(command) = commands.next().await {
            if command.contains(&prefix) && sender.send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

pub(crate) async fn collect(commands: &mut UnboundedReceiver<String>) -> Vec<String> {
    let mut seen = Vec::new();
    // The report of a command follows its answer closely, but not at once.
    while let Ok(Some(command)) = tokio::time::timeout(Duration::from_millis(500), commands.recv()).await {
        seen.push(command);
    }
    seen
}

/// An S3 server for this test alone, so that every request in its log is ours.
pub(crate) async fn own_s3(folder: &Path) -> (S3Server, S3) {
    let keys = Keys {
        access: "access".to_owned(),
        secret: "secret".to_owned(),
    };
    let root = folder.join("s3");
    std::fs::create_dir_all(root.join("bucket")).unwrap();
    let server = S3Server::start(0, root, keys.clone()).await.unwrap();
    let s3 = S3 {
        endpoint: server.endpoint(),
        bucket: "bucket".to_owned(),
        access_key: keys.access,
        secret_key: keys.secret,
    };
    (server, s3)
}

/// Days since 1970 of a partition: all of 2024's first two months.
fn day_of(number: i32) -> i32 {
    19_723 + number
}

fn day_key(day: i32) -> String {
    let date = chrono_date(day);
    format!("warehouse/events/day={date}/part-1.parquet")
}

fn chrono_date(day: i32) -> String {
    let array = Date32Array::from(vec![day]);
    arrow::util::display::array_value_to_string(&array, 0).unwrap()
}

fn value_of(day: i64, row: i64) -> i64 {
    // Spread over all bits, so that neither dictionary nor compression makes the file small.
    (row * 2_654_435_761 + day * 40_503) % 1_000_000_007
}

fn sum_of_day(day: i64) -> i64 {
    (0..i64::from(ROWS_PER_DAY)).map(|row| value_of(day, row)).sum()
}

pub(crate) async fn write_days(s3: &S3) -> u64 {
    let store = s3.store().unwrap();
    let mut total_bytes = 0;
    for number in 0..DAYS {
        let day = i64::from(day_of(number));
        let values = Int64Array::from_iter_values((0..i64::from(ROWS_PER_DAY)).map(|row| value_of(day, row)));
        let batch = RecordBatch::try_from_iter([("value", Arc::new(values) as ArrayRef)]).unwrap();
        let file = parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 20_000).unwrap();
        total_bytes += u64::try_from(file.len()).unwrap();
        put_object(&store, &day_key(day_of(number)), file).await.unwrap();
    }
    total_bytes
}

/// 50 rows: `id` from 1 and the `day` of that number.
pub(crate) fn write_dimension(folder: &Path) {
    let ids = Int32Array::from_iter_values(1..=FEW);
    let days = Date32Array::from_iter_values((1..=FEW).map(day_of));
    write_table(folder, vec![("id", Arc::new(ids)), ("day", Arc::new(days))]);
}
