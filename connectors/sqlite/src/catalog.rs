//! Reads a table's columns, size and indexes from the file's schema and from what ANALYZE left in it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use causeway_base_sql::{IndexCollation, SqlTableParts};
use causeway_spi::{ColumnEstimate, ConnectorError, ErrorKind, Result, TableName, TableStatistics};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::connector::SCHEMA;
use crate::error::{Doing, translate};
use crate::options::SqliteOptions;
use crate::types::{NativeColumn, Reading};

const TABLES: &str = "SELECT name FROM pragma_table_list WHERE schema = 'main' \
    AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
const TABLE: &str = "SELECT type, wr, strict FROM pragma_table_list WHERE schema = 'main' \
    AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name = ?1 COLLATE BINARY";
const COLUMNS: &str = "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, 'main') \
    WHERE hidden <> 1 ORDER BY cid";
/// The word can only be that of a collation or part of a name: without it every column compares bytes.
const NAMES_COLLATIONS: &str = "SELECT sql LIKE '%collate%' FROM sqlite_schema WHERE type = 'table' \
    AND name = ?1 COLLATE BINARY";
const INDEXES: &str =
    "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1, 'main') ORDER BY seq";
const INDEX_COLUMNS: &str =
    "SELECT cid, coll, name FROM pragma_index_xinfo(?1, 'main') WHERE \"key\" = 1 ORDER BY seqno";
const ANALYZED: &str = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'";
const ESTIMATES: &str = "SELECT idx, stat FROM sqlite_stat1 WHERE tbl = ?1 COLLATE BINARY";

/// Rows of a table that are counted; of a larger one the range of row ids is its size.
const COUNTED_ROWS_MAX: i64 = 10_000;
/// Names for the row's id, in the order in which they are tried.
const ROW_IDS: [&str; 3] = ["rowid", "_rowid_", "oid"];
/// Assumed bytes of a text or blob.
const VARIABLE_BYTES: u64 = 24;

/// A table and the name of its row id, if it has one.
pub(crate) struct FoundTable {
    pub(crate) parts: SqlTableParts,
    pub(crate) row_id: Option<&'static str>,
}

/// The tables and views.
pub(crate) fn tables(connection: &Connection, catalog: &str) -> Result<Vec<String>> {
    rows(connection, TABLES, None, |row| row.get(0))
        .map_err(|error| translate(error, Doing::Listing(catalog)))
}

/// What is known of table `name`; `None` when there is none.
pub(crate) fn table(
    connection: &Connection,
    name: &TableName,
    options: &SqliteOptions,
) -> Result<Option<FoundTable>> {
    debug_assert_eq!(name.schema, SCHEMA);
    let listing = |error| translate(error, Doing::Reading(name));
    let Some(kind) = connection
        .query_row(TABLE, [&name.table], TableKind::read)
        .optional()
        .map_err(listing)?
    else {
        return Ok(None);
    };
    let described = Described::read(connection, &name.table, kind).map_err(listing)?;
    if described.columns.is_empty() {
        return Err(ConnectorError::new(
            ErrorKind::NotSupported,
            format!("table {name} has no columns that can be read"),
        ));
    }
    let statistics = described.statistics(connection, &name.table).map_err(listing)?;
    let utf8 = connection
        .query_row("PRAGMA encoding", [], |row| row.get::<_, String>(0))
        .map_err(listing)?
        .eq_ignore_ascii_case("UTF-8");
    Ok(Some(described.found(name, options, utf8, statistics)))
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    argument: Option<&str>,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection
        .prepare(sql)?
        .query_map(rusqlite::params_from_iter(argument), read)?
        .collect()
}

/// What kind of table it is.
#[derive(Debug, Clone, Copy)]
struct TableKind {
    is_table: bool,
    is_virtual: bool,
    has_row_id: bool,
    strict: bool,
}

impl TableKind {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: String = row.get(0)?;
        let is_table = kind == "table";
        Ok(Self {
            is_table,
            is_virtual: kind == "virtual",
            has_row_id: is_table && !row.get::<_, bool>(1)?,
            strict: row.get(2)?,
        })
    }
}

struct Described {
    kind: TableKind,
    columns: Vec<NativeColumn>,
    /// Whether the declared type, kept apart here, is of a part of the primary key.
    indexes: Vec<Index>,
    row_id: Option<&'static str>,
}

struct Index {
    name: String,
    unique: bool,
    columns: Vec<IndexColumn>,
    /// Whether further columns follow that cannot be used.
    cut: bool,
}

