//! The extended protocol: parameters, formats, portals and pipelines, as drivers use them.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use causeway_sql_tests::client::failure;
use causeway_sql_tests::config::Config;
use causeway_sql_tests::loaders::parquet_file;
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::tpch::{batches, schema};
use futures::{TryStreamExt, pin_mut};
use tempfile::TempDir;
use tokio_postgres::types::private::BytesMut as SqlBytes;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls};

const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// A statement that may take 300 ms is over within this time, on a busy machine.
const TIMED_OUT_WITHIN: Duration = Duration::from_secs(5);

/// A server over a folder with orders and lineitem of TPC-H at scale 0.01.
struct Lake {
    server: Server,
    _folder: TempDir,
}

impl Lake {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for table in ["orders", "lineitem"] {
            let rows = batches(table, 0.01, 1, 1).unwrap();
            let file = parquet_file(schema(table).unwrap(), rows, 10_000).unwrap();
            std::fs::create_dir(folder.path().join(table)).unwrap();
            std::fs::write(folder.path().join(table).join("part-1.parquet"), file).unwrap();
        }
        Self {
            server: start(folder.path()),
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        client(&self.server).await
    }
}

fn start(folder: &Path) -> Server {
    Server::start(&Config::new().local("lake", folder)).unwrap()
}

