//! The tables that the conformance suite loads into a source: nasty rows, every kind of column, none, NULLs alone, a
//! thousand columns, repeats, and names that need quoting.

use super::canonical::{CanonicalTable, Column, ColumnKind, ROWS, TextKind, column, standard_columns};

/// Columns of the wide table.
pub const WIDE_COLUMNS: usize = 1_000;
/// A name of 63 bytes, the longest that PostgreSQL has.
const LONG_NAME: &str = "a_column_whose_name_is_as_long_as_postgresql_allows_a_name_to__";

/// One table to load: its name in the source, and its rows.
#[derive(Debug, Clone)]
pub struct ConformanceCase {
    /// The table's name; also what a source says that it cannot hold.
    pub name: &'static str,
    /// Columns and rows. The column `id`, where there is one, is unique and never NULL.
    pub table: CanonicalTable,
}

/// All cases, their rows made from `seed`.
pub(super) fn cases(seed: u64) -> Vec<ConformanceCase> {
    let case = |name, columns, rows| ConformanceCase {
        name,
        table: CanonicalTable::generate(columns, rows, seed),
    };
    vec![
        case("standard", standard_columns(), ROWS),
        case("kinds", kinds(), ROWS),
        case("empty", standard_columns(), 0),
        ConformanceCase {
            name: "nulls",
            table: CanonicalTable::of_nulls(standard_columns(), 20, seed),
        },
        case("wide", wide(), 3),
        case("repeats", repeats(), 500),
        case("Odd names", odd_names(), 30),
    ]
}

/// A column of each kind.
fn kinds() -> Vec<Column> {
    let kinds = [
        ("id", ColumnKind::Key),
        ("i16", ColumnKind::Integer { bits: 16 }),
        ("i32", ColumnKind::Integer { bits: 32 }),
        ("i64", ColumnKind::Integer { bits: 64 }),
        ("u64", ColumnKind::Unsigned),
        ("f64", ColumnKind::Double { special: false }),
        ("n9", numeric(9, 3)),
        ("n38", numeric(38, 10)),
        ("day", ColumnKind::Date),
        ("at", ColumnKind::Timestamp),
        ("flag", ColumnKind::Boolean),
        ("txt", ColumnKind::Text(TextKind::Unicode)),
    ];
    kinds.map(|(name, kind)| column(name, kind)).into()
}

fn wide() -> Vec<Column> {
    let kinds = [
        ColumnKind::Integer { bits: 32 },
        ColumnKind::Text(TextKind::Latin1),
        numeric(12, 2),
        ColumnKind::Date,
    ];
    let others = (1..WIDE_COLUMNS).map(|number| column(&format!("c{number}"), kinds[number % kinds.len()]));
    std::iter::once(column("id", ColumnKind::Key))
        .chain(others)
        .collect()
}

/// Few values in many rows, so that whole rows repeat.
fn repeats() -> Vec<Column> {
    vec![
        column("grp", ColumnKind::Group),
        column("flag", ColumnKind::Boolean),
    ]
}

fn odd_names() -> Vec<Column> {
    let names = [
        "id",
        "Order",
        "order",
        "two words",
        "größe",
        "select",
        "a.b",
        "it's",
        LONG_NAME,
    ];
    let kind = |name: &str| match name {
        "id" => ColumnKind::Key,
        _ => ColumnKind::Integer { bits: 32 },
    };
    names.iter().map(|name| column(name, kind(name))).collect()
}

fn numeric(precision: u8, scale: i8) -> ColumnKind {
    ColumnKind::Numeric { precision, scale }
}
