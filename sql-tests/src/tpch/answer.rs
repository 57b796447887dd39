//! The queries' texts, and the comparison of their rows with the answers in `tpch/answers`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::client::Row;

/// Engines round the last digits of averages and quotients differently.
const TOLERANCE_ABSOLUTE: f64 = 1e-5;
const TOLERANCE_RELATIVE: f64 = 1e-6;

/// How the values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exact,
    Computed,
}

/// The right rows of one query, in its order.
#[derive(Clone, Debug)]
pub struct Answer {
    kinds: Vec<Kind>,
    rows: Vec<Row>,
}

/// The names of the queries: `q01` to `q22`, and a few more as `q08b`, which say the same with other parameters.
pub fn query_names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder().join("queries"))? {
        let name = file?.file_name().into_string().ok();
        names.extend(name.and_then(|name| Some(name.strip_suffix(".sql")?.to_owned())));
    }
    names.sort();
    Ok(names)
}

/// The text of a query, with `{table}` for the tables.
pub fn query(name: &str) -> Result<String> {
    read(&format!("queries/{name}.sql"))
}

/// The answer to a query at scale 0.01.
pub fn answer(name: &str) -> Result<Answer> {
    let text = read(&format!("answers/{name}.tsv"))?;
    let mut lines = text.lines().map(|line| line.split('\t'));
    let kinds = lines.next().context("an empty answer")?;
    let kinds = kinds
        .map(|kind| {
            if kind == "computed" {
                Kind::Computed
            } else {
                Kind::Exact
            }
        })
        .collect();
    let value = |value: &str| (value != "\\N").then(|| value.to_owned());
    Ok(Answer {
        kinds,
        rows: lines.map(|line| line.map(value).collect()).collect(),
    })
}

impl Answer {
    /// Refuses `rows` with the first difference: other rows, or rows in an order the query does not allow.
    ///
    /// The order is checked by the columns that `order_by` names (from 0): rows that tie in them may stand in any order.
    pub fn check(&self, rows: &[Row], order_by: &[usize]) -> Result<()> {
        if rows.len() != self.rows.len() {
            bail!("{} rows instead of {}", rows.len(), self.rows.len());
        }
        for (index, (actual, expected)) in rows.iter().zip(&self.rows).enumerate() {
            for &column in order_by {
                self.check_value(index, column, actual, expected)?;
            }
        }
        for (index, (actual, expected)) in sorted(&self.kinds, rows)
            .into_iter()
            .zip(sorted(&self.kinds, &self.rows))
            .enumerate()
        {
            if actual.len() != self.kinds.len() {
                bail!("{} columns instead of {}", actual.len(), self.kinds.len());
            }
            for column in 0..self.kinds.len() {
                self.check_value(index, column, actual, expected)?;
            }
        }
        Ok(())
    }

    fn check_value(&self, index: usize, column: usize, actual: &Row, expected: &Row) -> Result<()> {
        let (actual_value, expected_value) = (actual.get(column), expected.get(column));
        let equal = match (actual_value, expected_value) {
            (Some(Some(actual)), Some(Some(expected))) => equal(self.kinds[column], actual, expected),
            (actual, expected) => actual == expected,
        };
        if !equal {
            bail!(
                "row {index}, column {column}: {actual_value:?} instead of {expected_value:?}; {actual:?}, {expected:?}"
            );
        }
        Ok(())
    }
}

fn equal(kind: Kind, actual: &str, expected: &str) -> bool {
    match kind {
        Kind::Exact => plain(actual) == plain(expected),
        Kind::Computed => match (actual.parse::<f64>(), expected.parse::<f64>()) {
            (Ok(actual), Ok(expected)) => {
                (actual - expected).abs() <= TOLERANCE_ABSOLUTE.max(expected.abs() * TOLERANCE_RELATIVE)
            }
            _ => false,
        },
    }
}

/// A decimal without the zeros that do not change its value; other texts as they are.
fn plain(text: &str) -> &str {
    let is_decimal = text.contains('.') && text.parse::<f64>().is_ok() && !text.contains(['e', 'E']);
    if is_decimal {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// The rows in one order for both sides: by the exact columns, as the computed ones may differ a little.
fn sorted<'a>(kinds: &[Kind], rows: &'a [Row]) -> Vec<&'a Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_cached_key(|row| {
        row.iter()
            .zip(kinds)
            .filter(|(_, kind)| **kind == Kind::Exact)
            .map(|(value, _)| value.as_deref().map(|value| plain(value).to_owned()))
            .collect::<Vec<_>>()
    });
    rows
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tpch")
}

fn read(path: &str) -> Result<String> {
    let path = folder().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            kinds: vec![Kind::Exact, Kind::Exact, Kind::Computed],
            rows: vec![
                row(["1", "a", "0.5"]),
                row(["2.50", "b", "1000000"]),
                row(["2.50", "c", "3"]),
            ],
        }
    }

    fn row(values: [&str; 3]) -> Row {
        values.map(|value| Some(value.to_owned())).to_vec()
    }

    #[test]
    fn ties_may_swap_and_zeros_do_not_count() {
        let rows = [
            row(["1", "a", "0.500009"]),
            row(["2.5", "c", "3.00"]),
            row(["2.5000", "b", "1000000.9"]),
        ];
        answer().check(&rows, &[0]).unwrap();
    }

    #[test]
    fn every_other_difference_is_refused() {
        let right = answer().rows;
        let with = |index: usize, values| {
            let mut rows = right.clone();
            rows[index] = row(values);
            rows
        };
        let swapped = vec![right[1].clone(), right[0].clone(), right[2].clone()];
        let null = vec![vec![None, None, None], right[1].clone(), right[2].clone()];
        for rows in [
            with(0, ["1", "A", "0.5"]),
            with(0, ["10", "a", "0.5"]),
            with(0, ["1", "a", "0.50002"]),
            with(1, ["2.50", "b", "1000002"]),
            swapped,
            null,
            right[..2].to_vec(),
        ] {
            answer().check(&rows, &[0]).unwrap_err();
        }
    }
}
