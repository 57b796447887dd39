//! The one error of the server: a SQLSTATE and PostgreSQL's message fields. Everything below becomes one of these here.

use std::error::Error;
use std::fmt;

use causeway_spi::{ConnectorError, ErrorKind};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError, Span};

use crate::sqlstate::SqlState;

/// The result of everything a client can cause.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// A refusal or failure as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// The SQLSTATE.
    pub state: SqlState,
    /// Lower case, no full stop, names the object.
    pub message: String,
    /// More facts, as sentences.
    pub detail: Option<String>,
    /// What the user can do, as a sentence.
    pub hint: Option<String>,
    /// Where in the statement's text, in characters from 1.
    pub position: Option<usize>,
    /// Where in the statement's text, in lines and columns, until the text is at hand.
    pub(crate) span: Option<Span>,
}

impl QueryError {
    /// Makes an error.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            span: None,
        }
    }

    /// Adds facts.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place in the text.
    #[must_use]
    pub fn at(mut self, span: Option<Span>) -> Self {
        self.span = span.or(self.span);
        self
    }

    /// A syntax error.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(SqlState::SYNTAX_ERROR, message)
    }

    /// Something Causeway does not do.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// A statement that is nested or chained too deeply.
    pub fn too_complex(message: impl Into<String>) -> Self {
        Self::new(SqlState::STATEMENT_TOO_COMPLEX, message)
    }

    /// A fault of the server: the text goes to the log, not to the client.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(cause), "internal error");
        Self::new(SqlState::INTERNAL_ERROR, "internal error").hint("The server's log has the cause.")
    }

    /// Turns the line and column of the place into PostgreSQL's character position in `sql`.
    #[must_use]
    pub fn located(mut self, sql: &str) -> Self {
        if let (None, Some(span)) = (self.position, self.span) {
            self.position = character_position(sql, span.start.line, span.start.column);
        }
        self
    }
}

/// The character (from 1) at a line and column (both from 1) of `sql`.
fn character_position(sql: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?;
    let before: usize = sql
        .split('\n')
        .take(line)
        .map(|text| text.chars().count() + 1)
        .sum();
    let position = before + column;
    (column > 0 && position <= sql.chars().count() + 1).then_some(position)
}

/// An error and all its causes, for the log.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for QueryError {}

impl From<&ConnectorError> for QueryError {
    fn from(error: &ConnectorError) -> Self {
        // Rows that are written come through the contract, and their errors with them.
        let own = error
            .source()
            .and_then(|cause| cause.downcast_ref::<QueryError>());
        if let Some(own) = own {
            return own.clone();
        }
        let state = match error.kind() {
            ErrorKind::UnknownSchema => SqlState::UNDEFINED_SCHEMA,
            ErrorKind::UnknownTable => SqlState::UNDEFINED_TABLE,
            ErrorKind::UnknownColumn => SqlState::UNDEFINED_COLUMN,
            ErrorKind::Unavailable | ErrorKind::LoginRefused | ErrorKind::Timeout => {
                SqlState::FDW_UNABLE_TO_ESTABLISH_CONNECTION
            }
            ErrorKind::TooManyConnections => SqlState::TOO_MANY_CONNECTIONS,
            ErrorKind::Source | ErrorKind::InvalidData | ErrorKind::Configuration => SqlState::FDW_ERROR,
            ErrorKind::Changed => SqlState::SERIALIZATION_FAILURE,
            ErrorKind::LimitExceeded => SqlState::PROGRAM_LIMIT_EXCEEDED,
            ErrorKind::NotPermitted => SqlState::INSUFFICIENT_PRIVILEGE,
            ErrorKind::LockTimeout => SqlState::LOCK_NOT_AVAILABLE,
            ErrorKind::DuplicateKey => SqlState::UNIQUE_VIOLATION,
            ErrorKind::OutOfMemory => SqlState::OUT_OF_MEMORY,
            ErrorKind::DiskFull => SqlState::DISK_FULL,
            ErrorKind::NotSupported => SqlState::FEATURE_NOT_SUPPORTED,
            ErrorKind::Internal => {
                tracing::error!(error = %chain(error), "internal error of a connector");
                SqlState::INTERNAL_ERROR
            }
        };
        if error.source().is_some() {
            tracing::debug!(error = %chain(error), "error of a source");
        }
        Self {
            detail: error.detail_text().map(str::to_owned),
            hint: error.hint_text().map(str::to_owned),
            ..Self::new(state, error.message())
        }
    }
}

