//! Text to statements with their places in the text. The whole message is parsed before anything runs.

use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::{Statement, Use};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{complexity, distinct};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Longest text of one message, in bytes.
const SQL_BYTES_MAX: usize = 16 << 20;
/// Deepest recursion of the parser; the thread's stack holds more.
const PARSER_DEPTH_MAX: usize = 2_000;

/// Most characters of a statement that an error repeats.
const NEAR_CHARACTERS_MAX: usize = 60;

/// One statement of a message.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    /// The syntax tree, with spans.
    pub statement: Statement,
}

/// Parses a message into its statements; none for an empty message or one of comments.
///
/// Errors: 42601 with the position; 54001 when it is nested or chained too deeply; 54000 when it is too long. Must run
/// on a thread with a large stack.
pub fn parse(sql: &str) -> Result<Vec<ParsedStatement>> {
    if sql.len() > SQL_BYTES_MAX {
        let message = format!("statement is longer than {} MiB", SQL_BYTES_MAX >> 20);
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    let dialect = PostgreSqlDialect {};
    let mut tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| tokenizer_error(&error.message, error.location, sql))?;
    split_signs(&mut tokens);
    unname_keywords(&mut tokens);
    complexity::check(&tokens).map_err(|error| error.located(sql))?;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .with_tokens_with_locations(tokens);
    let mut statements =
        parse_statements(&mut parser).map_err(|error| parser_error(&error, sql).located(sql))?;
    statements.iter_mut().for_each(distinct::rebind);
    Ok(statements
        .into_iter()
        .map(|statement| ParsedStatement { statement })
        .collect())
}

/// Behind a point every word is a name: `t.user` is a column, not the function.
fn unname_keywords(tokens: &mut [TokenWithSpan]) {
    let mut behind_point = false;
    for token in tokens {
        if let Token::Word(word) = &mut token.token
            && behind_point
        {
            word.keyword = Keyword::NoKeyword;
        }
        behind_point = token.token == Token::Period;
    }
}

/// As the parser's own function, with REFRESH.
fn parse_statements(parser: &mut Parser<'_>) -> Result<Vec<Statement>, ParserError> {
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token_ref().token == Token::EOF {
            return Ok(statements);
        }
        let statement = match parse_refresh(parser)? {
            Some(refresh) => refresh,
            None => parser.parse_statement()?,
        };
        statements.push(statement);
        let next = parser.peek_token_ref();
        if ![Token::SemiColon, Token::EOF].contains(&next.token) {
            return parser.expected_ref("end of statement", next);
        }
    }
}

/// `REFRESH TABLE name` and `REFRESH CATALOG name`. The syntax tree has no node for them: UNCACHE TABLE and USE CATALOG,
/// which PostgreSQL does not have, stand for them.
fn parse_refresh(parser: &mut Parser<'_>) -> Result<Option<Statement>, ParserError> {
    let is_word = |parser: &Parser<'_>, wanted: &str| match &parser.peek_token_ref().token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    if is_word(parser, "uncache") {
        return parser.expected_ref("an SQL statement", parser.peek_token_ref());
    }
    if !is_word(parser, "refresh") {
        return Ok(None);
    }
    parser.advance_token();
    let names_table = is_word(parser, "table");
    if !names_table && !is_word(parser, "catalog") {
        return parser.expected_ref("TABLE or CATALOG after REFRESH", parser.peek_token_ref());
    }
    parser.advance_token();
    let found = parser.peek_token();
    let name = parser.parse_object_name(false)?;
    if names_table {
        return Ok(Some(Statement::UNCache {
            table_name: name,
            if_exists: false,
        }));
    }
    if name.0.len() != 1 {
        return parser.expected("the name of a catalog", found);
    }
    Ok(Some(Statement::Use(Use::Catalog(name))))
}

