//! The contract between Causeway and its sources.
//!
//! A connector implements [`Connector`] and [`Table`] (and [`Lookup`] where rows can be found by key, [`Writer`] where
//! the source can be written, [`Passthrough`] where it takes statements of its own language); it never
//! writes an `ExecutionPlan`. This crate owns the one translation to DataFusion ([`SourceTable`]) and the one leaf
//! operator ([`ScanExec`]), so that metrics, deadlines, limits, dynamic filters and schema checks live in one place.
//!
//! On a query's path: `server/query/plan` wraps each resolved [`Table`] in a [`SourceTable`]; DataFusion asks that for
//! verdicts and a scan; [`ScanExec`] calls [`Table::read`] or [`Lookup::get`] when it is polled.

mod connector;
mod deadline;
mod duration;
mod dynamic_keys;
mod error;
mod estimate;
mod figures;
mod filter;
mod filter_order;
mod join_order;
mod leaf_codec;
mod logical_rules;
mod lookup_join;
mod operator;
mod pacing;
mod passthrough;
mod physical_rules;
mod scan;
mod scan_exec;
mod secret;
mod settings;
mod source_table;
mod statistics;
mod subplan;
pub mod testing;
mod tries;
mod types;
mod view;
mod write;

pub use connector::{Connector, ConnectorOptions, Lookup, Table, TableName};
pub use deadline::{source_timeout, with_source_timeout};
pub use duration::{deserialize_duration, duration_text, parse_duration};
pub use dynamic_keys::{KeySet, join_keys};
pub use error::{ConnectorError, ErrorKind, Result};
pub use estimate::scan_rows;
pub use figures::{LeafFigures, Pruned, figures_of, leaf_reference};
pub use filter::{Filter, Pushdown, UNSIGNED_ZERO, Verdict, scalar_text};
pub use filter_order::cheap_conditions_first;
pub use leaf_codec::{plan_from_bytes, plan_to_bytes};
pub use logical_rules::{hidden, hidden_key, logical_rules};
pub use lookup_join::{LookupJoinExec, lookup_joins, refused_lookups};
pub use operator::{
    Aggregate, AggregateFunction, Aggregation, Derived, FLOAT_SUM_REASON, Join, JoinKind, Operator,
    OperatorNote, Operators, SortKey, TopN, Union, UnionPart,
};
pub use pacing::{paced_joins, unpaced};
pub use passthrough::Passthrough;
pub use physical_rules::physical_rules;
pub use scan::{BatchStream, Execution, ReadContext, ReadMetrics, Scan, ScanFilter, Split};
pub use scan_exec::{ScanExec, ScanMode};
pub use secret::Secret;
pub use settings::{LookupJoinLimits, ScanSettings, bound_key_lists, engine_settings};
pub use source_table::{ScanNote, ScanNotes, SourceTable};
pub use statistics::{ColumnEstimate, SourceEstimate, TableStatistics};
pub use subplan::push_operators;
pub use tries::{counting_tries, note_try};
pub use types::{canonical_type, check_canonical};
pub use view::View;
pub use write::{
    ROW_LOCATOR, Savepoint, TEXT_LENGTH, TableDefinition, ViewDefinition, WriteContext, WriteTransaction,
    Writer, updated_schema,
};
