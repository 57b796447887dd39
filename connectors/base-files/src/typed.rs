//! Texts to values, strictly: what a text does not say exactly as its type is no value of that type.
//!
//! CSV fields and JSON scalars arrive here as text. Under a declared type the usual spellings are read (`007` is 7 as
//! `bigint`); under an inferred one only the canonical one is, so that no value is read as something other than what
//! stands in the file.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray, StringViewArray,
    StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Fields, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, i256,
};
use causeway_spi::{ConnectorError, ErrorKind};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

/// The longest part of a value that a message shows.
const SHOWN_CHARS: usize = 60;

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The column's type was declared: usual spellings are read.
    Declared,
    /// The type was inferred from a sample: only what says the same as its text is read.
    Inferred,
}

/// A text that is no value of its column's type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The row of the batch.
    pub(crate) row: usize,
    /// The fields from the column down to the value, such as `.city`; empty for the column itself.
    pub(crate) path: String,
    pub(crate) value: String,
    pub(crate) wanted: String,
}

impl Misfit {
    /// The error, for a value of `column` at `place`, such as `line 7 of file a/b.csv`.
    pub(crate) fn error(self, column: &str, place: &str, reading: Reading) -> ConnectorError {
        let Self {
            path, value, wanted, ..
        } = self;
        let message = format!("column \"{column}{path}\" in {place} is not of type {wanted}");
        let error = ConnectorError::new(ErrorKind::InvalidData, message)
            .detail(format!("The value is \"{}\".", shown(&value)));
        match reading {
            Reading::Declared => error,
            Reading::Inferred => error.hint(
                "The type was inferred from the beginning of the files. Declare the table with its columns to \
                 give another.",
            ),
        }
    }
}

/// The beginning of a value, for a message.
pub(crate) fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// A type in PostgreSQL's words.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("numeric({precision},{scale})")
        }
        DataType::Utf8View => "text".to_owned(),
        DataType::BinaryView => "bytea".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Interval(_) => "interval".to_owned(),
        DataType::List(item) => format!("{}[]", sql_name(item.data_type())),
        DataType::Struct(_) => "a composite".to_owned(),
        other => other.to_string(),
    }
}

/// The type in which the values of `data_type` arrive: texts in the same nesting.
pub(crate) fn text_shape(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(Arc::new(Field::new(
            item.name(),
            text_shape(item.data_type()),
            true,
        ))),
        DataType::Struct(fields) => DataType::Struct(text_fields(fields)),
        _ => DataType::Utf8View,
    }
}

/// The fields with texts for values.
pub(crate) fn text_fields(fields: &Fields) -> Fields {
    let field = |field: &Arc<Field>| Field::new(field.name(), text_shape(field.data_type()), true);
    fields.iter().map(field).collect()
}

/// Reads `texts`, of the shape [`text_shape`] of `wanted`, as `wanted`.
pub(crate) fn typed(texts: &ArrayRef, wanted: &DataType, reading: Reading) -> Result<ArrayRef, Misfit> {
    match wanted {
        DataType::List(item) => {
            let lists = texts.as_list::<i32>();
            let offsets = lists.offsets();
            let row_of = |value: usize| {
                let after = |end: &i32| usize::try_from(*end).is_ok_and(|end| end <= value);
                offsets.partition_point(after).saturating_sub(1)
            };
            let values = typed(lists.values(), item.data_type(), reading).map_err(|misfit| Misfit {
                row: row_of(misfit.row),
                path: format!("[]{}", misfit.path),
                ..misfit
            })?;
            let list = ListArray::new(Arc::clone(item), offsets.clone(), values, lists.nulls().cloned());
            Ok(Arc::new(list))
        }
        DataType::Struct(fields) => {
            let rows = texts.as_struct();
            let children = fields.iter().zip(rows.columns()).map(|(field, column)| {
                typed(column, field.data_type(), reading).map_err(|misfit| Misfit {
                    path: format!(".{}{}", field.name(), misfit.path),
                    ..misfit
                })
            });
            let children = children.collect::<Result<Vec<_>, _>>()?;
            let nulls = rows.nulls().cloned();
            Ok(Arc::new(StructArray::new(fields.clone(), children, nulls)))
        }
        scalar => typed_scalars(texts, scalar, reading),
    }
}

