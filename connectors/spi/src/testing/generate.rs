//! Generates random queries over a table: conditions in three-valued logic, projections, limits and joins.
//!
//! Everything is drawn from the table's own values, so that conditions are often true, and from their neighbours, so
//! that a comparison with other rules gives itself away. No generated expression can fail: an error is a finding.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::literal::near;
use super::predicate::predicate;
use super::query::{Condition, FilterPlace, Join, JoinKind, Order, Output, Query};

/// Nesting of conditions at most.
const DEPTH_MAX: u32 = 3;
/// Keys of a join at most.
const KEYS_MAX: usize = 50;

/// One column as the generator sees it.
#[derive(Debug, Clone)]
pub(crate) struct ColumnPool {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// Distinct values of the table, without NULL.
    pub(crate) values: Vec<ScalarValue>,
}

/// What queries are made of: a table's columns with their values, and its keys.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) columns: Vec<ColumnPool>,
    rows: Vec<Vec<ScalarValue>>,
    lookup_keys: Vec<Vec<usize>>,
    unique: Option<usize>,
}

impl Pool {
    /// Reads the values of `rows`; `lookup_keys` are the column sets of the table's lookup.
    pub(crate) fn new(rows: &RecordBatch, lookup_keys: &[Vec<usize>]) -> datafusion::common::Result<Self> {
        let mut columns = Vec::new();
        let mut table: Vec<Vec<ScalarValue>> = vec![Vec::new(); rows.num_rows()];
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            let mut values = Vec::new();
            for (row, cells) in table.iter_mut().enumerate() {
                let value = ScalarValue::try_from_array(array, row)?;
                if !value.is_null() && !values.contains(&value) {
                    values.push(value.clone());
                }
                cells.push(value);
            }
            columns.push(ColumnPool {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                values,
            });
        }
        let unique = columns
            .iter()
            .position(|column| column.values.len() == rows.num_rows());
        Ok(Self {
            columns,
            rows: table,
            lookup_keys: lookup_keys.to_vec(),
            unique,
        })
    }

    /// Makes one query: one in four with a single predicate and most often a limit, since a large condition is rarely
    /// pushed as a whole; the others with all that there is.
    pub(crate) fn query(&self, random: &mut StdRng) -> Query {
        if random.random_bool(0.25) {
            let texts: Vec<&ColumnPool> = self.columns.iter().filter(|column| column.is_text()).collect();
            let text = texts.choose(random).filter(|_| random.random_bool(0.5));
            let column = text.map_or_else(|| self.column(random), |text| *text);
            return Query {
                output: Output::Columns(self.some_columns(1, random)),
                filter: Some(predicate(self, column, random)),
                join: None,
                order: None,
                limit: random.random_bool(0.6).then(|| random.random_range(1..6)),
                offset: 0,
            };
        }
        let join = random.random_bool(0.45).then(|| self.join(random));
        let mut output = self.output(join.as_ref(), random);
        let order = match (&join, self.unique) {
            (None, Some(unique)) if random.random_bool(0.2) => Some(self.order(unique, random)),
            _ => None,
        };
        if order.is_some() && !matches!(output, Output::Columns(_)) {
            output = Output::Columns(self.some_columns(1, random));
        }
        let limited = matches!(output, Output::Columns(_)) && random.random_bool(0.25);
        let limits = [0, 1, 2, 3, 5, 10, 40, 1000];
        Query {
            filter: random.random_bool(0.85).then(|| {
                let depth = random.random_range(0..=DEPTH_MAX);
                self.condition(depth, random)
            }),
            limit: limits.choose(random).copied().filter(|_| limited),
            offset: if limited && random.random_bool(0.2) {
                random.random_range(1..6)
            } else {
                0
            },
            output,
            join,
            order,
        }
    }

    fn output(&self, join: Option<&Join>, random: &mut StdRng) -> Output {
        // -0.0 and 0.0 are one group, and which of them stands for it depends on the order of the rows.
        let name = |random: &mut StdRng| match self.column(random) {
            column if column.data_type == DataType::Float64 => self.columns[0].name.clone(),
            column => column.name.clone(),
        };
        let numbered = join.is_some_and(|join| !matches!(join.kind, JoinKind::Semi | JoinKind::Anti));
        match random.random_range(0..20) {
            0..=2 => Output::Count,
            3 => Output::MinMax(name(random)),
            4 => Output::Groups(name(random)),
            _ => Output::Columns(self.some_columns(usize::from(!numbered), random)),
        }
    }

    /// At least `min` columns in random order.
    fn some_columns(&self, min: usize, random: &mut StdRng) -> Vec<String> {
        let mut names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        names.shuffle(random);
        let few = random.random_range(min..=names.len().min(4));
        names.truncate(if random.random_bool(0.1) { names.len() } else { few });
        names
    }

    fn order(&self, unique: usize, random: &mut StdRng) -> Order {
        let direction = *["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]
            .choose(random)
            .unwrap_or(&"");
        Order {
            first: format!("{}{direction}", self.column(random).name),
            unique: self.columns[unique].name.clone(),
        }
    }

    fn join(&self, random: &mut StdRng) -> Join {
        let looked_up = random.random_bool(0.8);
        let columns = match self.lookup_keys.choose(random) {
            Some(key) if looked_up => key.clone(),
            _ => {
                let joinable: Vec<usize> = (0..self.columns.len())
                    .filter(|&column| {
                        !matches!(
                            self.columns[column].data_type,
                            DataType::Boolean | DataType::Float64
                        )
                    })
                    .collect();
                joinable.choose(random).map_or(Vec::new(), |&column| vec![column])
            }
        };
        let count = match random.random_range(0..10) {
            0 => 0,
            1..=6 => random.random_range(1..12),
            _ => random.random_range(1..=KEYS_MAX),
        };
        let kinds = [
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Left,
            JoinKind::Right,
            JoinKind::Semi,
            JoinKind::Semi,
            JoinKind::Anti,
        ];
        let kind = *kinds.choose(random).unwrap_or(&JoinKind::Inner);
        let places = match kind {
            JoinKind::Left => [FilterPlace::Where, FilterPlace::On, FilterPlace::Below],
            JoinKind::Inner => [FilterPlace::Where, FilterPlace::Where, FilterPlace::On],
            _ => [FilterPlace::Where, FilterPlace::Where, FilterPlace::Below],
        };
        Join {
            kind,
            keys: (0..count).map(|_| self.key(&columns, random)).collect(),
            columns: columns
                .iter()
                .map(|&column| self.columns[column].name.clone())
                .collect(),
            types: columns
                .iter()
                .map(|&column| self.columns[column].data_type.clone())
                .collect(),
            place: *places.choose(random).unwrap_or(&FilterPlace::Where),
        }
    }

    /// A key that often exists: of one row, or of values that never met.
    fn key(&self, columns: &[usize], random: &mut StdRng) -> Vec<ScalarValue> {
        let row = self.rows.choose(random).filter(|_| random.random_bool(0.7));
        let cell = |&column: &usize| {
            let pool = &self.columns[column];
            let value = match row {
                Some(row) => row[column].clone(),
                None => pool.value(random),
            };
            let value = if random.random_bool(0.2) {
                near(&value, random)
            } else {
                value
            };
            let null = ScalarValue::try_from(&pool.data_type).unwrap_or(ScalarValue::Null);
            match value.cast_to(&pool.data_type) {
                Ok(value) if random.random_bool(0.95) => value,
                _ => null,
            }
        };
        columns.iter().map(cell).collect()
    }

    fn column(&self, random: &mut StdRng) -> &ColumnPool {
        // Text has the most rules, so it is asked about most.
        let texts: Vec<&ColumnPool> = self.columns.iter().filter(|column| column.is_text()).collect();
        match texts.choose(random) {
            Some(text) if random.random_bool(0.25) => text,
            _ => &self.columns[random.random_range(0..self.columns.len())],
        }
    }

    /// A condition of at most `depth` levels.
    pub(crate) fn condition(&self, depth: u32, random: &mut StdRng) -> Condition {
        if depth == 0 || random.random_bool(0.35) {
            return predicate(self, self.column(random), random);
        }
        let mut inner = |random: &mut StdRng| self.condition(depth - 1, random);
        match random.random_range(0..20) {
            0..=7 => Condition::All(several(&mut inner, random)),
            8..=12 => Condition::Any(several(&mut inner, random)),
            13..=15 => Condition::Not(Box::new(inner(random))),
            16 => Condition::Case(Box::new([inner(random), inner(random), inner(random)])),
            17 => {
                let tests = ["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN", "NOT UNKNOWN"];
                Condition::Is(Box::new(inner(random)), tests.choose(random).unwrap_or(&"TRUE"))
            }
            _ => predicate(self, self.column(random), random),
        }
    }
}

fn several(inner: &mut impl FnMut(&mut StdRng) -> Condition, random: &mut StdRng) -> Vec<Condition> {
    (0..random.random_range(2..4)).map(|_| inner(random)).collect()
}

impl ColumnPool {
    fn is_text(&self) -> bool {
        self.data_type == DataType::Utf8View
    }

    /// A value of the column, or NULL when it has none.
    pub(crate) fn value(&self, random: &mut StdRng) -> ScalarValue {
        self.values.choose(random).cloned().unwrap_or(ScalarValue::Null)
    }
}
