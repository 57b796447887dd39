//! The reference of all options, read from the option structs: `causeway config-docs`.
//!
//! Names, types and defaults come from the structs' schemas, meanings from their doc comments. The same tables stand
//! in the pages of the project between two markers; a test compares them.

use std::io;
use std::path::{Path, PathBuf};

use causeway_spi::duration_text;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value};

use crate::config::ServerConfig;
use crate::connectors;
use crate::security::UserConfig;

const BEGIN: &str = "<!-- options: begin -->\n";
const END: &str = "<!-- options: end -->";
/// How a secret is written.
const SECRET: &str = "`{ env = \"..\" }` or `{ file = \"..\" }`";
/// Begins the sentence about a default that the struct does not hold as a value.
const DEFAULT: &str = "Default: ";

/// The whole reference as Markdown.
pub fn reference() -> String {
    let mut text = format!("# Options\n\n## The server and its users\n\n{}", server_table());
    for (kind, schema) in connectors::schemas() {
        let about = words(schema.as_value());
        let table = table(&options("", &schema));
        text.push_str(&format!("\n## `connector = \"{kind}\"`\n\n{about}\n\n{table}"));
    }
    text
}

/// Brings the pages of the project at `root` up to date; returns those that have changed.
pub fn write(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    for (page, table) in pages() {
        let path = root.join(&page);
        let text = std::fs::read_to_string(&path)?;
        let updated = with_table(&text, &table).ok_or_else(|| {
            let page = page.display();
            io::Error::other(format!(
                "{page} lacks the two lines {} and {END}",
                BEGIN.trim_end()
            ))
        })?;
        if updated != text {
            std::fs::write(&path, updated)?;
            changed.push(page);
        }
    }
    Ok(changed)
}

/// The pages that hold a table, by their paths from the project's root.
fn pages() -> Vec<(PathBuf, String)> {
    let connectors = connectors::schemas().into_iter().map(|(kind, schema)| {
        let page = Path::new("connectors").join(kind).join("README.md");
        (page, table(&options("", &schema)))
    });
    std::iter::once((PathBuf::from("README.md"), server_table()))
        .chain(connectors)
        .collect()
}

/// `page` with `table` between its markers; `None` if it has none.
fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn server_table() -> String {
    let mut all = options("server.", &schema_for!(ServerConfig));
    all.extend(options("users.NAME.", &schema_for!(UserConfig)));
    table(&all)
}

fn table(options: &[Described]) -> String {
    let mut text = "| option | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for option in options {
        let default = option.default.as_deref().unwrap_or("none");
        let cells = [option.path.as_str(), &option.kind, default, &option.meaning];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// One line of the reference.
struct Described {
    path: String,
    kind: String,
    /// `None`: absent, or not known.
    default: Option<String>,
    meaning: String,
}

fn options(prefix: &str, schema: &Schema) -> Vec<Described> {
    let definitions = schema.get("$defs").and_then(Value::as_object);
    let mut options = Vec::new();
    Reader { definitions }.describe(prefix, schema.as_value(), &mut options);
    options
}

/// Reads schemas, whose references point into `definitions`.
struct Reader<'a> {
    definitions: Option<&'a Map<String, Value>>,
}

impl<'a> Reader<'a> {
    /// Describes the options of a table, required ones first, the others by name; options inside of one follow it.
    fn describe(&self, prefix: &str, table: &'a Value, options: &mut Vec<Described>) {
        let Some(properties) = table["properties"].as_object() else {
            return;
        };
        let required: Vec<&str> = items(&table["required"]).filter_map(Value::as_str).collect();
        let others = properties.keys().map(String::as_str);
        let others = others.filter(|name| !required.contains(name));
        for name in required.iter().copied().chain(others) {
            let option = &properties[name];
            let path = format!("{prefix}{name}");
            options.push(self.described(&path, option, required.contains(&name)));
            if let Some(inner) = self.inner_table(option) {
                self.describe(&format!("{path}."), inner, options);
            }
        }
    }

    fn described(&self, path: &str, option: &'a Value, required: bool) -> Described {
        let (mut meaning, prose) = without_default(&words(option));
        let default = if required {
            Some("required".to_owned())
        } else {
            None
        };
        for choice in self.choices(option) {
            let about = words(choice);
            if let (Some(value), false) = (choice.get("const"), about.is_empty()) {
                meaning.push_str(&format!(" `{value}`: {about}"));
            }
        }
        Described {
            path: format!("`{path}`"),
            kind: self.kind(option),
            default: default.or_else(|| default_text(&option["default"])).or(prose),
            meaning,
        }
    }

    /// What may be written for `schema`.
    fn kind(&self, schema: &'a Value) -> String {
        match definition_name(schema) {
            Some("Duration") => return "duration".to_owned(),
            Some("Secret") => return SECRET.to_owned(),
            _ => {}
        }
        let choices = self.choices(schema);
        if !choices.is_empty() {
            let kinds: Vec<String> = choices.iter().map(|choice| self.kind(choice)).collect();
            return kinds.join(" or ");
        }
        let schema = self.resolved(schema);
        if let Some(value) = schema.get("const") {
            return format!("`{value}`");
        }
        let values = items(&schema["enum"]).filter(|value| !value.is_null());
        let values: Vec<String> = values.map(|value| format!("`{value}`")).collect();
        match type_name(schema) {
            _ if !values.is_empty() => values.join(" or "),
            "string" => "text".to_owned(),
            "object" => "table".to_owned(),
            "array" => match self.kind(&schema["items"]).as_str() {
                "table" => "list of tables".to_owned(),
                item => format!("list of {item}"),
            },
            other => other.to_owned(),
        }
    }

