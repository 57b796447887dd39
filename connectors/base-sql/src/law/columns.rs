//! Laws of two columns that are compared with each other.
//!
//! Numbers of one kind compare by value, bytes and texts by their bytes, days and moments of one kind by value, with a
//! guard where a day may be none of the calendar. Columns of two kinds are declined: the source would convert one of them.

use super::{Judged, numbers, temporal, text};
use crate::dynamic::{DynamicProfile, Fit, ValueClass};
use crate::profile::{ColumnKind, TextEncoding, TextOrder, TextProfile};
use crate::remote::{ColumnForm, Comparison, RemoteColumn, RemoteExpr};

/// `left comparison right`, each with its index.
pub(super) fn compares(
    left: (usize, &ColumnKind),
    comparison: Comparison,
    right: (usize, &ColumnKind),
) -> Judged {
    let condition = |left_form, right_form| RemoteExpr::CompareColumns {
        left: RemoteColumn {
            index: left.0,
            form: left_form,
        },
        comparison,
        right: RemoteColumn {
            index: right.0,
            form: right_form,
        },
    };
    let plain = || condition(ColumnForm::Plain, ColumnForm::Plain);
    match (left.1, right.1) {
        (ColumnKind::Integer, ColumnKind::Integer) | (ColumnKind::Decimal, ColumnKind::Decimal) => {
            Judged::exact(plain(), numbers::reason(left.1))
        }
        (ColumnKind::Binary, ColumnKind::Binary) => Judged::exact(plain(), text::BYTES_REASON),
        (ColumnKind::Text(left_text), ColumnKind::Text(right_text)) => {
            match (in_bytes(left_text), in_bytes(right_text)) {
                (Ok(left_form), Ok(right_form)) => {
                    let exact = condition(left_form, right_form);
                    let alike = left_text == right_text;
                    let found_alike =
                        comparison == Comparison::Equal && left_text.encoding.allows_index_half() && alike;
                    let exact = match left_text.order {
                        TextOrder::Bytes if alike => plain(),
                        // The source's own comparison finds at least the equal ones, by an index.
                        _ if found_alike => RemoteExpr::And(vec![plain(), exact]),
                        _ => exact,
                    };
                    Judged::exact(exact, text::BYTES_REASON)
                }
                (Err(declined), _) | (_, Err(declined)) => declined,
            }
        }
        (ColumnKind::Date { .. }, ColumnKind::Date { .. })
        | (ColumnKind::DateTime { .. }, ColumnKind::DateTime { .. })
        | (ColumnKind::Timestamp { .. }, ColumnKind::Timestamp { .. }) => {
            temporal::guarded_columns(plain(), left, right)
        }
        (
            ColumnKind::Dynamic(DynamicProfile {
                class: left_class,
                fit: Fit::Guaranteed,
                ..
            }),
            ColumnKind::Dynamic(DynamicProfile {
                class: right_class,
                fit: Fit::Guaranteed,
                ..
            }),
        ) => match (left_class, right_class) {
            (ValueClass::Integer { .. }, ValueClass::Integer { .. }) => {
                Judged::exact(plain(), numbers::reason(&ColumnKind::Integer))
            }
            (ValueClass::Bytes, ValueClass::Bytes) => Judged::exact(plain(), text::BYTES_REASON),
            _ => Judged::declined("two such columns are not known to compare alike there and here"),
        },
        (ColumnKind::Float, _) | (_, ColumnKind::Float) => Judged::declined(numbers::FLOAT_REASON),
        _ => Judged::declined("two such columns are not known to compare alike there and here"),
    }
}

fn in_bytes(profile: &TextProfile) -> Result<ColumnForm, Judged> {
    match profile.encoding {
        TextEncoding::Unknown => Err(Judged::declined(text::unknown_encoding_reason(profile))),
        _ => Ok(text::bytes_form(profile)),
    }
}
