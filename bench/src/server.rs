//! The server itself: an idle one's memory, and how soon the demo answers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::{Server, binary};
use tokio::process::Command;

use crate::clock::{Measure, median, say};

/// A federated query over the demo's three catalogs.
const DEMO_QUERY: &str = "SELECT count(*) FROM lake.lineitem l JOIN shop.customer c ON c.c_custkey = l.l_orderkey \
                          JOIN kv.part p ON p.p_partkey = l.l_partkey";

pub(crate) async fn measure(measure: &Measure) -> Result<()> {
    let server = Server::start(&Config::new())?;
    let client = server.connect().await?;
    client.query("SELECT 1").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("idle server: {} MiB resident", server.memory_bytes()? >> 20);

    let mut times = Vec::new();
    for _ in 0..measure.rounds {
        let folder = std::env::temp_dir().join(format!("causeway-bench-demo-{}", std::process::id()));
        let start = Instant::now();
        let output = Command::new(binary()?)
            .args(["demo", "--dir"])
            .arg(&folder)
            .args(["--query", DEMO_QUERY])
            .output()
            .await?;
        times.push(start.elapsed());
        std::fs::remove_dir_all(&folder)?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    say("demo from nothing to its first answer", median(times));
    Ok(())
}
