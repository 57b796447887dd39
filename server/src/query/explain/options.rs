//! The options of EXPLAIN: those that PostgreSQL has, with its rules and words.

use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::{Expr, Spanned, Statement, UtilityOption, Value};

use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// What is to be explained, and how: each option as the statement has it, `None` where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::query) struct Explain {
    analyze: Option<bool>,
    verbose: Option<bool>,
    costs: Option<bool>,
    timing: Option<bool>,
    summary: Option<bool>,
    format: Format,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One document for programs.
    Json,
}

impl Explain {
    /// The statement inside an EXPLAIN, and what EXPLAIN asks. Errors: 42601 and 22023 for options, 0A000 for formats.
    pub(in crate::query) fn unwrap(statement: &Statement) -> Result<(&Statement, Option<Self>)> {
        let Statement::Explain {
            analyze,
            verbose,
            statement: inner,
            format,
            options,
            ..
        } = statement
        else {
            return Ok((statement, None));
        };
        if format.is_some() {
            return Err(QueryError::syntax("syntax error at or near \"FORMAT\"")
                .hint("The format stands in parentheses: EXPLAIN (FORMAT JSON)."));
        }
        let mut explain = Self {
            analyze: analyze.then_some(true),
            verbose: verbose.then_some(true),
            ..Self::default()
        };
        let mut wal = false;
        for option in options.iter().flatten() {
            let name = option.name.value.to_lowercase();
            match name.as_str() {
                "analyze" => explain.analyze = Some(is_on(option)?),
                "verbose" => explain.verbose = Some(is_on(option)?),
                "costs" => explain.costs = Some(is_on(option)?),
                "timing" => explain.timing = Some(is_on(option)?),
                "summary" => explain.summary = Some(is_on(option)?),
                "wal" => wal = is_on(option)?,
                // Nothing is buffered here, and the settings change no plan.
                "buffers" | "settings" => {
                    is_on(option)?;
                }
                "format" => explain.format = format_of(option)?,
                other => {
                    let message = format!("unrecognized EXPLAIN option \"{other}\"");
                    return Err(
                        QueryError::syntax(message).at(Span::try_from_sqlparser_span(option.name.span))
                    );
                }
            }
        }
        if !explain.analyzes() {
            explain.check_without_analyze(wal)?;
        }
        Ok((inner, Some(explain)))
    }

    fn check_without_analyze(self, wal: bool) -> Result<()> {
        let option = match (wal, self.timing) {
            (true, _) => "WAL",
            (false, Some(true)) => "TIMING",
            _ => return Ok(()),
        };
        Err(QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("EXPLAIN option {option} requires ANALYZE"),
        ))
    }

    /// Whether the statement is run.
    pub(in crate::query) fn analyzes(self) -> bool {
        self.analyze == Some(true)
    }

    /// The form of the answer.
    pub(super) fn format(self) -> Format {
        self.format
    }

    /// Whether estimates are shown. The lines of a mere plan have none unless they are asked for, so that they are short.
    pub(super) fn shows_estimates(self) -> bool {
        let unasked = match self.format {
            Format::Json => true,
            Format::Text => self.analyzes() || self.verbose == Some(true),
        };
        self.costs.unwrap_or(unasked)
    }

    /// Whether times of operators are shown.
    pub(super) fn shows_times(self) -> bool {
        self.analyzes() && self.timing.unwrap_or(true)
    }

    /// Whether the times of planning and running are shown.
    pub(super) fn shows_summary(self) -> bool {
        self.summary.unwrap_or(self.analyzes())
    }
}

/// A Boolean as PostgreSQL takes it here: `yes` is none.
fn is_on(option: &UtilityOption) -> Result<bool> {
    let Some(value) = &option.arg else {
        return Ok(true);
    };
    match word(value).to_lowercase().as_str() {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(QueryError::syntax(format!(
            "{} requires a Boolean value",
            option.name.value.to_lowercase()
        ))),
    }
}

fn format_of(option: &UtilityOption) -> Result<Format> {
    let Some(value) = &option.arg else {
        return Err(QueryError::syntax("format requires a parameter"));
    };
    let name = word(value);
    match name.as_str() {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        "xml" | "yaml" => Err(QueryError::not_supported(format!(
            "EXPLAIN (FORMAT {}) is not supported",
            name.to_uppercase()
        ))
        .hint("The formats are TEXT and JSON.")),
        _ => {
            let message = format!("unrecognized value for EXPLAIN option \"format\": \"{name}\"");
            let error = QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message);
            Err(error.at(Span::try_from_sqlparser_span(value.span())))
        }
    }
}

/// The text of an option's value: names are folded to lower case, what is quoted is not.
fn word(value: &Expr) -> String {
    match value {
        Expr::Identifier(name) if name.quote_style.is_some() => name.value.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    fn unwrapped(sql: &str) -> Result<Explain> {
        let statements = parse(sql).unwrap();
        Explain::unwrap(&statements[0].statement).map(|(_, explain)| explain.unwrap())
    }

    #[test]
    fn options_are_those_of_postgresql() {
        let json = unwrapped("EXPLAIN (ANALYZE, FORMAT JSON, TIMING off) SELECT 1").unwrap();
        assert!(json.analyzes() && json.shows_estimates() && json.shows_summary() && !json.shows_times());
        assert_eq!(json.format(), Format::Json);
        let plan =
            unwrapped("EXPLAIN (ANALYZE, ANALYZE off, FORMAT 'text', SUMMARY, WAL 0) SELECT 1").unwrap();
        assert!(!plan.analyzes() && plan.shows_summary() && !plan.shows_estimates());
        assert!(unwrapped("EXPLAIN VERBOSE SELECT 1").unwrap().shows_estimates());
        assert!(
            !unwrapped("EXPLAIN (ANALYZE true, COSTS false) SELECT 1")
                .unwrap()
                .shows_estimates()
        );
    }

    #[test]
    fn wrong_options_are_told_in_the_words_of_postgresql() {
        for (options, state, message) in [
            ("nope", "42601", "unrecognized EXPLAIN option \"nope\""),
            ("ANALYZE yes", "42601", "analyze requires a Boolean value"),
            ("COSTS 2", "42601", "costs requires a Boolean value"),
            ("FORMAT", "42601", "format requires a parameter"),
            (
                "FORMAT nope",
                "22023",
                "unrecognized value for EXPLAIN option \"format\": \"nope\"",
            ),
            (
                "FORMAT 'JSON'",
                "22023",
                "unrecognized value for EXPLAIN option \"format\": \"JSON\"",
            ),
            ("FORMAT YAML", "0A000", "EXPLAIN (FORMAT YAML) is not supported"),
            ("TIMING", "22023", "EXPLAIN option TIMING requires ANALYZE"),
            ("WAL", "22023", "EXPLAIN option WAL requires ANALYZE"),
        ] {
            let error = unwrapped(&format!("EXPLAIN ({options}) SELECT 1")).unwrap_err();
            assert_eq!(
                (error.state.code(), error.message.as_str()),
                (state, message),
                "{options}"
            );
        }
    }
}
