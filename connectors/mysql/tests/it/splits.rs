//! Scans in parts: every row once, whatever the keys are and whatever happens to the table, and nothing left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_mysql::Splits;
use causeway_spi::{Connector, ConnectorOptions, ErrorKind, ReadContext, Scan};
use datafusion::logical_expr::{ident, lit};
use futures::StreamExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::fixture::{account, commits, filtered, load, scan, server, texts};
use crate::parts::{ACCOUNTS, PARTS, Parts, catalog_in_parts, in_parts, plan};

const GONE_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn keys_of_every_extent_are_read_once() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_keys";
    let cases: [(&str, &str, &[&str]); 8] = [
        (
            "signed",
            "bigint",
            &["-9223372036854775808", "-1", "0", "1", "9223372036854775807"],
        ),
        (
            "unsigned",
            "bigint unsigned",
            &[
                "0",
                "1",
                "9223372036854775807",
                "9223372036854775808",
                "18446744073709551615",
            ],
        ),
        ("small", "tinyint", &["-128", "-1", "0", "127"]),
        ("zerofill", "int(4) unsigned zerofill", &["0", "7", "4294967295"]),
        ("neighbours", "int", &["5", "6", "7", "8"]),
        (
            "skewed",
            "bigint",
            &["1", "2", "3", "4", "5", "6", "7", "8", "9000000000000000000"],
        ),
        ("two", "mediumint", &["-8388608", "8388607"]),
        ("same", "int", &["3", "3", "3", "3"]),
    ];
    let mut statements = Vec::new();
    for (name, data_type, keys) in cases {
        statements.push(format!(
            "CREATE TABLE keys_{name} (id {data_type}, v varchar(9) COLLATE utf8mb4_bin, PRIMARY KEY (id, v))"
        ));
        for (number, key) in keys.iter().enumerate() {
            statements.push(format!("INSERT INTO keys_{name} VALUES ({key}, 'v{number}')"));
        }
        statements.push(format!("ANALYZE TABLE keys_{name}"));
    }
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let catalog = catalog_in_parts(&server, database, &statements).await;
    for (name, _, keys) in cases {
        let parts = plan(&catalog, database, &format!("keys_{name}"), name).await;
        let rows = parts.read_all().await.unwrap();
        let mut read: Vec<(String, String)> = texts(&rows, "id").into_iter().zip(texts(&rows, "v")).collect();
        read.sort_by(|one, other| one.1.cmp(&other.1));
        let expected = keys.iter().enumerate();
        let expected: Vec<_> = expected
            .map(|(number, key)| ((*key).to_owned(), format!("v{number}")))
            .collect();
        assert_eq!(read, expected, "{name}: {}", parts.text());
        match name {
            "same" => assert_eq!(parts.text(), "one: all rows have one key"),
            _ => assert!(
                parts.splits.len() > 1 && parts.connections() == parts.splits.len(),
                "{name}"
            ),
        }
        // Each split by itself, as another worker would read it.
        let alone = Parts {
            cx: ReadContext::detached(),
            ..parts
        };
        let mut count = 0;
        for split in 0..alone.splits.len() {
            count += alone.read(split).await.unwrap().num_rows();
        }
        assert_eq!(count, keys.len(), "{name}");
    }
}

