//! Numerics as digits: between Postgres' text and binary forms and Arrow's decimals.

use bytes::{Buf, BufMut, BytesMut};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, Decimal256Type, DecimalType, i256,
};
use datafusion::common::ScalarValue;

use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Decimal digits of one digit of Postgres' binary form, which counts in ten thousands.
const DIGITS_PER_GROUP: usize = 4;
const NEGATIVE: u16 = 0x4000;
/// Most digits that are looked at: beyond, no type of ours could hold the value.
const DIGITS_MAX: usize = 1_000;

/// A sign, decimal digits and how many of them stand behind the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digits {
    negative: bool,
    digits: Vec<u8>,
    scale: usize,
}

/// Reads `-12.50` or `1.5e3`; `None` if it is no number. NaN and the infinities have no decimal.
pub(crate) fn decimal_of_text(text: &str) -> Option<Digits> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = whole.bytes().chain(fraction.bytes());
    let mut digits: Vec<u8> = all
        .map(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
        .collect::<Option<_>>()?;
    if digits.is_empty() {
        return None;
    }
    let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
    if scale.unsigned_abs() > u64::try_from(DIGITS_MAX).ok()? {
        return None;
    }
    if scale < 0 {
        digits.extend(std::iter::repeat_n(0, usize::try_from(-scale).ok()?));
    }
    Some(Digits {
        negative,
        digits,
        scale: usize::try_from(scale.max(0)).ok()?,
    })
}

/// The narrowest decimal that holds all digits. Errors: 22003 beyond 76 digits.
pub(crate) fn scalar(number: Digits) -> Result<ScalarValue> {
    let out_of_range = || QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric value out of range");
    let leading = number.digits.iter().take_while(|digit| **digit == 0).count();
    let significant = number.digits.get(leading..).unwrap_or_default();
    let precision = u8::try_from(significant.len().max(number.scale).max(1)).map_err(|_| out_of_range())?;
    let scale = i8::try_from(number.scale).map_err(|_| out_of_range())?;
    if precision > DECIMAL256_MAX_PRECISION {
        return Err(out_of_range());
    }
    let ten = i256::from_i128(10);
    let value = significant.iter().fold(i256::ZERO, |value, digit| {
        value
            .wrapping_mul(ten)
            .wrapping_add(i256::from_i128(i128::from(*digit)))
    });
    let value = if number.negative {
        value.wrapping_neg()
    } else {
        value
    };
    Ok(match value.to_i128() {
        Some(value) if precision <= DECIMAL128_MAX_PRECISION => {
            ScalarValue::Decimal128(Some(value), precision, scale)
        }
        _ => ScalarValue::Decimal256(Some(value), precision, scale),
    })
}

/// A value from Postgres' binary form: `None` if it is none.
pub(crate) fn of_binary(mut rest: &[u8]) -> Option<Result<ScalarValue>> {
    let groups = usize::from(rest.try_get_u16().ok()?);
    let weight = rest.try_get_i16().ok()?;
    let sign = rest.try_get_u16().ok()?;
    let scale = usize::from(rest.try_get_u16().ok()?);
    if sign & !NEGATIVE != 0 {
        let message = "NaN and infinite numerics are not supported";
        return Some(Err(QueryError::not_supported(message)));
    }
    // Groups before the point; fewer than none means zeros behind it.
    let before = i32::from(weight) + 1;
    let lead = usize::try_from(-before.min(0)).ok()?;
    if groups > DIGITS_MAX || lead > DIGITS_MAX || before.unsigned_abs() > 1_000 || scale > DIGITS_MAX {
        return None;
    }
    let mut digits = vec![0; lead * DIGITS_PER_GROUP];
    for _ in 0..groups {
        let group = rest.try_get_u16().ok().filter(|group| *group < 10_000)?;
        digits.extend(format!("{group:04}").bytes().map(|byte| byte - b'0'));
    }
    let whole = usize::try_from(before.max(0)).ok()? * DIGITS_PER_GROUP;
    digits.resize(whole + scale, 0);
    rest.is_empty().then(|| {
        scalar(Digits {
            negative: sign == NEGATIVE,
            digits,
            scale,
        })
    })
}

/// Appends the binary form of `value`, which has `scale` digits behind the point.
pub(crate) fn write_i128(out: &mut BytesMut, value: i128, scale: i8) {
    write_text(out, &value.unsigned_abs().to_string(), value < 0, scale);
}

