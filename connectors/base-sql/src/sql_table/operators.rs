//! The tables that stand for operators above tables of one source, as long as the laws and the estimates allow it.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use causeway_spi::{Derived, Join, JoinKind, Operator, Operators, Result, Scan, TableStatistics, Union};
use datafusion::logical_expr::Expr;
use tokio::sync::OnceCell;

use super::SqlTable;
use crate::backend::SqlBackend;
use crate::estimate::{Side, Sides, aggregated, check_saving, joined, limited, passed_on, united_statistics};
use crate::law::advice::operator_advice;
use crate::law::joins::{joined_profiles, meets};
use crate::law::operators::{Columns, Computed};
use crate::law::unions::united;
use crate::profile::ColumnProfile;
use crate::remote::{RemoteSelect, RemoteSource};

/// Most literals below an operator that are sent.
const DERIVED_VALUES_MAX: usize = 4_000;

/// Most tables of one statement: MySQL joins 61, SQLite 64, and both take long to plan as many.
const TABLES_MAX: usize = 16;

/// What a table is made of that stands for an operator.
struct Computation {
    source: RemoteSource,
    schema: SchemaRef,
    profiles: Vec<ColumnProfile>,
    statistics: TableStatistics,
    keys: Vec<Vec<usize>>,
    apart_bytes: Option<u64>,
    reason: Cow<'static, str>,
}

impl<B: SqlBackend> Operators for SqlTable<B> {
    fn advice(&self, reason: &str) -> Option<&'static str> {
        operator_advice(reason)
    }

    fn derive(&self, scan: &Scan, operator: &Operator) -> Result<Derived, Cow<'static, str>> {
        let below = self.select(scan).map_err(|error| error.message().to_owned())?;
        let columns = Columns {
            schema: &self.schema,
            profiles: &self.profiles,
            dialect: self.backend.dialect(),
        };
        let (computed, schema, statistics) = match operator {
            Operator::Aggregate(aggregation) => {
                let statistics = aggregated(&self.statistics, scan, aggregation)?;
                self.check_saving(&statistics)?;
                (
                    columns.aggregate(below, aggregation)?,
                    Arc::clone(&aggregation.schema),
                    statistics,
                )
            }
            Operator::TopN(top) => {
                let statistics = limited(&self.statistics, scan, top.fetch);
                self.check_saving(&statistics)?;
                (
                    columns.first(below, scan, top)?,
                    scan.projected_schema(),
                    statistics,
                )
            }
            Operator::Join(join) => return self.join(below, scan, join),
            Operator::Union(union) => return self.union(below, scan, union),
        };
        let Computed {
            select,
            profiles,
            reason,
        } = computed;
        self.derived(Computation {
            source: RemoteSource::Query(Box::new(select)),
            schema,
            profiles,
            statistics,
            keys: Vec::new(),
            apart_bytes: None,
            reason,
        })
    }

    fn shares_source(&self, other: &dyn Operators) -> bool {
        self.partner(other).is_some()
    }
}

