//! The conformance suite over a file that another program has filled.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_spi::testing::conformance::{
    CATALOG, Capabilities, ConformanceSource, ConformanceTable, Filters, RowCounts, run_conformance,
};
use causeway_spi::testing::{Column, ColumnKind, TextKind};
use causeway_spi::{Connector, ConnectorOptions, Result};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::fixture::Database;
use crate::laws::bytes;

struct File(Database);

#[async_trait]
impl ConformanceSource for File {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn capabilities(&self) -> Capabilities {
        let kinds = vec![
            ColumnKind::Integer { bits: 16 },
            ColumnKind::Integer { bits: 32 },
            ColumnKind::Integer { bits: 64 },
            ColumnKind::Double { special: false },
            ColumnKind::Numeric {
                precision: 12,
                scale: 2,
            },
            ColumnKind::Date,
            ColumnKind::Timestamp,
            ColumnKind::Moment { unix: false },
            ColumnKind::Boolean,
            ColumnKind::Bytes,
            ColumnKind::Text(TextKind::Unicode),
        ];
        Capabilities {
            not_null: true,
            row_counts: RowCounts::Exact,
            filters: Filters::Columns,
            limits: true,
            lookups: true,
            login: true,
            ..Capabilities::reading(kinds)
        }
    }

    fn schema(&self) -> &str {
        "main"
    }

    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>> {
        let writer = self.0.writer();
        writer.execute_batch("BEGIN").unwrap();
        for table in tables {
            fill(&writer, table);
        }
        writer.execute_batch("COMMIT").unwrap();
        self.0.options().open(CATALOG)
    }
}

fn fill(writer: &Connection, table: &ConformanceTable) {
    let columns = table.data.columns();
    let definitions: Vec<String> = columns.iter().map(definition).collect();
    let name = format!("\"{}\"", table.name);
    writer
        .execute_batch(&format!("CREATE TABLE {name} ({})", definitions.join(", ")))
        .unwrap();
    let places = vec!["?"; columns.len()].join(", ");
    let mut insert = writer
        .prepare(&format!("INSERT INTO {name} VALUES ({places})"))
        .unwrap();
    for row in table.data.cells() {
        let values = row.into_iter().zip(columns).map(|(cell, column)| match cell {
            Some(cell) => stored(cell, column.kind),
            None => Value::Null,
        });
        insert.execute(params_from_iter(values)).unwrap();
    }
}

fn definition(column: &Column) -> String {
    let declared = match column.kind {
        ColumnKind::Key => "INTEGER PRIMARY KEY",
        ColumnKind::Integer { bits: 16 } => "SMALLINT",
        ColumnKind::Integer { bits: 32 } => "INT4",
        ColumnKind::Integer { .. } => "BIGINT",
        ColumnKind::Double { .. } => "DOUBLE",
        ColumnKind::Numeric { .. } => "NUMERIC(12, 2)",
        ColumnKind::Date => "DATE",
        ColumnKind::Timestamp => "DATETIME",
        ColumnKind::Moment { .. } => "TIMESTAMPTZ",
        ColumnKind::Boolean => "BOOLEAN",
        ColumnKind::Bytes => "BLOB",
        ColumnKind::Text(_) => "TEXT",
        other => panic!("{other:?} is not declared"),
    };
    format!("{} {declared}", column.quoted_name())
}

fn stored(cell: String, kind: ColumnKind) -> Value {
    match kind {
        ColumnKind::Key | ColumnKind::Integer { .. } => Value::Integer(cell.parse().unwrap()),
        ColumnKind::Double { .. } => Value::Real(cell.parse().unwrap()),
        ColumnKind::Boolean => Value::Integer(i64::from(cell == "true")),
        ColumnKind::Bytes => Value::Blob(bytes(&cell)),
        _ => Value::Text(cell),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    run_conformance(&File(Database::new(&[]))).await;
}
