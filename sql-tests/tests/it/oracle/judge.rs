//! Sends a query to PostgreSQL and to the server under test, and compares what they answer.

use std::fmt;

use causeway_sql_tests::client::{Client, QueryFailure, Row, Rows};

use super::kind::Kind;
use super::places::{Place, Placed};
use super::query::{Names, OrderKey, Query};

/// Rows of a difference that are shown.
const SHOWN_MAX: usize = 12;

/// What became of one query.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The same answer, of so many rows.
    Alike(usize),
    /// Errors of the same class.
    AlikeErrors,
    /// The server under test refuses the query.
    Refused(String),
    /// PostgreSQL refuses the query: it is the generator that is wrong.
    Invalid(String),
    Different(Difference),
}

/// The sessions of the server under test: with pushdown, with joins that look at their other side first however few rows a
/// table has, and without pushdown.
pub(super) const SESSIONS: [(&str, &str); 3] = [
    ("pushdown", "SET pushdown = on"),
    ("joins that look first", "SET causeway.join_scan_rows = 0"),
    ("no pushdown", "SET pushdown = off"),
];

/// In which of the sessions a query is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Pushed,
    LookingFirst,
    All,
}

impl Sides {
    /// Their places among [`SESSIONS`].
    pub(super) fn sessions(self) -> &'static [usize] {
        match self {
            Self::Pushed => &[0],
            Self::LookingFirst => &[1],
            Self::All => &[0, 1, 2],
        }
    }
}

/// How the answers differ.
#[derive(Debug)]
pub(super) struct Difference {
    /// What the session is for that it showed in.
    pub(super) session: &'static str,
    pub(super) sort: Sort,
    pub(super) shown: String,
}

/// Differences of one sort are made smaller together: a step must not lead from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Rows,
    OnlyPostgresAnswers(String),
    OnlyCausewayAnswers,
}

/// A connection to each server.
pub(super) struct Judge<'a> {
    places: &'a [Place],
    postgres: Client,
    /// In the order of [`SESSIONS`].
    causeway: Vec<Client>,
}

type Answer = Result<Rows, QueryFailure>;

impl<'a> Judge<'a> {
    pub(super) async fn new(placed: &'a Placed) -> Self {
        let mut causeway = Vec::new();
        for (_, set) in SESSIONS {
            causeway.push(placed.causeway(set).await);
        }
        Self {
            places: &placed.places,
            postgres: placed.postgres().await,
            causeway,
        }
    }

    /// The query as the server under test gets it.
    pub(super) fn sql(&self, query: &Query) -> String {
        query.render(Names::Causeway(self.places))
    }

    /// The answer of PostgreSQL, whatever it is.
    async fn postgres(&self, query: &Query) -> Answer {
        ask(&self.postgres, &query.render(Names::Postgres)).await
    }

    /// The answer of the server under test in one of its sessions.
    pub(super) async fn causeway(&self, sql: &str, session: usize) -> Answer {
        ask(&self.causeway[session], sql).await
    }

    /// Compares the answers.
    pub(super) async fn judge(&self, query: &Query, sides: Sides) -> Verdict {
        let expected = self.postgres(query).await;
        match &expected {
            Err(failure) if failure.sqlstate == "57014" => {
                return Verdict::Refused("PostgreSQL takes too long".to_owned());
            }
            Err(failure) if !failure.sqlstate.starts_with("22") => {
                return Verdict::Invalid(failure.to_string());
            }
            _ => {}
        }
        let sql = self.sql(query);
        let mut verdict = Verdict::AlikeErrors;
        for &index in sides.sessions() {
            let found = self.causeway(&sql, index).await;
            verdict = match self.compare(query, &expected, &found).await {
                Ok(verdict) => verdict,
                Err((sort, shown)) => {
                    return Verdict::Different(Difference {
                        session: SESSIONS[index].0,
                        sort,
                        shown,
                    });
                }
            };
        }
        verdict
    }

    async fn compare(
        &self,
        query: &Query,
        expected: &Answer,
        found: &Answer,
    ) -> Result<Verdict, (Sort, String)> {
        match (expected, found) {
            (_, Err(found)) if found.sqlstate == "0A000" => Ok(Verdict::Refused(found.message.clone())),
            (Err(expected), Err(found)) if expected.sqlstate[..2] == found.sqlstate[..2] => {
                Ok(Verdict::AlikeErrors)
            }
            (Ok(expected), Ok(found)) => match self.compare_rows(query, expected, found).await {
                None => Ok(Verdict::Alike(expected.rows.len())),
                Some(difference) => Err((Sort::Rows, difference)),
            },
            (Ok(_), Err(found)) | (Err(_), Err(found)) => {
                let sort = Sort::OnlyPostgresAnswers(found.sqlstate.clone());
                Err((sort, both(expected, &Err(found.clone()))))
            }
            (Err(_), Ok(_)) => Err((Sort::OnlyCausewayAnswers, both(expected, found))),
        }
    }

