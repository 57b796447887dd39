//! MySQL: a scan of orders beside the server's own client, and a lookup by key.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use causeway_mysql::MySqlOptions;
use causeway_spi::{ConnectorOptions, Execution, ReadContext, Scan, TableName};
use causeway_sql_tests::raw_client::RawClient;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use causeway_sql_tests::tpch::{Placement, Tpch};
use futures::TryStreamExt;
use futures::future::try_join_all;
use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::clock::{Measure, say, say_ratio};

pub(crate) async fn measure(services: &Services, measure: &Measure) -> Result<()> {
    let data = Tpch::load(services, Placement::OrdersInMySql, measure.scale).await?;
    let server = Server::start(&data.config())?;
    let raw = Mutex::new(RawClient::connect(server.port()).await?);
    let sql = format!("SELECT * FROM {}", data.table("orders"));
    let quick = || mysql_quick(&services.mysql_url, data.name());

    let (leaf, client) = measure
        .pair(|| read_leaf(&services.mysql_url, data.name()), quick)
        .await?;
    say_ratio(
        "mysql scan of orders, leaf to Arrow",
        leaf,
        "mysql --quick",
        client,
    );
    let over_wire = || async {
        let mut raw = raw.lock().await;
        raw.send_query(&sql).await?;
        let drained = raw.drain(u64::MAX).await?;
        ensure!(drained.complete, "the answer is not complete");
        Ok(())
    };
    let (wire, client) = measure.pair(over_wire, quick).await?;
    say_ratio(
        "mysql scan of orders, over the wire",
        wire,
        "mysql --quick",
        client,
    );

    let client = server.connect().await?;
    let point = format!("SELECT * FROM {} WHERE o_orderkey = 4160", data.table("orders"));
    client.query(&point).await?;
    let lookup = || async { client.query(&point).await.map(|_| ()) };
    let points = Measure {
        rounds: measure.rounds * 40,
        ..*measure
    };
    say(
        "mysql, one row by key over the wire, median",
        points.one(lookup).await?,
    );
    Ok(())
}

/// The connector alone: every column of every row to Arrow, then dropped. All splits at once, as the leaf reads them.
async fn read_leaf(url: &str, database: &str) -> Result<()> {
    let options = MySqlOptions::deserialize(MapDeserializer::<_, Error>::new([("url", url)].into_iter()))?;
    let connector = options.open("shop")?;
    let name = TableName::new("shop", database, "orders");
    let table = connector.table(&name).await?.context("no such table")?;
    let schema = table.schema();
    let scan = Scan {
        projection: (0..schema.fields().len()).collect(),
        schema,
        filters: Vec::new(),
        limit: None,
    };
    let cx = ReadContext {
        execution: Some(Execution::default()),
        ..ReadContext::detached()
    };
    let splits = table.splits(&scan).await?.into_iter().map(|split| {
        let (table, scan, cx) = (Arc::clone(&table), scan.clone(), cx.clone());
        tokio::spawn(async move {
            let mut rows = 0;
            let mut stream = table.read(&scan, &split, &cx).await?;
            while let Some(batch) = stream.try_next().await? {
                rows += batch.num_rows();
            }
            anyhow::Ok(rows)
        })
    });
    let mut rows = 0;
    for split in try_join_all(splits).await? {
        rows += split?;
    }
    ensure!(rows > 0, "no rows");
    Ok(())
}

/// The server's own client, which streams the same rows and writes them away.
async fn mysql_quick(url: &str, database: &str) -> Result<()> {
    let place = url.rsplit('@').next().context("no address in the URL")?;
    let (host, port) = place
        .trim_end_matches('/')
        .split_once(':')
        .context("no port in the URL")?;
    let status = Command::new("mariadb")
        .args([
            "--no-defaults",
            "--quick",
            "-N",
            "-B",
            "-uroot",
            "-h",
            host,
            "-P",
            port,
        ])
        .args(["-e", "SELECT * FROM orders", database])
        .stdout(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "the client failed");
    Ok(())
}
