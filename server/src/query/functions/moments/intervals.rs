//! Intervals: their arithmetic, how they compare, and the distance of two moments.

use std::sync::Arc;

use chrono::{Datelike, Days, Months};
use chrono_tz::Tz;
use datafusion::arrow::array::{
    ArrayRef, AsArray, Decimal128Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;

use super::super::{Call, Function, call};
use super::{DAY, INTERVAL, SPAN, checked, microseconds, naive, timestamptz};
use crate::values::zone;

/// `left - right` of two timestamps of one kind: an interval of days and time.
pub(in crate::query) fn timestamp_minus(left: Expr, right: Expr) -> Expr {
    let function = Function::udf(
        "timestamp_minus",
        Tz::UTC,
        |_| Ok(INTERVAL),
        |call| {
            let (left, right) = (microseconds(call.argument(0)?)?, microseconds(call.argument(1)?)?);
            let rows = left.iter().zip(&right).map(|(left, right)| {
                let difference = left.zip(right).map(|(left, right)| left.checked_sub(right));
                difference.map(|difference| {
                    difference.and_then(|difference| interval(0, difference / DAY, difference % DAY))
                })
            });
            checked(rows, "interval out of range").map(intervals)
        },
    );
    call(function, vec![left, right])
}

/// `interval * factor`, as PostgreSQL spreads fractions: of months over days, of days over time.
pub(in crate::query) fn interval_times(interval: Expr, factor: Expr) -> Expr {
    let function = Function::udf(
        "interval_times",
        Tz::UTC,
        |_| Ok(INTERVAL),
        |call| {
            let values = cast(call.argument(0)?, &INTERVAL)?;
            let factors = cast(call.argument(1)?, &DataType::Float64)?;
            let rows = values
                .as_primitive::<IntervalMonthDayNanoType>()
                .iter()
                .zip(factors.as_primitive::<Float64Type>())
                .map(|(value, factor)| value.zip(factor).map(|(value, factor)| times(value, factor)));
            checked(rows, "interval out of range").map(intervals)
        },
    );
    call(function, vec![interval, factor])
}

/// `timestamptz + interval` in a zone where a day may have 23 hours.
pub(in crate::query) fn timestamptz_plus(moment: Expr, interval: Expr, zone: Tz) -> Expr {
    let function = Function::udf(
        "timestamptz_plus",
        zone,
        |_| Ok(timestamptz()),
        |call| {
            let moments = microseconds(call.argument(0)?)?;
            let values = cast(call.argument(1)?, &INTERVAL)?;
            let rows = moments
                .iter()
                .zip(values.as_primitive::<IntervalMonthDayNanoType>())
                .map(|(moment, value)| {
                    let both = moment.zip(value);
                    both.map(|(moment, value)| plus_in_zone(moment, value, call.zone))
                });
            let sums: Vec<Option<i64>> = checked(rows, "timestamp out of range")?;
            Ok(Arc::new(
                TimestampMicrosecondArray::from(sums).with_timezone("UTC"),
            ))
        },
    );
    call(function, vec![moment, interval])
}

/// How long an interval is where a month has 30 days and a day 24 hours: PostgreSQL compares intervals by that. In
/// nanoseconds; they fit in 31 digits.
pub(in crate::query) fn interval_span(interval: Expr) -> Expr {
    let function = Function::udf(
        "interval_span",
        Tz::UTC,
        |_| Ok(SPAN),
        |call| {
            let values = cast(call.argument(0)?, &INTERVAL)?;
            let spans = values.as_primitive::<IntervalMonthDayNanoType>().iter();
            let spans: Decimal128Array = spans.map(|value| value.map(span)).collect();
            Ok(Arc::new(spans.with_data_type(SPAN)))
        },
    );
    call(function, vec![interval])
}

/// The same of one interval.
pub(in crate::query::functions) fn span(value: IntervalMonthDayNano) -> i128 {
    let days = i128::from(value.months) * 30 + i128::from(value.days);
    days * i128::from(DAY) * 1_000 + i128::from(value.nanoseconds)
}

fn intervals(values: Vec<Option<IntervalMonthDayNano>>) -> ArrayRef {
    Arc::new(IntervalMonthDayNanoArray::from(values))
}

fn interval(months: i64, days: i64, microseconds: i64) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(
        i32::try_from(months).ok()?,
        i32::try_from(days).ok()?,
        microseconds.checked_mul(1_000)?,
    ))
}

