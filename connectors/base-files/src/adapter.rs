//! Rewrites a scan's expressions from the table's columns to those of one file.
//!
//! DataFusion's own adapter does the work: missing columns become NULL, narrower ones are cast. Three things are ours:
//! a column that differs in nullability only is not cast, so that pruning still sees a bare column; a cast between
//! units of time is one that the simplifier cannot undo, because it undoes it wrongly (`ts_us < 1500` over a column of
//! milliseconds would become `ts_ms < 1`); and maps become lists, which no cast does.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::FormatOptions;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::{CastExpr, Column};

use crate::maps::{MapsAsLists, has_map};

/// Makes one adapter per file.
#[derive(Debug)]
pub(crate) struct FileAdapterFactory;

impl PhysicalExprAdapterFactory for FileAdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let wanted = logical_file_schema.fields().iter().map(|field| {
            match physical_file_schema.column_with_name(field.name()) {
                Some((_, found)) if found.data_type() == field.data_type() || has_map(found.data_type()) => {
                    Arc::new(found.clone())
                }
                _ => Arc::clone(field),
            }
        });
        let wanted = Arc::new(Schema::new(wanted.collect::<Vec<_>>()));
        let inner = DefaultPhysicalExprAdapterFactory.create(wanted, Arc::clone(&physical_file_schema))?;
        Ok(Arc::new(FileAdapter {
            inner,
            table_schema: logical_file_schema,
            file_schema: physical_file_schema,
        }))
    }
}

#[derive(Debug)]
struct FileAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    table_schema: SchemaRef,
    file_schema: SchemaRef,
}

impl FileAdapter {
    /// The table's type of the file's column `node`, if it is a column that holds maps.
    fn map_column(&self, node: &dyn PhysicalExpr) -> Option<DataType> {
        let column = node.downcast_ref::<Column>()?;
        let found = self.file_schema.fields().get(column.index())?;
        let wanted = self.table_schema.field_with_name(found.name()).ok()?;
        has_map(found.data_type()).then(|| wanted.data_type().clone())
    }
}

impl PhysicalExprAdapter for FileAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapted = self.inner.rewrite(expr)?;
        adapted
            .transform_up(|node| {
                if let Some(to) = self.map_column(node.as_ref()) {
                    let lists = MapsAsLists::new(node, to);
                    return Ok(Transformed::yes(Arc::new(lists) as Arc<dyn PhysicalExpr>));
                }
                let Some(cast) = node.downcast_ref::<CastExpr>() else {
                    return Ok(Transformed::no(node));
                };
                let from = cast.expr().data_type(&self.file_schema)?;
                if !changes_unit_of_time(&from, cast.cast_type()) || cast.cast_options().safe {
                    return Ok(Transformed::no(node));
                }
                Ok(Transformed::yes(Arc::new(TimeCast {
                    child: Arc::clone(cast.expr()),
                    to: cast.cast_type().clone(),
                }) as Arc<dyn PhysicalExpr>))
            })
            .data()
    }
}

fn changes_unit_of_time(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => from != to,
        (DataType::Date64, DataType::Timestamp(..)) => true,
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time64(_)) => from != to,
        (DataType::Duration(_) | DataType::Interval(_), DataType::Interval(_)) => from != to,
        _ => false,
    }
}

/// A cast that means what the adapter's cast means and that no rule knows.
#[derive(Debug, Eq)]
struct TimeCast {
    child: Arc<dyn PhysicalExpr>,
    to: DataType,
}

impl PartialEq for TimeCast {
    fn eq(&self, other: &Self) -> bool {
        self.child.eq(&other.child) && self.to == other.to
    }
}

impl Hash for TimeCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.child.hash(state);
        self.to.hash(state);
    }
}

impl fmt::Display for TimeCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST({} AS {})", self.child, self.to)
    }
}

impl PhysicalExpr for TimeCast {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.child.nullable(input_schema)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<Arc<Field>> {
        let child = self.child.return_field(input_schema)?;
        Ok(Arc::new(Field::new(
            child.name(),
            self.to.clone(),
            child.is_nullable(),
        )))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        const FAIL_ON_OVERFLOW: CastOptions<'static> = CastOptions {
            safe: false,
            format_options: FormatOptions::new(),
        };
        self.child
            .evaluate(batch)?
            .cast_to(&self.to, Some(&FAIL_ON_OVERFLOW))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.child]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let child = children.pop().unwrap_or_else(|| Arc::clone(&self.child));
        Ok(Arc::new(Self {
            child,
            to: self.to.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST(")?;
        self.child.fmt_sql(f)?;
        write!(f, " AS {})", self.to)
    }
}
