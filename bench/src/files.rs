//! Parquet on S3: the 22 queries beside plain DataFusion, and all rows of lineitem over the wire.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use causeway_sql_tests::client::Client;
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use causeway_sql_tests::tpch::{Placement, Tpch, query, query_names};
use futures::TryStreamExt;

use crate::clock::{Measure, median, say, say_ratio, timed};
use crate::plain;

/// The queries of the benchmark, without the variants that the tests have for small scales.
pub(crate) fn names() -> Result<Vec<String>> {
    Ok(query_names()?
        .into_iter()
        .filter(|name| name.len() == 3)
        .collect())
}

pub(crate) async fn tpch(services: &Services, measure: &Measure) -> Result<()> {
    let data = Tpch::load(services, Placement::AllOnS3, measure.scale).await?;
    let server = Server::start(&data.config())?;
    let client = server.connect().await?;
    let session = plain::session(&services.s3, data.name()).await?;
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for name in names()? {
        let text = query(&name)?;
        let (over_wire, plain_sql) = (data.sql(&text), plain::sql(&text));
        let causeway = || drain(&client, &over_wire);
        let datafusion = || async {
            let stream = session.sql(&plain_sql).await?.execute_stream().await?;
            let batches: Vec<_> = stream.try_collect().await?;
            ensure!(batches.iter().all(|batch| batch.num_columns() > 0), "no columns");
            Ok(())
        };
        // Both caches are warm.
        causeway().await?;
        datafusion().await?;
        let (first, second) = measure.pair(causeway, datafusion).await?;
        say_ratio(&name, first, "plain DataFusion", second);
        ours += first;
        theirs += second;
    }
    say_ratio("tpch on s3, 22 queries", ours, "plain DataFusion", theirs);
    Ok(())
}

async fn drain(client: &Client, sql: &str) -> Result<()> {
    client.query(sql).await.map(|_| ())
}

pub(crate) async fn rows(services: &Services, measure: &Measure) -> Result<()> {
    let data = Tpch::load(services, Placement::AllOnS3, measure.scale).await?;
    let server = Server::start(&data.config())?;
    let sql = format!("SELECT * FROM {}", data.table("lineitem"));
    let mut client = RawClient::connect(server.port()).await?;
    client.send_query(&format!("{sql} LIMIT 1")).await?;
    client.drain(u64::MAX).await?;
    for protocol in ["simple", "extended, binary"] {
        let before = server.memory_bytes()?;
        let (mut first_rows, mut times) = (Vec::new(), Vec::new());
        let mut total = 0;
        for _ in 0..measure.rounds {
            let start = Instant::now();
            match protocol {
                "simple" => client.send_query(&sql).await?,
                _ => client.send_extended(&sql).await?,
            }
            client.drain(1).await?;
            first_rows.push(start.elapsed());
            let rest = client.drain(u64::MAX).await?;
            times.push(start.elapsed());
            total = rest.rows + 1;
        }
        let time = median(times);
        say(&format!("select * ({protocol}), first row"), median(first_rows));
        println!(
            "select * ({protocol}): {total} rows, {:.0} rows/s, server grew by {} MiB",
            f64::from(u32::try_from(total)?) / time.as_secs_f64(),
            server.memory_bytes_peak()?.saturating_sub(before) >> 20
        );
    }
    let count = format!(
        "SELECT count(*) FROM {} WHERE l_quantity < 0",
        data.table("lineitem")
    );
    let client = server.connect().await?;
    say(
        "count(*) that reads one column",
        timed(drain(&client, &count)).await?,
    );
    Ok(())
}
