//! How many rows an operator is likely to give, and whether that is worth asking the source for it.

use std::borrow::Cow;

use causeway_spi::{Aggregation, ColumnEstimate, JoinKind, Scan, TableStatistics, scan_rows};
use datafusion::logical_expr::Expr;

use crate::remote::{ColumnForm, Comparison, RemoteExpr};

/// Fewer rows than this are read as fast as they are grouped.
const ROWS_MIN: u64 = 1_000;
/// Groups are worth a request when there are fewer than this share of the rows, as a divisor.
const ROWS_PER_GROUP_MIN: u64 = 2;

/// What is computed of a join that alone is not worth sending has at most this share of its tables' bytes, as a divisor.
const SAVING_MIN: u64 = 10;

/// Why a join is not sent whose rows no index finds.
pub(crate) const NO_INDEX_REASON: &str =
    "no index finds the rows that meet: the source might compare each with each";
/// Pairs of rows that a source may compare one by one.
const PAIRS_MAX: u64 = 1_000_000;

/// One side of a join.
pub(crate) struct Side<'a> {
    pub(crate) statistics: &'a TableStatistics,
    pub(crate) scan: &'a Scan,
    /// The sets of columns that an index finds.
    pub(crate) keys: &'a [Vec<usize>],
}

/// Both sides of a join.
pub(crate) struct Sides<'a> {
    pub(crate) left: Side<'a>,
    pub(crate) right: Side<'a>,
}

/// Two columns that are equal where rows meet: an index into each side's table.
struct Pair {
    left: usize,
    right: usize,
    /// Whether the condition is one for which an index is used.
    plain: bool,
}

impl Side<'_> {
    fn rows(&self) -> Option<u64> {
        u64::try_from(scan_rows(self.statistics, self.scan)?).ok()
    }

    /// How much is read of it.
    pub(crate) fn bytes(&self) -> Option<u64> {
        Some(self.rows()?.saturating_mul(self.row_bytes()?))
    }

    /// About how wide the projected columns of a row are.
    fn row_bytes(&self) -> Option<u64> {
        let all = u64::try_from(self.scan.schema.fields().len()).ok()?.max(1);
        let projected = u64::try_from(self.scan.projection.len()).ok()?;
        Some((self.statistics.row_bytes? * projected / all).max(1))
    }

    /// Whether an index finds the rows whose columns at `equal` have given values.
    fn is_found_by(&self, equal: &[usize]) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| key.iter().all(|column| equal.contains(column)))
    }

    fn distinct(&self, column: usize) -> Option<u64> {
        self.statistics
            .columns
            .get(column)?
            .distinct
            .filter(|&distinct| distinct > 0)
    }

    /// The keys by which rows of the join are found, whose columns begin at `first` there.
    pub(crate) fn joined_keys(&self, first: usize) -> Vec<Vec<usize>> {
        let position = |column: &usize| {
            let mut projection = self.scan.projection.iter();
            Some(first + projection.position(|index| index == column)?)
        };
        let key = |columns: &Vec<usize>| columns.iter().map(position).collect();
        self.keys.iter().filter_map(key).collect()
    }
}

impl Sides<'_> {
    /// The pairs of columns that `on` makes equal.
    fn pairs(&self, on: &[RemoteExpr]) -> Vec<Pair> {
        let (left, right) = (&self.left.scan.projection, &self.right.scan.projection);
        let mut pairs = Vec::new();
        let members = on.iter().flat_map(|condition| match condition {
            RemoteExpr::And(members) => members.as_slice(),
            other => std::slice::from_ref(other),
        });
        for member in members {
            let RemoteExpr::CompareColumns {
                left: one,
                comparison: Comparison::Equal,
                right: other,
            } = member
            else {
                continue;
            };
            let plain = one.form == ColumnForm::Plain && other.form == ColumnForm::Plain;
            let (first, second) = (one.index.min(other.index), one.index.max(other.index));
            let pair = left
                .get(first)
                .zip(second.checked_sub(left.len()).and_then(|index| right.get(index)));
            pairs.extend(pair.map(|(&left, &right)| Pair { left, right, plain }));
        }
        pairs
    }
}