#[tokio::test]
async fn explain_says_why_there_is_one_part() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_one";
    let statements = [
        "CREATE TABLE t (id bigint PRIMARY KEY, n int)",
        "INSERT INTO t SELECT seq, seq FROM seq_1_to_1000",
        "CREATE TABLE plain (id bigint)",
        "CREATE TABLE named (name varchar(20) PRIMARY KEY)",
        "CREATE TABLE old (id bigint PRIMARY KEY) ENGINE = MyISAM",
        "CREATE TABLE nothing (id bigint PRIMARY KEY)",
        "CREATE TABLE parted (id bigint PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
        "INSERT INTO parted SELECT seq FROM seq_1_to_1000",
        "CREATE VIEW seen AS SELECT * FROM t",
        "ANALYZE TABLE t, plain, named, old, nothing, parted",
    ];
    let mut catalog = catalog_in_parts(&server, database, &statements).await;
    let text =
        async |catalog: &Arc<dyn Connector>, name: &str| plan(catalog, database, name, "why").await.text();
    let parted = "4 by id, if all connections see one snapshot, else one";
    for (table, expected) in [
        ("t", parted),
        ("parted", parted),
        ("plain", "one: no primary key"),
        ("named", "one: the primary key does not begin with an integer"),
        ("old", "one: engine MyISAM has no snapshots"),
        ("nothing", "one: too few rows"),
        ("seen", "one: a view has no key"),
    ] {
        assert_eq!(text(&catalog, table).await, expected, "{table}");
    }
    let table = load(&catalog, database, "t").await;
    let limited = Scan {
        limit: Some(10),
        ..scan(table.as_ref())
    };
    assert_eq!(Parts::plan(&table, limited, "limit").await.text(), "one: a limit");
    let point = filtered(table.as_ref(), &[ident("id").eq(lit(7_i64))]);
    assert_eq!(
        Parts::plan(&table, point, "point").await.text(),
        "one: too few rows"
    );
    let range = filtered(table.as_ref(), &[ident("n").lt(lit(500_i32))]);
    let range = Parts::plan(&table, range, "range").await;
    assert_eq!(range.text(), parted);
    assert_eq!(range.read_all().await.unwrap().num_rows(), 499);

    let mut options = in_parts(server.options());
    options.splits = Splits::Off;
    catalog = options.clone().open("shop").unwrap();
    assert_eq!(text(&catalog, "t").await, "one: splits are off");
    options.splits = Splits::Inconsistent;
    catalog = options.clone().open("shop").unwrap();
    assert_eq!(text(&catalog, "old").await, "one: too few rows");
    assert_eq!(text(&catalog, "t").await, "4 by id, each at a moment of its own");
    options.split_connections = 0;
    catalog = options.open("shop").unwrap();
    assert_eq!(text(&catalog, "t").await, "one: split_connections is 0");
    // A table of this size is not worth it.
    catalog = server.options().open("shop").unwrap();
    assert_eq!(text(&catalog, "t").await, "one: too few rows");
}

/// What happens to a table between the plan and the read costs no row, or is an error.
#[tokio::test]
async fn a_table_that_has_changed_since_it_was_planned() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_changed";
    let mut admin = server.admin().await;
    let changed = async |alter: &str, admin: &mut Conn| {
        let catalog = catalog_in_parts(&server, database, &ACCOUNTS).await;
        let parts = plan(&catalog, database, "accounts", "changed").await;
        assert_eq!(parts.splits.len(), PARTS);
        for statement in alter.split(';') {
            admin.query_drop(statement).await.unwrap();
        }
        let rows = parts.read_all().await;
        (rows, parts.connections())
    };
    let alter = format!("ALTER TABLE {database}.accounts");
    let (rows, connections) = changed(&format!("{alter} ADD COLUMN more int"), &mut admin).await;
    assert_eq!((rows.unwrap().num_rows(), connections), (400, PARTS));
    // Its engine has no snapshots any more: one connection.
    let (rows, connections) = changed(&format!("{alter} ENGINE = MyISAM"), &mut admin).await;
    assert_eq!((rows.unwrap().num_rows(), connections), (400, 1));
    // A row without a key is in a part as well: that it cannot be read is an error here, and not a row less.
    let nullable = format!(
        "{alter} DROP PRIMARY KEY, MODIFY id bigint NULL;INSERT INTO {database}.accounts VALUES (NULL, 5)"
    );
    let (rows, _) = changed(&nullable, &mut admin).await;
    assert_eq!(rows.unwrap_err().kind(), ErrorKind::Changed);
    let (rows, _) = changed(&format!("DROP TABLE {database}.accounts"), &mut admin).await;
    assert_eq!(rows.unwrap_err().kind(), ErrorKind::UnknownTable);
}

/// While parts are read or wait to be read, the table keeps its form; afterwards it can be changed.
#[tokio::test]
async fn a_table_keeps_its_form_until_all_parts_are_read() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_held";
    let catalog = catalog_in_parts(&server, database, &ACCOUNTS).await;
    let mut admin = server.admin().await;
    let parts = plan(&catalog, database, "accounts", "held").await;
    assert!(parts.read(0).await.unwrap().num_rows() > 0);
    admin.query_drop("SET lock_wait_timeout = 1").await.unwrap();
    let alter = format!("ALTER TABLE {database}.accounts ENGINE = MyISAM");
    let refused = admin.query_drop(&alter).await.unwrap_err();
    assert!(refused.to_string().contains("1205"), "{refused}");
    let mut rows = 0;
    for split in 1..PARTS {
        rows += parts.read(split).await.unwrap().num_rows();
    }
    assert_eq!(rows, 300);
    admin.query_drop(&alter).await.unwrap();
}

