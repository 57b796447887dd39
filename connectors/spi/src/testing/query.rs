//! The queries of the law harness: a small tree that prints itself as SQL and knows its smaller versions.
//!
//! The table under test is `t`, the in-memory table of join keys is `keys` (as `k`); where `t` meets itself, the other one is
//! `u`.

use std::fmt;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::literal::typed_literal;

/// A condition over the columns of `t`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A predicate that is not taken apart.
    Predicate(String),
    /// `value [NOT] IN (list)`.
    In {
        /// The left side.
        value: String,
        /// The items, not empty.
        list: Vec<String>,
        /// Whether NOT stands before IN.
        negated: bool,
    },
    /// `NOT (..)`.
    Not(Box<Condition>),
    /// `(..) AND (..)`.
    All(Vec<Condition>),
    /// `(..) OR (..)`.
    Any(Vec<Condition>),
    /// `CASE WHEN .. THEN .. ELSE .. END`.
    Case(Box<[Condition; 3]>),
    /// `(..) IS TRUE` and its like; the text is what follows `IS`.
    Is(Box<Condition>, &'static str),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Predicate(sql) => f.write_str(sql),
            Self::In { value, list, negated } => {
                let not = if *negated { "NOT " } else { "" };
                write!(f, "{value} {not}IN ({})", list.join(", "))
            }
            Self::Not(inner) => write!(f, "NOT ({inner})"),
            Self::All(parts) => joined(f, parts, " AND "),
            Self::Any(parts) => joined(f, parts, " OR "),
            Self::Case(parts) => {
                let [when, then, otherwise] = parts.as_ref();
                write!(f, "CASE WHEN {when} THEN {then} ELSE {otherwise} END")
            }
            Self::Is(inner, test) => write!(f, "({inner}) IS {test}"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Condition], between: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        let before = if index == 0 { "" } else { between };
        write!(f, "{before}({part})")?;
    }
    Ok(())
}

impl Condition {
    /// The conditions with one step less in them, most reduced first.
    pub fn smaller(&self) -> Vec<Condition> {
        match self {
            Self::Predicate(_) => Vec::new(),
            Self::In { value, list, negated } => {
                let without = |index: usize| {
                    let mut list = list.clone();
                    list.remove(index);
                    Self::In {
                        value: value.clone(),
                        list,
                        negated: *negated,
                    }
                };
                (0..list.len()).filter(|_| list.len() > 1).map(without).collect()
            }
            Self::Not(inner) => smaller_inside(inner, |inner| Self::Not(Box::new(inner))),
            Self::Is(inner, test) => smaller_inside(inner, |inner| Self::Is(Box::new(inner), test)),
            Self::All(parts) => smaller_parts(parts, Self::All),
            Self::Any(parts) => smaller_parts(parts, Self::Any),
            Self::Case(parts) => {
                let mut smaller: Vec<Condition> = parts.to_vec();
                for (index, part) in parts.iter().enumerate() {
                    smaller.extend(part.smaller().into_iter().map(|part| {
                        let mut parts = parts.clone();
                        parts[index] = part;
                        Self::Case(parts)
                    }));
                }
                smaller
            }
        }
    }
}

fn smaller_inside(inner: &Condition, rebuild: impl Fn(Condition) -> Condition) -> Vec<Condition> {
    std::iter::once(inner.clone())
        .chain(inner.smaller().into_iter().map(rebuild))
        .collect()
}

fn smaller_parts(parts: &[Condition], rebuild: impl Fn(Vec<Condition>) -> Condition) -> Vec<Condition> {
    let mut smaller: Vec<Condition> = parts.to_vec();
    for index in 0..parts.len() {
        if parts.len() > 2 {
            let mut fewer = parts.to_vec();
            fewer.remove(index);
            smaller.push(rebuild(fewer));
        }
        for part in parts[index].smaller() {
            let mut changed = parts.to_vec();
            changed[index] = part;
            smaller.push(rebuild(changed));
        }
    }
    smaller
}

/// What a query gives back.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Columns of `t`; may be empty below a join, where the key's number is given too.
    Columns(Vec<String>),
    /// `count(*)`.
    Count,
    /// A row for each group of rows with equal values of some columns; one row where there are none.
    Aggregates {
        /// The columns.
        groups: Vec<String>,
        /// What is computed of each group, as SQL; not empty where there are no columns.
        calls: Vec<String>,
        /// Which groups are given.
        having: Option<String>,
    },
}

/// How `t` meets the keys, or itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// `keys JOIN t`.
    Inner,
    /// `keys LEFT JOIN t`.
    Left,
    /// `t LEFT JOIN keys`: every row of `t` is kept.
    Right,
    /// Rows of `t` with a key.
    Semi,
    /// Rows of `t` without a key.
    Anti,
}

