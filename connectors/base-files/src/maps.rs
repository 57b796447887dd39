//! Parquet's maps as arrays of composites (key, value): no canonical type is a map.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Result;
use datafusion::common::nested_struct::cast_column;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_plan::PhysicalExpr;

/// Whether a type is, or holds, a map.
pub(crate) fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_map(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

/// A column of a file that holds maps, read as the table's type.
#[derive(Debug, Eq)]
pub(crate) struct MapsAsLists {
    column: Arc<dyn PhysicalExpr>,
    to: DataType,
}

impl PartialEq for MapsAsLists {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.to == other.to
    }
}

impl Hash for MapsAsLists {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.to.hash(state);
    }
}

impl MapsAsLists {
    /// Reads `column` as `to`.
    pub(crate) fn new(column: Arc<dyn PhysicalExpr>, to: DataType) -> Self {
        Self { column, to }
    }
}

impl fmt::Display for MapsAsLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST({} AS {})", self.column, self.to)
    }
}

impl PhysicalExpr for MapsAsLists {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.column.nullable(input_schema)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<Arc<Field>> {
        let column = self.column.return_field(input_schema)?;
        Ok(Arc::new(Field::new(
            column.name(),
            self.to.clone(),
            column.is_nullable(),
        )))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let lists = without_maps(&column)?;
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        Ok(ColumnarValue::Array(cast_column(&lists, &self.to, &options)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.pop().unwrap_or_else(|| Arc::clone(&self.column));
        Ok(Arc::new(Self::new(column, self.to.clone())))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same values with a list of entries for each map.
fn without_maps(array: &ArrayRef) -> Result<ArrayRef> {
    if !has_map(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    match array.data_type() {
        DataType::Map(..) => {
            let maps = array.as_map();
            let entries = maps.entries();
            // Writers call them otherwise too.
            let names = ["key", "value"].into_iter().zip(entries.columns());
            let fields = names.map(|(name, column)| Field::new(name, column.data_type().clone(), true));
            let entries = StructArray::try_new(
                fields.collect(),
                entries.columns().to_vec(),
                entries.nulls().cloned(),
            )?;
            let entries: ArrayRef = Arc::new(entries);
            list(maps.offsets().clone(), &entries, array)
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            list(lists.offsets().clone(), lists.values(), array)
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows
                .columns()
                .iter()
                .map(without_maps)
                .collect::<Result<Vec<_>>>()?;
            let fields: Vec<Field> = fields
                .iter()
                .zip(&columns)
                .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
                .collect();
            let rows = StructArray::try_new(fields.into(), columns, rows.nulls().cloned())?;
            Ok(Arc::new(rows))
        }
        // Lists of the other kinds become plain ones first.
        other => {
            let item = match other {
                DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Arc::clone(item),
                _ => return Ok(Arc::clone(array)),
            };
            without_maps(&arrow::compute::cast(array, &DataType::List(item))?)
        }
    }
}

fn list(offsets: arrow::buffer::OffsetBuffer<i32>, values: &ArrayRef, of: &ArrayRef) -> Result<ArrayRef> {
    let values = without_maps(values)?;
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(
        item,
        offsets,
        values,
        of.nulls().cloned(),
    )?))
}
