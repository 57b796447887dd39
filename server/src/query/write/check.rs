//! Rows on their way to the source: NOT NULL, the length of texts, and each row of an update only once.

use std::collections::HashSet;
use std::sync::Arc;

use causeway_spi::{BatchStream, ConnectorError, ErrorKind, ROW_LOCATOR, TEXT_LENGTH};
use datafusion::arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, RecordBatch, StringViewArray,
};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// The rows of `rows` in the columns `schema` of the table `table`, checked. An error ends them; it comes out of the
/// source's answer as it was.
pub fn rows_to_write(rows: SendableRecordBatchStream, schema: SchemaRef, table: &str) -> BatchStream {
    let mut check = Check {
        schema,
        table: table.to_owned(),
        seen: HashSet::new(),
    };
    let checked = rows.map(move |batch| {
        let batch = batch.map_err(QueryError::from);
        batch
            .and_then(|batch| check.batch(&batch))
            .map_err(|error| ConnectorError::new(ErrorKind::Internal, error.message.clone()).source(error))
    });
    checked.boxed()
}

struct Check {
    schema: SchemaRef,
    table: String,
    /// The locators of the rows that were changed already: a join may find a row several times.
    seen: HashSet<Box<[u8]>>,
}

impl Check {
    fn batch(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let engine = |error: ArrowError| QueryError::from(DataFusionError::from(error));
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for (field, column) in self.schema.fields().iter().zip(&mut columns) {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(self.null_in(field, column, batch));
            }
            if let Some(length) = text_length(field)
                && let Some(cut) = cut_blanks(column, length)?
            {
                *column = cut;
            }
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(engine)?;
        match batch.column_by_name(ROW_LOCATOR) {
            Some(locators) => {
                let first = self.first_seen(locators);
                filter_record_batch(&batch, &first).map_err(engine)
            }
            None => Ok(batch),
        }
    }

    fn first_seen(&mut self, locators: &ArrayRef) -> BooleanArray {
        let locators = locators.as_any().downcast_ref::<BinaryViewArray>();
        let values = locators.into_iter().flat_map(|locators| locators.iter());
        values
            .map(|locator| Some(locator.is_some_and(|locator| self.seen.insert(Box::from(locator)))))
            .collect()
    }

    fn null_in(&self, field: &Field, column: &ArrayRef, batch: &RecordBatch) -> QueryError {
        let row = (0..column.len()).find(|&row| column.is_null(row)).unwrap_or(0);
        let shown = batch.columns().iter().zip(self.schema.fields());
        let shown = shown.filter(|(_, field)| field.name() != ROW_LOCATOR);
        let shown = shown.map(|(column, _)| match column.is_null(row) {
            true => "null".to_owned(),
            false => array_value_to_string(column, row).unwrap_or_default(),
        });
        let message = format!(
            "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
            field.name(),
            self.table
        );
        QueryError::new(SqlState::NOT_NULL_VIOLATION, message).detail(format!(
            "Failing row contains ({}).",
            shown.collect::<Vec<_>>().join(", ")
        ))
    }
}

/// The greatest length of a text column, in characters.
fn text_length(field: &Field) -> Option<usize> {
    field.metadata().get(TEXT_LENGTH)?.parse().ok()
}

/// The texts without the blanks that are too many, or `None` if nothing is. Errors: 22001 for other characters.
fn cut_blanks(column: &ArrayRef, length: usize) -> Result<Option<ArrayRef>> {
    let Some(texts) = column.as_any().downcast_ref::<StringViewArray>() else {
        return Ok(None);
    };
    // No text has more characters than bytes.
    let place = |text: &str| match text.len() > length {
        true => text.char_indices().nth(length).map(|(place, _)| place),
        false => None,
    };
    if !texts.iter().flatten().any(|text| place(text).is_some()) {
        return Ok(None);
    }
    let cut = texts.iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        let (kept, rest) = text.split_at(place(text).unwrap_or(text.len()));
        if rest.trim_end_matches(' ').is_empty() {
            return Ok(Some(kept));
        }
        let message = format!("value too long for type character varying({length})");
        Err(QueryError::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message))
    });
    let cut: Vec<Option<&str>> = cut.collect::<Result<_>>()?;
    Ok(Some(Arc::new(StringViewArray::from(cut))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_that_are_too_many_are_cut_and_other_characters_refused() {
        let texts = |texts: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringViewArray::from(texts)) };
        assert!(cut_blanks(&texts(vec![Some("äöü"), None]), 3).unwrap().is_none());
        let cut = cut_blanks(&texts(vec![Some("äö   "), Some("a"), None]), 3).unwrap();
        assert_eq!(
            cut.unwrap().as_ref(),
            texts(vec![Some("äö "), Some("a"), None]).as_ref()
        );
        let error = cut_blanks(&texts(vec![Some("äöüß")]), 3).unwrap_err();
        assert_eq!(error.state, SqlState::STRING_DATA_RIGHT_TRUNCATION);
    }
}
