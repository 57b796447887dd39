//! The values that sources get wrong, by kind of column, and random values around them.

use arrow::array::{ArrayRef, Int32Array, StringViewArray, StructArray};
use datafusion::common::ScalarValue;
use rand::prelude::*;
use std::sync::Arc;

use super::kind::{ColumnKind, TextKind, composite_fields};
use super::{numbers, times};

/// Texts that differ only by case, accent, padding, width or escape, and texts that look like syntax.
const TEXTS: &[&str] = &[
    "Alice",
    "alice",
    "ALICE",
    "alice ",
    "alice  ",
    " alice",
    "álice",
    "ALiCE",
    "",
    " ",
    "  ",
    "%",
    "_",
    "\\",
    "\\\\",
    "a%b",
    "a_b",
    "a\\b",
    "a\\%b",
    "aXb",
    "ab",
    "AB",
    "'",
    "''",
    "\"",
    "say \"hi\"",
    "it's",
    "`",
    "ß",
    "ss",
    "SS",
    "İ",
    "i",
    "I",
    "ı",
    "é",
    "e\u{301}",
    "e",
    "É",
    "ÿ",
    "Z",
    "z",
    "a",
    "A",
    "~",
    "\u{a0}",
    "\u{7f}",
    "alice\t",
    "alice\n",
    "\r\n",
    "0",
    "00",
    "1",
    "1.0",
    " 1",
    "-0",
    "1e3",
    "NULL",
    "null",
    "true",
    " WHERE 1=1 ",
    " LIMIT 1",
    "; --",
    "/* */",
    "?",
    "$1",
    ":id",
    "{id}",
    "*",
    "[a-z]",
    "a:b",
    "a:b:c",
    "%2F",
    "🦀",
    "🦀🦀",
    "👨\u{200d}👩\u{200d}👧",
    "日本語",
    "日本",
    "ﬀ",
    "\u{212a}",
    "ſ",
    "Ω",
    "ω",
    "\u{10fffd}",
];

/// The nasty values of a kind of column, without NULL.
pub(crate) fn nasty(kind: ColumnKind) -> Vec<ScalarValue> {
    match kind {
        ColumnKind::Key => Vec::new(),
        ColumnKind::Group => (-2..12).map(|group| ScalarValue::Int32(Some(group))).collect(),
        ColumnKind::Integer { .. } => numbers::integers(&kind.data_type()),
        ColumnKind::Numeric { precision, scale } => numbers::numerics(precision, scale),
        ColumnKind::Unsigned => numbers::unsigned(),
        ColumnKind::Real { special } => numbers::reals(special),
        ColumnKind::Double { special } => numbers::doubles(special),
        ColumnKind::Date => times::days(),
        ColumnKind::Time => times::times(),
        ColumnKind::Timestamp => times::timestamps(),
        ColumnKind::Moment { unix } => times::moments(unix),
        ColumnKind::Interval => times::intervals(),
        ColumnKind::Bytes => bytes(),
        ColumnKind::List(item) => lists(*item),
        ColumnKind::Composite => composites(),
        ColumnKind::Boolean => vec![
            ScalarValue::Boolean(Some(true)),
            ScalarValue::Boolean(Some(false)),
        ],
        ColumnKind::TextKey => {
            let empty = ScalarValue::Utf8View(Some(String::new()));
            let mut keys = texts(TextKind::Unicode);
            keys.retain(|key| *key != empty);
            keys
        }
        ColumnKind::Text(text) => texts(text),
    }
}

/// A random value of a kind of column.
pub(crate) fn random(kind: ColumnKind, random: &mut StdRng) -> ScalarValue {
    match kind {
        ColumnKind::Key => ScalarValue::Int64(Some(random.random())),
        ColumnKind::Group => ScalarValue::Int32(Some(random.random_range(-3..30))),
        ColumnKind::Integer { .. } => {
            let value: i16 = random.random();
            ScalarValue::Int16(Some(value))
                .cast_to(&kind.data_type())
                .expect("integers widen")
        }
        ColumnKind::Numeric { precision, scale } => {
            // As small as the type, and so that it has room for it.
            let digits = u32::from(precision).min(6);
            let most = 10_i64.pow(digits);
            numbers::numeric(random.random_range(1 - most..most).into(), precision, scale)
        }
        ColumnKind::Unsigned => {
            ScalarValue::Decimal128(Some(i128::from(random.random_range(0..1_u64 << 40))), 20, 0)
        }
        ColumnKind::Real { .. } => ScalarValue::Float32(Some(random.random_range(-1000.0..1000.0))),
        ColumnKind::Double { .. } => ScalarValue::Float64(Some(random.random_range(-1000.0..1000.0))),
        ColumnKind::Date => ScalarValue::Date32(Some(random.random_range(-40_000..40_000))),
        ColumnKind::Time | ColumnKind::Timestamp | ColumnKind::Moment { .. } | ColumnKind::Interval => {
            times::random(kind, random)
        }
        ColumnKind::Bytes => {
            let length = random.random_range(0..6);
            ScalarValue::BinaryView(Some((0..length).map(|_| random.random()).collect()))
        }
        ColumnKind::List(item) => {
            let length = random.random_range(0..4);
            let items: Vec<ScalarValue> = (0..length).map(|_| self::random(*item, random)).collect();
            list(&items, *item)
        }
        ColumnKind::Composite => {
            let text = random_text(TextKind::Unicode, random);
            composite(Some(random.random()), Some(&text))
        }
        ColumnKind::Boolean => ScalarValue::Boolean(Some(random.random())),
        ColumnKind::TextKey => ScalarValue::Utf8View(Some(random_text(TextKind::Unicode, random))),
        ColumnKind::Text(kind) => ScalarValue::Utf8View(Some(random_text(kind, random))),
    }
}

