//! The law of ranges over the text of templates: none may miss a key.

use causeway_spi::TableName;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::definition::TableDefinition;

const TEMPLATES: [&str; 4] = [
    "t:{name}:{day}:{id}",
    "t:{day}{{{name}",
    "t:{id}-{name}",
    "{name}::{day};",
];
const TEXTS: [&str; 12] = [
    "",
    "\0",
    "!",
    "a",
    "a!",
    "a:",
    "a::",
    "ab",
    "b",
    "é",
    "z\u{10ffff}",
    "~",
];

fn template(text: &str) -> KeyTemplate {
    let columns = ["name text", "day date", "id int"].map(ToOwned::to_owned);
    let name = TableName::new("c", "public", "t");
    let definition = TableDefinition::parse(name, text, &columns).unwrap();
    definition.template().clone()
}

fn random_value(key_type: KeyType, random: &mut StdRng) -> KeyValue {
    match key_type {
        KeyType::Text => KeyValue::Text(TEXTS[random.random_range(0..TEXTS.len())].to_owned()),
        // The first is before the year 1 and the last after 9999: no text, no bound.
        KeyType::Date => KeyValue::Date(
            [-800_000, -719_162, -1, 0, 9, 10, 2_932_896, 3_000_000][random.random_range(0..8)],
        ),
        _ => KeyValue::Int(random.random_range(-12..120)),
    }
}

fn random_binding(key_type: KeyType, random: &mut StdRng) -> Binding {
    let bound = |random: &mut StdRng| match random.random_range(0..3) {
        0 => Bound::Included(random_value(key_type, random)),
        1 => Bound::Excluded(random_value(key_type, random)),
        _ => Bound::Unbounded,
    };
    match random.random_range(0..6) {
        0 => Binding::Free,
        1 | 2 => Binding::Equal(random_value(key_type, random)),
        3 if key_type == KeyType::Text => {
            Binding::StartsWith(TEXTS[random.random_range(1..TEXTS.len())].to_owned())
        }
        _ => Binding::Between(bound(random), bound(random)),
    }
}

#[test]
fn a_range_misses_no_key() {
    let mut random = StdRng::seed_from_u64(5);
    let (mut kept, mut dropped) = (0, 0);
    for round in 0..100_000 {
        let template = template_of(round % TEMPLATES.len());
        let types: Vec<KeyType> = template.columns().map(|(_, key_type)| key_type).collect();
        let tuple: Vec<KeyValue> = types.iter().map(|&t| random_value(t, &mut random)).collect();
        let mut bindings: Vec<Binding> = types.iter().map(|&t| random_binding(t, &mut random)).collect();
        if random.random_bool(0.5) {
            bindings[0] = Binding::Equal(tuple[0].clone());
        }
        let Some(key) = template.render(&tuple) else {
            continue;
        };
        let range = template.range(&bindings);
        let found = range.is_some_and(|range| range.contains(&key));
        if bindings
            .iter()
            .zip(&tuple)
            .all(|(binding, value)| binding.allows(value))
        {
            assert!(found, "{} {tuple:?} {bindings:?}", template.text());
            kept += 1;
        } else if !found {
            dropped += 1;
        }
    }
    assert!(kept > 1_000 && dropped > 20_000, "{kept} kept, {dropped} dropped");
}

fn template_of(index: usize) -> &'static KeyTemplate {
    static PARSED: std::sync::LazyLock<Vec<KeyTemplate>> =
        std::sync::LazyLock::new(|| TEMPLATES.map(template).into());
    &PARSED[index]
}

#[test]
fn bindings_together_allow_what_both_allow() {
    let mut random = StdRng::seed_from_u64(6);
    for _ in 0..50_000 {
        let (left, right) = (
            random_binding(KeyType::Text, &mut random),
            random_binding(KeyType::Text, &mut random),
        );
        let value = random_value(KeyType::Text, &mut random);
        if left.allows(&value) && right.allows(&value) {
            let both = left.and(&right);
            assert!(
                both.is_some_and(|both| both.allows(&value)),
                "{left:?} {right:?} {value:?}"
            );
        }
    }
}

#[test]
fn ranges_become_disjoint() {
    let range = |low: &str, high: &str| KeyRange {
        low: low.into(),
        high: (!high.is_empty()).then(|| high.into()),
    };
    let ranges = vec![
        range("d", "f"),
        range("a", "b"),
        range("b", "c"),
        range("e", "e"),
        range("x", ""),
        range("y", "z"),
    ];
    assert_eq!(
        disjoint(ranges),
        [range("a", "c"), range("d", "f"), range("x", "")]
    );
    assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
    assert_eq!(after_prefix(b"\xff"), None);
    assert!(KeyRange::prefix(b"\xff").contains(b"\xff\xff\xff"));
}
