//! Scans in parts: ranges of a key, each read by a statement of its own.
//!
//! The bounds are chosen when the scan is planned and stand in the split, so that each split can be read by itself.
//! They only balance the work: whatever the table holds when it is read, each of its rows is in exactly one range.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use causeway_spi::{ConnectorError, ErrorKind, Result, Split, TableName};
use datafusion::common::ScalarValue;

use crate::print::{Dialect, Statement};
use crate::remote::{ColumnForm, Comparison, RemoteExpr, RemoteSelect, RemoteValue};

/// How the part of a split begins that is the whole scan: the reason follows.
const ONE: &str = "one: ";
/// How the part of a split begins that is a range: the bounds and the key's column follow.
const RANGES: &str = "ranges ";
const OF: &str = " of ";

/// Why a scan is read in one part.
pub type OnePart = Cow<'static, str>;

/// A source that can read the parts of one scan over several connections.
#[async_trait]
pub trait PartReader: Send + Sync {
    /// In how many parts a scan of about `rows` rows is read at most, or why in one.
    fn parts_max(&self, rows: usize) -> Result<usize, OnePart>;

    /// Runs `statement`, whose one row is the least and the greatest value of a column; `None` where both are NULL.
    /// Never waits long: what cannot be had now is a reason for one part.
    async fn bounds(&self, statement: &Statement) -> Result<Option<(i128, i128)>, OnePart>;

    /// How the parts relate to each other, for EXPLAIN.
    fn moment(&self) -> &'static str;
}

/// Ranges of the values of a column, which follow each other and leave nothing out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRanges {
    /// Index into the table's columns; its values are integers.
    column: usize,
    /// The first value of each range but the first one, ascending.
    bounds: Vec<i128>,
}

impl KeyRanges {
    /// At most `parts` ranges of about the same width between `low` and `high`.
    pub(crate) fn between(column: usize, (low, high): (i128, i128), parts: usize) -> Self {
        let values = (high - low).saturating_add(1).max(1);
        let parts = i128::try_from(parts).unwrap_or(i128::MAX).clamp(1, values);
        // Neither factor exceeds 65 bits.
        let bounds = (1..parts).map(|part| low + values * part / parts).collect();
        Self { column, bounds }
    }

    pub(crate) fn count(&self) -> usize {
        self.bounds.len() + 1
    }

    /// The split for each range; `column_name` says which column this is for a reader that opens the table anew.
    pub(crate) fn splits(&self, column_name: &str) -> Vec<Split> {
        let bounds: Vec<String> = self.bounds.iter().map(ToString::to_string).collect();
        let part = format!("{RANGES}{}{OF}{column_name}", bounds.join(","));
        (0..self.count())
            .map(|index| Split {
                index,
                part: part.clone(),
            })
            .collect()
    }

    /// The ranges that `split` is one of, of column `column`; `None` when it is the whole scan.
    pub(crate) fn of(
        split: &Split,
        table: &TableName,
        column: Option<(usize, &str)>,
    ) -> Result<Option<Self>> {
        let Some(ranges) = split.part.strip_prefix(RANGES) else {
            return Ok(None);
        };
        let unreadable = || {
            let message = format!("a part of a scan of table {table} cannot be read: {}", split.part);
            ConnectorError::new(ErrorKind::Internal, message)
        };
        let (bounds, name) = ranges.split_once(OF).ok_or_else(unreadable)?;
        let Some((column, _)) = column.filter(|(_, own)| *own == name) else {
            let message = format!("table {table} has another key now than when it was planned");
            return Err(ConnectorError::new(ErrorKind::Changed, message).hint("Run the query again."));
        };
        let bounds: Option<Vec<i128>> = bounds.split(',').map(|bound| bound.parse().ok()).collect();
        let ranges = bounds.map(|bounds| Self { column, bounds });
        let sound = |ranges: &Self| {
            split.index < ranges.count()
                && ranges.bounds.is_sorted()
                && ranges.bounds.iter().all(|bound| literal(*bound).is_some())
        };
        ranges.filter(sound).map(Some).ok_or_else(unreadable)
    }

