//! Days and moments as SQLite's own date functions write and read them: `YYYY-MM-DD`, then perhaps ` HH:MM:SS.SSS` and an
//! offset, which makes the moment one in UTC.

use chrono::{Datelike, NaiveDate};

use crate::options::DateNumbers;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// The Julian day of 1970-01-01 00:00.
const JULIAN_DAY_1970: f64 = 2_440_587.5;
/// 0001-01-01 00:00 and the end of 9999-12-31, in microseconds since 1970.
const MICROS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// The text of a day since 1970, in the years 1 to 9999.
pub(crate) fn date_text(days: i32) -> Option<String> {
    let date = NaiveDate::from_epoch_days(days)?;
    (1..=9999).contains(&date.year()).then(|| date.to_string())
}

/// The microseconds since 1970 that `text` stands for, in UTC; `None` when it is no moment of the years 1 to 9999.
pub(crate) fn micros_of_text(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = i64::from(days_of_text(date)?);
    let micros = match rest {
        [] => 0,
        [b' ' | b'T', time @ ..] => micros_of_time(time)?,
        _ => return None,
    };
    let micros = days * MICROS_PER_DAY + micros;
    MICROS.contains(&micros).then_some(micros)
}

/// The days since 1970 of a text that is a moment at midnight.
pub(crate) fn day_of_text(text: &[u8]) -> Option<i32> {
    let micros = micros_of_text(text)?;
    day_of_micros(micros)
}

/// The days since 1970 of a moment at midnight.
pub(crate) fn day_of_micros(micros: i64) -> Option<i32> {
    match micros.rem_euclid(MICROS_PER_DAY) {
        0 => i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok(),
        _ => None,
    }
}

/// The microseconds since 1970 that a number stands for.
pub(crate) fn micros_of_integer(number: i64, numbers: DateNumbers) -> Option<i64> {
    let micros = match numbers {
        DateNumbers::Refuse => None,
        DateNumbers::UnixSeconds => number.checked_mul(MICROS_PER_SECOND),
        DateNumbers::UnixMilliseconds => number.checked_mul(1_000),
        DateNumbers::JulianDays => {
            // Julian days begin at noon.
            let half_days = number.checked_mul(2)?.checked_sub(4_881_175)?;
            half_days.checked_mul(MICROS_PER_DAY / 2)
        }
    }?;
    MICROS.contains(&micros).then_some(micros)
}

/// The same of a number with a fraction, to the millisecond.
pub(crate) fn micros_of_real(number: f64, numbers: DateNumbers) -> Option<i64> {
    let millis = match numbers {
        DateNumbers::Refuse => return None,
        DateNumbers::UnixSeconds => number * 1e3,
        DateNumbers::UnixMilliseconds => number,
        DateNumbers::JulianDays => (number - JULIAN_DAY_1970) * 86_400e3,
    };
    let micros = whole(millis.round())?.checked_mul(1_000)?;
    MICROS.contains(&micros).then_some(micros)
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

fn days_of_text(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, two(*m1, *m2)?, two(*d1, *d2)?)?;
    (year > 0).then(|| date.to_epoch_days())
}

/// `HH:MM[:SS[.fraction]][Z|+HH:MM|-HH:MM]`, with blanks before the offset, in microseconds.
fn micros_of_time(text: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else {
        return None;
    };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let (second, fraction, rest) = match rest {
        [b':', s1, s2, rest @ ..] => {
            let (fraction, rest) = fraction(rest)?;
            (two(*s1, *s2)?, fraction, rest)
        }
        rest => (0, 0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second) - offset_seconds(rest)?;
    Some(seconds * MICROS_PER_SECOND + fraction)
}

/// Digits behind a point, if there is one, rounded to microseconds.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |byte| i64::from(byte - b'0'));
    let micros = (0..6).fold(0, |sum, place| sum * 10 + digit(place));
    Some((micros + i64::from(digit(6) >= 5), rest))
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text.trim_ascii() {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
            let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60;
            let sign = if *sign == b'-' { -1 } else { 1 };
            (hour <= 14 && minute <= 59).then_some(sign * seconds)
        }
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        let noon = 43_200 * MICROS_PER_SECOND;
        for (text, micros) in [
            ("1970-01-01", 0),
            ("1970-01-01 12:00", noon),
            ("1970-01-01T12:00:00", noon),
            ("1970-01-01T12:00:00Z", noon),
            ("1970-01-01 14:00:00.000 +02:00", noon),
            ("1970-01-01 00:00:00.1234565", 123_457),
            ("1969-12-31 23:59:59.999999", -1),
            ("0001-01-01 00:00:00", MICROS.start),
            ("9999-12-31 23:59:59.999999", MICROS.end - 1),
        ] {
            assert_eq!(micros_of_text(text.as_bytes()), Some(micros), "{text}");
        }
        for text in [
            "",
            "now",
            "12:00",
            "2024-02-30",
            "0000-01-01",
            "2024-1-1",
            "2024-01-01x",
            "2024-01-01 24:00",
            "2024-01-01 12:00:60",
            "2024-01-01 12:00:00.",
            "2024-01-01 12:00 MEZ",
            "0001-01-01 00:00+01:00",
        ] {
            assert_eq!(micros_of_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(day_of_text(b"1970-01-02"), Some(1));
        assert_eq!(day_of_text(b"1970-01-02 00:00:00.0"), Some(1));
        assert_eq!(day_of_text(b"1970-01-02 00:00:01"), None);
        assert_eq!(date_text(-719_162).as_deref(), Some("0001-01-01"));
        assert_eq!(date_text(-719_163), None);
    }

    #[test]
    fn numbers_mean_what_the_option_says() {
        let day = MICROS_PER_DAY;
        assert_eq!(micros_of_integer(86_400, DateNumbers::UnixSeconds), Some(day));
        assert_eq!(
            micros_of_integer(86_400_000, DateNumbers::UnixMilliseconds),
            Some(day)
        );
        assert_eq!(
            micros_of_integer(2_440_588, DateNumbers::JulianDays),
            Some(day / 2)
        );
        assert_eq!(micros_of_real(2_440_588.5, DateNumbers::JulianDays), Some(day));
        assert_eq!(micros_of_real(1.5, DateNumbers::UnixSeconds), Some(1_500_000));
        assert_eq!(micros_of_integer(0, DateNumbers::Refuse), None);
        assert_eq!(micros_of_integer(i64::MAX, DateNumbers::UnixMilliseconds), None);
        assert_eq!(micros_of_real(f64::INFINITY, DateNumbers::UnixSeconds), None);
    }
}
