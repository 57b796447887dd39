//! Operators above the scans of tables that a source may compute itself: what it is asked, and what it answers.
//!
//! A source that computes an operator gives a table in its place ([`Operators::derive`]): the same leaf reads it, filters
//! and limits are pushed to it by the same laws, and a further operator may be derived from it. So a sub-plan grows from
//! the bottom, one operator at a time, and ends at the first one that the source would compute otherwise. A join takes the
//! place of two tables of one source.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use crate::connector::Table;
use crate::filter::{Pushdown, sql_text};
use crate::scan::Scan;

/// A table whose source computes operators above its scans.
pub trait Operators: Any + Send + Sync {
    /// The table that stands for `operator` over `scan`: exactly the rows that our engine would compute, in the operator's
    /// types. `scan` is of this table and all its filters are exact; its limit, if it has one, comes before the operator.
    ///
    /// Errors: why the source does not compute it as our engine would, or why that would cost more than reading the scan.
    fn derive(&self, scan: &Scan, operator: &Operator) -> std::result::Result<Derived, Cow<'static, str>>;

    /// Whether the table of `other` is of the same source, so that it can be asked for joins of the two.
    fn shares_source(&self, other: &dyn Operators) -> bool {
        let _ = other;
        false
    }

    /// What a user can do about a `reason` of [`Operators::derive`], as a sentence.
    fn advice(&self, reason: &str) -> Option<&'static str> {
        let _ = reason;
        None
    }
}

/// An operator over the rows of a scan. Its expressions are over the unqualified columns of the scanned table.
#[derive(Debug, Clone)]
pub enum Operator {
    /// GROUP BY, DISTINCT, or aggregates of all rows.
    Aggregate(Aggregation),
    /// The first rows in an order.
    TopN(TopN),
    /// A join with another table of the same source.
    Join(Join),
    /// The rows of other tables of the same source as well.
    Union(Union),
}

/// Rows in groups, one row a group; without group keys always one row.
#[derive(Debug, Clone)]
pub struct Aggregation {
    /// The group keys: NULL is a value as any other.
    pub groups: Vec<Expr>,
    /// What is computed of each group.
    pub aggregates: Vec<Aggregate>,
    /// The result: the group keys, then the aggregates, in our engine's types.
    pub schema: SchemaRef,
}

/// One aggregate of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// What is computed.
    pub function: AggregateFunction,
    /// Of what; `None` for the number of rows, and only for that.
    pub argument: Option<Expr>,
    /// Whether equal values count once.
    pub distinct: bool,
}

/// The aggregates that sources share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// How many rows there are, or how many of them have a value: int8.
    Count,
    /// The sum of the values; NULL where there is none.
    Sum,
    /// The least value; NULL where there is none.
    Min,
    /// The greatest value; NULL where there is none.
    Max,
}

/// Why no source is asked for sums and averages of floats.
pub const FLOAT_SUM_REASON: &str = "the sum of floats depends on the order of rows";

/// The first `fetch` rows of a scan in an order, with the columns of the scan. Rows that are equal in it are any of them.
#[derive(Debug, Clone)]
pub struct TopN {
    /// The order, the first key first.
    pub order: Vec<SortKey>,
    /// How many rows.
    pub fetch: usize,
}

/// One key of an order.
#[derive(Debug, Clone)]
pub struct SortKey {
    /// What is compared.
    pub expr: Expr,
    /// Whether the least value comes first.
    pub ascending: bool,
    /// Whether NULLs come before all values, whatever the direction.
    pub nulls_first: bool,
}

/// A join of a scan, the left side, with the scan of another table of the same source ([`Operators::shares_source`]).
#[derive(Debug, Clone)]
pub struct Join {
    /// The right side's table.
    pub right: Arc<dyn Table>,
    /// The right side's scan, all of whose filters are exact; its limit, if it has one, comes before the join.
    pub right_scan: Scan,
    /// Which rows it gives.
    pub kind: JoinKind,
    /// The columns of `condition`: those of the left scan, then those of the right one, under names of their own.
    pub columns: SchemaRef,
    /// What holds of two rows that meet: all of it. A comparison with NULL is not true.
    pub condition: Vec<Expr>,
    /// Whether its rows are moved; otherwise an operator above it is sent as well, and answers whether that is worth it.
    pub moved: bool,
    /// The result: `columns`, or those of the left scan only, nullable where the join makes them so.
    pub schema: SchemaRef,
}