impl<B: SqlBackend> SqlTable<B> {
    /// The table of `other`, if the same backend reads it.
    fn partner<'a>(&self, other: &'a dyn Operators) -> Option<&'a Self> {
        let other: &dyn Any = other;
        let other = other.downcast_ref::<Self>()?;
        Arc::ptr_eq(&self.backend, &other.backend).then_some(other)
    }

    /// The table that stands for `join` of `below`, which reads `scan`.
    fn join(&self, below: RemoteSelect, scan: &Scan, join: &Join) -> Result<Derived, Cow<'static, str>> {
        let right = join
            .right
            .operators()
            .and_then(|operators| self.partner(operators))
            .ok_or("the other table is of another source")?;
        if self.source.tables_len() + right.source.tables_len() > TABLES_MAX {
            return Err(format!("more than {TABLES_MAX} tables are not joined there").into());
        }
        let right_scan = &join.right_scan;
        let right_below = right
            .select(right_scan)
            .map_err(|error| error.message().to_owned())?;
        let sides = Sides {
            left: Side {
                statistics: &self.statistics,
                scan,
                keys: &self.keys,
            },
            right: Side {
                statistics: &right.statistics,
                scan: right_scan,
                keys: &right.keys,
            },
        };
        let left_profiles = joined_profiles(&self.profiles, scan)?;
        let right_profiles = joined_profiles(&right.profiles, right_scan)?;
        let left_count = left_profiles.len();
        let mut profiles = [left_profiles, right_profiles].concat();
        let (on, reason) = meets(join, &profiles)?;
        let statistics = joined(&sides, join.kind, &on, join.moved)?;
        let apart = |table: &Self, side: &Side<'_>| table.apart_bytes.or(side.bytes()).unwrap_or(0);
        let apart_bytes = apart(self, &sides.left).saturating_add(apart(right, &sides.right));

        let given = join.schema.fields().len();
        profiles.truncate(given);
        for (index, profile) in profiles.iter_mut().enumerate() {
            profile.nullable |= join.kind == JoinKind::Left && index >= left_count;
        }
        let mut keys = sides.left.joined_keys(0);
        if join.kind == JoinKind::Inner {
            keys.extend(sides.right.joined_keys(left_count));
        }
        // Other rows of a limited side might be read each time.
        if below.limit.is_some() || right_below.limit.is_some() {
            keys.clear();
        }
        let source = RemoteSource::Join {
            left: Box::new(without_row_id(below, scan)),
            right: Box::new(without_row_id(right_below, right_scan)),
            kind: join.kind,
            on,
        };
        self.derived(Computation {
            source,
            schema: Arc::clone(&join.schema),
            profiles,
            statistics,
            keys,
            apart_bytes: (!join.moved).then_some(apart_bytes),
            reason,
        })
    }

    /// The table that stands for `union`, of whose parts the first one is `below`, which reads `scan`.
    fn union(&self, below: RemoteSelect, scan: &Scan, union: &Union) -> Result<Derived, Cow<'static, str>> {
        let dialect = self.backend.dialect();
        let part = |table: &Self, below, outputs: &[Expr]| {
            let columns = Columns {
                schema: &table.schema,
                profiles: &table.profiles,
                dialect,
            };
            columns.part(below, outputs)
        };
        let (first, mut profiles) = part(self, below, &union.outputs)?;
        let mut selects = vec![first];
        let mut statistics = passed_on(&self.statistics, scan, &union.outputs);
        let mut apart_bytes = self.apart_bytes;
        for other in &union.others {
            let table = other
                .table
                .operators()
                .and_then(|operators| self.partner(operators))
                .ok_or("a table of it is of another source")?;
            let below = table
                .select(&other.scan)
                .map_err(|error| error.message().to_owned())?;
            let (select, others) = part(table, below, &other.outputs)?;
            profiles = united(&profiles, &others)?;
            selects.push(select);
            statistics = united_statistics(
                statistics,
                passed_on(&table.statistics, &other.scan, &other.outputs),
            );
            if let Some(bytes) = table.apart_bytes {
                apart_bytes = Some(apart_bytes.unwrap_or(0).saturating_add(bytes));
            }
        }
        let source = RemoteSource::Union(selects);
        if source.tables_len() > TABLES_MAX {
            return Err(format!("more than {TABLES_MAX} tables are not united there").into());
        }
        self.derived(Computation {
            source,
            schema: Arc::clone(&union.schema),
            profiles,
            statistics,
            keys: Vec::new(),
            apart_bytes,
            reason: "its parts have columns of one kind".into(),
        })
    }

    /// Whether `result` is worth computing of rows that would else be read apart, joined here.
    fn check_saving(&self, result: &TableStatistics) -> Result<(), Cow<'static, str>> {
        match self.apart_bytes {
            Some(apart) => check_saving(result, apart),
            None => Ok(()),
        }
    }

    /// A table of the rows that the source computes.
    fn derived(&self, computation: Computation) -> Result<Derived, Cow<'static, str>> {
        let Computation {
            source,
            schema,
            profiles,
            statistics,
            keys,
            apart_bytes,
            reason,
        } = computation;
        if source.values_len() > DERIVED_VALUES_MAX {
            return Err(format!("more than {DERIVED_VALUES_MAX} literals are not sent").into());
        }
        let table = Self {
            backend: Arc::clone(&self.backend),
            name: self.name.clone(),
            schema,
            profiles: profiles.into(),
            source,
            statistics: Arc::new(statistics),
            keys,
            row_ids: false,
            range_key: Err("the source computes an operator".into()),
            key_bounds: OnceCell::new(),
            apart_bytes,
        };
        Ok(Derived {
            table: Arc::new(table),
            reason,
        })
    }
}

/// The statement of a side of a join, with the columns of its scan only.
fn without_row_id(mut select: RemoteSelect, scan: &Scan) -> RemoteSelect {
    select.outputs.truncate(scan.projection.len());
    select.flattened()
}