fn texts(kind: TextKind) -> Vec<ScalarValue> {
    // Longer than an inline view, longer than an index prefix, and with a difference only at the end.
    let long = "long text ".repeat(19);
    let longs = [long.clone(), format!("{long}x"), format!("{long}X")];
    let all = TEXTS.iter().map(|text| (*text).to_owned()).chain(longs);
    let mut texts: Vec<String> = all.filter_map(|text| fitted(text, kind)).collect();
    texts.sort();
    texts.dedup();
    let scalar = |text| ScalarValue::Utf8View(Some(text));
    texts.into_iter().map(scalar).collect()
}

/// `text` as a column of `kind` gives it back, or `None` when it cannot hold it.
fn fitted(text: String, kind: TextKind) -> Option<String> {
    match kind {
        TextKind::Unicode => Some(text),
        TextKind::Unpadded => Some(text.trim_end_matches(' ').to_owned()),
        TextKind::Latin1 => {
            let held = |c: char| (' '..='~').contains(&c) || ('\u{a0}'..='\u{ff}').contains(&c);
            text.chars().all(held).then_some(text)
        }
    }
}

fn random_text(kind: TextKind, random: &mut StdRng) -> String {
    const LETTERS: &[char] = &[
        'a', 'A', 'b', 'B', 'á', 'é', 'E', 's', 'ß', ' ', '%', '_', '\\', 'z', '1',
    ];
    let length = random.random_range(0..8);
    let text = (0..length)
        .filter_map(|_| LETTERS.choose(random))
        .collect::<String>();
    fitted(text, kind).unwrap_or_default()
}

/// Bytes that text functions, padding or a NUL at the end would change.
fn bytes() -> Vec<ScalarValue> {
    let long: Vec<u8> = (0..=255).collect();
    let all: [&[u8]; 14] = [
        b"",
        b"\0",
        b"\0\0",
        b"a",
        b"A",
        b"a ",
        b"a\0",
        b"\0a",
        b" ",
        b"\xff",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"'\\",
        &long,
    ];
    all.map(|bytes| ScalarValue::BinaryView(Some(bytes.to_vec())))
        .into()
}

/// Arrays of none, one and many of the items' nasty values, and of NULLs.
fn lists(item: ColumnKind) -> Vec<ScalarValue> {
    let null = ScalarValue::try_from(item.data_type()).expect("canonical types have a NULL");
    let items = nasty(item);
    let mut lists = vec![
        list(&[], item),
        list(std::slice::from_ref(&null), item),
        list(&[null.clone(), null.clone()], item),
        list(&items, item),
    ];
    for pair in items.chunks(2) {
        lists.push(list(pair, item));
        let reversed: Vec<ScalarValue> = pair.iter().rev().cloned().chain([null.clone()]).collect();
        lists.push(list(&reversed, item));
    }
    lists
}

fn list(items: &[ScalarValue], item: ColumnKind) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(items, &item.data_type()))
}

/// Composites with every part NULL, empty or not.
fn composites() -> Vec<ScalarValue> {
    let mut composites = Vec::new();
    for number in [None, Some(0), Some(i32::MIN), Some(i32::MAX)] {
        for text in [None, Some(""), Some("Alice"), Some("a,\"b\"")] {
            composites.push(composite(number, text));
        }
    }
    composites
}

fn composite(number: Option<i32>, text: Option<&str>) -> ScalarValue {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![number])),
        Arc::new(StringViewArray::from(vec![text])),
    ];
    ScalarValue::Struct(Arc::new(StructArray::new(composite_fields(), columns, None)))
}