    /// Says how the rows differ, if they do.
    async fn compare_rows(&self, query: &Query, expected: &Rows, found: &Rows) -> Option<String> {
        let kinds = query.kinds();
        let expected = normal(&kinds, expected);
        let found = normal(&kinds, found);
        if expected.len() != found.len() {
            return Some(difference(&expected, &found));
        }
        let keys: Vec<usize> = query.order.iter().map(|key| key.column).collect();
        let in_order = |rows: &[Row]| -> Vec<Row> { rows.iter().map(|row| cells(row, &keys)).collect() };
        let (expected_order, found_order) = (in_order(&expected), in_order(&found));
        // PostgreSQL takes a key of grouping sets that a condition gives one value for constant, and does not sort by it.
        let is_sorted = |rows: &[Row]| nulls_are_in_place(rows, &query.order);
        if expected_order != found_order && (is_sorted(&expected_order) || !is_sorted(&found_order)) {
            let text = |rows: &[Row]| {
                rows.iter()
                    .take(SHOWN_MAX)
                    .map(line)
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            return Some(format!(
                "the order differs\nPostgreSQL:\n{}\nCauseway:\n{}",
                text(&expected),
                text(&found)
            ));
        }
        if !query.is_limited() {
            return (sorted(&expected) != sorted(&found)).then(|| difference(&expected, &found));
        }
        // Among equals any may be chosen, but only from the rows that there are.
        let all = match self.postgres(&query.unlimited()).await {
            Ok(all) => normal(&kinds, &all),
            Err(_) => return None,
        };
        let foreign = without(&found, &all);
        (!foreign.is_empty()).then(|| difference(&[], &foreign))
    }
}

async fn ask(client: &Client, sql: &str) -> Answer {
    client
        .try_query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:#}"))
}

/// The rows without the sign of the negative zero: it equals the other one, and which of them stands for a group, or for
/// the least of several, is nobody's law.
fn normal(kinds: &[Kind], rows: &Rows) -> Vec<Row> {
    let cell = |(value, kind): (&Option<String>, &Kind)| match (value.as_deref(), kind) {
        (Some("-0"), Kind::Float) => Some("0".to_owned()),
        (value, _) => value.map(str::to_owned),
    };
    rows.rows
        .iter()
        .map(|row| row.iter().zip(kinds).map(cell).collect())
        .collect()
}

/// Whether the NULLs of the keys, which `rows` are cut to, stand where `order` wants them.
fn nulls_are_in_place(rows: &[Row], order: &[OrderKey]) -> bool {
    rows.windows(2).all(|pair| {
        let mut cells = pair[0].iter().zip(&pair[1]).zip(order);
        match cells.find(|((one, next), _)| one != next) {
            Some(((None, _), key)) => key.nulls_first(),
            Some(((_, None), key)) => !key.nulls_first(),
            _ => true,
        }
    })
}

fn cells(row: &Row, columns: &[usize]) -> Row {
    columns.iter().map(|&column| row[column].clone()).collect()
}

pub(super) fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

/// The rows of `left` that `right` does not have, as often as they are missing.
fn without(left: &[Row], right: &[Row]) -> Vec<Row> {
    let mut rest = right.to_vec();
    left.iter()
        .filter(|row| match rest.iter().position(|other| other == *row) {
            Some(index) => {
                rest.swap_remove(index);
                false
            }
            None => true,
        })
        .cloned()
        .collect()
}

pub(super) fn difference(expected: &[Row], found: &[Row]) -> String {
    let mut text = format!(
        "{} rows in PostgreSQL, {} in Causeway",
        expected.len(),
        found.len()
    );
    for (who, rows) in [
        ("only PostgreSQL", without(expected, found)),
        ("only Causeway", without(found, expected)),
    ] {
        for row in rows.iter().take(SHOWN_MAX) {
            text += &format!("\n{who}: {}", line(row));
        }
    }
    text
}

fn line(row: &Row) -> String {
    let values: Vec<String> = row
        .iter()
        .map(|value| {
            value
                .as_ref()
                .map_or("NULL".to_owned(), |value| format!("{value:?}"))
        })
        .collect();
    values.join(", ")
}

fn both(expected: &Answer, found: &Answer) -> String {
    let text = |answer: &Answer| match answer {
        Ok(rows) => format!("{} rows", rows.rows.len()),
        Err(failure) => format!("{failure}"),
    };
    format!("PostgreSQL: {}\nCauseway: {}", text(expected), text(found))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "with {}: {}", self.session, self.shown)
    }
}
