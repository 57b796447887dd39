//! LIKE patterns: from our engine's rules to a pattern with an escape character of our own.
//!
//! Here a backslash takes the next character literally, whatever it is; one at the very end stands for itself. There
//! the pattern is escaped with `!`, which no session setting can change.

/// The escape character of printed patterns.
const ESCAPE: char = '!';

/// `pattern` of our engine, escaped with `!`.
pub(super) fn escaped_pattern(pattern: &str) -> String {
    let mut escaped = String::with_capacity(pattern.len() + 4);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' | '_' => escaped.push(character),
            '\\' => push_literal(&mut escaped, characters.next().unwrap_or('\\')),
            literal => push_literal(&mut escaped, literal),
        }
    }
    escaped
}

fn push_literal(escaped: &mut String, character: char) {
    if matches!(character, '%' | '_' | ESCAPE) {
        escaped.push(ESCAPE);
    }
    escaped.push(character);
}

/// The characters before the first wildcard, unescaped, and whether they are the whole pattern.
pub(super) fn literal_beginning(pattern: &str) -> (String, bool) {
    let mut literal = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' | '_' => return (literal, false),
            '\\' => literal.push(characters.next().unwrap_or('\\')),
            other => literal.push(other),
        }
    }
    (literal, true)
}

/// The least text, by bytes, that is greater than every text beginning with `prefix`.
pub(super) fn next_text(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{escaped_pattern, literal_beginning, next_text};

    #[test]
    fn patterns_are_escaped_anew() {
        for (here, there) in [
            ("a%b_", "a%b_"),
            (r"50\%", "50!%"),
            (r"\a\\b\_", r"a\b!_"),
            ("hey!", "hey!!"),
            (r"end\", r"end\"),
            (r"\!", "!!"),
            ("", ""),
        ] {
            assert_eq!(escaped_pattern(here), there, "{here}");
        }
    }

    #[test]
    fn beginnings_become_ranges() {
        assert_eq!(literal_beginning(r"a\\b"), (r"a\b".to_owned(), true));
        assert_eq!(literal_beginning("a_b"), ("a".to_owned(), false));
        assert_eq!(next_text("az").as_deref(), Some("a{"));
        assert_eq!(next_text("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(next_text("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(next_text("\u{10ffff}"), None);
    }
}
