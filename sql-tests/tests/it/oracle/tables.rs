//! The generated tables: their columns, and rows full of NULLs, duplicates and the values at the edges of their types.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use rand::prelude::*;

use super::kind::{ColumnKind, quoted};

/// The tables and their numbers of rows: one is empty, and so are many joins with it.
const TABLES: [(&str, usize); 4] = [("a", 40), ("b", 25), ("c", 7), ("e", 0)];
/// Columns that every table may leave out.
const LEFT_OUT: f64 = 0.2;
const NULLS: f64 = 0.2;
/// Columns that are declared to have no NULL.
const REQUIRED: f64 = 0.3;

/// A table with the same rows in every place.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<ColumnKind>,
    /// Of each column whether it is declared to have no NULL.
    required: Vec<bool>,
    /// Each value as text; NULL is `None`.
    pub(super) rows: Vec<Vec<Option<&'static str>>>,
    ids: Vec<String>,
}

/// Makes all tables.
pub(super) fn generate(random: &mut StdRng) -> Vec<Table> {
    TABLES
        .into_iter()
        .map(|(name, rows)| {
            let mut columns = vec![ColumnKind::Id, ColumnKind::Few];
            let others = ColumnKind::ALL
                .into_iter()
                .filter(|kind| *kind != ColumnKind::Few);
            columns.extend(others.filter(|_| !random.random_bool(LEFT_OUT)));
            let required: Vec<bool> = columns
                .iter()
                .map(|kind| *kind == ColumnKind::Id || random.random_bool(REQUIRED))
                .collect();
            let mut row = |_| {
                let values = columns.iter().zip(&required).skip(1);
                values
                    .map(|(kind, required)| {
                        let value = kind.values().choose(random).copied();
                        value.filter(|_| *required || !random.random_bool(NULLS))
                    })
                    .collect()
            };
            let rows = (0..rows).map(&mut row).collect::<Vec<_>>();
            Table {
                name,
                ids: (1..=rows.len()).map(|id| id.to_string()).collect(),
                rows,
                required,
                columns,
            }
        })
        .collect()
}

impl Table {
    /// The value of a row and column as text.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<&str> {
        match column {
            0 => Some(&self.ids[row]),
            _ => self.rows[row][column - 1],
        }
    }

    /// The positions of the columns that a place has.
    pub(super) fn positions(&self, left_out: &[ColumnKind]) -> Vec<usize> {
        (0..self.columns.len())
            .filter(|&index| !left_out.contains(&self.columns[index]))
            .collect()
    }

    /// `INSERT INTO place VALUES ...` of these columns; nothing for an empty table.
    pub(super) fn insert(&self, place: &str, positions: &[usize]) -> Option<String> {
        let rows: Vec<String> = (0..self.rows.len())
            .map(|row| {
                let values: Vec<String> = positions
                    .iter()
                    .map(|&column| self.value(row, column).map_or("NULL".to_owned(), quoted))
                    .collect();
                format!("({})", values.join(", "))
            })
            .collect();
        (!rows.is_empty()).then(|| format!("INSERT INTO {place} VALUES {}", rows.join(", ")))
    }

    /// `CREATE TABLE place (...)` with types as `declared` says.
    pub(super) fn create(
        &self,
        place: &str,
        positions: &[usize],
        declared: impl Fn(ColumnKind) -> &'static str,
    ) -> String {
        let columns: Vec<String> = positions
            .iter()
            .map(|&index| {
                let kind = self.columns[index];
                let key = match self.required[index] {
                    _ if kind == ColumnKind::Id => " PRIMARY KEY",
                    true => " NOT NULL",
                    false => "",
                };
                format!("{} {}{key}", kind.name(), declared(kind))
            })
            .collect();
        format!("CREATE TABLE {place} ({})", columns.join(", "))
    }

    /// The rows in Arrow's types.
    pub(super) fn batch(&self) -> RecordBatch {
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let columns = self.columns.iter().enumerate().map(|(index, kind)| {
            let texts: ArrayRef = Arc::new(StringArray::from_iter(
                (0..self.rows.len()).map(|row| self.value(row, index)),
            ));
            let values = cast_with_options(&texts, &kind.arrow(), &options).unwrap();
            (kind.name(), values, !self.required[index])
        });
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }
}
