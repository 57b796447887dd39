//! Reads a table's columns, size and indexes from `information_schema`.
//!
//! Names are compared there without regard to case, so every answer is compared again here.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use causeway_base_sql::SqlTableParts;
use causeway_spi::{ColumnEstimate, ConnectorError, ErrorKind, Result, TableName, TableStatistics};
use mysql_async::prelude::FromValue;
use mysql_async::{Row, Value, from_value_opt};

use crate::pool::Lease;
use crate::types::NativeColumn;

/// The server's own schemas.
const HIDDEN_SCHEMAS: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

const SCHEMAS: &str = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = ? AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')";
const COLUMNS: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, \
    NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_SET_NAME, COLLATION_NAME, \
    CHARACTER_OCTET_LENGTH \
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
const TABLE: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS, AVG_ROW_LENGTH, TABLE_COMMENT, ENGINE \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
    AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')";
const INDEXES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, CARDINALITY, SUB_PART, \
    INDEX_TYPE FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
    ORDER BY INDEX_NAME, SEQ_IN_INDEX";

/// The schemas that a user may see.
pub(crate) async fn schemas(lease: Lease) -> Result<Vec<String>> {
    let (names, lease) = schema_names(lease).await?;
    lease.give_back();
    Ok(names)
}

async fn schema_names(lease: Lease) -> Result<(Vec<String>, Lease)> {
    let (rows, lease) = lease.rows(SCHEMAS, vec![]).await?;
    let mut names = rows
        .iter()
        .map(|row| value::<String>(row, 0))
        .collect::<Result<Vec<_>>>()?;
    names.retain(|name| !is_hidden(name));
    names.sort();
    Ok((names, lease))
}

/// The tables and views of `schema`. Errors: `UnknownSchema`.
pub(crate) async fn tables(lease: Lease, catalog: &str, schema: &str) -> Result<Vec<String>> {
    if is_hidden(schema) {
        return Err(ConnectorError::unknown_schema(catalog, schema));
    }
    let (rows, lease) = lease.rows(TABLES, vec![schema.into()]).await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        if value::<String>(row, 0)? == schema {
            names.push(value::<String>(row, 1)?);
        }
    }
    names.sort();
    let lease = if names.is_empty() {
        known_schema(lease, catalog, schema).await?
    } else {
        lease
    };
    lease.give_back();
    Ok(names)
}

async fn known_schema(lease: Lease, catalog: &str, schema: &str) -> Result<Lease> {
    let (names, lease) = schema_names(lease).await?;
    if names.iter().any(|name| name == schema) {
        return Ok(lease);
    }
    lease.give_back();
    Err(ConnectorError::unknown_schema(catalog, schema))
}

/// A table as its server describes it.
pub(crate) struct Found {
    /// What base-sql must know.
    pub(crate) parts: SqlTableParts,
    /// The engine that stores it; `None` for a view.
    pub(crate) engine: Option<String>,
    /// The first column of its primary key.
    pub(crate) primary: Option<usize>,
}

/// The name of the index that is the primary key.
const PRIMARY: &str = "PRIMARY";

/// What is known of table `name`; `None` when its schema has no such table. Errors: `UnknownSchema`.
pub(crate) async fn table(lease: Lease, name: &TableName) -> Result<Option<Found>> {
    if is_hidden(&name.schema) {
        return Err(ConnectorError::unknown_schema(&name.catalog, &name.schema));
    }
    let (table, lease) = rows_of(lease, TABLE, name).await?;
    let Some(table) = table.first() else {
        let lease = known_schema(lease, &name.catalog, &name.schema).await?;
        lease.give_back();
        return Ok(None);
    };
    let (columns, lease) = rows_of(lease, COLUMNS, name).await?;
    let (indexes, lease) = rows_of(lease, INDEXES, name).await?;
    lease.give_back();
    if columns.is_empty() {
        return Err(without_columns(name, value(table, 4)?));
    }
    let columns = columns.iter().map(native_column).collect::<Result<Vec<_>>>()?;
    let indexes = index_prefixes(&indexes, &columns)?;
    let primary = indexes.iter().find(|prefix| prefix.primary);
    Ok(Some(Found {
        engine: value(table, 5)?,
        primary: primary.and_then(|prefix| prefix.columns.first().copied()),
        parts: parts(name, &columns, table, indexes)?,
    }))
}

/// A view over tables that are gone or that its definer may not read; the server says so in its comment.
fn without_columns(name: &TableName, comment: Option<String>) -> ConnectorError {
    let message = format!("table {name} has no columns that can be read");
    let error = ConnectorError::new(ErrorKind::Source, message);
    match comment.filter(|comment| !comment.is_empty()) {
        Some(comment) => error.detail(format!("The server says: {}.", comment.trim_end_matches('.'))),
        None => error,
    }
}

/// The rows of `sql`, whose first two columns are schema and table, that are about exactly this table.
async fn rows_of(lease: Lease, sql: &str, name: &TableName) -> Result<(Vec<Row>, Lease)> {
    let params = vec![name.schema.as_str().into(), name.table.as_str().into()];
    let (rows, lease) = lease.rows(sql, params).await?;
    let mut exact = Vec::with_capacity(rows.len());
    for row in rows {
        if value::<String>(&row, 0)? == name.schema && value::<String>(&row, 1)? == name.table {
            exact.push(row);
        }
    }
    Ok((exact, lease))
}

