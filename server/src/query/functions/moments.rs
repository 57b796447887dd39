//! Functions of dates, timestamps and intervals, in microseconds and in the session's time zone.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, IntervalMonthDayNanoArray,
    StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::{Call, Function, Given, call, external};
use crate::error::QueryError;
use crate::sqlstate::SqlState;
use crate::values::{text, zone};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// The largest scale of `extract`'s numerics.
const FRACTION: i8 = 6;

pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn get(name: &str, zone: Tz) -> Option<Arc<ScalarUDF>> {
    Some(match name {
        "extract" => Function::udf("extract", zone, extracted, extract),
        "date_part" => Function::udf("date_part", zone, |_| Ok(DataType::Float64), date_part),
        "date_trunc" => Function::udf("date_trunc", zone, truncated, date_trunc),
        "timezone" => Function::udf("timezone", zone, zoned, timezone),
        "age" => Function::udf("age", zone, |_| Ok(INTERVAL), age),
        "to_timestamp" => Function::udf("to_timestamp", zone, |_| Ok(timestamptz()), to_timestamp),
        "to_date" => Function::udf("to_date", zone, |_| Ok(DataType::Date32), to_date),
        "justify_hours" => Function::udf("justify_hours", zone, |_| Ok(INTERVAL), justify_hours),
        "justify_days" => Function::udf("justify_days", zone, |_| Ok(INTERVAL), justify_days),
        _ => return None,
    })
}

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

/// A cast between timestamps with and without zone, dates, times and texts, that depends on the session's zone.
pub(in crate::query) fn session_cast(value: Expr, to: &DataType, zone: Tz) -> Option<Expr> {
    let function = match to {
        DataType::Timestamp(_, Some(_)) => Function::udf(
            "timestamptz_of",
            zone,
            |_| Ok(timestamptz()),
            |call| {
                let locals = cast(call.argument(0)?, &TIMESTAMP)?;
                let locals = locals.as_primitive::<TimestampMicrosecondType>().iter();
                let moments = locals.map(|local| local.map(|local| zone::to_utc(call.zone, local)));
                Ok(Arc::new(
                    moments
                        .collect::<TimestampMicrosecondArray>()
                        .with_timezone("UTC"),
                ))
            },
        ),
        DataType::Timestamp(_, None) => Function::udf("timestamp_of", zone, |_| Ok(TIMESTAMP), local),
        DataType::Date32 => Function::udf(
            "date_of",
            zone,
            |_| Ok(DataType::Date32),
            |call| Ok(cast(&local(call)?, &DataType::Date32)?),
        ),
        DataType::Time64(_) => Function::udf(
            "time_of",
            zone,
            |_| Ok(DataType::Time64(TimeUnit::Microsecond)),
            |call| Ok(cast(&local(call)?, &DataType::Time64(TimeUnit::Microsecond))?),
        ),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            Function::udf("moment_text", zone, |_| Ok(DataType::Utf8View), moment_text)
        }
        _ => return None,
    };
    Some(call(function, vec![value]))
}

fn local(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = microseconds(call.argument(0)?)?;
    let locals = moments
        .iter()
        .map(|moment| moment.map(|moment| zone::to_local(call.zone, moment)));
    Ok(Arc::new(locals.collect::<TimestampMicrosecondArray>()))
}

/// Timestamps and intervals as the client would see them.
fn moment_text(call: &Call<'_>) -> Result<ArrayRef> {
    let given = call.argument(0)?;
    let mut out = bytes::BytesMut::new();
    let mut shown = |write: &mut dyn FnMut(&mut bytes::BytesMut)| {
        out.clear();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    let texts: Vec<Option<String>> = match given.data_type() {
        DataType::Interval(_) => {
            let values = cast(given, &INTERVAL)?;
            let values = values.as_primitive::<IntervalMonthDayNanoType>().iter();
            values
                .map(|value| {
                    let value = value?;
                    Some(shown(&mut |out| {
                        text::interval(out, value.months, value.days, value.nanoseconds);
                    }))
                })
                .collect()
        }
        given_type => {
            let zoned = matches!(given_type, DataType::Timestamp(_, Some(_)));
            let moments = microseconds(given)?;
            moments
                .iter()
                .map(|moment| {
                    let moment = moment?;
                    Some(shown(&mut |out| {
                        if zoned {
                            text::timestamptz(out, moment, call.zone);
                        } else {
                            text::timestamp(out, moment);
                        }
                    }))
                })
                .collect()
        }
    };
    Ok(Arc::new(
        texts.iter().map(Option::as_deref).collect::<StringViewArray>(),
    ))
}

/// Microseconds since 1970 of timestamps and dates.
fn microseconds(array: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let target = match array.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => TIMESTAMP,
    };
    Ok(cast(array, &target)?
        .as_primitive::<TimestampMicrosecondType>()
        .clone())
}

