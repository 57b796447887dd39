//! Functions of dates, timestamps and intervals, in microseconds and in the session's time zone.

mod fields;
mod intervals;
mod ranges;

use std::sync::Arc;

use bytes::BytesMut;
use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, StringViewBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::{Call, Function, Given, call, external};
use crate::error::QueryError;
use crate::sqlstate::SqlState;
use crate::values::column::Column;
use crate::values::zone;
use fields::{date_part, date_trunc, extract, extracted, truncated};
use intervals::{age, justify_days, justify_hours};
pub(super) use intervals::{average_of, span};
pub(in crate::query) use intervals::{interval_span, interval_times, timestamp_minus, timestamptz_plus};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);
/// Nanoseconds, of the longest interval.
const SPAN: DataType = DataType::Decimal128(38, 0);

pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn get(name: &str, zone: Tz) -> Option<Arc<ScalarUDF>> {
    Some(match name {
        "extract" => Function::with_ranges("extract", zone, extracted, extract, ranges::of_field),
        "date_part" => {
            let returns = |_: &Given<'_>| Ok(DataType::Float64);
            Function::with_ranges("date_part", zone, returns, date_part, ranges::of_field)
        }
        "date_trunc" => {
            Function::with_ranges("date_trunc", zone, truncated, date_trunc, ranges::of_beginning)
        }
        "timezone" => Function::udf("timezone", zone, zoned, timezone),
        "age" => Function::udf("age", zone, |_| Ok(INTERVAL), age),
        "to_timestamp" => Function::udf("to_timestamp", zone, |_| Ok(timestamptz()), to_timestamp),
        "to_date" => Function::udf("to_date", zone, |_| Ok(DataType::Date32), to_date),
        "justify_hours" => Function::udf("justify_hours", zone, |_| Ok(INTERVAL), justify_hours),
        "justify_days" => Function::udf("justify_days", zone, |_| Ok(INTERVAL), justify_days),
        // What PostgreSQL calls for `timestamp(3)` and the like.
        "timestamp" => Function::udf("timestamp", zone, |_| Ok(TIMESTAMP), rounded),
        "timestamptz" => Function::udf("timestamptz", zone, |_| Ok(timestamptz()), rounded),
        "time" => Function::udf("time", zone, |_| Ok(TIME), rounded),
        _ => return None,
    })
}

/// A cast to a text as PostgreSQL shows the value, or one between timestamps with and without zone, dates and times, that
/// depends on the session's zone.
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
        DataType::Date32 => Function::with_ranges(
            "date_of",
            zone,
            |_| Ok(DataType::Date32),
            |call| {
                let moments = match call.argument(0)? {
                    moments if moments.data_type() == &TIMESTAMP => Arc::clone(moments),
                    _ => local(call)?,
                };
                Ok(cast(&moments, &DataType::Date32)?)
            },
            ranges::of_day,
        ),
        DataType::Time64(_) => Function::udf(
            "time_of",
            zone,
            |_| Ok(TIME),
            |call| Ok(cast(&local(call)?, &TIME)?),
        ),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            Function::udf("text_of", zone, |_| Ok(DataType::Utf8View), text_of)
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

/// Values as the client would see them.
fn text_of(call: &Call<'_>) -> Result<ArrayRef> {
    let given = call.argument(0)?;
    let column = Column::new(given, call.zone)?;
    let mut texts = StringViewBuilder::with_capacity(given.len());
    let mut shown = BytesMut::new();
    for row in 0..given.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        shown.clear();
        column.append_text(row, &mut shown)?;
        texts.append_value(String::from_utf8_lossy(&shown));
    }
    Ok(Arc::new(texts.finish()))
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

pub(super) fn naive(microseconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(microseconds).map(|moment| moment.naive_utc())
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

/// `timestamp(moment, digits)`: with as many digits of the second behind the point. Halves go away from the beginning of 2000,
/// from which PostgreSQL counts, and those of a time of day up.
fn rounded(call: &Call<'_>) -> Result<ArrayRef> {
    const EPOCH: i64 = 946_684_800 * SECOND;
    let moments = call.argument(0)?;
    let digits = cast(call.argument(1)?, &DataType::Int64)?;
    let epoch = match moments.data_type() {
        DataType::Time64(_) => 0,
        _ => EPOCH,
    };
    let microseconds = cast(moments, &DataType::Int64)?;
    let rows = microseconds.as_primitive::<Int64Type>().iter();
    let rows = rows
        .zip(digits.as_primitive::<Int64Type>())
        .map(|(moment, digits)| {
            let (Some(moment), Some(digits)) = (moment, digits) else {
                return Ok(None);
            };
            let Ok(digits) = u32::try_from(digits) else {
                return Err(external(QueryError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("{}({digits}) precision must not be negative", call.name),
                )));
            };
            let unit = 10_i64.pow(6 - digits.min(6));
            let since = i128::from(moment) - i128::from(epoch);
            let units = (since.abs() + i128::from(unit / 2)) / i128::from(unit) * since.signum();
            let rounded = i64::try_from(units * i128::from(unit) + i128::from(epoch));
            rounded.map(Some).map_err(|_| {
                external(QueryError::new(
                    SqlState::DATETIME_OVERFLOW,
                    "timestamp out of range",
                ))
            })
        });
    let rounded: Int64Array = rows.collect::<Result<_>>()?;
    Ok(cast(&rounded, moments.data_type())?)
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let locals = super::format::parse_all(call)?;
    let days = locals.into_iter().map(|local| {
        let days = local?.div_euclid(DAY);
        i32::try_from(days).ok()
    });
    Ok(Arc::new(days.collect::<Date32Array>()))
}
