//! The rows of the TPC's generator as Arrow batches.

use arrow::array::RecordBatchReader;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

/// The batches of part `part` (from 1) of `parts` of a table.
pub(super) type Rows = Box<dyn RecordBatchReader + Send>;

/// One of the eight tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    LineItem,
    Orders,
    Customer,
    Nation,
    Region,
    PartSupp,
    Part,
    Supplier,
}

impl Table {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LineItem => "lineitem",
            Self::Orders => "orders",
            Self::Customer => "customer",
            Self::Nation => "nation",
            Self::Region => "region",
            Self::PartSupp => "partsupp",
            Self::Part => "part",
            Self::Supplier => "supplier",
        }
    }

    /// Part `part`, from 1, of `parts`.
    pub(super) fn rows(self, scale: f64, part: i32, parts: i32) -> Rows {
        match self {
            Self::LineItem => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, part, parts))),
            Self::Orders => Box::new(OrderArrow::new(OrderGenerator::new(scale, part, parts))),
            Self::Customer => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, part, parts))),
            Self::Nation => Box::new(NationArrow::new(NationGenerator::new(scale, part, parts))),
            Self::Region => Box::new(RegionArrow::new(RegionGenerator::new(scale, part, parts))),
            Self::PartSupp => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts))),
            Self::Part => Box::new(PartArrow::new(PartGenerator::new(scale, part, parts))),
            Self::Supplier => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, part, parts))),
        }
    }
}
