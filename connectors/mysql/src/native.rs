//! Statements that users write in the server's own SQL: described by preparing them, run as they are.
//!
//! A text is sent only if the server prepares it twice: by itself, which is one statement and no more, and between the
//! parentheses of `SELECT EXISTS (..)`, where only a query can stand. It runs in a session that is read only and that is closed
//! behind it, so that what it may have set there ends with it: locks by name, variables.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_base_sql::{Dialect, NativeField, NativeTable, single_query};
use causeway_spi::{ConnectorError, ErrorKind, Passthrough, Result, Table};
use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_common::named_params::ParsedNamedParams;

use crate::connector::MySqlConnector;
use crate::types::NativeColumn;

/// The character set of bytes that are no text.
const BINARY: u16 = 63;
/// Digits of a fraction where the server leaves them open.
const FRACTION_DIGITS_MAX: u8 = 6;

#[async_trait]
impl Passthrough for MySqlConnector {
    async fn statement(&self, statement: &str, rows_max: usize) -> Result<Arc<dyn Table>> {
        let catalog = self.catalog();
        let text = single_query(statement, Dialect::MySql, catalog)?;
        check_colons(text, catalog)?;
        let lease = self.backend().pool().lease().await?;
        let (described, lease) = lease.describe(text).await?;
        if described.params > 0 {
            return Err(without_values(catalog));
        }
        // The line feed ends a comment that the text may end with.
        let (_, lease) = lease.describe(&format!("SELECT EXISTS (\n{text}\n)")).await?;
        lease.give_back();
        let columns = described.columns.iter().map(field).collect();
        let table = NativeTable::new(Arc::clone(self.backend()), catalog, text, columns, rows_max)?;
        Ok(Arc::new(table))
    }
}

/// What the server says of a statement that it has prepared.
pub(crate) struct Described {
    pub(crate) columns: Arc<[Column]>,
    /// How many values it wants.
    pub(crate) params: u16,
}

fn without_values(catalog: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::NotSupported,
        format!("the native statement for catalog {catalog} has a placeholder"),
    )
    .hint("Write the value into the statement.")
}

/// The driver puts a placeholder where it sees a name behind a colon, and believes that a backslash keeps a quote: it must
/// not change the text.
fn check_colons(text: &str, catalog: &str) -> Result<()> {
    let parsed = ParsedNamedParams::parse(text.as_bytes());
    match parsed.is_ok_and(|parsed| parsed.query() == text.as_bytes()) {
        true => Ok(()),
        false => Err(ConnectorError::new(
            ErrorKind::NotSupported,
            format!("the native statement for catalog {catalog} has a colon that looks like a placeholder"),
        )
        .hint("Put a blank behind the colon, or write it in a text as CHAR(58).")),
    }
}

fn field(column: &Column) -> NativeField {
    let native = described(column);
    NativeField {
        data_type: native.canonical().0,
        profile: native.profile(),
    }
}

/// The column in the words that `information_schema` has for it.
fn described(column: &Column) -> NativeColumn {
    let flags = column.flags();
    let is_unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
    let is_text = column.character_set() != BINARY;
    let scale = column.decimals();
    let fraction = scale.min(FRACTION_DIGITS_MAX);
    let data_type = match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY => "tinyint",
        ColumnType::MYSQL_TYPE_SHORT => "smallint",
        ColumnType::MYSQL_TYPE_INT24 => "mediumint",
        ColumnType::MYSQL_TYPE_LONG => "int",
        ColumnType::MYSQL_TYPE_LONGLONG => "bigint",
        ColumnType::MYSQL_TYPE_YEAR => "year",
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => "decimal",
        ColumnType::MYSQL_TYPE_FLOAT => "float",
        ColumnType::MYSQL_TYPE_DOUBLE => "double",
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => "date",
        ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => "datetime",
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => "time",
        ColumnType::MYSQL_TYPE_BIT => "bit",
        ColumnType::MYSQL_TYPE_GEOMETRY => "geometry",
        ColumnType::MYSQL_TYPE_VECTOR => "vector",
        ColumnType::MYSQL_TYPE_JSON => "json",
        ColumnType::MYSQL_TYPE_NULL => "null",
        _ if flags.intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG) => "enum",
        _ if is_text => "text",
        _ => "blob",
    };
    let column_type = match data_type {
        "decimal" => format!("decimal({},{scale})", digits(column)),
        "time" => format!("time({fraction})"),
        other if is_unsigned => format!("{other} unsigned"),
        other => other.to_owned(),
    };
    NativeColumn {
        name: column.name_str().into_owned(),
        data_type: data_type.to_owned(),
        column_type,
        nullable: true,
        precision: (data_type == "decimal").then(|| digits(column)),
        scale: (data_type == "decimal").then_some(scale.into()),
        fraction_digits: Some(fraction.into()),
        ..NativeColumn::default()
    }
}

