//! Native column types: the canonical type each is read as, and what the law book must know of it.

use arrow::datatypes::{DataType, TimeUnit};
use causeway_base_sql::{ColumnKind, ColumnProfile, TextEncoding, TextOrder, TextProfile};

/// A column as `information_schema.COLUMNS` describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct NativeColumn {
    /// COLUMN_NAME.
    pub(crate) name: String,
    /// DATA_TYPE, in lower case: `varchar`.
    pub(crate) data_type: String,
    /// COLUMN_TYPE: `varchar(50)`, `int(10) unsigned`.
    pub(crate) column_type: String,
    /// IS_NULLABLE.
    pub(crate) nullable: bool,
    /// NUMERIC_PRECISION.
    pub(crate) precision: Option<u64>,
    /// NUMERIC_SCALE.
    pub(crate) scale: Option<u64>,
    /// DATETIME_PRECISION: digits of the second's fraction.
    pub(crate) fraction_digits: Option<u64>,
    /// CHARACTER_SET_NAME.
    pub(crate) charset: Option<String>,
    /// COLLATION_NAME.
    pub(crate) collation: Option<String>,
    /// CHARACTER_OCTET_LENGTH: the most bytes of a text or of bytes.
    pub(crate) octets_max: Option<u64>,
}

/// The widest decimal of 128 bits.
const DECIMAL128_DIGITS_MAX: u8 = 38;
/// The bytes of a value by which it is sorted: `max_sort_length`, as sessions pin it.
const SORTED_BYTES: u64 = 1024;
/// Zero dates cannot be excluded on any version: the sql_mode of the session that wrote them decided.
const ZERO_DATES: bool = true;

/// Collations that compare the bytes of UTF-8 without padding, as seen on a server.
///
/// MySQL 8's `utf8mb4_0900_bin` is said to be one; it goes the way of any other collation until that is seen.
const BYTE_COLLATIONS: [&str; 3] = ["utf8mb4_nopad_bin", "utf8mb3_nopad_bin", "utf8_nopad_bin"];

/// Character sets that the server converts to UTF-8 for a result as it does for `CONVERT(.. USING utf8mb4)`.
const CONVERTED_CHARSETS: [&str; 27] = [
    "ascii", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932", "eucjpms",
    "euckr", "gb18030", "gb2312", "gbk", "greek", "hebrew", "koi8r", "koi8u", "latin2", "latin5", "latin7",
    "sjis", "ucs2", "ujis", "utf16", "utf32",
];

impl NativeColumn {
    /// The canonical type, and whether NULL can be read: a zero date is NULL even in a NOT NULL column.
    pub(crate) fn canonical(&self) -> (DataType, bool) {
        let data_type = match self.data_type.as_str() {
            "tinyint" | "year" => DataType::Int16,
            "smallint" if self.is_unsigned() => DataType::Int32,
            "smallint" => DataType::Int16,
            "mediumint" => DataType::Int32,
            "int" if self.is_unsigned() => DataType::Int64,
            "int" => DataType::Int32,
            "bigint" if self.is_unsigned() => DataType::Decimal128(20, 0),
            "bigint" => DataType::Int64,
            "decimal" => self.decimal(),
            "float" => DataType::Float32,
            "double" => DataType::Float64,
            "date" => DataType::Date32,
            "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            native if is_bytes(native) => DataType::BinaryView,
            _ => DataType::Utf8View,
        };
        let zero_dates = matches!(data_type, DataType::Date32 | DataType::Timestamp(..)) && ZERO_DATES;
        (data_type, self.nullable || zero_dates)
    }

