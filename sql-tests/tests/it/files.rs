//! Files of a local catalog: those that `cases/connectors/files.slt` and `cases/connectors/local` read, and what REFRESH
//! makes of new ones.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::loaders::parquet_file;
use causeway_sql_tests::server::Server;

use crate::slt::run_own;

/// Small files of every format.
const TEXTS: [(&str, &str); 9] = [
    (
        "people.csv",
        "id,name,zip,balance,born,seen,active\n\
         1,Ann,01067,10.50,1990-01-31,2024-01-31 10:00:00.5,true\n\
         2,\"Bob, \"\"the\"\" builder\",10115,-3.25,,2024-02-29 23:59:59,false\n\
         3,,80331,0,1970-01-01,,\n",
    ),
    (
        "events/day=2024-01-01/a.jsonl",
        "{\"id\":1,\"user\":{\"name\":\"Ann\",\"tags\":[\"a\",\"b\"]},\"n\":1}\n",
    ),
    (
        "events/day=2024-01-02/a.jsonl",
        "{\"id\":2,\"user\":{\"name\":\"Bob\",\"tags\":[]},\"n\":\"two\"}\n{\"id\":3}\n",
    ),
    ("raw/codes.txt", "007;one\n8;\\N\n"),
    ("mixed/a.csv", "id\n1\n"),
    ("mixed/b.json", "{\"id\":2}\n"),
    ("bad/a.csv", "id,n\n1,1\n2\n"),
    ("wrong/a.csv", "id,n\n1,1\n2,x\n"),
    ("delta/_delta_log/00000000000000000000.json", "{}\n"),
];

/// What `TEXTS` needs declared.
const DECLARED: &str = r#"
[[catalogs.files.tables]]
name = "codes"
path = "raw/codes.*"
format = "csv"
columns = ["code bigint", "meaning text"]
header = false
delimiter = ";"
null = "\\N"

[[catalogs.files.tables]]
name = "numbers"
path = "wrong"
columns = ["id bigint", "n integer"]
"#;

/// Adds the catalog `files` over `folder` to a configuration.
pub(crate) fn catalog(config: Config, folder: &Path) -> Config {
    config.local("files", folder).catalog_lines(DECLARED)
}

/// Writes the files of the catalog.
pub(crate) fn write(folder: &Path) {
    for (name, text) in TEXTS {
        write_file(folder, name, text.as_bytes());
    }
    for (year, amount) in [(2023, 1050), (2024, -75)] {
        let name = format!("sales/orders/year={year}/part-0.parquet");
        write_file(folder, &name, &order(year, amount));
    }
    write_file(folder, "delta/part-0.parquet", &order(1, 1));
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

fn order(id: i64, cents: i128) -> Vec<u8> {
    let amounts = Decimal128Array::from(vec![cents])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from(vec![id]))),
        ("note", Arc::new(StringArray::from(vec![Some("x")]))),
        ("amount", Arc::new(amounts)),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 1000)
        .unwrap()
        .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_local_files() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let config = catalog(Config::new().server("target_partitions = 2"), folder.path());
    let server = Server::start(&config).unwrap();
    run_own(&server, "connectors/local", "on").await;
}

#[tokio::test]
async fn refresh_shows_new_files_and_tables_at_once() {
    let folder = tempfile::tempdir().unwrap();
    write_file(folder.path(), "t/a.csv", b"id\n1\n");
    let server = Server::start(&Config::new().local("files", folder.path())).unwrap();
    let client = server.connect().await.unwrap();
    let sum = "SELECT count(*), sum(id) FROM files.public.t";
    assert_eq!(client.query(sum).await.unwrap().lines(), ["1\t1"]);
    write_file(folder.path(), "t/b.csv", b"id\n2\n");
    assert_eq!(
        client.query(sum).await.unwrap().lines(),
        ["1\t1"],
        "the listing is believed for a minute"
    );
    client.query("REFRESH TABLE files.public.t").await.unwrap();
    assert_eq!(client.query(sum).await.unwrap().lines(), ["2\t3"]);

    // Another schema, and a table that was not there.
    write_file(folder.path(), "t/a.csv", b"id,name\n1,x\n");
    write_file(folder.path(), "u/a.csv", b"id\n7\n");
    client.query("REFRESH CATALOG files").await.unwrap();
    let names = "SELECT name FROM files.public.t WHERE id = 1";
    assert_eq!(client.query(names).await.unwrap().lines(), ["x"]);
    assert_eq!(
        client
            .query("SELECT id FROM files.public.u")
            .await
            .unwrap()
            .lines(),
        ["7"]
    );

    // Prepared statements know nothing of it: their next run plans anew.
    client
        .query("PREPARE s AS SELECT count(*) FROM files.public.u")
        .await
        .unwrap();
    write_file(folder.path(), "u/b.csv", b"id\n8\n");
    client.query("REFRESH TABLE files.U").await.unwrap();
    assert_eq!(client.query("EXECUTE s").await.unwrap().lines(), ["2"]);

    for (sql, state) in [
        ("REFRESH TABLE files.public.nope", "42P01"),
        ("REFRESH TABLE nope.public.t", "3D000"),
        ("REFRESH CATALOG nope", "3D000"),
        ("REFRESH", "42601"),
        ("REFRESH VIEW v", "42601"),
    ] {
        let failure = client.try_query(sql).await.unwrap().unwrap_err();
        assert_eq!(failure.sqlstate, state, "{sql}: {failure:?}");
    }
}
