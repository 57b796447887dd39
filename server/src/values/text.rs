//! Values in Postgres' text format.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use chrono_tz::Tz;

use super::zone;

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
const MICROSECONDS_PER_DAY: i64 = 86_400 * MICROSECONDS_PER_SECOND;

/// Appends the shortest decimal text that reads back as `value`, laid out as PostgreSQL does.
///
/// `digits_max`: from this exponent on the exponential form is used: 15 for float8, 6 for float4.
pub(crate) fn float(out: &mut BytesMut, value: f64, shortest: &str, digits_max: i32) {
    if value.is_nan() {
        out.put_slice(b"NaN");
        return;
    }
    if value.is_infinite() {
        out.put_slice(if value > 0.0 {
            b"Infinity".as_slice()
        } else {
            b"-Infinity".as_slice()
        });
        return;
    }
    // `shortest` is Rust's `{:e}`: "-1.25e-7".
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.put_slice(sign.as_bytes());
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < -4 || exponent >= digits_max {
        out.put_slice(mantissa.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        write(out, format_args!("e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    if exponent < 0 {
        out.put_slice(b"0.");
        for _ in 0..exponent.unsigned_abs() - 1 {
            out.put_u8(b'0');
        }
        out.put_slice(digits.as_bytes());
        return;
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        out.put_slice(digits.as_bytes());
        for _ in 0..whole - digits.len() {
            out.put_u8(b'0');
        }
    } else {
        let (integer, fraction) = digits.split_at(whole);
        out.put_slice(integer.as_bytes());
        out.put_u8(b'.');
        out.put_slice(fraction.as_bytes());
    }
}

/// Appends a number of days since 1970-01-01 as a date.
pub(crate) fn date(out: &mut BytesMut, days: i64) {
    let before_christ = civil_date(out, days);
    if before_christ {
        out.put_slice(b" BC");
    }
}

/// Appends microseconds since 1970-01-01 as a timestamp.
pub(crate) fn timestamp(out: &mut BytesMut, microseconds: i64) {
    timestamp_at_offset(out, microseconds, None);
}

/// Appends microseconds since 1970-01-01 in UTC as the time in `zone`, with its distance from UTC.
pub(crate) fn timestamptz(out: &mut BytesMut, microseconds: i64, zone: Tz) {
    let offset = zone::offset_at(zone, microseconds);
    let local = microseconds.saturating_add(i64::from(offset) * MICROSECONDS_PER_SECOND);
    timestamp_at_offset(out, local, Some(offset));
}

fn timestamp_at_offset(out: &mut BytesMut, microseconds: i64, offset: Option<i32>) {
    let before_christ = civil_date(out, microseconds.div_euclid(MICROSECONDS_PER_DAY));
    out.put_u8(b' ');
    time(out, microseconds.rem_euclid(MICROSECONDS_PER_DAY));
    if let Some(offset) = offset {
        let sign = if offset < 0 { '-' } else { '+' };
        let seconds = offset.unsigned_abs();
        write(out, format_args!("{sign}{:02}", seconds / 3600));
        if seconds % 3600 != 0 {
            write(out, format_args!(":{:02}", seconds / 60 % 60));
        }
        if seconds % 60 != 0 {
            write(out, format_args!(":{:02}", seconds % 60));
        }
    }
    if before_christ {
        out.put_slice(b" BC");
    }
}

/// Appends microseconds since midnight as a time, its fraction without trailing zeros.
pub(crate) fn time(out: &mut BytesMut, microseconds: i64) {
    let seconds = microseconds / MICROSECONDS_PER_SECOND;
    let fraction = microseconds % MICROSECONDS_PER_SECOND;
    write(
        out,
        format_args!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    );
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        write(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

/// Appends an interval in the `postgres` style.
pub(crate) fn interval(out: &mut BytesMut, months: i32, days: i32, nanoseconds: i64) {
    let start = out.len();
    let part = |out: &mut BytesMut, value: i32, unit: &str| {
        if value != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write(out, format_args!("{space}{value} {unit}{plural}"));
        }
    };
    part(out, months / 12, "year");
    part(out, months % 12, "mon");
    part(out, days, "day");
    let microseconds = nanoseconds / 1_000;
    if microseconds != 0 || out.len() == start {
        if out.len() > start {
            out.put_u8(b' ');
        }
        // A plus is written only where the part before it is negative.
        let last = if days == 0 { months } else { days };
        if microseconds < 0 {
            out.put_u8(b'-');
        } else if last < 0 {
            out.put_u8(b'+');
        }
        time(out, microseconds.abs());
    }
}

/// Appends bytes as `\x` and hex digits.
pub(crate) fn bytes(out: &mut BytesMut, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + value.len() * 2);
    out.put_slice(b"\\x");
    for byte in value {
        out.put_u8(HEX[usize::from(byte >> 4)]);
        out.put_u8(HEX[usize::from(byte & 15)]);
    }
}

/// Appends an element of an array or record, quoted where it must be.
pub(crate) fn element(out: &mut BytesMut, text: &[u8], quotes_escape: u8) {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case(b"null")
        && !text.iter().any(|byte| b"{}(),\"\\ \t\n\r\x0b\x0c".contains(byte));
    if plain {
        out.put_slice(text);
        return;
    }
    out.put_u8(b'"');
    for &byte in text {
        if byte == b'"' {
            out.put_u8(quotes_escape);
        } else if byte == b'\\' {
            out.put_u8(b'\\');
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}

/// Writes formatted text; writing to memory cannot fail.
pub(crate) fn write(out: &mut BytesMut, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

/// Appends `YYYY-MM-DD` of a day since 1970-01-01 (Howard Hinnant's algorithm for the proleptic Gregorian calendar);
/// returns whether the year is before Christ, where year 0 is 1 BC.
fn civil_date(out: &mut BytesMut, days: i64) -> bool {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let shown = if year > 0 { year } else { 1 - year };
    write(out, format_args!("{shown:04}-{month:02}-{day:02}"));
    year <= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn dates_and_times() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
        ] {
            assert_eq!(text(|out| date(out, days)), expected);
        }
        assert_eq!(
            text(|out| timestamptz(out, -1, Tz::UTC)),
            "1969-12-31 23:59:59.999999+00"
        );
        assert_eq!(text(|out| timestamp(out, 1_500_000)), "1970-01-01 00:00:01.5");
    }

    #[test]
    fn floats_as_postgres() {
        for (value, expected) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (-0.0, "-0"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| float(out, value, &format!("{value:e}"), 15)), expected);
        }
    }

    #[test]
    fn intervals_as_postgres() {
        assert_eq!(
            text(|out| interval(out, 14, 3, 3_723_000_000_000)),
            "1 year 2 mons 3 days 01:02:03"
        );
        assert_eq!(text(|out| interval(out, 0, 0, 0)), "00:00:00");
        assert_eq!(
            text(|out| interval(out, 0, -1, -1_500_000_000)),
            "-1 days -00:00:01.5"
        );
    }

    #[test]
    fn elements_are_quoted_when_needed() {
        assert_eq!(text(|out| element(out, b"a", b'\\')), "a");
        assert_eq!(text(|out| element(out, b"", b'\\')), "\"\"");
        assert_eq!(text(|out| element(out, b"NULL", b'\\')), "\"NULL\"");
        assert_eq!(text(|out| element(out, br#"a"b\c"#, b'\\')), r#""a\"b\\c""#);
    }
}