/// A join of `t` with itself, which its source may compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Mate {
    /// The kind: `u` stands where the keys would.
    pub kind: JoinKind,
    /// The columns of `t` and of `u` that are equal.
    pub columns: Vec<(String, String)>,
    /// The condition on `u`.
    pub filter: Option<Condition>,
    /// Where the query's condition on `t` stands: in WHERE or in ON.
    pub place: FilterPlace,
    /// The column of `u` that is given beside those of `t`.
    pub given: String,
}

/// Where a condition stands in a left join: it means something else in each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterPlace {
    /// In WHERE.
    Where,
    /// In ON.
    On,
    /// In a subquery that is joined.
    Below,
}

/// A join with a small table of keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The kind.
    pub kind: JoinKind,
    /// The columns of `t` that are compared with `k0`, `k1`, ...
    pub columns: Vec<String>,
    /// The types of these columns, and of the keys.
    pub types: Vec<DataType>,
    /// One row per key; may hold NULLs and repeats.
    pub keys: Vec<Vec<ScalarValue>>,
    /// Where the query's condition stands.
    pub place: FilterPlace,
}

/// An order that is total: by one column, then by a unique one.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The first sort key with its direction and place of NULLs.
    pub first: String,
    /// The unique column.
    pub unique: String,
}

/// One query of the harness.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What it gives.
    pub output: Output,
    /// The condition on `t`.
    pub filter: Option<Condition>,
    /// The join with keys, if any.
    pub join: Option<Join>,
    /// The join with the table itself, if any; never with another one, an order or a limit.
    pub mate: Option<Mate>,
    /// The conditions of two parts of `t` whose union stands in its place; never with a join.
    pub union: Option<[Option<Condition>; 2]>,
    /// The order, if any; never with a join.
    pub order: Option<Order>,
    /// The limit, if any.
    pub limit: Option<usize>,
    /// Rows left out before the limit counts.
    pub offset: usize,
}

impl Query {
    /// The query without its limit and offset: what a limited result must be a part of.
    pub fn unlimited(&self) -> Query {
        Query {
            limit: None,
            offset: 0,
            ..self.clone()
        }
    }

    /// The whole query with its keys written out, so that it can be run anywhere.
    pub fn standalone(&self) -> String {
        let Some(join) = &self.join else {
            return self.to_string();
        };
        let numbered = join.keys.iter().enumerate().map(|(n, key)| {
            let values: Vec<String> = key.iter().map(typed_literal).collect();
            format!("({n}, {})", values.join(", "))
        });
        let names: Vec<String> = (0..join.columns.len()).map(|index| format!("k{index}")).collect();
        let names = names.join(", ");
        let rows: Vec<String> = numbered.collect();
        if rows.is_empty() {
            return format!("-- the table keys (n, {names}) is empty\n{self}");
        }
        format!("WITH keys (n, {names}) AS (VALUES {}) {self}", rows.join(", "))
    }

    fn columns(&self) -> String {
        let keys = match &self.join {
            Some(join) if matches!(join.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Right) => {
                vec!["k.n AS n".to_owned()]
            }
            _ => Vec::new(),
        };
        match &self.output {
            Output::Count => "count(*) AS c0".to_owned(),
            Output::Aggregates { groups, calls, .. } => {
                let groups = groups.iter().map(|column| format!("t.{column}"));
                let outputs = groups.chain(calls.iter().cloned()).enumerate();
                let named: Vec<String> = outputs.map(|(n, output)| format!("{output} AS c{n}")).collect();
                named.join(", ")
            }
            Output::Columns(columns) => {
                let named = columns
                    .iter()
                    .enumerate()
                    .map(|(index, column)| format!("t.{column} AS c{index}"));
                let given = self.mate.as_ref().filter(|mate| !mate.only_tests());
                let given = given.map(|mate| format!("u.{} AS d0", mate.given));
                let all: Vec<String> = keys.into_iter().chain(named).chain(given).collect();
                all.join(", ")
            }
        }
    }