/// The joins that sources share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Every two rows that meet.
    Inner,
    /// These, and the rows of the left side that meet none, with NULLs.
    Left,
    /// The rows of the left side that meet at least one, once each.
    Semi,
    /// The rows of the left side that meet none.
    Anti,
}

/// The rows of a scan, then those of others of the same source ([`Operators::shares_source`]), each as often as it is there.
#[derive(Debug, Clone)]
pub struct Union {
    /// The columns, over those of the table that is asked.
    pub outputs: Vec<Expr>,
    /// The other scans.
    pub others: Vec<UnionPart>,
    /// The result: as many columns as each part has outputs, in our engine's types.
    pub schema: SchemaRef,
}

/// One of the scans of a union.
#[derive(Debug, Clone)]
pub struct UnionPart {
    /// The table.
    pub table: Arc<dyn Table>,
    /// Its scan, all of whose filters are exact; its limit, if it has one, comes before the union.
    pub scan: Scan,
    /// The columns, over those of the table.
    pub outputs: Vec<Expr>,
}

/// A table that stands for an operator over a scan, and why it holds the same rows.
#[derive(Debug, Clone)]
pub struct Derived {
    /// The table.
    pub table: Arc<dyn Table>,
    /// The reason, as a fragment a user understands.
    pub reason: Cow<'static, str>,
}

/// An operator with the source's answer, for EXPLAIN.
#[derive(Debug, Clone)]
pub struct OperatorNote {
    /// The operator as a user would write it.
    pub operator: String,
    /// The verdict: Exact or Declined.
    pub pushdown: Pushdown,
}

impl AggregateFunction {
    /// The aggregate that our engine calls `name`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "sum" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            _ => return None,
        })
    }
}

impl fmt::Display for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        })
    }
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "join",
            Self::Left => "left join",
            Self::Semi => "semi join",
            Self::Anti => "anti join",
        })
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        match &self.argument {
            Some(argument) => write!(f, "{}({distinct}{})", self.function, sql_text(argument)),
            None => write!(f, "{}(*)", self.function),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate(Aggregation {
                groups, aggregates, ..
            }) => {
                let mut parts: Vec<String> = aggregates.iter().map(ToString::to_string).collect();
                if !groups.is_empty() {
                    let keys: Vec<String> = groups.iter().map(sql_text).collect();
                    parts.push(format!("group by {}", keys.join(", ")));
                }
                f.write_str(&parts.join(", "))
            }
            Self::TopN(TopN { order, fetch }) => {
                let keys: Vec<String> = order.iter().map(ToString::to_string).collect();
                write!(f, "order by {} limit {fetch}", keys.join(", "))
            }
            Self::Join(Join {
                right,
                kind,
                condition,
                ..
            }) => {
                let condition: Vec<String> = condition.iter().map(sql_text).collect();
                let table = &right.name().table;
                match condition.is_empty() {
                    true => write!(f, "{kind} {table}"),
                    false => write!(f, "{kind} {table} on {}", condition.join(" and ")),
                }
            }
            Self::Union(Union { others, .. }) => {
                let tables: Vec<&str> = others
                    .iter()
                    .map(|part| part.table.name().table.as_str())
                    .collect();
                write!(f, "union all {}", tables.join(", "))
            }
        }
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ascending { "" } else { " desc" };
        let nulls = match (self.ascending, self.nulls_first) {
            (true, true) => " nulls first",
            (false, false) => " nulls last",
            _ => "",
        };
        write!(f, "{}{direction}{nulls}", sql_text(&self.expr))
    }
}