    /// The conditions for a row to be in one of `ranges`.
    fn conditions(&self, ranges: &Range<usize>) -> Vec<RemoteExpr> {
        let bound = |range: usize| literal(*self.bounds.get(range.checked_sub(1)?)?);
        let compare =
            |comparison, value| RemoteExpr::compare(self.column, ColumnForm::Plain, comparison, value);
        let mut conditions = Vec::new();
        if let Some(low) = bound(ranges.start) {
            conditions.push(compare(Comparison::GreaterOrEqual, low));
        }
        if let Some(high) = bound(ranges.end) {
            let below = compare(Comparison::Less, high);
            // A key is never NULL, and the source knows it; only a column that has meanwhile been changed may be.
            conditions.push(match ranges.start {
                0 => RemoteExpr::Or(vec![below, RemoteExpr::IsNull(self.column)]),
                _ => below,
            });
        }
        conditions
    }
}

/// `bound` as integers are bound, signed or not.
fn literal(bound: i128) -> Option<RemoteValue> {
    let value = match (i64::try_from(bound), u64::try_from(bound)) {
        (Ok(signed), _) => ScalarValue::Int64(Some(signed)),
        (_, Ok(unsigned)) => ScalarValue::UInt64(Some(unsigned)),
        _ => return None,
    };
    Some(RemoteValue::plain(value))
}

/// The split of a scan that is read in one part for `reason`.
pub(crate) fn one_part(reason: &str) -> Split {
    Split {
        index: 0,
        part: format!("{ONE}{reason}"),
    }
}

/// What EXPLAIN shows of `splits`, whose parts relate to each other as `moment` says.
pub(crate) fn splits_text(splits: &[Split], moment: &str) -> Option<String> {
    let part = &splits.first()?.part;
    match part.strip_prefix(RANGES).and_then(|ranges| ranges.split_once(OF)) {
        Some((_, column)) => Some(format!("{} by {column}, {moment}", splits.len())),
        None => part.starts_with(ONE).then(|| part.clone()),
    }
}

/// One of the ranges that a scan is read in, with the statements for these and for all others.
#[derive(Clone)]
pub struct SqlPart {
    index: usize,
    ranges: KeyRanges,
    table: TableName,
    select: RemoteSelect,
    dialect: Dialect,
    query_id: Arc<str>,
}

impl SqlPart {
    /// Range `index` of `ranges` of the rows of `select`, which reads `table`.
    pub(crate) fn new(
        index: usize,
        ranges: KeyRanges,
        table: TableName,
        select: RemoteSelect,
        dialect: Dialect,
        query_id: Arc<str>,
    ) -> Self {
        Self {
            index,
            ranges,
            table,
            select,
            dialect,
            query_id,
        }
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Which of the ranges it is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many ranges there are.
    pub fn count(&self) -> usize {
        self.ranges.count()
    }

    /// The statement for the rows of `ranges`, which follow each other.
    pub fn statement(&self, ranges: Range<usize>) -> Statement {
        let mut select = self.select.clone();
        select.filters.splice(0..0, self.ranges.conditions(&ranges));
        select.print(self.dialect, &self.query_id)
    }

    /// A statement that opens the table and reads nothing of it.
    pub fn nothing(&self) -> Statement {
        let select = RemoteSelect {
            outputs: Vec::new(),
            filters: Vec::new(),
            limit: Some(0),
            ..self.select.clone()
        };
        select.print(self.dialect, &self.query_id)
    }
}

impl fmt::Debug for SqlPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range {} of {}", self.index, self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: i128 = i64::MIN as i128;
    const GREATEST: i128 = u64::MAX as i128;

    fn ranges(bounds: (i128, i128), parts: usize) -> KeyRanges {
        KeyRanges::between(0, bounds, parts)
    }

    fn part(ranges: KeyRanges) -> SqlPart {
        let table = TableName::new("c", "s", "t");
        let columns = ["id".to_owned(), "v".to_owned()].into();
        let select = RemoteSelect {
            filters: vec![RemoteExpr::IsNotNull(1)],
            ..RemoteSelect::of_table(table.clone(), columns, &[1])
        };
        SqlPart::new(0, ranges, table, select, Dialect::MySql, "q".into())
    }

