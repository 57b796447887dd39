//! Dates, times, timestamps and intervals as PostgreSQL reads them.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

use super::zone;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Why a text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Nothing that is known: 22007.
    Syntax,
    /// A field is out of its range: 22008.
    Range,
}

type Result<T> = std::result::Result<T, Unreadable>;

/// An interval: its three parts are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) microseconds: i64,
}

/// What stands behind a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// Seconds east of UTC.
    Offset(i32),
    Named(Tz),
}

/// What a text says: a date, a time since midnight, a zone.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    date: Option<NaiveDate>,
    time: Option<i64>,
    zone: Option<Zone>,
}

/// A date. A time behind it is read and ignored. `today`: what `today` means.
pub(crate) fn date(text: &str, today: NaiveDateTime) -> Result<NaiveDate> {
    let parts = parts(text, today)?;
    parts.date.ok_or(Unreadable::Syntax)
}

/// A timestamp without zone, in microseconds since 1970. A zone behind it is read and ignored.
pub(crate) fn timestamp(text: &str, today: NaiveDateTime) -> Result<i64> {
    let parts = parts(text, today)?;
    local(&parts)
}

/// A timestamp with zone, in microseconds since 1970 in UTC. `session`: the zone of a text without one.
pub(crate) fn timestamptz(text: &str, today: NaiveDateTime, session: Tz) -> Result<i64> {
    let parts = parts(text, today)?;
    let wall = local(&parts)?;
    Ok(match parts.zone {
        Some(Zone::Offset(seconds)) => wall - i64::from(seconds) * SECOND,
        Some(Zone::Named(named)) => zone::to_utc(named, wall),
        None => zone::to_utc(session, wall),
    })
}

/// A time of day, in microseconds since midnight.
pub(crate) fn time(text: &str) -> Result<i64> {
    let epoch = NaiveDateTime::default();
    parts(text, epoch)?.time.ok_or(Unreadable::Syntax)
}

fn local(parts: &Parts) -> Result<i64> {
    let date = parts.date.ok_or(Unreadable::Syntax)?;
    let midnight = date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    Ok(midnight + parts.time.unwrap_or(0))
}

fn parts(text: &str, now: NaiveDateTime) -> Result<Parts> {
    let mut parts = Parts::default();
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let special = match lower.as_str() {
        "epoch" => Some(NaiveDateTime::default()),
        "now" => Some(now),
        "today" => Some(now.date().and_time(NaiveTime::MIN)),
        "tomorrow" => now.date().succ_opt().map(|day| day.and_time(NaiveTime::MIN)),
        "yesterday" => now.date().pred_opt().map(|day| day.and_time(NaiveTime::MIN)),
        _ => None,
    };
    if let Some(moment) = special {
        parts.date = Some(moment.date());
        parts.time = Some((moment.and_utc().timestamp_micros()).rem_euclid(DAY));
        return Ok(parts);
    }
    let mut rest = lower.as_str();
    if rest.contains(':') && !rest.contains(['-', '/', ' ', 't']) {
        // A time alone.
        return time_and_zone(rest, text, &mut parts).map(|()| parts);
    }
    // The date is up to three words; what has a colon begins the time.
    let time_at = rest.find(':').map(|colon| {
        let before = rest.get(..colon).unwrap_or_default();
        before.rfind([' ', 't']).map_or(0, |space| space + 1)
    });
    let mut tail = "";
    if let Some(at) = time_at {
        let (date, time) = rest.split_at(at);
        (rest, tail) = (date.trim_end_matches(['t', ' ']), time);
    } else if let Some((date, zone)) = rest.split_once(' ')
        && is_plain_date(date)
    {
        // A date and a zone.
        parts.zone = Some(zone_of(zone.trim()).ok_or(Unreadable::Syntax)?);
        rest = date;
    }
    if !rest.is_empty() {
        parts.date = Some(date_of(rest)?);
    }
    if !tail.is_empty() {
        time_and_zone(tail, text, &mut parts)?;
    }
    Ok(parts)
}

fn is_plain_date(text: &str) -> bool {
    text.chars()
        .all(|character| character.is_ascii_digit() || "-/".contains(character))
        && text.contains(['-', '/'])
}

