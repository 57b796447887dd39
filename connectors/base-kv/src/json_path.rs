//! Paths into JSON, `$.address.city` or `$.tags[0]`: members by name and elements by position, nothing else.

use std::fmt;

use causeway_spi::Result;

use crate::columns::configuration;

/// Most steps of a path.
const STEPS_MAX: usize = 32;

/// One place in a JSON document; empty is the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<JsonStep>,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonStep {
    /// The member of an object.
    Member(String),
    /// The element of an array, from 0.
    Element(usize),
}

impl JsonPath {
    /// The member `name` of the document, whatever characters the name holds.
    pub fn member(name: &str) -> Self {
        Self {
            steps: vec![JsonStep::Member(name.to_owned())],
        }
    }

    /// Reads `$`, `$.name`, `$["any name"]`, `$.list[0]` and what they make together. Errors: `Configuration`.
    pub fn parse(text: &str) -> Result<Self> {
        let problem = |what: &str| {
            configuration(format!("path \"{text}\" {what}"))
                .hint("Write a path such as $.address.city or $.tags[0].")
        };
        let mut rest = text
            .strip_prefix('$')
            .ok_or_else(|| problem("does not begin with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = next_step(rest).map_err(problem)?;
            steps.push(step);
            rest = after;
        }
        if steps.len() > STEPS_MAX {
            return Err(problem("has more than 32 steps"));
        }
        Ok(Self { steps })
    }

    /// The name, if it is a member of the document itself.
    pub fn as_member(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [JsonStep::Member(name)] => Some(name),
            _ => None,
        }
    }

    pub(crate) fn steps(&self) -> &[JsonStep] {
        &self.steps
    }
}

/// The step that `text` begins with, and what follows it.
fn next_step(text: &str) -> Result<(JsonStep, &str), &'static str> {
    if let Some(text) = text.strip_prefix('.') {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return Err("has a step without a name");
        }
        if name.contains(['*', '"', '\'', ']', '?', '@', '(', ')']) || name.contains(char::is_whitespace) {
            return Err("has a name that must stand in brackets and quotes, or a step that is no name");
        }
        return Ok((JsonStep::Member(name.to_owned()), rest));
    }
    let text = text
        .strip_prefix('[')
        .ok_or("has a step that begins with neither . nor [")?;
    if let Some(quote) = text.chars().next().filter(|&first| first == '"' || first == '\'') {
        return quoted_step(&text[1..], quote);
    }
    let (position, rest) = text.split_once(']').ok_or("has a bracket that is not closed")?;
    if position.is_empty() || !position.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("has brackets with neither a position, from 0, nor a quoted name");
    }
    let position = position.parse().map_err(|_| "has a position out of range")?;
    Ok((JsonStep::Element(position), rest))
}

/// A quoted name, its closing bracket and what follows; a backslash makes the next character literal.
fn quoted_step(text: &str, quote: char) -> Result<(JsonStep, &str), &'static str> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            let rest = text[at + 1..]
                .strip_prefix(']')
                .ok_or("has a quoted name without a closing bracket")?;
            return Ok((JsonStep::Member(name), rest));
        }
        match character {
            '\\' => name.extend(characters.next().map(|(_, literal)| literal)),
            other => name.push(other),
        }
    }
    Err("has a quote that is not closed")
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                JsonStep::Member(name) => write!(f, "[{name:?}]")?,
                JsonStep::Element(position) => write!(f, "[{position}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        JsonPath::parse(text).unwrap().to_string()
    }

    #[test]
    fn reads_members_and_positions() {
        assert_eq!(shown("$"), "$");
        assert_eq!(shown("$.address.city"), r#"$["address"]["city"]"#);
        assert_eq!(shown("$.tags[0].größe"), r#"$["tags"][0]["größe"]"#);
        assert_eq!(shown(r#"$["a.b [c]"]['it\'s']"#), r#"$["a.b [c]"]["it's"]"#);
        assert_eq!(JsonPath::member("a.b").to_string(), r#"$["a.b"]"#);
    }

    #[test]
    fn refuses_what_is_no_single_place() {
        for (text, part) in [
            ("", "begin with $"),
            ("address", "begin with $"),
            ("$address", "neither . nor ["),
            ("$.", "without a name"),
            ("$..city", "without a name"),
            ("$.*", "no name"),
            ("$.a b", "brackets and quotes"),
            ("$[*]", "position"),
            ("$[-1]", "position"),
            ("$[]", "position"),
            ("$[1", "not closed"),
            ("$['a", "not closed"),
            ("$['a'", "closing bracket"),
            ("$[99999999999999999999]", "out of range"),
        ] {
            let error = JsonPath::parse(text).unwrap_err();
            assert!(error.message().contains(part), "{text}: {error}");
        }
        assert!(JsonPath::parse(&format!("${}", "[0]".repeat(33))).is_err());
    }
}
