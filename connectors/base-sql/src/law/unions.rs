//! Laws of unions of tables of one source: each column is of one kind in all parts.
//!
//! The source gives the columns of a union types of its own, which must hold every value as each part has it: numbers widen,
//! days are days, and texts must be of one collation and one encoding, since the source would convert one to the other.

use std::borrow::Cow;

use crate::dynamic::{DynamicProfile, Fit};
use crate::profile::{ColumnKind, ColumnProfile};

/// Why something is not sent.
type Reason = Cow<'static, str>;

/// What is known of the columns of a union of two parts.
pub(crate) fn united(one: &[ColumnProfile], other: &[ColumnProfile]) -> Result<Vec<ColumnProfile>, Reason> {
    if one.len() != other.len() {
        return Err("its parts have other columns".into());
    }
    let columns = one.iter().zip(other).map(|(one, other)| {
        Ok(ColumnProfile {
            name: one.name.clone(),
            native_type: match one.native_type == other.native_type {
                true => one.native_type.clone(),
                false => format!("{}, {}", one.native_type, other.native_type),
            },
            kind: one_kind(&one.kind, &other.kind)
                .ok_or_else(|| format!("its parts have columns \"{}\" of several kinds", one.name))?,
            nullable: one.nullable || other.nullable,
            sorted_whole: one.sorted_whole && other.sorted_whole,
        })
    });
    columns.collect()
}

/// The kind that holds the values of both.
fn one_kind(one: &ColumnKind, other: &ColumnKind) -> Option<ColumnKind> {
    use ColumnKind::{Date, DateTime, Decimal, Integer, Timestamp};
    Some(match (one, other) {
        (
            ColumnKind::Opaque
            | ColumnKind::Dynamic(DynamicProfile {
                fit: Fit::OrError | Fit::OrNull,
                ..
            }),
            _,
        ) => return None,
        (Integer, Decimal) | (Decimal, Integer) => Decimal,
        (Date { zero_dates: a }, Date { zero_dates: b }) => Date { zero_dates: *a || *b },
        (
            DateTime {
                fraction_digits: digits,
                zero_dates: a,
            },
            DateTime {
                fraction_digits: other_digits,
                zero_dates: b,
            },
        ) => DateTime {
            fraction_digits: *digits.max(other_digits),
            zero_dates: *a || *b,
        },
        (
            Timestamp {
                fraction_digits: digits,
                zero_dates: a,
            },
            Timestamp {
                fraction_digits: other_digits,
                zero_dates: b,
            },
        ) => Timestamp {
            fraction_digits: *digits.max(other_digits),
            zero_dates: *a || *b,
        },
        (one, other) if one == other => one.clone(),
        _ => return None,
    })
}
