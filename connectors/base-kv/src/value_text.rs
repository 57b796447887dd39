//! Text to value, strictly: what Postgres prints is read, and nothing is rounded, guessed or cut.

use std::borrow::Cow;
use std::str::FromStr;

use arrow::datatypes::i256;
use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};

/// Why a text is not a value: a fragment that follows the text, "is out of range".
pub(crate) type Problem = &'static str;

const OUT_OF_RANGE: Problem = "is out of range";
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Reads an integer: an optional sign and digits.
pub(crate) fn parse_integer<T: FromStr>(text: &str) -> Result<T, Problem> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not an integer");
    }
    text.parse().map_err(|_| OUT_OF_RANGE)
}

/// A float type that text can overflow or underflow.
pub(crate) trait Float: FromStr + Copy {
    fn is_infinite(self) -> bool;
    fn is_zero(self) -> bool;
}

impl Float for f32 {
    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

impl Float for f64 {
    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

/// Reads a float; a number too large or too small for the type is an error, as in Postgres.
pub(crate) fn parse_float<T: Float>(text: &str) -> Result<T, Problem> {
    let number: T = text.parse().map_err(|_| "is not a number")?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let spelled_out = text.bytes().any(|byte| byte.is_ascii_digit());
    if number.is_infinite() && spelled_out {
        return Err(OUT_OF_RANGE);
    }
    if number.is_zero() && mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        return Err(OUT_OF_RANGE);
    }
    Ok(number)
}

/// Reads a truth value in any of Postgres' spellings.
pub(crate) fn parse_boolean(text: &str) -> Result<bool, Problem> {
    let is = |spellings: &[&str]| {
        spellings
            .iter()
            .any(|spelling| text.eq_ignore_ascii_case(spelling))
    };
    if is(&["true", "t", "1", "yes", "y", "on"]) {
        Ok(true)
    } else if is(&["false", "f", "0", "no", "n", "off"]) {
        Ok(false)
    } else {
        Err("is not a boolean")
    }
}

/// Reads a decimal as an unscaled number of `scale` fractional digits and at most `precision` digits.
///
/// More fractional digits than the scale are an error unless they are zeros: a rounded value would be a wrong one.
pub(crate) fn parse_decimal256(text: &str, precision: u8, scale: u8) -> Result<i256, Problem> {
    let digits = unscaled_digits(text, precision, scale)?;
    i256::from_string(&digits).ok_or(OUT_OF_RANGE)
}

/// As [`parse_decimal256`], for at most 38 digits.
pub(crate) fn parse_decimal128(text: &str, precision: u8, scale: u8) -> Result<i128, Problem> {
    unscaled_digits(text, precision, scale)?
        .parse()
        .map_err(|_| OUT_OF_RANGE)
}

/// Exponents beyond this are out of range whatever the digits are.
const EXPONENT_MAX: u32 = 1000;

/// The digits of the unscaled number, with its sign.
fn unscaled_digits(text: &str, precision: u8, scale: u8) -> Result<String, Problem> {
    const NOT_NUMERIC: Problem = "is not a decimal number";
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => (mantissa, parse_integer::<i32>(exponent).map_err(|_| NOT_NUMERIC)?),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return Err(NOT_NUMERIC);
    }
    let (whole, fraction) = shifted(whole, fraction, exponent)?;
    let scale = usize::from(scale);
    let (kept, surplus) = fraction.split_at(fraction.len().min(scale));
    if surplus.bytes().any(|byte| byte != b'0') {
        return Err("has more fractional digits than the scale");
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() + scale > usize::from(precision) {
        return Err(OUT_OF_RANGE);
    }
    Ok(format!("{sign}0{whole}{kept:0<scale$}"))
}

/// The digits before and behind the point after it was moved by `exponent` places.
fn shifted<'a>(
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
) -> Result<(Cow<'a, str>, Cow<'a, str>), Problem> {
    let is_zero = whole.bytes().chain(fraction.bytes()).all(|byte| byte == b'0');
    if exponent == 0 || is_zero {
        return Ok((Cow::Borrowed(whole), Cow::Borrowed(fraction)));
    }
    if exponent.unsigned_abs() > EXPONENT_MAX {
        return Err(OUT_OF_RANGE);
    }
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
    let (whole, fraction) = if exponent > 0 {
        let fraction = format!("{fraction:0<places$}");
        let (moved, rest) = fraction.split_at(places);
        (format!("{whole}{moved}"), rest.to_owned())
    } else {
        let whole = format!("{whole:0>places$}");
        let (rest, moved) = whole.split_at(whole.len() - places);
        (rest.to_owned(), format!("{moved}{fraction}"))
    };
    Ok((Cow::Owned(whole), Cow::Owned(fraction)))
}