/// `10:11:12.5`, `10:11 pm`, with a zone behind it.
fn time_and_zone(text: &str, whole: &str, parts: &mut Parts) -> Result<()> {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && !":.".contains(character))
        .unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let mut rest = rest.trim();
    let mut fields = clock.split(':');
    let hour: i64 = number(fields.next())?;
    let minute: i64 = number(fields.next())?;
    let second = match fields.next() {
        Some(seconds) => microseconds_of(seconds).ok_or(Unreadable::Syntax)?,
        None => 0,
    };
    if fields.next().is_some() {
        return Err(Unreadable::Syntax);
    }
    let mut hour = hour;
    for (suffix, noon) in [("am", 0), ("pm", 12)] {
        let shorter = rest.strip_prefix(suffix);
        if let Some(shorter) = shorter.filter(|rest| !rest.starts_with(char::is_alphabetic)) {
            if !(1..=12).contains(&hour) {
                return Err(Unreadable::Range);
            }
            (hour, rest) = (hour % 12 + noon, shorter.trim());
        }
    }
    let time = hour * HOUR + minute * MINUTE + second;
    if minute > 59 || second > MINUTE || !(0..=DAY).contains(&time) {
        return Err(Unreadable::Range);
    }
    parts.time = Some(time);
    if !rest.is_empty() {
        // Names of zones are in the case of the text.
        let named = whole.get(whole.len() - rest.len()..).unwrap_or(rest);
        parts.zone = Some(zone_of(named).ok_or(Unreadable::Syntax)?);
    }
    Ok(())
}

fn number(field: Option<&str>) -> Result<i64> {
    let field = field.filter(|field| !field.is_empty() && field.len() <= 9);
    field
        .and_then(|field| field.parse().ok())
        .ok_or(Unreadable::Syntax)
}

