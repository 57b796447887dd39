//! What planning takes: EXPLAIN of the 22 queries and of others beside plain DataFusion's plans of the same texts.

use std::time::Duration;

use anyhow::Result;
use causeway_sql_tests::client::Client;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use causeway_sql_tests::tpch::{Placement, Tpch, query};
use datafusion::prelude::SessionContext;

use crate::clock::{Measure, say_ratio};
use crate::files::names;
use crate::plain;

const TEN_TABLES: &str = "SELECT r.r_name, r2.r_name, count(*) FROM {lineitem} l \
    JOIN {orders} o ON o.o_orderkey = l.l_orderkey JOIN {customer} c ON c.c_custkey = o.o_custkey \
    JOIN {nation} n ON n.n_nationkey = c.c_nationkey JOIN {region} r ON r.r_regionkey = n.n_regionkey \
    JOIN {supplier} s ON s.s_suppkey = l.l_suppkey JOIN {nation} n2 ON n2.n_nationkey = s.s_nationkey \
    JOIN {region} r2 ON r2.r_regionkey = n2.n_regionkey JOIN {part} p ON p.p_partkey = l.l_partkey \
    JOIN {partsupp} ps ON ps.ps_partkey = p.p_partkey AND ps.ps_suppkey = s.s_suppkey \
    WHERE o.o_orderdate < DATE '1995-01-01' GROUP BY r.r_name, r2.r_name";

pub(crate) async fn measure(services: &Services, measure: &Measure) -> Result<()> {
    let data = Tpch::load(services, Placement::AllOnS3, measure.scale).await?;
    let server = Server::start(&data.config())?;
    let client = server.connect().await?;
    let session = plain::session(&services.s3, data.name()).await?;
    let measure = Measure {
        rounds: measure.rounds * 4,
        ..*measure
    };
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for name in names()? {
        let text = query(&name)?;
        // A query of two statements has a view.
        if text.to_lowercase().contains("create view") {
            continue;
        }
        let (first, second) = pair(&measure, &data, &client, &session, &text).await?;
        say_ratio(&format!("planning {name}"), first, "plain DataFusion", second);
        ours += first;
        theirs += second;
    }
    say_ratio("planning tpch on s3", ours, "plain DataFusion", theirs);

    let (first, second) = pair(&measure, &data, &client, &session, TEN_TABLES).await?;
    say_ratio("planning ten tables", first, "plain DataFusion", second);

    let keys: Vec<String> = (0..1_000).map(|key| (key * 7).to_string()).collect();
    let list = format!(
        "SELECT p_name FROM {{part}} WHERE p_partkey IN ({})",
        keys.join(", ")
    );
    let (first, second) = pair(&measure, &data, &client, &session, &list).await?;
    say_ratio("planning a list of 1,000", first, "plain DataFusion", second);
    Ok(())
}

/// The times of Causeway, over the wire, and of plain DataFusion, with everything that both keep of the files.
async fn pair(
    measure: &Measure,
    data: &Tpch,
    client: &Client,
    session: &SessionContext,
    text: &str,
) -> Result<(Duration, Duration)> {
    let (over_wire, plain_sql) = (format!("EXPLAIN {}", data.sql(text)), plain::sql(text));
    let causeway = || async { client.query(&over_wire).await.map(|_| ()) };
    let datafusion = || async {
        session.sql(&plain_sql).await?.create_physical_plan().await?;
        Ok(())
    };
    causeway().await?;
    datafusion().await?;
    measure.pair(causeway, datafusion).await
}