/// Values, of which `Some(None)` is out of range.
fn checked<T>(rows: impl Iterator<Item = Option<Option<T>>>, message: &str) -> Result<Vec<Option<T>>> {
    rows.map(|row| match row {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(external(QueryError::new(SqlState::DATETIME_OVERFLOW, message))),
    })
    .collect()
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

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked to fit"
)]
fn times(value: IntervalMonthDayNano, factor: f64) -> Option<IntervalMonthDayNano> {
    let months = f64::from(value.months) * factor;
    let days = f64::from(value.days) * factor;
    let time = (value.nanoseconds / 1_000) as f64 * factor;
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

pub(super) fn naive(microseconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(microseconds).map(|moment| moment.naive_utc())
}

fn unknown_unit(unit: &str, of: &DataType) -> QueryError {
    let of = match of {
        DataType::Date32 => "date",
        DataType::Time64(_) => "time without time zone",
        DataType::Interval(_) => "interval",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        _ => "timestamp without time zone",
    };
    QueryError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unit \"{unit}\" not recognized for type {of}"),
    )
}

/// A part of a moment that `extract` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        Some(match name.trim().to_lowercase().as_str() {
            "millennium" | "millennia" => Self::Millennium,
            "century" | "centuries" => Self::Century,
            "decade" | "decades" => Self::Decade,
            "year" | "years" => Self::Year,
            "isoyear" => Self::IsoYear,
            "quarter" => Self::Quarter,
            "month" | "months" => Self::Month,
            "week" | "weeks" => Self::Week,
            "day" | "days" => Self::Day,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "hour" | "hours" => Self::Hour,
            "minute" | "minutes" => Self::Minute,
            "second" | "seconds" => Self::Second,
            "millisecond" | "milliseconds" => Self::Millisecond,
            "microsecond" | "microseconds" => Self::Microsecond,
            "epoch" => Self::Epoch,
            "timezone" => Self::Timezone,
            "timezone_hour" => Self::TimezoneHour,
            "timezone_minute" => Self::TimezoneMinute,
            _ => return None,
        })
    }

    /// Digits behind the point.
    fn scale(self) -> i8 {
        match self {
            Self::Second | Self::Epoch => FRACTION,
            Self::Millisecond => 3,
            _ => 0,
        }
    }

    /// The part in units of 10^-scale. `None`: this kind of value has no such part.
    fn of_timestamp(self, local: i64, offset: Option<i32>) -> Option<i64> {
        let date = naive(local)?.date();
        let year = i64::from(date.year());
        let time = local.rem_euclid(DAY);
        Some(match self {
            Self::Millennium => (year + 999).div_euclid(1000),
            Self::Century => (year + 99).div_euclid(100),
            Self::Decade => year.div_euclid(10),
            Self::Year => year,
            Self::IsoYear => i64::from(date.iso_week().year()),
            Self::Quarter => i64::from(date.month0() / 3 + 1),
            Self::Month => i64::from(date.month()),
            Self::Week => i64::from(date.iso_week().week()),
            Self::Day => i64::from(date.day()),
            Self::DayOfWeek => i64::from(date.weekday().num_days_from_sunday()),
            Self::IsoDayOfWeek => i64::from(date.weekday().number_from_monday()),
            Self::DayOfYear => i64::from(date.ordinal()),
            Self::Epoch => local - i64::from(offset.unwrap_or(0)) * SECOND,
            Self::Timezone => i64::from(offset?),
            Self::TimezoneHour => i64::from(offset? / 3600),
            Self::TimezoneMinute => i64::from(offset? / 60 % 60),
            _ => return self.of_time(time),
        })
    }

    fn of_time(self, time: i64) -> Option<i64> {
        Some(match self {
            Self::Hour => time / HOUR,
            Self::Minute => time / (60 * SECOND) % 60,
            // Of the last minute, in microseconds: the scales tell the three apart.
            Self::Second | Self::Millisecond | Self::Microsecond => time % (60 * SECOND),
            Self::Epoch => time,
            _ => return None,
        })
    }

    fn of_interval(self, value: IntervalMonthDayNano) -> Option<i64> {
        let (months, days) = (i64::from(value.months), i64::from(value.days));
        let time = value.nanoseconds / 1_000;
        Some(match self {
            Self::Millennium => months / 12_000,
            Self::Century => months / 1_200,
            Self::Decade => months / 120,
            Self::Year => months / 12,
            Self::Quarter => months % 12 / 3 + 1,
            Self::Month => months % 12,
            Self::Day => days,
            // A year has 365.25 days here, a month without years 30.
            Self::Epoch => {
                let years = (months / 12).checked_mul(36_525 * (DAY / 100))?;
                let rest = (months % 12 * 30 + days).checked_mul(DAY)?;
                years.checked_add(rest)?.checked_add(time)?
            }
            _ => return self.of_time(time),
        })
    }
}

