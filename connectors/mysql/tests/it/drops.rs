//! A thousand streams dropped at random moments: no statement of anybody else is hit, nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway_spi::{Connector, ConnectorOptions, ReadContext};
use futures::StreamExt;
use mysql_async::prelude::Queryable;

use crate::fixture::{account, load, open, options, scan, server, try_read};

const DROPPERS: usize = 5;
const DROPS_EACH: usize = 200;
const INNOCENTS: usize = 2;
/// Of all innocents together; the droppers go on until there were as many.
const INNOCENT_READS: usize = 10;
const AT_WORK_FOR: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 4;
const GONE_WITHIN: Duration = Duration::from_secs(2);
const DATABASE: &str = "causeway_drops";

/// What is read: rows without end, a computation without rows, a short table, and a slow one.
const VIEWS: [&str; 4] = [
    "CREATE VIEW big AS SELECT seq AS id, REPEAT('x', 200) AS v FROM seq_1_to_100000000",
    "CREATE VIEW heavy AS SELECT COUNT(*) AS n FROM seq_1_to_10000000 a, seq_1_to_10000000 b
        WHERE a.seq * 7 % 11 = b.seq % 13",
    "CREATE VIEW short AS SELECT seq AS id FROM seq_1_to_10000",
    "CREATE VIEW slow AS SELECT seq AS id, SLEEP(0.002) AS z FROM seq_1_to_40",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_drops_interrupt_nobody_else() {
    let Some(server) = server() else { return };
    server.database(DATABASE, &VIEWS).await;
    let mut admin = server.admin().await;
    account(&mut admin, DATABASE, DATABASE).await;
    let place = server.url.split_once('@').unwrap().1;
    let mut options = options(&format!("mysql://{DATABASE}@{place}"));
    options.connections = CONNECTIONS;
    options.connection_wait = Duration::from_secs(120);
    // What a broken run leaves behind must not hold up the next one.
    options.statement_time_max = Duration::from_secs(60);
    let catalog = options.open("shop").unwrap();
    let before = connections_ever(&mut admin).await;

    let over = Arc::new(AtomicBool::new(false));
    let innocent_reads = Arc::new(AtomicUsize::new(0));
    let innocents: Vec<_> = (0..INNOCENTS)
        .map(|_| {
            tokio::spawn(read_in_peace(
                Arc::clone(&catalog),
                Arc::clone(&over),
                Arc::clone(&innocent_reads),
            ))
        })
        .collect();
    let watched = tokio::spawn(most_sessions(server.admin().await, Arc::clone(&over)));
    let droppers: Vec<_> = (0..DROPPERS)
        .map(|dropper| {
            tokio::spawn(drop_at_random(
                Arc::clone(&catalog),
                dropper,
                Arc::clone(&innocent_reads),
            ))
        })
        .collect();
    for dropper in droppers {
        dropper.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for innocent in innocents {
        innocent.await.unwrap();
    }
    let dropped = Instant::now();
    let left = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{DATABASE}' AND INFO LIKE '/* causeway drop-%'"
    );
    while admin.query_first::<u64, _>(&left).await.unwrap().unwrap() > 0 {
        assert!(dropped.elapsed() < GONE_WITHIN, "statements are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let most = watched.await.unwrap();
    assert!(most <= CONNECTIONS + 1, "{most} sessions at once");
    let opened = connections_ever(&mut admin)
        .await
        .zip(before)
        .map(|(after, before)| after - before);
    println!(
        "{} innocent reads, {opened:?} connections",
        innocent_reads.load(Ordering::SeqCst)
    );
    assert!(innocent_reads.load(Ordering::SeqCst) >= INNOCENT_READS);
    // A killed statement costs no connection: those of the pool, the control connection, and a few in doubt.
    assert!(opened.is_none_or(|opened| opened <= 20), "{opened:?} connections");
    catalog.ping().await.unwrap();
}

/// Reads whole tables, one after another: all rows, every time.
async fn read_in_peace(catalog: Arc<dyn Connector>, over: Arc<AtomicBool>, reads: Arc<AtomicUsize>) {
    let short = load(&catalog, DATABASE, "short").await;
    let slow = load(&catalog, DATABASE, "slow").await;
    while !over.load(Ordering::SeqCst) {
        for (table, rows) in [(&short, 10_000), (&slow, 40)] {
            let answer = try_read(table.as_ref(), &scan(table.as_ref())).await;
            let answer = answer.unwrap_or_else(|error| panic!("an innocent read: {error:?}"));
            assert_eq!(answer.num_rows(), rows);
            reads.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Drops [`DROPS_EACH`] streams, and more while nobody else has read much: how fast the droppers are does not decide
/// how much they disturb.
async fn drop_at_random(catalog: Arc<dyn Connector>, dropper: usize, innocent_reads: Arc<AtomicUsize>) {
    let mut tables = Vec::new();
    for name in ["big", "heavy", "short", "slow"] {
        tables.push(load(&catalog, DATABASE, name).await);
    }
    // A small generator of its own: the same moments in every run.
    let mut state = 88_172_645_463_325_252_u64 + dropper as u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let started = Instant::now();
    let enough = |number| number >= DROPS_EACH && innocent_reads.load(Ordering::SeqCst) >= INNOCENT_READS;
    for number in (0..).take_while(|&number| !enough(number)) {
        assert!(started.elapsed() < AT_WORK_FOR, "nobody else reads");
        let table = &tables[usize::try_from(random(4)).unwrap()];
        let cx = ReadContext {
            query_id: format!("drop-{dropper}-{number}").into(),
            batch_rows: 500,
            ..ReadContext::detached()
        };
        let mut stream = open(table.as_ref(), &scan(table.as_ref()), &cx).await.unwrap();
        let patience = Duration::from_micros(random(12_000));
        let batches = random(4);
        let _ = tokio::time::timeout(patience, async {
            for _ in 0..batches {
                match stream.next().await {
                    Some(batch) => assert!(batch.is_ok(), "{batch:?}"),
                    None => break,
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        })
        .await;
        drop(stream);
    }
}

/// The most sessions of the account that were seen at one moment.
async fn most_sessions(mut admin: mysql_async::Conn, over: Arc<AtomicBool>) -> usize {
    let count = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{DATABASE}'");
    let mut most = 0;
    while !over.load(Ordering::SeqCst) {
        most = most.max(admin.query_first::<usize, _>(&count).await.unwrap().unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    most
}

/// Connections that the account ever made; `None` when the server does not count them.
async fn connections_ever(admin: &mut mysql_async::Conn) -> Option<u64> {
    let counted: Option<u8> = admin.query_first("SELECT @@userstat").await.ok().flatten();
    counted.filter(|&on| on == 1)?;
    let count = format!(
        "SELECT CAST(COALESCE(SUM(TOTAL_CONNECTIONS), 0) AS UNSIGNED) FROM information_schema.USER_STATISTICS WHERE USER = '{DATABASE}'"
    );
    admin.query_first(count).await.unwrap()
}
