//! What a user can do so that a source does more of a query: advice for the reasons of the law book.

use causeway_spi::{FLOAT_SUM_REASON, Pushdown};

use super::operators::{self, LONG_REASON, UNFIT_REASON};
use super::text::{NOT_BYTE_ORDER, UNKNOWN_ENCODING};
use super::{
    BARE_REASON, CASE_REASON, CAST_REASON, ESCAPE_REASON, LIST_REASON, OTHER_REASON, PATTERN_REASON,
    SENT_IN_PART, TYPES_REASON, UNKNOWN_TYPE, numbers,
};
use crate::estimate::NO_INDEX_REASON;

/// What can be done about `reason`, as a sentence; `None` where it is well as it is, or nothing helps.
pub(crate) fn advice(reason: &str) -> Option<&'static str> {
    let reason = reason.strip_prefix(SENT_IN_PART).unwrap_or(reason);
    // A reason may go on with those of other members.
    let of = |known: &str| reason.starts_with(known);
    Some(if of(BARE_REASON) {
        "Compare the column itself with a value, or let the source keep the result in a generated column."
    } else if of(CAST_REASON) {
        "Compare the column with a value of its own type: beside another one it is cast."
    } else if of(OTHER_REASON) {
        "Comparisons, IN, BETWEEN, LIKE and IS NULL of columns with literals are sent."
    } else if of(TYPES_REASON) {
        "Give the literal the column's type."
    } else if of(LIST_REASON) {
        "Lists of literals and parameters are sent."
    } else if of(PATTERN_REASON) {
        "Patterns that are literals or parameters are sent."
    } else if of(CASE_REASON) {
        "LIKE, in the letter case that is stored, is sent."
    } else if of(ESCAPE_REASON) {
        "Escape with a backslash."
    } else if of(numbers::FLOAT_REASON) {
        "A column of integers or decimals is compared there."
    } else if of(FLOAT_SUM_REASON) {
        "A column of integers or decimals is summed there."
    } else if of(LONG_REASON) {
        "A column of a shorter type is compared there as a whole."
    } else if of(UNFIT_REASON) {
        "A STRICT table holds nothing but values of its columns' types."
    } else if reason.contains(NOT_BYTE_ORDER) {
        "A column whose collation compares bytes, such as utf8mb4_nopad_bin, is compared there once, by its index."
    } else if reason.contains(UNKNOWN_ENCODING) {
        "A column whose character set is utf8mb4 is compared there."
    } else if of(UNKNOWN_TYPE) {
        "A view of the source that casts the column to a number, a text or a time is compared there."
    } else {
        return None;
    })
}

/// A verdict on a filter over groups: what helps is in the query alone.
pub(crate) fn of_groups(pushdown: Pushdown) -> Pushdown {
    match pushdown.reason.contains(BARE_REASON) {
        true => pushdown.hint("Compare an aggregate or a key of the groups itself with a value."),
        false => pushdown,
    }
}

/// The same of an operator that is not computed there.
pub(crate) fn operator_advice(reason: &str) -> Option<&'static str> {
    match reason {
        operators::OTHER_REASON => {
            Some("Groups, orders and aggregates of columns are computed there; a generated column is one.")
        }
        NO_INDEX_REASON => {
            Some("With an index on its columns of the condition, a table's rows are found there.")
        }
        reason => advice(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_told_whatever_else_a_reason_says() {
        let float = advice(numbers::FLOAT_REASON);
        assert_eq!(float, Some("A column of integers or decimals is compared there."));
        let in_part = format!("{SENT_IN_PART}{}; integers compare alike", numbers::FLOAT_REASON);
        assert_eq!(advice(&in_part), float);
        let collation = "collation latin1_swedish_ci is not byte order: sent as a binary comparison";
        assert!(advice(collation).is_some_and(|hint| hint.contains("utf8mb4_nopad_bin")));
        assert_eq!(advice("collation utf8mb4_nopad_bin compares bytes"), None);
        assert_eq!(advice("integers compare alike there and here"), None);
        assert!(operator_advice(NO_INDEX_REASON).is_some_and(|hint| hint.contains("index")));
    }
}
