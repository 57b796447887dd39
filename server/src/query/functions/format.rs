//! `to_char`, `to_date` and `to_timestamp`: PostgreSQL's templates.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

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

/// A number as its template wants it. `number`: its plain decimal text.
fn number_written(number: &str, template: &str) -> std::result::Result<String, QueryError> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let template = Template::of(template)?;
    let (whole, fraction) = rounded(digits, template.fraction.len())?;
    let zero = whole.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    let negative = negative && !zero;
    Ok(template.fill(negative, &whole, &fraction))
}

/// The digits before the point, without zeros in front, and `scale` digits behind it, rounded half away from zero.
fn rounded(digits: &str, scale: usize) -> std::result::Result<(String, String), QueryError> {
    let plain = plain_digits(digits).ok_or_else(|| {
        QueryError::not_supported(format!("to_char of the number {digits} is not supported"))
    })?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let up = fraction.as_bytes().get(scale).is_some_and(|digit| *digit >= b'5');
    let kept: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(scale)
        .collect();
    let mut all: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    if up {
        let mut carry = true;
        for digit in all.iter_mut().rev() {
            if *digit == b'9' {
                *digit = b'0';
            } else {
                *digit += 1;
                carry = false;
                break;
            }
        }
        if carry {
            all.insert(0, b'1');
        }
    }
    let text = String::from_utf8(all).unwrap_or_default();
    let (whole, fraction) = text.split_at(text.len() - scale);
    Ok((whole.trim_start_matches('0').to_owned(), fraction.to_owned()))
}

/// `1.5e3` as `1500`; `None` for what is no finite number.
fn plain_digits(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|digit| digit.is_ascii_digit())
        || exponent.abs() > 400
    {
        return None;
    }
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
    let digits = format!("{whole}{fraction}");
    let Ok(point) = usize::try_from(point) else {
        let zeros = usize::try_from(-point).ok()?;
        return Some(format!("0.{}{digits}", "0".repeat(zeros)));
    };
    if point >= digits.len() {
        return Some(format!("{digits}{}", "0".repeat(point - digits.len())));
    }
    let (whole, fraction) = digits.split_at(point);
    Some(format!("{whole}.{fraction}"))
}

/// A number's template: the positions before and behind the point, and where the sign goes.
#[derive(Debug, Default)]
struct Template {
    /// `9`, `0`, `,` or a literal.
    whole: Vec<char>,
    fraction: Vec<char>,
    point: bool,
    bare: bool,
    sign: Sign,
    /// Literals before the first and behind the last position.
    before: String,
    after: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A minus before the first digit, else a space.
    #[default]
    Minus,
    /// S before or behind the digits.
    Before,
    After,
    /// MI: a minus behind the digits, else a space.
    MinusAfter,
    MinusBefore,
    /// PR: a negative number in angle brackets.
    Brackets,
    /// PL.
    PlusBefore,
}

