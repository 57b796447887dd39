//! What the catalog's login needs, and what it may do beyond that: for `causeway check --grants`.

use causeway_spi::{ErrorKind, Result};
use redis::Value;

use crate::error::PERMISSIONS_HINT;

/// The rule that gives a login what the catalog reads: the keys of its tables, by the commands that read them.
pub(crate) fn needs<'a>(templates: impl Iterator<Item = &'a str>) -> String {
    let mut patterns: Vec<String> = templates
        .map(|template| format!("~{}", pattern(template)))
        .collect();
    patterns.sort();
    patterns.dedup();
    let commands = PERMISSIONS_HINT
        .split([' ', '.', ','])
        .filter(|word| word.starts_with('+'));
    let rules: Vec<&str> = patterns.iter().map(String::as_str).chain(commands).collect();
    format!("ACL SETUSER causeway reset on >PASSWORD {}", rules.join(" "))
}

/// What the login may do beyond that, from the answer to ACL GETUSER.
pub(crate) fn excess(rules: Result<Value>) -> Result<Vec<String>> {
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) if error.kind() == ErrorKind::NotPermitted => {
            return Ok(vec![
                "It may not ask for its own rights, which it does not need either.".to_owned(),
            ]);
        }
        Err(error) => return Err(error),
    };
    let has = |field: &str, word: &str| {
        field_of(&rules, field).is_some_and(|text| text.split(' ').any(|rule| rule == word))
    };
    let mut told = Vec::new();
    if has("commands", "+@all") {
        told.push("It may run every command, those that write too.".to_owned());
    } else if ["+@write", "+@admin", "+@dangerous"]
        .iter()
        .any(|group| has("commands", group))
    {
        told.push("It may run commands that write or administer.".to_owned());
    }
    if has("keys", "~*") || has("keys", "*") {
        told.push("It may reach every key.".to_owned());
    }
    if has("flags", "nopass") {
        told.push("It has no password.".to_owned());
    }
    Ok(told)
}

/// A field of the answer as one text.
fn field_of(rules: &Value, field: &str) -> Option<String> {
    let pairs: Vec<(&Value, &Value)> = match rules {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
        Value::Array(items) => items
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [name, value] => Some((name, value)),
                _ => None,
            })
            .collect(),
        _ => return None,
    };
    let (_, value) = pairs
        .into_iter()
        .find(|(name, _)| text_of(name).as_deref() == Some(field))?;
    text_of(value)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Array(items) | Value::Set(items) => {
            let texts: Vec<String> = items.iter().filter_map(text_of).collect();
            Some(texts.join(" "))
        }
        _ => None,
    }
}

/// A key template as a pattern of keys: `part:{id}` is `part:*`.
fn pattern(template: &str) -> String {
    let mut pattern = String::new();
    let mut inside = false;
    for character in template.chars() {
        match character {
            '{' => {
                inside = true;
                pattern.push('*');
            }
            '}' => inside = false,
            _ if inside => {}
            '*' | '?' | '[' | ']' | '\\' => {
                pattern.push('\\');
                pattern.push(character);
            }
            other => pattern.push(other),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn only_the_tables_keys_are_reached() {
        let needs = needs(["part:{id}", "user*:{tenant}:{id}", "part:{id}"].into_iter());
        assert!(
            needs.starts_with("ACL SETUSER causeway reset on >PASSWORD ~part:* ~user\\*:*:* +@read "),
            "{needs}"
        );
        assert!(needs.ends_with(" +@connection +@transaction"), "{needs}");
    }

    #[test]
    fn what_is_too_much_is_told() {
        let default = Value::Array(vec![
            bulk("flags"),
            Value::Array(vec![bulk("on"), bulk("nopass")]),
            bulk("commands"),
            bulk("+@all"),
            bulk("keys"),
            bulk("~*"),
        ]);
        assert_eq!(
            excess(Ok(default)).unwrap(),
            [
                "It may run every command, those that write too.",
                "It may reach every key.",
                "It has no password."
            ]
        );
        let least = Value::Map(vec![
            (bulk("flags"), Value::Array(vec![bulk("on")])),
            (bulk("commands"), bulk("-@all +ping +hmget")),
            (bulk("keys"), bulk("~part:*")),
        ]);
        assert_eq!(excess(Ok(least)).unwrap(), Vec::<String>::new());
    }
}