fn typed_scalars(texts: &ArrayRef, wanted: &DataType, reading: Reading) -> Result<ArrayRef, Misfit> {
    let strict = reading == Reading::Inferred;
    let values = texts.as_string_view();
    let integer = move |text: &str| integer(text, strict);
    match wanted {
        DataType::Boolean => {
            let read = values.iter().enumerate().map(|(row, text)| {
                text.map(|text| boolean(text, strict).ok_or_else(|| misfit(row, text, wanted)))
                    .transpose()
            });
            Ok(Arc::new(read.collect::<Result<BooleanArray, Misfit>>()?))
        }
        DataType::Int16 => numbers::<Int16Type>(values, wanted, |text| integer(text)?.try_into().ok()),
        DataType::Int32 => numbers::<Int32Type>(values, wanted, |text| integer(text)?.try_into().ok()),
        DataType::Int64 => numbers::<Int64Type>(values, wanted, integer),
        DataType::Float32 => numbers::<Float32Type>(values, wanted, |text| {
            let value: f32 = text.trim().parse().ok()?;
            (value.is_finite() || !has_digit(text)).then_some(value)
        }),
        DataType::Float64 => numbers::<Float64Type>(values, wanted, |text| double(text, strict)),
        DataType::Decimal128(precision, scale) => numbers::<Decimal128Type>(values, wanted, |text| {
            decimal_digits(text, *precision, *scale, strict)?.parse().ok()
        }),
        DataType::Decimal256(precision, scale) => numbers::<Decimal256Type>(values, wanted, |text| {
            i256::from_string(&decimal_digits(text, *precision, *scale, strict)?)
        }),
        DataType::Date32 => numbers::<Date32Type>(values, wanted, |text| {
            Some(Date32Type::from_naive_date(date(text.trim())?))
        }),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            numbers::<TimestampMicrosecondType>(values, wanted, |text| {
                Some(local_time(text.trim(), strict)?.and_utc().timestamp_micros())
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            numbers::<TimestampMicrosecondType>(values, wanted, |text| {
                Some(moment(text.trim(), strict)?.timestamp_micros())
            })
        }
        DataType::Time64(TimeUnit::Microsecond) => numbers::<Time64MicrosecondType>(values, wanted, |text| {
            let time = time(text.trim(), strict)?;
            let micros = i64::from(time.nanosecond()) / 1000;
            Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + micros)
        }),
        // Texts, and bytes: they are as they stand. Only types that columns can be declared with come here.
        other => cast(texts, other).map_err(|_| misfit(0, "", other)),
    }
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &StringViewArray,
    wanted: &DataType,
    read: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef, Misfit> {
    let read = texts.iter().enumerate().map(|(row, text)| {
        text.map(|text| read(text).ok_or_else(|| misfit(row, text, wanted)))
            .transpose()
    });
    let array = read.collect::<Result<PrimitiveArray<T>, Misfit>>()?;
    Ok(Arc::new(array.with_data_type(wanted.clone())))
}

fn misfit(row: usize, value: &str, wanted: &DataType) -> Misfit {
    Misfit {
        row,
        path: String::new(),
        value: value.to_owned(),
        wanted: sql_name(wanted),
    }
}

fn has_digit(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
}

/// PostgreSQL's spellings; strictly only `true` and `false`.
pub(crate) fn boolean(text: &str, strict: bool) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ if strict => None,
        "t" | "yes" | "y" | "on" | "1" => Some(true),
        "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Strictly, the integer that writes itself exactly as `text`.
pub(crate) fn integer(text: &str, strict: bool) -> Option<i64> {
    let value: i64 = if strict { text } else { text.trim() }.parse().ok()?;
    (!strict || value.to_string() == text).then_some(value)
}

/// Strictly, a number in digits of which a double loses none.
pub(crate) fn double(text: &str, strict: bool) -> Option<f64> {
    const DIGITS_MAX: usize = 17;
    let value: f64 = if strict { text } else { text.trim() }.parse().ok()?;
    if value.is_infinite() && has_digit(text) {
        return None;
    }
    if !strict {
        return Some(value);
    }
    if !value.is_finite() || text.starts_with('+') {
        return None;
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.chars().filter(char::is_ascii_digit);
    let digits = digits.skip_while(|digit| *digit == '0').count();
    let is_integer = mantissa.len() == text.len() && !text.contains('.');
    // `{:.0}` writes a double out exactly.
    let kept = if is_integer {
        format!("{value:.0}") == text
    } else {
        digits <= DIGITS_MAX
    };
    kept.then_some(value)
}

/// The digits of `text` as an integer of `10^-scale`, if it has that many before and after the point and no more.
fn decimal_digits(text: &str, precision: u8, scale: i8, strict: bool) -> Option<String> {
    let text = if strict { text } else { text.trim() };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some(_) if strict => return None,
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' if !strict => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if strict && !is_canonical_decimal(whole, fraction, unsigned) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let all = all.trim_start_matches('0');
    // How many digits stand behind the point after the exponent, and how many are asked for.
    let behind = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let missing = i32::from(scale).checked_sub(behind)?;
    let digits = match usize::try_from(missing) {
        Ok(_) if all.is_empty() => "0".to_owned(),
        Ok(missing) if missing + all.len() <= usize::from(precision) => {
            format!("{all}{}", "0".repeat(missing))
        }
        Ok(_) => return None,
        Err(_) => {
            let surplus = usize::try_from(missing.unsigned_abs()).ok()?;
            let zeros = all.len() - all.trim_end_matches('0').len();
            if !all.is_empty() && zeros < surplus {
                return None;
            }
            let kept = &all[..all.len().saturating_sub(surplus)];
            if kept.is_empty() {
                "0".to_owned()
            } else {
                kept.to_owned()
            }
        }
    };
    if digits.len() > usize::from(precision) {
        return None;
    }
    Some(if negative { format!("-{digits}") } else { digits })
}

/// Whether a decimal is written without leading zeros, with digits on both sides of its point, if it has one.
fn is_canonical_decimal(whole: &str, fraction: &str, unsigned: &str) -> bool {
    let leads = whole == "0" || !whole.is_empty() && !whole.starts_with('0');
    leads && (fraction.is_empty() != unsigned.contains('.'))
}

/// The digits before and behind the point of a canonical decimal.
pub(crate) fn decimal_shape(text: &str) -> Option<(usize, usize)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // `-0` writes itself as `0`.
    let is_minus_zero = unsigned.len() < text.len() && !unsigned.contains(|c| ('1'..='9').contains(&c));
    let canonical = is_canonical_decimal(whole, fraction, unsigned) && !is_minus_zero;
    (canonical && digits(whole) && digits(fraction)).then_some((whole.len(), fraction.len()))
}

/// `YYYY-MM-DD`, from year 1 to 9999.
pub(crate) fn date(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let year = number(text.get(..4)?)?;
    let month = number(text.get(5..7)?)?;
    let day = number(text.get(8..)?)?;
    (year > 0).then(|| NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day))?
}