fn extracted(given: &Given<'_>) -> Result<DataType> {
    let scale = match given.text(0) {
        Some(part) => match Part::of(part) {
            Some(part) => part.scale(),
            None => return Err(external(unknown_unit(part, given.data_type(1)))),
        },
        None => FRACTION,
    };
    Ok(DataType::Decimal128(if scale == 0 { 10 } else { 20 }, scale))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (precision, scale) = match call.returns {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => (20, FRACTION),
    };
    let parts = cast(call.argument(0)?, &DataType::Utf8View)?;
    let parts = parts.as_string_view();
    let moments = call.argument(1)?;
    let of_type = moments.data_type();
    // The common case: one part for all rows.
    let mut known: Option<(&str, Part)> = None;
    let mut part_of = |row: usize| -> Result<Option<Part>> {
        if parts.is_null(row) {
            return Ok(None);
        }
        let name = parts.value(row);
        if let Some((last, part)) = known
            && last == name
        {
            return Ok(Some(part));
        }
        let part = Part::of(name).ok_or_else(|| external(unknown_unit(name, of_type)))?;
        known = Some((name, part));
        Ok(Some(part))
    };
    let mut values: Vec<Option<i128>> = Vec::with_capacity(call.rows);
    let mut push = |part: Option<Part>, value: Option<Option<i64>>| -> Result<()> {
        values.push(match (part, value) {
            (Some(part), Some(value)) => {
                let value = value.ok_or_else(|| external(unknown_unit(part_name(part), of_type)))?;
                Some(rescale(part, value, scale))
            }
            _ => None,
        });
        Ok(())
    };
    match of_type {
        DataType::Interval(_) => {
            let moments = cast(moments, &INTERVAL)?;
            for (row, value) in moments
                .as_primitive::<IntervalMonthDayNanoType>()
                .iter()
                .enumerate()
            {
                let part = part_of(row)?;
                push(part, part.zip(value).map(|(part, value)| part.of_interval(value)))?;
            }
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let moments = cast(moments, &DataType::Time64(TimeUnit::Microsecond))?;
            for (row, value) in moments.as_primitive::<Time64MicrosecondType>().iter().enumerate() {
                let part = part_of(row)?;
                push(part, part.zip(value).map(|(part, value)| part.of_time(value)))?;
            }
        }
        _ => {
            let zoned = matches!(of_type, DataType::Timestamp(_, Some(_)));
            for (row, value) in microseconds(moments)?.iter().enumerate() {
                let part = part_of(row)?;
                let offset = value
                    .filter(|_| zoned)
                    .map(|moment| zone::offset_at(call.zone, moment));
                let local = value.map(|moment| moment + i64::from(offset.unwrap_or(0)) * SECOND);
                push(
                    part,
                    part.zip(local)
                        .map(|(part, local)| part.of_timestamp(local, offset)),
                )?;
            }
        }
    }
    let values = Decimal128Array::from(values).with_precision_and_scale(precision, scale)?;
    Ok(Arc::new(values))
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Timezone => "timezone",
        Part::TimezoneHour => "timezone_hour",
        Part::TimezoneMinute => "timezone_minute",
        Part::IsoYear => "isoyear",
        Part::Week => "week",
        Part::DayOfWeek => "dow",
        Part::IsoDayOfWeek => "isodow",
        Part::DayOfYear => "doy",
        Part::Hour => "hour",
        _ => "date part",
    }
}

