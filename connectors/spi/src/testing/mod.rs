//! The law harness: a pushdown never changes an answer, whichever source holds the table.
//!
//! A source's test loads a [`CanonicalTable`] of nasty data into the source and calls [`run_laws`] with the table it
//! got back. Thousands of generated queries are then run with pushdown on, with pushdown off and on an in-memory copy;
//! the first difference is minimised and shown as SQL with the seed that replays it.

mod canonical;
mod cells;
mod compare;
pub mod conformance;
mod contract;
mod court;
mod generate;
mod kind;
mod law;
mod literal;
mod numbers;
mod observe;
mod predicate;
mod query;
mod report;
mod shrink;
mod sides;
mod times;
mod values;

pub use canonical::{CanonicalTable, Column, ROWS, column, rare_columns, standard_columns};
pub use kind::{ColumnKind, TextKind, scalar_kinds};
pub use law::{LawOptions, LawSubject, ProviderOf, check_laws, run_laws};
pub use query::{Condition, FilterPlace, Join, JoinKind, Order, Output, Query};
pub use report::{LawReport, LawViolation, Shares};