/// The same for a value of up to 76 digits.
pub(crate) fn write_i256(out: &mut BytesMut, value: i256, scale: i8) {
    let shown = Decimal256Type::format_decimal(value, DECIMAL256_MAX_PRECISION, 0);
    let digits = shown.strip_prefix('-').unwrap_or(&shown);
    write_text(out, digits, shown.starts_with('-'), scale);
}

/// `digits`: decimal digits without a point, of which the last `scale` stand behind it.
fn write_text(out: &mut BytesMut, digits: &str, negative: bool, scale: i8) {
    let scale = usize::try_from(scale).unwrap_or(0);
    let mut aligned: Vec<u8> = digits.bytes().map(|byte| byte - b'0').collect();
    // Zeros in front until the point has digits on both sides of it, in whole groups.
    let behind = scale.next_multiple_of(DIGITS_PER_GROUP);
    aligned.resize(aligned.len() + behind - scale, 0);
    let length = aligned.len().max(behind).next_multiple_of(DIGITS_PER_GROUP);
    let mut padded = vec![0; length - aligned.len()];
    padded.append(&mut aligned);
    let groups: Vec<u16> = padded
        .chunks(DIGITS_PER_GROUP)
        .map(|group| {
            group
                .iter()
                .fold(0, |value, digit| value * 10 + u16::from(*digit))
        })
        .collect();
    let before =
        i64::try_from(groups.len()).unwrap_or(0) - i64::try_from(behind / DIGITS_PER_GROUP).unwrap_or(0);
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let kept = groups.get(leading..groups.len() - trailing).unwrap_or_default();
    let weight = before - 1 - i64::try_from(leading).unwrap_or(0);
    out.put_u16(u16::try_from(kept.len()).unwrap_or(0));
    out.put_i16(if kept.is_empty() {
        0
    } else {
        i16::try_from(weight).unwrap_or(0)
    });
    out.put_u16(if negative { NEGATIVE } else { 0 });
    out.put_u16(u16::try_from(scale).unwrap_or(0));
    for group in kept {
        out.put_u16(*group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: i128, scale: i8) -> Vec<u8> {
        let mut out = BytesMut::new();
        write_i128(&mut out, value, scale);
        out.to_vec()
    }

    #[test]
    fn postgres_own_bytes() {
        // As `SELECT numeric_send(...)` of PostgreSQL 15 gives them.
        for (value, scale, expected) in [
            (0, 0, &[0, 0, 0, 0, 0, 0, 0, 0][..]),
            (0, 2, &[0, 0, 0, 0, 0, 0, 0, 2]),
            (1, 0, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
            (
                12_345_678,
                3,
                &[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c],
            ),
            (-1, 5, &[0, 1, 0xff, 0xfe, 0x40, 0, 0, 5, 0x03, 0xe8]),
            (100_000_000, 0, &[0, 1, 0, 2, 0, 0, 0, 0, 0, 1]),
        ] {
            assert_eq!(written(value, scale), expected, "{value} {scale}");
        }
    }

    #[test]
    fn bytes_are_read_back() {
        for value in [
            0,
            1,
            -1,
            9_999,
            10_000,
            123_456_789_012_345_678_901_234_567_i128,
            -10_i128.pow(37),
        ] {
            for scale in [0, 1, 2, 4, 5, 10, 37] {
                let read = of_binary(&written(value, scale)).unwrap().unwrap();
                let ScalarValue::Decimal128(Some(read), _, read_scale) = read else {
                    panic!("{read:?}");
                };
                assert_eq!((read, read_scale), (value, scale));
            }
        }
        let wide = i256::from_i128(i128::MAX).wrapping_mul(i256::from_i128(1_000));
        let mut out = BytesMut::new();
        write_i256(&mut out, wide, 3);
        let read = of_binary(&out).unwrap().unwrap();
        assert!(matches!(read, ScalarValue::Decimal256(Some(value), _, 3) if value == wide));
    }

    #[test]
    fn nonsense_is_no_number() {
        for text in [
            "",
            "-",
            ".",
            "1e",
            "1e99999999999",
            "--1",
            "0x1",
            "1_0",
            "NaN",
            "Infinity",
            "１",
        ] {
            assert_eq!(decimal_of_text(text), None, "{text}");
        }
        assert!(scalar(decimal_of_text(&"9".repeat(77)).unwrap()).is_err());
        assert!(of_binary(&[0, 0, 0, 0, 0xc0, 0, 0, 0]).unwrap().is_err());
        assert!(of_binary(&[0, 1, 0, 0, 0, 0, 0, 0]).is_none());
        assert!(of_binary(&[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]).is_none());
    }
}