/// Brings a part's number to the scale of the result; seconds and milliseconds are counted in microseconds.
fn rescale(part: Part, value: i64, scale: i8) -> i128 {
    let own: i8 = part.scale();
    let power = i128::from(10_i32.pow(u32::from((scale - own).max(0).unsigned_abs())));
    i128::from(value) * power
}

fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    let numeric = extract(&Call {
        name: call.name,
        arguments: call.arguments,
        returns: &DataType::Decimal128(20, FRACTION),
        zone: call.zone,
        rows: call.rows,
    })?;
    let numeric = numeric.as_primitive::<datafusion::arrow::datatypes::Decimal128Type>();
    #[expect(clippy::cast_precision_loss, reason = "as PostgreSQL's double precision")]
    let floats = numeric.iter().map(|value| value.map(|value| value as f64 / 1e6));
    Ok(Arc::new(floats.collect::<Float64Array>()))
}

fn truncated(given: &Given<'_>) -> Result<DataType> {
    if let Some(unit) = given.text(0)
        && truncate(unit, 0).is_none()
    {
        return Err(external(unknown_unit(unit, given.data_type(1))));
    }
    Ok(match given.data_type(1) {
        DataType::Interval(_) => INTERVAL,
        // As in PostgreSQL, a date is taken as its midnight in the session's zone.
        DataType::Timestamp(_, Some(_)) | DataType::Date32 => timestamptz(),
        _ => TIMESTAMP,
    })
}

/// The start of the unit that `local` lies in; `None` for an unknown unit.
fn truncate(unit: &str, local: i64) -> Option<i64> {
    let plain = |each: i64| Some(local - local.rem_euclid(each));
    let date = naive(local)?.date();
    let start = match unit.trim().to_lowercase().as_str() {
        "microsecond" | "microseconds" => return Some(local),
        "millisecond" | "milliseconds" => return plain(1_000),
        "second" | "seconds" => return plain(SECOND),
        "minute" | "minutes" => return plain(60 * SECOND),
        "hour" | "hours" => return plain(HOUR),
        "day" | "days" => return plain(DAY),
        "week" | "weeks" => date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into()))?,
        "month" | "months" => date.with_day(1)?,
        "quarter" => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1)?,
        "year" | "years" => NaiveDate::from_ymd_opt(date.year(), 1, 1)?,
        "decade" | "decades" => NaiveDate::from_ymd_opt(date.year().div_euclid(10) * 10, 1, 1)?,
        "century" | "centuries" => {
            NaiveDate::from_ymd_opt((date.year() - 1).div_euclid(100) * 100 + 1, 1, 1)?
        }
        "millennium" | "millennia" => {
            NaiveDate::from_ymd_opt((date.year() - 1).div_euclid(1000) * 1000 + 1, 1, 1)?
        }
        _ => return None,
    };
    Some(start.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let units = cast(call.argument(0)?, &DataType::Utf8View)?;
    let moments = call.argument(1)?;
    let of_type = moments.data_type();
    if matches!(of_type, DataType::Interval(_)) {
        return Err(external(QueryError::not_supported(
            "date_trunc of an interval is not supported",
        )));
    }
    let zoned = matches!(of_type, DataType::Timestamp(_, Some(_)) | DataType::Date32);
    let zone = match call.arguments.get(2) {
        Some(names) => {
            let names = cast(names, &DataType::Utf8View)?;
            named_zone(names.as_string_view().iter().flatten().next().unwrap_or("UTC"))?
        }
        None => call.zone,
    };
    let moments = microseconds(moments)?;
    let mut starts: Vec<Option<i64>> = Vec::with_capacity(call.rows);
    for (unit, moment) in units.as_string_view().iter().zip(&moments) {
        let (Some(unit), Some(moment)) = (unit, moment) else {
            starts.push(None);
            continue;
        };
        let local = match of_type {
            DataType::Timestamp(_, Some(_)) => zone::to_local(zone, moment),
            _ => moment,
        };
        let start = truncate(unit, local).ok_or_else(|| external(unknown_unit(unit, of_type)))?;
        // An hour that is there twice is itself: only units of days are told in local time again.
        let within_day = local - start < DAY && start.rem_euclid(DAY) != 0;
        starts.push(Some(match zoned {
            true if within_day && of_type != &DataType::Date32 => moment - (local - start),
            true => zone::to_utc(zone, start),
            false => start,
        }));
    }
    let starts = TimestampMicrosecondArray::from(starts);
    Ok(if zoned {
        Arc::new(starts.with_timezone("UTC"))
    } else {
        Arc::new(starts)
    })
}