/// Takes the signs off operators as PostgreSQL does: `a>-1` is `a > -1`, because an operator of nothing but `+-*/<>=`
/// does not end in a sign.
fn split_signs(tokens: &mut Vec<TokenWithSpan>) {
    if !tokens.iter().any(|token| without_signs(&token.token).is_some()) {
        return;
    }
    let whole = std::mem::take(tokens);
    for token in whole {
        let Some((operator, signs)) = without_signs(&token.token) else {
            tokens.push(token);
            continue;
        };
        let mut start = token.span.start;
        let pieces = std::iter::once(operator).chain(signs);
        for piece in pieces {
            let mut end = start;
            end.column += u64::try_from(piece.to_string().len()).unwrap_or(1);
            tokens.push(TokenWithSpan::new(piece, start.span_to(end)));
            start = end;
        }
    }
}

/// A comparison that was read together with the signs behind it, and these.
fn without_signs(token: &Token) -> Option<(Token, Vec<Token>)> {
    let Token::CustomBinaryOperator(text) = token else {
        return None;
    };
    // Of nothing but signs, the first is the operator.
    let length = text.trim_end_matches(['+', '-']).len().max(1);
    let known = match text.get(..length)? {
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" => Token::Neq,
        "=" => Token::Eq,
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        _ => return None,
    };
    let signs = text.get(length..)?.chars();
    let signs = signs.map(|sign| if sign == '-' { Token::Minus } else { Token::Plus });
    Some((known, signs.collect()))
}

fn tokenizer_error(message: &str, location: Location, sql: &str) -> QueryError {
    let what = match message {
        "Unterminated string literal" => "unterminated quoted string",
        "Unterminated dollar-quoted string" => "unterminated dollar-quoted string",
        "Unexpected EOF while in a multi-line comment" => "unterminated /* comment",
        message if message.starts_with("Expected close delimiter '\"'") => "unterminated quoted identifier",
        other => {
            return QueryError::syntax(lower_first(other.trim_end_matches('.')))
                .at(span_at(location))
                .located(sql);
        }
    };
    let mut error = QueryError::syntax(what).at(span_at(location)).located(sql);
    if let Some(position) = error.position {
        let rest: String = sql.chars().skip(position - 1).take(NEAR_CHARACTERS_MAX).collect();
        error.message = format!("{what} at or near \"{rest}\"");
    }
    error
}

fn parser_error(error: &ParserError, sql: &str) -> QueryError {
    match error {
        ParserError::RecursionLimitExceeded => complexity::too_complex("it nests too deeply"),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            let (message, span) = split_place(text);
            let Some((expected, found)) = message
                .strip_prefix("Expected: ")
                .and_then(|rest| rest.split_once(", found: "))
            else {
                return QueryError::syntax(format!("syntax error: {}", lower_first(message))).at(span);
            };
            let detail = format!("Expected {expected}.");
            if found == "EOF" {
                let mut error = QueryError::syntax("syntax error at end of input").detail(detail);
                error.position = Some(sql.chars().count() + 1);
                return error;
            }
            let near: String = found.chars().take(NEAR_CHARACTERS_MAX).collect();
            QueryError::syntax(format!("syntax error at or near \"{near}\""))
                .detail(detail)
                .at(span)
        }
    }
}

/// Splits ` at Line: 1, Column: 8` off the end of the parser's message.
fn split_place(text: &str) -> (&str, Option<Span>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return (text, None);
    };
    let Some((line, column)) = place.split_once(", Column: ") else {
        return (text, None);
    };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (message, span_at(Location { line, column })),
        _ => (text, None),
    }
}

