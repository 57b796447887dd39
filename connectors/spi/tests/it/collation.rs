//! A collation as SQL databases have it: no case, no accents, no trailing blanks.

/// The text by which the collation compares.
pub(crate) fn folded(text: &str) -> String {
    text.trim_end_matches(' ').chars().map(fold).collect()
}

fn fold(character: char) -> char {
    match character {
        'á' | 'Á' | 'à' => 'a',
        'é' | 'É' => 'e',
        'ß' | 'ſ' => 's',
        'İ' | 'ı' => 'i',
        'ÿ' => 'y',
        other => other.to_lowercase().next().unwrap_or(other),
    }
}

/// What `_` stands for in a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Underscore {
    Character,
    Byte,
}

/// `LIKE` under the collation, `\` escapes. Trailing blanks count, as they do in LIKE.
pub(crate) fn like(text: &str, pattern: &str, underscore: Underscore) -> bool {
    let units = |text: &str| -> Vec<u32> {
        let folded = text.chars().map(fold);
        match underscore {
            Underscore::Character => folded.map(u32::from).collect(),
            Underscore::Byte => folded.collect::<String>().bytes().map(u32::from).collect(),
        }
    };
    matches(&units(text), &units(pattern))
}

fn matches(text: &[u32], pattern: &[u32]) -> bool {
    let is = |unit: u32, character: char| unit == u32::from(character);
    match pattern {
        [] => text.is_empty(),
        [first, rest @ ..] if is(*first, '%') => {
            (0..=text.len()).any(|skipped| matches(&text[skipped..], rest))
        }
        [first, rest @ ..] if is(*first, '_') => !text.is_empty() && matches(&text[1..], rest),
        [first, second, rest @ ..] if is(*first, '\\') => {
            text.first() == Some(second) && matches(&text[1..], rest)
        }
        [first, rest @ ..] => text.first() == Some(first) && matches(&text[1..], rest),
    }
}

#[test]
fn collation_folds_what_databases_fold() {
    assert_eq!(folded("ÁLICE  "), folded("alice"));
    assert!(like("a_b", "A\\_b", Underscore::Character) && !like("axb", "a\\_b", Underscore::Character));
    assert!(like("日本", "__", Underscore::Character) && !like("日本", "__", Underscore::Byte));
}
