//! PostgreSQL's types: which one a column has, and how each is called.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use causeway_spi::TEXT_LENGTH;
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// The metadata key of a field whose PostgreSQL type does not follow from its Arrow type: `name`, `char`, `xid`.
pub(crate) const TYPE_NAME: &str = "causeway.pg_type";

/// A row of `pg_type`.
#[derive(Debug)]
pub(crate) struct TypeRow {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    /// Bytes of a value, or -1.
    pub(crate) length: i16,
    pub(crate) by_value: bool,
    pub(crate) kind: &'static str,
    pub(crate) category: &'static str,
    pub(crate) preferred: bool,
    /// The type of an array's items, or 0.
    pub(crate) item: u32,
    /// The type of arrays of it, or 0.
    pub(crate) array: u32,
    /// Names of the functions `input`, `output`, `receive` and `send`.
    pub(crate) functions: [&'static str; 4],
    pub(crate) alignment: &'static str,
    pub(crate) storage: &'static str,
    pub(crate) collation: u32,
}

/// All types that a result, a parameter or a catalog relation can have.
pub(crate) static TYPES: LazyLock<Vec<TypeRow>> = LazyLock::new(|| {
    let lines = include_str!("system/types.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(type_row)
        .collect()
});

static BY_OID: LazyLock<HashMap<u32, &'static TypeRow>> =
    LazyLock::new(|| TYPES.iter().map(|row| (row.oid, row)).collect());

static BY_NAME: LazyLock<HashMap<&'static str, &'static TypeRow>> =
    LazyLock::new(|| TYPES.iter().map(|row| (row.name, row)).collect());

fn type_row(line: &'static str) -> Option<TypeRow> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let &[
        oid,
        name,
        length,
        by_value,
        kind,
        category,
        preferred,
        item,
        array,
        input,
        output,
        receive,
        send,
        alignment,
        storage,
        collation,
    ] = words.as_slice()
    else {
        return None;
    };
    Some(TypeRow {
        oid: oid.parse().ok()?,
        name,
        length: length.parse().ok()?,
        by_value: by_value == "t",
        kind,
        category,
        preferred: preferred == "t",
        item: item.parse().ok()?,
        array: array.parse().ok()?,
        functions: [input, output, receive, send],
        alignment,
        storage,
        collation: collation.parse().ok()?,
    })
}

/// The type with the number `oid`.
pub(crate) fn by_oid(oid: u32) -> Option<&'static TypeRow> {
    BY_OID.get(&oid).copied()
}

/// The type with PostgreSQL's internal or SQL's name for it: `int4` and `integer`.
pub(crate) fn by_name(name: &str) -> Option<&'static TypeRow> {
    let internal = BY_NAME.get(name).copied();
    internal.or_else(|| TYPES.iter().find(|row| sql_name(row).eq_ignore_ascii_case(name)))
}

/// A type as RowDescription and `pg_attribute` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) oid: u32,
    /// Bytes of a value, or -1.
    pub(crate) length: i16,
    /// Precision and scale of a numeric as PostgreSQL packs them, or -1.
    pub(crate) modifier: i32,
}

impl PgType {
    const fn new(oid: u32, length: i16) -> Self {
        Self {
            oid,
            length,
            modifier: -1,
        }
    }

    /// The type of a column.
    pub(crate) fn of_field(field: &Field) -> Self {
        let length = field
            .metadata()
            .get(TEXT_LENGTH)
            .and_then(|length| length.parse::<i32>().ok());
        if let Some(length) = length {
            return Self {
                modifier: length.saturating_add(4),
                ..Self::new(1043, -1)
            };
        }
        let named = field.metadata().get(TYPE_NAME);
        match named.and_then(|name| BY_NAME.get(name.as_str())) {
            Some(row) => Self::new(row.oid, row.length),
            None => Self::of(field.data_type()),
        }
    }