    fn tables(&self) -> String {
        if let Some(mate) = &self.mate {
            return mate.tables(self.filter.as_ref());
        }
        if let Some(parts) = &self.union {
            let part = |filter: &Option<Condition>| match filter {
                Some(filter) => format!("SELECT * FROM t WHERE {filter}"),
                None => "SELECT * FROM t".to_owned(),
            };
            let parts: Vec<String> = parts.iter().map(part).collect();
            return format!("({}) AS t", parts.join(" UNION ALL "));
        }
        let Some(join) = &self.join else {
            return "t".to_owned();
        };
        let mut on: Vec<String> = join
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| format!("t.{column} = k.k{index}"))
            .collect();
        let mut table = "t".to_owned();
        match (&self.filter, join.place) {
            (Some(filter), FilterPlace::On) => on.push(format!("({filter})")),
            (Some(filter), FilterPlace::Below) => table = format!("(SELECT * FROM t WHERE {filter}) AS t"),
            _ => {}
        }
        let on = on.join(" AND ");
        match join.kind {
            JoinKind::Inner => format!("keys AS k JOIN {table} ON {on}"),
            JoinKind::Left => format!("keys AS k LEFT JOIN {table} ON {on}"),
            JoinKind::Right => format!("{table} LEFT JOIN keys AS k ON {on}"),
            JoinKind::Semi | JoinKind::Anti => table,
        }
    }

    fn conditions(&self) -> Vec<String> {
        let places = [
            self.join.as_ref().map(|join| join.place),
            self.mate.as_ref().map(|mate| mate.place),
        ];
        let place = places.into_iter().flatten().next().unwrap_or(FilterPlace::Where);
        let mut conditions: Vec<String> = match (&self.filter, place) {
            (Some(filter), FilterPlace::Where) => vec![format!("({filter})")],
            _ => Vec::new(),
        };
        if let Some(join) = &self.join {
            conditions.extend(key_condition(join));
        }
        conditions.extend(self.mate.as_ref().and_then(Mate::test));
        conditions
    }
}

impl Mate {
    /// Whether no column of `u` is to be seen outside of its test.
    fn only_tests(&self) -> bool {
        matches!(self.kind, JoinKind::Semi | JoinKind::Anti)
    }

    /// `u` in FROM.
    fn table(&self) -> String {
        match &self.filter {
            Some(filter) => format!("(SELECT * FROM t WHERE {filter}) AS u"),
            None => "t AS u".to_owned(),
        }
    }

    fn equal(&self) -> Vec<String> {
        let equal = self.columns.iter().map(|(t, u)| format!("t.{t} = u.{u}"));
        equal.collect()
    }

    fn tables(&self, filter: Option<&Condition>) -> String {
        let joined = match self.kind {
            JoinKind::Inner => "t JOIN",
            JoinKind::Left => "t RIGHT JOIN",
            JoinKind::Right => "t LEFT JOIN",
            JoinKind::Semi | JoinKind::Anti => return "t".to_owned(),
        };
        let mut on = self.equal();
        if self.place == FilterPlace::On {
            on.extend(filter.map(|filter| format!("({filter})")));
        }
        format!("{joined} {} ON {}", self.table(), on.join(" AND "))
    }

    /// The membership test of a semi or anti join.
    fn test(&self) -> Option<String> {
        let not = match self.kind {
            JoinKind::Semi => "",
            JoinKind::Anti => "NOT ",
            _ => return None,
        };
        let equal = self.equal().join(" AND ");
        Some(format!(
            "{not}EXISTS (SELECT 1 FROM {} WHERE {equal})",
            self.table()
        ))
    }
}

/// The membership test of a semi or anti join.
fn key_condition(join: &Join) -> Option<String> {
    let not = match join.kind {
        JoinKind::Semi => "",
        JoinKind::Anti => "NOT ",
        _ => return None,
    };
    if let [column] = join.columns.as_slice() {
        return Some(format!("t.{column} {not}IN (SELECT k.k0 FROM keys AS k)"));
    }
    let on: Vec<String> = join
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("t.{column} = k.k{index}"))
        .collect();
    Some(format!(
        "{not}EXISTS (SELECT 1 FROM keys AS k WHERE {})",
        on.join(" AND ")
    ))
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT {} FROM {}", self.columns(), self.tables())?;
        let conditions = self.conditions();
        if !conditions.is_empty() {
            write!(f, " WHERE {}", conditions.join(" AND "))?;
        }
        if let Output::Aggregates { groups, having, .. } = &self.output {
            if !groups.is_empty() {
                write!(f, " GROUP BY t.{}", groups.join(", t."))?;
            }
            if let Some(having) = having {
                write!(f, " HAVING {having}")?;
            }
        }
        if let Some(order) = &self.order {
            write!(f, " ORDER BY t.{}, t.{}", order.first, order.unique)?;
        }
        if let Some(limit) = self.limit {
            write!(f, " LIMIT {limit}")?;
        }
        if self.offset > 0 {
            write!(f, " OFFSET {}", self.offset)?;
        }
        Ok(())
    }
}