fn native_column(row: &Row) -> Result<NativeColumn> {
    Ok(NativeColumn {
        name: value(row, 2)?,
        data_type: value::<String>(row, 3)?.to_ascii_lowercase(),
        column_type: value(row, 4)?,
        nullable: value::<String>(row, 5)? != "NO",
        precision: value(row, 6)?,
        scale: value(row, 7)?,
        fraction_digits: value(row, 8)?,
        charset: value(row, 9)?,
        collation: value(row, 10)?,
        octets_max: value(row, 11)?,
    })
}

fn parts(
    name: &TableName,
    columns: &[NativeColumn],
    table: &Row,
    mut prefixes: Vec<IndexPrefix>,
) -> Result<SqlTableParts> {
    let rows: Option<u64> = value(table, 2)?;
    let mut estimates = vec![ColumnEstimate::default(); columns.len()];
    for prefix in &prefixes {
        // What the index counted may be long ago; a unique one has as many values as the table has rows, NULLs aside.
        let distinct = if prefix.unique {
            rows.filter(|rows| *rows > 0)
        } else {
            None
        };
        if let ([index], Some(distinct)) = (prefix.columns.as_slice(), distinct.max(prefix.distinct))
            && let Some(estimate) = estimates.get_mut(*index)
        {
            estimate.distinct = estimate.distinct.max(Some(distinct));
        }
    }
    let stored = value::<Option<u64>>(table, 3)?.filter(|bytes| *bytes > 0);
    // The most selective first: what is unique, then what has most values.
    prefixes.sort_by_key(|prefix| (!prefix.unique, std::cmp::Reverse(prefix.distinct)));
    let fields: Vec<_> = columns
        .iter()
        .map(|column| {
            let (data_type, nullable) = column.canonical();
            Field::new(&column.name, data_type, nullable)
        })
        .collect();
    Ok(SqlTableParts {
        name: name.clone(),
        schema: Arc::new(Schema::new(fields)),
        profiles: columns.iter().map(NativeColumn::profile).collect(),
        statistics: TableStatistics {
            rows,
            row_bytes: stored.map(|stored| decoded_width(stored, columns)),
            columns: estimates,
        },
        indexes: prefixes.into_iter().map(|prefix| prefix.columns).collect(),
    })
}

/// About how many bytes a row takes here that takes `stored` bytes there.
///
/// Columns of fixed width take theirs; the others share what is left of the stored row, and hold no more than their
/// types allow.
fn decoded_width(stored: u64, columns: &[NativeColumn]) -> u64 {
    let fixed: u64 = columns.iter().filter_map(NativeColumn::fixed_width).sum();
    let others = columns.iter().filter(|column| column.fixed_width().is_none());
    let most = others.fold(0_u64, |most, column| {
        most.saturating_add(column.octets_max.unwrap_or(u64::MAX))
    });
    fixed.saturating_add(stored.saturating_sub(fixed).min(most))
}

/// The leading columns of an index.
struct IndexPrefix {
    columns: Vec<usize>,
    distinct: Option<u64>,
    unique: bool,
    primary: bool,
}

/// Every leading prefix of every ordered index, up to a column that is indexed only in part or as an expression.
fn index_prefixes(rows: &[Row], columns: &[NativeColumn]) -> Result<Vec<IndexPrefix>> {
    let mut by_index: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        by_index.entry(value(row, 2)?).or_default().push(row);
    }
    let mut prefixes = Vec::new();
    for (index, members) in &by_index {
        let mut leading = Vec::new();
        for row in members {
            let column = value::<Option<String>>(row, 4)?
                .and_then(|name| columns.iter().position(|column| column.name == name));
            let in_part = value::<Option<u64>>(row, 6)?.is_some();
            let ordered = value::<String>(row, 7)?.eq_ignore_ascii_case("BTREE");
            let (Some(column), false, true) = (column, in_part, ordered) else {
                break;
            };
            leading.push(column);
            prefixes.push(IndexPrefix {
                columns: leading.clone(),
                distinct: value::<Option<u64>>(row, 5)?.filter(|distinct| *distinct > 0),
                unique: value::<i64>(row, 3)? == 0 && leading.len() == members.len(),
                primary: index == PRIMARY,
            });
        }
    }
    Ok(prefixes)
}

fn is_hidden(schema: &str) -> bool {
    HIDDEN_SCHEMAS
        .iter()
        .any(|hidden| hidden.eq_ignore_ascii_case(schema))
}

/// The value of column `index` of a row of `information_schema`.
fn value<T: FromValue>(row: &Row, index: usize) -> Result<T> {
    let raw = row.as_ref(index).cloned().unwrap_or(Value::NULL);
    from_value_opt(raw).map_err(|error| {
        ConnectorError::new(
            ErrorKind::Source,
            "the server describes its tables in an unknown way",
        )
        .source(error)
    })
}