/// The average of `count` intervals by the sums of their parts; `None`: it is out of range.
#[expect(clippy::cast_precision_loss, reason = "as PostgreSQL divides")]
pub(in crate::query::functions) fn average_of(
    months: i64,
    days: i64,
    nanoseconds: i128,
    count: i64,
) -> Option<IntervalMonthDayNano> {
    let count = count as f64;
    spread(
        months as f64 / count,
        days as f64 / count,
        (nanoseconds / 1_000) as f64 / count,
    )
}

#[expect(clippy::cast_precision_loss, reason = "as PostgreSQL multiplies")]
fn times(value: IntervalMonthDayNano, factor: f64) -> Option<IntervalMonthDayNano> {
    spread(
        f64::from(value.months) * factor,
        f64::from(value.days) * factor,
        (value.nanoseconds / 1_000) as f64 * factor,
    )
}

/// The interval of so many months, days and microseconds, whose fractions go down to the next smaller unit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked to fit"
)]
fn spread(months: f64, days: f64, time: f64) -> Option<IntervalMonthDayNano> {
    let fits = |number: f64| number.is_finite() && number.abs() < 9e18;
    if !(fits(months) && fits(days) && fits(time)) {
        return None;
    }
    // Half a month is 15 days, half a day 12 hours; what is left is rounded to microseconds.
    let month_days = (months - months.trunc()) * 30.0;
    let month_days = (month_days * 1e6).round() / 1e6;
    let mut whole_days = days.trunc() + month_days.trunc();
    let day_rest = (days - days.trunc()) + (month_days - month_days.trunc());
    let mut rest = (day_rest * DAY as f64).round();
    if rest.abs() >= DAY as f64 {
        whole_days += (rest / DAY as f64).trunc();
        rest %= DAY as f64;
    }
    interval(
        months.trunc() as i64,
        whole_days as i64,
        (time + rest).round() as i64,
    )
}

fn plus_in_zone(moment: i64, value: IntervalMonthDayNano, zone: Tz) -> Option<i64> {
    let mut moment = moment;
    if value.months != 0 || value.days != 0 {
        let wall = naive(zone::to_local(zone, moment))?;
        let months = Months::new(value.months.unsigned_abs());
        let wall = if value.months < 0 {
            wall.checked_sub_months(months)?
        } else {
            wall.checked_add_months(months)?
        };
        let days = Days::new(value.days.unsigned_abs().into());
        let wall = if value.days < 0 {
            wall.checked_sub_days(days)?
        } else {
            wall.checked_add_days(days)?
        };
        moment = zone::to_utc(zone, wall.and_utc().timestamp_micros());
    }
    moment.checked_add(value.nanoseconds / 1_000)
}

/// `age(later, earlier)`: years, months and days as a calendar counts them.
pub(super) fn age(call: &Call<'_>) -> Result<ArrayRef> {
    let (later, earlier) = (call.argument(0)?, call.argument(1)?);
    let both = |array: &ArrayRef| -> Result<Vec<Option<i64>>> {
        let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
        let moments = microseconds(array)?;
        let locals = moments.iter().map(|moment| {
            let moment = moment?;
            Some(if zoned {
                zone::to_local(call.zone, moment)
            } else {
                moment
            })
        });
        Ok(locals.collect())
    };
    let (later, earlier) = (both(later)?, both(earlier)?);
    let rows = later.into_iter().zip(earlier).map(|(later, earlier)| {
        let (later, earlier) = later.zip(earlier)?;
        Some(calendar_distance(later, earlier))
    });
    checked(rows, "interval out of range").map(intervals)
}