/// Seconds with a fraction, rounded to microseconds.
fn microseconds_of(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = if whole.is_empty() && !fraction.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    if !fraction.chars().all(|character| character.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(7).collect();
    let tenths: i64 = digits.parse().ok()?;
    whole.checked_mul(SECOND)?.checked_add((tenths + 5) / 10)
}

fn zone_of(text: &str) -> Option<Zone> {
    if ["z", "utc", "gmt", "zulu"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some(Zone::Offset(0));
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return named_zone(text),
    };
    let (hours, minutes, seconds) = match digits.split(':').collect::<Vec<_>>().as_slice() {
        [one] if one.len() <= 2 => (*one, "0", "0"),
        [one] if one.len() == 3 || one.len() == 4 => {
            let (hours, minutes) = one.split_at_checked(one.len() - 2)?;
            (hours, minutes, "0")
        }
        [hours, minutes] => (*hours, *minutes, "0"),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let field = |text: &str| text.parse::<u16>().ok().map(i32::from);
    let (hours, minutes, seconds) = (field(hours)?, field(minutes)?, field(seconds)?);
    (hours <= 15 && minutes < 60 && seconds < 60)
        .then(|| Zone::Offset(sign * (hours * 3600 + minutes * 60 + seconds)))
}

fn named_zone(text: &str) -> Option<Zone> {
    let hours = match text.to_ascii_lowercase().as_str() {
        "est" | "cdt" => Some(-5),
        "edt" => Some(-4),
        "cst" | "mdt" => Some(-6),
        "mst" | "pdt" => Some(-7),
        "pst" => Some(-8),
        "wet" => Some(0),
        "cet" | "west" | "met" | "bst" => Some(1),
        "cest" | "eet" => Some(2),
        "eest" | "msk" => Some(3),
        _ => None,
    };
    match hours {
        Some(hours) => Some(Zone::Offset(hours * 3600)),
        None => zone::by_name(text).map(Zone::Named),
    }
}

fn date_of(text: &str) -> Result<NaiveDate> {
    let fields: Vec<&str> = text
        .split(|character: char| "-/, ".contains(character))
        .filter(|field| !field.is_empty())
        .collect();
    let (year, month, day) = match fields.as_slice() {
        [compact] if compact.len() == 8 && compact.chars().all(|digit| digit.is_ascii_digit()) => {
            let (year, rest) = compact.split_at(4);
            let (month, day) = rest.split_at(2);
            (number(Some(year))?, number(Some(month))?, number(Some(day))?)
        }
        [first, second, third] => match (month_of(first), month_of(second)) {
            (Some(month), _) => (number(Some(third))?, month, number(Some(second))?),
            (None, Some(month)) if first.len() > 2 => (number(Some(first))?, month, number(Some(third))?),
            (None, Some(month)) => (number(Some(third))?, month, number(Some(first))?),
            // Years have more than two digits; elsewhere they stand last, after month and day.
            (None, None) if first.len() > 2 => {
                (number(Some(first))?, number(Some(second))?, number(Some(third))?)
            }
            (None, None) => (number(Some(third))?, number(Some(first))?, number(Some(second))?),
        },
        _ => return Err(Unreadable::Syntax),
    };
    let year = i32::try_from(year).map_err(|_| Unreadable::Range)?;
    let field = |value: i64| u32::try_from(value).map_err(|_| Unreadable::Range);
    if !(1..=9999).contains(&year) {
        return Err(Unreadable::Range);
    }
    NaiveDate::from_ymd_opt(year, field(month)?, field(day)?).ok_or(Unreadable::Range)
}

fn month_of(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let text = text.trim_end_matches('.');
    let found = MONTHS
        .iter()
        .position(|month| text.len() >= 3 && month.starts_with(text))?;
    i64::try_from(found + 1).ok()
}

/// An interval: `1 year 2 mons -3 days 04:05:06.7`, `P1DT2H`, `2 hours ago`. `unit`: what a bare number counts.
pub(crate) fn interval(text: &str, unit: &str) -> Result<Interval> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(iso) = text.strip_prefix('p') {
        return iso_interval(iso);
    }
    let mut total = Interval::default();
    let mut words = split_words(&text).into_iter().peekable();
    if words.peek().is_none() {
        return Err(Unreadable::Syntax);
    }
    let mut ago = false;
    while let Some(word) = words.next() {
        match word {
            "@" => {}
            "ago" if words.peek().is_none() => ago = true,
            clock if clock.contains(':') => add(&mut total, 0, 0, clock_of(clock)?)?,
            _ => {
                let unit = match words.peek() {
                    Some(next) if next.chars().next().is_some_and(char::is_alphabetic) && *next != "ago" => {
                        words.next().unwrap_or(unit)
                    }
                    // `1 02:03` has days before the time.
                    Some(next) if next.contains(':') => "day",
                    _ => unit,
                };
                add_units(&mut total, word, unit)?;
            }
        }
    }
    if ago {
        total = Interval {
            months: -total.months,
            days: -total.days,
            microseconds: -total.microseconds,
        };
    }
    Ok(total)
}

/// Words; a unit may touch its number: `1day`.
fn split_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let unit = word.find(|character: char| character.is_ascii_alphabetic());
        match unit {
            Some(at) if at > 0 && !word.contains(':') => {
                let (number, unit) = word.split_at(at);
                words.extend([number, unit]);
            }
            _ => words.push(word),
        }
    }
    words
}

/// `[-]hours:minutes[:seconds]`, of any number of hours.
fn clock_of(text: &str) -> Result<i64> {
    let (sign, clock) = match text.split_at_checked(1) {
        Some(("-", clock)) => (-1, clock),
        Some(("+", clock)) => (1, clock),
        _ => (1, text),
    };
    let fields: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match fields.as_slice() {
        [minutes, seconds] if seconds.contains('.') => ("0", *minutes, *seconds),
        [hours, minutes] => (*hours, *minutes, "0"),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return Err(Unreadable::Syntax),
    };
    let (hours, minutes) = (number(Some(hours))?, number(Some(minutes))?);
    let seconds = microseconds_of(seconds).ok_or(Unreadable::Syntax)?;
    if minutes > 59 || seconds >= MINUTE {
        return Err(Unreadable::Range);
    }
    Ok(sign * (hours * HOUR + minutes * MINUTE + seconds))
}

fn add(total: &mut Interval, months: i64, days: i64, microseconds: i64) -> Result<()> {
    let sum = |a: i32, b: i64| i32::try_from(i64::from(a) + b).map_err(|_| Unreadable::Range);
    total.months = sum(total.months, months)?;
    total.days = sum(total.days, days)?;
    total.microseconds = total
        .microseconds
        .checked_add(microseconds)
        .ok_or(Unreadable::Range)?;
    Ok(())
}

