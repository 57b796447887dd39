//! The order of keys: which stretch of a store that keeps its keys in the order of their bytes can hold the keys that
//! pass a filter.
//!
//! The law: a key whose columns agree with the bindings lies in their range. The range may hold other keys too: the
//! filters are applied to what is found. In the binary form ([`crate::OrderedKey`]) the bytes of a value are in the
//! value's order, so every range of a column is a range of keys. In the text of a template that holds for less:
//!
//! - A column that is bound by `=` is its text and its delimiter, whatever its type: an exact prefix.
//! - `date` is always ten characters of digits from the largest unit to the smallest: text order is date order.
//! - `text` that begins with a literal is a prefix. Text from a lower bound on has a key from that bound on. An upper
//!   bound holds only where nothing follows the column: with the delimiter `:` the text `a!` comes after `a`, but its
//!   key `a!:` before `a:`.
//! - Decimal text of integers is not in the order of numbers (`10` is before `9`): no range.

use std::ops::Bound;

use crate::key::{KeyType, KeyValue};
use crate::template::KeyTemplate;

/// What filters say of one key column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nothing.
    Free,
    /// It is this value.
    Equal(KeyValue),
    /// It is text that begins with this.
    StartsWith(String),
    /// It lies between these.
    Between(Bound<KeyValue>, Bound<KeyValue>),
}

impl Binding {
    /// Both; `None` when they contradict each other. May say less than both together, never more.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Free, binding) | (binding, Self::Free) => binding.clone(),
            (Self::Equal(value), binding) | (binding, Self::Equal(value)) => {
                if !binding.allows(value) {
                    return None;
                }
                Self::Equal(value.clone())
            }
            (Self::StartsWith(left), Self::StartsWith(right)) => {
                let (long, short) = if left.len() >= right.len() {
                    (left, right)
                } else {
                    (right, left)
                };
                if !long.starts_with(short.as_str()) {
                    return None;
                }
                Self::StartsWith(long.clone())
            }
            (Self::StartsWith(prefix), Self::Between(..)) | (Self::Between(..), Self::StartsWith(prefix)) => {
                Self::StartsWith(prefix.clone())
            }
            (Self::Between(low, high), Self::Between(other_low, other_high)) => {
                Self::Between(later(low, other_low).clone(), earlier(high, other_high).clone())
            }
        })
    }

    fn allows(&self, value: &KeyValue) -> bool {
        match self {
            Self::Free => true,
            Self::Equal(other) => other == value,
            Self::StartsWith(prefix) => value.text().is_some_and(|text| text.starts_with(prefix.as_str())),
            Self::Between(low, high) => {
                let from = match low {
                    Bound::Included(low) => value >= low,
                    Bound::Excluded(low) => value > low,
                    Bound::Unbounded => true,
                };
                let to = match high {
                    Bound::Included(high) => value <= high,
                    Bound::Excluded(high) => value < high,
                    Bound::Unbounded => true,
                };
                from && to
            }
        }
    }
}

fn later<'a>(left: &'a Bound<KeyValue>, right: &'a Bound<KeyValue>) -> &'a Bound<KeyValue> {
    match (left, right) {
        (Bound::Unbounded, bound) | (bound, Bound::Unbounded) => bound,
        (Bound::Included(l) | Bound::Excluded(l), Bound::Included(r) | Bound::Excluded(r)) => {
            if l > r || l == r && matches!(left, Bound::Excluded(_)) {
                left
            } else {
                right
            }
        }
    }
}

fn earlier<'a>(left: &'a Bound<KeyValue>, right: &'a Bound<KeyValue>) -> &'a Bound<KeyValue> {
    match (left, right) {
        (Bound::Unbounded, bound) | (bound, Bound::Unbounded) => bound,
        (Bound::Included(l) | Bound::Excluded(l), Bound::Included(r) | Bound::Excluded(r)) => {
            if l < r || l == r && matches!(left, Bound::Excluded(_)) {
                left
            } else {
                right
            }
        }
    }
}

/// The keys from `low` on and before `high`, in the order of bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// The first key that may be in it.
    pub low: Vec<u8>,
    /// The first key after it; `None` when it has no end.
    pub high: Option<Vec<u8>>,
}

