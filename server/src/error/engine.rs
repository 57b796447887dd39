//! What DataFusion and Arrow say, mostly in words only, in PostgreSQL's words with its SQLSTATE and its names of types.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, SchemaError};

use super::planner::{from_plan, postgres_types};
use super::{QueryError, nearest, quoted};
use crate::sqlstate::SqlState;

/// An error that DataFusion or Arrow made itself.
pub(super) fn from_engine(error: &DataFusionError) -> QueryError {
    let span = match error {
        DataFusionError::Diagnostic(diagnostic, _) => diagnostic.span,
        _ => None,
    };
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
            from_engine(inner).at(span)
        }
        DataFusionError::Shared(inner) => from_engine(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => from_engine(first),
            None => QueryError::internal(error),
        },
        DataFusionError::SchemaError(schema, _) => from_schema(schema),
        DataFusionError::ArrowError(arrow, _) => from_arrow(arrow),
        DataFusionError::ResourcesExhausted(_) => QueryError::new(SqlState::OUT_OF_MEMORY, "out of memory")
            .detail("The query needs more memory than the server may use.")
            .hint("Ask for fewer rows or groups, or raise memory_limit_mib in the server's configuration."),
        DataFusionError::NotImplemented(text) => from_missing(text),
        DataFusionError::SQL(parser, _) => QueryError::syntax(first_line(&parser.to_string())),
        DataFusionError::Plan(text) => from_plan(text),
        DataFusionError::Execution(text) => from_execution(text),
        DataFusionError::External(inner) => {
            from_regex(&inner.to_string()).unwrap_or_else(|| QueryError::internal(error))
        }
        _ => QueryError::internal(error),
    }
}

/// Something that DataFusion has not implemented; some of it is a mistake of the statement's.
fn from_missing(text: &str) -> QueryError {
    if let Some(name) = text.strip_prefix("Unsupported SQL type ") {
        let message = format!("type \"{}\" does not exist", name.to_lowercase());
        return QueryError::new(SqlState::UNDEFINED_OBJECT, message);
    }
    if let Some((from, to)) = text
        .strip_prefix("Unsupported CAST from ")
        .and_then(|rest| rest.split_once(" to "))
    {
        let message = format!(
            "cannot cast type {} to {}",
            postgres_types(from),
            postgres_types(to)
        );
        return QueryError::new(SqlState::CANNOT_COERCE, message);
    }
    if text.contains("WindowFunction") {
        return QueryError::new(SqlState::WINDOWING_ERROR, "window functions are not allowed here");
    }
    for clause in ["LIMIT", "OFFSET"] {
        if text.starts_with(&format!("Unsupported {clause} expression")) {
            let message = format!("{clause} by a term that is no constant is not supported");
            return QueryError::not_supported(message);
        }
    }
    if text.starts_with("There is only support Literal types") {
        return QueryError::not_supported(
            "arguments of window functions that are no constants are not supported here",
        );
    }
    if ["Unsupported SQL unary operator", "Unsupported binary operator"]
        .iter()
        .any(|begin| text.starts_with(begin))
    {
        return QueryError::not_supported("operators of this kind are not supported");
    }
    const OF_SUBQUERIES: [&str; 4] = ["ScalarSubquery", "InSubquery", "Exists", "OuterReferenceColumn"];
    if OF_SUBQUERIES
        .iter()
        .any(|kind| text.contains(&format!("expression {kind}")))
    {
        return correlated();
    }
    QueryError::not_supported(unsupported(text))
}

/// A subquery that DataFusion does not make a join of: it says so in many ways, some about columns of its own making.
pub(crate) fn correlated() -> QueryError {
    QueryError::not_supported("this use of a correlated subquery is not supported")
        .hint("A join with the subquery's rows, grouped where it aggregates, often says the same.")
}

/// DataFusion prints its own trees into some of these messages: of those only the kind of expression is kept.
fn unsupported(text: &str) -> String {
    if !text.contains(['{', '[']) {
        return first_line(text);
    }
    let kind = text
        .split_once("expression ")
        .map(|(_, rest)| rest.split(|c: char| !c.is_alphanumeric()).next());
    match kind.flatten().filter(|kind| !kind.is_empty()) {
        Some(kind) => format!("{} is not supported here", kind.to_uppercase()),
        None => "this form of statement is not supported".to_owned(),
    }
}