impl Template {
    fn of(text: &str) -> std::result::Result<Self, QueryError> {
        let unsupported =
            || QueryError::not_supported(format!("the number format \"{text}\" is not supported"));
        let mut template = Self::default();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let started = !template.whole.is_empty() || template.point;
            let upper = rest.get(..2).map(str::to_uppercase);
            match upper.as_deref() {
                Some("FM") => {
                    (template.bare, rest) = (true, &rest[2..]);
                    continue;
                }
                Some("MI") => {
                    template.sign = if started {
                        Sign::MinusAfter
                    } else {
                        Sign::MinusBefore
                    };
                    rest = &rest[2..];
                    continue;
                }
                Some("PR") => {
                    (template.sign, rest) = (Sign::Brackets, &rest[2..]);
                    continue;
                }
                Some("PL") if !started => {
                    (template.sign, rest) = (Sign::PlusBefore, &rest[2..]);
                    continue;
                }
                Some("TH" | "RN" | "SG" | "EE" | "PL") => return Err(unsupported()),
                _ => {}
            }
            match next {
                '9' | '0' if template.point => template.fraction.push(next),
                '9' | '0' => template.whole.push(next),
                ',' | 'G' | 'g' if !template.point => template.whole.push(','),
                '.' | 'D' | 'd' if !template.point => template.point = true,
                'S' | 's' => template.sign = if started { Sign::After } else { Sign::Before },
                'V' | 'v' => return Err(unsupported()),
                'L' | 'l' if started => template.after.push(' '),
                'L' | 'l' => template.before.push(' '),
                literal if started => template.after.push(literal),
                literal => template.before.push(literal),
            }
            rest = &rest[next.len_utf8()..];
        }
        Ok(template)
    }

    fn fill(&self, negative: bool, whole: &str, fraction: &str) -> String {
        let positions = self.whole.iter().filter(|position| **position != ',').count();
        let overflow = whole.len() > positions;
        let zeros_from = self.whole.iter().position(|position| *position == '0');
        // Without a fraction the last digit is always there.
        let last = self.whole.iter().rposition(|position| *position != ',');
        let mut digits = String::new();
        let mut padding = String::new();
        let mut missing = positions.saturating_sub(whole.len());
        let mut given = whole.chars();
        for (index, position) in self.whole.iter().enumerate() {
            let shown = !digits.is_empty() || zeros_from.is_some_and(|from| index >= from);
            if overflow {
                digits.push(if *position == ',' { ',' } else { '#' });
            } else if *position == ',' {
                if digits.is_empty() {
                    padding.push(' ');
                } else {
                    digits.push(',');
                }
            } else if missing > 0 {
                missing -= 1;
                let lone = self.fraction.is_empty() && last == Some(index);
                if shown || lone {
                    digits.push('0');
                } else {
                    padding.push(' ');
                }
            } else if let Some(digit) = given.next() {
                digits.push(digit);
            }
        }
        if self.point {
            digits.push('.');
        }
        let mut behind = if overflow {
            "#".repeat(fraction.len())
        } else {
            fraction.to_owned()
        };
        if self.bare && !overflow {
            // Zeros at the end go, down to the last position that asks for one.
            let keep = self
                .fraction
                .iter()
                .rposition(|position| *position == '0')
                .map_or(0, |at| at + 1);
            while behind.len() > keep && behind.ends_with('0') {
                behind.pop();
            }
        }
        digits.push_str(&behind);
        let padding = if self.bare { String::new() } else { padding };
        let space = if self.bare { "" } else { " " };
        let body = match (self.sign, negative) {
            (Sign::Minus, true) => format!("{padding}-{digits}"),
            (Sign::Minus, false) => format!("{space}{padding}{digits}"),
            (Sign::Before, true) => format!("{padding}-{digits}"),
            (Sign::Before, false) => format!("{padding}+{digits}"),
            (Sign::After, true) => format!("{padding}{digits}-"),
            (Sign::After, false) => format!("{padding}{digits}+"),
            (Sign::MinusAfter, true) => format!("{padding}{digits}-"),
            (Sign::MinusAfter, false) => format!("{padding}{digits}{space}"),
            (Sign::MinusBefore, true) => format!("-{padding}{digits}"),
            (Sign::MinusBefore, false) => format!("{space}{padding}{digits}"),
            (Sign::Brackets, true) => format!("{padding}<{digits}>"),
            (Sign::Brackets, false) => format!("{space}{padding}{digits}{space}"),
            (Sign::PlusBefore, true) => format!("{space}{padding}-{digits}"),
            (Sign::PlusBefore, false) => format!("+{space}{padding}{digits}"),
        };
        format!("{}{body}{}", self.before, self.after)
    }
}

/// The texts of the first argument read by the templates of the second: local microseconds since 1970.
pub(super) fn parse_all(call: &Call<'_>) -> Result<Vec<Option<i64>>> {
    let texts = cast(call.argument(0)?, &DataType::Utf8View)?;
    let templates = cast(call.argument(1)?, &DataType::Utf8View)?;
    let rows = texts.as_string_view().iter().zip(templates.as_string_view());
    rows.map(|(text, template)| {
        text.zip(template)
            .map(|(text, template)| parsed(text, &tokens(template)).map_err(external))
            .transpose()
    })
    .collect()
}

/// What has been read of a moment.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: i64,
    minute: i64,
    second: i64,
    microsecond: i64,
    afternoon: Option<bool>,
}

fn parsed(text: &str, tokens: &[Token]) -> std::result::Result<i64, QueryError> {
    let invalid = |pattern: &str, rest: &str| {
        QueryError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid value \"{rest}\" for \"{pattern}\""),
        )
    };
    let mut fields = Fields::default();
    let mut rest = text;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Text(skipped) => {
                for expected in skipped.chars() {
                    let mut characters = rest.chars();
                    match characters.next() {
                        Some(found) if found == expected || !found.is_alphanumeric() => {
                            rest = characters.as_str();
                        }
                        _ => {}
                    }
                }
            }
            Token::Pattern(pattern, ..) => {
                rest = rest.trim_start();
                // Digits run on until something else follows, unless another number does.
                let next_is_number = matches!(tokens.get(index + 1), Some(Token::Pattern(..)));
                rest = fields
                    .read(pattern, rest, next_is_number)
                    .ok_or_else(|| invalid(pattern, rest))?;
            }
        }
    }
    fields.local().ok_or_else(|| {
        QueryError::new(
            SqlState::DATETIME_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        )
    })
}

