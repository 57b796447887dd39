//! Writes the TPC-H tables as Parquet files: `tpch-parquet SCALE FOLDER` makes `FOLDER/<table>/part-1.parquet`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use causeway_sql_tests::loaders::parquet_file;
use causeway_sql_tests::tpch::{TABLES, batches, schema};

const USAGE: &str = "usage: tpch-parquet SCALE FOLDER";
const ROW_GROUP_ROWS: usize = 122_880;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scale, folder] = arguments.as_slice() else {
        bail!(USAGE);
    };
    let scale: f64 = scale.parse().context(USAGE)?;
    for table in TABLES {
        let folder = PathBuf::from(folder).join(table);
        std::fs::create_dir_all(&folder)?;
        let file = parquet_file(schema(table)?, batches(table, scale, 1, 1)?, ROW_GROUP_ROWS)?;
        std::fs::write(folder.join("part-1.parquet"), file)?;
    }
    Ok(())
}
