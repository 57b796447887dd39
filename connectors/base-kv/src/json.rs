//! Places in a JSON document as the text they were written with, so that no digit of a number is lost.
//!
//! serde_json decides what is JSON; finding a place in what is known to be JSON is then a walk over its bytes.

use std::borrow::Cow;
use std::str;

use serde::de::IgnoredAny;

use crate::json_path::JsonStep;
use crate::value_text::Problem;

const NOT_JSON: Problem = "is not JSON";

/// A value within a document: its text, without blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonValue<'a>(&'a str);

impl<'a> JsonValue<'a> {
    /// Checks that `bytes` are one JSON value, whatever its size or depth.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Problem> {
        let text = str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| NOT_JSON)?;
        Ok(Self(text.trim_matches(is_blank)))
    }

    /// The value that `steps` lead to; `None` where there is none.
    pub(crate) fn at(self, steps: &[JsonStep]) -> Result<Option<Self>, Problem> {
        let mut value = self;
        for step in steps {
            let found = match step {
                JsonStep::Member(name) => value.members(std::slice::from_ref(name))?.pop().flatten(),
                JsonStep::Element(position) => value.elements().nth(*position),
            };
            match found {
                Some(found) => value = found,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    /// The text as it was written.
    pub(crate) fn raw(self) -> &'a str {
        self.0
    }

    /// Whether it is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// What Postgres' `->>` gives: a string without quotes and escapes, anything else as it was written.
    pub(crate) fn text(self) -> Result<Cow<'a, str>, Problem> {
        if self.0.starts_with('"') {
            return decoded(self.0);
        }
        Ok(Cow::Borrowed(self.0))
    }

    /// Whether it is an array.
    pub(crate) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    /// The elements of an array; none of anything else.
    pub(crate) fn elements(self) -> Items<'a> {
        Items::of(self.0, '[')
    }

    /// The members called `names` of an object, in one walk over it; of several of one name the last.
    pub(crate) fn members(self, names: &[String]) -> Result<Vec<Option<Self>>, Problem> {
        let mut found = vec![None; names.len()];
        let mut items = Items::of(self.0, '{');
        while let Some(key) = items.next() {
            items.pass_by(':');
            let value = items.next();
            let key = decoded(key.0)?;
            if let Some(position) = names.iter().position(|name| *name == key) {
                found[position] = value;
            }
        }
        Ok(found)
    }
}

/// The values within one pair of brackets, in their order; of an object, names and values by turns.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    rest: &'a str,
}

impl<'a> Items<'a> {
    fn of(text: &'a str, bracket: char) -> Self {
        let rest = text.strip_prefix(bracket).unwrap_or_default();
        Self { rest }
    }

    fn pass_by(&mut self, separator: char) {
        let rest = self.rest.trim_start_matches(is_blank);
        self.rest = rest.strip_prefix(separator).unwrap_or(rest);
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = JsonValue<'a>;

    fn next(&mut self) -> Option<JsonValue<'a>> {
        self.pass_by(',');
        let rest = self.rest.trim_start_matches(is_blank);
        if rest.is_empty() || rest.starts_with([']', '}']) {
            return None;
        }
        let (value, rest) = rest.split_at(length(rest.as_bytes()));
        self.rest = rest;
        Some(JsonValue(value))
    }
}

/// The bytes of the value that `text` begins with.
fn length(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]),
            b'[' | b'{' => {
                depth += 1;
                at += 1;
            }
            // The end of what holds a bare number or word.
            b']' | b'}' | b',' | b':' if depth == 0 => return at,
            b']' | b'}' => {
                depth -= 1;
                at += 1;
            }
            byte if depth == 0 && is_blank(char::from(byte)) => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The bytes of the string that `text` begins with, its quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// A string without quotes and escapes.
fn decoded(quoted: &str) -> Result<Cow<'_, str>, Problem> {
    match quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(quoted)
            .map(Cow::Owned)
            .map_err(|_| "holds an escape that is no character"),
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_path::JsonPath;

    fn at<'a>(document: &'a str, path: &str) -> Option<&'a str> {
        let document = JsonValue::parse(document.as_bytes()).unwrap();
        let value = document.at(JsonPath::parse(path).unwrap().steps()).unwrap();
        value.map(JsonValue::raw)
    }

    #[test]
    fn finds_values_as_they_were_written() {
        let document =
            "\n{ \"a\" : {\"b\": [1, \"x]\\\"}\", {\"c\":null} , 1.50e1 ]},\"é\":\"\\u00e9\" , \"\":0}\t";
        assert_eq!(at(document, "$.a.b[0]"), Some("1"));
        assert_eq!(at(document, "$.a.b[1]"), Some("\"x]\\\"}\""));
        assert_eq!(at(document, "$.a.b[2]"), Some("{\"c\":null}"));
        assert_eq!(at(document, "$.a.b[2].c"), Some("null"));
        assert_eq!(at(document, "$.a.b[3]"), Some("1.50e1"));
        assert_eq!(at(document, "$.a.b[4]"), None);
        assert_eq!(at(document, "$.a.b.c"), None);
        assert_eq!(at(document, "$.a[0]"), None);
        assert_eq!(at(document, "$['é']"), Some("\"\\u00e9\""));
        assert_eq!(at(document, "$['']"), Some("0"));
        assert_eq!(at(document, "$.é.x"), None);
        assert_eq!(at(document, "$").unwrap(), document.trim());
        assert_eq!(at("[]", "$[0]"), None);
        assert_eq!(at("{}", "$.a"), None);
        assert_eq!(at(" 7 ", "$"), Some("7"));
    }

    #[test]
    fn names_are_compared_decoded_and_the_last_counts() {
        assert_eq!(at(r#"{"\u0061":1,"b":2}"#, "$.a"), Some("1"));
        assert_eq!(at(r#"{"a":1,"b":2,"a":3}"#, "$.a"), Some("3"));
        assert_eq!(at(r#"{"a":{"a":1}}"#, "$.a.a"), Some("1"));
    }

    #[test]
    fn text_is_a_string_without_quotes() {
        let text = |document: &'static str| {
            let value = JsonValue::parse(document.as_bytes()).unwrap();
            value.text().map(Cow::into_owned)
        };
        assert_eq!(text(r#""a\n\"b\" 🦀""#).unwrap(), "a\n\"b\" 🦀");
        assert_eq!(text(r#""\ud83e\udd80""#).unwrap(), "🦀");
        assert_eq!(text("true").unwrap(), "true");
        assert_eq!(text("[1, 2]").unwrap(), "[1, 2]");
        assert_eq!(text(r#""\ud83e""#), Err("holds an escape that is no character"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{'a':1}",
            "[1,]",
            "nul",
            "01",
            "\"a",
            "1 2",
            "{\"a\":\u{1}}",
        ] {
            assert_eq!(JsonValue::parse(text.as_bytes()), Err(NOT_JSON), "{text}");
        }
        assert_eq!(JsonValue::parse(b"\"\xff\""), Err("is not UTF-8"));
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(at(&deep, "$[0][0]").unwrap().len(), deep.len() - 4);
    }
}