impl Fields {
    /// Reads one pattern from the front of `text` and returns what follows.
    fn read<'a>(&mut self, pattern: &str, text: &'a str, fixed: bool) -> Option<&'a str> {
        let upper = pattern.to_uppercase();
        let width = match upper.as_str() {
            "YYYY" | "Y,YYY" => 4,
            "YYY" | "DDD" | "MS" => 3,
            "US" => 6,
            "SSSS" | "SSSSS" => 5,
            "Y" | "D" | "Q" | "W" => 1,
            _ => 2,
        };
        let digits = |limit: usize| -> Option<(i64, usize, &'a str)> {
            let length = text.bytes().take_while(u8::is_ascii_digit).count().min(limit);
            let (number, rest) = text.split_at_checked(length)?;
            Some((number.parse().ok()?, length, rest))
        };
        let open = if fixed { width } else { 9 };
        let small = |value: i64| u32::try_from(value).ok();
        match upper.as_str() {
            "YYYY" | "YYY" | "YY" | "Y" => {
                let (value, length, rest) = digits(if upper == "YYYY" { open } else { width })?;
                let year = i32::try_from(value).ok()?;
                self.year = Some(match length {
                    1 | 2 if year < 70 => year + 2000,
                    1 | 2 => year + 1900,
                    _ => year,
                });
                Some(rest)
            }
            "MM" => digits(2).and_then(|(value, _, rest)| {
                self.month = Some(small(value)?);
                Some(rest)
            }),
            "DD" => digits(2).and_then(|(value, _, rest)| {
                self.day = Some(small(value)?);
                Some(rest)
            }),
            "DDD" => digits(3).and_then(|(value, _, rest)| {
                self.day_of_year = Some(small(value)?);
                Some(rest)
            }),
            "HH24" | "HH12" | "HH" => digits(2).map(|(value, _, rest)| {
                self.hour = value;
                rest
            }),
            "MI" => digits(2).map(|(value, _, rest)| {
                self.minute = value;
                rest
            }),
            "SS" => digits(2).map(|(value, _, rest)| {
                self.second = value;
                rest
            }),
            "MS" | "US" => digits(width).and_then(|(value, length, rest)| {
                // Digits of a fraction: .5 is 500 milliseconds.
                let missing = u32::try_from(6 - length.min(6)).ok()?;
                self.microsecond = value * 10_i64.pow(missing);
                Some(rest)
            }),
            "AM" | "PM" | "A.M." | "P.M." => {
                let marker = text.get(..upper.len())?.to_uppercase();
                self.afternoon = Some(marker.starts_with('P'));
                text.get(upper.len()..)
            }
            "MON" | "MONTH" => {
                let lower = text.to_lowercase();
                let index = MONTHS.iter().position(|month| {
                    let month = month.to_lowercase();
                    lower.starts_with(month.get(..3).unwrap_or(&month))
                })?;
                self.month = small(i64::try_from(index + 1).ok()?);
                let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
                let length = if upper == "MON" { 3 } else { length };
                text.get(length..)
            }
            "DAY" | "DY" => {
                let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
                text.get(if upper == "DY" { 3.min(length) } else { length }..)
            }
            _ => None,
        }
    }

    fn local(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match self.afternoon {
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(true) => self.hour % 12 + 12,
            Some(false) => self.hour % 12,
            None => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let time = ((hour * 60 + self.minute) * 60 + self.second) * 1_000_000 + self.microsecond;
        let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros();
        midnight.checked_add(time)
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn numbers_fill_their_templates() {
        for (number, template, text) in [
            ("1234.5", "9,999.99", " 1,234.50"),
            ("-1234.5", "9,999.99", "-1,234.50"),
            ("485", "999", " 485"),
            ("12", "9990999.9", "    0012.0"),
            ("148.5", "FM999.999", "148.5"),
            ("148.5", "FM999.990", "148.500"),
            ("-0.1", "99.99", "  -.10"),
            ("0.1", "0.9", " 0.1"),
            ("485", "999S", "485+"),
            ("-485", "999MI", "485-"),
            ("-485", "999PR", "<485>"),
            ("12345", "999", " ###"),
            ("0", "99", "  0"),
            ("0.999", "9.99", " 1.00"),
            ("1.5e3", "9999", " 1500"),
        ] {
            assert_eq!(
                number_written(number, template).unwrap(),
                text,
                "{number} {template}"
            );
        }
    }

    #[test]
    fn texts_are_read_by_templates() {
        let read = |text: &str, template: &str| parsed(text, &tokens(template));
        let expected = NaiveDate::from_ymd_opt(2024, 2, 29)
            .and_then(|date| date.and_hms_opt(15, 4, 5))
            .unwrap()
            .and_utc()
            .timestamp_micros();
        for (text, template) in [
            ("2024-02-29 15:04:05", "YYYY-MM-DD HH24:MI:SS"),
            ("20240229150405", "YYYYMMDDHH24MISS"),
            ("29 Feb 2024 03:04:05 PM", "DD Mon YYYY HH12:MI:SS AM"),
            ("29/2/24 15:4:5", "DD/MM/YY HH24:MI:SS"),
        ] {
            assert_eq!(read(text, template).unwrap(), expected, "{text}");
        }
        let wrong = read("2024-13-01", "YYYY-MM-DD").unwrap_err();
        assert_eq!(wrong.state, SqlState::DATETIME_OVERFLOW);
        let wrong = read("x", "YYYY").unwrap_err();
        assert_eq!(wrong.state, SqlState::INVALID_DATETIME_FORMAT);
    }
}
