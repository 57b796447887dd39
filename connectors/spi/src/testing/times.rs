//! Days, times, moments and intervals at the edges of what sources hold, and where calendars and clocks disagree.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::kind::ColumnKind;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// The last second of 31 bits since 1970.
const UNIX_SECONDS_MAX: i64 = (1 << 31) - 1;

/// Days that calendars disagree on, and the edges of what a date can be.
const DAYS: &[&str] = &[
    "1970-01-01",
    "1969-12-31",
    "1970-01-02",
    "2000-02-29",
    "1900-02-28",
    "1900-03-01",
    "2024-02-29",
    "2024-03-01",
    "2024-12-31",
    "2025-01-01",
    "1582-10-04",
    "1582-10-15",
    "1000-01-01",
    "0999-12-31",
    "0001-01-01",
    "0001-01-02",
    "9999-12-30",
    "9999-12-31",
    "2038-01-19",
    "2262-04-12",
];

/// Moments at the edges of days, of seconds and of what a timestamp can be.
const MOMENTS: &[&str] = &[
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "1970-01-01 00:00:00.000001",
    "2024-02-29 12:00:00",
    "2024-02-29 12:00:00.5",
    "2024-02-29 12:00:00.499999",
    "2024-02-29 12:00:00.500001",
    "2024-02-29 23:59:59.999999",
    "2024-03-01 00:00:00",
    "2024-03-31 02:30:00",
    "2024-10-27 02:30:00",
    "2038-01-19 03:14:07",
    "2038-01-19 03:14:08",
    "1900-01-01 00:00:00",
    "1000-01-01 00:00:00",
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
];

/// Times of a day, in microseconds.
const TIMES: &[i64] = &[
    0,
    1,
    999_999,
    SECOND,
    12 * 3600 * SECOND,
    12 * 3600 * SECOND + 1,
    13 * 3600 * SECOND + 500_000,
    DAY - SECOND,
    DAY - 1,
];

pub(crate) fn days() -> Vec<ScalarValue> {
    parsed(DAYS, &DataType::Date32)
}

pub(crate) fn times() -> Vec<ScalarValue> {
    let time = |&micros: &i64| ScalarValue::Time64Microsecond(Some(micros));
    TIMES.iter().map(time).collect()
}

pub(crate) fn timestamps() -> Vec<ScalarValue> {
    parsed(MOMENTS, &DataType::Timestamp(TimeUnit::Microsecond, None))
}

/// The timestamps as moments in UTC; with `unix` those that 31 bits of seconds hold, and the last of them.
pub(crate) fn moments(unix: bool) -> Vec<ScalarValue> {
    let last = (UNIX_SECONDS_MAX + 1) * SECOND - 1;
    let micros = timestamps().into_iter().filter_map(|value| match value {
        ScalarValue::TimestampMicrosecond(micros, _) => micros,
        _ => None,
    });
    let all = micros.chain([SECOND, last]);
    all.filter(|micros| !unix || (SECOND..=last).contains(micros))
        .map(moment)
        .collect()
}

fn moment(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

/// Intervals of each part alone, of parts with other signs, and of what is one day in two ways.
pub(crate) fn intervals() -> Vec<ScalarValue> {
    let parts = [
        (0, 0, 0),
        (0, 0, 1),
        (0, 0, -1),
        (0, 0, DAY),
        (0, 1, 0),
        (0, -1, DAY),
        (1, 0, 0),
        (0, 30, 0),
        (12, 0, 0),
        (-1, 3, -SECOND),
        (i32::MAX, i32::MAX, 0),
        (i32::MIN, i32::MIN, 0),
    ];
    parts
        .map(|(months, days, micros)| interval(months, days, micros))
        .into()
}

fn interval(months: i32, days: i32, micros: i64) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, micros * 1000)))
}

/// A random time, timestamp, moment or interval.
pub(crate) fn random(kind: ColumnKind, random: &mut StdRng) -> ScalarValue {
    match kind {
        ColumnKind::Time => ScalarValue::Time64Microsecond(Some(random.random_range(0..DAY))),
        ColumnKind::Moment { unix: true } => moment(random.random_range(SECOND..UNIX_SECONDS_MAX * SECOND)),
        ColumnKind::Moment { unix: false } => moment(random_micros(random)),
        ColumnKind::Interval => interval(
            random.random_range(-30..30),
            random.random_range(-40..40),
            random.random_range(-DAY..DAY),
        ),
        _ => ScalarValue::TimestampMicrosecond(Some(random_micros(random)), None),
    }
}

fn random_micros(random: &mut StdRng) -> i64 {
    random.random_range(-4_000_000_000_000_000..4_000_000_000_000_000)
}

fn parsed(texts: &[&str], data_type: &DataType) -> Vec<ScalarValue> {
    let parse =
        |text: &&str| ScalarValue::try_from_string((*text).to_owned(), data_type).expect("a fixed literal");
    texts.iter().map(parse).collect()
}
