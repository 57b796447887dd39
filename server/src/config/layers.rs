//! What a configuration is made of: the file, over it the environment; its relative paths made whole.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use toml::{Table, Value};

use super::words;
use crate::error::nearest;

/// The beginning of every environment variable that is an option.
const PREFIX: &str = "CAUSEWAY_";
/// Between the parts of an option's key in the name of an environment variable.
const SEPARATOR: &str = "__";
/// The sections of the file.
const SECTIONS: [&str; 3] = ["server", "users", "catalogs"];
/// A file that is named by an option and larger than this is not looked into for changes.
const WATCHED_BYTES_MAX: u64 = 1 << 20;

/// Reads the file's text. Errors: the line where it is no TOML, without what stands there.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text.get(..span.start)
                .map_or(1, |before| before.matches('\n').count() + 1)
        });
        format!("line {line}: {}", error.message())
    })
}

/// Notes what is no section, or no table where one has to be.
pub(super) fn check_sections(table: &Table, problems: &mut Vec<String>) {
    for (key, value) in table {
        if !SECTIONS.contains(&key.as_str()) {
            let hint = nearest(key, SECTIONS.into_iter());
            let hint = hint
                .map(|hint| format!("; did you mean {hint}?"))
                .unwrap_or_default();
            problems.push(format!("{key}: is no section{hint}"));
        } else if !value.is_table() {
            problems.push(format!("{key}: is a section, [{key}]"));
        }
    }
}

/// Puts the options that stand in the environment over those of the file: `CAUSEWAY_SERVER__LISTEN`,
/// `CAUSEWAY_CATALOGS__SHOP__URL`. Notes variables that are no options.
///
/// A variable that a secret of the file is read from is left alone, whatever its name is.
pub(super) fn apply_environment(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<String>,
) {
    let mut secrets = Vec::new();
    secret_variables(&Value::Table(table.clone()), &mut secrets);
    let mut variables: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with(PREFIX) && !secrets.contains(name))
        .collect();
    variables.sort();
    for (name, text) in variables {
        if let Err(problem) = apply(table, &name, value_of(&text)) {
            problems.push(format!("{name}: {problem}"));
        }
    }
}

fn apply(table: &mut Table, name: &str, value: Value) -> Result<(), String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let keys: Vec<&str> = rest.split(SEPARATOR).collect();
    let (section, keys) = match keys.as_slice() {
        [section @ "server", keys @ ..] if !keys.is_empty() => (*section, keys.to_vec()),
        [section @ ("users" | "catalogs"), keys @ ..] if keys.len() > 1 => (*section, keys.to_vec()),
        _ => {
            return Err(
                "is no option; they are CAUSEWAY_SERVER__KEY, CAUSEWAY_USERS__NAME__KEY and \
                        CAUSEWAY_CATALOGS__NAME__KEY"
                    .to_owned(),
            );
        }
    };
    if keys.iter().any(|key| key.is_empty()) {
        return Err("a part of its key is empty".to_owned());
    }
    let mut place = child(table, section)?;
    let (last, path) = keys.split_last().ok_or("has no key")?;
    for (depth, key) in path.iter().enumerate() {
        // Names of users and catalogs may hold what cannot stand in a variable's name.
        let key = match depth {
            0 if section != "server" => spelled(place, key)?,
            _ => (*key).to_owned(),
        };
        place = child(place, &key)?;
    }
    if section == "server" && path.is_empty() {
        check_server_option(last, &value)?;
    }
    place.insert((*last).to_owned(), value);
    Ok(())
}

fn child<'a>(table: &'a mut Table, key: &str) -> Result<&'a mut Table, String> {
    let entry = table
        .entry(key.to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    entry
        .as_table_mut()
        .ok_or_else(|| format!("{key} holds no options"))
}

/// The one name of `table` that `part` stands for: in any case, `-` as `_`; `part` itself if there is none.
fn spelled(table: &Table, part: &str) -> Result<String, String> {
    let alike: Vec<&String> = table
        .keys()
        .filter(|name| name.to_lowercase().replace('-', "_") == part)
        .collect();
    match alike.as_slice() {
        [] => Ok(part.to_owned()),
        [only] => Ok((*only).clone()),
        _ => Err(format!("several names are {part} in another case")),
    }
}

fn check_server_option(key: &str, value: &Value) -> Result<(), String> {
    let alone = Table::from_iter([(key.to_owned(), value.clone())]);
    match alone.try_into::<super::ServerConfig>() {
        Ok(_) => Ok(()),
        Err(error) => Err(words(&error).1),
    }
}

