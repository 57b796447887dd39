//! What DataFusion's planner says of a statement, which is words only: each has PostgreSQL's words and SQLSTATE here.

use super::engine::{correlated, first_line};
use super::{QueryError, nearest, quoted};
use crate::sqlstate::SqlState;

/// What PostgreSQL advises where no operator takes its operands.
const NO_OPERATOR: &str = "No operator matches the given name and argument types. You might need to add explicit type \
                           casts.";
/// What it advises where no function does.
const NO_FUNCTION: &str = "No function matches the given name and argument types. You might need to add explicit type \
                           casts.";
/// The functions that need OVER.
const WINDOW_FUNCTIONS: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Beginnings of messages, in lower case, and what they are in PostgreSQL.
const FIXED: [(&str, SqlState, &str); 15] = [
    (
        "limit must be",
        SqlState::INVALID_LIMIT,
        "LIMIT must not be negative",
    ),
    (
        "offset must be",
        SqlState::INVALID_OFFSET,
        "OFFSET must not be negative",
    ),
    (
        "aggregate functions are not allowed in the where",
        SqlState::GROUPING_ERROR,
        "aggregate functions are not allowed in WHERE",
    ),
    (
        "aggregate function calls cannot be nested",
        SqlState::GROUPING_ERROR,
        "aggregate function calls cannot be nested",
    ),
    (
        "too many columns! the subquery",
        SqlState::SYNTAX_ERROR,
        "subquery must return only one column",
    ),
    (
        "inconsistent data length across values",
        SqlState::SYNTAX_ERROR,
        "VALUES lists must all be the same length",
    ),
    (
        "union queries have different number",
        SqlState::SYNTAX_ERROR,
        "each UNION query must have the same number of columns",
    ),
    (
        "intersect queries have different number",
        SqlState::SYNTAX_ERROR,
        "each INTERSECT query must have the same number of columns",
    ),
    (
        "except queries have different number",
        SqlState::SYNTAX_ERROR,
        "each EXCEPT query must have the same number of columns",
    ),
    (
        "select distinct on expressions must match",
        SqlState::INVALID_COLUMN_REFERENCE,
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
    ),
    (
        "for select distinct, order by expressions",
        SqlState::INVALID_COLUMN_REFERENCE,
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    (
        "order by index starts at 1",
        SqlState::INVALID_COLUMN_REFERENCE,
        "ORDER BY position 0 is not in select list",
    ),
    (
        "step cannot be zero",
        SqlState::INVALID_PARAMETER_VALUE,
        "step size cannot equal zero",
    ),
    (
        "unsupported value",
        SqlState::FEATURE_NOT_SUPPORTED,
        "literals of this kind are not supported",
    ),
    (
        "join condition should not be empty",
        SqlState::SYNTAX_ERROR,
        "JOIN needs ON or USING",
    ),
];

/// An error of the planner. None of them is our fault, so none becomes an internal error.
pub(super) fn from_plan(text: &str) -> QueryError {
    let line = postgres_types(&first_line(text));
    if let Some(operator) = missing_operator(&line) {
        let message = format!("operator does not exist: {operator}");
        return QueryError::new(SqlState::UNDEFINED_FUNCTION, message).hint(NO_OPERATOR);
    }
    if line.starts_with("correlated scalar subquery ") {
        return correlated();
    }
    let known = missing_function(text)
        .or_else(|| wrong_arguments(text))
        .or_else(|| wrong_group(text))
        .or_else(|| wrong_type(&line))
        .or_else(|| fixed(&line))
        .or_else(|| wrong_clause(&line));
    known.unwrap_or_else(|| other(line))
}

/// Planner's words that have no names in them, or none that PostgreSQL repeats.
fn fixed(line: &str) -> Option<QueryError> {
    let lower = line.to_lowercase();
    let found = FIXED.iter().find(|(begin, _, _)| lower.starts_with(begin));
    found.map(|(_, state, message)| QueryError::new(*state, *message))
}

/// Planner's words about one clause, with the name or number in them.
fn wrong_clause(line: &str) -> Option<QueryError> {
    let number = |text: &str| -> String { text.chars().take_while(char::is_ascii_digit).collect() };
    if let Some(rest) = line.strip_prefix("order by column out of bounds, specified: ") {
        let message = format!("ORDER BY position {} is not in select list", number(rest));
        return Some(QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
    }
    if let Some(rest) = line.strip_prefix("cannot find column with position ") {
        let message = format!("GROUP BY position {} is not in select list", number(rest));
        return Some(QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
    }
    if let Some(name) = line
        .strip_prefix("the window ")
        .and_then(|rest| rest.strip_suffix(" is not defined!"))
    {
        let message = format!("window \"{name}\" does not exist");
        return Some(QueryError::new(SqlState::UNDEFINED_OBJECT, message));
    }
    if let Some(name) = line.strip_prefix("invalid qualifier ") {
        let message = format!("missing FROM-clause entry for table \"{name}\"");
        return Some(QueryError::new(SqlState::UNDEFINED_TABLE, message));
    }
    if line.starts_with("WITH query name ") {
        return Some(QueryError::new(SqlState::DUPLICATE_ALIAS, line));
    }
    // "source table contains 2 columns but only 3 names given as column alias"
    let rest = line.strip_prefix("source table contains ")?;
    let given = rest.split_once(" but only ").map(|(_, given)| number(given))?;
    let message = format!(
        "the table has {} columns available but {given} columns specified",
        number(rest)
    );
    Some(QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, message))
}

/// Where a truth value or a number has to be, and is not.
fn wrong_type(line: &str) -> Option<QueryError> {
    let mismatch = |message: String| Some(QueryError::new(SqlState::DATATYPE_MISMATCH, message));
    if let Some(rest) = line.strip_prefix("cannot infer common argument type for logical boolean operation ")
    {
        let (clause, sides) = [("AND", " AND "), ("OR", " OR ")]
            .into_iter()
            .find_map(|(clause, word)| Some((clause, rest.split_once(word)?)))?;
        let given = if sides.0 == "boolean" { sides.1 } else { sides.0 };
        return mismatch(format!(
            "argument of {clause} must be type boolean, not type {given}"
        ));
    }
    if line.starts_with("cannot create filter with non-boolean predicate") {
        let (_, given) = line.rsplit_once(" returning ")?;
        return mismatch(format!(
            "argument of WHERE must be type boolean, not type {given}"
        ));
    }
    if let Some(given) = line.strip_prefix("join condition must be boolean type, but got ") {
        return mismatch(format!(
            "argument of JOIN/ON must be type boolean, not type {given}"
        ));
    }
    if let Some(given) = line.strip_prefix("unary operator 'NOT' requires a boolean expression, got ") {
        return mismatch(format!("argument of NOT must be type boolean, not type {given}"));
    }
    if let Some(rest) = line.strip_prefix("incompatible inputs for Union: Previous inputs were of type ")
        && let Some((before, rest)) = rest.split_once(", but got incompatible type ")
        && let Some((given, _)) = rest.split_once(" on column ")
    {
        return mismatch(format!("UNION types {before} and {given} cannot be matched"));
    }
    if let Some(rest) = line.strip_prefix("failed to coerce then (")
        && let Some((then, rest)) = rest.split_once(") and else (")
        && let Some((given, _)) = rest.split_once(") to common types")
    {
        return mismatch(format!("CASE types {given} and {then} cannot be matched"));
    }
    for clause in ["LIMIT", "OFFSET"] {
        if let Some(given) =
            line.strip_prefix(&format!("expected {clause} to be an integer or null, but got "))
        {
            return mismatch(format!(
                "argument of {clause} must be type bigint, not type {given}"
            ));
        }
    }
    None
}

/// `column "t.id" must appear in the GROUP BY clause`, which the planner wraps in words of its own.
fn wrong_group(text: &str) -> Option<QueryError> {
    let (before, _) = text.split_once(" must appear in the GROUP BY clause")?;
    let column = match before.rsplit_once("column \"") {
        Some((_, column)) => column.trim_end_matches('"'),
        // HAVING names an expression, which begins with the column most of the time.
        None => {
            let expression = before
                .rsplit_once(": ")
                .map_or(before, |(_, expression)| expression);
            expression.split(' ').next().unwrap_or(expression)
        }
    };
    // Only the table's own name stands before the column.
    let parts: Vec<&str> = column.rsplitn(3, '.').collect();
    let name = match parts.as_slice() {
        [column, table, ..] => format!("{table}.{column}"),
        _ => column.to_owned(),
    };
    let message =
        format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function");
    Some(QueryError::new(SqlState::GROUPING_ERROR, message))
}

/// `Invalid function 'f'.`, and in the next line the planner's guess.
fn missing_function(text: &str) -> Option<QueryError> {
    let line = first_line(text);
    let name = line.strip_prefix("invalid function '")?.strip_suffix('\'')?;
    if WINDOW_FUNCTIONS.contains(&name) {
        let message = format!("window function {name} requires an OVER clause");
        return Some(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    let message = format!("function {name} does not exist");
    let error = QueryError::new(SqlState::UNDEFINED_FUNCTION, message);
    let guess = text
        .split_once("Did you mean '")
        .and_then(|(_, rest)| rest.split('\'').next())
        .filter(|guess| nearest(name, std::iter::once(*guess)).is_some());
    Some(match guess {
        Some(guess) => error.hint(format!("Perhaps you meant the function {}.", quoted(guess))),
        None => error,
    })
}

/// A function that is there, but not with these arguments: `... name and argument types 'abs(Utf8)'. ...`.
fn wrong_arguments(text: &str) -> Option<QueryError> {
    let call = match text.split_once("argument types '") {
        Some((_, rest)) => rest.split('\'').next()?.to_owned(),
        None if text.contains("SUM not supported for") || text.contains("AVG not supported for") => {
            format!("{}()", if text.contains("SUM") { "sum" } else { "avg" })
        }
        None => return None,
    };
    let call = postgres_types(&call).replace("character_length(", "length(");
    let message = format!("function {call} does not exist");
    Some(QueryError::new(SqlState::UNDEFINED_FUNCTION, message).hint(NO_FUNCTION))
}

/// The operator of which the planner says in several ways that its operands do not suit it.
fn missing_operator(line: &str) -> Option<String> {
    for (before, behind) in [
        ("cannot coerce arithmetic expression ", " to valid types"),
        ("cannot get result type for temporal operation ", ":"),
        ("cannot infer common argument type for comparison operation ", ""),
        ("cannot infer common argument type for regex operation ", ""),
        ("cannot infer common string type for string concat operation ", ""),
    ] {
        if let Some(rest) = line.strip_prefix(before) {
            return match behind {
                "" => Some(rest.to_owned()),
                behind => rest.split(behind).next().map(str::to_owned),
            };
        }
    }
    let rest = line.strip_prefix("there isn't a common type to coerce ")?;
    let (operands, _) = rest.split_once(" in LIKE expression")?;
    let (left, right) = operands.split_once(" and ")?;
    Some(format!("{left} ~~ {right}"))
}

/// The rest keeps the planner's words.
fn other(line: String) -> QueryError {
    let lower = line.to_lowercase();
    let state = if lower.contains("no function matches") {
        SqlState::UNDEFINED_FUNCTION
    } else if lower.contains("must be part of group by") || lower.contains("aggregate functions are not") {
        SqlState::GROUPING_ERROR
    } else if lower.contains("coerc") || lower.contains("cannot infer common") || lower.contains("type") {
        SqlState::DATATYPE_MISMATCH
    } else if lower.contains("not supported") || lower.contains("unsupported") {
        SqlState::FEATURE_NOT_SUPPORTED
    } else {
        SqlState::SYNTAX_ERROR
    };
    // What was found instead may be one of the planner's own trees.
    match line.split_once(", got ") {
        Some((wanted, found)) if found.contains(" { ") => QueryError::new(state, wanted),
        _ => QueryError::new(state, line),
    }
}

/// A message with PostgreSQL's names for the types that DataFusion calls by Arrow's.
pub(super) fn postgres_types(line: &str) -> String {
    const NAMES: [(&str, &str); 20] = [
        ("Interval(MonthDayNano)", "interval"),
        ("Interval(YearMonth)", "interval"),
        ("Interval(DayTime)", "interval"),
        ("LargeUtf8", "text"),
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("LargeBinary", "bytea"),
        ("BinaryView", "bytea"),
        ("Binary", "bytea"),
        ("Boolean", "boolean"),
        ("Float64", "double precision"),
        ("Float32", "real"),
        ("UInt64", "bigint"),
        ("Int64", "bigint"),
        ("UInt32", "oid"),
        ("Int32", "integer"),
        ("Int16", "smallint"),
        ("Date32", "date"),
        ("Decimal128", "numeric"),
        ("Decimal256", "numeric"),
    ];
    let mut line = line.to_owned();
    // A type's name may hold brackets and spaces.
    while let Some(start) = line.find("Timestamp(") {
        let Some(length) = line.get(start..).and_then(|rest| rest.find(')')) else {
            break;
        };
        let zoned = line
            .get(start..start + length)
            .is_some_and(|name| name.contains("Some") || name.contains('"'));
        let end = start
            + length
            + line
                .get(start + length..)
                .map_or(0, |rest| rest.len() - rest.trim_start_matches(')').len());
        let name = if zoned {
            "timestamp with time zone"
        } else {
            "timestamp"
        };
        line.replace_range(start..end, name);
    }
    // Digits of a numeric are no part of its type.
    for name in ["Decimal128(", "Decimal256("] {
        while let Some(start) = line.find(name) {
            let Some(end) = line.get(start..).and_then(|rest| rest.find(')')) else {
                break;
            };
            line.replace_range(start..=start + end, "numeric");
        }
    }
    while let Some(start) = line.find("List(") {
        let Some(end) = line.get(start..).and_then(|rest| rest.find(')')) else {
            break;
        };
        let item = line
            .get(start + "List(".len()..start + end)
            .unwrap_or_default()
            .to_owned();
        line.replace_range(start..=start + end, &format!("{item}[]"));
    }
    for (arrow, postgres) in NAMES {
        if line.contains(arrow) {
            line = line.replace(arrow, postgres);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planners_words_are_postgres_words() {
        for (text, state, message) in [
            (
                "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \
                 \"shop.app.t.id\" must appear in the GROUP BY clause or must be part of an aggregate function",
                "42803",
                "column \"t.id\" must appear in the GROUP BY clause or be used in an aggregate function",
            ),
            (
                "HAVING clause references: t.id > Int64(1) must appear in the GROUP BY clause or be used in an \
                 aggregate function",
                "42803",
                "column \"t.id\" must appear in the GROUP BY clause or be used in an aggregate function",
            ),
            (
                "Function 'abs' expects Numeric but received String. No function matches the given name and argument \
                 types 'abs(Utf8View, Decimal128(3, 1))'. You might need to add explicit type casts.",
                "42883",
                "function abs(text, numeric) does not exist",
            ),
            (
                "Cannot coerce arithmetic expression Timestamp(Microsecond, None) + List(Int64) to valid types",
                "42883",
                "operator does not exist: timestamp + bigint[]",
            ),
            (
                "Cannot create filter with non-boolean predicate 't.id' returning Int32",
                "42804",
                "argument of WHERE must be type boolean, not type integer",
            ),
            (
                "Order by column out of bounds, specified: 5, max: 1",
                "42P10",
                "ORDER BY position 5 is not in select list",
            ),
            (
                "Invalid function 'row_number'.\nDid you mean 'now'?",
                "42809",
                "window function row_number requires an OVER clause",
            ),
            (
                "Invalid qualifier t",
                "42P01",
                "missing FROM-clause entry for table \"t\"",
            ),
        ] {
            let error = from_plan(text);
            assert_eq!((error.state.code(), error.message.as_str()), (state, message));
        }
    }
}