/// Reads a UUID, with its four hyphens or without any, as the text that Postgres prints.
pub(crate) fn parse_uuid(text: &str) -> Result<String, Problem> {
    const NOT_A_UUID: Problem = "is not a UUID of 32 hexadecimal digits";
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let bytes = text.as_bytes();
    let hyphenated = bytes.len() == 36 && HYPHENS.iter().all(|&at| bytes[at] == b'-');
    let digits: String = text
        .chars()
        .filter(|&character| !hyphenated || character != '-')
        .collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NOT_A_UUID);
    }
    let digits = digits.to_ascii_lowercase();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    Ok(parts.map(|part| &digits[part]).join("-"))
}

/// Reads `YYYY-MM-DD` as days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Result<i32, Problem> {
    let date = naive_date(text).ok_or("is not a date of the form YYYY-MM-DD")?;
    Ok(days_since_epoch(date))
}

/// Writes days since 1970-01-01 as `YYYY-MM-DD`; `None` outside the years 1 to 9999.
pub(crate) fn date_text(days: i32) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS_FROM_CE)?)?;
    (1..=9999)
        .contains(&date.year())
        .then(|| format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()))
}

/// 1970-01-01 counted from the first day of the year 1.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

fn days_since_epoch(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH_DAYS_FROM_CE
}

