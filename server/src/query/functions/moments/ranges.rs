//! The moments of which a field, or the beginning of a unit, has a given value: as a range, which sources find by an index
//! and which the bounds of files decide.
//!
//! In a zone whose clock changes, moments and local times are in the same order everywhere but around a change: no range
//! begins or ends near one.

use chrono::{Months, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use super::super::{Range, Sought};
use super::fields::{is_year, truncate};
use super::{DAY, HOUR, SECOND, naive};
use crate::values::zone;

/// No clock is changed by more in a day, but where a land has moved across the date line.
const CHANGE_MAX: i64 = 26 * HOUR;
/// Years that every source can tell.
const YEARS: std::ops::RangeInclusive<i64> = 1..=9_998;

/// The moments of which `extract` or `date_part` gives a value: of their year.
pub(super) fn of_field(sought: &Sought<'_>) -> Option<Range> {
    let [part, moment] = sought.args else {
        return None;
    };
    if !is_year(text(part)?) {
        return None;
    }
    let year = whole(sought.value)?;
    if !YEARS.contains(&year) {
        return None;
    }
    let first = |year: i64| midnight(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, 1, 1)?);
    range(sought, moment, first(year)?, first(year + 1)?)
}

/// The moments of which `date_trunc` gives a value.
pub(super) fn of_beginning(sought: &Sought<'_>) -> Option<Range> {
    let [unit, moment] = sought.args else {
        return None;
    };
    let ScalarValue::TimestampMicrosecond(Some(value), zone) = sought.value else {
        return None;
    };
    let start = match zone {
        Some(_) if !is_steady(sought.zone, *value) => return None,
        Some(_) => zone::to_local(sought.zone, *value),
        None => *value,
    };
    let unit = text(unit)?;
    // A date is a midnight: it begins the hours and minutes that it is in.
    let within_day = unit_length(unit).is_some_and(|length| length < DAY);
    let unit = match sought.type_of(moment)? {
        DataType::Date32 if within_day => "day",
        _ => unit,
    };
    if truncate(unit, start)? != start {
        return None;
    }
    range(sought, moment, start, next(unit, start)?)
}

/// The moments that a cast to a date makes a day.
pub(super) fn of_day(sought: &Sought<'_>) -> Option<Range> {
    let [moment] = sought.args else {
        return None;
    };
    let ScalarValue::Date32(Some(day)) = sought.value else {
        return None;
    };
    let start = i64::from(*day).checked_mul(DAY)?;
    range(sought, moment, start, start.checked_add(DAY)?)
}