fn from_schema(error: &SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = match &field.relation {
                Some(relation) => {
                    let table = relation.table();
                    if table.starts_with("__correlated_sq_") {
                        return correlated();
                    }
                    let is_there = |known: &Column| {
                        known
                            .relation
                            .as_ref()
                            .is_some_and(|known| known.table() == table)
                    };
                    if !valid_fields.iter().any(is_there) {
                        return missing_relation(table, valid_fields).at(field.spans().first());
                    }
                    format!("{table}.{}", field.name)
                }
                None => format!("\"{}\"", field.name),
            };
            let mut found = QueryError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column {name} does not exist"),
            )
            .at(field.spans().first());
            let nearest = nearest(&field.name, valid_fields.iter().map(|field| field.name.as_str()));
            if let Some(nearest) = nearest {
                let hint = format!("Perhaps you meant to reference the column {}.", quoted(nearest));
                found.hint = Some(hint);
            }
            found
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column reference \"{}\" is ambiguous", field.name);
            QueryError::new(SqlState::AMBIGUOUS_COLUMN, message).at(field.spans().first())
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => QueryError::new(
            SqlState::AMBIGUOUS_COLUMN,
            format!("column \"{name}\" is specified more than once"),
        )
        .hint("Give one of them another name with AS."),
    }
}

/// The relation before a column's name is none of the query's.
fn missing_relation(table: &str, visible: &[Column]) -> QueryError {
    let message = format!("missing FROM-clause entry for table \"{table}\"");
    let error = QueryError::new(SqlState::UNDEFINED_TABLE, message);
    let relations = visible.iter().filter_map(|column| column.relation.as_ref());
    match nearest(table, relations.map(|relation| relation.table())) {
        Some(nearest) => error.hint(format!(
            "Perhaps you meant to reference the table alias {}.",
            quoted(nearest)
        )),
        None => error,
    }
}

fn from_arrow(error: &ArrowError) -> QueryError {
    match error {
        ArrowError::DivideByZero => QueryError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(text) => {
            QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range").detail(sentence(text))
        }
        ArrowError::CastError(text) => from_cast(text).unwrap_or_else(|| {
            QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, "value cannot be cast")
                .detail(sentence(text))
        }),
        ArrowError::ParseError(text) if text.starts_with("Error parsing timestamp from '") => {
            let value = text.split('\'').nth(1).unwrap_or_default();
            no_moment("timestamp", value)
        }
        ArrowError::ParseError(text) => {
            QueryError::new(SqlState::INVALID_DATETIME_FORMAT, "value cannot be read").detail(sentence(text))
        }
        ArrowError::InvalidArgumentError(text) if text.contains("too large to store in a Decimal") => {
            QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
                .detail(sentence(text))
        }
        ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text)
            if text.to_lowercase().contains("overflow") =>
        {
            QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range").detail(sentence(text))
        }
        ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text) => from_execution(text),
        ArrowError::NotYetImplemented(text) => QueryError::not_supported(first_line(text)),
        other => from_regex(&other.to_string()).unwrap_or_else(|| QueryError::internal(other)),
    }
}