    /// Whether `value` is in the range that `conditions` describe.
    fn holds(conditions: &[RemoteExpr], value: i128) -> bool {
        conditions.iter().all(|condition| match condition {
            RemoteExpr::Compare {
                comparison,
                value: bound,
                ..
            } => {
                let bound = match bound.value {
                    ScalarValue::Int64(Some(bound)) => i128::from(bound),
                    ScalarValue::UInt64(Some(bound)) => i128::from(bound),
                    ref other => panic!("{other}"),
                };
                match comparison {
                    Comparison::Less => value < bound,
                    Comparison::GreaterOrEqual => value >= bound,
                    other => panic!("{other:?}"),
                }
            }
            RemoteExpr::Or(members) => holds(&members[..1], value),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn every_value_is_in_one_range() {
        let extents = [
            (0, 0),
            (0, 1),
            (-3, 4),
            (1, 1_000_000),
            (LEAST, i128::from(i64::MAX)),
            (0, GREATEST),
            (GREATEST - 1, GREATEST),
            (LEAST, LEAST),
        ];
        for (low, high) in extents {
            for parts in [1, 2, 3, 4, 64] {
                let ranges = ranges((low, high), parts);
                let values = usize::try_from(high - low + 1).unwrap_or(usize::MAX);
                assert_eq!(ranges.count(), parts.min(values), "{low} to {high}");
                let mut probes = vec![LEAST, low, high, GREATEST, (low + high) / 2];
                for bound in &ranges.bounds {
                    probes.extend([bound - 1, *bound, bound + 1]);
                }
                for probe in probes {
                    let within = (0..ranges.count())
                        .filter(|&range| holds(&ranges.conditions(&(range..range + 1)), probe));
                    assert_eq!(within.count(), 1, "{probe} of {low} to {high} in {parts}");
                }
            }
        }
    }

    #[test]
    fn ranges_are_about_as_wide() {
        let ranges = ranges((1, 1_000), 4);
        assert_eq!(ranges.bounds, [251, 501, 751]);
    }

    #[test]
    fn neighbours_are_one_statement() {
        let part = part(ranges((0, 99), 4));
        let where_of = |range: Range<usize>| {
            let statement = part.statement(range);
            let sql = statement.sql.split_once(" WHERE ").unwrap().1.to_owned();
            (sql, statement.params)
        };
        let int = |value| ScalarValue::Int64(Some(value));
        assert_eq!(where_of(0..4), ("`v` IS NOT NULL".to_owned(), vec![]));
        assert_eq!(
            where_of(0..2),
            (
                "(`id` < ? OR `id` IS NULL) AND `v` IS NOT NULL".to_owned(),
                vec![int(50)]
            )
        );
        assert_eq!(
            where_of(1..3),
            (
                "`id` >= ? AND `id` < ? AND `v` IS NOT NULL".to_owned(),
                vec![int(25), int(75)]
            )
        );
        assert_eq!(
            where_of(3..4),
            ("`id` >= ? AND `v` IS NOT NULL".to_owned(), vec![int(75)])
        );
        assert_eq!(
            part.nothing().sql,
            "/* causeway q */ SELECT 1 AS c0 FROM `s`.`t` LIMIT 0"
        );
    }

    #[test]
    fn splits_are_read_as_they_were_written() {
        let table = TableName::new("c", "s", "t");
        let written = ranges((LEAST, GREATEST), 4);
        let splits = written.splits("of a , b");
        assert_eq!(splits.len(), 4);
        for split in &splits {
            let read = KeyRanges::of(split, &table, Some((0, "of a , b"))).unwrap();
            assert_eq!(read.as_ref(), Some(&written));
        }
        assert_eq!(
            splits_text(&splits, "each at its own moment").unwrap(),
            "4 by of a , b, each at its own moment"
        );
        for whole in [Split::whole(), one_part("a limit")] {
            assert_eq!(KeyRanges::of(&whole, &table, Some((0, "id"))).unwrap(), None);
        }
        assert_eq!(splits_text(&[one_part("a limit")], "").unwrap(), "one: a limit");
        assert_eq!(splits_text(&[Split::whole()], ""), None);
    }

    #[test]
    fn parts_of_another_key_or_that_say_nothing_are_refused() {
        let table = TableName::new("c", "s", "t");
        let kind = |index: usize, part: &str, column| {
            let part = part.to_owned();
            KeyRanges::of(&Split { index, part }, &table, column)
                .unwrap_err()
                .kind()
        };
        let id = Some((0, "id"));
        assert_eq!(kind(0, "ranges 1,2 of key", id), ErrorKind::Changed);
        assert_eq!(kind(0, "ranges 1,2 of id", None), ErrorKind::Changed);
        for part in [
            "ranges 2,1 of id",
            "ranges x of id",
            "ranges  of id",
            "ranges 1",
            "ranges 99999999999999999999 of id",
        ] {
            assert_eq!(kind(0, part, id), ErrorKind::Internal, "{part}");
        }
        assert_eq!(kind(3, "ranges 1,2 of id", id), ErrorKind::Internal);
    }
}