/// The statistics of a join on `on`. Errors: the source might take long over it, or, if its rows are `moved`, would give more
/// than both sides are.
pub(crate) fn joined(
    sides: &Sides<'_>,
    kind: JoinKind,
    on: &[RemoteExpr],
    moved: bool,
) -> Result<TableStatistics, Cow<'static, str>> {
    let (left, right) = (&sides.left, &sides.right);
    let pairs = sides.pairs(on);
    let plain = || pairs.iter().filter(|pair| pair.plain);
    let left_found = left.is_found_by(&plain().map(|pair| pair.left).collect::<Vec<_>>());
    let right_found = right.is_found_by(&plain().map(|pair| pair.right).collect::<Vec<_>>());
    let found = right_found || (left_found && kind == JoinKind::Inner);
    let rows = left.rows().zip(right.rows());
    let product = rows.map(|(left, right)| left.saturating_mul(right));
    if !found && product.is_none_or(|pairs| pairs > PAIRS_MAX) {
        return Err(NO_INDEX_REASON.into());
    }
    let distinct = pairs
        .iter()
        .filter_map(|pair| left.distinct(pair.left).max(right.distinct(pair.right)))
        .max();
    let meeting = product
        .zip(distinct)
        .map(|(product, distinct)| product / distinct);
    let given = match kind {
        JoinKind::Inner => meeting,
        JoinKind::Left => meeting.zip(left.rows()).map(|(meeting, left)| meeting.max(left)),
        JoinKind::Semi | JoinKind::Anti => left.rows(),
    };
    let row_bytes = match kind {
        JoinKind::Inner | JoinKind::Left => left
            .row_bytes()
            .zip(right.row_bytes())
            .map(|(left, right)| left + right),
        JoinKind::Semi | JoinKind::Anti => left.row_bytes(),
    };
    if let (Some(given), Some(row_bytes), Some(left), Some(right)) =
        (given, row_bytes, left.bytes(), right.bytes())
        && moved
        && given > ROWS_MIN
        && given.saturating_mul(row_bytes) > left.saturating_add(right)
    {
        return Err(format!(
            "about {given} rows, which are more bytes than both sides: nothing would be saved"
        )
        .into());
    }
    let columns = |side: &Side<'_>| {
        let estimates = side.scan.projection.iter().map(|&index| ColumnEstimate {
            distinct: side.distinct(index),
        });
        estimates.collect::<Vec<_>>()
    };
    let columns = match kind {
        JoinKind::Inner | JoinKind::Left => [columns(left), columns(right)].concat(),
        JoinKind::Semi | JoinKind::Anti => columns(left),
    };
    Ok(TableStatistics {
        rows: given,
        row_bytes,
        columns,
    })
}

/// Whether `result`, of a join or union that is computed for its sake, is worth it: reading the tables apart takes
/// `apart_bytes`, and comes over several connections.
pub(crate) fn check_saving(result: &TableStatistics, apart_bytes: u64) -> Result<(), Cow<'static, str>> {
    let bytes = result
        .rows
        .zip(result.row_bytes)
        .map(|(rows, row_bytes)| rows.saturating_mul(row_bytes));
    match bytes {
        Some(bytes) if bytes.saturating_mul(SAVING_MIN) <= apart_bytes => Ok(()),
        Some(_) => Err("its tables are joined here: little would be saved".into()),
        None => Err("its tables are joined here: how much it would give is not known".into()),
    }
}

/// The statistics of `outputs` of the rows of `scan`.
pub(crate) fn passed_on(table: &TableStatistics, scan: &Scan, outputs: &[Expr]) -> TableStatistics {
    let columns = outputs.iter().map(|output| ColumnEstimate {
        distinct: distinct(table, scan, output),
    });
    TableStatistics {
        rows: scan_rows(table, scan).and_then(|rows| u64::try_from(rows).ok()),
        row_bytes: row_bytes(outputs.len()),
        columns: columns.collect(),
    }
}

/// The statistics of the rows of two parts of a union.
pub(crate) fn united_statistics(one: TableStatistics, other: TableStatistics) -> TableStatistics {
    let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
    let columns = one
        .columns
        .iter()
        .zip(&other.columns)
        .map(|(one, other)| ColumnEstimate {
            // Parts may have values of each other.
            distinct: sum(one.distinct, other.distinct),
        });
    TableStatistics {
        columns: columns.collect(),
        rows: sum(one.rows, other.rows),
        row_bytes: one.row_bytes.max(other.row_bytes),
    }
}

/// The statistics of `aggregation` over `scan`. Errors: nearly as many groups as rows, so that nothing would be saved.
pub(crate) fn aggregated(
    table: &TableStatistics,
    scan: &Scan,
    aggregation: &Aggregation,
) -> Result<TableStatistics, Cow<'static, str>> {
    let rows = scan_rows(table, scan).and_then(|rows| u64::try_from(rows).ok());
    let distinct: Vec<Option<u64>> = aggregation
        .groups
        .iter()
        .map(|key| distinct(table, scan, key))
        .collect();
    let groups = distinct
        .iter()
        .try_fold(1_u64, |groups, &distinct| Some(groups.saturating_mul(distinct?)));
    if let (Some(rows), Some(groups), false) = (rows, groups, aggregation.groups.is_empty())
        && rows >= ROWS_MIN
        && groups > rows / ROWS_PER_GROUP_MIN
    {
        return Err(format!("about as many groups as rows ({rows}): nothing would be saved").into());
    }
    let columns = distinct.into_iter().map(|distinct| ColumnEstimate { distinct });
    Ok(TableStatistics {
        rows: groups.map(|groups| rows.map_or(groups, |rows| groups.min(rows.max(1)))),
        row_bytes: row_bytes(aggregation.schema.fields().len()),
        columns: columns.collect(),
    })
}