/// The values of `moment` whose local times are from `start` to before `end`, both in microseconds since 1970.
fn range(sought: &Sought<'_>, moment: &Expr, start: i64, end: i64) -> Option<Range> {
    let bound = |local: i64| match sought.type_of(moment)? {
        DataType::Date32 if local.rem_euclid(DAY) == 0 => {
            Some(ScalarValue::Date32(i32::try_from(local.div_euclid(DAY)).ok()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Some(ScalarValue::TimestampMicrosecond(Some(local), None))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(name)) => {
            let utc = zone::to_utc(sought.zone, local);
            is_steady(sought.zone, utc).then(|| ScalarValue::TimestampMicrosecond(Some(utc), Some(name)))
        }
        _ => None,
    };
    Some(Range {
        of: moment.clone(),
        from: bound(start)?,
        to: bound(end)?,
    })
}

/// Whether the clock is not changed around a moment.
fn is_steady(zone: Tz, utc: i64) -> bool {
    zone == Tz::UTC
        || zone::offset_at(zone, utc.saturating_sub(CHANGE_MAX))
            == zone::offset_at(zone, utc.saturating_add(CHANGE_MAX))
}

/// The beginning of the unit behind the one that begins at `start`.
fn next(unit: &str, start: i64) -> Option<i64> {
    if let Some(length) = unit_length(unit) {
        return start.checked_add(length);
    }
    let months = match unit.trim().to_lowercase().as_str() {
        "month" | "months" => 1,
        "quarter" => 3,
        "year" | "years" => 12,
        _ => return None,
    };
    midnight(naive(start)?.date().checked_add_months(Months::new(months))?)
}

/// How long each such unit is, in microseconds, if all are of one length.
fn unit_length(unit: &str) -> Option<i64> {
    Some(match unit.trim().to_lowercase().as_str() {
        "second" | "seconds" => SECOND,
        "minute" | "minutes" => 60 * SECOND,
        "hour" | "hours" => HOUR,
        "day" | "days" => DAY,
        "week" | "weeks" => 7 * DAY,
        _ => return None,
    })
}

fn midnight(date: NaiveDate) -> Option<i64> {
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => causeway_spi::scalar_text(value),
        _ => None,
    }
}

/// A whole number.
fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Decimal128(Some(digits), _, scale) => {
            let unit = 10_i128.checked_pow(u32::try_from(*scale).ok()?)?;
            (digits % unit == 0).then(|| i64::try_from(digits / unit).ok())?
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is a whole number below the bound"
        )]
        ScalarValue::Float64(Some(number)) if number.fract() == 0.0 && number.abs() < 1e9 => {
            Some(*number as i64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, AsArray, StringViewArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{Date32Type, Field, Schema, TimestampMicrosecondType};
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{col, lit};

    use super::super::super::Call;
    use super::super::fields::{date_trunc, extract};
    use super::super::{TIMESTAMP, timestamptz};
    use super::*;

    /// Moments around the changes of clocks and the ends of units, in microseconds since 1970.
    fn moments() -> Vec<i64> {
        let mut moments = Vec::new();
        for text in [
            // Berlin, spring and autumn; Sao Paulo, at midnight; Havana, back at one; Apia, a day left out; Lord Howe, half an hour.
            "2024-03-31 01:00",
            "2024-10-27 01:00",
            "2018-11-04 03:00",
            "2018-02-18 02:00",
            "2020-11-01 05:00",
            "2011-12-30 10:00",
            "2011-10-01 15:30",
            "2024-02-29 00:00",
            "2021-01-01 00:00",
            "0001-01-01 00:00",
            "9999-12-31 23:00",
        ] {
            let at = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
            let at = at.and_utc().timestamp_micros();
            for hours in [-800, -49, -25, -24, -2, -1, 0, 1, 2, 24, 25, 170] {
                for rest in [-1, 0, HOUR / 2] {
                    moments.push(at + hours * HOUR + rest);
                }
            }
        }
        moments.retain(|&at| naive(at).is_some());
        moments
    }

    fn values(of: &DataType) -> ArrayRef {
        let locals: datafusion::arrow::array::TimestampMicrosecondArray =
            moments().into_iter().map(Some).collect();
        match of {
            DataType::Timestamp(_, Some(zone)) => Arc::new(locals.with_timezone(Arc::clone(zone))),
            other => cast(&locals, other).unwrap(),
        }
    }

    fn number(values: &ArrayRef, row: usize) -> i64 {
        match values.data_type() {
            DataType::Date32 => i64::from(values.as_primitive::<Date32Type>().value(row)),
            _ => values.as_primitive::<TimestampMicrosecondType>().value(row),
        }
    }

    fn bound(value: &ScalarValue) -> i64 {
        match value {
            ScalarValue::Date32(Some(day)) => i64::from(*day),
            ScalarValue::TimestampMicrosecond(Some(at), _) => *at,
            other => panic!("{other} is no bound"),
        }
    }

    /// Checks the range of each result of `function` against all values; gives how many results have one.
    fn check(
        function: fn(&Call<'_>) -> datafusion::common::Result<ArrayRef>,
        ranges: fn(&Sought<'_>) -> Option<Range>,
        (unit, of, returns): (&str, &DataType, &DataType),
        zone: Tz,
    ) -> usize {
        let values = values(of);
        let units: ArrayRef = Arc::new(StringViewArray::from(vec![unit; values.len()]));
        let call = Call {
            name: "tried",
            arguments: &[units, Arc::clone(&values)],
            returns,
            zone,
            rows: values.len(),
        };
        let results = function(&call).unwrap();
        let schema = Schema::new(vec![Field::new("x", of.clone(), true)]);
        let schema = DFSchema::try_from(schema).unwrap();
        let args = [lit(unit), col("x")];
        let mut found = 0;
        let results: Vec<ScalarValue> = (0..values.len())
            .map(|row| ScalarValue::try_from_array(&results, row).unwrap())
            .collect();
        let each: HashSet<&ScalarValue> = results.iter().collect();
        for value in each {
            let sought = Sought {
                args: &args,
                value,
                schema: &schema,
                zone,
            };
            let Some(range) = ranges(&sought) else {
                continue;
            };
            found += 1;
            let (from, to) = (bound(&range.from), bound(&range.to));
            for (row, result) in results.iter().enumerate() {
                let at = number(&values, row);
                let place = format!("{unit} of {of} in {zone}: {value}, {at}");
                assert_eq!(result == value, from <= at && at < to, "{place}");
                assert_eq!(result < value, at < from, "{place}");
            }
        }
        found
    }

    #[test]
    fn ranges_hold_what_gives_the_value() {
        let zones = [
            Tz::UTC,
            Tz::Europe__Berlin,
            Tz::America__Sao_Paulo,
            Tz::America__Havana,
            Tz::Pacific__Apia,
            Tz::Australia__Lord_Howe,
            Tz::Asia__Kolkata,
        ];
        for zone in zones {
            for of in [TIMESTAMP, timestamptz(), DataType::Date32] {
                let returns = match of {
                    TIMESTAMP => TIMESTAMP,
                    _ => timestamptz(),
                };
                for unit in [
                    "second", "minute", "hour", "day", "week", "month", "quarter", "year",
                ] {
                    let found = check(date_trunc, of_beginning, (unit, &of, &returns), zone);
                    assert!(found >= 5, "{unit} of {of} in {zone}: {found}");
                }
                let numeric = DataType::Decimal128(10, 0);
                let found = check(extract, of_field, ("year", &of, &numeric), zone);
                assert!(found >= 5, "year of {of} in {zone}: {found}");
            }
        }
    }

    #[test]
    fn what_is_no_range_is_none() {
        let schema = Schema::new(vec![
            Field::new("at", TIMESTAMP, true),
            Field::new("day", DataType::Date32, true),
        ]);
        let schema = DFSchema::try_from(schema).unwrap();
        let sought = |args: &[Expr], value: &ScalarValue, ranges: fn(&Sought<'_>) -> Option<Range>| {
            ranges(&Sought {
                args,
                value,
                schema: &schema,
                zone: Tz::UTC,
            })
            .is_some()
        };
        let at = |micros| ScalarValue::TimestampMicrosecond(Some(micros), None);
        let month = [lit("month"), col("at")];
        assert!(sought(&month, &at(0), of_beginning));
        // No month begins there; no unit; a zone of its own; months of all years.
        assert!(!sought(&month, &at(1), of_beginning));
        assert!(!sought(&[col("day"), col("at")], &at(0), of_beginning));
        assert!(!sought(
            &[lit("month"), col("at"), lit("UTC")],
            &at(0),
            of_beginning
        ));
        assert!(!sought(&[lit("century"), col("at")], &at(0), of_beginning));
        let numeric = |digits, scale| ScalarValue::Decimal128(Some(digits), 10, scale);
        let year = [lit("year"), col("day")];
        assert!(sought(&year, &numeric(2024, 0), of_field));
        assert!(sought(&year, &ScalarValue::Float64(Some(2024.0)), of_field));
        for value in [
            numeric(20245, 1),
            numeric(0, 0),
            numeric(9999, 0),
            ScalarValue::Float64(Some(f64::NAN)),
        ] {
            assert!(!sought(&year, &value, of_field), "{value}");
        }
        assert!(!sought(&[lit("month"), col("day")], &numeric(3, 0), of_field));
        assert!(sought(&[col("at")], &ScalarValue::Date32(Some(0)), of_day));
        assert!(!sought(&[col("at")], &ScalarValue::Date32(None), of_day));
    }
}