    /// The alternatives of `schema` without null; empty if it has none.
    fn choices(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolved(schema);
        let choices = items(&schema["anyOf"]).chain(items(&schema["oneOf"]));
        choices.filter(|choice| type_name(choice) != "null").collect()
    }

    /// The table that `option` holds, or holds a list of.
    fn inner_table(&self, option: &'a Value) -> Option<&'a Value> {
        let choices = self.choices(option);
        let candidates = std::iter::once(option).chain(choices);
        candidates
            .filter(|candidate| definition_name(candidate) != Some("Duration"))
            .flat_map(|candidate| {
                let candidate = self.resolved(candidate);
                let item = &candidate["items"];
                let choices = self.choices(item);
                [candidate, item].into_iter().chain(choices)
            })
            .map(|candidate| self.resolved(candidate))
            .find(|candidate| candidate.get("properties").is_some())
    }

    /// `schema`, or what it refers to.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let target = definition_name(schema).and_then(|name| self.definitions?.get(name));
        target.unwrap_or(schema)
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The name of the definition that `schema` refers to.
fn definition_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// The JSON type, without null.
fn type_name(schema: &Value) -> &str {
    let kind = &schema["type"];
    let mut kinds = kind
        .as_str()
        .into_iter()
        .chain(items(kind).filter_map(Value::as_str));
    let first = kinds.next().unwrap_or("any");
    if first == "null" {
        kinds.next().unwrap_or(first)
    } else {
        first
    }
}

/// The doc comment in one line.
fn words(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A doc comment without its sentence about the default, and what that says.
fn without_default(words: &str) -> (String, Option<String>) {
    let Some((before, rest)) = words.split_once(DEFAULT) else {
        return (words.to_owned(), None);
    };
    let (default, after) = rest.split_once(". ").unwrap_or((rest, ""));
    let meaning = format!("{before}{after}");
    (
        meaning.trim().to_owned(),
        Some(default.trim_end_matches('.').to_owned()),
    )
}

/// A default as it would be written; `None` for what is empty.
fn default_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(list) if list.is_empty() => None,
        Value::Object(parts) => {
            let part = |name: &str| parts.get(name).and_then(Value::as_u64);
            let nanos = u32::try_from(part("nanos")?).ok()?;
            let duration = std::time::Duration::new(part("secs")?, nanos);
            Some(format!("`\"{}\"`", duration_text(duration)))
        }
        other => Some(format!("`{other}`")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_pages_say_what_the_structs_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut differences = String::new();
        for (page, table) in pages() {
            let text = std::fs::read_to_string(root.join(&page)).unwrap_or_default();
            let Some(wanted) = with_table(&text, &table) else {
                let _ = writeln!(differences, "{}: has no {BEGIN}", page.display());
                continue;
            };
            let lines = |text: &str, sign: char, other: &str| -> String {
                let other: Vec<&str> = other.lines().collect();
                let only = text.lines().filter(|line| !other.contains(line));
                only.map(|line| format!("{sign} {line}\n")).collect()
            };
            let difference = lines(&text, '-', &wanted) + &lines(&wanted, '+', &text);
            if wanted != text {
                let _ = write!(differences, "{}:\n{difference}", page.display());
            }
        }
        assert!(
            differences.is_empty(),
            "`cargo run -- config-docs --write .` brings these up to date:\n{differences}"
        );
    }

    #[test]
    fn every_option_says_what_it_means_and_what_holds_without_it() {
        let mut all: Vec<(String, Schema)> = connectors::schemas()
            .into_iter()
            .map(|(kind, schema)| (kind.to_owned(), schema))
            .collect();
        all.push(("server".to_owned(), schema_for!(ServerConfig)));
        for (place, schema) in all {
            for option in options("", &schema) {
                let path = &option.path;
                assert!(!option.meaning.is_empty(), "{place}: {path} has no doc comment");
                // Not known is not the same as none: an enum without `Serialize` has a default that nobody sees.
                let names_values = option.kind.starts_with("`\"");
                assert!(
                    option.default.is_some() || !names_values,
                    "{place}: {path} has no default: derive Serialize for its type, or write \"{DEFAULT}...\""
                );
            }
        }
    }

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Sample {
        /// How long to
        /// wait, up to 1h.
        #[serde(
            default = "half_a_second",
            deserialize_with = "causeway_spi::deserialize_duration"
        )]
        wait: std::time::Duration,
        /// The word. Default: the one of the day. Not a number.
        #[serde(default)]
        word: String,
        /// A key.
        key: causeway_spi::Secret,
        /// What to do.
        #[serde(default)]
        mode: Mode,
        /// Parts.
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        /// Nothing.
        #[default]
        Idle,
        /// All.
        Busy,
    }

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Part {
        /// Its size in bytes.
        size: Option<u32>,
    }

    fn half_a_second() -> std::time::Duration {
        std::time::Duration::from_millis(500)
    }

    #[test]
    fn a_struct_becomes_a_table() {
        assert_eq!(
            table(&options("", &schema_for!(Sample))),
            "| option | type | default | meaning |\n\
             |---|---|---|---|\n\
             | `key` | `{ env = \"..\" }` or `{ file = \"..\" }` | required | A key. |\n\
             | `mode` | `\"idle\"` or `\"busy\"` | `\"idle\"` | What to do. `\"idle\"`: Nothing. `\"busy\"`: All. |\n\
             | `parts` | list of tables | none | Parts. |\n\
             | `parts.size` | integer | none | Its size in bytes. |\n\
             | `wait` | duration | `\"500ms\"` | How long to wait, up to 1h. |\n\
             | `word` | text | the one of the day | The word. Not a number. |\n"
        );
    }
}