impl From<ConnectorError> for QueryError {
    fn from(error: ConnectorError) -> Self {
        Self::from(&error)
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        // Errors of our own travel through DataFusion as causes: they are looked for first, at any depth.
        if let Some(found) = find_own(&error) {
            return found;
        }
        from_engine(&error)
    }
}

/// An error of ours anywhere in the causes of `error`.
fn find_own(error: &(dyn Error + 'static)) -> Option<QueryError> {
    let mut current: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = current {
        if let Some(error) = cause.downcast_ref::<ConnectorError>() {
            return Some(QueryError::from(error));
        }
        if let Some(error) = cause.downcast_ref::<QueryError>() {
            return Some(error.clone());
        }
        // These two hide their cause behind a Box or an Arc that `source()` steps over.
        current = match cause.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            Some(DataFusionError::ParquetError(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => {
                Some(inner.as_ref())
            }
            Some(DataFusionError::Collection(errors)) => {
                errors.first().map(|inner| inner as &(dyn Error + 'static))
            }
            _ => match cause.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => cause.source(),
            },
        };
    }
    None
}

/// An error that DataFusion or Arrow made itself.
fn from_engine(error: &DataFusionError) -> QueryError {
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
            .hint("Ask for fewer rows or groups, or raise memory_limit in the server's configuration."),
        DataFusionError::NotImplemented(text) => QueryError::not_supported(unsupported(text)),
        DataFusionError::SQL(parser, _) => QueryError::syntax(first_line(&parser.to_string())),
        DataFusionError::Plan(text) => from_plan(text),
        DataFusionError::Execution(text) => from_execution(text),
        DataFusionError::External(inner) => {
            from_regex(&inner.to_string()).unwrap_or_else(|| QueryError::internal(error))
        }
        _ => QueryError::internal(error),
    }
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
                Some(relation) => format!("{}.{}", relation.table(), field.name),
                None => format!("\"{}\"", field.name),
            };
            let mut found = QueryError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column {name} does not exist"),
            )
            .at(field.spans().first());
            let nearest = nearest(&field.name, valid_fields.iter().map(|field| field.name.as_str()));
            if let Some(nearest) = nearest {
                found.hint = Some(format!(
                    "Perhaps you meant to reference the column \"{nearest}\"."
                ));
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
        ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text) => {
            QueryError::new(SqlState::INVALID_PARAMETER_VALUE, first_line(text))
        }
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
    let rest = text.strip_prefix("Cannot cast string '")?;
    let (value, data_type) = rest.rsplit_once("' to value of ")?;
    let name = match data_type.strip_suffix(" type")? {
        "Boolean" => "boolean",
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Date32" => {
            let message = format!("invalid input syntax for type date: \"{value}\"");
            return Some(QueryError::new(SqlState::INVALID_DATETIME_FORMAT, message));
        }
        other if other.starts_with("Decimal") => "numeric",
        other if other.starts_with("Timestamp") => "timestamp",
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

/// DataFusion's planner says what is wrong with a statement only in words. None of these is our fault, so none becomes
/// an internal error; the words that clients branch on get their own SQLSTATE.
fn from_plan(text: &str) -> QueryError {
    let line = postgres_types(&first_line(text));
    if let Some(operator) = missing_operator(&line) {
        let message = format!("operator does not exist: {operator}");
        return QueryError::new(SqlState::UNDEFINED_FUNCTION, message).hint(
            "No operator matches the given argument types. You might need to add explicit type casts.",
        );
    }
    let lower = line.to_lowercase();
    if lower.starts_with("limit must be") {
        return QueryError::new(SqlState::INVALID_LIMIT, "LIMIT must not be negative");
    }
    if lower.starts_with("offset must be") {
        return QueryError::new(SqlState::INVALID_OFFSET, "OFFSET must not be negative");
    }
    let state = if lower.contains("aggregate functions are not allowed") {
        SqlState::GROUPING_ERROR
    } else if lower.contains("invalid function") || lower.contains("no function matches") {
        SqlState::UNDEFINED_FUNCTION
    } else if lower.contains("must appear in the group by") || lower.contains("must be part of group by") {
        SqlState::GROUPING_ERROR
    } else if lower.contains("coerc") || lower.contains("cannot infer common") || lower.contains("type") {
        SqlState::DATATYPE_MISMATCH
    } else if lower.contains("not supported") || lower.contains("unsupported") {
        SqlState::FEATURE_NOT_SUPPORTED
    } else {
        SqlState::SYNTAX_ERROR
    };
    QueryError::new(state, line)
}

/// The operator of which the planner says in several ways that its operands do not suit it.
fn missing_operator(line: &str) -> Option<&str> {
    for (before, behind) in [
        ("cannot coerce arithmetic expression ", " to valid types"),
        ("cannot get result type for temporal operation ", ":"),
        ("cannot infer common argument type for comparison operation ", ""),
        (
            "cannot infer common argument type for logical boolean operation ",
            "",
        ),
    ] {
        if let Some(rest) = line.strip_prefix(before) {
            return match behind {
                "" => Some(rest),
                behind => rest.split(behind).next(),
            };
        }
    }
    None
}

/// A message with PostgreSQL's names for the types that DataFusion calls by Arrow's.
fn postgres_types(line: &str) -> String {
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
    for (arrow, postgres) in NAMES {
        if line.contains(arrow) {
            line = line.replace(arrow, postgres);
        }
    }
    line
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
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, first_line(text))
}