/// All digits of a decimal: its length is that of its text, with a point and a sign if it can have them.
fn digits(column: &Column) -> u64 {
    let signs =
        u32::from(column.decimals() > 0) + u32::from(!column.flags().contains(ColumnFlags::UNSIGNED_FLAG));
    let digits = column.column_length().saturating_sub(signs);
    u64::from(digits).clamp(column.decimals().max(1).into(), 65)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, TimeUnit};

    use super::*;

    fn column(column_type: ColumnType) -> Column {
        Column::new(column_type).with_character_set(BINARY)
    }

    #[test]
    fn columns_have_the_types_that_tables_have() {
        let unsigned = ColumnFlags::UNSIGNED_FLAG;
        let decimal = |length, scale| {
            let column = column(ColumnType::MYSQL_TYPE_NEWDECIMAL);
            column.with_column_length(length).with_decimals(scale)
        };
        let text = Column::new(ColumnType::MYSQL_TYPE_VAR_STRING).with_character_set(45);
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (column, expected) in [
            (column(ColumnType::MYSQL_TYPE_LONGLONG), DataType::Int64),
            (
                column(ColumnType::MYSQL_TYPE_LONGLONG).with_flags(unsigned),
                DataType::Decimal128(20, 0),
            ),
            (
                column(ColumnType::MYSQL_TYPE_LONG).with_flags(unsigned),
                DataType::Int64,
            ),
            (
                column(ColumnType::MYSQL_TYPE_YEAR).with_flags(unsigned),
                DataType::Int16,
            ),
            (decimal(12, 2), DataType::Decimal128(10, 2)),
            (decimal(11, 2).with_flags(unsigned), DataType::Decimal128(10, 2)),
            (decimal(42, 0), DataType::Decimal256(41, 0)),
            (decimal(67, 30), DataType::Decimal256(65, 30)),
            (
                column(ColumnType::MYSQL_TYPE_DOUBLE).with_decimals(31),
                DataType::Float64,
            ),
            (column(ColumnType::MYSQL_TYPE_DATETIME), micros(None)),
            (column(ColumnType::MYSQL_TYPE_TIMESTAMP), micros(Some("UTC"))),
            (column(ColumnType::MYSQL_TYPE_TIME), DataType::Utf8View),
            (column(ColumnType::MYSQL_TYPE_NULL), DataType::Utf8View),
            (column(ColumnType::MYSQL_TYPE_VAR_STRING), DataType::BinaryView),
            (text.clone(), DataType::Utf8View),
            (
                column(ColumnType::MYSQL_TYPE_STRING).with_flags(ColumnFlags::ENUM_FLAG),
                DataType::Utf8View,
            ),
        ] {
            assert_eq!(field(&column).data_type, expected, "{column:?}");
        }
        let native_type = |column: &Column| field(column).profile.native_type;
        assert_eq!(native_type(&decimal(12, 2)), "decimal(10,2)");
        assert_eq!(
            native_type(&column(ColumnType::MYSQL_TYPE_TIME).with_decimals(31)),
            "time(6)"
        );
        assert_eq!(native_type(&text), "text");
    }

    #[test]
    fn a_text_that_the_driver_would_change_is_refused() {
        for text in [
            "SELECT ':a'",
            "SELECT `a:b` # :c",
            "SELECT 'it''s :x'",
            "SELECT '12:30'",
            "SELECT 1 -- :x",
        ] {
            assert!(check_colons(text, "shop").is_ok(), "{text}");
        }
        for text in ["SELECT :a", "SELECT 'a\\', ':b'"] {
            let error = check_colons(text, "shop").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSupported, "{text}");
        }
    }
}
