//! The values that sources get wrong, by kind of column, and random values around them.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::canonical::{ColumnKind, TextKind};

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

/// Days that calendars disagree on, and the edges of what a date can be.
const DAYS: &[&str] = &[
    "1970-01-01",
    "1969-12-31",
    "1970-01-02",
    "2000-02-29",
    "1900-02-28",
    "1900-03-01",
    "2024-02-29",
    "2024-03-01",
    "2024-12-31",
    "2025-01-01",
    "1582-10-04",
    "1582-10-15",
    "1000-01-01",
    "0999-12-31",
    "0001-01-01",
    "0001-01-02",
    "9999-12-30",
    "9999-12-31",
    "2038-01-19",
    "2262-04-12",
];

/// Moments at the edges of days, of seconds and of what a timestamp can be.
const MOMENTS: &[&str] = &[
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "1970-01-01 00:00:00.000001",
    "2024-02-29 12:00:00",
    "2024-02-29 12:00:00.5",
    "2024-02-29 12:00:00.499999",
    "2024-02-29 12:00:00.500001",
    "2024-02-29 23:59:59.999999",
    "2024-03-01 00:00:00",
    "2024-03-31 02:30:00",
    "2024-10-27 02:30:00",
    "2038-01-19 03:14:07",
    "2038-01-19 03:14:08",
    "1900-01-01 00:00:00",
    "1000-01-01 00:00:00",
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
];

/// The nasty values of a kind of column, without NULL.
pub(crate) fn nasty(kind: ColumnKind) -> Vec<ScalarValue> {
    match kind {
        ColumnKind::Key => Vec::new(),
        ColumnKind::Group => (-2..12).map(|group| ScalarValue::Int32(Some(group))).collect(),
        ColumnKind::Integer { .. } => integers(&kind.data_type()),
        ColumnKind::Numeric { precision, scale } => numerics(precision, scale),
        ColumnKind::Unsigned => unsigned(),
        ColumnKind::Double { special } => doubles(special),
        ColumnKind::Date => parsed(DAYS, &DataType::Date32),
        ColumnKind::Timestamp => parsed(MOMENTS, &kind.data_type()),
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
            let unscaled = i128::from(random.random_range(-1_000_000_i64..1_000_000));
            ScalarValue::Decimal128(Some(unscaled), precision, scale)
        }
        ColumnKind::Unsigned => {
            ScalarValue::Decimal128(Some(i128::from(random.random_range(0..1_u64 << 40))), 20, 0)
        }
        ColumnKind::Double { .. } => ScalarValue::Float64(Some(random.random_range(-1000.0..1000.0))),
        ColumnKind::Date => ScalarValue::Date32(Some(random.random_range(-40_000..40_000))),
        ColumnKind::Timestamp => {
            let micros = random.random_range(-4_000_000_000_000_000_i64..4_000_000_000_000_000);
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        }
        ColumnKind::Boolean => ScalarValue::Boolean(Some(random.random())),
        ColumnKind::TextKey => ScalarValue::Utf8View(Some(random_text(TextKind::Unicode, random))),
        ColumnKind::Text(kind) => ScalarValue::Utf8View(Some(random_text(kind, random))),
    }
}

fn parsed(texts: &[&str], data_type: &DataType) -> Vec<ScalarValue> {
    let parse =
        |text: &&str| ScalarValue::try_from_string((*text).to_owned(), data_type).expect("a fixed literal");
    texts.iter().map(parse).collect()
}

fn integers(data_type: &DataType) -> Vec<ScalarValue> {
    let (min, max) = match data_type {
        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let values = [
        min,
        min + 1,
        -128,
        -2,
        -1,
        0,
        1,
        2,
        7,
        10,
        100,
        127,
        128,
        255,
        256,
        max - 1,
        max,
    ];
    // Beyond 2^53 two integers can be one double.
    let doubles = [(1 << 53) - 1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1];
    let all = values
        .into_iter()
        .chain(doubles.into_iter().filter(|&value| value < max && value > min));
    all.map(|value| {
        ScalarValue::Int64(Some(value))
            .cast_to(data_type)
            .expect("within the type")
    })
    .collect()
}

fn numerics(precision: u8, scale: i8) -> Vec<ScalarValue> {
    let limit = 10_i128.pow(u32::from(precision)) - 1;
    let one = 10_i128.pow(u32::from(scale.unsigned_abs()));
    let half = one / 2;
    let values = [
        0,
        1,
        -1,
        2,
        one,
        -one,
        one + 1,
        one - 1,
        half,
        -half,
        10 * one,
        100 * one,
        123 * one + half,
        limit,
        limit - 1,
        -limit,
        1 - limit,
    ];
    let decimal = |value| ScalarValue::Decimal128(Some(value), precision, scale);
    values.map(decimal).into()
}

/// Around the greatest values of signed and unsigned integers of 32 and 64 bits.
fn unsigned() -> Vec<ScalarValue> {
    let edges = [0, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1_u128 << 64];
    let around = edges
        .into_iter()
        .flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]);
    let held = around.filter(|&value| value < 1 << 64);
    held.map(|value| ScalarValue::Decimal128(i128::try_from(value).ok(), 20, 0))
        .collect()
}

fn doubles(special: bool) -> Vec<ScalarValue> {
    let finite = [
        0.0,
        0.1,
        0.3,
        1.0,
        -1.5,
        2.5,
        1e15,
        9_007_199_254_740_993.0,
        1e308,
        -1e308,
        1e-300,
    ];
    let odd = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let all = finite.into_iter().chain(odd.into_iter().filter(|_| special));
    all.map(|value| ScalarValue::Float64(Some(value))).collect()
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
