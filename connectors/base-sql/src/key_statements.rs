//! The statements of a key lookup: one per batch of keys, each with every pushed filter of the scan beside the keys.

use std::sync::Arc;

use arrow::array::RecordBatch;
use causeway_spi::{ConnectorError, ErrorKind, Result};
use datafusion::common::ScalarValue;

use crate::law::key_condition;
use crate::print::{Dialect, Statement};
use crate::profile::ColumnProfile;
use crate::remote::RemoteSelect;

/// Prints one statement per batch of keys.
pub(crate) struct KeyStatements {
    pub(crate) select: RemoteSelect,
    pub(crate) dialect: Dialect,
    pub(crate) query_id: Arc<str>,
    pub(crate) columns: Vec<usize>,
    pub(crate) profiles: Arc<[ColumnProfile]>,
    pub(crate) values: RecordBatch,
    pub(crate) next_row: usize,
    pub(crate) keys_max: usize,
}

impl KeyStatements {
    /// The next batch of keys, padded with its last key to a power of two so that the same text is prepared again.
    fn next_keys(&mut self) -> Result<Vec<Vec<ScalarValue>>> {
        let end = self.values.num_rows().min(self.next_row + self.keys_max);
        let mut keys = (self.next_row..end)
            .map(|row| {
                self.values
                    .columns()
                    .iter()
                    .map(|column| ScalarValue::try_from_array(column, row))
                    .collect()
            })
            .collect::<datafusion::common::Result<Vec<Vec<_>>>>()
            .map_err(|error| {
                ConnectorError::new(ErrorKind::Internal, "a lookup key cannot be read").source(error)
            })?;
        self.next_row = end;
        if let Some(last) = keys.last().cloned() {
            let padded = keys.len().next_power_of_two().min(self.keys_max);
            keys.resize(padded, last);
        }
        Ok(keys)
    }
}

impl Iterator for KeyStatements {
    type Item = Result<Statement>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next_row < self.values.num_rows() {
            let keys = match self.next_keys() {
                Ok(keys) => keys,
                Err(error) => {
                    self.next_row = self.values.num_rows();
                    return Some(Err(error));
                }
            };
            let columns: Vec<_> = self
                .columns
                .iter()
                .filter_map(|&index| Some((index, self.profiles.get(index)?)))
                .collect();
            // No row of the source can equal any of these keys: the next ones.
            let Some(condition) = key_condition(&columns, &keys) else {
                continue;
            };
            let mut select = self.select.clone();
            select.filters.insert(0, condition);
            return Some(Ok(select.print(self.dialect, &self.query_id)));
        }
        None
    }

    /// How many statements there are at most: whether there is more than one.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let rows = self.values.num_rows().saturating_sub(self.next_row);
        (0, Some(rows.div_ceil(self.keys_max)))
    }
}
