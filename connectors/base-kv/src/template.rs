//! Key templates such as `user:{tenant}:{id}`: the one place where columns become keys and keys become columns.
//!
//! The laws: `parse(render(v)) = v` where `render` gives a key at all, and `render(parse(k)) = k` where `parse` gives
//! values at all. So every row has one key, and a key that merely looks like a row (`part:007`) is none.

use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::columns::ColumnDefinition;
use crate::key::{KeyTuple, KeyType, KeyValue};

/// A key template: a literal prefix, then columns, each followed by the literal that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    prefix: Vec<u8>,
    parts: Vec<KeyPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyPart {
    column: String,
    key_type: KeyType,
    /// The literal after the column; empty only for the last one.
    delimiter: Vec<u8>,
}

enum Piece {
    Literal(String),
    Column(String),
}

impl KeyTemplate {
    /// Reads a template over `columns`; `{{` and `}}` stand for braces. Errors: `Configuration`.
    pub fn parse(text: &str, columns: &[ColumnDefinition]) -> Result<Self> {
        let problem = |what: String| {
            ConnectorError::new(
                ErrorKind::Configuration,
                format!("key template \"{text}\" {what}"),
            )
        };
        let mut template = Self {
            text: text.to_owned(),
            prefix: Vec::new(),
            parts: Vec::new(),
        };
        for piece in pieces(text).map_err(|what| problem(what.to_owned()))? {
            match piece {
                Piece::Literal(literal) => match template.parts.last_mut() {
                    None => template.prefix = literal.into_bytes(),
                    Some(part) => part.delimiter = literal.into_bytes(),
                },
                Piece::Column(name) => template.push_column(name, columns).map_err(problem)?,
            }
        }
        if template.parts.is_empty() {
            return Err(
                problem("names no column".to_owned()).hint("Write a column in braces: part:{p_partkey}.")
            );
        }
        Ok(template)
    }

    fn push_column(&mut self, name: String, columns: &[ColumnDefinition]) -> Result<(), String> {
        if let Some(previous) = self.parts.last()
            && previous.delimiter.is_empty()
        {
            return Err(format!(
                "has nothing between {{{}}} and {{{name}}}",
                previous.column
            ));
        }
        if self.parts.iter().any(|part| part.column == name) {
            return Err(format!("names column \"{name}\" twice"));
        }
        let Some(column) = columns.iter().find(|column| column.name == name) else {
            return Err(format!("names column \"{name}\", which is not among the columns"));
        };
        let Some(key_type) = KeyType::of(&column.column_type) else {
            return Err(format!(
                "names column \"{name}\" of type {}; a key column is smallint, integer, bigint, text or date",
                column.column_type
            ));
        };
        self.parts.push(KeyPart {
            column: name,
            key_type,
            delimiter: Vec::new(),
        });
        Ok(())
    }

    /// The template as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The literal bytes that every key begins with; may be empty.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The key columns with their types, in the order of the template.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, KeyType)> {
        self.parts
            .iter()
            .map(|part| (part.column.as_str(), part.key_type))
    }

    /// The type of each key column and the literal that ends it.
    pub(crate) fn ordered_parts(&self) -> impl Iterator<Item = (KeyType, &[u8])> {
        self.parts
            .iter()
            .map(|part| (part.key_type, part.delimiter.as_slice()))
    }

    /// The key of `values`; `None` when no key can hold them: another type, or a part that contains its delimiter.
    pub fn render(&self, values: &[KeyValue]) -> Option<Vec<u8>> {
        if values.len() != self.parts.len() {
            return None;
        }
        let mut key = self.prefix.clone();
        let mut lengths = Vec::with_capacity(values.len());
        for (part, value) in self.parts.iter().zip(values) {
            let text = part.key_type.render(value)?;
            lengths.push(text.len());
            key.extend_from_slice(text.as_bytes());
            key.extend_from_slice(&part.delimiter);
        }
        // A part may hold its delimiter only where splitting still finds the same parts.
        let parts = self.split(&key)?;
        let same = parts.iter().map(|part| part.len()).eq(lengths);
        same.then_some(key)
    }

    /// The columns of `key`; `None` when the key is not a row of this template.
    pub fn parse_key(&self, key: &[u8]) -> Option<KeyTuple> {
        let parts = self.split(key)?;
        let values = self.parts.iter().zip(parts);
        values.map(|(part, bytes)| part.key_type.parse(bytes)).collect()
    }

    /// Cuts a key at the first delimiter each time; the last column takes the rest.
    fn split<'key>(&self, key: &'key [u8]) -> Option<Vec<&'key [u8]>> {
        let mut rest = key.strip_prefix(self.prefix.as_slice())?;
        let mut found = Vec::with_capacity(self.parts.len());
        let (last, inner) = self.parts.split_last()?;
        for part in inner {
            let at = find(rest, &part.delimiter)?;
            found.push(&rest[..at]);
            rest = &rest[at + part.delimiter.len()..];
        }
        found.push(rest.strip_suffix(last.delimiter.as_slice())?);
        Some(found)
    }
}

/// The first place of `needle`, which is not empty, in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn pieces(text: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if characters.next_if_eq(&character).is_some() => literal.push(character),
            '}' => return Err("has a closing brace without an opening one"),
            '{' => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Column(column_name(&mut characters)?));
            }
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn column_name(characters: &mut impl Iterator<Item = char>) -> Result<String, &'static str> {
    let mut name = String::new();
    for character in characters {
        match character {
            '}' if name.is_empty() => return Err("has a pair of braces without a column"),
            '}' => return Ok(name),
            '{' => return Err("has a brace within a column"),
            other => name.push(other),
        }
    }
    Err("has a brace that is not closed")
}

#[cfg(test)]
mod tests;