/// Somebody waits to alter the table, and everybody behind him: the scan waits, too, but not for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_table_that_somebody_waits_to_alter() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_waits";
    let catalog = catalog_in_parts(&server, database, &ACCOUNTS).await;
    let parts = plan(&catalog, database, "accounts", "waits").await;
    let (mut reader, mut alterer) = (server.admin().await, server.admin().await);
    reader.query_drop("START TRANSACTION").await.unwrap();
    let look = format!("SELECT COUNT(*) FROM {database}.accounts");
    assert_eq!(reader.query_first::<u64, _>(&look).await.unwrap(), Some(400));
    let alter = format!("ALTER TABLE {database}.accounts ADD COLUMN more int");
    let altered = tokio::spawn(async move { alterer.query_drop(alter).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let scan = tokio::spawn(async move { parts.read_all().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!altered.is_finished() && !scan.is_finished());
    reader.query_drop("COMMIT").await.unwrap();
    let rows = tokio::time::timeout(Duration::from_secs(10), scan)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rows.unwrap().num_rows(), 400);
    altered.await.unwrap().unwrap();
}

/// Dropped parts, and parts that were never read, leave neither statements nor transactions nor sessions in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_parts_leave_nothing_behind() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_drop";
    let statements = [
        "CREATE TABLE big (id bigint PRIMARY KEY, v varchar(400))",
        "INSERT INTO big SELECT seq, REPEAT('x', 400) FROM seq_1_to_40000",
        "ANALYZE TABLE big",
    ];
    server.database(database, &statements).await;
    let mut admin = server.admin().await;
    account(&mut admin, database, database).await;
    let place = server.url.split_once('@').unwrap().1;
    let mut options = in_parts(crate::fixture::options(&format!("mysql://{database}@{place}")));
    options.connections = 1;
    let catalog = options.open("shop").unwrap();
    let sessions =
        format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{database}' ORDER BY ID");
    let mut first_sessions = Vec::new();
    for round in 0..24 {
        let parts = plan(&catalog, database, "big", &format!("drop-parts-{round}")).await;
        assert_eq!(parts.splits.len(), PARTS);
        // None, some or all of the parts are read, each to another place.
        let mut streams = Vec::new();
        for split in 0..round % (PARTS + 1) {
            let mut stream = parts.open((split + round) % PARTS).await;
            for _ in 0..=round % 3 {
                // Where a connection is not back yet, another part reads these rows, too: the stream is over.
                let Some(batch) = stream.next().await else { break };
                batch.unwrap();
            }
            streams.push(stream);
        }
        drop(streams);
        drop(parts);
        let dropped = Instant::now();
        loop {
            let left: (u64, u64) = admin
                .query_first(format!(
                    "SELECT (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{database}'
                             AND COMMAND <> 'Sleep'),
                            (SELECT COUNT(*) FROM information_schema.INNODB_TRX JOIN information_schema.PROCESSLIST
                             ON trx_mysql_thread_id = ID WHERE USER = '{database}')"
                ))
                .await
                .unwrap()
                .unwrap();
            if left == (0, 0) {
                break;
            }
            assert!(
                dropped.elapsed() < GONE_WITHIN,
                "round {round}: {left:?} are left"
            );
            // The list of transactions is made anew only when nobody has asked for 100 ms.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        let open: Vec<u64> = admin.query(&sessions).await.unwrap();
        assert!(open.len() <= PARTS + 1, "{open:?}");
        if round == 4 {
            first_sessions = open;
        } else if round > 4 {
            // A dropped part costs no connection.
            let kept = first_sessions.iter().all(|session| open.contains(session));
            assert!(kept, "round {round}: {first_sessions:?}, now {open:?}");
        }
    }
    // Each of them is back soon.
    let dropped = Instant::now();
    loop {
        let parts = plan(&catalog, database, "big", "whole").await;
        assert_eq!(parts.read_all().await.unwrap().num_rows(), 40_000);
        if parts.connections() == PARTS {
            break;
        }
        assert!(
            dropped.elapsed() < GONE_WITHIN,
            "{} connections",
            parts.connections()
        );
    }
}

/// Scans take further connections where some are free, and never wait for them: more scans than connections all end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scans_do_not_wait_for_each_others_parts() {
    let Some(server) = server() else { return };
    let _commits = commits().await;
    let database = "causeway_splits_crowd";
    server.database(database, &ACCOUNTS).await;
    let mut options = in_parts(server.options());
    options.connections = 2;
    let catalog = options.open("shop").unwrap();
    let scans = (0..12).map(|number| {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move {
            let parts = plan(&catalog, database, "accounts", &format!("crowd-{number}")).await;
            // A reader that takes one part after another, the last one first.
            let mut rows = 0;
            for split in (0..parts.splits.len()).rev() {
                rows += parts.read(split).await.unwrap().num_rows();
            }
            rows
        })
    });
    for scan in scans {
        assert_eq!(scan.await.unwrap(), 400);
    }
}
