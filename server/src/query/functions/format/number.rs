//! `to_char` of numbers.

use crate::error::QueryError;

/// A number as its template wants it. `number`: its plain decimal text.
pub(super) fn number_written(number: &str, template: &str) -> std::result::Result<String, QueryError> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
