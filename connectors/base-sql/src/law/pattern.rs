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

#[cfg(test)]
mod tests {
    use super::escaped_pattern;

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
}
