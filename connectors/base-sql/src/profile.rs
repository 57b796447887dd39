//! What the law book must know of a column: its native kind, collation, padding and odd values.
//!
//! A connector fills a [`ColumnProfile`] when it loads a table. Whatever it does not recognise is
//! [`ColumnKind::Opaque`], and nothing is ever pushed on that.

use crate::dynamic::DynamicProfile;

/// One column as its source sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnProfile {
    /// The name in the source's spelling.
    pub name: String,
    /// The native type as the source writes it, such as `varchar(50)`: for reasons and for the connector's reader.
    pub native_type: String,
    /// Which laws hold for its values.
    pub kind: ColumnKind,
    /// Whether the source allows NULL.
    pub nullable: bool,
    /// Whether the source looks at all of a value when it sorts and groups, and not at its beginning only.
    pub sorted_whole: bool,
}

/// The families of columns that the law book tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers, signed or not.
    Integer,
    /// Fixed point numbers.
    Decimal,
    /// Floating point numbers.
    Float,
    /// Days.
    Date {
        /// Whether the column may hold `0000-00-00`, `2024-00-00` and the like, which are read as NULL.
        zero_dates: bool,
    },
    /// Days with a time, without a zone.
    DateTime {
        /// Digits of the second's fraction that the column keeps, 0 to 6.
        fraction_digits: u32,
        /// As in [`ColumnKind::Date`].
        zero_dates: bool,
    },
    /// Moments, shown in the session's zone, which is pinned to UTC; from 1970 to 2038.
    Timestamp {
        /// As in [`ColumnKind::DateTime`].
        fraction_digits: u32,
        /// As in [`ColumnKind::Date`].
        zero_dates: bool,
    },
    /// Characters.
    Text(TextProfile),
    /// Bytes, compared byte by byte, without padding.
    Binary,
    /// A column of a source in which any value may stand in any column.
    Dynamic(DynamicProfile),
    /// Anything else: no filter is pushed.
    Opaque,
}

/// How a text column is encoded, ordered and padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextProfile {
    /// The collation's name, for reasons.
    pub collation: String,
    /// What its comparisons look at.
    pub order: TextOrder,
    /// How its characters are stored.
    pub encoding: TextEncoding,
}

/// What the source's plain comparison of two texts looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOrder {
    /// The bytes of UTF-8, without padding: as here.
    Bytes,
    /// Anything else: it may ignore case, accents or trailing blanks (`char(n)` and PAD SPACE count as this).
    Language,
}

/// A character set, as far as the laws care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// All of Unicode in UTF-8: `utf8mb4`.
    Utf8,
    /// UTF-8 of at most three bytes: `utf8mb3`.
    Utf8ThreeBytes,
    /// MySQL's `latin1`: Windows-1252 whose five holes hold the control characters of the same number.
    Latin1,
    /// The bytes of UTF-8, of which the source does not know that they are text.
    Utf8Bytes,
    /// A known character set in which several byte sequences may decode to one character: only its conversion to
    /// UTF-8 may be compared.
    Converted,
    /// A character set that nobody has looked at: never pushed.
    Unknown,
}

impl TextEncoding {
    /// Whether the source's own comparison may stand beside the binary one, so that an index is used.
    pub fn allows_index_half(self) -> bool {
        matches!(self, Self::Utf8 | Self::Utf8ThreeBytes | Self::Latin1)
    }

    /// Whether the stored bytes must be converted to become UTF-8.
    pub fn needs_convert(self) -> bool {
        !matches!(self, Self::Utf8 | Self::Utf8ThreeBytes | Self::Utf8Bytes)
    }

    /// Whether a column of this encoding can hold `text` unchanged.
    pub fn holds(self, text: &str) -> bool {
        match self {
            Self::Utf8 | Self::Utf8Bytes | Self::Converted | Self::Unknown => true,
            Self::Utf8ThreeBytes => text.chars().all(|character| u32::from(character) <= 0xFFFF),
            Self::Latin1 => text.chars().all(is_latin1),
        }
    }
}

/// The characters of Windows-1252 between 0x80 and 0x9F, and the five that MySQL puts into its holes.
const LATIN1_UPPER_CONTROLS: &str = "\u{20AC}\u{81}\u{201A}\u{192}\u{201E}\u{2026}\u{2020}\u{2021}\u{2C6}\u{2030}\u{160}\u{2039}\u{152}\u{8D}\u{17D}\u{8F}\u{90}\u{2018}\u{2019}\u{201C}\u{201D}\u{2022}\u{2013}\u{2014}\u{2DC}\u{2122}\u{161}\u{203A}\u{153}\u{9D}\u{17E}\u{178}";

fn is_latin1(character: char) -> bool {
    match u32::from(character) {
        0..=0x7F | 0xA0..=0xFF => true,
        _ => LATIN1_UPPER_CONTROLS.contains(character),
    }
}

impl ColumnProfile {
    /// Whether equality on this column is exact *and* can use an index: the condition for a lookup key.
    pub fn is_lookup_key(&self) -> bool {
        match &self.kind {
            ColumnKind::Integer
            | ColumnKind::Decimal
            | ColumnKind::Date { .. }
            | ColumnKind::DateTime { .. }
            | ColumnKind::Binary => true,
            ColumnKind::Text(text) => text.order == TextOrder::Bytes || text.encoding.allows_index_half(),
            ColumnKind::Dynamic(dynamic) => dynamic.is_lookup_key(),
            ColumnKind::Float | ColumnKind::Timestamp { .. } | ColumnKind::Opaque => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin1_holds_256_characters() {
        let held = (0..=0x10FFFF)
            .filter_map(char::from_u32)
            .filter(|c| is_latin1(*c))
            .count();
        assert_eq!(held, 256);
        assert!(TextEncoding::Latin1.holds("50 €, “élan”"));
        assert!(!TextEncoding::Latin1.holds("λ"));
    }

    #[test]
    fn three_bytes_hold_no_emoji() {
        assert!(TextEncoding::Utf8ThreeBytes.holds("日本"));
        assert!(!TextEncoding::Utf8ThreeBytes.holds("😀"));
        assert!(TextEncoding::Utf8.holds("😀"));
    }
}