fn named_zone(name: &str) -> Result<Tz> {
    zone::by_name(name).ok_or_else(|| {
        external(QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("time zone \"{name}\" not recognized"),
        ))
    })
}

fn zoned(given: &Given<'_>) -> Result<DataType> {
    Ok(match given.data_type(1) {
        DataType::Timestamp(_, Some(_)) => TIMESTAMP,
        _ => timestamptz(),
    })
}

/// `timezone(zone, moment)`: AT TIME ZONE.
fn timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let names = cast(call.argument(0)?, &DataType::Utf8View)?;
    let moments = call.argument(1)?;
    let has_zone = matches!(moments.data_type(), DataType::Timestamp(_, Some(_)));
    let moments = microseconds(moments)?;
    let mut known: Option<(String, Tz)> = None;
    let mut values: Vec<Option<i64>> = Vec::with_capacity(call.rows);
    for (name, moment) in names.as_string_view().iter().zip(&moments) {
        let (Some(name), Some(moment)) = (name, moment) else {
            values.push(None);
            continue;
        };
        let zone = match &known {
            Some((last, zone)) if last == name => *zone,
            _ => {
                let zone = named_zone(name)?;
                known = Some((name.to_owned(), zone));
                zone
            }
        };
        values.push(Some(if has_zone {
            zone::to_local(zone, moment)
        } else {
            zone::to_utc(zone, moment)
        }));
    }
    let values = TimestampMicrosecondArray::from(values);
    Ok(if has_zone {
        Arc::new(values)
    } else {
        Arc::new(values.with_timezone("UTC"))
    })
}

/// `age(later, earlier)`: years, months and days as a calendar counts them.
fn age(call: &Call<'_>) -> Result<ArrayRef> {
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

fn justify_hours(call: &Call<'_>) -> Result<ArrayRef> {
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

fn justify_days(call: &Call<'_>) -> Result<ArrayRef> {
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

/// Seconds since 1970, or a text and its format.
fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arguments.len() > 1 {
        let locals = super::format::parse_all(call)?;
        let moments = locals
            .into_iter()
            .map(|local| local.map(|local| zone::to_utc(call.zone, local)));
        return Ok(Arc::new(
            moments
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ));
    }
    let seconds = cast(call.argument(0)?, &DataType::Float64)?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
    let rows = seconds.as_primitive::<Float64Type>().iter().map(|seconds| {
        seconds.map(|seconds| {
            let microseconds = (seconds * 1e6).round();
            (microseconds.abs() < 2.5e17).then_some(microseconds as i64)
        })
    });
    let moments: Vec<Option<i64>> = checked(rows, "timestamp out of range")?;
    Ok(Arc::new(
        TimestampMicrosecondArray::from(moments).with_timezone("UTC"),
    ))
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let locals = super::format::parse_all(call)?;
    let days = locals.into_iter().map(|local| {
        let days = local?.div_euclid(DAY);
        i32::try_from(days).ok()
    });
    Ok(Arc::new(days.collect::<Date32Array>()))
}

#[cfg(test)]
mod tests {
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
