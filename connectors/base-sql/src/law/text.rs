//! Laws of text and bytes.
//!
//! Our engine compares text byte by byte. A collation that does the same is used plainly. Under any other, equality is
//! sent twice: plainly, which finds at least the equal rows and uses the index, and on the bytes, which makes it exact.
//! Everything else is sent on the bytes alone. A literal that the column's character set cannot hold equals no row.

use std::borrow::Cow;

use causeway_spi::scalar_text;
use datafusion::common::ScalarValue;

use super::{Judged, opaque, other_type, pattern};
use crate::profile::{ColumnKind, ColumnProfile, TextEncoding, TextOrder, TextProfile};
use crate::remote::{ColumnForm, Comparison, RemoteColumn, RemoteExpr, RemoteValue};

/// What the reason says where text is compared by its bytes for want of a collation that does.
pub(super) const NOT_BYTE_ORDER: &str = "is not byte order";
/// What the reason says where text may become another one on its way.
pub(super) const UNKNOWN_ENCODING: &str = "is not known to convert alike";
/// Why bytes are sent.
pub(super) const BYTES_REASON: &str = "bytes compare alike there and here";

/// `column comparison value`.
pub(super) fn compares(
    index: usize,
    profile: &TextProfile,
    comparison: Comparison,
    value: &ScalarValue,
) -> Judged {
    let Some(text) = scalar_text(value) else {
        return other_type();
    };
    if profile.encoding == TextEncoding::Unknown {
        return unknown_encoding(profile);
    }
    if comparison == Comparison::Equal {
        return equals_any(index, profile, &[value], false);
    }
    let condition = if compares_plainly(profile, &[text]) {
        RemoteExpr::compare(index, ColumnForm::Plain, comparison, plain(text))
    } else {
        RemoteExpr::compare(index, bytes_form(profile), comparison, bytes(text))
    };
    Judged::exact(condition, reason(profile, false))
}

/// `column [NOT] IN (values)`; one value that is not negated becomes `=`.
pub(super) fn equals_any(
    index: usize,
    profile: &TextProfile,
    values: &[&ScalarValue],
    negated: bool,
) -> Judged {
    if profile.encoding == TextEncoding::Unknown {
        return unknown_encoding(profile);
    }
    let Some(texts) = values
        .iter()
        .map(|value| scalar_text(value))
        .collect::<Option<Vec<_>>>()
    else {
        return other_type();
    };
    let held: Vec<&str> = match negated {
        true => texts,
        false => texts
            .into_iter()
            .filter(|text| profile.encoding.holds(text))
            .collect(),
    };
    let plain_half = || one_of(index, ColumnForm::Plain, held.iter().map(|t| plain(t)), negated);
    let bytes_half = || one_of(index, bytes_form(profile), held.iter().map(|t| bytes(t)), negated);
    let with_index = !negated && !held.is_empty() && profile.encoding.allows_index_half();
    let condition = match (compares_plainly(profile, &held), with_index) {
        (true, _) => plain_half(),
        (false, true) => RemoteExpr::And(vec![plain_half(), bytes_half()]),
        (false, false) => bytes_half(),
    };
    Judged::exact(condition, reason(profile, with_index))
}

/// `column [NOT] LIKE pattern`.
pub(super) fn matches_pattern(
    index: usize,
    profile: &ColumnProfile,
    pattern: &ScalarValue,
    negated: bool,
) -> Judged {
    let ColumnKind::Text(text) = &profile.kind else {
        return match &profile.kind {
            ColumnKind::Opaque => opaque(profile),
            _ => other_type(),
        };
    };
    let Some(pattern) = scalar_text(pattern) else {
        return other_type();
    };
    let form = match text.encoding {
        TextEncoding::Unknown => return unknown_encoding(text),
        TextEncoding::Utf8 => ColumnForm::Characters,
        _ => ColumnForm::ConvertedCharacters,
    };
    let condition = RemoteExpr::Like {
        column: RemoteColumn { index, form },
        pattern: pattern::escaped_pattern(pattern),
        negated,
    };
    let beginning = match negated {
        true => Vec::new(),
        false => begins(index, text, &pattern::literal_beginning(pattern).0),
    };
    let condition = match beginning.is_empty() {
        true => condition,
        false => RemoteExpr::And(beginning.into_iter().chain([condition]).collect()),
    };
    Judged::exact(
        condition,
        "patterns are matched character by character there and here",
    )
}