impl KeyRange {
    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            low: prefix.to_vec(),
            high: after_prefix(prefix),
        }
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.high.as_ref().is_some_and(|high| *high <= self.low)
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.low.as_slice() && self.high.as_deref().is_none_or(|high| key < high)
    }
}

/// The first key after all that begin with `prefix`; `None` when there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

/// `ranges` without overlaps, in order: a key is in one of them at most.
pub(crate) fn disjoint(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable();
    let mut merged: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.high.as_ref().is_none_or(|high| *high >= range.low) => {
                last.high = match (last.high.take(), range.high) {
                    (Some(left), Some(right)) => Some(left.max(right)),
                    _ => None,
                };
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// A way in which columns become bytes, for a store that keeps its keys in the order of these.
pub(crate) trait KeyOrder {
    /// All keys of the table.
    fn whole(&self) -> KeyRange;

    /// A range that holds every key whose columns agree with `bindings`, one for each key column; `None` when no key
    /// can.
    fn range(&self, bindings: &[Binding]) -> Option<KeyRange>;
}

impl KeyOrder for KeyTemplate {
    fn whole(&self) -> KeyRange {
        KeyRange::prefix(self.prefix())
    }

    fn range(&self, bindings: &[Binding]) -> Option<KeyRange> {
        let mut prefix = self.prefix().to_vec();
        for ((key_type, delimiter), binding) in self.ordered_parts().zip(bindings) {
            match binding {
                Binding::Free => break,
                Binding::Equal(value) => {
                    prefix.extend_from_slice(key_type.render(value)?.as_bytes());
                    prefix.extend_from_slice(delimiter);
                }
                Binding::StartsWith(start) => {
                    prefix.extend_from_slice(start.as_bytes());
                    break;
                }
                Binding::Between(low, high) => {
                    return Some(text_range(prefix, key_type, delimiter, low, high));
                }
            }
        }
        Some(KeyRange::prefix(&prefix))
    }
}

/// The range of a column's values in a template, after `prefix`.
fn text_range(
    prefix: Vec<u8>,
    key_type: KeyType,
    delimiter: &[u8],
    low: &Bound<KeyValue>,
    high: &Bound<KeyValue>,
) -> KeyRange {
    let mut range = KeyRange::prefix(&prefix);
    let key = |value: &KeyValue| Some([prefix.as_slice(), key_type.render(value)?.as_bytes()].concat());
    // What cannot be rendered, a date beyond the year 9999, bounds nothing.
    match key_type {
        KeyType::Date => {
            range.low = match low {
                Bound::Included(value) => key(value),
                Bound::Excluded(value) => key(value).and_then(|key| after_prefix(&key)),
                Bound::Unbounded => None,
            }
            .unwrap_or(range.low);
            range.high = match high {
                Bound::Included(value) => key(value).and_then(|key| after_prefix(&key)),
                Bound::Excluded(value) => key(value),
                Bound::Unbounded => None,
            }
            .or(range.high);
        }
        KeyType::Text => {
            if let Bound::Included(value) | Bound::Excluded(value) = low {
                range.low = key(value).unwrap_or(range.low);
            }
            let end = match high {
                _ if !delimiter.is_empty() => None,
                Bound::Included(value) => key(value).map(|mut key| {
                    key.push(0);
                    key
                }),
                Bound::Excluded(value) => key(value),
                Bound::Unbounded => None,
            };
            range.high = end.or(range.high);
        }
        _ => {}
    }
    range
}

/// The range of the values between two bounds in a form whose encodings are in the values' order and no prefixes of
/// each other; `encode` gives a key's beginning up to and with the value.
pub(crate) fn encoded_range(
    prefix: &[u8],
    encode: impl Fn(&KeyValue) -> Vec<u8>,
    low: &Bound<KeyValue>,
    high: &Bound<KeyValue>,
) -> Option<KeyRange> {
    let mut range = KeyRange::prefix(prefix);
    match low {
        Bound::Included(value) => range.low = encode(value),
        // Without a key after it, no key is in the range.
        Bound::Excluded(value) => range.low = after_prefix(&encode(value))?,
        Bound::Unbounded => {}
    }
    match high {
        Bound::Included(value) => range.high = after_prefix(&encode(value)),
        Bound::Excluded(value) => range.high = Some(encode(value)),
        Bound::Unbounded => {}
    }
    Some(range)
}

#[cfg(test)]
mod tests;