    /// The type in which values of `data_type` are sent.
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::new(16, 1),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::new(21, 2),
            DataType::UInt16 | DataType::Int32 => Self::new(23, 4),
            // The only unsigned bigints are counts of DataFusion's functions.
            DataType::Int64 | DataType::UInt64 => Self::new(20, 8),
            // Sources have no such type: it is that of the numbers of objects.
            DataType::UInt32 => Self::new(26, 4),
            DataType::Float16 | DataType::Float32 => Self::new(700, 4),
            DataType::Float64 => Self::new(701, 8),
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => Self {
                modifier: ((i32::from(*p) << 16) | i32::from((*s).max(0))) + 4,
                ..Self::new(1700, -1)
            },
            DataType::Date32 | DataType::Date64 => Self::new(1082, 4),
            DataType::Time32(_) | DataType::Time64(_) => Self::new(1083, 8),
            DataType::Timestamp(_, None) => Self::new(1114, 8),
            DataType::Timestamp(_, Some(_)) => Self::new(1184, 8),
            DataType::Interval(_) | DataType::Duration(_) => Self::new(1186, 16),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::new(17, -1),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let item = by_oid(Self::of(item.data_type()).oid);
                let array = item.map_or(0, |item| item.array);
                Self::new(if array == 0 { 1009 } else { array }, -1)
            }
            DataType::Struct(_) => Self::new(2249, -1),
            DataType::Dictionary(_, value) => Self::of(value),
            _ => Self::new(25, -1),
        }
    }
}

/// The Arrow field of a catalog relation's column of the PostgreSQL type `type_name`.
pub(crate) fn catalog_field(name: &str, type_name: &str) -> Field {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    let data_type = match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" | "cardinal_number" => DataType::Int32,
        "int8" => DataType::Int64,
        "oid" | "xid" => DataType::UInt32,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "bytea" => DataType::BinaryView,
        "timestamptz" | "time_stamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "_int2" | "int2vector" => list(DataType::Int16),
        "_oid" | "oidvector" => list(DataType::UInt32),
        "_float4" => list(DataType::Float32),
        "_text" | "_name" | "_char" | "_aclitem" => list(DataType::Utf8View),
        _ => DataType::Utf8View,
    };
    let field = Field::new(name, data_type, true);
    let own = match type_name {
        "xid" | "name" | "char" => type_name,
        "sql_identifier" => "name",
        _ => return field,
    };
    field.with_metadata(HashMap::from([(TYPE_NAME.to_owned(), own.to_owned())]))
}

/// Whether a column of the catalog has names, which are empty rather than NULL.
pub(crate) fn is_name(field: &Field) -> bool {
    let named = field.metadata().get(TYPE_NAME);
    named.is_some_and(|name| name == "name" || name == "char")
}

/// What `format_type` says: SQL's name with the modifier, such as `numeric(12,2)`.
pub(crate) fn format_type(oid: u32, modifier: Option<i32>) -> String {
    let Some(row) = by_oid(oid) else {
        return if oid == 0 {
            "-".to_owned()
        } else {
            "???".to_owned()
        };
    };
    if row.category == "A"
        && let Some(item) = by_oid(row.item)
        && row.name.starts_with('_')
    {
        return format!("{}[]", format_type(item.oid, modifier));
    }
    let name = sql_name(row);
    let Some(modifier) = modifier
        .filter(|modifier| *modifier >= 4)
        .map(|modifier| modifier - 4)
    else {
        return name.to_owned();
    };
    match row.name {
        "numeric" => format!("numeric({},{})", modifier >> 16, modifier & 0xffff),
        "varchar" | "bpchar" => format!("{name}({modifier})"),
        _ => name.to_owned(),
    }
}

/// SQL's name of a type.
pub(crate) fn sql_name(row: &TypeRow) -> &'static str {
    match row.name {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "varchar" => "character varying",
        "bpchar" => "character",
        "varbit" => "bit varying",
        "char" => "\"char\"",
        "time" => "time without time zone",
        "timetz" => "time with time zone",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_sql_names() {
        assert_eq!(TYPES.len(), 68);
        for (oid, modifier, name) in [
            (1700, Some(786_438), "numeric(12,2)"),
            (1043, Some(24), "character varying(20)"),
            (1043, None, "character varying"),
            (1007, None, "integer[]"),
            (1184, Some(-1), "timestamp with time zone"),
            (0, None, "-"),
            (99, None, "???"),
        ] {
            assert_eq!(format_type(oid, modifier), name);
        }
        assert_eq!(by_name("double precision").map(|row| row.oid), Some(701));
        assert_eq!(by_name("int4").map(|row| row.array), Some(1007));
    }

    #[test]
    fn columns_of_the_catalog_keep_their_types() {
        let field = catalog_field("relnamespace", "oid");
        assert_eq!(PgType::of_field(&field).oid, 26);
        assert_eq!(PgType::of(&DataType::Int64).oid, 20);
        let list = catalog_field("reloptions", "_text");
        assert_eq!(PgType::of_field(&list).oid, 1009);
    }
}
