//! Generates random queries over a table: conditions in three-valued logic, projections, limits and joins.
//!
//! Everything is drawn from the table's own values, so that conditions are often true, and from their neighbours, so
//! that a comparison with other rules gives itself away. No generated expression can fail: an error is a finding.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::literal::{literal, near};
use super::predicate::predicate;
use super::query::{Condition, FilterPlace, Join, JoinKind, Mate, Order, Output, Query};

/// Nesting of conditions at most.
const DEPTH_MAX: u32 = 3;
/// Keys of a join at most.
const KEYS_MAX: usize = 50;
/// Rows that meet one row of the table itself, at most, on average.
const MATES_MAX: usize = 8;

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
    /// pushed as a whole; one in six with an operator over few or all rows; one in twelve
    /// in which the table meets itself; the others with all that there is.
    pub(crate) fn query(&self, random: &mut StdRng) -> Query {
        if random.random_bool(0.16) {
            return self.operator(random);
        }
        if random.random_bool(0.1)
            && let Some(mate) = self.mate(random)
        {
            return self.with_mate(mate, random);
        }
        if random.random_bool(0.25) {
            let mut query = Query {
                output: Output::Columns(self.some_columns(1, random)),
                filter: Some(self.alone(random)),
                join: None,
                mate: None,
                union: None,
                order: None,
                limit: random.random_bool(0.6).then(|| random.random_range(1..6)),
                offset: 0,
            };
            // Every source can take a limit alone.
            if query.limit.is_some() && random.random_bool(0.2) {
                query.filter = None;
            }
            return query;
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
            mate: None,
            union: None,
            order,
        }
    }

    fn output(&self, join: Option<&Join>, random: &mut StdRng) -> Output {
        let numbered = join.is_some_and(|join| !matches!(join.kind, JoinKind::Semi | JoinKind::Anti));
        match random.random_range(0..20) {
            0..=2 => Output::Count,
            3..=6 => self.aggregates(random),
            _ => Output::Columns(self.some_columns(usize::from(!numbered), random)),
        }
    }

    /// A predicate that is the whole condition, most often on a text.
    fn alone(&self, random: &mut StdRng) -> Condition {
        let chosen = match random.random_range(0..20) {
            0..=8 => self.texts().choose(random),
            9..=11 => self.keys().choose(random),
            _ => None,
        };
        let column = chosen.unwrap_or_else(|| self.column(random));
        predicate(self, column, random)
    }

    /// Aggregates or the first rows in an order, over at most one predicate, of the table or of a union of two parts of it.
    fn operator(&self, random: &mut StdRng) -> Query {
        let filter = random.random_bool(0.7).then(|| self.alone(random));
        let order = self
            .unique
            .filter(|_| random.random_bool(0.5))
            .map(|unique| self.order(unique, random));
        let output = match order {
            Some(_) => Output::Columns(self.some_columns(1, random)),
            None => self.aggregates(random),
        };
        let limit = order.as_ref().map(|_| random.random_range(1..20));
        // Few conditions: a source computes a union only if it decides all of them.
        let union = random
            .random_bool(0.3)
            .then(|| std::array::from_fn(|_| random.random_bool(0.4).then(|| self.alone(random))));
        let filter = filter.filter(|_| union.is_none() || random.random_bool(0.4));
        Query {
            output,
            limit,
            offset: 0,
            filter,
            join: None,
            mate: None,
            union,
            order,
        }
    }

    /// The rows of the table that meet rows of the table itself, below few conditions.
    fn with_mate(&self, mate: Mate, random: &mut StdRng) -> Query {
        let output = match random.random_range(0..10) {
            0..=1 => Output::Count,
            2..=4 => self.aggregates(random),
            _ => Output::Columns(self.some_columns(1, random)),
        };
        Query {
            output,
            filter: random.random_bool(0.6).then(|| self.condition(1, random)),
            join: None,
            mate: Some(mate),
            union: None,
            order: None,
            limit: None,
            offset: 0,
        }
    }

    /// A join of the table with itself by columns of many values, one of them a key most often; by two columns of one type,
    /// now and then. `None` for a table without such columns.
    fn mate(&self, random: &mut StdRng) -> Option<Mate> {
        let selective = |&column: &usize| {
            let pool = &self.columns[column];
            pool.is_joined() && pool.values.len() * MATES_MAX >= self.rows.len()
        };
        let all: Vec<usize> = (0..self.columns.len()).filter(selective).collect();
        let keys: Vec<usize> = self
            .lookup_keys
            .iter()
            .flatten()
            .copied()
            .filter(selective)
            .collect();
        let by_key = random.random_bool(0.7);
        let left = *keys.choose(random).filter(|_| by_key).or(all.choose(random))?;
        let same_type = |&&column: &&usize| self.columns[column].data_type == self.columns[left].data_type;
        let other = all
            .iter()
            .filter(same_type)
            .choose(random)
            .copied()
            .unwrap_or(left);
        let right = if random.random_bool(0.7) { left } else { other };
        let name = |column: usize| self.columns[column].name.clone();
        let mut columns = vec![(name(left), name(right))];
        if random.random_bool(0.2) {
            let more = self
                .columns
                .iter()
                .filter(|column| column.is_joined())
                .choose(random)?;
            columns.push((more.name.clone(), more.name.clone()));
        }
        columns.dedup();
        let kinds = [
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Left,
            JoinKind::Right,
            JoinKind::Semi,
            JoinKind::Anti,
        ];
        let kind = *kinds.choose(random).unwrap_or(&JoinKind::Inner);
        let places: &[FilterPlace] = match kind {
            JoinKind::Semi | JoinKind::Anti => &[FilterPlace::Where],
            _ => &[FilterPlace::Where, FilterPlace::Where, FilterPlace::On],
        };
        Some(Mate {
            kind,
            columns,
            filter: random.random_bool(0.6).then(|| self.condition(1, random)),
            place: *places.choose(random).unwrap_or(&FilterPlace::Where),
            given: self.columns[random.random_range(0..self.columns.len())]
                .name
                .clone(),
        })
    }

    /// Aggregates of the whole table or of groups of up to two columns.
    fn aggregates(&self, random: &mut StdRng) -> Output {
        let groups = random.random_range(0..=2_usize);
        let mut groups: Vec<String> = (0..groups).map(|_| self.grouped(random).name.clone()).collect();
        groups.dedup();
        let calls = random.random_range(usize::from(groups.is_empty())..=3);
        let calls = (0..calls).map(|_| {
            let column = self.grouped(random);
            let name = &column.name;
            match random.random_range(0..13) {
                6 => {
                    let condition = predicate(self, self.column(random), random);
                    format!("count(*) FILTER (WHERE {condition})")
                }
                7 if column.is_summed() => {
                    let condition = predicate(self, self.column(random), random);
                    format!("sum(CASE WHEN {condition} THEN t.{name} END)")
                }
                8 if column.is_summed() && column.data_type.is_decimal() => format!("avg(t.{name})"),
                9 if column.is_multiplied() => {
                    format!("sum(t.{name} * (2.5 - t.{name}))")
                }
                10 if column.is_summed() => format!("max(t.{name} - 0.5)"),
                0 => "count(*)".to_owned(),
                1 => format!("count(t.{name})"),
                2 | 11 | 12 => format!("count(DISTINCT t.{name})"),
                3 => format!("min(t.{name})"),
                4 => format!("max(t.{name})"),
                _ if column.is_summed() => format!("sum(t.{name})"),
                _ => format!("max(t.{name})"),
            }
        });
        Output::Aggregates {
            calls: calls.collect(),
            groups,
            having: random.random_bool(0.2).then(|| self.having(random)),
        }
    }

    /// A condition on groups.
    fn having(&self, random: &mut StdRng) -> String {
        if random.random_bool(0.4) {
            return format!("count(*) > {}", random.random_range(0..4));
        }
        let column = self.grouped(random);
        let function = *["min", "max"].choose(random).unwrap_or(&"min");
        let operator = *["=", "<>", "<", ">="].choose(random).unwrap_or(&"=");
        let value = literal(&column.value(random));
        format!("{function}(t.{}) {operator} {value}", column.name)
    }

    /// A column whose equal values are the same: of -0.0 and 0.0, which are one group, either may stand for it.
    fn grouped(&self, random: &mut StdRng) -> &ColumnPool {
        match self.column(random) {
            column if column.data_type.is_floating() || !column.is_compared() => &self.columns[0],
            column => column,
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
        let text = self.texts().choose(random).filter(|_| random.random_bool(0.3));
        let first = text.unwrap_or_else(|| self.column(random));
        let first = if first.is_compared() {
            first
        } else {
            &self.columns[unique]
        };
        Order {
            first: format!("{}{direction}", first.name),
            unique: self.columns[unique].name.clone(),
        }
    }

    fn join(&self, random: &mut StdRng) -> Join {
        let columns = self.join_columns(random);
        let count = match random.random_range(0..20) {
            0 => 0,
            1..=13 => random.random_range(1..12),
            _ => random.random_range(1..=KEYS_MAX),
        };
        let kinds = [
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Left,
            JoinKind::Right,
            JoinKind::Semi,
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

    /// The columns of a join: one in twenty joins by any column, all others by a key, or little would be learned of
    /// lookups.
    fn join_columns(&self, random: &mut StdRng) -> Vec<usize> {
        let by_key = random.random_bool(0.95);
        if let Some(key) = self.lookup_keys.choose(random).filter(|_| by_key) {
            return key.clone();
        }
        let columns = 0..self.columns.len();
        let joinable: Vec<usize> = columns
            .filter(|&column| self.columns[column].is_joined())
            .collect();
        joinable.choose(random).map_or(Vec::new(), |&column| vec![column])
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

    fn texts(&self) -> impl Iterator<Item = &ColumnPool> {
        self.columns.iter().filter(|column| column.is_text())
    }

    /// The columns of all keys, those of several keys as often.
    fn keys(&self) -> impl Iterator<Item = &ColumnPool> {
        let keys = self.lookup_keys.iter().flatten();
        keys.map(|&key| &self.columns[key])
    }

    fn column(&self, random: &mut StdRng) -> &ColumnPool {
        // Text has the most rules, so it is asked about most; of some sources only the keys can be asked.
        let chosen = match random.random_range(0..20) {
            0..=4 => self.texts().choose(random),
            5..=6 => self.keys().choose(random),
            _ => None,
        };
        chosen.unwrap_or_else(|| &self.columns[random.random_range(0..self.columns.len())])
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

    /// Whether its values are compared: not arrays and composites, nor intervals, of which a day and 24 hours are equal
    /// to some and not to others.
    pub(crate) fn is_compared(&self) -> bool {
        !self.data_type.is_nested() && !matches!(self.data_type, DataType::Interval(_))
    }

    /// Whether the sum of a few rows fits its type in every engine.
    fn is_summed(&self) -> bool {
        const DIGITS_MAX: u8 = 28;
        match self.data_type {
            DataType::Int16 | DataType::Int32 => true,
            DataType::Decimal128(precision, _) => precision <= DIGITS_MAX,
            _ => false,
        }
    }

    /// Whether the sum of products of two such values fits, too.
    fn is_multiplied(&self) -> bool {
        const DIGITS_MAX: u8 = 12;
        matches!(self.data_type, DataType::Decimal128(precision, _) if precision <= DIGITS_MAX)
    }

    fn is_joined(&self) -> bool {
        self.is_compared() && self.data_type != DataType::Boolean && !self.data_type.is_floating()
    }

    /// A value of the column, or NULL when it has none.
    pub(crate) fn value(&self, random: &mut StdRng) -> ScalarValue {
        self.values.choose(random).cloned().unwrap_or(ScalarValue::Null)
    }
}
