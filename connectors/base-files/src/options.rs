//! Declared tables, `[[catalogs.<name>.tables]]`: where inference is not wanted, or what names do not say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_base_kv::ColumnDefinition;
use causeway_spi::{ConnectorError, ErrorKind, Result, parse_duration};
use glob::Pattern;
use object_store::path::Path;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::csv::CsvStyle;
use crate::format::FileFormat;
use crate::layout::{PUBLIC, TablePlace, TableRoot};

/// The longest time that listings may be believed.
const CACHE_TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// A table that is described instead of found.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileTableOptions {
    /// The table's name, `table` or `schema.table`. It wins over a table of that name that is found.
    pub name: String,
    /// The folder, the file or a pattern such as `logs/2024-*/*.csv`, below the catalog's root; `.` is the root itself.
    pub path: String,
    /// `parquet`, `csv` or `json` (one object a line). Default: what the names of the files say.
    #[serde(default)]
    pub format: Option<String>,
    /// `name type` of each column that is read from files. Default: inferred.
    #[serde(default)]
    pub columns: Vec<String>,
    /// `name type` of each `key=value` folder, from the outermost. Default: inferred.
    #[serde(default)]
    pub partitions: Vec<String>,
    /// CSV: whether the first line names the columns. Default: `true`.
    #[serde(default)]
    pub header: Option<bool>,
    /// CSV: the character between fields. Default: `,`.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// CSV: the character around fields that hold the delimiter or line breaks; empty for none. Default: `"`.
    #[serde(default)]
    pub quote: Option<String>,
    /// CSV: the text that stands for NULL. Default: the empty text.
    #[serde(default)]
    pub null: Option<String>,
}

/// A declared table, checked.
#[derive(Debug)]
pub(crate) struct DeclaredTable {
    pub(crate) place: TablePlace,
    pub(crate) csv: CsvStyle,
    pub(crate) columns: Vec<ColumnDefinition>,
    pub(crate) partitions: Vec<ColumnDefinition>,
}

/// The declared tables of one catalog by schema and name.
#[derive(Debug, Clone, Default)]
pub struct DeclaredTables(pub(crate) BTreeMap<(String, String), Arc<DeclaredTable>>);

impl DeclaredTables {
    /// Checks `tables`. Errors: every problem, each with the path of its key.
    pub fn check(tables: &[FileTableOptions]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut declared = BTreeMap::new();
        for (position, options) in tables.iter().enumerate() {
            let mut of_table = Vec::new();
            let name = table_name(&options.name).map_err(|problem| of_table.push(problem));
            let table = options.check(&mut of_table);
            if let (Ok(name), Some(table)) = (name, table)
                && declared.insert(name, Arc::new(table)).is_some()
            {
                of_table.push("name is that of another table too".to_owned());
            }
            let place = format!("tables[{position}]");
            problems.extend(of_table.into_iter().map(|problem| format!("{place}.{problem}")));
        }
        if problems.is_empty() {
            Ok(Self(declared))
        } else {
            Err(problems)
        }
    }
}

/// Checks `cache_ttl`; the error is a problem with its key.
pub fn check_cache_ttl(ttl: Duration) -> Result<(), String> {
    if ttl > CACHE_TTL_MAX {
        return Err("cache_ttl must be at most \"24h\"".to_owned());
    }
    debug_assert!(parse_duration("24h") == Some(CACHE_TTL_MAX));
    Ok(())
}

fn table_name(name: &str) -> Result<(String, String), String> {
    let (schema, table) = name.split_once('.').unwrap_or((PUBLIC, name));
    if schema.is_empty() || table.is_empty() || table.contains('.') {
        return Err(format!("name must be table or schema.table, not \"{name}\""));
    }
    Ok((schema.to_owned(), table.to_owned()))
}

impl FileTableOptions {
    fn check(&self, problems: &mut Vec<String>) -> Option<DeclaredTable> {
        let format = match self.format.as_deref().map(|text| (text, FileFormat::named(text))) {
            Some((text, None)) => {
                problems.push(format!("format must be parquet, csv or json, not \"{text}\""));
                None
            }
            Some((_, named)) => named,
            None => None,
        };
        let root = place(&self.path)
            .map_err(|problem| problems.push(format!("path {problem}")))
            .ok();
        let columns = definitions("columns", &self.columns, problems);
        let partitions = definitions("partitions", &self.partitions, problems);
        for column in &columns {
            if partitions.iter().any(|partition| partition.name == column.name) {
                problems.push(format!("columns and partitions both have \"{}\"", column.name));
            }
        }
        let csv = self.csv_style(format, problems);
        Some(DeclaredTable {
            place: TablePlace { root: root?, format },
            csv,
            columns,
            partitions,
        })
    }

