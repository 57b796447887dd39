//! What is below an operator.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::catalog::default_table_source::{DefaultTableSource, provider_as_source};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, Result};
use datafusion::logical_expr::logical_plan::{Projection, TableScan, TableScanBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::{DERIVED, Offer};
use crate::filter::Pushdown;
use crate::operator::{Derived, Operator, OperatorNote};
use crate::scan::Scan;
use crate::source_table::SourceTable;

/// The scan below an operator, and what the columns in between are in terms of the scanned table.
pub(super) struct Input<'a> {
    pub(super) scan: &'a TableScan,
    pub(super) source: &'a SourceTable,
    pub(super) columns: HashMap<Column, Expr>,
    /// Whether a filter between is checked here.
    filtered: bool,
}

/// The reference to a table of a source that `scan` reads.
pub(super) fn source_of(scan: &TableScan) -> Option<&SourceTable> {
    let provider = scan.source.as_ref().downcast_ref::<DefaultTableSource>()?;
    provider.table_provider.as_ref().downcast_ref::<SourceTable>()
}

impl<'a> Input<'a> {
    /// The scan below `plan`, where nothing but names, computed columns and filters are between, and its source computes
    /// operators.
    pub(super) fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let source = source_of(scan)?;
                source.operators()?;
                let columns = scan.projected_schema.iter().map(|(qualifier, field)| {
                    let column = Column::new_unqualified(field.name());
                    (
                        Column::new(qualifier.cloned(), field.name()),
                        Expr::Column(column),
                    )
                });
                Some(Self {
                    scan,
                    source,
                    columns: columns.collect(),
                    filtered: false,
                })
            }
            LogicalPlan::Filter(filter) => Some(Self {
                filtered: true,
                ..Self::of(&filter.input)?
            }),
            LogicalPlan::SubqueryAlias(alias) => {
                let input = Self::of(&alias.input)?;
                let below = alias.input.schema().iter();
                let columns = alias.schema.iter().zip(below).map(|(here, (qualifier, field))| {
                    let inner = input
                        .columns
                        .get(&Column::new(qualifier.cloned(), field.name()))?;
                    Some((Column::new(here.0.cloned(), here.1.name()), inner.clone()))
                });
                let columns = columns.collect::<Option<_>>()?;
                Some(Self { columns, ..input })
            }
            LogicalPlan::Projection(projection) => {
                let input = Self::of(&projection.input)?;
                let columns = projection.schema.iter().zip(&projection.expr);
                let columns = columns.map(|((qualifier, field), expr)| {
                    let column = Column::new(qualifier.cloned(), field.name());
                    Some((column, input.inlined(expr)?))
                });
                let columns = columns.collect::<Option<_>>()?;
                Some(Self { columns, ..input })
            }
            _ => None,
        }
    }

    /// `expr` over the columns of the scanned table.
    pub(super) fn inlined(&self, expr: &Expr) -> Option<Expr> {
        inlined(expr, &self.columns)
    }

    /// The scan, if its source does all that is between it and the operator.
    pub(super) fn exact_scan(&self) -> Offer<Scan> {
        let scan = self
            .source
            .exact_scan(self.scan.projection.as_ref(), &self.scan.filters, self.scan.fetch);
        scan.filter(|_| !self.filtered)
            .ok_or("a filter below it is checked here".into())
    }

    /// The table that stands for `operator` over this scan, if the source computes it. Its answer is noted.
    pub(super) fn offer(&self, operator: Offer<Operator>, shown: impl Fn() -> String) -> Option<SourceTable> {
        let operators = self.source.operators()?;
        let text = operator.as_ref().map_or_else(|_| shown(), ToString::to_string);
        let answer = operator.and_then(|operator| {
            let scan = self.exact_scan()?;
            Ok((operators.derive(&scan, &operator)?, scan))
        });
        let note = |pushdown| OperatorNote {
            operator: text,
            pushdown,
        };
        match answer {
            Ok((Derived { table, reason }, scan)) => Some(self.source.replaced_by(
                table,
                &scan,
                note(Pushdown::exact(reason)),
            )),
            Err(reason) => {
                self.source.note_operator(note(Pushdown::declined(reason)));
                None
            }
        }
    }
}

/// `expr` in terms of what `columns` stand for, without aliases; `None` where it may give something else each time, or names
/// a column from elsewhere.
pub(super) fn inlined(expr: &Expr, columns: &HashMap<Column, Expr>) -> Option<Expr> {
    if expr.is_volatile() {
        return None;
    }
    let mut unknown = false;
    let inlined = expr.clone().unalias_nested().data.transform_down(|node| {
        Ok(match node {
            Expr::Column(column) => match columns.get(&column) {
                // What is put in is not looked at again: its columns are the table's.
                Some(expr) => Transformed::new(expr.clone(), true, TreeNodeRecursion::Jump),
                None => {
                    unknown = true;
                    Transformed::no(Expr::Column(column))
                }
            },
            Expr::OuterReferenceColumn(field, column) => {
                unknown = true;
                Transformed::no(Expr::OuterReferenceColumn(field, column))
            }
            other => Transformed::no(other),
        })
    });
    inlined.ok().map(|done| done.data).filter(|_| !unknown)
}

/// The scan of a derived table under `columns`, which have the names and types of `schema`.
pub(super) fn derived_scan(
    derived: SourceTable,
    columns: Vec<Expr>,
    schema: &DFSchemaRef,
) -> Result<LogicalPlan> {
    let columns = columns.into_iter().zip(schema.iter());
    let columns =
        columns.map(|(expr, (qualifier, field))| expr.alias_qualified(qualifier.cloned(), field.name()));
    let columns = columns.collect();
    let scan = TableScanBuilder::new(DERIVED, provider_as_source(Arc::new(derived))).build()?;
    let projection = Projection::try_new_with_schema(
        columns,
        Arc::new(LogicalPlan::TableScan(scan)),
        Arc::clone(schema),
    )?;
    Ok(LogicalPlan::Projection(projection))
}

/// `name`, or one like it that none of `fields` has.
pub(super) fn free_name(fields: &[Field], name: String) -> String {
    let taken = |name: &str| fields.iter().any(|field| field.name() == name);
    let numbered = (fields.len()..).map(|number| format!("{name} {number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or(name)
}

/// The column of a derived table.
pub(super) fn derived_column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(DERIVED), name))
}
