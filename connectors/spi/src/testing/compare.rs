//! Compares results as sorted multisets of rows, and shows where they differ.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;

/// Rows shown of each side of a difference.
const SHOWN_MAX: usize = 5;

/// The rows of one result, in its order and as a multiset.
#[derive(Debug)]
pub(crate) struct Rows {
    batch: RecordBatch,
    rows: Vec<OwnedRow>,
    /// Positions of `rows` in the order of their values.
    sorted: Vec<usize>,
}

impl Rows {
    /// Gathers the batches of a result with `schema`.
    pub(crate) fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        // Sides may differ in nullability and metadata, which is no difference of rows.
        let batch = match batches {
            [] => RecordBatch::new_empty(SchemaRef::clone(schema)),
            [first, ..] => concat_batches(&first.schema(), batches)?,
        };
        let fields = batch
            .schema()
            .fields()
            .iter()
            .map(|f| SortField::new(f.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields)?;
        let rows: Vec<OwnedRow> = if batch.num_columns() == 0 {
            Vec::new()
        } else {
            converter
                .convert_columns(batch.columns())?
                .iter()
                .map(|row| row.owned())
                .collect()
        };
        Ok(Self::of(batch, rows))
    }

    fn of(batch: RecordBatch, rows: Vec<OwnedRow>) -> Self {
        let mut sorted: Vec<usize> = (0..rows.len()).collect();
        sorted.sort_by(|&left, &right| rows[left].cmp(&rows[right]));
        Self { batch, rows, sorted }
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The types of the columns.
    pub(crate) fn types(&self) -> String {
        let schema = self.batch.schema();
        let types: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.data_type().to_string())
            .collect();
        types.join(", ")
    }

    /// Says how this result and `right`, which should be the same multiset, differ.
    pub(crate) fn difference(&self, right: &Rows) -> Option<String> {
        if self.types() != right.types() {
            return Some(format!(
                "types differ: ({}) and ({})",
                self.types(),
                right.types()
            ));
        }
        if self.batch.num_columns() == 0 {
            return (self.len() != right.len())
                .then(|| format!("{} rows and {} rows", self.len(), right.len()));
        }
        let (extra, missing) = (self.beyond(right), right.beyond(self));
        if extra.is_empty() && missing.is_empty() {
            return None;
        }
        let only_left = self.show("only in the first", &extra);
        Some(format!(
            "{only_left}{}",
            right.show("only in the second", &missing)
        ))
    }

    /// Says, under `title`, which rows of this result `whole` does not hold (as often).
    pub(crate) fn outside(&self, whole: &Rows, title: &str) -> Option<String> {
        if self.types() != whole.types() {
            return Some(format!(
                "types differ: ({}) and ({})",
                self.types(),
                whole.types()
            ));
        }
        if self.batch.num_columns() == 0 {
            return (self.len() > whole.len())
                .then(|| format!("{title}: {} rows beside {}", self.len(), whole.len()));
        }
        let extra = self.beyond(whole);
        (!extra.is_empty()).then(|| self.show(title, &extra))
    }

    /// At most `length` rows from `offset` on, in order.
    pub(crate) fn slice(&self, offset: usize, length: usize) -> Rows {
        let offset = offset.min(self.len());
        let length = length.min(self.len() - offset);
        let rows: Vec<OwnedRow> = self.rows.iter().skip(offset).take(length).cloned().collect();
        Self::of(self.batch.slice(offset, length), rows)
    }

    /// Shows the rows under `title`.
    pub(crate) fn all(&self, title: &str) -> String {
        self.show(title, &self.sorted)
    }

    /// Says where this result is not the same sequence as `right`.
    pub(crate) fn disorder(&self, right: &Rows) -> Option<String> {
        if self.rows == right.rows {
            return None;
        }
        let all: Vec<usize> = (0..self.len()).collect();
        let others: Vec<usize> = (0..right.len()).collect();
        let first = self.show("first, in order", &all);
        Some(format!("{first}{}", right.show("second, in order", &others)))
    }

    /// Positions of the rows that occur here more often than in `other`.
    fn beyond(&self, other: &Rows) -> Vec<usize> {
        let mut beyond = Vec::new();
        let mut others = other
            .sorted
            .iter()
            .map(|&position| &other.rows[position])
            .peekable();
        for &position in &self.sorted {
            let row = &self.rows[position];
            while others.next_if(|other| *other < row).is_some() {}
            if others.next_if(|other| *other == row).is_none() {
                beyond.push(position);
            }
        }
        beyond
    }

    fn show(&self, title: &str, positions: &[usize]) -> String {
        let options = FormatOptions::new().with_null("NULL");
        let formatters: Vec<ArrayFormatter<'_>> = self
            .batch
            .columns()
            .iter()
            .filter_map(|array| ArrayFormatter::try_new(array, &options).ok())
            .collect();
        let mut text = format!("{title}: {} rows\n", positions.len());
        for &row in positions.iter().take(SHOWN_MAX) {
            let cells: Vec<String> = formatters
                .iter()
                .map(|formatter| format!("{:?}", formatter.value(row).to_string()))
                .collect();
            text.push_str(&format!("    ({})\n", cells.join(", ")));
        }
        if positions.len() > SHOWN_MAX {
            text.push_str("    ...\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    fn rows(values: &[i64]) -> Rows {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        Rows::new(&batch.schema(), std::slice::from_ref(&batch)).unwrap()
    }

    #[test]
    fn multisets_count_repeats() {
        assert_eq!(rows(&[1, 2, 2]).difference(&rows(&[2, 1, 2])), None);
        let difference = rows(&[1, 2, 2]).difference(&rows(&[1, 2])).unwrap();
        assert!(difference.contains("only in the first: 1 rows"), "{difference}");
        assert_eq!(rows(&[2, 1]).outside(&rows(&[1, 2, 2]), "extra"), None);
        assert!(rows(&[1, 1]).outside(&rows(&[1, 2]), "extra").is_some());
        assert!(rows(&[1, 2]).disorder(&rows(&[2, 1])).is_some());
    }
}
