//! Laws of sources with dynamic types.
//!
//! Values are ordered by class there: NULL, numbers, texts, bytes. A comparison may so be true of a value that does not
//! fit the column's class ([`Fit`]):
//!
//! - Where such values are errors, they are asked for beside the condition: those of another class sort before or after
//!   all that fit, so an index still finds both. The filter is checked again here, which reads them and raises the error.
//! - Where they are NULL, a guard keeps them out.
//! - Integers, bytes and booleans that fit compare alike. So does equality of text, in the binary collation; other
//!   comparisons of text are supersets, since the source may hold text that is not UTF-8.
//! - Decimals are rounded when they are read, days and moments have several spellings: their comparisons are sent as
//!   bounds wide enough for every stored form.
//! - A pattern is sent as the range of its literal beginning: letter case and NUL are treated otherwise there.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use arrow::datatypes::{Decimal128Type, Decimal256Type, DecimalType};
use causeway_spi::scalar_text;
use datafusion::common::ScalarValue;

use super::pattern::{literal_beginning, next_text};
use super::{Judged, any_of, numbers, other_type};
use crate::dynamic::{DynamicProfile, Fit, IndexCollation, ValueClass};
use crate::remote::{ColumnForm, Comparison, RemoteExpr, RemoteValue};

const NUMBER_REASON: &str = "numbers compare alike there and here";
const EQUAL_TEXT_REASON: &str = "equal bytes are equal text there and here";
const TEXT_REASON: &str = "bytes compare alike there and here; text that is not UTF-8 is found out here";
const DECIMAL_REASON: &str = "stored numbers are rounded to the column's scale here";
const SPELLING_REASON: &str = "days and times have several spellings there";
const PATTERN_REASON: &str = "the beginning of the pattern is sent as a range";
const NULL_REASON: &str = "NULL is the same there";
const STRAY_REASON: &str = "values of other types are looked for, too: they are errors";
const GUARD_REASON: &str = "values of other types are NULL here and kept out there";

