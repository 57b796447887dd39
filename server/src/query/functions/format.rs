//! `to_char`, `to_date` and `to_timestamp`: PostgreSQL's templates.

mod number;
mod read;

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{Datelike, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use number::number_written;
pub(super) use read::parse_all;

use super::moments::naive;
use super::{Call, Function, external};
use crate::error::QueryError;
use crate::sqlstate::SqlState;
use crate::values::zone;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// The width to which names of months and days are filled up.
const NAME_WIDTH: usize = 9;

pub(super) fn get(name: &str, zone: Tz) -> Option<Arc<ScalarUDF>> {
    (name == "to_char").then(|| Function::udf("to_char", zone, |_| Ok(DataType::Utf8View), to_char))
}

fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let values = call.argument(0)?;
    let templates = cast(call.argument(1)?, &DataType::Utf8View)?;
    let mut templates = templates.as_string_view().iter();
    let mut known: Option<(String, Vec<Token>)> = None;
    let mut texts: Vec<Option<String>> = Vec::with_capacity(call.rows);
    match values.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Time64(_) | DataType::Interval(_) => {
            for moment in moments_of(values, call.zone)? {
                let template = templates.next().flatten();
                let (Some(moment), Some(template)) = (moment, template) else {
                    texts.push(None);
                    continue;
                };
                if known.as_ref().is_none_or(|(last, _)| last != template) {
                    known = Some((template.to_owned(), tokens(template)));
                }
                texts.push(known.as_ref().map(|(_, tokens)| written(&moment, tokens)));
            }
        }
        data_type if data_type.is_numeric() => {
            let numbers = cast(values, &DataType::Utf8View)?;
            for number in numbers.as_string_view() {
                let (Some(number), Some(template)) = (number, templates.next().flatten()) else {
                    texts.push(None);
                    continue;
                };
                texts.push(Some(number_written(number, template).map_err(external)?));
            }
        }
        _ => {
            return Err(external(QueryError::new(
                SqlState::UNDEFINED_FUNCTION,
                "function to_char wants a timestamp, a date, an interval or a number",
            )));
        }
    }
    Ok(Arc::new(
        texts.iter().map(Option::as_deref).collect::<StringViewArray>(),
    ))
}

/// A moment or an interval, in the parts that a template may ask for.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: NaiveDateTime,
    /// An interval's hours may be more than 24.
    hours: i64,
    /// Seconds east of UTC, and the zone.
    zone: Option<(i32, Tz)>,
}

fn moments_of(values: &ArrayRef, zone: Tz) -> Result<Vec<Option<Moment>>> {
    if let DataType::Interval(_) = values.data_type() {
        let values = cast(values, &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let values = values.as_primitive::<IntervalMonthDayNanoType>().iter();
        return Ok(values
            .map(|value| {
                let value = value?;
                let time = value.nanoseconds / 1_000;
                Some(Moment {
                    at: naive(time.rem_euclid(3_600_000_000))?,
                    hours: time.div_euclid(3_600_000_000),
                    zone: None,
                })
            })
            .collect());
    }
    let zoned = matches!(values.data_type(), DataType::Timestamp(_, Some(_)));
    let target = match values.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    };
    let values = match values.data_type() {
        DataType::Time64(_) => cast(&cast(values, &DataType::Int64)?, &target)?,
        _ => cast(values, &target)?,
    };
    let values = values.as_primitive::<TimestampMicrosecondType>().iter();
    Ok(values
        .map(|value| {
            let value = value?;
            let offset = zoned.then(|| zone::offset_at(zone, value));
            let at = naive(value + i64::from(offset.unwrap_or(0)) * 1_000_000)?;
            Some(Moment {
                at,
                hours: at.hour().into(),
                zone: offset.map(|offset| (offset, zone)),
            })
        })
        .collect())
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A pattern, whether it is without padding (FM), and the suffix of ordinals (TH, th).
    Pattern(&'static str, bool, &'static str),
    Text(String),
}

