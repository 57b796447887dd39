//! The fields of moments and intervals: `extract`, `date_part` and `date_trunc`.

use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit,
};
use datafusion::common::Result;

use super::super::{Call, Given, external};
use super::{DAY, HOUR, INTERVAL, SECOND, TIMESTAMP, microseconds, naive, named_zone, timestamptz};
use crate::error::QueryError;
use crate::sqlstate::SqlState;
use crate::values::zone;

/// The largest scale of `extract`'s numerics.
const FRACTION: i8 = 6;

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

/// Whether `extract` calls the year so.
pub(super) fn is_year(name: &str) -> bool {
    Part::of(name) == Some(Part::Year)
}

pub(super) fn extracted(given: &Given<'_>) -> Result<DataType> {
    let scale = match given.text(0) {
        Some(part) => match Part::of(part) {
            Some(part) => part.scale(),
            None => return Err(external(unknown_unit(part, given.data_type(1)))),
        },
        None => FRACTION,
    };
    Ok(DataType::Decimal128(if scale == 0 { 10 } else { 20 }, scale))
}

pub(super) fn extract(call: &Call<'_>) -> Result<ArrayRef> {
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

pub(super) fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
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

pub(super) fn truncated(given: &Given<'_>) -> Result<DataType> {
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
pub(super) fn truncate(unit: &str, local: i64) -> Option<i64> {
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

pub(super) fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
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
