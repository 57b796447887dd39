//! Redis: a point read, joined keys, and a full scan beside a bare pipelined client.

use anyhow::{Result, ensure};
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use causeway_sql_tests::tpch::{Placement, Tpch};
use tokio::sync::Mutex;

use crate::clock::{Measure, say, say_ratio};

/// Keys in one page of a walk, and in one pipeline, of the bare client.
const PAGE_KEYS: usize = 1_000;

pub(crate) async fn measure(services: &Services, measure: &Measure) -> Result<()> {
    let data = Tpch::load(services, Placement::Mixed, measure.scale).await?;
    let server = Server::start(&data.config())?;
    let client = server.connect().await?;
    let part = data.table("part");

    let point = format!("SELECT * FROM {part} WHERE p_partkey = 4711");
    let read = || async { client.query(&point).await.map(|_| ()) };
    read().await?;
    let points = Measure {
        rounds: measure.rounds * 40,
        ..*measure
    };
    say(
        "redis, one row by key over the wire, median",
        points.one(read).await?,
    );

    let keys: Vec<String> = (1..=1_000).map(|key| (key * 2).to_string()).collect();
    let list = format!(
        "SELECT p_name FROM {part} WHERE p_partkey IN ({})",
        keys.join(", ")
    );
    let listed = || async {
        let found = client.query(&list).await?.rows.len();
        ensure!(found == 1_000, "{found} rows");
        Ok(())
    };
    listed().await?;
    let lists = Measure {
        rounds: measure.rounds * 4,
        ..*measure
    };
    say("redis, 1,000 keys of a list", lists.one(listed).await?);

    let join = format!(
        "SELECT count(p.p_name) FROM generate_series(1, 10000) AS k(key) JOIN {part} p ON p.p_partkey = k.key"
    );
    let joined = || async {
        let rows = client.query(&join).await?;
        ensure!(rows.lines() == ["10000"], "{:?}", rows.lines());
        Ok(())
    };
    joined().await?;
    say("redis, 10,000 keys joined", measure.one(joined).await?);

    let raw = Mutex::new(RawClient::connect(server.port()).await?);
    let scan = format!("SELECT * FROM {part}");
    let over_wire = || async {
        let mut raw = raw.lock().await;
        raw.send_query(&scan).await?;
        let drained = raw.drain(u64::MAX).await?;
        ensure!(drained.complete && drained.rows > 0, "{drained:?}");
        Ok(())
    };
    let prefix = format!("{}:part:", data.name());
    let (ours, bare) = measure
        .pair(over_wire, || bare_scan(&services.redis_url, &prefix))
        .await?;
    say_ratio(
        "redis, all rows of part over the wire",
        ours,
        "a bare pipelined client",
        bare,
    );
    Ok(())
}

/// Walks the keys and reads every field of each hash, one pipeline a page.
async fn bare_scan(url: &str, prefix: &str) -> Result<()> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (mut cursor, mut rows) = (0_u64, 0);
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(PAGE_KEYS)
            .query_async(&mut connection)
            .await?;
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.hgetall(key);
        }
        if !keys.is_empty() {
            let hashes: Vec<Vec<(Vec<u8>, Vec<u8>)>> = pipeline.query_async(&mut connection).await?;
            rows += hashes.len();
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    ensure!(rows > 0, "no rows");
    Ok(())
}