/// The range, in the index of a column that compares bytes, of the texts that begin with `prefix`.
///
/// MariaDB makes such a range of a pattern by itself, and ends it before the characters above U+FFFF, and before control
/// characters where blanks are padded: with an index it misses rows. So patterns are kept from the index.
fn begins(index: usize, profile: &TextProfile, prefix: &str) -> Vec<RemoteExpr> {
    if prefix.is_empty() || !compares_plainly(profile, &[prefix]) {
        return Vec::new();
    }
    let bound =
        |comparison, text: &str| RemoteExpr::compare(index, ColumnForm::Plain, comparison, plain(text));
    let end = pattern::next_text(prefix).filter(|end| profile.encoding.holds(end));
    [bound(Comparison::GreaterOrEqual, prefix)]
        .into_iter()
        .chain(end.map(|end| bound(Comparison::Less, &end)))
        .collect()
}

/// The literal to bind against a column of bytes, or `None` when it is of another type.
pub(super) fn bytes_literal(value: &ScalarValue) -> Option<RemoteValue> {
    match value {
        ScalarValue::Binary(Some(_))
        | ScalarValue::LargeBinary(Some(_))
        | ScalarValue::BinaryView(Some(_)) => Some(RemoteValue::bytes(value.clone())),
        _ => None,
    }
}

fn one_of(
    index: usize,
    form: ColumnForm,
    values: impl Iterator<Item = RemoteValue>,
    negated: bool,
) -> RemoteExpr {
    let mut values: Vec<_> = values.collect();
    if values.len() == 1
        && !negated
        && let Some(value) = values.pop()
    {
        return RemoteExpr::compare(index, form, Comparison::Equal, value);
    }
    RemoteExpr::within(index, form, values, negated)
}

fn plain(text: &str) -> RemoteValue {
    RemoteValue::plain(ScalarValue::from(text))
}

fn bytes(text: &str) -> RemoteValue {
    RemoteValue::bytes(ScalarValue::from(text))
}

/// Whether the collation compares bytes *and* the character set can take the literals: a source may refuse to compare
/// a column with a literal that it cannot convert.
fn compares_plainly(profile: &TextProfile, literals: &[&str]) -> bool {
    profile.order == TextOrder::Bytes && literals.iter().all(|literal| profile.encoding.holds(literal))
}

pub(super) fn bytes_form(profile: &TextProfile) -> ColumnForm {
    if profile.encoding.needs_convert() {
        ColumnForm::ConvertedBytes
    } else {
        ColumnForm::Bytes
    }
}

fn reason(profile: &TextProfile, with_index: bool) -> String {
    let collation = &profile.collation;
    match (profile.order, with_index) {
        (TextOrder::Bytes, _) => format!("collation {collation} compares bytes"),
        (TextOrder::Language, true) => {
            format!("collation {collation} {NOT_BYTE_ORDER}: sent with a binary comparison beside it")
        }
        (TextOrder::Language, false) => {
            format!("collation {collation} {NOT_BYTE_ORDER}: sent as a binary comparison")
        }
    }
}

fn unknown_encoding(profile: &TextProfile) -> Judged {
    Judged::declined(unknown_encoding_reason(profile))
}

pub(super) fn unknown_encoding_reason(profile: &TextProfile) -> Cow<'static, str> {
    format!(
        "the character set of collation {} {UNKNOWN_ENCODING}",
        profile.collation
    )
    .into()
}
