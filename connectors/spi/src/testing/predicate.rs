//! Generates one predicate over one column: comparisons, lists, patterns, ranges, casts and functions.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use rand::prelude::*;

use super::generate::{ColumnPool, Pool};
use super::literal::{literal, near, quoted};
use super::query::Condition;
use crate::filter::scalar_text;

const COMPARISONS: &[&str] = &["=", "=", "=", "<>", "<", "<=", ">", ">="];

/// A predicate over `column`; `pool` gives other columns to compare it with.
pub(crate) fn predicate(pool: &Pool, column: &ColumnPool, random: &mut StdRng) -> Condition {
    let name = format!("t.{}", column.name);
    if !column.is_compared() {
        return Condition::Predicate(format!("{name} IS {}NULL", not(random)));
    }
    // Patterns have the most rules of all.
    if column.data_type == DataType::Utf8View && random.random_bool(0.4) {
        return Condition::Predicate(text_predicate(&name, column, random));
    }
    let sql = match random.random_range(0..20) {
        0..=4 => comparison(&name, column, random),
        5..=7 => return in_list(name, column, random),
        8 => between(&name, column, random),
        9 => format!("{name} IS {}NULL", not(random)),
        10 => distinct(&name, column, random),
        11 => between_columns(pool, column, random),
        _ => match column.data_type {
            DataType::Utf8View => text_predicate(&name, column, random),
            DataType::Boolean => boolean_predicate(&name, random),
            DataType::Date32 => date_predicate(&name, column, random),
            DataType::Timestamp(..) | DataType::Time64(_) | DataType::BinaryView => {
                comparison(&name, column, random)
            }
            _ => return number_predicate(&name, column, random),
        },
    };
    Condition::Predicate(sql)
}

fn not(random: &mut StdRng) -> &'static str {
    if random.random_bool(0.4) { "NOT " } else { "" }
}

fn operator(random: &mut StdRng) -> &'static str {
    COMPARISONS.choose(random).unwrap_or(&"=")
}

/// A literal from the column's values: most often itself, else a neighbour, rarely NULL.
fn value(column: &ColumnPool, random: &mut StdRng) -> ScalarValue {
    match random.random_range(0..20) {
        0 => ScalarValue::Null,
        1..=6 => near(&column.value(random), random),
        _ => column.value(random),
    }
}

fn comparison(name: &str, column: &ColumnPool, random: &mut StdRng) -> String {
    let (operator, literal) = (operator(random), literal(&value(column, random)));
    if random.random_bool(0.2) {
        format!("{literal} {operator} {name}")
    } else {
        format!("{name} {operator} {literal}")
    }
}

fn in_list(name: String, column: &ColumnPool, random: &mut StdRng) -> Condition {
    // DataFusion turns lists of up to three items into comparisons: both forms are wanted.
    let items = if random.random_bool(0.3) {
        random.random_range(1..4)
    } else {
        random.random_range(4..9)
    };
    let mut list: Vec<String> = (0..items).map(|_| literal(&value(column, random))).collect();
    if random.random_bool(0.2) {
        list.extend(list.first().cloned());
    }
    if list.iter().all(|item| item == "NULL") {
        list.push(literal(&column.value(random)));
    }
    Condition::In {
        value: name,
        list,
        negated: random.random_bool(0.4),
    }
}

fn between(name: &str, column: &ColumnPool, random: &mut StdRng) -> String {
    let (low, high) = (value(column, random), value(column, random));
    format!(
        "{name} {}BETWEEN {} AND {}",
        not(random),
        literal(&low),
        literal(&high)
    )
}

fn distinct(name: &str, column: &ColumnPool, random: &mut StdRng) -> String {
    format!(
        "{name} IS {}DISTINCT FROM {}",
        not(random),
        literal(&value(column, random))
    )
}

/// Two columns of one type; a column with itself when there is no other.
fn between_columns(pool: &Pool, column: &ColumnPool, random: &mut StdRng) -> String {
    let alike: Vec<&ColumnPool> = pool
        .columns
        .iter()
        .filter(|other| comparable(&other.data_type, &column.data_type))
        .collect();
    let other = alike.choose(random).map_or(column, |other| *other);
    format!("t.{} {} t.{}", column.name, operator(random), other.name)
}

fn comparable(left: &DataType, right: &DataType) -> bool {
    let whole = |kind: &DataType| kind.is_integer() || matches!(kind, DataType::Decimal128(_, 0));
    left == right || (whole(left) && whole(right))
}