/// The patterns, the longer ones first.
const PATTERNS: [&str; 61] = [
    "SSSSS", "SSSS", "HH24", "HH12", "A.M.", "P.M.", "a.m.", "p.m.", "MONTH", "Month", "month", "Y,YYY",
    "YYYY", "yyyy", "IYYY", "iyyy", "IYY", "YYY", "yyy", "DDD", "ddd", "DAY", "Day", "day", "MON", "Mon",
    "mon", "TZH", "TZM", "hh24", "hh12", "HH", "hh", "MI", "mi", "SS", "ss", "MS", "ms", "US", "us", "AM",
    "PM", "am", "pm", "YY", "yy", "MM", "mm", "DD", "dd", "DY", "Dy", "dy", "IW", "WW", "ww", "ID", "CC",
    "OF", "TZ",
];
const SHORT_PATTERNS: [&str; 9] = ["tz", "Y", "y", "W", "w", "D", "d", "Q", "q"];

fn tokens(template: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = template;
    let mut bare = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            (bare, rest) = (true, tail);
            continue;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            let (text, tail) = quoted.split_at(end);
            tokens.push(Token::Text(text.to_owned()));
            rest = tail.strip_prefix('"').unwrap_or(tail);
            continue;
        }
        let mut patterns = PATTERNS.iter().chain(&SHORT_PATTERNS);
        if let Some(found) = patterns.find(|pattern| rest.starts_with(**pattern)) {
            rest = &rest[found.len()..];
            let suffix = ["TH", "th"].into_iter().find(|suffix| rest.starts_with(suffix));
            rest = &rest[suffix.map_or(0, str::len)..];
            tokens.push(Token::Pattern(found, bare, suffix.unwrap_or("")));
            bare = false;
            continue;
        }
        let mut characters = rest.chars();
        if let Some(next) = characters.next() {
            match tokens.last_mut() {
                Some(Token::Text(text)) => text.push(next),
                _ => tokens.push(Token::Text(next.to_string())),
            }
        }
        rest = characters.as_str();
    }
    tokens
}

fn written(moment: &Moment, tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Text(text) => out.push_str(text),
            Token::Pattern(pattern, bare, suffix) => {
                let start = out.len();
                write_pattern(&mut out, moment, pattern, *bare);
                if !suffix.is_empty() {
                    let ordinal = ordinal(out.get(start..).unwrap_or_default());
                    out.push_str(&match *suffix {
                        "TH" => ordinal.to_uppercase(),
                        _ => ordinal.to_owned(),
                    });
                }
            }
        }
    }
    out
}

fn ordinal(number: &str) -> &'static str {
    let teens = number.len() > 1
        && number
            .get(number.len() - 2..)
            .is_some_and(|tail| tail.starts_with('1'));
    match number.chars().last() {
        Some('1') if !teens => "st",
        Some('2') if !teens => "nd",
        Some('3') if !teens => "rd",
        _ => "th",
    }
}