/// What Arrow says of a text that is not a value of the type it is cast to, in PostgreSQL's words.
fn from_cast(text: &str) -> Option<QueryError> {
    if let Some(rest) = text.strip_prefix("value of ")
        && let Some((_, data_type)) = rest.split_once(" is out of range ")
    {
        let message = format!("{} out of range", postgres_types(data_type));
        return Some(QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    if let Some(rest) = text.strip_prefix("Can't cast value ") {
        // A number that has no place in a smaller type.
        let (_, data_type) = rest.rsplit_once(" to type ")?;
        let message = format!("{} out of range", postgres_types(data_type));
        return Some(QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    let rest = text
        .strip_prefix("Cannot cast string '")
        .or_else(|| text.strip_prefix("Cannot cast value '"))?;
    let (value, data_type) = rest.rsplit_once("' to value of ")?;
    let name = match data_type.strip_suffix(" type")? {
        "Boolean" => "boolean",
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Date32" => return Some(no_moment("date", value)),
        other if other.starts_with("Decimal") => "numeric",
        other if other.starts_with("Timestamp") => return Some(no_moment("timestamp", value)),
        _ => return None,
    };
    // A number that is one, only too large, is told so.
    let digits = value.trim().strip_prefix(['-', '+']).unwrap_or(value.trim());
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_integer && ["smallint", "integer", "bigint"].contains(&name) {
        let message = format!("value \"{value}\" is out of range for type {name}");
        return Some(QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    let message = format!("invalid input syntax for type {name}: \"{value}\"");
    Some(QueryError::new(SqlState::INVALID_TEXT_REPRESENTATION, message))
}

/// A text that is no date or time; one that looks like it has a field out of its range.
fn no_moment(type_name: &str, value: &str) -> QueryError {
    let day = value.trim().split([' ', 'T']).next().unwrap_or_default();
    let fields: Vec<&str> = day.split('-').collect();
    let is_number = |field: &&str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    if fields.len() == 3 && fields.iter().all(is_number) {
        let message = format!("date/time field value out of range: \"{value}\"");
        return QueryError::new(SqlState::DATETIME_OVERFLOW, message);
    }
    let message = format!("invalid input syntax for type {type_name}: \"{value}\"");
    QueryError::new(SqlState::INVALID_DATETIME_FORMAT, message)
}

/// The regular expression library prints the pattern, a mark below it, and what is wrong in its last line.
fn from_regex(text: &str) -> Option<QueryError> {
    if !text.to_lowercase().contains("regex parse error") {
        return None;
    }
    let cause = text.lines().last().unwrap_or_default().trim();
    let cause = cause.strip_prefix("error: ").unwrap_or(cause);
    let message = format!("invalid regular expression: {cause}");
    Some(QueryError::new(SqlState::INVALID_REGULAR_EXPRESSION, message))
}

/// What functions say about the values they are given; panics and faults of the engine are errors of other kinds.
fn from_execution(text: &str) -> QueryError {
    if let Some(error) = from_regex(text) {
        return error;
    }
    let lower = text.to_lowercase();
    if lower.contains("more than one row") || lower.contains("returned more than") {
        let message = "more than one row returned by a subquery used as an expression";
        return QueryError::new(SqlState::CARDINALITY_VIOLATION, message);
    }
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return QueryError::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    }
    if lower.contains("overflow") || lower.contains("out of range") {
        return QueryError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, first_line(text));
    }
    for (part, state, message) in [
        (
            "square root of a negative",
            SqlState::INVALID_POWER,
            "cannot take square root of a negative number",
        ),
        (
            "zero raised to a negative",
            SqlState::INVALID_POWER,
            "zero raised to a negative power is undefined",
        ),
        (
            "ntile requires a positive",
            SqlState::INVALID_NTILE,
            "argument of ntile must be greater than zero",
        ),
        (
            "invalid unicode scalar value",
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "requested character is not valid for encoding",
        ),
    ] {
        if lower.contains(part) {
            return QueryError::new(state, message);
        }
    }
    QueryError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        postgres_types(&first_line(text)),
    )
}

/// The first line, with a lower-case beginning and without a full stop, as PostgreSQL words its messages.
pub(super) fn first_line(text: &str) -> String {
    let text = text.strip_prefix("Error during planning: ").unwrap_or(text);
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    let text = text.strip_prefix("Execution error: ").unwrap_or(text);
    let line = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut characters = line.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(line.chars().skip(1)).collect()
        }
        _ => line.to_owned(),
    }
}

fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end_matches('.');
    format!("{line}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_the_engine_are_not_shown() {
        let text = "Physical plan does not support logical expression Wildcard { qualifier: None }";
        assert_eq!(unsupported(text), "WILDCARD is not supported here");
        let text =
            "Physical plan does not support logical expression Exists(Exists { subquery: <subquery> })";
        assert_eq!(from_missing(text).message, correlated().message);
        assert_eq!(
            unsupported("Unsupported thing [A { b: 1 }]"),
            "this form of statement is not supported"
        );
        assert_eq!(
            unsupported("Lateral joins are not supported"),
            "lateral joins are not supported"
        );
    }

    #[test]
    fn mistakes_in_values_are_not_internal_errors() {
        let state = |text: &str| QueryError::from(DataFusionError::Execution(text.into())).state;
        assert_eq!(
            state("NTILE requires a positive integer"),
            SqlState::INVALID_NTILE
        );
        let regex = "regex parse error:\n    (\n    ^\nerror: unclosed group";
        let error = QueryError::from(DataFusionError::External(regex.into()));
        assert_eq!(error.state, SqlState::INVALID_REGULAR_EXPRESSION);
        assert_eq!(error.message, "invalid regular expression: unclosed group");
    }
}