fn number_predicate(name: &str, column: &ColumnPool, random: &mut StdRng) -> Condition {
    let literal = literal(&value(column, random));
    let operator = operator(random);
    let small = random.random_range(1..9);
    let integer = column.data_type.is_integer();
    let sql = match random.random_range(0..9) {
        0 => format!("CAST({name} AS TEXT) {operator} {}", number_text(column, random)),
        1 => format!("CAST({name} AS TEXT) LIKE '{small}%'"),
        2 if integer => format!("CAST({name} AS BIGINT) {operator} {literal}"),
        3 if integer => format!("CAST({name} AS NUMERIC(38, 4)) {operator} {literal}"),
        4 if integer => format!("{name} % {small} = {}", small / 2),
        // DataFusion takes `x / 8 = 8` for `x = 64`, and then leaves sorts by x out; the server divides by a function of
        // its own, which is not looked into. A list is not either.
        5 if integer && operator == "=" => format!("{name} / {small} IN ({small}, {small} + 1)"),
        5 if integer => format!("{name} / {small} {operator} {small}"),
        // DataFusion would cast the column of doubles to a decimal that cannot hold it.
        6 if column.data_type.is_floating() => {
            format!("{name} {operator} CAST('{small}.5' AS DOUBLE PRECISION)")
        }
        6 => format!("{name} {operator} {small}.5"),
        7 => format!("coalesce({name}, {small}) {operator} {small}"),
        _ => format!("CAST({name} AS DOUBLE PRECISION) {operator} {small}"),
    };
    Condition::Predicate(sql)
}

/// The text of one of the column's numbers.
fn number_text(column: &ColumnPool, random: &mut StdRng) -> String {
    let value = column.value(random);
    let text = value.cast_to(&DataType::Utf8).ok();
    quoted(text.as_ref().and_then(scalar_text).unwrap_or_default())
}

fn boolean_predicate(name: &str, random: &mut StdRng) -> String {
    let forms = [
        "",
        " = TRUE",
        " <> TRUE",
        " IS TRUE",
        " IS NOT TRUE",
        " IS NOT FALSE",
        " IS UNKNOWN",
    ];
    format!("{name}{}", forms.choose(random).unwrap_or(&""))
}

fn date_predicate(name: &str, column: &ColumnPool, random: &mut StdRng) -> String {
    let operator = operator(random);
    let literal = literal(&near(&column.value(random), random));
    match random.random_range(0..4) {
        0 => format!("EXTRACT(YEAR FROM {name}) {operator} EXTRACT(YEAR FROM {literal})"),
        1 => format!("EXTRACT(MONTH FROM {name}) = {}", random.random_range(1..13)),
        2 => format!("CAST({name} AS TEXT) {operator} '2024-02-29'"),
        _ => format!("{name} {operator} {literal}"),
    }
}

fn text_predicate(name: &str, column: &ColumnPool, random: &mut StdRng) -> String {
    let text = if random.random_bool(0.8) {
        column.value(random)
    } else {
        near(&column.value(random), random)
    };
    let text = scalar_text(&text).unwrap_or_default();
    let operator = operator(random);
    let like = if random.random_bool(0.15) { "ILIKE" } else { "LIKE" };
    match random.random_range(0..20) {
        0..=13 => format!("{name} {}{like} {}", not(random), quoted(&pattern(text, random))),
        14 => format!("lower({name}) {operator} {}", quoted(&text.to_lowercase())),
        15 => format!("upper({name}) {operator} {}", quoted(&text.to_uppercase())),
        16 => format!("character_length({name}) {operator} {}", text.chars().count()),
        17 => format!("btrim({name}) {operator} {}", quoted(text.trim_matches(' '))),
        18 => format!("{name} || 'x' {operator} {}", quoted(&format!("{text}x"))),
        _ => format!("coalesce({name}, '') {operator} {}", quoted(text)),
    }
}

/// A pattern that `text` matches, or nearly: wildcards at its ends or inside, some of its own characters escaped.
fn pattern(text: &str, random: &mut StdRng) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        match character {
            '%' | '_' | '\\' if random.random_bool(0.7) => {
                pattern.push('\\');
                pattern.push(character);
            }
            // A lone backslash at the end is an error in PostgreSQL.
            '\\' => pattern.push_str("\\\\"),
            _ if random.random_bool(if character.is_ascii() { 0.1 } else { 0.6 }) => pattern.push('_'),
            _ => pattern.push(character),
        }
    }
    let start = *["", "", "", "", "%", "%", "_"].choose(random).unwrap_or(&"");
    let end = *["", "", "", "%", "%", "%", "%%", "_", " %"]
        .choose(random)
        .unwrap_or(&"");
    format!("{start}{pattern}{end}")
}