    fn csv_style(&self, format: Option<FileFormat>, problems: &mut Vec<String>) -> CsvStyle {
        let mut style = CsvStyle::default();
        let set = [
            ("header", self.header.is_some()),
            ("delimiter", self.delimiter.is_some()),
            ("quote", self.quote.is_some()),
            ("null", self.null.is_some()),
        ];
        let is_other = format.is_some_and(|format| format != FileFormat::Csv);
        for (key, _) in set.iter().filter(|(_, set)| *set && is_other) {
            problems.push(format!("{key} is for CSV only"));
        }
        style.header = self.header.unwrap_or(true);
        if let Some(text) = &self.delimiter {
            match single_byte(text) {
                Some(byte) => style.delimiter = byte,
                None => problems.push(format!("delimiter must be one ASCII character, not \"{text}\"")),
            }
        }
        match self.quote.as_deref() {
            None => {}
            Some("") => style.quote = None,
            Some(text) => match single_byte(text) {
                Some(byte) => style.quote = Some(byte),
                None => problems.push(format!(
                    "quote must be one ASCII character or empty, not \"{text}\""
                )),
            },
        }
        if style.quote == Some(style.delimiter) {
            problems.push("quote must not be the delimiter".to_owned());
        }
        style.null = self.null.clone().unwrap_or_default();
        style
    }
}

/// One ASCII character that is no line break.
fn single_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => None,
    }
}

fn definitions(key: &str, texts: &[String], problems: &mut Vec<String>) -> Vec<ColumnDefinition> {
    let mut columns: Vec<ColumnDefinition> = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        match ColumnDefinition::parse(text) {
            Err(error) => problems.push(format!("{key}[{position}]: {}", error.message())),
            Ok(column) if columns.iter().any(|known| known.name == column.name) => {
                problems.push(format!(
                    "{key}[{position}]: column \"{}\" is there twice",
                    column.name
                ));
            }
            Ok(column) => columns.push(column),
        }
    }
    columns
}

/// Where a path leads: never out of the catalog's root.
fn place(text: &str) -> Result<TableRoot, String> {
    let trimmed = text.trim_end_matches('/');
    if trimmed == "." {
        return Ok(TableRoot::Place(Path::default()));
    }
    if trimmed.is_empty() {
        return Err("must name a folder, a file or a pattern below the catalog's root".to_owned());
    }
    if trimmed.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!(
            "must lie below the catalog's root, without empty, \".\" and \"..\" parts; it is \"{text}\""
        ));
    }
    let is_pattern = |part: &&str| part.contains(['*', '?', '[']);
    let fixed = trimmed.split('/').take_while(|part| !is_pattern(part));
    let base = Path::parse(fixed.collect::<Vec<_>>().join("/"))
        .map_err(|_| format!("holds a character that cannot stand in a path; it is \"{text}\""))?;
    if !trimmed.split('/').any(|part| is_pattern(&part)) {
        return Ok(TableRoot::Place(base));
    }
    let pattern = Pattern::new(trimmed).map_err(|error| format!("is not a pattern: {}", error.msg))?;
    Ok(TableRoot::Pattern { base, pattern })
}

/// The error for the problems of a catalog's options.
pub fn wrong_options(catalog: &str, problems: &[String]) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Configuration,
        format!("catalog {catalog}: {}", problems.join("; ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, path: &str) -> FileTableOptions {
        FileTableOptions {
            name: name.to_owned(),
            path: path.to_owned(),
            ..FileTableOptions::default()
        }
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let wrong = FileTableOptions {
            format: Some("orc".into()),
            columns: vec!["a bigint".into(), "a text".into(), "b money".into()],
            partitions: vec!["a date".into()],
            delimiter: Some("||".into()),
            quote: Some("\n".into()),
            ..table("a.b.c", "../x")
        };
        let right = table("sales.t", "t");
        let json = FileTableOptions {
            format: Some("json".into()),
            header: Some(false),
            ..table("sales.t", "u")
        };
        let problems = DeclaredTables::check(&[wrong, right, json]).unwrap_err();
        let expected = [
            "tables[0].name must be table or schema.table, not \"a.b.c\"",
            "tables[0].format must be parquet, csv or json, not \"orc\"",
            "tables[0].path must lie below the catalog's root, without empty, \".\" and \"..\" parts; it is \"../x\"",
            "tables[0].columns[1]: column \"a\" is there twice",
            "tables[0].columns[2]: column \"b\" has the unknown type \"money\"",
            "tables[0].columns and partitions both have \"a\"",
            "tables[0].delimiter must be one ASCII character, not \"||\"",
            "tables[0].quote must be one ASCII character or empty, not \"\n\"",
            "tables[2].header is for CSV only",
            "tables[2].name is that of another table too",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn paths_stay_below_the_root() {
        for wrong in ["", "/", "/etc", "a//b", "a/../b", "..", "a/./b", "./a", "a\u{1}b"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
        assert_eq!(place("a/b/").unwrap(), TableRoot::Place(Path::from("a/b")));
        assert_eq!(place(".").unwrap(), TableRoot::Place(Path::default()));
        let TableRoot::Pattern { base, pattern } = place("logs/2024-*/x?.csv").unwrap() else {
            panic!("it is a pattern");
        };
        assert_eq!(base, Path::from("logs"));
        assert!(pattern.matches("logs/2024-01/x1.csv"));
        assert!(place("a/[b").is_err());
    }
}