/// Writes one pattern's part. Writing to a String cannot fail.
fn write_pattern(out: &mut String, moment: &Moment, pattern: &str, bare: bool) {
    let at = moment.at;
    let number = |out: &mut String, value: i64, width: usize| {
        let _ = if bare {
            write!(out, "{value}")
        } else {
            write!(out, "{value:0width$}")
        };
    };
    let name = |out: &mut String, name: &str, like: &str| {
        let cased = match like.chars().nth(1) {
            Some(second) if second.is_lowercase() && like.starts_with(char::is_uppercase) => name.to_owned(),
            Some(second) if second.is_uppercase() => name.to_uppercase(),
            _ => name.to_lowercase(),
        };
        let width = if bare || like.len() < 3 || like.eq_ignore_ascii_case("mon") {
            0
        } else {
            NAME_WIDTH
        };
        let _ = write!(out, "{cased:<width$}");
    };
    let year = i64::from(at.year());
    let iso = at.iso_week();
    let month = MONTHS.get(at.month0() as usize).copied().unwrap_or_default();
    let day_index = at.weekday().num_days_from_sunday();
    let day = DAYS.get(day_index as usize).copied().unwrap_or_default();
    let hour12 = match moment.hours.rem_euclid(12) {
        0 => 12,
        hour => hour,
    };
    match pattern {
        "HH24" | "hh24" => number(out, moment.hours, 2),
        "HH12" | "hh12" | "HH" | "hh" => number(out, hour12, 2),
        "MI" | "mi" => number(out, at.minute().into(), 2),
        "SS" | "ss" => number(out, at.second().into(), 2),
        "MS" | "ms" => number(out, i64::from(at.nanosecond() / 1_000_000), 3),
        "US" | "us" => number(out, i64::from(at.nanosecond() / 1_000), 6),
        "SSSS" | "SSSSS" => number(out, at.num_seconds_from_midnight().into(), 1),
        "AM" | "PM" => out.push_str(if moment.hours % 24 < 12 { "AM" } else { "PM" }),
        "am" | "pm" => out.push_str(if moment.hours % 24 < 12 { "am" } else { "pm" }),
        "A.M." | "P.M." => out.push_str(if moment.hours % 24 < 12 { "A.M." } else { "P.M." }),
        "a.m." | "p.m." => out.push_str(if moment.hours % 24 < 12 { "a.m." } else { "p.m." }),
        "Y,YYY" => {
            let _ = write!(out, "{},{:03}", year / 1000, year % 1000);
        }
        "YYYY" | "yyyy" => number(out, year, 4),
        "IYYY" | "iyyy" => number(out, iso.year().into(), 4),
        "IYY" => number(out, i64::from(iso.year()) % 1000, 3),
        "YYY" | "yyy" => number(out, year % 1000, 3),
        "YY" | "yy" => number(out, year % 100, 2),
        "Y" | "y" => number(out, year % 10, 1),
        "MONTH" | "Month" | "month" => name(out, month, pattern),
        "MON" | "Mon" | "mon" => name(out, month.get(..3).unwrap_or(month), pattern),
        "MM" | "mm" => number(out, at.month().into(), 2),
        "DAY" | "Day" | "day" => name(out, day, pattern),
        "DY" | "Dy" | "dy" => name(out, day.get(..3).unwrap_or(day), pattern),
        "DDD" | "ddd" => number(out, at.ordinal().into(), 3),
        "DD" | "dd" => number(out, at.day().into(), 2),
        "D" | "d" => number(out, i64::from(day_index) + 1, 1),
        "ID" => number(out, at.weekday().number_from_monday().into(), 1),
        "WW" | "ww" => number(out, i64::from(at.ordinal0() / 7) + 1, 2),
        "W" | "w" => number(out, i64::from(at.day0() / 7) + 1, 1),
        "IW" => number(out, iso.week().into(), 2),
        "Q" | "q" => number(out, i64::from(at.month0() / 3) + 1, 1),
        "CC" => number(out, (year + 99).div_euclid(100), 2),
        _ => write_zone(out, moment, pattern),
    }
}

fn write_zone(out: &mut String, moment: &Moment, pattern: &str) {
    let Some((offset, zone)) = moment.zone else {
        // A moment without zone is shown as if it were in UTC.
        out.push_str(match pattern {
            "OF" | "TZH" => "+00",
            "TZM" => "00",
            _ => "",
        });
        return;
    };
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.unsigned_abs() / 3600, offset.unsigned_abs() / 60 % 60);
    let _ = match pattern {
        "OF" if minutes != 0 => write!(out, "{sign}{hours:02}:{minutes:02}"),
        "OF" | "TZH" => write!(out, "{sign}{hours:02}"),
        "TZM" => write!(out, "{minutes:02}"),
        _ => {
            use chrono::TimeZone as _;
            use chrono_tz::OffsetName as _;
            let utc = moment.at - chrono::Duration::seconds(offset.into());
            let offset = zone.offset_from_utc_datetime(&utc);
            let name = offset.abbreviation().unwrap_or(zone.name());
            match pattern {
                "tz" => write!(out, "{}", name.to_lowercase()),
                _ => write!(out, "{name}"),
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn at(template: &str) -> String {
        let at = NaiveDate::from_ymd_opt(2024, 2, 29)
            .and_then(|date| date.and_hms_micro_opt(15, 4, 5, 67_890))
            .unwrap();
        let moment = Moment {
            at,
            hours: 15,
            zone: None,
        };
        written(&moment, &tokens(template))
    }

    #[test]
    fn moments_fill_their_templates() {
        for (template, text) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "2024-02-29 15:04:05.067890"),
            ("FMMonth FMDDth, YYYY", "February 29th, 2024"),
            ("Month|DAY|Dy", "February |THURSDAY |Thu"),
            ("HH12:MI AM", "03:04 PM"),
            ("\"year\" YY Q IW DDD D", "year 24 1 09 060 5"),
            ("MS", "067"),
        ] {
            assert_eq!(at(template), text, "{template}");
        }
    }
}