async fn client(server: &Server) -> Client {
    let url = format!("host=127.0.0.1 port={} user=test dbname=lake", server.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The bytes of a value as they came.
#[derive(Debug, PartialEq, Eq)]
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Bytes that are sent as they are, in binary.
#[derive(Debug)]
struct Sent(&'static [u8]);

impl ToSql for Sent {
    fn to_sql(&self, _: &Type, out: &mut SqlBytes) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

#[tokio::test]
async fn every_type_has_postgres_binary_form() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let client = client(&server).await;
    // The bytes are those of PostgreSQL 15, from the `..._send` functions.
    let cases: [(&str, Type, &[u8]); 15] = [
        ("true", Type::BOOL, &[1]),
        ("(-2)::smallint", Type::INT2, &[0xff, 0xfe]),
        ("42::int", Type::INT4, &[0, 0, 0, 42]),
        ("(-1)::bigint", Type::INT8, &[0xff; 8]),
        ("1.5::real", Type::FLOAT4, &[0x3f, 0xc0, 0, 0]),
        (
            "2.5::double precision",
            Type::FLOAT8,
            &[0x40, 4, 0, 0, 0, 0, 0, 0],
        ),
        (
            "(-12345.678)::numeric(10,3)",
            Type::NUMERIC,
            &[0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c],
        ),
        ("0.00::numeric(10,2)", Type::NUMERIC, &[0, 0, 0, 0, 0, 0, 0, 2]),
        ("'é'", Type::TEXT, "é".as_bytes()),
        ("''", Type::TEXT, b""),
        ("date '2000-01-02'", Type::DATE, &[0, 0, 0, 1]),
        ("date '1999-12-31'", Type::DATE, &[0xff; 4]),
        (
            "timestamp '2000-01-01 00:00:01'",
            Type::TIMESTAMP,
            &[0, 0, 0, 0, 0, 0x0f, 0x42, 0x40],
        ),
        (
            "interval '1 month 2 days 1 second'",
            Type::INTERVAL,
            &[0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 2, 0, 0, 0, 1],
        ),
        (
            "array[1::int, null]",
            Type::INT4_ARRAY,
            &[
                0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0xff,
                0xff, 0xff, 0xff,
            ],
        ),
    ];
    for (expression, data_type, expected) in cases {
        let statement = client.prepare(&format!("SELECT {expression}")).await.unwrap();
        assert_eq!(statement.columns()[0].type_(), &data_type, "{expression}");
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, Raw>(0), Raw(expected.to_vec()), "{expression}");
    }
    let row = client.query_one("SELECT NULL::int, NULL", &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, Option<i32>>(0), row.get::<_, Option<Raw>>(1)),
        (None, None)
    );
}

#[tokio::test]
async fn parameters_are_inferred_before_they_have_values() {
    let lake = Lake::start();
    let client = lake.client().await;
    for (sql, parameters, column) in [
        (
            "SELECT o_orderkey FROM orders WHERE o_orderkey = $1",
            vec![Type::INT8],
            Type::INT8,
        ),
        (
            "SELECT o_custkey FROM orders WHERE o_orderdate BETWEEN $1 AND $2 AND o_comment LIKE $3 LIMIT $4 OFFSET $5",
            vec![Type::DATE, Type::DATE, Type::TEXT, Type::INT8, Type::INT8],
            Type::INT8,
        ),
        (
            "SELECT sum(o_totalprice) FROM orders WHERE o_totalprice > $1 AND o_orderkey IN ($2, $3)",
            vec![Type::NUMERIC, Type::INT8, Type::INT8],
            Type::NUMERIC,
        ),
        ("SELECT $1::int", vec![Type::INT4], Type::INT4),
        ("SELECT $2::date, $1", vec![Type::TEXT, Type::DATE], Type::DATE),
        (
            "SELECT count(*) FROM orders WHERE o_orderkey = ANY($1)",
            vec![Type::INT8_ARRAY],
            Type::INT8,
        ),
    ] {
        let statement = client
            .prepare(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(statement.params(), parameters, "{sql}");
        assert_eq!(statement.columns()[0].type_(), &column, "{sql}");
    }
}

#[tokio::test]
async fn values_are_what_the_statement_sees() {
    let lake = Lake::start();
    let client = lake.client().await;
    let sql = "SELECT o_custkey FROM orders WHERE o_orderkey = $1";
    let statement = client.prepare(sql).await.unwrap();
    for (key, expected) in [
        (1_i64, Some(370_i64)),
        (2, Some(781)),
        (4, Some(1_369)),
        (8, None),
    ] {
        let row = client.query_opt(&statement, &[&key]).await.unwrap();
        assert_eq!(row.map(|row| row.get::<_, i64>(0)), expected, "{key}");
    }
    let row = client.query_opt(&statement, &[&None::<i64>]).await.unwrap();
    assert!(row.is_none());
    let count = "SELECT count(*) FROM orders WHERE o_orderkey = ANY($1)";
    let row = client
        .query_one(count, &[&vec![Some(1_i64), None, Some(7), Some(8)]])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    // A numeric keeps every digit it came with: the column has two behind the point, the value three.
    let above = "SELECT count(*) FROM orders WHERE o_totalprice = $1";
    let exact = Sent(&[0, 3, 0, 1, 0, 0, 0, 2, 0, 17, 0x0a, 0xef, 0x13, 0x24]);
    let more = Sent(&[0, 3, 0, 1, 0, 0, 0, 3, 0, 17, 0x0a, 0xef, 0x13, 0x2e]);
    assert_eq!(
        client.query_one(above, &[&exact]).await.unwrap().get::<_, i64>(0),
        1
    );
    assert_eq!(
        client.query_one(above, &[&more]).await.unwrap().get::<_, i64>(0),
        0
    );
}

#[tokio::test]
async fn parameters_reach_the_source() {
    let lake = Lake::start();
    let client = lake.client().await;
    let sql = "EXPLAIN SELECT o_custkey FROM orders WHERE o_orderkey = $1";
    let rows = client.query(sql, &[&7_i64]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("superset o_orderkey = 7"), "{plan}");
}

#[tokio::test]
async fn wrong_values_are_told_by_parameter() {
    let lake = Lake::start();
    let client = lake.client().await;
    for (sql, value, sqlstate) in [
        ("SELECT $1::int", Sent(&[0, 0, 1]), "22P03"),
        ("SELECT $1::date", Sent(&[0x7f, 0xff, 0xff, 0xff]), "22P03"),
        ("SELECT $1::numeric", Sent(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), "0A000"),
        ("SELECT $1::text", Sent(&[0xff]), "22021"),
        ("SELECT $1", Sent(b"a\0b"), "22021"),
    ] {
        let error = client.query(sql, &[&value]).await.unwrap_err();
        assert_eq!(failure(error).unwrap().sqlstate, sqlstate, "{sql} {value:?}");
    }
    let error = client.prepare("SELECT $0").await.unwrap_err();
    assert_eq!(failure(error).unwrap().sqlstate, "42P02");
    let error = client.prepare("SELECT 1; SELECT 2").await.unwrap_err();
    assert_eq!(failure(error).unwrap().sqlstate, "42601");
    let error = client.simple_query("SELECT $1").await.unwrap_err();
    assert_eq!(failure(error).unwrap().sqlstate, "42P02");
    assert_eq!(
        client
            .query_one("SELECT 1::int", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

#[tokio::test]
async fn portals_are_read_in_pieces_and_side_by_side() {
    let lake = Lake::start();
    let mut client = lake.client().await;
    let transaction = client.transaction().await.unwrap();
    let orders = transaction
        .prepare("SELECT o_orderkey FROM orders ORDER BY 1")
        .await
        .unwrap();
    let (first, second) = (
        transaction.bind(&orders, &[]).await.unwrap(),
        transaction.bind(&orders, &[]).await.unwrap(),
    );
    let mut seen = Vec::new();
    for portal in [&first, &second, &first] {
        let rows = transaction.query_portal(portal, 3).await.unwrap();
        seen.push(rows.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>());
    }
    assert_eq!(seen, [vec![1, 2, 3], vec![1, 2, 3], vec![4, 5, 6]]);
    let rest = transaction.query_portal(&first, 0).await.unwrap();
    assert_eq!(rest.len(), 15_000 - 6);
    assert!(transaction.query_portal(&first, 0).await.unwrap().is_empty());
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn statements_of_sql_are_prepared_and_run() {
    let lake = Lake::start();
    let client = lake.client().await;
    let run = async |sql: &str| client.simple_query(sql).await;
    run("PREPARE find(bigint) AS SELECT o_custkey FROM orders WHERE o_orderkey = $1")
        .await
        .unwrap();
    let rows = run("EXECUTE find(7)").await.unwrap();
    let found = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(found, Some("392"));
    for (sql, sqlstate) in [
        ("PREPARE find AS SELECT 1", "42P05"),
        ("EXECUTE find", "42601"),
        ("EXECUTE find('x')", "22P02"),
        ("EXECUTE nope", "26000"),
        ("DEALLOCATE nope", "26000"),
    ] {
        assert_eq!(
            failure(run(sql).await.unwrap_err()).unwrap().sqlstate,
            sqlstate,
            "{sql}"
        );
    }
    run("DEALLOCATE find; DEALLOCATE ALL; DISCARD ALL").await.unwrap();
    assert!(run("EXECUTE find(7)").await.is_err());
}

#[tokio::test]
async fn a_failed_block_wants_its_end_or_a_savepoint() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let client = client(&server).await;
    client.batch_execute("BEGIN; SAVEPOINT a").await.unwrap();
    assert!(client.query("SELECT nowhere", &[]).await.is_err());
    let error = client.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(failure(error).unwrap().sqlstate, "25P02");
    client
        .batch_execute("ROLLBACK TO SAVEPOINT a; RELEASE a")
        .await
        .unwrap();
    client.query("SELECT 1", &[]).await.unwrap();
    client
        .batch_execute("SET LOCAL application_name = 'x'; COMMIT")
        .await
        .unwrap();
    let shown = client.query_one("SHOW application_name", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "");
}

#[tokio::test]
async fn two_thousand_requests_in_one_pipeline() {
    let lake = Lake::start();
    let client = lake.client().await;
    let statement = client.prepare("SELECT $1::bigint").await.unwrap();
    let asked: Vec<i64> = (0..2_000).collect();
    let answers = asked.iter().map(|number| {
        let (client, statement) = (&client, &statement);
        async move {
            client
                .query_one(statement, &[number])
                .await
                .map(|row| row.get::<_, i64>(0))
        }
    });
    let answers = tokio::time::timeout(ANSWERED_WITHIN, futures::future::try_join_all(answers));
    assert_eq!(answers.await.expect("in time").unwrap(), asked);
}

/// The whole table is 60,175 rows of 150 bytes; what is remembered of a result must not grow with it.
#[tokio::test]
async fn results_are_streamed_and_cancelled_in_the_middle() {
    let lake = Lake::start();
    let client = lake.client().await;
    let sql = "SELECT a.* FROM lineitem a, lineitem b";
    let before = lake.server.memory_bytes().unwrap();
    let nothing: [&(dyn ToSql + Sync); 0] = [];
    let rows = client.query_raw(sql, nothing).await.unwrap();
    pin_mut!(rows);
    for _ in 0..200_000 {
        rows.try_next().await.unwrap().expect("a row");
    }
    let grown = lake.server.memory_bytes().unwrap().saturating_sub(before);
    assert!(grown < 200 << 20, "the server grew by {grown} bytes");
    let started = Instant::now();
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    let error = loop {
        match rows.try_next().await {
            Ok(Some(_)) => assert!(started.elapsed() < ANSWERED_WITHIN, "the query goes on"),
            Ok(None) => panic!("the query ended"),
            Err(error) => break error,
        }
    };
    assert_eq!(failure(error).unwrap().sqlstate, "57014");
    let row = client.query_one("SELECT 1::int", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

/// A batch of these joins' probe sides meets hundreds of millions of rows, most of which are dropped or counted only.
#[tokio::test]
async fn a_timeout_ends_joins_of_many_rows() {
    let lake = Lake::start();
    let client = lake.client().await;
    client
        .batch_execute("SET statement_timeout = '300ms'")
        .await
        .unwrap();
    for sql in [
        "SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_linestatus = b.l_linestatus",
        "SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_linestatus = b.l_linestatus \
         AND a.l_orderkey + b.l_orderkey < 0",
        "SELECT count(*) FROM lineitem a, lineitem b WHERE a.l_orderkey < b.l_orderkey",
        "SELECT count(*) FROM lineitem a WHERE EXISTS \
         (SELECT 1 FROM lineitem b WHERE a.l_orderkey + b.l_orderkey < 0)",
        "SELECT count(*) FROM lineitem a LEFT JOIN lineitem b ON a.l_orderkey + b.l_orderkey < 0",
        "SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_linestatus = b.l_linestatus \
         JOIN lineitem c ON b.l_returnflag = c.l_returnflag",
        "SELECT count(*) FROM lineitem a, lineitem b",
    ] {
        let started = Instant::now();
        let error = client.query(sql, &[]).await.unwrap_err();
        let elapsed = started.elapsed();
        assert_eq!(failure(error).unwrap().sqlstate, "57014", "{sql}");
        assert!(elapsed < TIMED_OUT_WITHIN, "{sql}: {elapsed:?}");
        let before = lake.server.processor_time().unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let worked = lake.server.processor_time().unwrap().saturating_sub(before);
        assert!(
            worked < Duration::from_millis(250),
            "{sql}: still working: {worked:?}"
        );
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

/// Bodies of random bytes for every message of the protocol: an error or an end, never a crash.
#[tokio::test]
async fn random_messages_do_not_hurt() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..20 {
            let kind = b"PBDECHS"[usize::try_from(random() % 7).unwrap()];
            let length = usize::try_from(random() % 24).unwrap();
            // Mostly zeros and small numbers: names end, counts are small, and some messages are right.
            let body: Vec<u8> = (0..length)
                .map(|_| {
                    u8::try_from(random() % 256).unwrap()
                        & [0, 1, 3, 0xff][usize::try_from(random() % 4).unwrap()]
                })
                .collect();
            bytes.extend(message(kind, &body));
        }
        bytes.extend(message(b'S', b""));
        let mut client = RawClient::connect(server.port()).await.unwrap();
        client.send_bytes(&bytes).await.unwrap();
        drop(client);
    }
    client(&server)
        .await
        .query_one("SELECT 1::int", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn an_error_skips_to_sync() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut raw = RawClient::connect(server.port()).await.unwrap();
    let mut bytes = BytesMut::new();
    bytes.put_slice(&message(b'P', b"\0SELECT nowhere\0\0\0"));
    bytes.put_slice(&message(b'B', b"\0\0\0\0\0\0\0\0"));
    bytes.put_slice(&message(b'E', b"\0\0\0\0\0"));
    bytes.put_slice(&message(b'Q', b"SELECT 1\0"));
    bytes.put_slice(&message(b'S', b""));
    bytes.put_slice(&message(b'P', b"\0SELECT 1\0\0\0"));
    bytes.put_slice(&message(b'B', b"\0\0\0\0\0\0\0\0"));
    bytes.put_slice(&message(b'E', b"\0\0\0\0\0"));
    bytes.put_slice(&message(b'S', b""));
    raw.send_bytes(&bytes).await.unwrap();
    assert_eq!(raw.kinds(2).await.unwrap(), "EZ12DCZ");
}
