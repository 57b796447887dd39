//! Laws of days and times.
//!
//! Zero, partial and impossible dates (`0000-00-00`, `2024-00-00`, `2024-02-31`) are read as NULL. A real date never
//! equals one of them, so `=` and IN are exact. Every other comparison finds every real date that it should, and may let
//! others through: a guard keeps them out. A literal finer than the column's fraction is moved to the column's grid.

use datafusion::common::ScalarValue;

use super::{Judged, other_type};
use crate::profile::ColumnKind;
use crate::remote::{ColumnForm, Comparison, RemoteExpr, RemoteValue};

/// Why a comparison has a guard.
pub(super) const ZERO_DATES_REASON: &str = "zero dates are NULL here and kept out there";
const EXACT_REASON: &str = "dates and times compare alike there and here";
const EQUAL_REASON: &str = "a real date never equals a zero date";
const RANGE_REASON: &str = "the literal is outside the range of the column's type";

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 0001-01-01 and 9999-12-31, in days since 1970.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
/// 1970-01-01 00:00:01 to 2038-01-19 03:14:07.999999: what a timestamp column holds on every version.
const MOMENTS: std::ops::RangeInclusive<i64> = 1_000_000..=2_147_483_647_999_999;

/// A literal of the column's own type: days, or microseconds since 1970.
enum Literal {
    Value(i64),
    OtherType,
    OutOfRange,
}

/// `column comparison value`.
pub(super) fn compares(
    index: usize,
    kind: &ColumnKind,
    comparison: Comparison,
    value: &ScalarValue,
) -> Judged {
    if matches!(comparison, Comparison::Equal) {
        return equals_any(index, kind, &[value], false);
    }
    if matches!(comparison, Comparison::NotEqual) {
        return equals_any(index, kind, &[value], true);
    }
    let instant = match literal(kind, value) {
        Literal::Value(instant) => instant,
        Literal::OtherType => return other_type(),
        Literal::OutOfRange => return Judged::declined(RANGE_REASON),
    };
    let (comparison, instant) = on_grid(comparison, instant, grid(kind));
    let Some(value) = bound(kind, instant) else {
        return Judged::declined(RANGE_REASON);
    };
    guarded(
        index,
        kind,
        RemoteExpr::compare(index, ColumnForm::Plain, comparison, value),
    )
}

/// `column [NOT] IN (values)`; one value becomes `=` or `<>`.
pub(super) fn equals_any(index: usize, kind: &ColumnKind, values: &[&ScalarValue], negated: bool) -> Judged {
    let mut bound_values = Vec::with_capacity(values.len());
    for value in values {
        match literal(kind, value) {
            // Finer than the column: equal to no row.
            Literal::Value(instant) if instant % grid(kind) != 0 => {}
            Literal::Value(instant) => bound_values.extend(bound(kind, instant)),
            Literal::OtherType => return other_type(),
            // The range of timestamps depends on the version, that of dates does not.
            Literal::OutOfRange if matches!(kind, ColumnKind::Timestamp { .. }) => {
                return Judged::declined(RANGE_REASON);
            }
            Literal::OutOfRange => {}
        }
    }
    let condition = match (bound_values.len(), bound_values.pop()) {
        (1, Some(value)) => {
            let comparison = match negated {
                true => Comparison::NotEqual,
                false => Comparison::Equal,
            };
            RemoteExpr::compare(index, ColumnForm::Plain, comparison, value)
        }
        (_, last) => {
            bound_values.extend(last);
            RemoteExpr::within(index, ColumnForm::Plain, bound_values, negated)
        }
    };
    match negated {
        true => guarded(index, kind, condition),
        false => Judged::exact(condition, EQUAL_REASON),
    }
}

/// `condition` on two columns, each with its index, of which one may be any day.
pub(super) fn guarded_columns(
    condition: RemoteExpr,
    left: (usize, &ColumnKind),
    right: (usize, &ColumnKind),
) -> Judged {
    let one = guarded(left.0, left.1, condition);
    match (one, guarded(right.0, right.1, RemoteExpr::Constant(true))) {
        (Judged::Pushed { condition, .. }, Judged::Pushed { condition: other, .. }) => {
            let members = [condition, other]
                .into_iter()
                .flat_map(|condition| match condition {
                    RemoteExpr::And(members) => members,
                    other => vec![other],
                });
            let members = members.filter(|member| *member != RemoteExpr::Constant(true));
            Judged::exact(RemoteExpr::And(members.collect()), EXACT_REASON)
        }
        (declined, _) => declined,
    }
}

/// `condition` on the column at `index`, which is true of every real date that it should be true of.
fn guarded(index: usize, kind: &ColumnKind, condition: RemoteExpr) -> Judged {
    match kind {
        ColumnKind::Date { zero_dates: true }
        | ColumnKind::DateTime { zero_dates: true, .. }
        | ColumnKind::Timestamp { zero_dates: true, .. } => {
            let guard = RemoteExpr::IsReal {
                index,
                negated: false,
            };
            Judged::exact(RemoteExpr::And(vec![condition, guard]), ZERO_DATES_REASON)
        }
        _ => Judged::exact(condition, EXACT_REASON),
    }
}

fn literal(kind: &ColumnKind, value: &ScalarValue) -> Literal {
    let (instant, in_range) = match (kind, value) {
        (ColumnKind::Date { .. }, ScalarValue::Date32(Some(days))) => {
            let days = i64::from(*days);
            (days, DAYS.contains(&days))
        }
        (ColumnKind::DateTime { .. }, ScalarValue::TimestampMicrosecond(Some(micros), None)) => {
            (*micros, DAYS.contains(&micros.div_euclid(MICROS_PER_DAY)))
        }
        (ColumnKind::Timestamp { .. }, ScalarValue::TimestampMicrosecond(Some(micros), Some(_))) => {
            (*micros, MOMENTS.contains(micros))
        }
        _ => return Literal::OtherType,
    };
    match in_range {
        true => Literal::Value(instant),
        false => Literal::OutOfRange,
    }
}

fn bound(kind: &ColumnKind, instant: i64) -> Option<RemoteValue> {
    let value = match kind {
        ColumnKind::Date { .. } => ScalarValue::Date32(Some(i32::try_from(instant).ok()?)),
        ColumnKind::DateTime { .. } => ScalarValue::TimestampMicrosecond(Some(instant), None),
        ColumnKind::Timestamp { .. } => ScalarValue::TimestampMicrosecond(Some(instant), Some("UTC".into())),
        _ => return None,
    };
    Some(RemoteValue::plain(value))
}

/// The distance between two neighbouring values of the column, in its unit.
fn grid(kind: &ColumnKind) -> i64 {
    match kind {
        ColumnKind::DateTime { fraction_digits, .. } | ColumnKind::Timestamp { fraction_digits, .. } => {
            10_i64.pow(6 - (*fraction_digits).min(6))
        }
        _ => 1,
    }
}

/// The same comparison with a literal that the column could hold.
fn on_grid(comparison: Comparison, instant: i64, grid: i64) -> (Comparison, i64) {
    let below = instant.div_euclid(grid) * grid;
    if below == instant {
        return (comparison, instant);
    }
    // Between two values of the column: "before or at the lower one" and "after the lower one".
    match comparison {
        Comparison::Less | Comparison::LessOrEqual => (Comparison::LessOrEqual, below),
        _ => (Comparison::Greater, below),
    }
}