/// The value of a variable: what reads as a number, a truth value, a list or a table is that, everything else a text.
fn value_of(text: &str) -> Value {
    let read = format!("value = {text}").parse::<Table>().ok();
    let value = read
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    match value {
        None | Some(Value::Datetime(_)) => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

/// The names of the variables that secrets are read from: `{ env = "NAME" }`.
fn secret_variables(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            if let (1, Some(Value::String(name))) = (table.len(), table.get("env")) {
                names.push(name.clone());
            }
            table.values().for_each(|value| secret_variables(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| secret_variables(value, names)),
        _ => {}
    }
}

/// Makes relative paths those of `folder`: the file of a secret, options that end in `_file`; `path` and what ends in
/// `_path` where it is an option of the server or of a catalog itself.
pub(super) fn resolve_paths(table: &mut Table, folder: &Path) {
    let join = |value: &mut Value| {
        if let Value::String(path) = value
            && !path.is_empty()
        {
            // Joining an absolute path gives that.
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
    };
    if let Some(Value::Table(server)) = table.get_mut("server") {
        named_paths(server).for_each(join);
    }
    if let Some(Value::Table(catalogs)) = table.get_mut("catalogs") {
        for catalog in catalogs.iter_mut().filter_map(|(_, value)| value.as_table_mut()) {
            named_paths(catalog).for_each(join);
        }
    }
    each_file(table, &mut |value| join(value));
}

fn named_paths(table: &mut Table) -> impl Iterator<Item = &mut Value> {
    table
        .iter_mut()
        .filter(|(key, _)| *key == "path" || key.ends_with("_path"))
        .map(|(_, value)| value)
}

/// Calls `each` with every option that names a file to be read: `..._file`, `{ file = "..." }`.
fn each_file(table: &mut Table, each: &mut impl FnMut(&mut Value)) {
    let alone = table.len() == 1;
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => each_file(inner, each),
            Value::Array(values) => {
                for inner in values.iter_mut().filter_map(Value::as_table_mut) {
                    each_file(inner, each);
                }
            }
            Value::String(_) if key.ends_with("_file") || key == "tls_ca" || (alone && key == "file") => {
                each(value);
            }
            _ => {}
        }
    }
}

/// A number that is another one when `options` are, or the files they name.
pub(super) fn fingerprint(options: &Table) -> u64 {
    let mut hasher = DefaultHasher::new();
    options.to_string().hash(&mut hasher);
    let mut options = options.clone();
    each_file(&mut options, &mut |value| {
        let Some(path) = value.as_str() else { return };
        let is_small = std::fs::metadata(path).is_ok_and(|found| found.len() <= WATCHED_BYTES_MAX);
        let content = is_small.then(|| std::fs::read(path).ok()).flatten();
        content.hash(&mut hasher);
    });
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(file: &str, variables: &[(&str, &str)]) -> (Table, Vec<String>) {
        let mut table = parse(file).unwrap();
        let mut problems = Vec::new();
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        apply_environment(&mut table, variables, &mut problems);
        (table, problems)
    }

    #[test]
    fn the_environment_comes_over_the_file() {
        let file = "[server]\nconnections_max = 1\n[catalogs.My-Db]\nurl = \"a\"\n\
                    [catalogs.b]\npassword = { env = \"CAUSEWAY_B\" }\n";
        let (table, problems) = applied(
            file,
            &[
                ("CAUSEWAY_SERVER__CONNECTIONS_MAX", "7"),
                ("CAUSEWAY_SERVER__TLS__REQUIRED", "true"),
                ("CAUSEWAY_CATALOGS__MY_DB__URL", "mysql://x"),
                ("CAUSEWAY_CATALOGS__NEW__PASSWORD", "{ env = \"X\" }"),
                ("CAUSEWAY_CATALOGS__NEW__BUCKET", "\"12\""),
                ("CAUSEWAY_B", "a secret of the file"),
                ("HOME", "/"),
            ],
        );
        assert_eq!(problems, Vec::<String>::new());
        let expected = parse(
            "[server]\nconnections_max = 7\ntls = { required = true }\n[catalogs.My-Db]\nurl = \"mysql://x\"\n\
             [catalogs.b]\npassword = { env = \"CAUSEWAY_B\" }\n\
             [catalogs.new]\npassword = { env = \"X\" }\nbucket = \"12\"\n",
        );
        assert_eq!(table, expected.unwrap());
    }

    #[test]
    fn what_is_no_option_is_told_by_the_name_of_its_variable() {
        let (_, problems) = applied(
            "[catalogs.a]\n[catalogs.A]\n",
            &[
                ("CAUSEWAY_NONSENSE", "1"),
                ("CAUSEWAY_SERVER__LISEN", "1"),
                ("CAUSEWAY_SERVER__LISTEN", "nowhere"),
                ("CAUSEWAY_CATALOGS__A__URL", "x"),
                ("CAUSEWAY_CATALOGS__B____X", "x"),
            ],
        );
        let starts = [
            "CAUSEWAY_CATALOGS__A__URL: several names",
            "CAUSEWAY_CATALOGS__B____X: a part of its key is empty",
            "CAUSEWAY_NONSENSE: is no option",
            "CAUSEWAY_SERVER__LISEN: is no option; did you mean listen?",
            "CAUSEWAY_SERVER__LISTEN: invalid socket address",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn relative_paths_are_those_of_the_file() {
        let mut table = parse(
            "[server]\nspill_path = \"spill\"\ntls = { cert_file = \"a.crt\", key_file = \"/b.key\" }\n\
             [users.ann]\nverifier = { file = \"ann\" }\n\
             [catalogs.lake]\npath = \"data\"\npassword = { file = \"p\" }\n\
             [[catalogs.lake.tables]]\npath = \"below/the/root\"\nfile = \"x\"\nname = \"n\"\n",
        )
        .unwrap();
        resolve_paths(&mut table, Path::new("/etc/causeway"));
        let expected = parse(
            "[server]\nspill_path = \"/etc/causeway/spill\"\n\
             tls = { cert_file = \"/etc/causeway/a.crt\", key_file = \"/b.key\" }\n\
             [users.ann]\nverifier = { file = \"/etc/causeway/ann\" }\n\
             [catalogs.lake]\npath = \"/etc/causeway/data\"\npassword = { file = \"/etc/causeway/p\" }\n\
             [[catalogs.lake.tables]]\npath = \"below/the/root\"\nfile = \"x\"\nname = \"n\"\n",
        );
        assert_eq!(table, expected.unwrap());
    }

    #[test]
    fn a_file_that_has_changed_changes_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "one").unwrap();
        let options = parse(&format!("password = {{ file = {secret:?} }}\n")).unwrap();
        let before = fingerprint(&options);
        assert_eq!(fingerprint(&options), before);
        std::fs::write(&secret, "two").unwrap();
        assert_ne!(fingerprint(&options), before);
    }
}