#[derive(Clone, Copy)]
struct IndexColumn {
    column: usize,
    /// `None` for a collation that the laws do not know.
    collation: Option<IndexCollation>,
}

impl Described {
    fn read(connection: &Connection, table: &str, kind: TableKind) -> rusqlite::Result<Self> {
        let names_collations: Option<bool> = connection
            .query_row(NAMES_COLLATIONS, [table], |row| row.get(0))
            .optional()?;
        let compares_bytes = kind.is_table && names_collations == Some(false);
        let mut keys = Vec::new();
        let mut columns = rows(connection, COLUMNS, Some(table), |row| {
            keys.push(row.get::<_, i64>(3)? > 0);
            Ok(NativeColumn {
                name: row.get(0)?,
                declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                // A key of several columns may hold NULL in spite of the standard.
                not_null: row.get(2)?,
                strict: kind.strict && row.get::<_, i64>(4)? == 0,
                comparable: !kind.is_virtual,
                compares_bytes,
                ..NativeColumn::default()
            })
        })?;
        let (indexes, has_key_index) = match kind.is_table {
            true => read_indexes(connection, table, &columns)?,
            false => (Vec::new(), false),
        };
        let mut key_columns = keys.iter().enumerate().filter(|(_, is_key)| **is_key);
        if let (Some((key, _)), None, true, false) = (
            key_columns.next(),
            key_columns.next(),
            kind.has_row_id,
            has_key_index,
        ) && let Some(column) = columns.get_mut(key)
        {
            column.is_row_id = column.declared.eq_ignore_ascii_case("INTEGER");
        }
        for (position, column) in columns.iter_mut().enumerate() {
            column.index_collation = collation_of(position, &indexes);
        }
        let row_id = ROW_IDS
            .into_iter()
            .filter(|_| kind.has_row_id)
            .find(|id| columns.iter().all(|column| !column.name.eq_ignore_ascii_case(id)));
        Ok(Self {
            kind,
            columns,
            indexes,
            row_id,
        })
    }

    fn found(
        mut self,
        name: &TableName,
        options: &SqliteOptions,
        utf8: bool,
        (rows, distinct): (Option<u64>, Vec<Option<u64>>),
    ) -> FoundTable {
        for column in &mut self.columns {
            let key = format!("{}.{}", name.table, column.name);
            column.configured = options.types.get(&key).cloned();
        }
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|column| {
                let (data_type, nullable) = column.canonical(options);
                Field::new(&column.name, data_type, nullable)
            })
            .collect();
        let row_bytes = fields.iter().map(|field| width(field.data_type())).sum();
        let estimates = distinct.into_iter().map(|distinct| ColumnEstimate { distinct });
        FoundTable {
            row_id: self.row_id,
            parts: SqlTableParts {
                name: name.clone(),
                schema: Arc::new(Schema::new(fields)),
                profiles: self
                    .columns
                    .iter()
                    .map(|column| column.profile(options, utf8))
                    .collect(),
                statistics: TableStatistics {
                    rows,
                    row_bytes: Some(row_bytes),
                    columns: estimates.collect(),
                },
                indexes: self.key_sets(),
            },
        }
    }

    /// The leading columns of each index, as far as its collation is the one that the column is compared under.
    fn key_sets(&self) -> Vec<Vec<usize>> {
        let row_id = self.columns.iter().position(|column| column.is_row_id);
        let mut unique: Vec<Vec<usize>> = row_id.map(|column| vec![column]).into_iter().collect();
        let mut others = Vec::new();
        for index in &self.indexes {
            let mut leading = Vec::new();
            for (position, member) in index.columns.iter().enumerate() {
                let column = &self.columns[member.column];
                if column.reading() == Reading::Text && member.collation != column.index_collation {
                    break;
                }
                leading.push(member.column);
                let whole = position + 1 == index.columns.len() && !index.cut;
                match index.unique && whole {
                    true => unique.push(leading.clone()),
                    false => others.push(leading.clone()),
                }
            }
        }
        unique.extend(others);
        unique
    }

    /// Rows, and distinct values of each column.
    fn statistics(
        &self,
        connection: &Connection,
        table: &str,
    ) -> rusqlite::Result<(Option<u64>, Vec<Option<u64>>)> {
        let mut distinct = vec![None; self.columns.len()];
        if !self.kind.is_table {
            return Ok((None, distinct));
        }
        let analyzed = analyzed(connection, table)?;
        let rows = match analyzed.iter().map(|(_, numbers)| numbers[0]).max() {
            Some(rows) => Some(rows),
            None => self.counted(connection, table)?,
        };
        for index in &self.indexes {
            let Some(first) = index.columns.first() else {
                continue;
            };
            let known = analyzed.iter().find(|(name, _)| *name == index.name);
            let values = match known.map(|(_, numbers)| numbers.as_slice()) {
                Some([rows, of_each, ..]) => rows.checked_div(*of_each),
                _ if index.unique && index.columns.len() == 1 && !index.cut => rows,
                _ => None,
            };
            distinct[first.column] = distinct[first.column].max(values);
        }
        for (column, distinct) in self.columns.iter().zip(&mut distinct) {
            if column.is_row_id {
                *distinct = rows;
            }
        }
        Ok((rows, distinct))
    }

    /// The number of rows of a small table; of a large one what its row ids allow at most.
    fn counted(&self, connection: &Connection, table: &str) -> rusqlite::Result<Option<u64>> {
        let quoted = format!("main.\"{}\"", table.replace('"', "\"\""));
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {quoted} LIMIT {})",
            COUNTED_ROWS_MAX + 1
        );
        let counted: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if counted <= COUNTED_ROWS_MAX {
            return Ok(u64::try_from(counted).ok());
        }
        let Some(row_id) = self.row_id else {
            return Ok(None);
        };
        let sql =
            format!("SELECT (SELECT max({row_id}) FROM {quoted}), (SELECT min({row_id}) FROM {quoted})");
        let (most, least): (i64, i64) =
            connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(most
            .checked_sub(least)
            .and_then(|span| u64::try_from(span).ok())
            .map(|span| span + 1))
    }
}

