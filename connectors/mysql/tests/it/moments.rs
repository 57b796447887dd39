//! All parts of a scan, and all statements of a lookup, are of one moment of the server.

use std::ops::AsyncFnMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use causeway_mysql::Splits;
use causeway_spi::{Connector, ConnectorOptions, ReadContext};
use futures::TryStreamExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::fixture::{Server, commits, load, scan, server};
use crate::own_server::OwnServer;
use crate::parts::{ACCOUNTS, MONEY, PARTS, Parts, catalog_in_parts, in_parts, longs, plan};

/// What the first and the last account hold together, when one is read before money moves between them and one after.
async fn around_a_transfer(parts: &Parts, admin: &mut Conn, database: &str) -> i64 {
    let last = parts.splits.len() - 1;
    let mut sum = longs(&parts.read(0).await.unwrap(), "balance")
        .iter()
        .sum::<i64>();
    for statement in [
        "START TRANSACTION".to_owned(),
        format!("UPDATE {database}.accounts SET balance = balance - 300 WHERE id = 1"),
        format!("UPDATE {database}.accounts SET balance = balance + 300 WHERE id = 400"),
        // A row that changes its place: it would be seen twice, or not at all.
        format!("UPDATE {database}.accounts SET id = 1001 WHERE id = 2"),
        "COMMIT".to_owned(),
    ] {
        admin.query_drop(statement).await.unwrap();
    }
    for split in 1..=last {
        sum += longs(&parts.read(split).await.unwrap(), "balance")
            .iter()
            .sum::<i64>();
    }
    sum
}

#[tokio::test]
async fn parts_that_are_read_later_are_of_the_same_moment() {
    let Some(server) = server() else { return };
    let database = "causeway_splits_moment";
    let mut admin = server.admin().await;
    let catalog = catalog_in_parts(&server, database, &ACCOUNTS).await;
    let parts = plan(&catalog, database, "accounts", "moment").await;
    assert_eq!(
        parts.text(),
        "4 by id, if all connections see one snapshot, else one"
    );
    assert_eq!(around_a_transfer(&parts, &mut admin, database).await, MONEY);
    assert_eq!(parts.connections(), PARTS);

    // The same without snapshots: the check can fail.
    server.database(database, &ACCOUNTS).await;
    let mut options = in_parts(server.options());
    options.splits = Splits::Inconsistent;
    let catalog = options.open("shop").unwrap();
    let parts = plan(&catalog, database, "accounts", "moments").await;
    assert_eq!(parts.text(), "4 by id, each at a moment of its own");
    assert_eq!(
        around_a_transfer(&parts, &mut admin, database).await,
        MONEY + 300 + 1000
    );
}

/// A server whose transactions do not read by snapshots unless they are told to.
#[tokio::test]
async fn the_servers_isolation_level_does_not_matter() {
    let log = tempfile::tempdir().unwrap();
    let arguments = [
        "--transaction-isolation=READ-COMMITTED".to_owned(),
        format!("--log-bin={}/binlog", log.path().display()),
    ];
    let Some(own) = OwnServer::start(&arguments).await else {
        return;
    };
    let mut admin = own.admin().await;
    let database = "causeway_splits_level";
    own_database(&mut admin, database, &ACCOUNTS).await;
    let catalog = in_parts(own.options("root", "127.0.0.1")).open("shop").unwrap();
    let parts = plan(&catalog, database, "accounts", "level").await;
    assert_eq!(around_a_transfer(&parts, &mut admin, database).await, MONEY);
    assert_eq!(parts.connections(), PARTS);
}

#[tokio::test]
async fn a_server_without_a_binary_log_is_read_by_one_connection() {
    let Some(own) = OwnServer::start(&[]).await else {
        return;
    };
    let mut admin = own.admin().await;
    let database = "causeway_splits_unlogged";
    own_database(&mut admin, database, &ACCOUNTS).await;
    let catalog = in_parts(own.options("root", "127.0.0.1")).open("shop").unwrap();
    let parts = plan(&catalog, database, "accounts", "unlogged").await;
    assert_eq!(
        parts.text(),
        "one: the server does not tell the moments of snapshots"
    );
    assert_eq!(around_a_transfer(&parts, &mut admin, database).await, MONEY);
    let mut options = in_parts(own.options("root", "127.0.0.1"));
    options.splits = Splits::Inconsistent;
    let parts = plan(&options.open("shop").unwrap(), database, "accounts", "anyway").await;
    assert_eq!(parts.read_all().await.unwrap().num_rows(), 400);
    assert_eq!(parts.connections(), PARTS);
}

async fn own_database(admin: &mut Conn, database: &str, statements: &[&str]) {
    admin
        .query_drop(format!("CREATE DATABASE {database}"))
        .await
        .unwrap();
    admin.query_drop(format!("USE {database}")).await.unwrap();
    for statement in statements {
        admin.query_drop(*statement).await.unwrap();
    }
}

/// Some hundreds of scans beside writers who move money, and rows from one end of the table to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sum_never_changes_while_money_moves() {
    const SCANS: usize = 300;
    let Some(server) = server() else { return };
    let database = "causeway_splits_sum";
    let catalog = catalog_in_parts(&server, database, &ACCOUNTS).await;
    while_money_moves(&server, database, async |transfers| {
        let mut in_parts = 0;
        for number in 0..SCANS {
            let (connections, seen) = balance(&catalog, database, number).await;
            assert_eq!(seen, (400, MONEY), "over {connections} connections");
            in_parts += usize::from(connections > 1);
        }
        println!(
            "{in_parts} of {SCANS} scans in parts, beside {} transfers",
            transfers()
        );
        // Else nothing was put to the test.
        assert!(in_parts * 2 > SCANS, "{in_parts} of {SCANS} scans in parts");
    })
    .await;
}

