//! The laws of the binary form over nasty and random values.

use std::ops::Bound;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const TYPES: [KeyType; 5] = [
    KeyType::BigInt,
    KeyType::Text,
    KeyType::Numeric {
        precision: 38,
        scale: 2,
    },
    KeyType::Bytea,
    KeyType::Date,
];

fn random_tuple(random: &mut StdRng) -> KeyTuple {
    TYPES
        .iter()
        .map(|key_type| random_value(*key_type, random))
        .collect()
}

/// Few values of each type, so that tuples often agree in their first columns.
fn random_value(key_type: KeyType, random: &mut StdRng) -> KeyValue {
    let near = |random: &mut StdRng| {
        let edges = [
            0,
            1 << 8,
            1 << 16,
            1 << 56,
            i128::from(i64::MAX),
            1 << 120,
            i128::MAX - 3,
        ];
        let edge = edges[random.random_range(0..edges.len())];
        let number = edge + random.random_range(-2..3);
        if random.random_bool(0.5) {
            number
        } else {
            -1 - number
        }
    };
    match key_type {
        KeyType::Text => {
            let texts = [
                "",
                "\0",
                "\0\0",
                "\0\u{1}",
                "\u{1}",
                "a",
                "a\0",
                "a\0b",
                "a!",
                "a:",
                "ab",
                "é",
                "\u{10ffff}",
            ];
            KeyValue::Text(texts[random.random_range(0..texts.len())].to_owned())
        }
        KeyType::Bytea => {
            let length = random.random_range(0..3);
            let bytes = (0..length).map(|_| [0, 1, 0x7f, 0xff][random.random_range(0..4)]);
            KeyValue::Bytes(bytes.collect())
        }
        KeyType::Numeric { .. } => KeyValue::Decimal(near(random)),
        KeyType::Date => KeyValue::Date([i32::MIN, -1, 0, 1, i32::MAX][random.random_range(0..5)]),
        _ => KeyValue::Int(match random.random_range(0..3) {
            0 => [i64::MIN, i64::MIN + 1, i64::MAX][random.random_range(0..3)],
            _ => i64::try_from(near(random) % (1 << 60)).unwrap(),
        }),
    }
}

#[test]
fn bytes_are_in_the_order_of_the_columns_and_come_back() {
    let mut random = StdRng::seed_from_u64(3);
    let key = OrderedKey::new(TYPES.to_vec());
    for _ in 0..50_000 {
        let (left, mut right) = (random_tuple(&mut random), random_tuple(&mut random));
        let same = random.random_range(0..TYPES.len());
        right[..same].clone_from_slice(&left[..same]);
        let (left_key, right_key) = (OrderedKey::encode(&left), OrderedKey::encode(&right));
        assert_eq!(left_key.cmp(&right_key), left.cmp(&right), "{left:?} {right:?}");
        assert_eq!(key.decode(&left_key).unwrap(), left);
    }
}

#[test]
fn a_range_holds_every_key_that_agrees_and_no_neighbour() {
    let mut random = StdRng::seed_from_u64(4);
    let key = OrderedKey::new(TYPES.to_vec());
    let mut inside = 0;
    for _ in 0..50_000 {
        let mut tuple = random_tuple(&mut random);
        let pattern = random_tuple(&mut random);
        let bound = random.random_range(0..3);
        tuple[..bound].clone_from_slice(&pattern[..bound]);
        let (low, high) = (
            random_value(TYPES[bound], &mut random),
            random_value(TYPES[bound], &mut random),
        );
        let between = match random.random_range(0..3) {
            0 => Binding::Between(Bound::Included(low), Bound::Excluded(high)),
            1 => Binding::Between(Bound::Excluded(low), Bound::Included(high)),
            _ => Binding::Between(Bound::Unbounded, Bound::Included(high)),
        };
        let mut bindings: Vec<Binding> = pattern[..bound].iter().cloned().map(Binding::Equal).collect();
        bindings.push(between);
        bindings.resize(TYPES.len(), Binding::Free);
        let agrees = bindings
            .iter()
            .zip(&tuple)
            .all(|(binding, value)| binding.and(&Binding::Equal(value.clone())).is_some());
        inside += usize::from(agrees);
        let range = key.range(&bindings);
        let found = range.is_some_and(|range| range.contains(&OrderedKey::encode(&tuple)));
        assert_eq!(found, agrees, "{tuple:?} {bindings:?}");
    }
    assert!(inside > 10_000, "{inside}");
}

#[test]
fn text_that_begins_alike_is_one_range() {
    let key = OrderedKey::new(vec![KeyType::Text, KeyType::BigInt]);
    let range = key
        .range(&[Binding::StartsWith("a\0".to_owned()), Binding::Free])
        .unwrap();
    for (text, inside) in [
        ("a\0", true),
        ("a\0b", true),
        ("a", false),
        ("a\u{1}", false),
        ("b", false),
    ] {
        let found = range.contains(&OrderedKey::encode(&[
            KeyValue::Text(text.to_owned()),
            KeyValue::Int(-1),
        ]));
        assert_eq!(found, inside, "{text:?}");
    }
}

#[test]
fn other_bytes_are_no_key() {
    let key = OrderedKey::new(vec![KeyType::SmallInt, KeyType::Text]);
    for bytes in [
        &b""[..],
        b"\x81",
        b"\x80",
        b"\x80a",
        b"\x80a\x00",
        b"\x80a\x00\x02",
        b"\x80\xff\x00\x01",
        b"\x80a\x00\x01x",
    ] {
        let error = key.decode(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{bytes:?}");
    }
    let number = OrderedKey::new(vec![KeyType::BigInt]);
    assert!(number.decode(&[&[0x91][..], &[1; 17]].concat()).is_err());
    assert!(number.decode(&[&[0x89][..], &[1; 9]].concat()).is_err());
}
