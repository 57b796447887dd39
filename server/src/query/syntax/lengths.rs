//! Casts to types with a length: texts are cut, moments rounded.

use datafusion::sql::sqlparser::ast::{CharacterLength, DataType, Expr, TimezoneInfo};

use super::{Rewriter, cast, number};
use crate::error::Result;
use crate::query::catalog_syntax::{call, null};

impl Rewriter {
    /// `expr`, which is of the rounding's type with all digits of the second, with those that it leaves.
    pub(super) fn rounded(&self, expr: &mut Expr, rounding: &Rounding) -> Result<Expr> {
        let whole = match self.rewritten(expr)? {
            Some(plain) => plain,
            None => std::mem::replace(expr, null()),
        };
        Ok(call(
            rounding.function,
            vec![whole, number(&rounding.digits.to_string())],
        ))
    }
}

/// How a type such as `timestamp(3)` rounds moments.
pub(super) struct Rounding {
    /// PostgreSQL's function that does it.
    function: &'static str,
    /// The type without its digits.
    pub(super) whole: DataType,
    /// Of the second, behind the point.
    digits: u64,
}

impl Rounding {
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        let zoned = |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
        let (function, digits, whole) = match data_type {
            DataType::Timestamp(Some(digits), zone) if zoned(zone) => {
                ("timestamptz", digits, DataType::Timestamp(None, *zone))
            }
            DataType::Timestamp(Some(digits), zone) => {
                ("timestamp", digits, DataType::Timestamp(None, *zone))
            }
            DataType::Time(Some(digits), zone) if !zoned(zone) => {
                ("time", digits, DataType::Time(None, *zone))
            }
            _ => return None,
        };
        let digits = *digits;
        Some(Self {
            function,
            whole,
            digits,
        })
    }
}

/// A cast to `varchar(n)` cuts the text.
pub(super) fn with_length(inner: &mut Expr, data_type: &DataType) -> Option<Expr> {
    let length = match data_type {
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::Char(Some(length))
        | DataType::Character(Some(length)) => match length {
            CharacterLength::IntegerLength { length, .. } => *length,
            CharacterLength::Max => return None,
        },
        DataType::Char(None) | DataType::Character(None) => 1,
        _ => return None,
    };
    let text = cast(std::mem::replace(inner, null()), DataType::Text);
    Some(call("left", vec![text, number(&length.to_string())]))
}