/// Adds `amount` units; a fraction of months becomes days (of 30), a fraction of days becomes time.
fn add_units(total: &mut Interval, amount: &str, unit: &str) -> Result<()> {
    let value: f64 = amount.parse().map_err(|_| Unreadable::Syntax)?;
    let exact: Option<i64> = amount.parse().ok();
    let unit = match unit {
        "s" | "ms" | "us" => unit,
        longer => longer.trim_end_matches('s'),
    };
    let months = |each: i64| match exact {
        Some(count) => (count.checked_mul(each), 0.0),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "small factors"
        )]
        None => {
            let whole = (value * each as f64).trunc();
            (Some(whole as i64), value * each as f64 - whole)
        }
    };
    let time = |each: i64| match exact {
        Some(count) => count.checked_mul(each),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "checked to fit"
        )]
        None => {
            let product = (value * each as f64).round();
            (product.abs() < 9e18).then_some(product as i64)
        }
    };
    let in_months = match unit {
        "y" | "yr" | "year" => Some(12),
        "decade" | "dec" => Some(120),
        "century" | "centurie" | "c" => Some(1200),
        "millennium" | "millennia" | "mil" => Some(12_000),
        "mon" | "month" => Some(1),
        _ => None,
    };
    if let Some(each) = in_months {
        let (whole, fraction) = months(each);
        add(total, whole.ok_or(Unreadable::Range)?, 0, 0)?;
        return add_days(total, fraction * 30.0);
    }
    let in_days = match unit {
        "d" | "day" => Some(1),
        "w" | "week" => Some(7),
        _ => None,
    };
    if let Some(each) = in_days {
        return match exact {
            Some(count) => add(total, 0, count.checked_mul(each).ok_or(Unreadable::Range)?, 0),
            #[expect(clippy::cast_precision_loss, reason = "one or seven")]
            None => add_days(total, value * each as f64),
        };
    }
    let each = match unit {
        "h" | "hr" | "hour" => HOUR,
        "m" | "min" | "minute" => MINUTE,
        "s" | "sec" | "second" => SECOND,
        "ms" | "msec" | "millisecond" => 1_000,
        "us" | "usec" | "microsecond" => 1,
        _ => return Err(Unreadable::Syntax),
    };
    add(total, 0, 0, time(each).ok_or(Unreadable::Range)?)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a fraction of days"
)]
fn add_days(total: &mut Interval, days: f64) -> Result<()> {
    let whole = days.trunc();
    if whole.abs() > 1e9 {
        return Err(Unreadable::Range);
    }
    let microseconds = ((days - whole) * DAY as f64).round();
    add(total, 0, whole as i64, microseconds as i64)
}

