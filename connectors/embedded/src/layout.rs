//! A table made by SQL, made ready: its columns in Arrow's types, its key, and how a row is kept.

use arrow::datatypes::{DataType, SchemaRef};
use causeway_base_kv::{KeyColumns, KeyValue, OrderedKey};
use causeway_spi::TableName;

use crate::definition::StoredTable;
use crate::error::{StoreError, StoreResult};
use crate::format::rows_name;
use crate::row::{Cell, ColumnBuilder, RowDecoder};

/// Everything that reading and writing a table needs to know of it.
#[derive(Debug, Clone)]
pub(crate) struct TableLayout {
    pub(crate) name: TableName,
    /// The name of its rows in the file.
    pub(crate) rows: String,
    pub(crate) schema: SchemaRef,
    /// The positions of the key's columns, in the key's order; none: the key is a number of the row's own.
    pub(crate) primary_key: Vec<usize>,
    pub(crate) key: OrderedKey,
    pub(crate) key_columns: KeyColumns,
    /// How each column is kept, those of the key too.
    pub(crate) cells: Vec<Cell>,
}

impl TableLayout {
    pub(crate) fn new(name: TableName, stored: &StoredTable) -> StoreResult<Self> {
        let schema = stored.schema()?;
        let key = stored.key(&schema)?;
        let names = stored
            .primary_key
            .iter()
            .map(|&index| schema.field(index).name().as_str());
        let key_columns = KeyColumns::over(names.zip(key.types().iter().copied()));
        let cells = schema.fields().iter().map(|field| Cell::of(field.data_type()));
        let cells = cells.collect::<Option<Vec<_>>>();
        Ok(Self {
            name,
            rows: rows_name(stored.id),
            primary_key: stored.primary_key.clone(),
            key,
            key_columns,
            cells: cells.ok_or_else(|| StoreError::damaged("a table has a column that cannot be kept"))?,
            schema,
        })
    }

    /// The position in the key of the column at `index`.
    pub(crate) fn key_position(&self, index: usize) -> Option<usize> {
        self.primary_key.iter().position(|&key| key == index)
    }

    /// The columns that a row holds beside its key, in the row's order.
    pub(crate) fn row_columns(&self) -> impl Iterator<Item = usize> {
        (0..self.cells.len()).filter(|&index| self.key_position(index).is_none())
    }

    /// What reads the columns `wanted`, each once, into as many builders. Behind the table's columns stands the locator.
    pub(crate) fn decoder(&self, wanted: Vec<usize>) -> Decoder {
        let target = |index: usize| wanted.iter().position(|&column| column == index);
        let columns = self
            .row_columns()
            .map(|index| (self.cells[index].clone(), target(index)));
        let builders = wanted.iter().map(|&index| match self.cells.get(index) {
            Some(cell) => ColumnBuilder::new(self.schema.field(index).data_type().clone(), cell),
            None => ColumnBuilder::new(DataType::BinaryView, &Cell::Bytes),
        });
        let from_key = self.primary_key.iter().enumerate();
        Decoder {
            key: self.key.clone(),
            from_key: from_key
                .filter_map(|(position, &index)| Some((position, target(index)?)))
                .collect(),
            locator: target(self.cells.len()),
            row: RowDecoder::new(columns.collect()),
            builders: builders.collect(),
            rows: 0,
        }
    }

    /// A guess at the decoded bytes of one row.
    pub(crate) fn row_bytes_estimate(&self) -> u64 {
        let width = |cell: &Cell| match cell {
            Cell::Boolean => 1,
            Cell::Fixed(width) => u64::try_from(*width).unwrap_or(32),
            Cell::Text | Cell::Bytes | Cell::List(..) => 32,
        };
        self.cells.iter().map(width).sum()
    }
}

/// Collects rows into columns.
pub(crate) struct Decoder {
    key: OrderedKey,
    /// Positions in the key, and among the builders.
    from_key: Vec<(usize, usize)>,
    /// Where among the builders the key as a whole goes, which tells the rows apart.
    locator: Option<usize>,
    row: RowDecoder,
    pub(crate) builders: Vec<ColumnBuilder>,
    pub(crate) rows: usize,
}

impl Decoder {
    /// Adds one row.
    pub(crate) fn push(&mut self, key: &[u8], row: &[u8]) -> StoreResult<()> {
        if !self.from_key.is_empty() {
            let values = self
                .key
                .decode(key)
                .map_err(|error| StoreError::damaged(error.message()))?;
            for &(position, target) in &self.from_key {
                let pushed = values
                    .get(position)
                    .and_then(|value| self.builders[target].push_key(value));
                pushed.ok_or_else(|| StoreError::damaged("a key is not of its columns' types"))?;
            }
        }
        if let Some(target) = self.locator {
            let pushed = self.builders[target].push_key(&KeyValue::Bytes(key.to_vec()));
            pushed.ok_or_else(|| StoreError::damaged("a key is too long"))?;
        }
        self.row
            .decode(row, &mut self.builders)
            .ok_or_else(|| StoreError::damaged("a row is not of its table's columns"))?;
        self.rows += 1;
        Ok(())
    }

    /// The bytes of the rows so far, about.
    pub(crate) fn bytes(&self) -> usize {
        self.builders.iter().map(ColumnBuilder::bytes).sum()
    }
}