/// `YYYY-MM-DD HH:MM[:SS[.ffffff]]` with a blank or `T`; a date alone is its midnight unless `strict`.
pub(crate) fn local_time(text: &str, strict: bool) -> Option<NaiveDateTime> {
    let day = date(text.get(..10)?)?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return (!strict).then(|| day.and_time(NaiveTime::MIN));
    }
    Some(day.and_time(time(rest.strip_prefix([' ', 'T', 't'])?, strict)?))
}

/// `HH:MM[:SS[.ffffff]]`; digits beyond microseconds are cut, as in Parquet, unless `strict`.
fn time(text: &str, strict: bool) -> Option<NaiveTime> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 => (clock, fraction),
        Some(_) => return None,
        None => (text, "0"),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let is_number = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_number) {
        return None;
    }
    let number = |index: usize| parts.get(index).map_or(Some(0), |part| part.parse().ok());
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if strict && fraction.get(6..).is_some_and(|rest| rest.contains(|c| c != '0')) {
        return None;
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    NaiveTime::from_hms_micro_opt(number(0)?, number(1)?, number(2)?, micros.parse().ok()?)
}

/// A local time with its offset: `Z`, `+HH`, `+HHMM` or `+HH:MM`.
pub(crate) fn moment(text: &str, strict: bool) -> Option<DateTime<FixedOffset>> {
    let at = text.get(11..)?.find(['Z', 'z', '+', '-'])? + 11;
    let (local, zone) = text.split_at(at);
    let local = local_time(local.trim_end(), strict)?;
    let seconds = match zone {
        "Z" | "z" => 0,
        _ => offset_seconds(zone)?,
    };
    let utc = local.checked_sub_signed(TimeDelta::seconds(i64::from(seconds)))?;
    if !(1..=9999).contains(&utc.year()) {
        return None;
    }
    Some(DateTime::from_naive_utc_and_offset(
        utc,
        FixedOffset::east_opt(seconds)?,
    ))
}

fn offset_seconds(zone: &str) -> Option<i32> {
    let digits: String = zone.get(1..)?.chars().filter(|c| *c != ':').collect();
    let well_formed =
        matches!(zone.len(), 3 | 5) && !zone.contains(':') || zone.len() == 6 && zone.find(':') == Some(3);
    if !well_formed || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits
        .get(2..)
        .filter(|text| !text.is_empty())
        .map_or(Some(0), |text| text.parse().ok())?;
    let seconds = (hours < 16 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
    Some(if zone.starts_with('-') { -seconds } else { seconds })
}

#[cfg(test)]
mod tests;