/// The indexes over whole tables, and whether one of them is the primary key's.
fn read_indexes(
    connection: &Connection,
    table: &str,
    columns: &[NativeColumn],
) -> rusqlite::Result<(Vec<Index>, bool)> {
    let listed = rows(connection, INDEXES, Some(table), |row| {
        let name: String = row.get(0)?;
        let origin: String = row.get(2)?;
        Ok((
            name,
            row.get::<_, bool>(1)?,
            origin == "pk",
            row.get::<_, bool>(3)?,
        ))
    })?;
    let has_key_index = listed.iter().any(|(_, _, is_key, _)| *is_key);
    let mut indexes = Vec::new();
    for (name, unique, _, partial) in listed {
        if partial {
            continue;
        }
        let members = rows(connection, INDEX_COLUMNS, Some(&name), |row| {
            Ok((row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        let all = members.len();
        let members: Vec<IndexColumn> = members
            .into_iter()
            .map_while(|(collation, column)| {
                let column = column?;
                Some(IndexColumn {
                    // An expression has no name, and a row id none of a column.
                    column: columns.iter().position(|known| known.name == column)?,
                    collation: known_collation(&collation.unwrap_or_default()),
                })
            })
            .collect();
        indexes.push(Index {
            name,
            unique,
            cut: members.len() < all,
            columns: members,
        });
    }
    Ok((indexes, has_key_index))
}

fn known_collation(name: &str) -> Option<IndexCollation> {
    match name.to_ascii_uppercase().as_str() {
        "BINARY" => Some(IndexCollation::Binary),
        "NOCASE" => Some(IndexCollation::NoCase),
        "RTRIM" => Some(IndexCollation::RightTrimmed),
        _ => None,
    }
}

/// The collation of the indexes on a column; byte order if any has it.
fn collation_of(column: usize, indexes: &[Index]) -> Option<IndexCollation> {
    let mut found = None;
    for member in indexes.iter().flat_map(|index| &index.columns) {
        match member.collation {
            _ if member.column != column => {}
            Some(IndexCollation::Binary) => return Some(IndexCollation::Binary),
            other => found = found.or(other),
        }
    }
    found
}

/// The estimates of ANALYZE: by index, the rows and how many of them have one value of the leading columns.
fn analyzed(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, Vec<u64>)>> {
    if connection
        .query_row(ANALYZED, [], |_| Ok(()))
        .optional()?
        .is_none()
    {
        return Ok(Vec::new());
    }
    let estimates = rows(connection, ESTIMATES, Some(table), |row| {
        let index: Option<String> = row.get(0)?;
        let text: String = row.get(1)?;
        let numbers: Vec<u64> = text
            .split_ascii_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        Ok((index.unwrap_or_default(), numbers))
    })?;
    Ok(estimates
        .into_iter()
        .filter(|(_, numbers)| !numbers.is_empty())
        .collect())
}

/// About how many bytes a value takes.
fn width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => VARIABLE_BYTES,
        DataType::Decimal128(..) => 16,
        DataType::Decimal256(..) => 32,
        _ => 8,
    }
}