/// 0001-01-01 and 9999-12-31, in days since 1970.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A condition on values that fit, and whether it is exact for them.
enum Found {
    Exact(RemoteExpr, &'static str),
    Superset(RemoteExpr, &'static str),
    Declined(Cow<'static, str>),
}

/// `column comparison value`; `value` is not NULL.
pub(super) fn compares(
    index: usize,
    profile: &DynamicProfile,
    comparison: Comparison,
    value: &ScalarValue,
) -> Judged {
    let found = match profile.class {
        ValueClass::Integer { .. } => match integer(value) {
            Some(value) => exact_number(index, comparison, value),
            None => return other_type(),
        },
        ValueClass::Boolean => match (comparison, value) {
            (Comparison::Equal, ScalarValue::Boolean(Some(flag))) => truth_found(index, *flag),
            (Comparison::NotEqual, ScalarValue::Boolean(Some(flag))) => truth_found(index, !*flag),
            _ => return other_type(),
        },
        ValueClass::Bytes => match super::text::bytes_literal(value) {
            Some(value) => exact_number(index, comparison, value),
            None => return other_type(),
        },
        ValueClass::Text => match scalar_text(value) {
            Some(text) => text_comparison(index, profile, comparison, text),
            None => return other_type(),
        },
        ValueClass::Decimal { scale } => decimal_comparison(index, scale, comparison, value),
        ValueClass::Date | ValueClass::Moment => moment_comparison(index, profile, comparison, value),
        ValueClass::Float => Found::Declined(numbers::FLOAT_REASON.into()),
    };
    settle(index, profile, found)
}

/// `column [NOT] IN (values)`; no value is NULL.
pub(super) fn equals_any(
    index: usize,
    profile: &DynamicProfile,
    values: &[&ScalarValue],
    negated: bool,
) -> Judged {
    let literals: Option<Vec<RemoteValue>> = match profile.class {
        ValueClass::Integer { .. } => values.iter().map(|value| integer(value)).collect(),
        ValueClass::Bytes => values
            .iter()
            .map(|value| super::text::bytes_literal(value))
            .collect(),
        ValueClass::Text => values.iter().map(|value| scalar_text(value).map(text)).collect(),
        ValueClass::Float => return Judged::declined(numbers::FLOAT_REASON),
        // Lists of what is only bounded are chains of bounds.
        _ if negated || values.is_empty() => return Judged::declined("NOT IN is not sent for this type"),
        _ => {
            let members = values
                .iter()
                .map(|value| compares(index, profile, Comparison::Equal, value));
            return any_of(members.collect());
        }
    };
    let Some(literals) = literals else {
        return other_type();
    };
    let found = match (profile.class, negated) {
        (ValueClass::Text, false) => Found::Exact(equal_texts(index, profile, literals), EQUAL_TEXT_REASON),
        (ValueClass::Text, true) => Found::Superset(
            RemoteExpr::within(index, bytes_form(profile), literals, true),
            TEXT_REASON,
        ),
        _ => Found::Exact(
            RemoteExpr::within(index, ColumnForm::Plain, literals, negated),
            NUMBER_REASON,
        ),
    };
    settle(index, profile, found)
}

/// `column IN (values)` for a lookup: what does not fit equals no key, so it is neither asked for nor kept out.
pub(super) fn equals_key(index: usize, profile: &DynamicProfile, values: &[&ScalarValue]) -> Judged {
    let fitting = DynamicProfile {
        fit: Fit::Guaranteed,
        ..profile.clone()
    };
    match values {
        [value] => compares(index, &fitting, Comparison::Equal, value),
        _ => equals_any(index, &fitting, values, false),
    }
}

/// `column IS [NOT] NULL`.
pub(super) fn null_test(index: usize, profile: &DynamicProfile, negated: bool) -> Judged {
    let plain = match negated {
        true => RemoteExpr::IsNotNull(index),
        false => RemoteExpr::IsNull(index),
    };
    match (profile.fit, negated) {
        (Fit::Guaranteed, _) => Judged::exact(plain, NULL_REASON),
        (Fit::OrError, true) => Judged::superset(plain, STRAY_REASON),
        (Fit::OrError, false) => settle(index, profile, Found::Exact(plain, NULL_REASON)),
        (Fit::OrNull, true) => match guard(index, profile.class) {
            Some(guard) => Judged::exact(RemoteExpr::And(guard), GUARD_REASON),
            None => Judged::superset(plain, "values of other types are NULL only here"),
        },
        (Fit::OrNull, false) => match outside(index, profile.class) {
            Some(outside) => Judged::exact(RemoteExpr::Or(outside), "values of other types are NULL, too"),
            None => Judged::declined("values of other types are NULL only here"),
        },
    }
}

/// `column`, or NOT `column`, as a condition.
pub(super) fn truth(index: usize, profile: &DynamicProfile, flag: bool) -> Judged {
    match profile.class {
        ValueClass::Boolean => settle(index, profile, truth_found(index, flag)),
        _ => other_type(),
    }
}

/// `column [NOT] LIKE pattern`.
pub(super) fn matches_pattern(
    index: usize,
    profile: &DynamicProfile,
    pattern: &ScalarValue,
    negated: bool,
) -> Judged {
    let (ValueClass::Text, Some(pattern)) = (profile.class, scalar_text(pattern)) else {
        return other_type();
    };
    if negated {
        return Judged::declined("NOT LIKE is not sent: letter case is treated otherwise there");
    }
    let (prefix, whole) = literal_beginning(pattern);
    let found = match (whole, prefix.as_str()) {
        (true, prefix) => Found::Superset(equal_texts(index, profile, vec![text(prefix)]), PATTERN_REASON),
        (false, "") => return Judged::declined("the pattern has no literal beginning"),
        (false, prefix) => {
            let bound = |comparison, value: &str| {
                RemoteExpr::compare(index, bytes_form(profile), comparison, text(value))
            };
            let mut range = vec![bound(Comparison::GreaterOrEqual, prefix)];
            range.extend(next_text(prefix).map(|end| bound(Comparison::Less, &end)));
            Found::Superset(RemoteExpr::And(range), PATTERN_REASON)
        }
    };
    settle(index, profile, found)
}

/// The condition to send: beside it what must raise an error, or a guard against it.
fn settle(index: usize, profile: &DynamicProfile, found: Found) -> Judged {
    let (condition, exact, reason) = match found {
        Found::Exact(condition, reason) => (condition, true, reason),
        Found::Superset(condition, reason) => (condition, false, reason),
        Found::Declined(reason) => return Judged::Declined(reason),
    };
    let judged = |condition, exact, reason| match exact {
        true => Judged::exact(condition, reason),
        false => Judged::superset(condition, reason),
    };
    match profile.fit {
        Fit::Guaranteed => judged(condition, exact, reason),
        Fit::OrNull => match guard(index, profile.class) {
            Some(mut guard) => {
                guard.insert(0, condition);
                let reason = if exact { GUARD_REASON } else { reason };
                judged(RemoteExpr::And(guard), exact, reason)
            }
            None => judged(condition, false, reason),
        },
        Fit::OrError => {
            let mut members = vec![condition];
            members.extend(strays(index, profile));
            judged(RemoteExpr::Or(members), false, STRAY_REASON)
        }
    }
}

/// What holds for the values of `class` and for no others, if the source can tell.
fn guard(index: usize, class: ValueClass) -> Option<Vec<RemoteExpr>> {
    let name = storage_class(class)?;
    let mut guard = vec![RemoteExpr::StorageClass {
        index,
        name,
        negated: false,
    }];
    if let Some((least, most)) = bounds(class) {
        guard.push(number(index, Comparison::GreaterOrEqual, least));
        guard.push(number(index, Comparison::LessOrEqual, most));
    }
    Some(guard)
}

/// What holds for NULL and for every value that is not of `class`.
fn outside(index: usize, class: ValueClass) -> Option<Vec<RemoteExpr>> {
    let name = storage_class(class)?;
    let mut outside = vec![RemoteExpr::StorageClass {
        index,
        name,
        negated: true,
    }];
    if let Some((least, most)) = bounds(class) {
        outside.push(number(index, Comparison::Less, least));
        outside.push(number(index, Comparison::Greater, most));
    }
    Some(outside)
}

fn storage_class(class: ValueClass) -> Option<&'static str> {
    match class {
        ValueClass::Integer { .. } | ValueClass::Boolean => Some("integer"),
        ValueClass::Text => Some("text"),
        ValueClass::Bytes => Some("blob"),
        _ => None,
    }
}

/// The bounds of whole numbers that are narrower than the source's own.
fn bounds(class: ValueClass) -> Option<(i64, i64)> {
    match class {
        ValueClass::Boolean => Some((0, 1)),
        ValueClass::Integer { least, most } if (least, most) != (i64::MIN, i64::MAX) => Some((least, most)),
        _ => None,
    }
}

/// Conditions that find the values of other classes, which sort before or after all that fit.
///
/// The bounds of texts are none that a numeric affinity would turn into numbers.
fn strays(index: usize, profile: &DynamicProfile) -> Vec<RemoteExpr> {
    let form = match profile.class {
        ValueClass::Text => index_form(profile),
        ValueClass::Date | ValueClass::Moment => bytes_form(profile),
        _ => ColumnForm::Plain,
    };
    let bound = |comparison, value| RemoteExpr::compare(index, form, comparison, value);
    let no_bytes = || RemoteValue::bytes(ScalarValue::Binary(Some(Vec::new())));
    let mut strays = match profile.class {
        ValueClass::Text => return vec![bound(Comparison::GreaterOrEqual, no_bytes())],
        ValueClass::Bytes => return vec![bound(Comparison::Less, no_bytes())],
        ValueClass::Date | ValueClass::Moment => {
            // Before and after the digits.
            return vec![
                bound(Comparison::Less, text("0-")),
                bound(Comparison::GreaterOrEqual, text(":")),
            ];
        }
        _ => vec![bound(Comparison::GreaterOrEqual, text(""))],
    };
    if let Some((least, most)) = bounds(profile.class) {
        strays.push(number(index, Comparison::Less, least));
        strays.push(number(index, Comparison::Greater, most));
    }
    strays
}

fn number(index: usize, comparison: Comparison, value: i64) -> RemoteExpr {
    let value = RemoteValue::plain(ScalarValue::Int64(Some(value)));
    RemoteExpr::compare(index, ColumnForm::Plain, comparison, value)
}

fn text(text: &str) -> RemoteValue {
    RemoteValue::plain(ScalarValue::from(text))
}

fn exact_number(index: usize, comparison: Comparison, value: RemoteValue) -> Found {
    let condition = RemoteExpr::compare(index, ColumnForm::Plain, comparison, value);
    Found::Exact(condition, NUMBER_REASON)
}

fn truth_found(index: usize, flag: bool) -> Found {
    Found::Exact(number(index, Comparison::Equal, i64::from(flag)), NUMBER_REASON)
}

fn integer(value: &ScalarValue) -> Option<RemoteValue> {
    let value = match value {
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::Decimal128(Some(digits), _, 0) => i64::try_from(*digits).ok(),
        _ => None,
    };
    value.map(|value| RemoteValue::plain(ScalarValue::Int64(Some(value))))
}

/// The form in which a text column is compared by its bytes.
fn bytes_form(profile: &DynamicProfile) -> ColumnForm {
    match profile.compares_bytes {
        // Not even a collation that changes nothing: with one, no index is used below OR.
        true => ColumnForm::Plain,
        false => ColumnForm::Bytes,
    }
}

/// The form in which an index finds a text column.
fn index_form(profile: &DynamicProfile) -> ColumnForm {
    match profile.index_collation {
        None | Some(IndexCollation::Binary) => bytes_form(profile),
        Some(IndexCollation::NoCase) => ColumnForm::NoCase,
        Some(IndexCollation::RightTrimmed) => ColumnForm::RightTrimmed,
    }
}

/// Equality of bytes, with the form that an index finds beside it.
fn equal_texts(index: usize, profile: &DynamicProfile, literals: Vec<RemoteValue>) -> RemoteExpr {
    let one_of = |form, mut literals: Vec<RemoteValue>| match (literals.len(), literals.pop()) {
        (1, Some(literal)) => RemoteExpr::compare(index, form, Comparison::Equal, literal),
        (_, last) => {
            literals.extend(last);
            RemoteExpr::within(index, form, literals, false)
        }
    };
    match index_form(profile) {
        form if form == bytes_form(profile) => one_of(form, literals),
        _ if literals.is_empty() => RemoteExpr::Constant(false),
        form => RemoteExpr::And(vec![
            one_of(form, literals.clone()),
            one_of(bytes_form(profile), literals),
        ]),
    }
}

fn text_comparison(index: usize, profile: &DynamicProfile, comparison: Comparison, value: &str) -> Found {
    match comparison {
        Comparison::Equal => Found::Exact(equal_texts(index, profile, vec![text(value)]), EQUAL_TEXT_REASON),
        _ => Found::Superset(
            RemoteExpr::compare(index, bytes_form(profile), comparison, text(value)),
            TEXT_REASON,
        ),
    }
}

/// Bounds for every stored number that is read as a decimal which the comparison holds for.
fn decimal_comparison(index: usize, scale: u8, comparison: Comparison, value: &ScalarValue) -> Found {
    let digits = match value {
        ScalarValue::Decimal128(Some(digits), precision, scale) => {
            Decimal128Type::format_decimal(*digits, *precision, *scale)
        }
        ScalarValue::Decimal256(Some(digits), precision, scale) => {
            Decimal256Type::format_decimal(*digits, *precision, *scale)
        }
        _ => return Found::Declined("column and literal are of different types".into()),
    };
    let Ok(literal) = digits.parse::<f64>() else {
        return Found::Declined("the literal is no number there".into());
    };
    // Rounding moves a value by half a digit at most; two steps more for the rounding of doubles themselves.
    let width = 10_f64.powi(-i32::from(scale));
    let low = (literal - width).next_down().next_down();
    let high = (literal + width).next_up().next_up();
    let bound = |comparison, value: f64| {
        let value = RemoteValue::plain(ScalarValue::Float64(Some(value)));
        RemoteExpr::compare(index, ColumnForm::Plain, comparison, value)
    };
    let low = bound(Comparison::GreaterOrEqual, low);
    let high = bound(Comparison::LessOrEqual, high);
    let condition = match comparison {
        Comparison::Equal => RemoteExpr::And(vec![low, high]),
        Comparison::Less | Comparison::LessOrEqual => high,
        Comparison::Greater | Comparison::GreaterOrEqual => low,
        Comparison::NotEqual => return Found::Declined(DECIMAL_REASON.into()),
    };
    Found::Superset(condition, DECIMAL_REASON)
}

/// Bounds on the first ten characters; a moment with an offset is at most a day away from its spelling.
fn moment_comparison(
    index: usize,
    profile: &DynamicProfile,
    comparison: Comparison,
    value: &ScalarValue,
) -> Found {
    let (day, width) = match (profile.class, value) {
        (ValueClass::Date, ScalarValue::Date32(Some(day))) => (i64::from(*day), 0),
        (ValueClass::Moment, ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
            (micros.div_euclid(MICROS_PER_DAY), 1)
        }
        _ => return Found::Declined("column and literal are of different types".into()),
    };
    let bound = |comparison, day: i64| {
        let in_range = DAYS.contains(&day).then_some(day)?;
        let value = ScalarValue::Date32(Some(i32::try_from(in_range).ok()?));
        let value = RemoteValue::plain(value);
        Some(RemoteExpr::compare(index, bytes_form(profile), comparison, value))
    };
    let low = bound(Comparison::GreaterOrEqual, day - width);
    let high = bound(Comparison::Less, day + width + 1);
    let condition = match comparison {
        Comparison::Equal => low.zip(high).map(|(low, high)| RemoteExpr::And(vec![low, high])),
        Comparison::Less | Comparison::LessOrEqual => high,
        Comparison::Greater | Comparison::GreaterOrEqual => low,
        Comparison::NotEqual => return Found::Declined(SPELLING_REASON.into()),
    };
    match condition {
        Some(condition) => Found::Superset(condition, SPELLING_REASON),
        None => Found::Declined("the literal is outside the range of dates there".into()),
    }
}
