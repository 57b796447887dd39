//! What the demo prints when its server is ready: how to connect, and three queries to paste.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A query to paste.
struct Example {
    /// What it shows.
    shows: &'static str,
    sql: &'static str,
}

const EXAMPLES: [Example; 3] = [
    Example {
        shows: "Three kinds of source in one statement: order lines in Parquet, customers in SQLite, suppliers in the \
                embedded store.",
        sql: "SELECT n.n_name AS nation, count(*) AS lines, sum(l.l_extendedprice * (1 - l.l_discount)) AS revenue
FROM lake.lineitem l
JOIN lake.orders o ON o.o_orderkey = l.l_orderkey
JOIN shop.customer c ON c.c_custkey = o.o_custkey
JOIN shop.nation n ON n.n_nationkey = c.c_nationkey
JOIN kv.supplier s ON s.s_suppkey = l.l_suppkey AND s.s_nationkey = n.n_nationkey
WHERE o.o_orderdate >= DATE '1995-01-01' AND o.o_orderdate < DATE '1996-01-01'
GROUP BY n.n_name ORDER BY revenue DESC LIMIT 5;",
    },
    Example {
        shows: "No more rows move than the query needs: SQLite and the embedded store are asked for keys, not scanned. \
                Look at \"lookup_keys\" and at the rows \
                of each scan.",
        sql: "EXPLAIN ANALYZE
SELECT p.p_name, ps.ps_availqty, ps.ps_supplycost
FROM kv.supplier s
JOIN shop.partsupp ps ON ps.ps_suppkey = s.s_suppkey
JOIN kv.part p ON p.p_partkey = ps.ps_partkey
WHERE s.s_name = 'Supplier#000000007';",
    },
    Example {
        shows: "A pushdown never changes an answer: with and without the first line, which has everything read and filtered \
                here, the rows are the same.",
        sql: "SET pushdown = off;
SELECT c.c_mktsegment, count(*) AS customers, sum(c.c_acctbal) AS balance
FROM shop.customer c
JOIN shop.nation n ON n.n_nationkey = c.c_nationkey
WHERE n.n_name = 'FRANCE' AND c.c_acctbal > 0
GROUP BY c.c_mktsegment ORDER BY c.c_mktsegment;
SET pushdown = on;",
    },
];

/// The text for a terminal.
pub(super) fn welcome(address: SocketAddr, folder: &Path, took: Duration, temporary: bool) -> String {
    let kept = match temporary {
        true => "removed at the end",
        false => "kept for the next time",
    };
    let mut text = format!(
        "Ready after {:.1} s. Data in {} ({kept}).\n\n    psql -h {} -p {} -U demo causeway\n",
        took.as_secs_f64(),
        folder.display(),
        address.ip(),
        address.port()
    );
    for (number, example) in EXAMPLES.iter().enumerate() {
        text.push_str(&format!("\n{}. {}\n\n", number + 1, example.shows));
        for line in example.sql.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text.push_str("\nSELECT * FROM system.catalogs; lists the sources. Ctrl-C ends the demo.");
    text
}