/// The statistics of the first `fetch` rows of `scan`.
pub(crate) fn limited(table: &TableStatistics, scan: &Scan, fetch: usize) -> TableStatistics {
    let rows = scan_rows(table, scan).map_or(fetch, |rows| rows.min(fetch));
    let columns = scan
        .projection
        .iter()
        .map(|&index| table.columns.get(index).cloned());
    TableStatistics {
        rows: u64::try_from(rows).ok(),
        row_bytes: table.row_bytes,
        columns: columns.map(Option::unwrap_or_default).collect(),
    }
}

/// Keys and aggregates are most often numbers.
fn row_bytes(columns: usize) -> Option<u64> {
    u64::try_from(columns).ok()?.checked_mul(16)
}

fn distinct(table: &TableStatistics, scan: &Scan, key: &Expr) -> Option<u64> {
    let Expr::Column(column) = key else {
        return None;
    };
    let index = scan.schema.index_of(&column.name).ok()?;
    table
        .columns
        .get(index)?
        .distinct
        .filter(|&distinct| distinct > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::remote::RemoteColumn;

    fn statistics(rows: u64, distinct: [Option<u64>; 2]) -> TableStatistics {
        TableStatistics {
            rows: Some(rows),
            row_bytes: Some(40),
            columns: distinct.map(|distinct| ColumnEstimate { distinct }).to_vec(),
        }
    }

    fn scan() -> Scan {
        let field = |name| Field::new(name, DataType::Int64, false);
        Scan {
            schema: Arc::new(Schema::new(vec![field("id"), field("other")])),
            projection: vec![1, 0],
            filters: Vec::new(),
            limit: None,
        }
    }

    /// Column `other` of the left side equals column `id` of the right one, in `form`.
    fn on(form: ColumnForm) -> Vec<RemoteExpr> {
        let column = |index| RemoteColumn { index, form };
        vec![RemoteExpr::CompareColumns {
            left: column(3),
            comparison: Comparison::Equal,
            right: column(0),
        }]
    }

    fn rows_of(
        left: &TableStatistics,
        right: &TableStatistics,
        right_keys: &[Vec<usize>],
        kind: JoinKind,
        form: ColumnForm,
    ) -> Result<Option<u64>, String> {
        let scan = scan();
        let side = |statistics, keys| Side {
            statistics,
            scan: &scan,
            keys,
        };
        let sides = Sides {
            left: side(left, &[]),
            right: side(right, right_keys),
        };
        let joined = joined(&sides, kind, &on(form), true);
        joined
            .map(|statistics| statistics.rows)
            .map_err(|reason| reason.into_owned())
    }

    #[test]
    fn a_join_needs_an_index_or_small_sides() {
        let (small, large) = (
            statistics(500, [Some(500), None]),
            statistics(60_000, [Some(60_000), None]),
        );
        let key = [vec![0]];
        let plain = ColumnForm::Plain;
        let inner =
            |left, right, keys: &[Vec<usize>], form| rows_of(left, right, keys, JoinKind::Inner, form);
        assert_eq!(inner(&small, &large, &key, plain), Ok(Some(500)));
        assert_eq!(inner(&small, &small, &[], plain), Ok(Some(500)));
        let reason = NO_INDEX_REASON;
        assert_eq!(inner(&small, &large, &[], plain), Err(reason.to_owned()));
        assert_eq!(
            inner(&small, &large, &key, ColumnForm::Bytes),
            Err(reason.to_owned())
        );
        assert_eq!(inner(&small, &large, &[vec![1]], plain), Err(reason.to_owned()));
        let unknown = TableStatistics::default();
        assert_eq!(inner(&unknown, &large, &[], plain), Err(reason.to_owned()));
        assert_eq!(inner(&unknown, &large, &key, plain), Ok(None));
    }

    #[test]
    fn a_join_must_not_give_more_than_both_sides_are() {
        let facts = statistics(1_000_000, [Some(1_000_000), None]);
        let dimension = statistics(1_000, [Some(1_000), None]);
        let key = [vec![0]];
        let given = |kind| rows_of(&facts, &dimension, &key, kind, ColumnForm::Plain);
        let reason = "about 1000000 rows, which are more bytes than both sides: nothing would be saved";
        assert_eq!(given(JoinKind::Inner), Err(reason.to_owned()));
        assert_eq!(given(JoinKind::Left), Err(reason.to_owned()));
        assert_eq!(given(JoinKind::Semi), Ok(Some(1_000_000)));
    }

    #[test]
    fn what_is_computed_of_a_join_must_be_far_smaller_than_its_tables() {
        let checked = |result: &TableStatistics, apart| {
            check_saving(result, apart).map_err(|reason: Cow<'static, str>| reason.into_owned())
        };
        let result = statistics(1_000, [None, None]);
        assert_eq!(checked(&result, 400_000), Ok(()));
        let little = "its tables are joined here: little would be saved";
        assert_eq!(checked(&result, 399_999), Err(little.to_owned()));
        let unknown = "its tables are joined here: how much it would give is not known";
        assert_eq!(
            checked(&TableStatistics::default(), u64::MAX),
            Err(unknown.to_owned())
        );
    }
}
