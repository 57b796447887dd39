//! Refuses statements that would overflow the stack, before anything recurses: a stack overflow cannot be caught.
//!
//! Counted on the tokens: how deep brackets and CASE nest, how many operators one expression chains, how many set
//! operations and joins a statement has.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{QueryError, Result};

/// Deepest nesting of brackets and CASE.
const NESTING_MAX: usize = 200;
/// Most operators in one expression.
const OPERATORS_MAX: usize = 1_000;
/// Most UNION, EXCEPT, INTERSECT and JOIN in one statement.
const COMBINATIONS_MAX: usize = 500;

/// What one level of brackets has seen since its last comma or clause.
#[derive(Default)]
struct Level {
    operators: usize,
}

/// Checks all tokens of a message. Errors: 54001 with the place.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels = vec![Level::default()];
    let mut combinations = 0_usize;
    for token in tokens {
        let span = datafusion::common::Span::try_from_sqlparser_span(token.span);
        match step(&token.token) {
            Step::Open => levels.push(Level::default()),
            Step::Close if levels.len() > 1 => {
                levels.pop();
            }
            Step::NewExpression => levels
                .last_mut()
                .into_iter()
                .for_each(|level| level.operators = 0),
            Step::NewStatement => {
                combinations = 0;
                levels
                    .last_mut()
                    .into_iter()
                    .for_each(|level| level.operators = 0);
            }
            Step::Operator => levels
                .last_mut()
                .into_iter()
                .for_each(|level| level.operators += 1),
            Step::Combination => {
                combinations += 1;
                levels
                    .last_mut()
                    .into_iter()
                    .for_each(|level| level.operators = 0);
            }
            Step::Close | Step::Other => {}
        }
        if levels.len() > NESTING_MAX {
            return Err(too_complex(&format!("it nests more than {NESTING_MAX} levels deep")).at(span));
        }
        if levels.last().is_some_and(|level| level.operators > OPERATORS_MAX) {
            return Err(
                too_complex(&format!("one expression has more than {OPERATORS_MAX} operators")).at(span),
            );
        }
        if combinations > COMBINATIONS_MAX {
            let what = format!("it has more than {COMBINATIONS_MAX} joins and set operations");
            return Err(too_complex(&what).at(span));
        }
    }
    Ok(())
}

/// The refusal of a statement that is too complex.
pub(super) fn too_complex(what: &str) -> QueryError {
    QueryError::too_complex("statement is too complex")
        .detail(format!("The statement is refused because {what}."))
        .hint("Use IN lists instead of chained OR, and split the statement.")
}

enum Step {
    Open,
    Close,
    NewExpression,
    NewStatement,
    Operator,
    Combination,
    Other,
}

fn step(token: &Token) -> Step {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => Step::Open,
        Token::RParen | Token::RBracket | Token::RBrace => Step::Close,
        Token::Comma => Step::NewExpression,
        Token::SemiColon => Step::NewStatement,
        Token::Word(word) => match word.keyword {
            Keyword::CASE => Step::Open,
            Keyword::END => Step::Close,
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => Step::Combination,
            Keyword::SELECT
            | Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE => Step::NewExpression,
            Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::BETWEEN
            | Keyword::SIMILAR
            | Keyword::COLLATE
            | Keyword::AT => Step::Operator,
            _ => Step::Other,
        },
        Token::EOF
        | Token::Whitespace(_)
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Period
        | Token::Placeholder(_) => Step::Other,
        _ => Step::Operator,
    }
}