    /// What the law book must know. A type that is not in the list is opaque.
    pub(crate) fn profile(&self) -> ColumnProfile {
        let fraction_digits = self
            .fraction_digits
            .and_then(|digits| u32::try_from(digits).ok())
            .unwrap_or(0);
        let kind = match self.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => ColumnKind::Integer,
            "decimal" => ColumnKind::Decimal,
            "float" | "double" => ColumnKind::Float,
            "date" => ColumnKind::Date {
                zero_dates: ZERO_DATES,
            },
            "datetime" => ColumnKind::DateTime {
                fraction_digits,
                zero_dates: ZERO_DATES,
            },
            "timestamp" => ColumnKind::Timestamp {
                fraction_digits,
                zero_dates: ZERO_DATES,
            },
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                ColumnKind::Text(self.text())
            }
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Binary,
            _ => ColumnKind::Opaque,
        };
        ColumnProfile {
            name: self.name.clone(),
            native_type: self.column_type.clone(),
            kind,
            nullable: self.nullable,
            sorted_whole: self.is_sorted_whole(),
        }
    }

    /// Bytes of a value here, if all of them take as many.
    pub(crate) fn fixed_width(&self) -> Option<u64> {
        let width = self.canonical().0.primitive_width()?;
        u64::try_from(width).ok()
    }

    /// Whether the most bytes that a value has are all compared when it is sorted; in UTF-8 a character has up to four.
    fn is_sorted_whole(&self) -> bool {
        let widens = match self.charset.as_deref() {
            None | Some("utf8mb4" | "utf8mb3" | "utf8") => 1,
            Some(_) => 4,
        };
        match self.canonical().0 {
            DataType::Utf8View | DataType::BinaryView => self
                .octets_max
                .is_some_and(|octets| octets.saturating_mul(widens) <= SORTED_BYTES),
            _ => true,
        }
    }

    fn is_unsigned(&self) -> bool {
        self.column_type
            .split_ascii_whitespace()
            .any(|word| word.eq_ignore_ascii_case("unsigned"))
    }

    fn decimal(&self) -> DataType {
        let precision = self.precision.and_then(|p| u8::try_from(p).ok()).unwrap_or(65);
        let scale = self.scale.and_then(|s| i8::try_from(s).ok()).unwrap_or(0);
        match precision {
            1..=DECIMAL128_DIGITS_MAX => DataType::Decimal128(precision, scale),
            _ => DataType::Decimal256(precision, scale),
        }
    }

    fn text(&self) -> TextProfile {
        let charset = self.charset.as_deref().unwrap_or_default();
        let collation = self.collation.clone().unwrap_or_default();
        let encoding = match charset {
            "utf8mb4" => TextEncoding::Utf8,
            "utf8mb3" | "utf8" => TextEncoding::Utf8ThreeBytes,
            "latin1" => TextEncoding::Latin1,
            known if CONVERTED_CHARSETS.contains(&known) => TextEncoding::Converted,
            _ => TextEncoding::Unknown,
        };
        // A char(n) is padded in storage, whatever its collation says.
        let order = match self.data_type != "char" && BYTE_COLLATIONS.contains(&collation.as_str()) {
            true => TextOrder::Bytes,
            false => TextOrder::Language,
        };
        TextProfile {
            collation,
            order,
            encoding,
        }
    }
}

/// Types whose values are bytes and not text.
fn is_bytes(native: &str) -> bool {
    matches!(
        native,
        "binary"
            | "varbinary"
            | "tinyblob"
            | "blob"
            | "mediumblob"
            | "longblob"
            | "bit"
            | "vector"
            | "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str, column_type: &str) -> NativeColumn {
        NativeColumn {
            name: "c".to_owned(),
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
            ..NativeColumn::default()
        }
    }

    #[test]
    fn unsigned_types_widen() {
        for (data_type, column_type, expected) in [
            ("tinyint", "tinyint(3) unsigned", DataType::Int16),
            ("smallint", "smallint(5) unsigned", DataType::Int32),
            ("mediumint", "mediumint(8) unsigned zerofill", DataType::Int32),
            ("int", "int(10) unsigned", DataType::Int64),
            ("bigint", "bigint unsigned", DataType::Decimal128(20, 0)),
            ("bigint", "bigint(20)", DataType::Int64),
            ("uuid", "uuid", DataType::Utf8View),
            ("point", "point", DataType::BinaryView),
        ] {
            assert_eq!(
                column(data_type, column_type).canonical().0,
                expected,
                "{column_type}"
            );
        }
        let wide = NativeColumn {
            precision: Some(65),
            scale: Some(30),
            ..column("decimal", "decimal(65,30)")
        };
        assert_eq!(wide.canonical().0, DataType::Decimal256(65, 30));
        assert!(column("date", "date").canonical().1, "a zero date is NULL");
    }

    #[test]
    fn only_known_encodings_and_orders_are_trusted() {
        let text = |data_type: &str, charset: &str, collation: &str| {
            let native = NativeColumn {
                charset: Some(charset.to_owned()),
                collation: Some(collation.to_owned()),
                ..column(data_type, data_type)
            };
            match native.profile().kind {
                ColumnKind::Text(text) => (text.order, text.encoding),
                other => panic!("{other:?}"),
            }
        };
        let language = TextOrder::Language;
        assert_eq!(
            text("varchar", "utf8mb4", "utf8mb4_bin"),
            (language, TextEncoding::Utf8)
        );
        assert_eq!(
            text("varchar", "utf8mb4", "utf8mb4_nopad_bin"),
            (TextOrder::Bytes, TextEncoding::Utf8)
        );
        for unseen in ["utf8mb4_0900_bin", "utf8mb4_0900_ai_ci", "utf8mb4_klingon_ci"] {
            assert_eq!(text("varchar", "utf8mb4", unseen), (language, TextEncoding::Utf8));
        }
        assert_eq!(
            text("char", "utf8mb4", "utf8mb4_nopad_bin"),
            (language, TextEncoding::Utf8)
        );
        assert_eq!(
            text("varchar", "sjis", "sjis_japanese_ci"),
            (language, TextEncoding::Converted)
        );
        assert_eq!(
            text("varchar", "klingon", "klingon_ci"),
            (language, TextEncoding::Unknown)
        );
        assert_eq!(column("year", "year(4)").profile().kind, ColumnKind::Opaque);
        assert_eq!(column("enum", "enum('a')").profile().kind, ColumnKind::Opaque);
    }
}
