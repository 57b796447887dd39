//! The law harness over text columns of every kind of collation, indexes of one and two columns, and zero dates.

use causeway_spi::testing::{
    CanonicalTable, Column, ColumnKind, LawSubject, ROWS, Shares, TextKind, column, run_laws,
};

use crate::fixture::{load, server};

/// Most conditions can be sent, and most joins are looked up.
const SHARES: Shares = Shares {
    pushed: 0.5,
    lookups: 0.3,
    limits: 0.1,
};

/// Numbers, dates and the texts that need the law book.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_dates_and_texts() {
    let columns = [
        ("id", ColumnKind::Key, "bigint PRIMARY KEY"),
        ("grp", ColumnKind::Group, "int, INDEX (grp)"),
        (
            "small",
            ColumnKind::Integer { bits: 16 },
            "smallint, INDEX (grp, small)",
        ),
        ("num", ColumnKind::Integer { bits: 64 }, "bigint, INDEX (num)"),
        ("big", ColumnKind::Unsigned, "bigint unsigned, INDEX (big)"),
        ("ratio", ColumnKind::Double { special: false }, "double"),
        ("price", numeric(12, 2), "decimal(12, 2), INDEX (price)"),
        ("amount", numeric(30, 6), "decimal(30, 6)"),
        ("day", ColumnKind::Date, "date, INDEX (day)"),
        ("at", ColumnKind::Timestamp, "datetime(6), INDEX (at)"),
        (
            "name",
            text(TextKind::Unicode),
            "varchar(200), INDEX (name), INDEX (name, grp)",
        ),
        (
            "latin",
            text(TextKind::Latin1),
            "varchar(200) CHARACTER SET latin1 COLLATE latin1_swedish_ci, INDEX (latin)",
        ),
    ];
    check("law_all", &columns, SHARES).await;
}

/// Texts only, under collations that fold, pad, compare code points or bytes.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_every_collation() {
    let unicode = text(TextKind::Unicode);
    let columns = [
        ("id", ColumnKind::Key, "bigint PRIMARY KEY"),
        (
            "general",
            unicode,
            "varchar(200) COLLATE utf8mb4_general_ci, INDEX (general)",
        ),
        (
            "uca",
            unicode,
            "varchar(200) COLLATE utf8mb4_unicode_520_ci, INDEX (uca)",
        ),
        ("pad", unicode, "varchar(200) COLLATE utf8mb4_bin, INDEX (pad)"),
        (
            "bytes",
            unicode,
            "varchar(200) COLLATE utf8mb4_nopad_bin, INDEX (bytes)",
        ),
        ("lob", unicode, "text COLLATE utf8mb4_unicode_ci"),
        (
            "latin",
            text(TextKind::Latin1),
            "varchar(200) CHARACTER SET latin1 COLLATE latin1_german2_ci, INDEX (latin)",
        ),
        (
            "wide",
            unicode,
            "varchar(200) CHARACTER SET utf16 COLLATE utf16_general_ci, INDEX (wide)",
        ),
        ("fixed", text(TextKind::Unpadded), "char(200), INDEX (fixed)"),
    ];
    check("law_texts", &columns, SHARES).await;
}

fn numeric(precision: u8, scale: i8) -> ColumnKind {
    ColumnKind::Numeric { precision, scale }
}

fn text(kind: TextKind) -> ColumnKind {
    ColumnKind::Text(kind)
}

/// Loads canonical rows of `columns` (name, kind, definition) into a database of its own and runs the laws.
async fn check(database: &str, columns: &[(&str, ColumnKind, &str)], shares: Shares) {
    let Some(server) = server() else { return };
    let kinds: Vec<Column> = columns
        .iter()
        .map(|(name, kind, _)| column(name, *kind))
        .collect();
    let canonical = CanonicalTable::generate(kinds, ROWS, 0);
    let definitions: Vec<String> = columns
        .iter()
        .map(|(name, _, definition)| format!("`{name}` {definition}"))
        .collect();
    let mut statements = vec![format!("CREATE TABLE t ({})", definitions.join(", "))];
    for (number, row) in canonical.cells().iter().enumerate() {
        let cells = row.iter().zip(columns);
        let cells: Vec<String> = cells
            .map(|(cell, (_, kind, _))| literal(cell.as_deref(), *kind, number))
            .collect();
        statements.push(format!("INSERT INTO t VALUES ({})", cells.join(", ")));
    }
    statements.push("ANALYZE TABLE t".to_owned());
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let catalog = server.database(database, &statements).await;
    let table = load(&catalog, database, "t").await;
    let subject = LawSubject::new(format!("mysql {database}"), table, canonical.rows().clone());
    run_laws(&subject.shares(shares).one_of(2)).await;
}

/// A cell as MySQL reads it. A NULL day is now and then a day that is read as NULL.
fn literal(cell: Option<&str>, kind: ColumnKind, row: usize) -> String {
    match (cell, kind) {
        (Some(cell), _) => format!("'{}'", cell.replace('\\', "\\\\").replace('\'', "''")),
        (None, ColumnKind::Date) if row.is_multiple_of(3) => "'0000-00-00'".to_owned(),
        (None, ColumnKind::Date) if row % 3 == 1 => "'2024-02-31'".to_owned(),
        (None, ColumnKind::Timestamp) if row.is_multiple_of(2) => "'0000-00-00 00:00:00'".to_owned(),
        (None, _) => "NULL".to_owned(),
    }
}
