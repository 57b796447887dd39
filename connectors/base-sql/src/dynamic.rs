//! What the law book must know of a column of a source with dynamic types, such as SQLite.
//!
//! There the declared type of a column is a wish: any value may stand in any row. The connector reads the column as one
//! class of values; a value of another class does not fit, and is an error or NULL by the catalog's options.

/// One column as a dynamically typed source keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicProfile {
    /// What its values are read as.
    pub class: ValueClass,
    /// Whether other values can occur, and what they are read as.
    pub fit: Fit,
    /// Whether the column's own collation, and that of its index, is the order of bytes.
    pub compares_bytes: bool,
    /// The collation of an index that finds the column, if the laws know it.
    pub index_collation: Option<IndexCollation>,
}

/// What the values of a column are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueClass {
    /// Whole numbers within these bounds.
    Integer {
        /// The least.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// Fixed point numbers, stored as whole or floating point numbers and rounded when they are read.
    Decimal {
        /// Digits behind the point.
        scale: u8,
    },
    /// Floating point numbers.
    Float,
    /// The numbers 0 and 1.
    Boolean,
    /// UTF-8.
    Text,
    /// Bytes.
    Bytes,
    /// Days, stored as texts that begin with `YYYY-MM-DD`.
    Date,
    /// Moments, stored as texts that begin with `YYYY-MM-DD`; an offset may move them by less than a day.
    Moment,
}

/// Whether values of another class can occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The source lets no other value in.
    Guaranteed,
    /// Another value is an error, so it must never be passed over.
    OrError,
    /// Another value is read as NULL.
    OrNull,
}

/// A collation whose rules the laws know: each finds at least the texts of equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexCollation {
    /// The bytes of UTF-8.
    Binary,
    /// ASCII letters without their case.
    NoCase,
    /// Bytes without trailing blanks.
    RightTrimmed,
}

impl DynamicProfile {
    /// Whether equality is exact and finds values by an index, if there is one.
    pub(crate) fn is_lookup_key(&self) -> bool {
        match self.class {
            ValueClass::Integer { .. } | ValueClass::Bytes => true,
            ValueClass::Text => self.index_collation.is_some(),
            _ => false,
        }
    }
}
