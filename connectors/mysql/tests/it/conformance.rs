//! The conformance suite over a database that another session has filled.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, run_conformance, skipped,
};
use causeway_spi::testing::{Column, ColumnKind, TextKind};
use causeway_spi::{Connector, ConnectorOptions, Result};

use crate::fixture::{Server, server};

const DATABASE: &str = "conformance_suite";

struct Database(Server);

#[async_trait]
impl ConformanceSource for Database {
    fn name(&self) -> &str {
        "mysql"
    }

    fn capabilities(&self) -> Capabilities {
        let kinds = vec![
            ColumnKind::Integer { bits: 16 },
            ColumnKind::Integer { bits: 32 },
            ColumnKind::Integer { bits: 64 },
            ColumnKind::Unsigned,
            ColumnKind::Real { special: false },
            ColumnKind::Double { special: false },
            ColumnKind::Numeric {
                precision: 12,
                scale: 2,
            },
            ColumnKind::Numeric {
                precision: 65,
                scale: 30,
            },
            ColumnKind::Date,
            ColumnKind::Timestamp,
            ColumnKind::Moment { unix: true },
            ColumnKind::Bytes,
            ColumnKind::Text(TextKind::Unicode),
        ];
        Capabilities {
            // Names of tables and columns are in `utf8mb3`.
            any_names: false,
            not_null: true,
            filters: Filters::Columns,
            limits: true,
            lookups: true,
            login: true,
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        DATABASE
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let mut statements = Vec::new();
        for table in tables {
            fill(table, &mut statements);
        }
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.0.database(DATABASE, &statements).await;
        self.0.options().open(CATALOG)
    }
}

fn fill(table: &ConformanceTable, statements: &mut Vec<String>) {
    let columns = table.data.columns();
    let definitions: Vec<String> = columns.iter().map(definition).collect();
    let name = quoted(&table.name);
    statements.push(format!("CREATE TABLE {name} ({})", definitions.join(", ")));
    for row in table.data.cells() {
        let cells = row.iter().zip(columns);
        let cells: Vec<String> = cells
            .map(|(cell, column)| literal(cell.as_deref(), column.kind))
            .collect();
        statements.push(format!("INSERT INTO {name} VALUES ({})", cells.join(", ")));
    }
    statements.push(format!("ANALYZE TABLE {name}"));
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn definition(column: &Column) -> String {
    let native = match column.kind {
        ColumnKind::Key => "bigint PRIMARY KEY".to_owned(),
        ColumnKind::Integer { bits: 16 } => "smallint".to_owned(),
        ColumnKind::Integer { bits: 32 } => "int".to_owned(),
        ColumnKind::Integer { .. } => "bigint".to_owned(),
        ColumnKind::Unsigned => "bigint unsigned".to_owned(),
        ColumnKind::Real { .. } => "float".to_owned(),
        ColumnKind::Double { .. } => "double".to_owned(),
        ColumnKind::Numeric { precision, scale } => format!("decimal({precision}, {scale})"),
        ColumnKind::Date => "date".to_owned(),
        ColumnKind::Timestamp => "datetime(6)".to_owned(),
        ColumnKind::Moment { .. } => "timestamp(6) NULL".to_owned(),
        ColumnKind::Bytes => "longblob".to_owned(),
        ColumnKind::Text(_) => "longtext".to_owned(),
        other => panic!("{other:?} is not declared"),
    };
    format!("{} {native}", quoted(&column.name))
}

fn literal(cell: Option<&str>, kind: ColumnKind) -> String {
    match (cell, kind) {
        (None, _) => "NULL".to_owned(),
        (Some(digits), ColumnKind::Bytes) => format!("X'{digits}'"),
        // The session that fills the tables is in UTC.
        (Some(cell), ColumnKind::Moment { .. }) => format!("'{}'", cell.trim_end_matches("+00:00")),
        (Some(cell), _) => format!("'{}'", cell.replace('\\', "\\\\").replace('\'', "''")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(server) = server() else {
        return skipped("mysql", "TEST_MYSQL_URL is not set");
    };
    run_conformance(&Database(server)).await;
}
