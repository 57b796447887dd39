//! The laws of keys, with nasty values.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

fn template(text: &str, columns: &[&str]) -> KeyTemplate {
    KeyTemplate::parse(text, &definitions(columns)).unwrap()
}

fn definitions(columns: &[&str]) -> Vec<ColumnDefinition> {
    columns
        .iter()
        .map(|column| ColumnDefinition::parse(column).unwrap())
        .collect()
}

fn problem(text: &str, columns: &[&str]) -> String {
    let error = KeyTemplate::parse(text, &definitions(columns)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    error.message().to_owned()
}

fn text(value: &str) -> KeyValue {
    KeyValue::Text(value.to_owned())
}

#[test]
fn renders_and_parses() {
    let part = template("part:{p_partkey}", &["p_partkey bigint"]);
    assert_eq!(part.prefix(), b"part:");
    assert_eq!(part.render(&[KeyValue::Int(-7)]).unwrap(), b"part:-7");
    assert_eq!(part.parse_key(b"part:-7"), Some(vec![KeyValue::Int(-7)]));
    for other in [
        "part:007",
        "part:+7",
        "part: 7",
        "part:",
        "part:7:8",
        "Part:7",
        "part:99999999999999999999",
    ] {
        assert_eq!(part.parse_key(other.as_bytes()), None, "{other}");
    }
    let tagged = template("{{u{id}}}:x", &["id int"]);
    assert_eq!(tagged.render(&[KeyValue::Int(5)]).unwrap(), b"{u5}:x");
    assert_eq!(tagged.parse_key(b"{u5}:x"), Some(vec![KeyValue::Int(5)]));
    assert_eq!(tagged.render(&[KeyValue::Int(i64::MAX)]), None);
}

#[test]
fn a_part_may_not_hold_its_delimiter_unless_it_is_last() {
    let user = template("user:{tenant}:{id}", &["tenant text", "id text"]);
    assert_eq!(user.render(&[text("a:b"), text("c")]), None);
    assert_eq!(user.render(&[text("a"), text("b:c")]).unwrap(), b"user:a:b:c");
    assert_eq!(user.parse_key(b"user:a:b:c"), Some(vec![text("a"), text("b:c")]));
    assert_eq!(user.parse_key(b"user::"), Some(vec![text(""), text("")]));
    // The part does not contain `::`, but it would be cut one character early.
    let double = template("{a}::{b}", &["a text", "b text"]);
    assert_eq!(double.render(&[text("x:"), text("y")]), None);
    assert_eq!(double.parse_key(b"x:::y"), Some(vec![text("x"), text(":y")]));
    let closed = template("{a}:end", &["a text"]);
    assert_eq!(closed.parse_key(b"x:end:end"), Some(vec![text("x:end")]));
}

#[test]
fn refuses_ambiguous_templates() {
    assert!(problem("{a}{b}", &["a int", "b int"]).contains("nothing between {a} and {b}"));
    assert!(problem("x:{a}:{a}", &["a int"]).contains("twice"));
    assert!(problem("x:{b}", &["a int"]).contains("not among the columns"));
    assert!(problem("x:{a}", &["a numeric(5,2)"]).contains("of type numeric(5,2)"));
    assert!(problem("config", &["a int"]).contains("names no column"));
    assert!(problem("x:{a", &["a int"]).contains("not closed"));
    assert!(problem("x:a}", &["a int"]).contains("closing brace"));
    assert!(problem("x:{}", &["a int"]).contains("without a column"));
}

const TEMPLATES: [(&str, &[&str]); 7] = [
    ("{a}", &["a text"]),
    ("part:{a}", &["a bigint"]),
    ("u:{a}:{b}", &["a text", "b text"]),
    ("u:{a}::{b}::", &["a text", "b text"]),
    ("{a}-{b}-{c}", &["a int", "b smallint", "c date"]),
    ("x{a}aa{b}ab", &["a text", "b text"]),
    ("d:{a}:{b}", &["a date", "b text"]),
];
const ALPHABET: [&str; 14] = [
    "a", "b", ":", "-", "é", "🦀", " ", "0", "7", "x", "\0", "*", "{", "u:",
];

fn random_text(random: &mut StdRng) -> String {
    let length = random.random_range(0..6);
    (0..length).map(|_| *ALPHABET.choose(random).unwrap()).collect()
}

fn random_value(key_type: KeyType, random: &mut StdRng) -> KeyValue {
    let edges = [0, -1, 7, i64::MIN, i64::MAX, 32_767, 32_768, -2_147_483_649];
    match key_type {
        KeyType::Text => text(&random_text(random)),
        KeyType::Date => KeyValue::Date(random.random_range(-800_000..3_000_000)),
        _ if random.random_bool(0.3) => KeyValue::Int(*edges.choose(random).unwrap()),
        _ => KeyValue::Int(random.random_range(-40_000..40_000)),
    }
}

#[test]
fn parsing_a_rendered_key_gives_the_values() {
    let mut random = StdRng::seed_from_u64(1);
    let mut keys = 0;
    for round in 0..20_000 {
        let (pattern, columns) = TEMPLATES[round % TEMPLATES.len()];
        let template = template(pattern, columns);
        let values: KeyTuple = template
            .columns()
            .map(|(_, key_type)| random_value(key_type, &mut random))
            .collect();
        if let Some(key) = template.render(&values) {
            keys += 1;
            assert_eq!(template.parse_key(&key), Some(values), "{pattern}");
        }
    }
    assert!(keys > 8_000, "only {keys} keys");
}

#[test]
fn rendering_a_parsed_key_gives_the_key() {
    let mut random = StdRng::seed_from_u64(2);
    let mut rows = 0;
    for round in 0..40_000 {
        let (pattern, columns) = TEMPLATES[round % TEMPLATES.len()];
        let template = template(pattern, columns);
        let mut key = template.prefix().to_vec();
        for (_, key_type) in template.columns() {
            let near = key_type.render(&random_value(key_type, &mut random));
            let part = if random.random_bool(0.7) {
                near.unwrap_or_default()
            } else {
                random_text(&mut random)
            };
            key.extend_from_slice(part.as_bytes());
            key.extend_from_slice(
                ["", ":", "::", "-", "aa", "ab"]
                    .choose(&mut random)
                    .unwrap()
                    .as_bytes(),
            );
        }
        if let Some(values) = template.parse_key(&key) {
            rows += 1;
            assert_eq!(template.render(&values), Some(key), "{pattern}");
        }
    }
    assert!(rows > 4_000, "only {rows} rows");
}
