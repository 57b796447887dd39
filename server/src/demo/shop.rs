//! Catalog `shop`: what a shop's application would keep in a SQLite file, with its keys and indexes.

use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rusqlite::{Connection, params_from_iter};

use super::error::DemoError;
use super::fill::{Made, go_on};
use super::place::Place;
use super::tables::Table;

const TABLES: [(Table, &str); 4] = [
    (
        Table::Region,
        "r_regionkey INTEGER PRIMARY KEY, r_name TEXT NOT NULL, r_comment TEXT",
    ),
    (
        Table::Nation,
        "n_nationkey INTEGER PRIMARY KEY, n_name TEXT NOT NULL, n_regionkey BIGINT NOT NULL, n_comment TEXT",
    ),
    (
        Table::Customer,
        "c_custkey INTEGER PRIMARY KEY, c_name TEXT NOT NULL, c_address TEXT NOT NULL, c_nationkey BIGINT NOT NULL, \
         c_phone TEXT NOT NULL, c_acctbal NUMERIC(15,2) NOT NULL, c_mktsegment TEXT NOT NULL, c_comment TEXT",
    ),
    (
        Table::PartSupp,
        "ps_partkey BIGINT NOT NULL, ps_suppkey BIGINT NOT NULL, ps_availqty INT4 NOT NULL, \
         ps_supplycost NUMERIC(15,2) NOT NULL, ps_comment TEXT, PRIMARY KEY (ps_partkey, ps_suppkey)",
    ),
];
const INDEXES: &str = "CREATE INDEX customer_nation ON customer (c_nationkey);
    CREATE INDEX partsupp_supplier ON partsupp (ps_suppkey);
    ANALYZE";
/// The file can be made again: nothing is lost with it.
const FAST: &str = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN";

pub(super) fn make(place: &Place, stopping: &AtomicBool) -> Result<Made, DemoError> {
    let failed = |source| DemoError::Sqlite {
        path: place.shop(),
        source,
    };
    let connection = Connection::open(place.shop()).map_err(failed)?;
    connection.execute_batch(FAST).map_err(failed)?;
    let mut made = Made::new();
    for (table, columns) in TABLES {
        let name = table.name();
        connection
            .execute_batch(&format!("CREATE TABLE {name} ({columns})"))
            .map_err(failed)?;
        let batches = table.rows(place.scale(), 1, 1);
        let places = vec!["?"; batches.schema().fields().len()].join(", ");
        let mut insert = connection
            .prepare(&format!("INSERT INTO {name} VALUES ({places})"))
            .map_err(failed)?;
        let mut rows = 0;
        for batch in batches {
            go_on(stopping)?;
            let texts = |source| DemoError::Rows { table: name, source };
            for row in cells(&batch.map_err(texts)?).map_err(texts)? {
                insert.execute(params_from_iter(row)).map_err(failed)?;
                rows += 1;
            }
        }
        made.push((name, rows));
    }
    connection.execute_batch(INDEXES).map_err(failed)?;
    connection.execute_batch("COMMIT").map_err(failed)?;
    Ok(made)
}

/// The rows as texts: the columns' affinities make numbers of them.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, arrow::error::ArrowError> {
    let options = FormatOptions::default();
    let columns = batch
        .columns()
        .iter()
        .map(|column| Ok((column, ArrayFormatter::try_new(column, &options)?)))
        .collect::<Result<Vec<_>, arrow::error::ArrowError>>()?;
    let cells = |row: usize| {
        let cell = |(column, formatter): &(&arrow::array::ArrayRef, ArrayFormatter<'_>)| {
            column.is_valid(row).then(|| formatter.value(row).to_string())
        };
        columns.iter().map(cell).collect()
    };
    Ok((0..batch.num_rows()).map(cells).collect())
}
