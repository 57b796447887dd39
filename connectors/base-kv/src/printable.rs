//! Bytes of a source, made fit for an error message.

use std::fmt::Write;

/// At most this many characters of a key or value are shown.
const PRINTABLE_CHARS_MAX: usize = 80;

/// Shows `bytes` on one line: text as it is, control characters and invalid UTF-8 as `\xNN`, cut after 80 characters.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid().chars().map(Ok);
        let invalid = chunk.invalid().iter().map(|&byte| Err(byte));
        for piece in valid.chain(invalid) {
            if shown == PRINTABLE_CHARS_MAX {
                text.push('…');
                return text;
            }
            shown += 1;
            match piece {
                Ok(character) if character.is_control() => text.extend(character.escape_default()),
                Ok(character) => text.push(character),
                Err(byte) => write!(text, "\\x{byte:02x}").expect("writing to a string cannot fail"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_text_and_escapes_the_rest() {
        assert_eq!(printable(b"part:7"), "part:7");
        assert_eq!(printable("größe\n\u{7}".as_bytes()), "größe\\n\\u{7}");
        assert_eq!(printable(b"a\xff\x00"), "a\\xff\\u{0}");
        assert_eq!(printable(&[b'x'; 100]).chars().count(), 81);
    }
}
