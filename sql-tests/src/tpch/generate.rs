//! The tables as Arrow batches, from the generator of the TPC.

use anyhow::{Result, bail};
use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

use crate::loaders::Batches;

/// The eight tables.
pub const TABLES: [&str; 8] = [
    "lineitem", "orders", "customer", "nation", "region", "partsupp", "part", "supplier",
];

/// The rows of part `part` (from 1) of `parts` of a table at a scale.
pub fn batches(table: &str, scale: f64, part: i32, parts: i32) -> Result<Batches> {
    let reader = reader(table, scale, part, parts)?;
    Ok(Box::new(reader.map(|batch| Ok(batch?))))
}

/// The columns of a table.
pub fn schema(table: &str) -> Result<SchemaRef> {
    Ok(reader(table, 0.01, 1, 1)?.schema())
}

fn reader(table: &str, scale: f64, part: i32, parts: i32) -> Result<Box<dyn RecordBatchReader + Send>> {
    Ok(match table {
        "lineitem" => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, part, parts))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, part, parts))),
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, part, parts))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, part, parts))),
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, part, parts))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, part, parts))),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, part, parts))),
        _ => bail!("TPC-H has no table {table}"),
    })
}