fn naive_date(text: &str) -> Option<NaiveDate> {
    let [year, month, day] = fixed_fields(text, b'-', [4, 2, 2])?;
    if year == 0 {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Reads a timestamp without zone, `YYYY-MM-DD[ HH:MM[:SS[.ffffff]]]` (also with `T`), as microseconds since 1970.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, Problem> {
    const NOT_A_TIMESTAMP: Problem = "is not a timestamp of the form YYYY-MM-DD HH:MM:SS[.ffffff]";
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date = naive_date(date).ok_or(NOT_A_TIMESTAMP)?;
    let micros = time.map_or(Some(0), micros_of_day).ok_or(NOT_A_TIMESTAMP)?;
    Ok(i64::from(days_since_epoch(date)) * MICROS_PER_DAY + micros)
}

/// Reads a time of day, `HH:MM[:SS[.ffffff]]`, as microseconds.
pub(crate) fn parse_time(text: &str) -> Result<i64, Problem> {
    micros_of_day(text).ok_or("is not a time of the form HH:MM:SS[.ffffff]")
}

/// Reads a timestamp that ends in `Z` or in an offset such as `+00`, `+0530` or `+05:30`, as microseconds since 1970 UTC.
pub(crate) fn parse_timestamptz(text: &str) -> Result<i64, Problem> {
    const NO_OFFSET: Problem = "is not a timestamp with an offset, such as 2024-01-31 12:00:00+00";
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return parse_timestamp(local);
    }
    // The date holds two signs of its own: only what follows the time's start can be the offset's.
    let time_start = text.find([' ', 'T']).ok_or(NO_OFFSET)?;
    let sign_at = text[time_start..].find(['+', '-']).ok_or(NO_OFFSET)? + time_start;
    let (local, offset) = text.split_at(sign_at);
    let micros = offset_micros(&offset[1..]).ok_or(NO_OFFSET)?;
    let local = parse_timestamp(local)?;
    Ok(if offset.starts_with('-') {
        local + micros
    } else {
        local - micros
    })
}

/// `HH`, `HHMM`, `HH:MM` or `HH:MM:SS` in microseconds.
fn offset_micros(text: &str) -> Option<i64> {
    let [hours, minutes, seconds] = fixed_fields(text, b':', [2, 2, 2])
        .or_else(|| fixed_fields(text, b':', [2, 2]).map(|[hours, minutes]| [hours, minutes, 0]))
        .or_else(|| fixed_fields(text, b':', [2]).map(|[hours]| [hours, 0, 0]))
        .or_else(|| {
            let (hours, minutes) = text.split_at_checked(2)?;
            let [hours] = fixed_fields(hours, b':', [2])?;
            let [minutes] = fixed_fields(minutes, b':', [2])?;
            Some([hours, minutes, 0])
        })?;
    if hours > 15 || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(i64::from(hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND)
}

/// `HH:MM[:SS[.ffffff]]` in microseconds.
fn micros_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text
        .split_once('.')
        .map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let [hours, minutes, seconds] = match fixed_fields(clock, b':', [2, 2, 2]) {
        Some(fields) => fields,
        None if fraction.is_none() => {
            let [hours, minutes] = fixed_fields(clock, b':', [2, 2])?;
            [hours, minutes, 0]
        }
        None => return None,
    };
    let time = NaiveTime::from_hms_opt(hours, minutes, seconds)?;
    let micros = match fraction {
        None => 0,
        Some(digits)
            if (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            format!("{digits:0<6}").parse().ok()?
        }
        Some(_) => return None,
    };
    Some(i64::from(time.num_seconds_from_midnight()) * MICROS_PER_SECOND + micros)
}

/// Splits `text` at `separator` into exactly `N` numbers of exactly the given numbers of digits.
fn fixed_fields<const N: usize>(text: &str, separator: u8, widths: [usize; N]) -> Option<[u32; N]> {
    let mut fields = [0; N];
    let mut parts = text.split(char::from(separator));
    for (field, width) in fields.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *field = part.parse().ok()?;
    }
    parts.next().is_none().then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_digits() {
        assert_eq!(parse_integer::<i16>("-32768"), Ok(i16::MIN));
        assert_eq!(parse_integer::<i64>("+007"), Ok(7));
        assert_eq!(parse_integer::<i16>("32768"), Err("is out of range"));
        for text in ["", "-", " 7", "7 ", "7.0", "1e3", "0x1f", "1_000"] {
            assert_eq!(parse_integer::<i32>(text), Err("is not an integer"), "{text}");
        }
    }

    #[test]
    fn floats_do_not_overflow_silently() {
        assert_eq!(parse_float::<f64>("1.5e3"), Ok(1500.0));
        assert_eq!(parse_float::<f64>("-Infinity"), Ok(f64::NEG_INFINITY));
        assert!(parse_float::<f64>("NaN").unwrap().is_nan());
        assert_eq!(parse_float::<f64>("0e-999"), Ok(0.0));
        assert_eq!(parse_float::<f64>("1e400"), Err("is out of range"));
        assert_eq!(parse_float::<f64>("1e-400"), Err("is out of range"));
        assert_eq!(parse_float::<f32>("1e39"), Err("is out of range"));
        assert_eq!(parse_float::<f64>(""), Err("is not a number"));
        assert_eq!(parse_float::<f64>("1,5"), Err("is not a number"));
    }

    #[test]
    fn decimals_are_not_rounded() {
        assert_eq!(parse_decimal128("901.00", 12, 2), Ok(90100));
        assert_eq!(parse_decimal128("-.5", 12, 2), Ok(-50));
        assert_eq!(parse_decimal128("7", 12, 2), Ok(700));
        assert_eq!(parse_decimal128("0001.500", 3, 2), Ok(150));
        assert_eq!(parse_decimal128("-0", 3, 2), Ok(0));
        assert_eq!(
            parse_decimal128("1.005", 12, 2),
            Err("has more fractional digits than the scale")
        );
        assert_eq!(parse_decimal128("10.00", 3, 2), Err("is out of range"));
        assert_eq!(parse_decimal128("1.5e3", 12, 2), Ok(150_000));
        assert_eq!(parse_decimal128("-12.5E-1", 12, 2), Ok(-125));
        assert_eq!(parse_decimal128("5e-2", 12, 2), Ok(5));
        assert_eq!(parse_decimal128("12345e-2", 5, 2), Ok(12345));
        assert_eq!(parse_decimal128("0e999999999", 3, 2), Ok(0));
        assert_eq!(parse_decimal128("1e999999999", 12, 2), Err("is out of range"));
        assert_eq!(parse_decimal128("1e10", 12, 2), Err("is out of range"));
        assert_eq!(
            parse_decimal128("1e-3", 12, 2),
            Err("has more fractional digits than the scale")
        );
        for text in [
            "", ".", "-", "1e", "e3", "1e3.5", "1e3e3", "NaN", "1.2.3", "--1", "1.-2",
        ] {
            assert_eq!(
                parse_decimal128(text, 12, 2),
                Err("is not a decimal number"),
                "{text}"
            );
        }
        let wide = "9".repeat(76);
        assert_eq!(parse_decimal256(&wide, 76, 0).unwrap().to_string(), wide);
    }

    #[test]
    fn dates_and_times_are_canonical() {
        assert_eq!(parse_date("1970-01-01"), Ok(0));
        assert_eq!(parse_date("1969-12-31"), Ok(-1));
        assert!(parse_date("0000-00-00").is_err());
        assert!(parse_date("2023-02-29").is_err());
        assert_eq!(date_text(-719_162).as_deref(), Some("0001-01-01"));
        assert_eq!(date_text(-719_163), None);
        assert_eq!(date_text(i32::MAX), None);
        assert_eq!(parse_timestamp("1970-01-01 00:00:01.5"), Ok(1_500_000));
        assert_eq!(parse_timestamp("1970-01-02T00:00"), Ok(86_400_000_000));
        assert_eq!(parse_timestamp("1970-01-02"), Ok(86_400_000_000));
        assert!(parse_timestamp("1970-01-01 00:00:00.0000001").is_err());
        assert!(parse_timestamp("1970-01-01 24:00:00").is_err());
        assert!(parse_timestamp("1970-01-01 00:00:00+00").is_err());
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        let canonical = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        for text in [
            canonical,
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        ] {
            assert_eq!(parse_uuid(text).as_deref(), Ok(canonical));
        }
        for text in [
            "",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc999c0b-4ef8-bb6d-6bb9bd380a11-",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert!(parse_uuid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_within_a_day() {
        assert_eq!(parse_time("00:00"), Ok(0));
        assert_eq!(parse_time("23:59:59.999999"), Ok(86_399_999_999));
        for text in ["24:00:00", "1:00", "12:00:00+01", "12:00:60", ""] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_has_an_offset() {
        assert_eq!(parse_timestamptz("1970-01-01 01:00:00+01"), Ok(0));
        assert_eq!(parse_timestamptz("1969-12-31T18:30:00-05:30"), Ok(0));
        assert_eq!(parse_timestamptz("1970-01-01T00:00:00.000001Z"), Ok(1));
        assert_eq!(parse_timestamptz("1970-01-01 01:00:00+0100"), Ok(0));
        assert!(parse_timestamptz("1970-01-01 00:00:00").is_err());
        assert!(parse_timestamptz("1970-01-01").is_err());
        assert!(parse_timestamptz("1970-01-01 00:00:00+99").is_err());
        assert!(parse_timestamptz("1970-01-01 00:00:00+1:00").is_err());
    }
}
