//! The binary form of keys, whose bytes are in the order of their columns: what tables made by SQL use in stores that
//! keep their keys in order.
//!
//! The laws, for tuples `a` and `b` of the same types: `decode(encode(a)) = a`; `encode(a) < encode(b)` as bytes
//! exactly when `a < b` column by column; no encoded value is a prefix of another one of its column. So each value has
//! one encoding, and the keys that agree in their first columns are neighbours.
//!
//! - A number is a byte `0x80 + n` and its `n` significant bytes, most significant first; a negative one is `0x80 - n`
//!   and the complement of its amount's bytes. A longer number is further from zero, so the first byte decides first.
//! - Text and bytes are themselves with `00` written as `00 ff`, and end in `00 01`: the end comes before every
//!   continuation.

use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::key::{KeyTuple, KeyType, KeyValue};
use crate::key_order::{Binding, KeyOrder, KeyRange, encoded_range};

const ZERO: u8 = 0x80;
const ESCAPE: u8 = 0x00;
const ESCAPED: u8 = 0xff;
const END: u8 = 0x01;

/// The key columns of a table with keys in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedKey {
    types: Vec<KeyType>,
}

impl OrderedKey {
    /// A key of columns of `types`.
    pub fn new(types: Vec<KeyType>) -> Self {
        Self { types }
    }

    /// The types of the key columns.
    pub fn types(&self) -> &[KeyType] {
        &self.types
    }

    /// The bytes of the first columns: a whole key when `values` are as many as the columns.
    pub fn encode(values: &[KeyValue]) -> Vec<u8> {
        let mut key = Vec::with_capacity(values.len() * 10);
        for value in values {
            push(&mut key, value);
        }
        key
    }

    /// The columns of `key`. Errors: `InvalidData` when it is not the encoding of any.
    pub fn decode(&self, key: &[u8]) -> Result<KeyTuple> {
        let mut rest = key;
        let values = self.types.iter().map(|&key_type| take(&mut rest, key_type));
        let tuple = values.collect::<Option<KeyTuple>>();
        tuple.filter(|_| rest.is_empty()).ok_or_else(|| {
            ConnectorError::new(ErrorKind::InvalidData, "a key is not of the table's key columns")
        })
    }
}

impl KeyOrder for OrderedKey {
    fn whole(&self) -> KeyRange {
        KeyRange::prefix(&[])
    }

    fn range(&self, bindings: &[Binding]) -> Option<KeyRange> {
        let mut prefix = Vec::new();
        for binding in bindings {
            match binding {
                Binding::Free => break,
                Binding::Equal(value) => push(&mut prefix, value),
                Binding::StartsWith(start) => {
                    push_escaped(&mut prefix, start.as_bytes());
                    break;
                }
                Binding::Between(low, high) => {
                    let encode = |value: &KeyValue| {
                        let mut key = prefix.clone();
                        push(&mut key, value);
                        key
                    };
                    return encoded_range(&prefix, encode, low, high);
                }
            }
        }
        Some(KeyRange::prefix(&prefix))
    }
}

fn push(key: &mut Vec<u8>, value: &KeyValue) {
    match value {
        KeyValue::Int(number) => push_number(key, (*number).into()),
        KeyValue::Date(days) => push_number(key, (*days).into()),
        KeyValue::Decimal(number) => push_number(key, *number),
        KeyValue::Text(text) => push_bytes(key, text.as_bytes()),
        KeyValue::Bytes(bytes) => push_bytes(key, bytes),
    }
}

fn push_number(key: &mut Vec<u8>, number: i128) {
    let amount = number.unsigned_abs().to_be_bytes();
    let leading = amount.iter().take_while(|&&byte| byte == 0).count();
    let significant = &amount[leading..];
    let length = u8::try_from(significant.len()).expect("a number has 16 bytes at most");
    if number < 0 {
        key.push(ZERO - length);
        key.extend(significant.iter().map(|byte| !byte));
    } else {
        key.push(ZERO + length);
        key.extend_from_slice(significant);
    }
}

fn push_bytes(key: &mut Vec<u8>, bytes: &[u8]) {
    push_escaped(key, bytes);
    key.extend([ESCAPE, END]);
}

fn push_escaped(key: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        key.push(byte);
        if byte == ESCAPE {
            key.push(ESCAPED);
        }
    }
}

/// Takes one value off the front.
fn take(rest: &mut &[u8], key_type: KeyType) -> Option<KeyValue> {
    Some(match key_type {
        KeyType::Text => KeyValue::Text(String::from_utf8(take_bytes(rest)?).ok()?),
        KeyType::Bytea => KeyValue::Bytes(take_bytes(rest)?),
        KeyType::Date => KeyValue::Date(take_number(rest)?.try_into().ok()?),
        KeyType::Numeric { .. } => KeyValue::Decimal(take_number(rest)?),
        KeyType::SmallInt
        | KeyType::Integer
        | KeyType::BigInt
        | KeyType::Boolean
        | KeyType::Timestamp
        | KeyType::TimestampTz => KeyValue::Int(take_number(rest)?.try_into().ok()?),
    })
}

fn take_number(rest: &mut &[u8]) -> Option<i128> {
    let (&first, bytes) = rest.split_first()?;
    let (significant, after) = bytes.split_at_checked(first.abs_diff(ZERO).into())?;
    let negative = first < ZERO;
    let mut amount = 0_u128;
    for &byte in significant {
        // More than 16 bytes are no number of ours.
        if amount >> 120 != 0 {
            return None;
        }
        amount = amount << 8 | u128::from(if negative { !byte } else { byte });
    }
    *rest = after;
    if negative {
        0_i128.checked_sub_unsigned(amount)
    } else {
        i128::try_from(amount).ok()
    }
}

fn take_bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let at = rest.iter().position(|&byte| byte == ESCAPE)?;
        bytes.extend_from_slice(&rest[..at]);
        let after = *rest.get(at + 1)?;
        *rest = &rest[at + 2..];
        match after {
            END => return Some(bytes),
            ESCAPED => bytes.push(ESCAPE),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
