//! `to_date` and `to_timestamp`: texts read by templates.

use chrono::NaiveDate;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::{Call, external};
use super::{MONTHS, Token, tokens};
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// The texts of the first argument read by the templates of the second: local microseconds since 1970.
pub(in crate::query::functions) fn parse_all(call: &Call<'_>) -> Result<Vec<Option<i64>>> {
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