/// The first line, with a lower-case beginning and without a full stop, as PostgreSQL words its messages.
fn first_line(text: &str) -> String {
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

/// The candidate that is most like `name`, if any is near enough to be a typing mistake.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .map(|candidate| (edit_distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= wanted.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two short names.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, left) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_characters_over_lines() {
        let sql = "SELECT 'ä'\nFROM nope";
        assert_eq!(character_position(sql, 2, 6), Some(17));
        assert_eq!(sql.chars().nth(16), Some('n'));
        assert_eq!(character_position(sql, 9, 1), None);
    }

    #[test]
    fn own_error_is_found_below_arrow_and_datafusion() {
        let own = ConnectorError::new(ErrorKind::UnknownTable, "table shop.a.b does not exist");
        let arrow = ArrowError::ExternalError(Box::new(DataFusionError::from(own)));
        let error = DataFusionError::Context("reading".into(), Box::new(DataFusionError::from(arrow)));
        let found = QueryError::from(error);
        assert_eq!(found.state, SqlState::UNDEFINED_TABLE);
        assert_eq!(found.message, "table shop.a.b does not exist");
    }

    #[test]
    fn trees_of_the_engine_are_not_shown() {
        let text =
            "Physical plan does not support logical expression Exists(Exists { subquery: <subquery> })";
        assert_eq!(unsupported(text), "EXISTS is not supported here");
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
            SqlState::INVALID_PARAMETER_VALUE
        );
        let regex = "regex parse error:\n    (\n    ^\nerror: unclosed group";
        let error = QueryError::from(DataFusionError::External(regex.into()));
        assert_eq!(error.state, SqlState::INVALID_REGULAR_EXPRESSION);
        assert_eq!(error.message, "invalid regular expression: unclosed group");
    }

    #[test]
    fn nearest_is_a_typing_mistake_only() {
        assert_eq!(
            nearest("custmer", ["customer", "orders"].into_iter()),
            Some("customer")
        );
        assert_eq!(nearest("xyz", ["customer", "orders"].into_iter()), None);
    }
}