fn span_at(location: Location) -> Option<Span> {
    Span::try_from_sqlparser_span(datafusion::sql::sqlparser::tokenizer::Span::new(
        location, location,
    ))
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_error_has_a_position() {
        let error = parse("SELECT 1;\nSELEC 2").unwrap_err();
        assert_eq!((error.state, error.position), (SqlState::SYNTAX_ERROR, Some(11)));
        assert_eq!(error.message, "syntax error at or near \"SELEC\"");
        assert_eq!(parse(" ; -- nothing\n").unwrap().len(), 0);
        for (sql, message, position) in [
            ("SELECT 1 +", "syntax error at end of input", 11),
            ("SELECT 1)", "syntax error at or near \")\"", 9),
            ("SELECT 'a", "unterminated quoted string at or near \"'a\"", 8),
            (
                "SELECT \"ä",
                "unterminated quoted identifier at or near \"\"ä\"",
                8,
            ),
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!(
                (error.message.as_str(), error.position),
                (message, Some(position))
            );
        }
    }

    #[test]
    fn refresh_is_a_statement_among_others() {
        let parsed = parse("SELECT 1; refresh table lake.\"A\".b;REFRESH CATALOG lake").unwrap();
        let [_, table, catalog] = parsed.as_slice() else {
            panic!("{parsed:?}")
        };
        assert!(matches!(&table.statement, Statement::UNCache { table_name, .. } if table_name.0.len() == 3));
        assert!(matches!(&catalog.statement, Statement::Use(Use::Catalog(name)) if name.0.len() == 1));
        for (sql, position) in [
            ("REFRESH MATERIALIZED VIEW v", Some(9)),
            ("REFRESH TABLE", Some(14)),
            ("REFRESH CATALOG a.b", Some(17)),
            ("REFRESH TABLE a b", Some(17)),
            ("UNCACHE TABLE a", Some(1)),
            ("SELECT 1 SELECT 2", Some(10)),
        ] {
            let error = parse(sql).unwrap_err();
            let found = (error.state, error.position);
            assert_eq!(found, (SqlState::SYNTAX_ERROR, position), "{sql}: {error}");
        }
    }

    #[test]
    fn a_sign_behind_an_operator_is_its_own() {
        for (sql, written) in [
            ("SELECT a>-1", "SELECT a > -1"),
            ("SELECT a<=-+1, 3-+-2", "SELECT a <= -+1, 3 - +-2"),
            (
                "SELECT a<>-1, 2*-1, 3/-1, 1=-1",
                "SELECT a <> -1, 2 * -1, 3 / -1, 1 = -1",
            ),
        ] {
            let parsed = parse(sql).unwrap();
            assert_eq!(parsed[0].statement.to_string(), written);
        }
        let error = parse("SELECT a>-1 FROM").unwrap_err();
        assert_eq!(error.state, SqlState::SYNTAX_ERROR);
    }

    #[test]
    fn what_would_need_much_memory_is_refused() {
        for sql in [
            ";".repeat(20_000),
            format!("SELECT 1 WHERE 1 IN (1{})", ",1".repeat(600_000)),
        ] {
            assert_eq!(parse(&sql).unwrap_err().state, SqlState::STATEMENT_TOO_COMPLEX);
        }
    }

    #[test]
    fn what_would_overflow_the_stack_is_refused() {
        let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        let sum = format!("SELECT 1{}", "+1".repeat(100_000));
        let or = format!("SELECT 1 WHERE true{}", " OR true".repeat(100_000));
        let not = format!("SELECT {} true", "NOT ".repeat(100_000));
        let case = format!(
            "SELECT {} 1 {}",
            "CASE WHEN true THEN ".repeat(100_000),
            "END ".repeat(100_000)
        );
        let union = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000));
        let minus = format!("SELECT {}1", "- ".repeat(100_000));
        // These would not overflow the stack, but planning them would not end.
        let functions = format!("SELECT {}1{}", "abs(".repeat(30), ")".repeat(30));
        let subqueries = format!("SELECT {}1{}", "(SELECT ".repeat(30), ")".repeat(30));
        let exists = format!(
            "SELECT 1 WHERE {}true{}",
            "EXISTS (SELECT 1 WHERE ".repeat(30),
            ")".repeat(30)
        );
        for sql in [
            deep, sum, or, not, case, union, minus, functions, subqueries, exists,
        ] {
            let error = parse(&sql).unwrap_err();
            assert_eq!(error.state, SqlState::STATEMENT_TOO_COMPLEX, "{}", &sql[..40]);
        }
    }

    #[test]
    fn what_is_long_but_not_deep_is_parsed() {
        let list = vec!["1"; 50_000].join(", ");
        let from = format!(
            "SELECT * FROM {}t{}",
            "(SELECT * FROM ".repeat(100),
            ") AS x".repeat(100)
        );
        let calls = vec!["abs(1)"; 500].join(" + ");
        for sql in [
            format!("SELECT 1 WHERE 1 IN ({list})"),
            from,
            format!("SELECT {calls}"),
        ] {
            assert_eq!(parse(&sql).unwrap().len(), 1);
        }
    }
}