/// The form of ISO 8601 behind its `P`.
fn iso_interval(text: &str) -> Result<Interval> {
    let mut total = Interval::default();
    let (date, time) = text.split_once('t').unwrap_or((text, ""));
    for (part, units) in [(date, ["y", "mon", "w", "d"]), (time, ["h", "min", "s", ""])] {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest
                .find(|character: char| character.is_ascii_alphabetic())
                .ok_or(Unreadable::Syntax)?;
            let (amount, tail) = rest.split_at(at);
            let (letter, tail) = tail.split_at(1);
            let found = units
                .iter()
                .find(|unit| !unit.is_empty() && unit.starts_with(letter));
            add_units(&mut total, amount, found.ok_or(Unreadable::Syntax)?)?;
            rest = tail;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::text;
    use bytes::BytesMut;

    fn shown(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn timestamps_are_read_in_many_forms() {
        let now = NaiveDate::from_ymd_opt(2024, 5, 6)
            .unwrap()
            .and_hms_opt(7, 8, 9)
            .unwrap();
        for (text, expected) in [
            ("2024-02-29", "2024-02-29 00:00:00"),
            ("2024-2-9 1:02", "2024-02-09 01:02:00"),
            ("2024-02-29T10:11:12.5Z", "2024-02-29 10:11:12.5"),
            ("2024-02-29 10:11:12.1234567", "2024-02-29 10:11:12.123457"),
            ("2024/02/29 10:11 PM", "2024-02-29 22:11:00"),
            ("02/29/2024", "2024-02-29 00:00:00"),
            ("20240229", "2024-02-29 00:00:00"),
            ("Feb 29, 2024 10:00", "2024-02-29 10:00:00"),
            ("29 February 2024", "2024-02-29 00:00:00"),
            ("29-Feb-2024", "2024-02-29 00:00:00"),
            ("2024-02-29 24:00", "2024-03-01 00:00:00"),
            ("2024-02-29 10:00 Europe/Berlin", "2024-02-29 10:00:00"),
            ("epoch", "1970-01-01 00:00:00"),
            ("yesterday", "2024-05-05 00:00:00"),
            ("now", "2024-05-06 07:08:09"),
        ] {
            let read = timestamp(text, now).unwrap();
            assert_eq!(shown(|out| text::timestamp(out, read)), expected, "{text}");
        }
        for (text, expected) in [
            ("2024-02-30", Unreadable::Range),
            ("2024-13-01", Unreadable::Range),
            ("2024-02-29 25:00", Unreadable::Range),
            ("2024-02-29 10:60", Unreadable::Range),
            ("10000-01-01", Unreadable::Range),
            ("nope", Unreadable::Syntax),
            ("", Unreadable::Syntax),
            ("10:00", Unreadable::Syntax),
            ("2024-02", Unreadable::Syntax),
            ("2024-02-29 10:00 Nowhere/Else", Unreadable::Syntax),
        ] {
            assert_eq!(timestamp(text, now), Err(expected), "{text}");
        }
        assert_eq!(time("25:00"), Err(Unreadable::Range));
        assert_eq!(
            time("10:11:12.5"),
            Ok(10 * HOUR + 11 * MINUTE + 12 * SECOND + 500_000)
        );
        assert_eq!(date("2024-01-01 10:00", now).unwrap().to_string(), "2024-01-01");
    }

    #[test]
    fn zones_behind_a_time_count() {
        let berlin = zone::by_name("Europe/Berlin").unwrap();
        let now = NaiveDateTime::default();
        for (text, expected) in [
            ("2024-07-01 12:00", "2024-07-01 10:00:00"),
            ("2024-07-01 12:00+00", "2024-07-01 12:00:00"),
            ("2024-07-01 12:00-05:30", "2024-07-01 17:30:00"),
            ("2024-07-01 12:00 +0530", "2024-07-01 06:30:00"),
            ("2024-07-01 12:00 America/New_York", "2024-07-01 16:00:00"),
            ("2024-07-01 12:00 PST", "2024-07-01 20:00:00"),
        ] {
            let read = timestamptz(text, now, berlin).unwrap();
            assert_eq!(shown(|out| text::timestamp(out, read)), expected, "{text}");
        }
    }

    #[test]
    fn intervals_are_read_in_many_forms() {
        for (text, expected) in [
            (
                "1 year 2 months 3 days 04:05:06.789",
                "1 year 2 mons 3 days 04:05:06.789",
            ),
            ("-1 day 2 hours", "-1 days +02:00:00"),
            ("90 minutes", "01:30:00"),
            ("1.5 days", "1 day 12:00:00"),
            ("1.5 months", "1 mon 15 days"),
            ("1 day 25:00:00", "1 day 25:00:00"),
            ("2 weeks ago", "-14 days"),
            ("1day", "1 day"),
            ("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"),
            ("5", "00:00:05"),
            ("1 12:00", "1 day 12:00:00"),
            ("100 ms", "00:00:00.1"),
            ("-00:30", "-00:30:00"),
        ] {
            let read = interval(text, "second").unwrap();
            let nanoseconds = read.microseconds * 1_000;
            let written = shown(|out| text::interval(out, read.months, read.days, nanoseconds));
            assert_eq!(written, expected, "{text}");
        }
        for text in ["", "1 parsec", "day", "1:2:3:4", "one day"] {
            assert_eq!(interval(text, "second"), Err(Unreadable::Syntax), "{text}");
        }
        assert_eq!(interval("9999999999 years", "second"), Err(Unreadable::Range));
    }
}
