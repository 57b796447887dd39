//! Filters over partition columns: decided for each file by its folder names, before anything of it is read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use causeway_spi::{Filter, Pushdown};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::utils::LiteralGuarantee;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use crate::format::FileFormat;
use crate::source::casts_keep_order;

/// What becomes of `filter` over a table of `schema` whose last columns are `partition_columns`.
pub(crate) fn verdict(
    schema: &SchemaRef,
    partition_columns: &[FieldRef],
    format: FileFormat,
    filter: &Filter,
) -> Pushdown {
    let expr = filter.expr();
    if expr.is_volatile() || has_subquery(expr) {
        return Pushdown::declined("it is not the same for each row and time");
    }
    let columns = expr.column_refs();
    if columns.is_empty() {
        // What was accepted with a column may come back simplified to a constant: dropped now, it would be lost.
        return Pushdown::exact("it is the same for all rows");
    }
    let fields: Option<Vec<_>> = columns
        .iter()
        .map(|column| schema.column_with_name(&column.name))
        .collect();
    let Some(fields) = fields else {
        return Pushdown::declined("it names a column that the files do not have");
    };
    if has_integer_arithmetic(expr, schema) {
        return Pushdown::declined(
            "integer arithmetic may overflow, which is an error here and not in a file",
        )
        .hint("Compare the column itself with a value.");
    }
    let is_partition = |name: &str| partition_columns.iter().any(|column| column.name() == name);
    if fields.iter().all(|(_, field)| is_partition(field.name())) {
        return Pushdown::exact("decided by the folder names");
    }
    if format != FileFormat::Parquet {
        return Pushdown::declined("text files have no bounds")
            .hint("Parquet files have bounds; folders named column=value leave out files of any format.");
    }
    if fields.iter().any(|(_, field)| field.data_type().is_nested()) {
        return Pushdown::declined("nested columns have no bounds in the files")
            .hint("A column of its own beside the nested one has bounds.");
    }
    if !prunes(expr, schema) {
        return Pushdown::superset("nothing is pruned: the bounds in the files say nothing of it; checked here").hint(
            "Compare a column itself with a value: those of integers, numerics, texts, days and times have bounds.",
        );
    }
    Pushdown::superset("row groups, pages and bloom filters are pruned; checked again here")
}

/// Whether bounds and bloom filters of columns could show that `expr` is true of no row. Floats have neither (NaN is in no bounds),
/// nor have intervals.
fn prunes(expr: &Expr, schema: &SchemaRef) -> bool {
    let is_bounded = |field: &&FieldRef| {
        let data_type = field.data_type();
        !data_type.is_floating() && !matches!(data_type, DataType::Interval(_))
    };
    let (bounded, others): (Vec<&FieldRef>, Vec<&FieldRef>) = schema.fields().iter().partition(is_bounded);
    let all = [bounded.clone(), others].concat().into_iter().cloned();
    let all = Arc::new(Schema::new(all.collect::<Vec<_>>()));
    let bounded = Arc::new(Schema::new(bounded.into_iter().cloned().collect::<Vec<_>>()));
    let pruning = || {
        let physical = physical(expr, &all)?;
        if !casts_keep_order(&physical) {
            return Ok(false);
        }
        // The predicate asks no bounds of columns that it does not know.
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&bounded));
        let pruning = builder.try_build(physical)?;
        let by_bounds = pruning
            .predicate_expr()
            .downcast_ref::<Literal>()
            .is_none_or(|known| *known.value() != ScalarValue::Boolean(Some(true)));
        let is_known = |guarantee: &LiteralGuarantee| bounded.field_with_name(&guarantee.column.name).is_ok();
        Ok::<_, DataFusionError>(by_bounds || pruning.literal_guarantees().iter().any(is_known))
    };
    // What cannot be planned here is told by the query's own plan.
    pruning().unwrap_or(true)
}

fn physical(expr: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let schema = DFSchema::try_from(schema.as_ref().clone())?;
    let context = PhysicalPlanningContext::default();
    create_physical_expr(expr, &schema, &ExecutionProps::new(), &context)
}

/// Whether integer columns are added, subtracted, multiplied or negated: a scan would compute it without the check.
fn has_integer_arithmetic(expr: &Expr, schema: &SchemaRef) -> bool {
    let of_integers = |operand: &Expr| {
        operand.column_refs().iter().any(|column| {
            let field = schema.field_with_name(&column.name);
            field.is_ok_and(|field| field.data_type().is_integer())
        })
    };
    expr.exists(|node| {
        Ok(match node {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
                    && (of_integers(left) || of_integers(right))
            }
            Expr::Negative(operand) => of_integers(operand),
            _ => false,
        })
    })
    .unwrap_or(true)
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|node| {
        Ok(matches!(
            node,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    })
    .unwrap_or(true)
}

/// The indexes of the files for whose partition values every filter is true (not NULL).
pub(crate) fn survivors(
    partition_columns: &[FieldRef],
    values: &[Vec<ScalarValue>],
    filters: &[&Expr],
) -> Result<Vec<usize>> {
    if filters.is_empty() {
        return Ok((0..values.len()).collect());
    }
    let mut files = partition_batch(partition_columns, values)?;
    let schema = DFSchema::try_from(files.schema().as_ref().clone())?;
    for filter in filters {
        let context = PhysicalPlanningContext::default();
        let expr = create_physical_expr(filter, &schema, &ExecutionProps::new(), &context)?;
        let kept = expr.evaluate(&files)?.cast_to(&DataType::Boolean, None)?;
        let kept = kept.into_array(files.num_rows())?;
        let kept = as_boolean_array(&kept)?;
        files = filter_record_batch(&files, kept)?;
    }
    let numbers = files.column(partition_columns.len()).as_primitive::<Int64Type>();
    Ok(numbers
        .values()
        .iter()
        .filter_map(|number| usize::try_from(*number).ok())
        .collect())
}

/// One row per file: its partition values, then its number.
fn partition_batch(partition_columns: &[FieldRef], values: &[Vec<ScalarValue>]) -> Result<RecordBatch> {
    let mut fields: Vec<FieldRef> = partition_columns.to_vec();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(fields.len() + 1);
    for index in 0..partition_columns.len() {
        arrays.push(ScalarValue::iter_to_array(
            values.iter().map(|file| file[index].clone()),
        )?);
    }
    let number = Field::new("\u{0}file", DataType::Int64, false);
    fields.push(Arc::new(number));
    let numbers = (0i64..).take(values.len()).collect::<Vec<_>>();
    arrays.push(Arc::new(Int64Array::from(numbers)));
    let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}
