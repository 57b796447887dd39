//! TPC-H: the tables, where a test places them, the queries and the answers of an independent engine.

mod answer;
mod generate;
mod place;

pub use answer::{Answer, answer, query, query_names};
pub use generate::{TABLES, batches, schema};
pub use place::{Placement, Tpch};