/// The same check does see parts that are of different moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_of_different_moments_are_told() {
    const SCANS_MAX: usize = 5_000;
    let Some(server) = server() else { return };
    let database = "causeway_splits_torn";
    server.database(database, &ACCOUNTS).await;
    let mut options = in_parts(server.options());
    options.splits = Splits::Inconsistent;
    let catalog = options.open("shop").unwrap();
    while_money_moves(&server, database, async |_| {
        for number in 0..SCANS_MAX {
            let (_, seen) = balance(&catalog, database, number).await;
            if seen != (400, MONEY) {
                println!("scan {number} saw {seen:?}");
                return;
            }
        }
        panic!("none of {SCANS_MAX} scans was torn");
    })
    .await;
}

/// The connections, accounts and money of one scan.
async fn balance(catalog: &Arc<dyn Connector>, database: &str, number: usize) -> (usize, (usize, i64)) {
    let parts = plan(catalog, database, "accounts", &format!("sum-{number}")).await;
    assert_eq!(parts.splits.len(), PARTS);
    let rows = parts.read_all().await.unwrap();
    let sum = longs(&rows, "balance").iter().sum();
    (parts.connections(), (rows.num_rows(), sum))
}

/// The statements of one lookup are of one moment, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lookup_of_many_keys_is_of_one_moment() {
    const LOOKUPS: usize = 60;
    let Some(server) = server() else { return };
    let database = "causeway_splits_lookup";
    let catalog = catalog_in_parts(&server, database, &ACCOUNTS).await;
    let table = load(&catalog, database, "accounts").await;
    let wanted = scan(table.as_ref());
    // Both places of each account, in some statements.
    let keys = (1..=400).chain(100_001..=100_400).collect::<Vec<i64>>();
    let schema = table.schema().project(&[0]).unwrap();
    let keys = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(keys))]).unwrap();
    let differing = while_money_moves(&server, database, async |_| {
        let mut differing = 0;
        for _ in 0..LOOKUPS {
            let cx = ReadContext::detached();
            let lookup = table.lookup().unwrap();
            let stream = lookup.get(&wanted, 0, keys.clone(), &cx).await.unwrap();
            let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
            assert_eq!(cx.metrics.requests.value(), 2);
            let sum: i64 = batches.iter().flat_map(|batch| longs(batch, "balance")).sum();
            differing += usize::from(sum != MONEY);
        }
        differing
    })
    .await;
    assert_eq!(differing, 0);
}

/// Runs `work` beside two writers; `work` may ask how many transfers there were so far. Others read the server's status all
/// the time, from snapshots of their own: the server keeps the moment it tells in one place for all sessions.
async fn while_money_moves<T>(
    server: &Server,
    database: &str,
    mut work: impl AsyncFnMut(&dyn Fn() -> usize) -> T,
) -> T {
    const READERS: usize = 8;
    let _commits = commits().await;
    let transfers = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut beside = Vec::new();
    for writer in 0..2_i64 {
        let (mut admin, database) = (server.admin().await, database.to_owned());
        let (transfers, over) = (Arc::clone(&transfers), Arc::clone(&over));
        beside.push(tokio::spawn(async move {
            let mut number = writer * 31;
            while !over.load(Ordering::SeqCst) {
                number += 1;
                let done = transfer(&mut admin, &database, 1 + number * 7 % 400, 1 + number * 13 % 400).await;
                transfers.fetch_add(usize::from(done), Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }
    for _ in 0..READERS {
        let (mut admin, over) = (server.admin().await, Arc::clone(&over));
        beside.push(tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                for statement in [
                    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
                    "SHOW STATUS LIKE 'binlog%'",
                    "SHOW STATUS LIKE 'binlog%'",
                    "COMMIT",
                ] {
                    admin.query_drop(statement).await.unwrap();
                }
            }
        }));
    }
    let count = || transfers.load(Ordering::SeqCst);
    let result = work(&count).await;
    over.store(true, Ordering::SeqCst);
    for beside in beside {
        beside.await.unwrap();
    }
    assert!(count() > 0);
    result
}

/// Moves money between two accounts, and the first of them to the other end of the table or back. `false` when the writers
/// stood in each other's way.
async fn transfer(admin: &mut Conn, database: &str, from: i64, to: i64) -> bool {
    let place = "id MOD 100000";
    for statement in [
        "START TRANSACTION".to_owned(),
        format!("UPDATE {database}.accounts SET balance = balance - 7 WHERE id IN ({from}, {from} + 100000)"),
        format!("UPDATE {database}.accounts SET balance = balance + 7 WHERE id IN ({to}, {to} + 100000)"),
        format!(
            "UPDATE {database}.accounts SET id = IF(id > 100000, {place}, id + 100000) \
             WHERE id IN ({from}, {from} + 100000)"
        ),
        "COMMIT".to_owned(),
    ] {
        match admin.query_drop(statement).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if error.code == 1213 => {
                admin.query_drop("ROLLBACK").await.unwrap();
                return false;
            }
            Err(error) => panic!("{error}"),
        }
    }
    true
}