fn calendar_distance(later: i64, earlier: i64) -> Option<IntervalMonthDayNano> {
    if later < earlier {
        let reversed = calendar_distance(earlier, later)?;
        return Some(IntervalMonthDayNano::new(
            -reversed.months,
            -reversed.days,
            -reversed.nanoseconds,
        ));
    }
    let (to, from) = (naive(later)?, naive(earlier)?);
    let mut months = (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month())
        - i64::from(from.month());
    let mut days = i64::from(to.day()) - i64::from(from.day());
    let mut time = later.rem_euclid(DAY) - earlier.rem_euclid(DAY);
    if time < 0 {
        (time, days) = (time + DAY, days - 1);
    }
    if days < 0 {
        // The days of the earlier moment's month are borrowed.
        let first = from.date().with_day(1)?;
        let next = first.checked_add_months(Months::new(1))?;
        days += (next - first).num_days();
        months -= 1;
    }
    interval(months, days, time)
}

pub(super) fn justify_hours(call: &Call<'_>) -> Result<ArrayRef> {
    justified(call, |value| {
        let time = value.nanoseconds / 1_000;
        let (mut days, mut time) = (i64::from(value.days) + time / DAY, time % DAY);
        if days > 0 && time < 0 {
            (days, time) = (days - 1, time + DAY);
        } else if days < 0 && time > 0 {
            (days, time) = (days + 1, time - DAY);
        }
        interval(value.months.into(), days, time)
    })
}

pub(super) fn justify_days(call: &Call<'_>) -> Result<ArrayRef> {
    justified(call, |value| {
        let (mut months, mut days) = (
            i64::from(value.months + value.days / 30),
            i64::from(value.days % 30),
        );
        if months > 0 && days < 0 {
            (months, days) = (months - 1, days + 30);
        } else if months < 0 && days > 0 {
            (months, days) = (months + 1, days - 30);
        }
        interval(months, days, value.nanoseconds / 1_000)
    })
}

fn justified(
    call: &Call<'_>,
    each: impl Fn(IntervalMonthDayNano) -> Option<IntervalMonthDayNano>,
) -> Result<ArrayRef> {
    let values = cast(call.argument(0)?, &INTERVAL)?;
    let values = values.as_primitive::<IntervalMonthDayNanoType>().iter();
    checked(values.map(|value| value.map(&each)), "interval out of range").map(intervals)
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, NaiveTime};

    use super::super::HOUR;
    use super::*;

    #[test]
    fn fractions_spread_as_in_postgres() {
        let month = IntervalMonthDayNano::new(1, 0, 0);
        assert_eq!(times(month, 0.5), Some(IntervalMonthDayNano::new(0, 15, 0)));
        let day = IntervalMonthDayNano::new(0, 1, 0);
        assert_eq!(
            times(day, 1.5),
            Some(IntervalMonthDayNano::new(0, 1, 12 * HOUR * 1_000))
        );
        assert_eq!(times(day, f64::INFINITY), None);
    }

    #[test]
    fn ages_are_counted_by_the_calendar() {
        let day = |text: &str| {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
            date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
        };
        let between = |later: &str, earlier: &str| calendar_distance(day(later), day(earlier)).unwrap();
        assert_eq!(
            between("2024-02-29", "2020-01-01"),
            IntervalMonthDayNano::new(49, 28, 0)
        );
        assert_eq!(
            between("2024-03-01", "2024-01-31"),
            IntervalMonthDayNano::new(1, 1, 0)
        );
        assert_eq!(
            between("2020-01-01", "2024-02-29"),
            IntervalMonthDayNano::new(-49, -28, 0)
        );
    }
}
